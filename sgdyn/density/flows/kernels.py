"""Products with the kernel exp(-cost/scale) between the cells of a grid, for functions given by their logarithms."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.grid import Grid

Floats = NDArray[np.float64]

CELLS = 4096
"""A matrix D couples all pairs of cells: more of them do not fit."""
SMALLEST = 1e-250
"""Sums below this have lost terms to underflow, and are done again with their largest term taken out."""
BATCH = 2_000_000


@dataclass(frozen=True, eq=False)
class Kernel:
    """f -> log sum_y K(x, y) e^f(y) vol(y) with K = exp(-(x - y)' D^-1 (x - y)/scale), one factor for each axis if D is diagonal.

    `factors` are pairs (log K, K), (n, n), with the volumes of the cells y.
    """

    shape: tuple[int, ...]
    factors: tuple[tuple[Floats, Floats], ...]

    def __call__(self, f: Floats) -> Floats:
        """Both (*shape); -inf where a function is zero."""
        if len(self.factors) == 1:
            return _summed(*self.factors[0], f.reshape(-1, 1)).reshape(self.shape)
        for k, factor in enumerate(self.factors):
            lines = np.moveaxis(f, k, 0)
            f = np.moveaxis(_summed(*factor, lines.reshape(len(lines), -1)).reshape(lines.shape), 0, k)
        return f


def kernel(grid: Grid, D: Floats, scale: float) -> Kernel:
    """The kernel of a constant D (dim, dim). Periodic axes sum over the nearest images."""
    dim, metric = grid.dim, np.linalg.inv(D)
    if np.any(D - np.diag(np.diag(D))):
        if grid.size > CELLS:
            raise ValueError(
                f"got {grid.size} cells and a D that is not diagonal, expected at most {CELLS} cells; type method=sg.Graph() or a coarser Grid"
            )
        groups = [tuple(range(dim))]
    else:
        groups = [(k,) for k in range(dim)]
    parts = [(grid.select(axes), np.asarray(metric[np.ix_(axes, axes)] / scale)) for axes in groups]
    return Kernel(grid.shape, tuple(_factor(*part) for part in parts))


def _factor(grid: Grid, metric: Floats) -> tuple[Floats, Floats]:
    x = grid.centers.reshape(-1, grid.dim)
    apart = x[:, None] - x
    sides = [(-1, 0, 1) if around else (0,) for around in grid.periodic]
    lengths = np.array([e[-1] - e[0] for e in grid.edges])
    total = np.full(apart.shape[:2], -np.inf)
    for image in product(*sides):
        dx = apart + np.array(image) * lengths
        total = np.logaddexp(total, -np.einsum("xyi,ij,xyj->xy", dx, metric, dx, optimize=True))
    total = total + np.log(grid.volumes.ravel())
    return total, np.exp(total)


def _summed(log_matrix: Floats, matrix: Floats, f: Floats) -> Floats:
    """log(matrix @ e^f) for columns f (n, m), to rounding whatever their range."""
    top = f.max(axis=0)
    top = np.where(np.isfinite(top), top, 0.0)
    sums = matrix @ np.exp(f - top)
    i, k = np.nonzero(sums < SMALLEST)
    with np.errstate(divide="ignore"):
        found = np.log(sums) + top
    for part in range(0, len(i), max(1, BATCH // len(f))):
        rows, columns = i[part : part + BATCH // len(f)], k[part : part + BATCH // len(f)]
        terms = log_matrix[rows] + f[:, columns].T
        largest = terms.max(axis=1)
        shift = np.where(np.isfinite(largest), largest, 0.0)
        with np.errstate(divide="ignore"):
            found[rows, columns] = np.log(np.exp(terms - shift[:, None]).sum(axis=1)) + shift
    return np.asarray(found)
