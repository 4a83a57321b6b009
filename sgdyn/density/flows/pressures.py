"""One step of steepest descent of int V rho + int f(rho) + interactions for any convex f, such as that of a porous medium, on a network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.flows.convolution import convolution
from sgdyn.density.flows.energies import Energy
from sgdyn.density.flows.interior import Bend, minimum
from sgdyn.density.flows.linearised import Step
from sgdyn.density.flows.network import Network
from sgdyn.density.flows.stages import Solution
from sgdyn.density.grid import Grid

Floats = NDArray[np.float64]

FAINTEST = 1e-6
"""Of the largest: mobilities that stay during a step are no smaller, so that mass can leave cells that were emptied."""


class Pressures:
    """F(p) = sum V p + sum volume f(p/volume) + p'W p/2 for masses p (cells,)."""

    def __init__(self, energy: Energy, grid: Grid) -> None:
        self.energy, self.volumes = energy, grid.volumes.ravel()
        self.potential = energy.potential(grid.centers.reshape(-1, grid.dim))
        terms = [convolution(W, grid) for W in energy.interactions]
        self.pairs: Callable[[Floats], Floats] | None = (
            (lambda p: np.sum([W(p) for W in terms], axis=0)) if terms else None
        )

    def slope(self, p: Floats) -> Floats:
        """dF/dp."""
        local = self.energy.slope(p / self.volumes) + self.potential
        return local if self.pairs is None else local + self.pairs(p)

    def curvature(self, p: Floats) -> Floats:
        """The diagonal of its second derivatives, without interactions."""
        return np.asarray(self.energy.curvature(p / self.volumes) / self.volumes)

    def solver(self, network: Network) -> Callable[[Floats, Floats, Floats], Solution]:
        """For mobilities that stay."""

        def solve(target: Floats, mobility: Floats, start: Floats) -> Solution:
            point, k, left = minimum(
                network, self, Still(np.maximum(mobility, FAINTEST * mobility.max())), target, start
            )
            return point.p, point.psi, k, left

        return solve


class Still:
    """A metric that does not depend on the density."""

    def __init__(self, mobility: Floats) -> None:
        self._mobility = mobility

    def lifted(self, psi: Floats) -> tuple[Floats, Bend | None]:
        return psi, None

    def mobility(self, p: Floats) -> Floats:
        return self._mobility


class Compression:
    """p = argmin F(p) + W²(p, q)/(2 tau) with the mobility K (rho_i + rho_j)/2 at the new density, which for rho² is that of the porous medium.

    The mobility is linear in p, so that the minimum is where v(psi) = dF/dp in cells that hold mass and less in empty ones,

        v_i = psi_i + tau/4 sum_j K_ij (psi_i - psi_j)²/volume_i,   v'(psi)'p = q.

    Sources: Cances, Gallouet, Todeschi, Numer. Math. 146 (2020); Natale, Todeschi, J. Sci. Comput. 82 (2020) for the mean.
    """

    def __init__(self, network: Network, energy: Pressures, tau: float) -> None:
        self.network, self.energy, self.tau = network, energy, tau
        self.conductance = network.generator.lattice.edges.strength

    def __call__(self, masses: Floats) -> Step:
        metric = _AtEnd(self)
        point, k, left = minimum(self.network, self.energy, metric, masses, masses)
        squared = self.tau * float(metric.mobility(point.p) @ self.network.rise(point.psi) ** 2)
        return Step(point.p * (masses.sum() / point.p.sum()), squared, k, left)

    def mobility(self, masses: Floats) -> Floats:
        """K times the mean density, (edges,)."""
        rho = masses / self.energy.volumes
        return np.asarray(0.5 * self.conductance * (rho[self.network.i] + rho[self.network.j]))


class _AtEnd:
    """tau times the mobilities at the new density."""

    def __init__(self, step: Compression) -> None:
        self.step = step

    def lifted(self, psi: Floats) -> tuple[Floats, Bend | None]:
        net, volumes = self.step.network, self.step.energy.volumes
        pull = 0.5 * self.step.tau * self.step.conductance * net.rise(psi)
        square = 0.5 * pull * net.rise(psi)
        at_i, at_j = pull / volumes[net.i], pull / volumes[net.j]
        return np.asarray(psi + net.gather(square, square) / volumes), (at_i, at_j)

    def mobility(self, p: Floats) -> Floats:
        return self.step.tau * self.step.mobility(p)
