"""Densities on a grid."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.density.grid import Grid
from sgdyn.potentials import Potential

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Density:
    """Probability per volume on the cells of a grid: values (*shape), with standard errors where it was counted.

    `outside` is the probability that was found beyond the box.
    """

    grid: Grid
    values: Floats
    error: Floats | None = None
    outside: float = 0.0

    @property
    def masses(self) -> Floats:
        """Probability in each cell, (*shape)."""
        return np.asarray(self.values * self.grid.volumes)

    def mean(self, f: Callable[[Floats], ArrayLike] | None = None) -> Floats:
        """The average of f(x) (or of x) over the box, with cells at their centres."""
        values = np.asarray(self.grid.centers if f is None else f(self.grid.centers), dtype=np.float64)
        weights = self.masses / self.masses.sum()
        return np.asarray(np.tensordot(weights, values, axes=self.grid.dim))

    def cov(self) -> Floats:
        """The covariance (dim, dim) over the box."""
        mean = self.mean()
        return self.mean(lambda x: (x - mean)[..., :, None] * (x - mean)[..., None, :])

    def marginal(self, *axes: int) -> Density:
        """The density of some of the coordinates, in the order given; negative numbers count from the last.

        Raises ValueError for a coordinate that is not there or comes twice.
        """
        dim = self.grid.dim
        kept = [int(np.arange(dim)[i]) if -dim <= i < dim else dim for i in map(operator.index, axes)]
        if not kept or len(set(kept)) < len(kept) or dim in kept:
            raise ValueError(f"got axes {axes}, expected different numbers from {-dim} to {dim - 1}")
        grid = self.grid.select(kept)
        error = None if self.error is None else np.sqrt(_summed((self.error * self.grid.volumes) ** 2, kept))
        return Density(
            grid,
            _summed(self.masses, kept) / grid.volumes,
            None if error is None else error / grid.volumes,
            self.outside,
        )

    def at(self, x: ArrayLike) -> Floats:
        """The value of the cell in which each point (..., dim) lies; 0 beyond the box."""
        place = self.grid.index(x)
        inside = np.logical_and.reduce([k >= 0 for k in place])
        return np.where(inside, self.values[place], 0.0)

    def effective_potential(self, T: float) -> Potential:
        """-T log density as a tabulated `Potential`: what was measured can be simulated.

        Raises ValueError where a cell is empty: choose a smaller box or wider cells.
        """
        if np.any(self.values <= 0):
            raise ValueError(
                f"got {int(np.sum(self.values <= 0))} empty cells of {self.values.size}, expected none; type a Grid with a smaller box or fewer cells"
            )
        from sgdyn.tabulation import tabulated  # SciPy's interpolation is slow to import

        return tabulated(self.grid, -checks.positive("T", T) * np.log(self.values))

    def plot(self, ax: Any = None) -> Any:
        """A curve in one dimension, a map in two (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def _summed(cells: Floats, kept: list[int]) -> Floats:
    """The sum over all axes but these, which are put in this order."""
    others = tuple(i for i in range(cells.ndim) if i not in kept)
    return np.asarray(np.transpose(cells.sum(axis=others), np.argsort(np.argsort(kept))))


def histogram(x: Floats, grid: Grid) -> Density:
    """The density of points (n, dim) by counting, with Poisson errors."""
    counts, _ = np.histogramdd(x, bins=[np.asarray(e) for e in grid.edges])
    scale = 1.0 / (len(x) * grid.volumes)
    return Density(grid, counts * scale, np.sqrt(counts) * scale, 1.0 - float(counts.sum()) / len(x))
