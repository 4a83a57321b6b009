"""Steps that are linear maps with Gaussian noise: x -> M x + b + sqrt(2 T) L z."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.codegen import jit
from sgdyn.codegen.contracts import STEP_BLOCK, STEP_SIGNATURE
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, fma, item, load, store

Floats = NDArray[np.float64]


@exact_helper
def _accumulate(psi: Any, start: Any, columns: Any, source: Any, p: Any, a0: Any, a1: Any, a2: Any, a3: Any, a4: Any) -> Any:
    """Add (matrix source)[:, p : p + LANES] of a matrix of five rows, which lies in psi column by column."""
    for j in range(columns):
        y, at = load(source, j, p), start + 5 * j
        a0, a1 = fma(y, item(psi, at), a0), fma(y, item(psi, at + 1), a1)
        a2, a3 = fma(y, item(psi, at + 2), a2), fma(y, item(psi, at + 3), a3)
        a4 = fma(y, item(psi, at + 4), a4)
    return a0, a1, a2, a3, a4


@kernel(*STEP_SIGNATURE)
def linear_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """x = M x + b + sqrt(2 T) L z, L lower triangular; psi holds (b, L, M) of five rows after the other (see `linear_map`).

    Five rows at a time, so that sums need not wait for one another.
    """
    dim, rank, n, s = x.shape[0], variates.shape[0], x.shape[1], constants[1]
    b = 0
    for i in range(0, dim, 5):
        columns = min(i + 5, rank)
        M = b + 5 + 5 * columns
        for p in range(0, n, LANES):
            zero = load(x, 0, p) * 0.0
            a0, a1, a2, a3, a4 = _accumulate(psi, b + 5, columns, variates, p, zero, zero, zero, zero, zero)
            a0, a1, a2 = fma(a0, s, item(psi, b)), fma(a1, s, item(psi, b + 1)), fma(a2, s, item(psi, b + 2))
            a3, a4 = fma(a3, s, item(psi, b + 3)), fma(a4, s, item(psi, b + 4))
            a0, a1, a2, a3, a4 = _accumulate(psi, M, dim, x, p, a0, a1, a2, a3, a4)
            store(work, i, p, a0)
            store(work, i + 1, p, a1)
            store(work, i + 2, p, a2)
            store(work, i + 3, p, a3)
            store(work, i + 4, p, a4)
        b = M + 5 * dim
    copy_vectors(work, x)


@exact_helper
def copy_vectors(source: Any, target: Any) -> None:
    """target = the first rows of source."""
    for i in range(target.shape[0]):
        for p in range(0, target.shape[1], LANES):
            store(target, i, p, load(source, i, p))


def linear_map(M: Floats, b: Floats, L: Floats) -> Floats:
    """The parameters of `linear_step`; L (dim, rank) lower triangular."""
    missing = -len(b) % 5
    M, b, L = np.pad(M, ((0, missing), (0, 0))), np.pad(b, (0, missing)), np.pad(L, ((0, missing), (0, 0)))
    parts = [
        part for i in range(0, len(b), 5) for part in (b[i : i + 5], L[i : i + 5, : i + 5].T.ravel(), M[i : i + 5].T.ravel())
    ]  # fmt: skip
    return np.concatenate(parts)


UNROLLED = 16
"""Up to this dimension the sums of a step are written out: the ends of short loops are what processors guess wrong."""


@cache
def linear_block(dim: int, rank: int) -> Any:
    """The compiled step of linear maps of one size: `linear_step`, or the same written out."""
    if dim > UNROLLED:
        return linear_step.compiled
    path = jit.cache_directory() / f"linear_{dim}_{rank}_{jit.fingerprint()}.py"
    jit.write_once(path, _written_out(dim, rank))
    return jit.compiled(jit.load(path).evaluate, STEP_BLOCK.signature)


def _written_out(dim: int, rank: int) -> str:
    lines, b = ["    s = constants[1]"], 0
    for i in range(0, dim, 5):
        columns = min(i + 5, rank)
        M, rows = b + 5 + 5 * columns, range(min(5, dim - i))
        lines += [f"    for p in range(0, x.shape[1], {LANES}):", "        zero = ve.load(x, 0, p)*0.0"]
        lines += [f"        a{r} = zero" for r in rows]
        lines += _sums("variates", columns, b + 5, rows)
        lines += [f"        a{r} = ve.fma(a{r}, s, ve.item(psi, {b + r}))" for r in rows]
        lines += _sums("x", dim, M, rows)
        lines += [f"        ve.store(work, {i + r}, p, a{r})" for r in rows]
        b = M + 5 * dim
    copy = [f"    for p in range(0, x.shape[1], {LANES}):", *[f"        ve.store(x, {i}, p, ve.load(work, {i}, p))" for i in range(dim)]]
    head = "from sgdyn.codegen import vector as ve\n\n\ndef evaluate(drift, theta, noise, phi, extra, psi, x, variates, work, constants):"
    return "\n".join([head, *lines, *copy]) + "\n"


def _sums(source: str, columns: int, start: int, rows: range) -> list[str]:
    lines = []
    for j in range(columns):
        lines.append(f"        y = ve.load({source}, {j}, p)")
        lines += [f"        a{r} = ve.fma(y, ve.item(psi, {start + 5 * j + r}), a{r})" for r in rows]
    return lines


def padded_rows(dim: int) -> int:
    """The rows of work space that `linear_step` needs."""
    return dim + -dim % 5
