"""Entropy production of the linear process that a run follows, with an error that holds near zero too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize, stats

from sgdyn.estimate import Estimate
from sgdyn.fit.autoregression import dynamics, regression, stationary, stretch_sums
from sgdyn.fit.stretches import Series, jackknife
from sgdyn.fit.units import own_units

Floats = NDArray[np.float64]

RISK = 0.05
"""That the truth lies more than two errors above an estimate near zero."""


def entropy_production(run: Series, signs: Floats) -> Estimate:
    """Of the linear process that a run follows, per unit time, unbiased to order 1/n.

    signs (k,): -1 for coordinates that change their sign backwards in time. Without any: tr(N^-1 (T Q) S^-1 (T Q)') with N = T D, T Q = F S - N.
    With: Kullback and Leibler's divergence of its transitions in `dt` from those of the same process backwards, over dt. Raises ValueError as
    `linear` does, and where a mode does not decay.
    """
    own = own_units(run)
    sums = stretch_sums(own.run)[:, 0]
    method = f"linear process of maximum likelihood, jackknife over {len(sums)} stretches"
    odd = bool(np.any(signs < 0))
    (found,) = jackknife(sums, lambda m: (np.array(_produced(m, run.dt, signs)),), method)
    whole = sums.sum(axis=0)
    shares = _shares_odd(signs, run.length) if odd else _shares(*dynamics(whole, run.dt)[:2], run.dt, run.length)
    error = max(float(found.error), _error_near_zero(float(found.value), shares))
    return Estimate(float(found.value), error, method)


def _produced(total: Floats, dt: float, signs: Floats) -> float:
    return _divergence(total, signs) / dt if np.any(signs < 0) else _production(*dynamics(total, dt)[:2])


def _production(F: Floats, noise: Floats) -> float:
    S = stationary(F, noise)
    circulation = F @ S - noise
    return float(np.trace(np.linalg.solve(noise, circulation) @ np.linalg.solve(S, circulation.T)))


def _divergence(total: Floats, signs: Floats) -> float:
    """Of x(t + dt) = A x(t) + noise from its reverse, whose matrix is E S A' S^-1 E with E = diag(signs), per transition."""
    _, A, Sigma = regression(total)
    largest = float(np.abs(np.linalg.eigvals(A)).max())
    if largest >= 1:
        raise ValueError(
            f"got a mode that keeps {largest:.4g} of itself in one recorded time, expected less than 1: it does not decay in this run, so there "
            "is no stationary covariance; type sgdyn.fit.confinement(recording) for which modes are confined"
        )
    S = linalg.solve_discrete_lyapunov(A, Sigma)
    turned = np.outer(signs, signs)
    back = turned * np.linalg.solve(S, A @ S).T
    mirrored = turned * S
    noise = mirrored - back @ mirrored @ back.T
    spread = Sigma + (A - back) @ S @ (A - back).T
    volumes = np.linalg.slogdet(noise)[1] - np.linalg.slogdet(Sigma)[1]
    return float(np.trace(np.linalg.solve(noise, spread)) - len(A) + volumes) / 2


def _shares(F: Floats, noise: Floats, dt: float, time: float) -> Floats:
    """What each plane of a reversible process (the fitted one without Q) adds to the statistic on average: that times a chi² variable of one degree.

    2/time for dt -> 0, whatever the rates; more for rates that the recorded times hardly resolve. From the covariance of A and Sigma of a regression,
    and to first order the change of log A.
    """
    f = np.abs(linalg.eigvals(noise, stationary(F, noise)).real)
    i, j = np.triu_indices(len(f), 1)
    a, b, mean = f[i], f[j], (f[i] + f[j]) / 2
    slope = np.where(
        np.abs(a - b) > 1e-6 * mean, (a - b) * dt / np.where(a == b, 1, np.expm1((a - b) * dt)), 1.0
    ) * np.exp(a * dt)
    return np.asarray(
        slope**2
        * np.expm1(-2 * a * dt)
        * np.expm1(-2 * b * dt)
        / -np.expm1(-2 * mean * dt)
        * mean
        / (a * b * time * dt)
    )


def _shares_odd(signs: Floats, time: float) -> Floats:
    """2/time for each number that is zero in a reversible process: a plane, and the covariance of one even and one odd coordinate."""
    odd = int(np.sum(signs < 0))
    return np.full(len(signs) * (len(signs) - 1) // 2 + odd * (len(signs) - odd), 2 / time)


def _error_near_zero(value: float, shares: Floats) -> float:
    """Half the way up to the truth above which so small a value has a chance of `RISK`: a square is not normal near its zero.

    The statistic is taken as a non-central chi² variable with the mean and variance that it has in a reversible run (Satterthwaite).
    """
    unit = float(np.sum(shares**2) / np.sum(shares))
    dof = float(np.sum(shares)) / unit
    seen = dof + max(value / unit, 0.0)
    top = 2 * seen + 40
    highest = optimize.brentq(lambda beyond: stats.ncx2.cdf(seen, dof, beyond) - RISK, 1e-9, top)
    return float(highest * unit - value) / 2
