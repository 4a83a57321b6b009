"""The linear process that a run follows, by the exact transition between two recorded times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from sgdyn.estimate import Estimate
from sgdyn.fit.stretches import Series, jackknife, series
from sgdyn.fit.transitions import modes
from sgdyn.nets.recording import Recording
from sgdyn.noise import nearest_covariance
from sgdyn.printing import Printed
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]

COARSE = 0.05
"""Of a mode that keeps less than this between two recorded times, little is known but that it is fast."""


@dataclass(frozen=True, eq=False, repr=False)
class LinearDynamics(Printed):
    """dX = -F (X - center) dt + sqrt(2 T D) dW as a run follows it.

    F (k, k); noise (k, k) = T D, of which alone data know; center (k,); covariance (k, k), the stationary one of F and noise (infinite where a
    mode does not decay). residual_correlation (k,): of what F does not explain with its own past, 0 if the run is Markov in these coordinates;
    residual_kurtosis (k,): its excess kurtosis, 0 for Gaussian noise. rates (k,): eigenvalues of F, ascending real parts.
    """

    F: Estimate
    noise: Estimate
    center: Estimate
    residual_correlation: Estimate
    residual_kurtosis: Estimate
    series: Series

    @property
    def rates(self) -> NDArray[np.complex128]:
        values = np.linalg.eigvals(self.F.value)
        return np.asarray(values[np.argsort(values.real)])

    @property
    def covariance(self) -> Floats:
        """S with F S + S F' = 2 T D; raises ValueError if a mode does not decay."""
        return _stationary(self.F.value, self.noise.value)

    def process(self) -> Langevin:
        """The fitted process with T = 1 and D = `noise`, which every solver takes; negative eigenvalues of `noise` are cut off."""
        return Langevin.linear(self.F.value, T=1.0, D=nearest_covariance(self.noise.value), center=self.center.value)

    def plot(self, ax: Any = None) -> Any:
        """Rates with their errors, and residual correlations (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def linear(recording: Recording | Any, *, dt: float | None = None) -> LinearDynamics:
    """The linear process of greatest likelihood for a run: its exact transition between two recorded times, not Euler's.

    x(t + dt) - center = A (x(t) - center) + noise of covariance Sigma, with A = exp(-F dt) and Sigma = 2 T ∫_0^dt exp(-F s) D exp(-F' s) ds.
    recording: of `nets.train` on a subspace, or an array (replica, time, k) or (time, k) with its `dt`. Errors by leaving out one of some 60
    stretches after another: they need neither Gaussian noise nor a right model. Raises ValueError where A has no real logarithm near it:
    a mode has turned by half a turn or decayed between two recorded times.
    Source: maximum likelihood of vector autoregressions, Lütkepohl, New Introduction to Multiple Time Series Analysis (2005), ch. 3.
    """
    run = series(recording, dt)
    sums = np.array([_sums(run.x[r, a : b + 1]) for r, a, b in run.stretches()])
    method = f"maximum likelihood, {len(run.x)} replicas x {run.x.shape[1]} times, jackknife over {len(sums)} stretches"
    F, noise, center = jackknife(sums, lambda total: _dynamics(total, run.dt), method)
    correlation, kurtosis = _residuals(run, sums.sum(axis=0), method)
    return LinearDynamics(F, noise, center, correlation, kurtosis, run)


def entropy_production(run: Series) -> Estimate:
    """Of the linear process that a run follows, per unit time: tr(N^-1 (T Q) S^-1 (T Q)') with N = T D, T Q = F S - N; unbiased to order 1/n.

    Raises ValueError as `linear` does, and where a mode does not decay.
    """
    sums = np.array([_sums(run.x[r, a : b + 1]) for r, a, b in run.stretches()])
    method = f"linear process of maximum likelihood, jackknife over {len(sums)} stretches"
    (found,) = jackknife(sums, lambda total: (_production(*_dynamics(total, run.dt)[:2]),), method)
    return Estimate(float(found.value), float(found.error), method)


def _production(F: Floats, noise: Floats) -> Floats:
    S = _stationary(F, noise)
    circulation = F @ S - noise
    return np.asarray(np.trace(np.linalg.solve(noise, circulation) @ np.linalg.solve(S, circulation.T)))


def _stationary(F: Floats, noise: Floats) -> Floats:
    """S with F S + S F' = 2 noise."""
    slowest = float(np.linalg.eigvals(F).real.min())
    if slowest <= 0:
        raise ValueError(
            f"got a fitted rate {slowest:.3g}, expected positive ones: that mode does not decay in this run, so there is no stationary "
            "covariance; type sgdyn.fit.confinement(recording) for which modes are confined"
        )
    return np.asarray(linalg.solve_continuous_lyapunov(F, 2 * noise))


@dataclass(frozen=True, eq=False)
class Transition:
    """x(t + dt) = offset + matrix x(t) + noise of the covariance `noise`."""

    offset: Floats
    matrix: Floats
    noise: Floats


def transition(run: Series) -> Transition:
    """That of greatest likelihood between two recorded times, whether or not a process in continuous time has it."""
    return Transition(*_regression(np.sum([_sums(x) for x in run.x], axis=0)))


def _sums(x: Floats) -> Floats:
    """Sums of products of (1, x(t), x(t + dt)) over a stretch (1 + 2k, 1 + 2k)."""
    z = np.concatenate([np.ones((len(x) - 1, 1)), x[:-1], x[1:]], axis=1)
    return np.asarray(z.T @ z)


def _regression(total: Floats) -> tuple[Floats, Floats, Floats]:
    """(offset, A, Sigma) of x(t + dt) = offset + A x(t) + noise."""
    k = len(total) // 2
    past, cross, ahead = total[: 1 + k, : 1 + k], total[: 1 + k, 1 + k :], total[1 + k :, 1 + k :]
    B = linalg.solve(past, cross, assume_a="pos")
    return B[0], B[1:].T, (ahead - cross.T @ B) / (total[0, 0] - 1 - k)


def _dynamics(total: Floats, dt: float) -> tuple[Floats, Floats, Floats]:
    """(F, T D, center)."""
    offset, A, Sigma = _regression(total)
    found = modes(A, dt)
    _refuse_coarse(found.kept)
    return found.function(found.rates), found.white(Sigma), linalg.lstsq(np.eye(len(A)) - A, offset)[0]


def _refuse_coarse(kept: NDArray[Any]) -> None:
    lost = kept[(np.abs(kept) < COARSE) | ((np.abs(kept.imag) < 1e-12) & (kept.real <= 0))]
    if len(lost):
        raise ValueError(
            f"got a mode that keeps {lost[0]:.2g} of itself between two recorded times, expected more than {COARSE}: it decays or turns faster "
            "than the recording sees; record more often, or leave that direction out"
        )


def residuals(run: Series, total: Floats | None = None) -> list[Floats]:
    """What the fitted transition leaves unexplained, stretch by stretch (time, k)."""
    whole = sum(_sums(run.x[r, a : b + 1]) for r, a, b in run.stretches()) if total is None else total
    offset, A, _ = _regression(np.asarray(whole))
    return [run.x[r, a + 1 : b + 1] - offset - run.x[r, a:b] @ A.T for r, a, b in run.stretches()]


def _residuals(run: Series, total: Floats, method: str) -> tuple[Estimate, Estimate]:
    """(correlation with their own past, excess kurtosis) of the residuals, each (k,), with errors over stretches."""
    moments = []
    for e in residuals(run, total):
        ones = np.full(run.dim, float(len(e)))
        moments.append([ones, np.sum(e**2, axis=0), np.sum(e**4, axis=0), np.sum(e[1:] * e[:-1], axis=0), ones - 1])

    def statistic(m: Floats) -> tuple[Floats, ...]:
        second = m[1] / m[0]
        return m[3] / m[4] / second, m[2] / m[0] / second**2 - 3

    correlation, kurtosis = jackknife(np.array(moments), statistic, method)
    return correlation, kurtosis
