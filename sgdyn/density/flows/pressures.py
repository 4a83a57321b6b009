"""One step of steepest descent of int V rho + int f(rho) for any convex f, such as that of a porous medium, on a network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sgdyn.density.flows.energies import Energy, PorousMedium
from sgdyn.density.flows.linearised import Step
from sgdyn.density.flows.network import Network, factors
from sgdyn.density.flows.stages import lowered
from sgdyn.errors import NotConvergedError

Floats = NDArray[np.float64]

ITERATIONS = 200
ROUNDS = 80
FAINTEST = -690.0
TABLE = np.linspace(FAINTEST, 300.0, 991)
"""Of log rho."""


class Pressures:
    """F(p) = sum V p + sum volume f(p/volume), whose conjugate is sum volume f*(psi - V)."""

    def __init__(self, energy: Energy, volumes: Floats, potential: Floats) -> None:
        self.energy, self.volumes, self.potential = energy, volumes, potential

    def density(self, psi: Floats) -> Floats:
        """The density rho >= 0 with f'(rho) = psi - V, 0 where f'(0) is larger."""
        return _inverse_slope(self.energy, psi - self.potential)

    def masses(self, psi: Floats) -> Floats:
        return np.asarray(self.volumes * self.density(psi))

    def response(self, psi: Floats) -> Floats:
        rho = self.density(psi)
        with np.errstate(divide="ignore", over="ignore"):
            stiff = self.energy.curvature(np.maximum(rho, np.finfo(float).tiny))
        return np.where(rho > 0, self.volumes / stiff, 0.0)

    def value(self, psi: Floats) -> float:
        rho = self.density(psi)
        return float(self.volumes @ (rho * (psi - self.potential) - self.energy.per_volume(rho)))

    def slope(self, masses: Floats) -> Floats:
        """dF/dp."""
        rho = masses / self.volumes
        return np.asarray(self.energy.slope(np.maximum(rho, np.finfo(float).tiny)) + self.potential)


def _inverse_slope(energy: Energy, slope: Floats) -> Floats:
    only = energy.internals[0] if len(energy.internals) == 1 else None
    if isinstance(only, PorousMedium):
        return np.asarray((np.maximum(slope, 0) * (only.m - 1) / (only.T * only.m)) ** (1 / (only.m - 1)))
    with np.errstate(over="ignore"):
        place = np.searchsorted(energy.slope(np.exp(TABLE)), slope)
    low, high = TABLE[np.maximum(place - 1, 0)], TABLE[np.minimum(place, len(TABLE) - 1)]
    x = 0.5 * (low + high)
    for _ in range(ROUNDS):  # Newton's method for log rho, kept between bounds
        rho = np.exp(x)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            excess = energy.slope(rho) - slope
            guess = x - excess / (energy.curvature(rho) * rho)
        low, high = np.where(excess < 0, x, low), np.where(excess < 0, high, x)
        new = np.where((guess > low) & (guess < high), guess, 0.5 * (low + high))
        if np.all(np.abs(new - x) < 1e-15 * (1 + np.abs(x))):
            break
        x = new
    return np.where(x > FAINTEST + 1, np.exp(x), 0.0)


class Compression:
    """p = argmin F(p) + W²(p, q)/(2 tau) with the mobility K (rho_i + rho_j)/2 at the new density, which for rho² is that of the porous medium.

    Where a potential empties cells Newton's method can stall on the kink of F* at rho = 0, and says so; entropy beside f smooths it.
    The mobility is linear in p, so that the dual is free of constraints and smooth: Newton's method on

        F*(v(psi)) - q.psi,   v_i = psi_i + tau/4 sum_j K_ij (psi_i - psi_j)²/volume_i,   p = grad F*(v).

    Sources: Cances, Gallouet, Todeschi, Numer. Math. 146 (2020); Natale, Todeschi, J. Sci. Comput. 82 (2020) for the mean.
    """

    def __init__(self, network: Network, energy: Pressures, tau: float) -> None:
        self.network, self.energy, self.tau = network, energy, tau
        self.conductance = network.generator.lattice.edges.strength

    def _lifted(self, psi: Floats) -> Floats:
        net, volumes = self.network, self.energy.volumes
        square = 0.25 * self.tau * self.conductance * net.rise(psi) ** 2
        return np.asarray(psi + net.gather(square, square) / volumes)

    def mobility(self, masses: Floats) -> Floats:
        """K times the mean density, (edges,)."""
        rho = masses / self.energy.volumes
        return np.asarray(0.5 * self.conductance * (rho[self.network.i] + rho[self.network.j]))

    def __call__(self, masses: Floats) -> Step:
        energy, net = self.energy, self.network
        tolerance = 1e-12 * masses.sum()

        def level(psi: Floats) -> float:
            return energy.value(self._lifted(psi)) - float(masses @ psi)

        psi = energy.slope(masses)
        now = level(psi)
        for k in range(ITERATIONS):
            v = self._lifted(psi)
            found, bend = energy.masses(v), self._bend(psi)
            left = bend.T @ found - masses
            size = float(np.abs(left).sum())
            mobility = self.mobility(found)
            if size <= tolerance:
                squared = self.tau**2 * float(mobility @ net.rise(psi) ** 2)
                return Step(found * (masses.sum() / found.sum()), squared, k, size)
            hessian = bend.T @ sparse.diags_array(energy.response(v)) @ bend + net.laplacian(self.tau * mobility)
            step = self._solved(sparse.csr_array(hessian), left)
            psi, now = lowered(level, psi, step, now, left)
        raise NotConvergedError(
            f"got a residual of {size:.2g} after {ITERATIONS} Newton iterations, expected {tolerance:.2g}; where a potential empties cells type a larger + sg.Entropy(T), or a smaller tau"
        )

    def _bend(self, psi: Floats) -> sparse.csr_array:
        """dv/dpsi."""
        net, volumes = self.network, self.energy.volumes
        pull = 0.5 * self.tau * self.conductance * net.rise(psi)
        at_i, at_j = pull / volumes[net.i], pull / volumes[net.j]
        return net.matrix(1 + net.gather(at_i, -at_j), -at_i, at_j)

    def _solved(self, hessian: sparse.csr_array, left: Floats) -> Floats:
        # nothing depends on psi in empty cells: they stay
        diagonal = hessian.diagonal()
        ease = np.maximum(1e-13 * diagonal, 1e-13 * diagonal.max())
        s = np.sqrt(diagonal + ease)
        scale = sparse.diags_array(1 / s)
        scaled = sparse.csr_array(scale @ (hessian + sparse.diags_array(ease)) @ scale)
        try:
            return np.asarray(factors(scaled).solve(-left / s) / s)
        except RuntimeError as error:  # SuperLU's word for a singular matrix
            raise NotConvergedError(
                "got a singular Hessian, expected a positive one: where a potential empties cells type a larger + sg.Entropy(T), or a smaller tau"
            ) from error
