"""Sums over the pairs of cells of a grid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from sgdyn.density.grid import Grid

Floats = NDArray[np.float64]

CELLS = 4096
"""Unequal cells need the matrix of all pairs: more of them do not fit."""


def convolution(W: Callable[[Floats], Floats], grid: Grid) -> Callable[[Floats], Floats]:
    """Masses (cells,) -> sum_y W(x - y) masses(y) at the centres x (cells,): by FFT where cells are equal, by the matrix otherwise.

    Raises ValueError where W is not finite, as at x = y, and for more than 4096 unequal cells.
    """
    if all(np.ptp(w) < 1e-9 * w.max() for w in grid.widths):
        return _by_fft(W, grid)
    if grid.size > CELLS:
        raise ValueError(
            f"got {grid.size} unequal cells and an interaction, expected equal cells, or at most {CELLS}; type sg.Grid([(low, high, cells), ...])"
        )
    x = grid.centers.reshape(-1, grid.dim)
    matrix = _finite(W(x[:, None] - x))
    return lambda masses: np.asarray(matrix @ masses)


def _by_fft(W: Callable[[Floats], Floats], grid: Grid) -> Callable[[Floats], Floats]:
    apart = [w[0] * np.arange(1 - n, n) for w, n in zip(grid.widths, grid.shape, strict=True)]
    sizes = [fft.next_fast_len(2 * n - 1, real=True) for n in grid.shape]
    kernel = fft.rfftn(_finite(W(np.stack(np.meshgrid(*apart, indexing="ij"), axis=-1))), sizes)
    kept = tuple(slice(n - 1, 2 * n - 1) for n in grid.shape)
    # what wraps around must not reach the part that is kept
    assert all(size >= 2 * n - 1 for size, n in zip(sizes, grid.shape, strict=True))

    def convolved(masses: Floats) -> Floats:
        spectrum = kernel * fft.rfftn(masses.reshape(grid.shape), sizes)
        return np.asarray(fft.irfftn(spectrum, sizes)[kept].ravel())

    return convolved


def _finite(values: Floats) -> Floats:
    if not np.all(np.isfinite(values)):
        raise ValueError(
            "got an interaction W that is not finite at some x - y, expected one that is, also at 0; type a smoothed one, such as log(|x|² + a²)/2"
        )
    return values
