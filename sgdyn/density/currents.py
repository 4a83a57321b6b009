"""Probability currents on grids, and the entropy they produce."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.distribution import Density
from sgdyn.density.generator import streams
from sgdyn.density.grid import Grid
from sgdyn.density.notes import thickened
from sgdyn.density.refinement import refined
from sgdyn.estimate import Estimate
from sgdyn.printing import Printed
from sgdyn.problem import Momentum

if TYPE_CHECKING:
    from sgdyn.density.generator import Generator

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

EXACT_DENSITY = 8
"""The order of averages over a density that is known, where the midpoint rule has no finite one."""
FAINT = 1e-14
"""Masses below this share of the largest carry rounding errors instead of currents."""


@dataclass(frozen=True, eq=False, repr=False)
class Current(Printed):
    """A probability current density: values (*shape, dim) at the cells of the `density` that it belongs to.

    `divergence` (*shape) is that of the flows between cells themselves: minus the change of the density with the time.
    """

    density: Density
    values: Floats
    divergence: Floats

    @property
    def grid(self) -> Grid:
        return self.density.grid

    @property
    def velocity(self) -> Floats:
        """values/density (*shape, dim), 0 where there is no density."""
        rho = self.density.values[..., None]
        return np.divide(self.values, rho, out=np.zeros_like(self.values), where=rho > 0)

    def plot(self, ax: Any = None) -> Any:
        """Streamlines over the density, in two dimensions (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def current(generator: Generator, rho: Density | None = None) -> Current:
    """The current of a density (of the stationary one by default), from the flows f between cells i and j that lie dx apart.

        J_i = sum_j f_ij dx_ij / (2 V_i),   f_ij = m_i q_ij - m_j q_ji

    Second order in the cell width, except in the cells at walls. Raises ValueError for a density on another grid.
    """
    density = generator.stationary() if rho is None else _doubted(generator, rho)
    grid = generator.grid
    if density.grid.axes != grid.axes:
        raise ValueError(
            f"got a density on a grid of shape {density.grid.shape}, expected the generator's own, of shape {grid.shape}; type the same Grid for both"
        )
    i, j, forth, back = generator.links
    masses = density.masses.ravel()
    moved = 0.5 * (masses[i] * forth - masses[j] * back)[:, None] * _ways(grid, i, j)
    values = np.zeros((grid.size, grid.dim))
    for k in range(grid.dim):
        values[:, k] = np.bincount(i, moved[:, k], grid.size) + np.bincount(j, moved[:, k], grid.size)
    change = generator.rates.T @ masses
    shape = grid.shape
    return Current(
        density,
        (values / generator.volumes[:, None]).reshape(*shape, grid.dim),
        -(change / generator.volumes).reshape(shape),
    )


def _doubted(generator: Generator, rho: Density) -> Density:
    """A density that mentions a thickened D."""
    warnings = tuple(dict.fromkeys((*rho.warnings, *thickened(generator))))
    return rho if warnings == rho.warnings else replace(rho, warnings=warnings)


def _ways(grid: Grid, i: Integers, j: Integers) -> Floats:
    """The vectors (n, dim) from cells i to cells j, the short way around periodic axes."""
    x = grid.centers.reshape(-1, grid.dim)
    dx = x[j] - x[i]
    for k, periodic in enumerate(grid.periodic):
        if periodic:
            length = grid.edges[k][-1] - grid.edges[k][0]
            dx[:, k] -= length * np.rint(dx[:, k] / length)
    return np.asarray(dx)


def entropy_production(generator: Generator) -> Estimate:
    """E[v' D^+ v]/T of the stationary current velocity v, per unit time; its error from coarser grids.

    From edge to edge of the lattice; where exp(-U/T) is kept by a curl, v is that curl, and the average is exact up to the midpoint rule.
    Zero for reversible processes, infinite where v leaves the range of D. Raises ValueError for `Momentum`, whose velocities change sign with
    the time.
    """
    if isinstance(generator.problem, Momentum):
        raise ValueError(
            "got a Momentum process, expected a Langevin process: velocities change sign when time is reversed, so the whole current of "
            "phase space does not count; type sg.Langevin(U, T, D) for the overdamped limit"
        )
    density, order = generator.stationary(), EXACT_DENSITY if streams(generator.grid, generator.forces) else 2
    found = refined(generator, lambda g: _production(g, density if g is generator else g.stationary()), order)
    return replace(found, warnings=tuple(dict.fromkeys((*found.warnings, *density.warnings))))


def _production(generator: Generator, density: Density) -> float:
    masses = density.masses.ravel()
    some = masses > FAINT * masses.max()
    x = generator.grid.centers.reshape(-1, generator.grid.dim)[some]
    if generator.forces.rest is not None and np.any(generator.forces.unreached(x)):
        return float("inf")
    if streams(generator.grid, generator.forces):  # then the current velocity is the curl itself
        return float(masses[some] @ generator.forces.produced(x))
    return _produced_along_edges(generator, density.values.ravel(), some)


def _produced_along_edges(generator: Generator, rho: Floats, some: NDArray[np.bool_]) -> float:
    """sum_ij strength_ij sqrt(rho_i rho_j) A_ij^2, the affinity A the fall of log rho less the climb.

    Both flows times affinities and arithmetic means have errors some ten times as large, of opposite signs.
    """
    e = generator.lattice.edges
    kept = some[e.i] & some[e.j]
    i, j = e.i[kept], e.j[kept]
    affinity = np.log(rho[i]) - np.log(rho[j]) - generator.climb[kept]
    return float(np.sum(e.strength[kept] * np.sqrt(rho[i] * rho[j]) * affinity**2))
