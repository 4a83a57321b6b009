"""Entropies of densities, and distances between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import special

from sgdyn.density.forces import forces

if TYPE_CHECKING:
    from sgdyn.density.distribution import Density
    from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]

LARGEST = 4000
"""Cells up to which an optimal plan between two densities is sought in several dimensions."""


def entropy(rho: Density) -> float:
    """-E log rho of the normalised density."""
    rho = rho.normalised
    return -float(np.sum(special.xlogy(rho.values, rho.values) * rho.grid.volumes))


def kl(rho: Density, other: Density) -> float:
    """E log(rho/other) of the normalised densities; infinite where `other` has no mass and rho has.

    Raises ValueError for densities on different grids.
    """
    _check_same_grid(rho, other)
    rho, other = rho.normalised, other.normalised
    some, masses = rho.values > 0, rho.masses
    with np.errstate(divide="ignore"):
        below = np.log(other.values) if other.log_values is None else other.log_values
    total = np.sum(masses[some] * (np.log(rho.values[some]) - below[some]))
    return max(float(total), 0.0)


def _check_same_grid(rho: Density, other: Density) -> None:
    if rho.grid != other.grid:
        raise ValueError(
            f"got densities on grids of shapes {rho.grid.shape} and {other.grid.shape}, expected the same grid; type the same Grid for both"
        )


def free_energy(rho: Density, problem: Langevin | Momentum) -> float:
    """E Phi - T entropy = T KL(rho|rho_ss) + const of the normalised density, with exp(-Phi/T) the stationary density of the process.

    Where Phi is known in closed form (Gibbs processes, and curls that keep their density) the constant is that of this Phi. Otherwise Phi
    is solved for on the grid of rho, and the constant is 0. Raises ValueError where there is no stationary density.
    """
    pushed = forces(problem)
    if pushed.potential is not None and (pushed.rest is None or pushed.keeps):
        potential = pushed.potential(rho.grid.centers)
        masses = rho.normalised.masses
        level = float(np.sum(np.where(masses > 0, masses * potential, 0.0)))
        return float(problem.T * (level - entropy(rho)))
    from sgdyn.density.generator import fokker_planck

    return float(problem.T * kl(rho, fokker_planck(problem, rho.grid).stationary()))


def w2(rho: Density, other: Density) -> float:
    """The square root of the least mean squared distance between a point of one normalised density and a point of the other.

    In one dimension exact for densities that are constant in cells, by quantiles. Else by the optimal plan between masses at cell centres,
    which moves the distance by at most the sum of both root mean square half widths; at most 4000 cells with mass in each. Raises ValueError
    above, and for grids of different dimensions. Source: Flamary et al., POT, JMLR 22 (2021).
    """
    if rho.grid.dim != other.grid.dim:
        raise ValueError(f"got densities in dimensions {rho.grid.dim} and {other.grid.dim}, expected the same")
    rho, other = rho.normalised, other.normalised
    return float(np.sqrt(max(_by_quantiles(rho, other) if rho.grid.dim == 1 else _by_plan(rho, other), 0.0)))


def _by_quantiles(rho: Density, other: Density) -> float:
    """The integral of the squared difference of the inverse distribution functions, which are linear between levels."""
    totals = [np.concatenate([[0.0], np.cumsum(d.masses)]) for d in (rho, other)]
    totals = [total / total[-1] for total in totals]
    levels = np.unique(np.concatenate(totals))
    low, high = levels[:-1], levels[1:]
    ends = [_quantiles(d.grid.edges[0], total, low, high) for d, total in zip((rho, other), totals, strict=True)]
    a, b = ends[0][0] - ends[1][0], ends[0][1] - ends[1][1]
    return float(np.sum((high - low) * (a * a + a * b + b * b)) / 3)


def _quantiles(edges: Floats, total: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """The inverse distribution function at both ends of pieces (low, high) that lie in one cell each."""
    cell = np.clip(np.searchsorted(total, 0.5 * (low + high), side="right") - 1, 0, len(edges) - 2)
    slope = (edges[cell + 1] - edges[cell]) / (total[cell + 1] - total[cell])
    return edges[cell] + (low - total[cell]) * slope, edges[cell] + (high - total[cell]) * slope


def _by_plan(rho: Density, other: Density) -> float:
    parts = []
    for density in (rho, other):
        some = density.masses.ravel() > 0
        if some.sum() > LARGEST:
            raise ValueError(
                f"got a density of {int(some.sum())} cells with mass, expected at most {LARGEST} in {density.grid.dim} dimensions; type a coarser "
                "Grid, or compare marginals: rho.marginal(0).w2(other.marginal(0))"
            )
        parts += [density.masses.ravel()[some], density.grid.centers.reshape(-1, density.grid.dim)[some]]
    import ot  # slow to import

    p, x, q, y = parts
    return float(ot.emd2(p / p.sum(), q / q.sum(), ot.dist(x, y), numItermax=10_000_000))
