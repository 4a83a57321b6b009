"""Steps that are linear maps with Gaussian noise: x -> M x + b + sqrt(2 T) L z."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.codegen.contracts import STEP_SIGNATURE
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, fma, load, store
from sgdyn.sde.engine import copy_rows

Floats = NDArray[np.float64]


@exact_helper
def _accumulate(
    matrix: Any, i: Any, end: Any, source: Any, scale: Any, p: Any, a0: Any, a1: Any, a2: Any, a3: Any, a4: Any
) -> Any:
    """Rows i, ..., i + 4 of scale (matrix source)[:, p : p + LANES] over the first `end` columns, added to what is there."""
    for j in range(end):
        y = load(source, j, p) * scale
        a0, a1 = fma(y, matrix[i, j], a0), fma(y, matrix[i + 1, j], a1)
        a2, a3 = fma(y, matrix[i + 2, j], a2), fma(y, matrix[i + 3, j], a3)
        a4 = fma(y, matrix[i + 4, j], a4)
    return a0, a1, a2, a3, a4


@kernel(*STEP_SIGNATURE)
def linear_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """x = M x + b + sqrt(2 T) L z with psi = (b, M, L), L lower triangular, rows padded to a multiple of five.

    Five rows at a time, so that sums need not wait for one another.
    """
    dim, rank, n = x.shape[0], variates.shape[0], x.shape[1]
    rows = (dim + 4) // 5 * 5
    b, M = psi[:rows], psi[rows : rows + rows * dim].reshape((rows, dim))
    L = psi[rows + rows * dim :].reshape((rows, rank))
    for p in range(0, n, LANES):
        zero = load(x, 0, p) * 0.0
        for i in range(0, rows, 5):
            a0, a1, a2, a3, a4 = zero + b[i], zero + b[i + 1], zero + b[i + 2], zero + b[i + 3], zero + b[i + 4]
            a0, a1, a2, a3, a4 = _accumulate(M, i, dim, x, 1.0, p, a0, a1, a2, a3, a4)
            a0, a1, a2, a3, a4 = _accumulate(L, i, min(i + 5, rank), variates, constants[1], p, a0, a1, a2, a3, a4)
            store(work, i, p, a0)
            store(work, i + 1, p, a1)
            store(work, i + 2, p, a2)
            store(work, i + 3, p, a3)
            store(work, i + 4, p, a4)
    copy_rows(work[:dim], x)


def linear_map(M: Floats, b: Floats, L: Floats) -> Floats:
    """The parameters of `linear_step`; L (dim, rank) lower triangular."""
    missing = -len(b) % 5
    return np.concatenate([np.pad(b, (0, missing)), np.pad(M, ((0, missing), (0, 0))).ravel(), np.pad(L, ((0, missing), (0, 0))).ravel()])


def padded_rows(dim: int) -> int:
    """The rows of work space that `linear_step` needs."""
    return dim + -dim % 5
