"""Densities on a grid."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.density.grid import Grid
from sgdyn.potentials import Potential
from sgdyn.printing import Printed

if TYPE_CHECKING:
    from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Density(Printed):
    """Probability per volume on the cells of a grid: values (*shape), with standard errors where it was counted.

    `outside` is the probability that was found beyond the box, or lost over its walls. `solver_error` bounds what solving the equations of
    the grid added, in L1; `warnings` say what else is uncertain. `log_values` (*shape) where densities below the smallest float are known.
    """

    grid: Grid
    values: Floats
    error: Floats | None = None
    outside: float = 0.0
    solver_error: float = 0.0
    warnings: tuple[str, ...] = ()
    log_values: Floats | None = field(default=None, repr=False)

    @property
    def masses(self) -> Floats:
        """Probability in each cell, (*shape)."""
        return np.asarray(self.values * self.grid.volumes)

    def mean(self, f: Callable[[Floats], ArrayLike] | None = None) -> Floats:
        """The average of f(x) (or of x) over the box, with cells at their centres.

        The error of the grid is not in it: compare `generator.stationary()` with `generator.coarse.stationary()` (or `.evolve` of both);
        at second order the error is a third of the difference.
        """
        values = np.asarray(self.grid.centers if f is None else f(self.grid.centers), dtype=np.float64)
        weights = self.masses / self.masses.sum()
        return np.asarray(np.tensordot(weights, values, axes=self.grid.dim))

    def cov(self) -> Floats:
        """The covariance (dim, dim) over the box, without the error of the grid (see `mean`)."""
        mean = self.mean()
        return self.mean(lambda x: (x - mean)[..., :, None] * (x - mean)[..., None, :])

    def marginal(self, *axes: int) -> Density:
        """The density of some of the coordinates, in the order given; negative numbers count from the last.

        Raises ValueError for a coordinate that is not there or comes twice, TypeError for a list of them.
        """
        dim = self.grid.dim
        if any(np.ndim(i) for i in axes):
            raise TypeError(f"got axes {axes}, expected numbers; type density.marginal(0, 1)")
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
            self.solver_error,
            self.warnings,
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

    @property
    def normalised(self) -> Density:
        """The same density with mass one in the box."""
        mass = float(self.masses.sum())
        if not mass > 0:
            raise ValueError(f"got a density of mass {mass:g} in the box, expected a positive one")
        return replace(
            self,
            values=self.values / mass,
            error=None if self.error is None else self.error / mass,
            outside=0.0,
            solver_error=self.solver_error / mass,
            log_values=None if self.log_values is None else self.log_values - np.log(mass),
        )

    def entropy(self) -> float:
        """-E log rho of the normalised density."""
        from sgdyn.density import transport

        return transport.entropy(self)

    def kl(self, other: Density) -> float:
        """The relative entropy E log(rho/other) of the normalised densities on the same grid; infinite where other lacks mass."""
        from sgdyn.density import transport

        return transport.kl(self, other)

    def free_energy(self, problem: Langevin | Momentum) -> float:
        """E Phi - T entropy, with Phi = -T log of the stationary density: it falls along any Fokker-Planck flow (see `transport.free_energy`)."""
        from sgdyn.density import transport

        return transport.free_energy(self, problem)

    def w2(self, other: Density) -> float:
        """The Wasserstein distance with quadratic cost between the normalised densities (see `transport.w2`)."""
        from sgdyn.density import transport

        return transport.w2(self, other)

    def sample(self, n: int, seed: int | np.random.SeedSequence | None = None) -> Floats:
        """Independent points (n, dim), uniform within each cell: variances grow by a twelfth of the squared width."""
        rng = np.random.default_rng(checks.seed_sequence(seed))
        total = np.cumsum(self.normalised.masses)
        cells = np.minimum(np.searchsorted(total, rng.random(checks.count("n", n)), side="right"), self.grid.size - 1)
        place = np.unravel_index(cells, self.grid.shape)
        u = rng.random((len(cells), self.grid.dim))
        corners, widths = self.grid.edges, self.grid.widths
        return np.stack([corners[k][place[k]] + u[:, k] * widths[k][place[k]] for k in range(self.grid.dim)], axis=-1)

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


def gaussian(grid: Grid, mean: ArrayLike, cov: ArrayLike) -> Density:
    """The normal density with this mean (dim,) and covariance (dim, dim), or (dim,) of its diagonal, at the cell centres, of mass one in the box.

    Raises ValueError for a mean beyond the box and a covariance that is not positive definite.
    """
    centre, given = checks.vector("mean", mean, grid.dim), checks.finite("cov", cov)
    matrix = np.diag(checks.vector("cov", given, grid.dim)) if given.ndim < 2 else given
    matrix = checks.positive_semidefinite("cov", matrix, grid.dim)
    if any(np.any(k < 0) for k in grid.index(centre)):
        raise ValueError(f"got the mean {centre} beyond the box, expected a point in it; type a larger Grid")
    if np.linalg.eigvalsh(matrix)[0] <= 0:
        raise ValueError(
            "got a cov with the eigenvalue 0, expected a positive definite matrix; type a point for the narrowest start"
        )
    y = grid.centers - centre
    height = -0.5 * np.einsum("...i,...i->...", y, np.linalg.solve(matrix, y[..., None])[..., 0])
    height -= height.max()
    values = np.exp(height)
    scale = float((values * grid.volumes).sum())
    return Density(grid, values / scale, log_values=height - np.log(scale))


def point(grid: Grid, x: ArrayLike) -> Density:
    """A unit of mass at a point, shared among the nearest cells as multilinear interpolation would, so that its mean is the point.

    Up to half a cell from a reflecting wall the outermost cell takes all. Raises ValueError for a point beyond the box.
    """
    place = checks.vector("x", x, grid.dim)
    if any(np.any(k < 0) for k in grid.index(place)):
        raise ValueError(f"got the point {place} beyond the box, expected one in it; type a larger Grid")
    masses = np.ones(())
    for k in range(grid.dim):
        masses = np.multiply.outer(masses, _shared(grid, k, float(place[k])))
    return Density(grid, masses / grid.volumes)


def _shared(grid: Grid, axis: int, x: float) -> Floats:
    """Weights (count,) of the two midpoints around x."""
    mid, length = grid.midpoints[axis], grid.edges[axis][-1] - grid.edges[axis][0]
    low = int(np.searchsorted(mid, x, side="right")) - 1
    weights = np.zeros(len(mid))
    if not grid.periodic[axis] and not 0 <= low < len(mid) - 1:
        weights[max(low, 0)] = 1.0
        return weights
    gap = (mid[(low + 1) % len(mid)] - mid[low]) % length
    share = ((x - mid[low]) % length) / gap
    weights[low], weights[(low + 1) % len(mid)] = 1 - share, share
    return weights
