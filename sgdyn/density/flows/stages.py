"""Steps of second order: three minimisations in a metric that stays as it is during the step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sgdyn.density.flows.linearised import STALE, Step, precision
from sgdyn.density.flows.network import Map, Network, conjugate_gradients, factors
from sgdyn.errors import NotConvergedError

Floats = NDArray[np.float64]

STAGES = ((5.0,), (-2.0, 6.0), (-2.0, 3 / 14, 44 / 7))
"""gamma_mi of the stages m: with them sum_mi gamma_mi (|p_m - p_i|² - |p_(m-1) - p_i|²) >= LEAST |p_3 - p_0|²."""
LEAST = 0.2
ITERATIONS = 400


Solution = tuple[Floats, Floats, int, float]
"""Masses, the potential of their flow, iterations, and the L1 norm of what is left of the equations."""


class Energy(Protocol):
    """F of masses. `solver(network)` finds argmin F(p) + |p - target|²/2 in the norm of L^-1 from (target, mobilities, start), for the minimisations
    of one step."""

    def solver(self, network: Network) -> Callable[[Floats, Floats, Floats], Solution]: ...


class Predictor(Protocol):
    """A step of first order, and the mobilities of the edges at a density."""

    def __call__(self, masses: Floats) -> Step: ...
    def mobility(self, masses: Floats) -> Floats: ...


class Entropies:
    """sum p log(p/pi) - p, whose conjugate is sum pi exp(psi)."""

    def __init__(self, log_masses: Floats) -> None:
        self.log_masses = log_masses

    def masses(self, psi: Floats) -> Floats:
        return np.asarray(np.exp(self.log_masses + psi))

    def value(self, psi: Floats) -> float:
        return float(self.masses(psi).sum())

    def solver(self, network: Network) -> Callable[[Floats, Floats, Floats], Solution]:
        inverse = _Inverse()

        def solve(target: Floats, mobility: Floats, start: Floats) -> Solution:
            psi = np.log(np.maximum(start, np.finfo(float).tiny)) - self.log_masses
            psi, k, left = minimised(network, self, target, mobility, psi, inverse)
            return self.masses(psi), psi, k, left

        return solve


class Stages:
    """p_m = argmin F(p) + sum_i gamma_mi |p - p_i|²/(2 tau), m = 1, 2, 3, in the norm of L^-1, L the Laplacian of the mobilities at p_1/2, half a
    step of first order: second order in tau. F(p_3) + LEAST |p_3 - p_0|²/(2 tau) <= F(p_0) for every tau; for small ones F falls by twice
    |p_3 - p_0|²/(2 tau).

    Source: Zaitzeff, Esedoglu, Garikipati, SIAM J. Numer. Anal. 58 (2020), arXiv:1908.10246, for one metric; that of p_1/2 is the true one to
    second order.
    """

    def __init__(self, network: Network, energy: Energy, half: Predictor, tau: float) -> None:
        self.network, self.energy, self.half, self.tau = network, energy, half, tau

    def __call__(self, masses: Floats) -> Step:
        middle = self.half(masses)
        mobility, solve = self.half.mobility(middle.masses), self.energy.solver(self.network)
        found, flows, iterations, residual = [masses], [np.zeros_like(masses)], middle.iterations, middle.residual
        new = middle.masses
        for weights in STAGES:
            total = sum(weights)
            target, before = _mean(weights, found), _mean(weights, flows)
            new, psi, k, left = solve(target, self.tau / total * mobility, new)
            found.append(new * (masses.sum() / new.sum()))
            flows.append(before + self.tau / total * psi)
            iterations, residual = iterations + k, residual + left
        return Step(found[-1], float(mobility @ self.network.rise(flows[-1]) ** 2), iterations, residual)


def _mean(weights: tuple[float, ...], values: list[Floats]) -> Floats:
    return np.asarray(sum(w * x for w, x in zip(weights, values, strict=True)) / sum(weights))


class _Inverse:
    """The inverse of a Hessian of the same step, near enough to be used in conjugate gradients."""

    def __init__(self) -> None:
        self.factors: Any = None
        self.scale = np.ones(0)

    def of(self, hessian: sparse.csr_array, scale: Floats) -> Map:
        """For a Hessian whose rows and columns are divided by `scale`."""
        if self.factors is None:
            self.factors, self.scale = factors(hessian), scale
        ratio = scale / self.scale
        return lambda r: np.asarray(ratio * self.factors.solve(ratio * r))

    def used(self, iterations: int) -> None:
        if iterations > STALE:
            self.factors = None


def minimised(
    network: Network, energy: Entropies, target: Floats, mobility: Floats, psi: Floats, inverse: _Inverse
) -> tuple[Floats, int, float]:
    """psi with p(psi) - target + L psi = 0, L the Laplacian of the mobilities: p minimises F(p) + |p - target|²/2 in the norm of L^-1.

    Newton's method on the convex function F*(psi) - target.psi + psi.L psi/2, F* = sum pi exp(psi), whose Hessian is p(psi) + L.
    """
    laplacian = network.laplacian(mobility)
    strength = laplacian.diagonal()

    def level(psi: Floats) -> float:
        return energy.value(psi) - float(target @ psi) + 0.5 * float(mobility @ network.rise(psi) ** 2)

    now, least = level(psi), np.inf
    for k in range(ITERATIONS):
        left = energy.masses(psi) - target + laplacian @ psi
        size = float(np.abs(left).sum())
        tolerance = precision(network, mobility, psi, float(np.abs(target).sum()))
        if size <= tolerance or (size < 100 * tolerance and size >= 0.5 * least):
            return psi, k, size
        least = min(least, size)
        response = energy.masses(psi)
        s = np.sqrt(np.maximum(response + strength, np.finfo(float).tiny))
        hessian = network.laplacian(mobility, s, np.maximum(response / s**2, 1e-14))
        step, count = conjugate_gradients(
            hessian.__matmul__, -left / s, inverse.of(hessian, s), 1e-4 if k < 2 else 1e-6
        )
        inverse.used(count)
        psi, now = lowered(level, psi, _careful(step / s, left), now, left)
    raise NotConvergedError(
        f"got a residual of {least:.2g} after {ITERATIONS} Newton iterations, expected {tolerance:.2g}; type a smaller tau"
    )


def _careful(step: Floats, left: Floats) -> Floats:
    """The step with its upward part as a change of exp(psi), so that cells to be filled do not overshoot; as it is where that is no descent."""
    change = np.where(step > 0, np.log1p(np.maximum(step, 0)), step)
    return change if float(left @ change) < 0 else step


def lowered(
    level: Callable[[Floats], float], psi: Floats, step: Floats, now: float, left: Floats
) -> tuple[Floats, float]:
    """A step along a direction of descent, halved until the convex function with the gradient `left` falls."""
    share, slope = 1.0, float(left @ step)
    while True:
        with np.errstate(over="ignore", invalid="ignore"):
            new = level(psi + share * step)
        if new <= now + 0.1 * share * slope + 1e-14 * abs(now) or share < 1e-9:
            return psi + share * step, new
        share *= 0.5
