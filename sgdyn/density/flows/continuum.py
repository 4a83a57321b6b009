"""The solution of the Fokker-Planck equation beside a flow, where a second one is cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.distribution import Density
from sgdyn.density.flows import driving
from sgdyn.density.flows.starts import places
from sgdyn.density.grid import Grid
from sgdyn.fields import Affine
from sgdyn.noise import Varying

if TYPE_CHECKING:
    from sgdyn.density.flows.flow import Flow

Floats = NDArray[np.float64]

CELLS = 800
"""Of a line that was given without a grid."""
FEWEST = 10
"""Of them within the middle half of every density."""


def energies(flow: Flow) -> Floats | None:
    """F (n + 1,) of the Fokker-Planck solution at the flow's times; None for another equation's F, and where there is no cheap solution."""
    start = flow.densities[0] if flow.start is None else flow.start
    if not driving.own(flow.problem, flow.energy, places(start)):
        return None
    if hasattr(start, "covariance") and _linear(flow):
        return _normal(flow, start)
    rho = _on_grid(flow, start)
    if rho is None:
        return None
    from sgdyn.density.generator import fokker_planck

    course = fokker_planck(flow.problem, rho.grid).evolve(rho, flow.times)
    return np.array([flow.energy.value(later) for later in course])


def _linear(flow: Flow) -> bool:
    affine = all(isinstance(U.grad, Affine) for U in flow.energy.potentials)
    return affine and isinstance(flow.problem.drift, Affine) and not isinstance(flow.problem.D, Varying)


def _normal(flow: Flow, start: Any) -> Floats:
    """Means M m + b and covariances M S M' + 2 T C of the linear process."""
    from sgdyn.density.flows.gaussians import level
    from sgdyn.sde.methods.exact_linear import transition

    problem, drift = flow.problem, flow.problem.drift
    assert isinstance(drift, Affine)
    found, D = [], problem.D(np.zeros(problem.dim))
    for t in flow.times:
        M, b, C = transition(drift.matrix, drift.offset, D, float(t))
        found.append(level(problem, flow.energy, M @ start.mean + b, M @ start.covariance @ M.T + 2 * problem.T * C))
    return np.array(found)


def _on_grid(flow: Flow, start: Any) -> Density | None:
    """The start on the grid of the flow; on that of the start, or one as wide as its quantiles ever are, for flows of quantiles."""
    first = flow.densities[0]
    if flow.on_grid or not isinstance(first, Density) or first.grid.dim > 1:
        return first if flow.on_grid else None
    if isinstance(start, Density):
        return start
    ends = np.array([rho.grid.edges[0][[0, -1]] for rho in flow.densities])
    grid = Grid([(float(ends.min()), float(ends.max()), CELLS)])
    narrowest = min(_middle(rho) for rho in flow.densities)
    return rebinned(first, grid) if narrowest >= FEWEST * grid.widths[0][0] else None


def _middle(rho: Density) -> float:
    """The width of the middle half of the mass."""
    below = np.r_[0.0, np.cumsum(rho.masses)]
    return float(np.diff(np.interp([0.25, 0.75], below, rho.grid.edges[0]))[0])


def rebinned(rho: Density, grid: Grid) -> Density:
    """A density in one dimension in the cells of another grid that holds it, with the same mass in each part."""
    below = np.interp(grid.edges[0], rho.grid.edges[0], np.r_[0.0, np.cumsum(rho.masses)])
    return Density(grid, np.diff(below) / grid.widths[0])
