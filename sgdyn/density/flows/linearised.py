"""One step of steepest descent of an entropy on a network, with the distance linearised at the end of the step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sgdyn.density.flows.network import Network, conjugate_gradients, factors, logarithmic
from sgdyn.density.solvers import Solver
from sgdyn.errors import NotConvergedError

Floats = NDArray[np.float64]

ITERATIONS = 30
BEND = 0.5
"""Where the mobility bends the step by more than this, it is taken from the predictor."""
EMPTY = -680.0
"""The smallest logarithm of a mass whose root can be divided by."""
PRECISE, COARSEST = 1e-13, 1e-11
"""The share of the mass that equations may lack, and the most that is allowed for rounding."""
STALE = 14
"""After so many iterations the factors of another matrix serve no longer."""


@dataclass(frozen=True, eq=False)
class Step:
    """What a step found: masses p (cells,), the squared distance in the metric of T D, Newton iterations, and the L1 norm of what is left of
    its equations."""

    masses: Floats
    squared: float
    iterations: int
    residual: float


class Descent:
    """p = argmin sum p log(p/pi) + W²(p, q)/(2 tau) with W² = sum m_e²/(K_e theta_e) over flows m from q to p.

    theta_e = w_e theta(u) + (1 - w_e) theta(u*): the logarithmic mean at the new density u, which makes the problem convex in (p, m), and at
    the predictor u* = (1 - tau Q')^-1 q, which differs from it by O(tau), where it bends too much: w_e = 1/(1 + (chi_e/BEND)²), chi_e the size
    of d theta/d log u (rise of log u*)² tau K/p. For w = 0 the minimum would be u* itself. Newton's method for p and the potential psi of the flow,

        p - q + tau L psi = 0,   log u - psi - tau/2 sum K w d theta/du (rise of psi)² = 0,

    by conjugate gradients on its Schur complement, all scaled by sqrt(p). Source: Cances, Gallouet, Todeschi, Numer. Math. 146 (2020), with
    upstream mobilities.
    """

    def __init__(self, network: Network, tau: float) -> None:
        self.network, self.rate = network, tau * network.coupling
        self.tau = tau
        identity = sparse.csr_array(sparse.eye_array(network.size))
        self.implicit = Solver(sparse.csr_array(identity - tau * network.generator.rates))

    def predicted(self, masses: Floats) -> Floats:
        """log u* of the generator's own implicit step, which is positive."""
        found = np.maximum(self.implicit.solve_transposed(masses), np.exp(EMPTY))
        return np.asarray(np.log(found) - self.network.log_masses)

    def __call__(self, masses: Floats) -> Step:
        point = _Point(self, masses, *self._weights(self.predicted(masses)))
        newton = _Newton(point)
        for k in range(ITERATIONS):
            if point.left <= point.tolerance:
                return Step(point.masses(masses.sum()), point.squared, k, point.left)
            point = newton.improved(point)
        raise NotConvergedError(
            f"got a residual of {point.left:.2g} after {ITERATIONS} Newton iterations, expected {point.tolerance:.2g}; type a smaller tau"
        )

    def mobility(self, masses: Floats) -> Floats:
        """K times the logarithmic mean of p/pi, (edges,)."""
        net, logs = self.network, np.log(np.maximum(masses, np.exp(EMPTY)))
        s = roots(logs)
        return np.asarray(net.coupling * s[net.i] * s[net.j] * logarithmic(net.rise(logs - net.log_masses))[0])

    def _weights(self, log_u: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """The start of Newton's method, w, and the part of the mobility that stays."""
        net = self.network
        s = roots(log_u + net.log_masses)
        x = net.rise(log_u)
        S, dS, _ = logarithmic(x)
        forth, back = s[net.j] / s[net.i] * np.abs(S / 2 + dS), s[net.i] / s[net.j] * np.abs(S / 2 - dS)
        w = 1 / (1 + (self.rate * np.maximum(forth, back) * x * x / BEND) ** 2)
        return log_u, log_u, w, (1 - w) * S * s[net.i] * s[net.j]


def roots(log_masses: Floats) -> Floats:
    return np.asarray(np.exp(0.5 * np.maximum(log_masses, EMPTY)))


def precision(network: Network, mobility: Floats, psi: Floats, total: float) -> float:
    """The L1 residual that counts as solved: what rounding leaves of flows down the differences of psi, but never more than COARSEST."""
    size = np.abs(psi)
    rounding = 2 * float(np.finfo(float).eps * (mobility @ (size[network.i] + size[network.j])))
    return min(PRECISE * total + rounding, COARSEST * total)


class _Point:
    """log u and psi with the residuals of both equations."""

    def __init__(self, descent: Descent, start: Floats, log_u: Floats, psi: Floats, w: Floats, fixed: Floats) -> None:
        net, rate = descent.network, descent.rate
        self.descent, self.start, self.log_u, self.psi, self.w, self.fixed = descent, start, log_u, psi, w, fixed
        self.s = s = roots(log_u + net.log_masses)
        S, dS, bend = logarithmic(net.rise(log_u))
        self.y = y = net.rise(psi)
        si, sj = s[net.i], s[net.j]
        self.upper, self.lower, self.bend = w * (S / 2 + dS), w * (S / 2 - dS), w * bend
        self.mobility = rate * (w * S * si * sj + fixed)
        self.flow = s - start / s + net.gather(self.mobility * y / si, -self.mobility * y / sj)
        half = 0.5 * rate * y * y
        self.potential = s * (log_u - psi) - net.gather(half * self.upper * sj, half * self.lower * si)
        self.merit = float(np.sqrt(self.flow @ self.flow + self.potential @ self.potential))
        self.left = float(np.abs(self.flow * s).sum() + np.abs(self.potential * s).sum())

        self.tolerance = precision(net, self.mobility, psi, float(start.sum()))

    @property
    def squared(self) -> float:
        return float(self.descent.tau * (self.mobility @ self.y**2))

    def masses(self, total: float) -> Floats:
        """The masses, whose sum is off by no more than the residual before it is set right."""
        masses = np.exp(self.log_u + self.descent.network.log_masses)
        return np.asarray(masses * (total / masses.sum()))

    def moved(self, d_log_u: Floats, d_psi: Floats) -> _Point:
        # upwards u itself is changed by so much, so that exp does not overshoot
        change = np.where(d_log_u > 0, np.log1p(np.maximum(d_log_u, 0)), d_log_u)
        return _Point(self.descent, self.start, self.log_u + change, self.psi + d_psi, self.w, self.fixed)


class _Newton:
    """Newton steps that share the factors of tau L + p of the first point as a preconditioner."""

    def __init__(self, point: _Point) -> None:
        self.factors = self._factored(point)

    def _factored(self, point: _Point) -> Any:
        return factors(self._laplacian(point, 1.0))

    def _laplacian(self, point: _Point, shift: float) -> sparse.csr_array:
        return point.descent.network.laplacian(point.mobility, point.s, shift)

    def improved(self, point: _Point) -> _Point:
        change, psi = self._direction(point)
        share = 1.0
        while share > 1e-4:
            with np.errstate(over="ignore", invalid="ignore"):
                new = point.moved(share * change / point.s, share * psi / point.s)
            if new.merit < (1 - 0.1 * share) * point.merit or new.left < new.tolerance:
                return new
            share *= 0.5
        return new

    def _direction(self, point: _Point) -> tuple[Floats, Floats]:
        """The solution (scaled by sqrt(p)) of [H, -B'; B, tau L] (d log u, d psi) = -(residuals)."""
        net, rate, y, s = point.descent.network, point.descent.rate, point.y, point.s
        ratio = s[net.j] / s[net.i]
        forth, back = rate * y * point.upper, rate * y * point.lower
        B = net.matrix(1 + net.gather(forth * ratio, -back / ratio), back, -forth)
        transposed = net.matrix(B.diagonal(), -forth, back)
        H = net.laplacian(0.5 * rate * y * y * point.bend * s[net.i] * s[net.j], s, 1.0)
        L = self._laplacian(point, 0.0)
        diagonal = H.diagonal()
        # Newton gains about as much as the merit itself: what is more exact is lost
        tolerance = max(min(0.1, 0.3 * point.merit), 0.1 * point.tolerance / point.left, 1e-6)

        def eased(b: Floats) -> Floats:
            return conjugate_gradients(lambda x: H @ x, b, lambda r: r / diagonal, 0.03 * tolerance)[0]

        right = B @ eased(point.potential) - point.flow
        psi, count = conjugate_gradients(
            lambda x: B @ eased(transposed @ x) + L @ x, right, self.factors.solve, tolerance
        )
        if count > STALE:
            self.factors = self._factored(point)
        return eased(transposed @ psi - point.potential), psi
