"""Steps that are linear maps with Gaussian noise: x -> M x + b + sqrt(2 T) L z."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.codegen import jit
from sgdyn.codegen.contracts import LEAN_STEPS, STEP_BLOCK, STEP_SIGNATURE
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, fma, item, load, store
from sgdyn.sde.methods.plan import Plan

Floats = NDArray[np.float64]


@exact_helper
def _accumulate(
    psi: Any, start: Any, columns: Any, source: Any, p: Any, a0: Any, a1: Any, a2: Any, a3: Any, a4: Any
) -> Any:
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
    """x = M x + b + sqrt(2 T) L z, L lower triangular; psi holds (b, L, M) of five rows after the other (see `_in_fives`).

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


UNROLLED = 16
"""Up to this dimension the sums of a step are written out: the ends of short loops are what processors guess wrong."""


def linear_plan(M: Floats, b: Floats, L: Floats, dt: float) -> Plan:
    """Steps x = M x + b + sqrt(2 T) L z; L (dim, rank) lower triangular."""
    (dim, rank), constants = L.shape, np.array([dt, 0.0])
    if dim > UNROLLED:
        return Plan(linear_step.compiled, None, None, rank, constants, psi=_in_fives(M, b, L), room=dim + -dim % 5)
    psi = np.concatenate([b, L[np.tril_indices(dim, 0, rank)], M.ravel()])
    return Plan(
        _written("ordinary", dim, rank), None, None, rank, constants, psi=psi, room=dim + -(-(psi.size - dim - dim * dim) // LANES), several=True,
        lean=partial(_written, dim=dim, rank=rank),
    )  # fmt: skip


def _in_fives(M: Floats, b: Floats, L: Floats) -> Floats:
    """The parameters of `linear_step`."""
    missing = -len(b) % 5
    M, b, L = np.pad(M, ((0, missing), (0, 0))), np.pad(b, (0, missing)), np.pad(L, ((0, missing), (0, 0)))
    parts = [
        part for i in range(0, len(b), 5) for part in (b[i : i + 5], L[i : i + 5, : i + 5].T.ravel(), M[i : i + 5].T.ravel())
    ]  # fmt: skip
    return np.concatenate(parts)


@dataclass(frozen=True)
class Form:
    """One way to write the steps out: its arguments, how to load normals, multiply and add, lanes, and rows whose sums fit into the registers."""

    signature: Any
    arguments: str
    load: str
    fma: str
    lanes: int
    rows: int


_LEAN = "theta, psi, x, z, work, constants"
FORMS = {
    "ordinary": Form(STEP_BLOCK, "drift, theta, noise, phi, extra, psi, x, z, work, constants", "ve.load", "ve.fma", LANES, 5),
    "float64": Form(LEAN_STEPS["float64"], _LEAN, "na.load_widened", "ve.fma", LANES, 5),
    "float32": Form(LEAN_STEPS["float32"], _LEAN, "ve.load", "na.fma32", 4 * LANES, 3),
}  # fmt: skip


@cache
def _written(form: str, dim: int, rank: int) -> Any:
    """The compiled steps of linear maps of one size; psi holds b, the rows of L to their diagonal and M."""
    path = jit.cache_directory() / f"linear_{form}_{dim}_{rank}_{jit.fingerprint()}.py"
    jit.write_once(path, _source(FORMS[form], dim, rank))
    return jit.compiled(jit.load(path).evaluate, FORMS[form].signature.signature)


def _source(form: Form, dim: int, rank: int) -> str:
    """x and work take turns; L comes with the factor sqrt(2 T)."""
    starts = np.cumsum([0, *(min(i + 1, rank) for i in range(dim))])
    lines = [
        "s, n, scaled = constants[1], x.shape[1], work[x.shape[0]:]",
        f"for k in range({starts[-1]}):",
        f"    ve.put(scaled, k, s*ve.item(psi, {dim} + k))",
        "old, new = x, work[:x.shape[0]]",
        f"for row in range(0, z.shape[0], {rank}):",
    ]
    tiles = np.array_split(np.arange(dim), -(-dim // form.rows))
    for tile in tiles:
        lines += [f"    for p in range(0, n, {form.lanes}):"]
        lines += ["        " + line for line in _tile(form, [int(i) for i in tile], dim, starts)]
    lines += ["    old, new = new, old", f"if z.shape[0] // {rank} % 2:"]
    lines += [
        f"    for p in range(0, n, {form.lanes}):",
        *[f"        ve.store(x, {i}, p, ve.load(work, {i}, p))" for i in range(dim)],
    ]
    head = f"from sgdyn.codegen import narrow as na, vector as ve\n\n\ndef evaluate({form.arguments}):\n"
    return head + "".join(f"    {line}\n" for line in lines)


def _tile(form: Form, rows: list[int], dim: int, starts: Any) -> list[str]:
    """Some rows of the new points."""
    rank, M = int(max(np.diff(starts))), dim + int(starts[-1])
    lines = []
    for j in range(min(rows[-1] + 1, rank)):
        lines.append(f"y = {form.load}(z, row + {j}, p)")
        for i in rows:
            if j <= i:
                before = f"a{i}" if j else f"ve.item(psi, {i})"
                lines.append(f"a{i} = {form.fma}(y, ve.item(scaled, {starts[i] + j}), {before})")
    for j in range(dim):
        lines.append(f"y = ve.load(old, {j}, p)")
        lines += [f"a{i} = {form.fma}(y, ve.item(psi, {M + i * dim + j}), a{i})" for i in rows]
    return lines + [f"ve.store(new, {i}, p, a{i})" for i in rows]
