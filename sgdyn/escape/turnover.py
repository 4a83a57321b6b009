"""Mel'nikov and Meshkov's rate in one dimension from weak to strong friction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.optimize import brentq

from sgdyn import checks
from sgdyn.escape.regimes import check_barrier, mean_time
from sgdyn.estimate import Estimate
from sgdyn.potentials import Potential
from sgdyn.problem import Momentum

Floats = NDArray[np.float64]


def depopulation(loss: float) -> float:
    """Upsilon(d) = exp{(1/2 pi) ∫ dl ln[1 - e^{-d(l² + 1/4)}]/(l² + 1/4)}: d for small d, 1 for large d (JCP 85, 1018 (1986)).

    loss: the energy d > 0 in units of T that a path loses from barrier to barrier.
    """
    d = checks.positive("loss", loss)
    # l = tan(angle)/2 makes dl/(l² + 1/4) = 2 d angle on a finite interval
    integrand = lambda angle: np.log(-np.expm1(-0.25 * d / np.cos(angle) ** 2))  # noqa: E731
    return float(np.exp(2 / np.pi * quad(integrand, 0, np.pi / 2, epsabs=1e-12, epsrel=1e-11)[0]))


def melnikov_meshkov(problem: Momentum, well: float, saddle: float) -> Estimate:
    """The mean time from a well over a saddle to the other side, for `Momentum` in one dimension and any friction.

        k = [sqrt(g²/4 + w_b²) - g/2]/w_b  w_0/2 pi  e^{-dU/T} Y,    Y = Y(d_1) Y(d_2)/Y(d_1 + d_2), or Y(d_1) with no well beyond,
        d_i = g S_i/T,  S_i = 2 ∫ sqrt(2 (U_s - U)) dx in well i

    Errors of order (T/dU) ln(dU/T), the finite-barrier corrections that it neglects (at 5 T: 5 to 8 % for g >= 0.3, 23 % at 0.03).
    Source: Mel'nikov and Meshkov, J. Chem. Phys. 85, 1018 (1986); Hänggi, Talkner, Borkovec, RMP 62, 251 (1990), VI.
    """
    U, T = problem.U, problem.T * float(problem.D(np.zeros(1))[0, 0])
    height = float(U([saddle]) - U([well])) / T
    check_barrier(height)
    bottom, top = (float(U.hess([x])[0, 0]) for x in (well, saddle))
    if not bottom > 0 > top:
        raise ValueError(f"got U'' = {bottom:.3g} at the well and {top:.3g} at the saddle, expected > 0 and < 0")
    losses = [problem.friction * action(U, saddle, sign) / T for sign in _sides(well, saddle)]
    first, other = losses
    populated = depopulation(first)
    if np.isfinite(other):
        populated *= depopulation(other) / depopulation(first + other)
    half, omega = 0.5 * problem.friction, np.sqrt(-top)
    transmission = (np.hypot(half, omega) - half) / omega
    log_time = np.log(2 * np.pi / (np.sqrt(bottom) * transmission * populated)) + height
    name = "weak" if first < 1 else "strong" if populated > 0.95 else "intermediate"
    method = f"Mel'nikov-Meshkov, {name} friction (energy loss {first:.3g} T, depopulation factor {populated:.3g})"
    return mean_time(log_time, max(1.0, np.log(height)) / height, height, method)


def _sides(well: float, saddle: float) -> tuple[float, float]:
    sign = float(np.sign(well - saddle))
    return sign, -sign


def action(U: Potential, saddle: float, sign: float) -> float:
    """2 ∫ sqrt(2 (U_s - U)) dx from the saddle to where U = U_s again on one side; infinite if U stays below."""
    top = float(U([saddle]))

    def gap(x: float) -> float:
        return top - float(U([x]))

    reach = 1e-2 * (1 + abs(saddle))
    inner = reach
    while gap(saddle + sign * reach) > 0:
        inner, reach = reach, 1.1 * reach
        if reach > 1e4 * (1 + abs(saddle)):
            return float("inf")
    turn = brentq(lambda y: gap(saddle + sign * y), inner, reach, xtol=1e-13) if reach > inner else reach

    def integrand(angle: float) -> float:  # y = turn sin²(angle) takes the roots away from both ends
        return float(np.sqrt(2 * max(gap(saddle + sign * turn * np.sin(angle) ** 2), 0.0)) * np.sin(2 * angle))

    return float(2 * turn * quad(integrand, 0, np.pi / 2, epsrel=1e-9, limit=200)[0])
