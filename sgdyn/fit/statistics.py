"""Stationary statistics of recorded replicas, each with an error from the replicas, which are independent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate, of_samples
from sgdyn.fit.moments import Lags, Moments
from sgdyn.nets.training import Recording
from sgdyn.problem import finite_sample_factor

Floats = NDArray[np.float64]

CONTROL = "quadratic model as control variate"


@dataclass(frozen=True, eq=False)
class Measured:
    """What replicas did: mean, variance, lagged (covariance at each direction's own lag), correlation_time (k,) in steps, Q (k, k).

    change (k,): of the variance from the first to the second half of the recording. All but the time and kurtosis carry their samples.
    """

    mean: Estimate
    variance: Estimate
    lagged: Estimate
    correlation_time: Estimate
    Q: Estimate
    change: Estimate


@dataclass(frozen=True, eq=False)
class Clock:
    """The lags (k,) in recorded times, the steps between two of these, and T times the process time between them."""

    lags: Lags
    every: int
    T_time: float

    def measured(self, mean: Estimate, found: Moments, how: str = "") -> Measured:
        """Estimates from the moments of each replica."""
        method = f"{len(found.second)} replicas{how and ', '}{how}"
        variance, lagged = of_samples(found.second, method), of_samples(found.lagged, method)
        times = correlation_times(variance, lagged, self.lags * self.every)
        return Measured(mean, variance, lagged, times, of_samples(self.Q(found.turning), method), of_samples(found.change, method))  # fmt: skip

    def Q(self, turning: Floats) -> Floats:
        """-(C(lag) - C(lag)')/(2 T time) at the shortest recorded lag, (..., k, k): zero for every reversible process."""
        return np.asarray(-turning / (2 * self.T_time))

    def raw(self, x: Floats) -> Measured:
        """Of the paths x (replica, time, k) themselves."""
        mean = of_samples(x.mean(axis=1), f"{len(x)} replicas")
        return self.measured(mean, Moments.of_paths(x - mean.value, self.lags, centred=True))

    def shadow(self, y: Floats) -> Measured:
        """Of the paths of the quadratic model, whose mean is exactly zero."""
        mean = of_samples(y.mean(axis=1), f"{len(y)} replicas")
        return self.measured(mean, Moments.of_paths(y, self.lags, centred=False))

    def controlled(self, x: Floats, y: Floats, exact: Moments) -> Measured:
        """Of x with the quadratic model y as control variate, whose moments have the expectation `exact`."""
        mean = of_samples((x - y).mean(axis=1), f"{len(x)} replicas, {CONTROL}")
        own = Moments.of_paths(x - mean.value, self.lags, centred=False)
        return self.measured(mean, own.minus(Moments.of_paths(y, self.lags, centred=False), exact), CONTROL)


def correlation_times(variance: Estimate, lagged: Estimate, steps: Lags) -> Estimate:
    """-lag/log(C_ii(lag)/C_ii(0)) in steps (k,); NaN where C_ii(lag) is not positive. Errors by the delta method over replicas."""
    assert variance.samples is not None and lagged.samples is not None
    zero, at_lag = variance.value, lagged.value
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(at_lag > 1e-2 * zero, np.minimum(at_lag / zero, 1 - 1e-9), np.nan)
        spread = lagged.samples / at_lag - variance.samples / zero
        relative = spread.std(axis=0, ddof=1) / np.sqrt(len(spread))
        return Estimate(-steps / np.log(ratio), steps / np.log(ratio) ** 2 * relative, variance.method)


def excess_kurtosis(x: Floats) -> Estimate:
    """E[x_i⁴]/E[x_i²]² - 3 (k,) of centred paths (replica, time, k)."""
    second, fourth = np.mean(x**2, axis=1), np.mean(x**4, axis=1)
    m2, m4 = second.mean(axis=0), fourth.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        influence = fourth / m2**2 - 2 * m4 * second / m2**3
        error = influence.std(axis=0, ddof=1) / np.sqrt(len(second))
        return Estimate(m4 / m2**2 - 3, error, f"{len(x)} replicas")


@dataclass(frozen=True, eq=False)
class Dressed:
    """Curvature and noise as the run met them: g = F x + noise by least squares over the recorded batch gradients (k, k)."""

    F: Estimate
    D: Estimate


def dressed(recording: Recording) -> Dressed:
    """Mean Hessian and mean D along the run, from recorded coordinates and gradients; errors by leaving out a tenth of the replicas."""
    groups = np.array_split(np.arange(len(recording.x)), min(10, len(recording.x)))
    whole = _regression(recording.x, recording.gradients)
    parts = [_regression(np.delete(recording.x, g, axis=0), np.delete(recording.gradients, g, axis=0)) for g in groups]
    method = f"jackknife over {len(groups)} groups of replicas"
    F, D = (
        Estimate(whole[i], np.sqrt((len(groups) - 1) * np.var([part[i] for part in parts], axis=0)), method)
        for i in (0, 1)
    )
    scale = 1 / _strength(recording)
    return Dressed(F, Estimate(D.value * scale, D.error * scale, D.method))


def _strength(recording: Recording) -> float:
    """c/batch: the covariance of a batch gradient over that of a sample's; each batch of an epoch alone is one without replacement."""
    s = recording.settings
    return finite_sample_factor(s.batch, s.n, "without" if s.sampler == "epoch" else s.sampler) / s.batch


def _regression(x: Floats, g: Floats) -> tuple[Floats, Floats]:
    """(F, covariance of g - F x) of centred data (..., k), for the degrees of freedom that the fit has used."""
    points, slopes = (a.reshape(-1, a.shape[-1]) - a.mean(axis=(0, 1)) for a in (x, g))
    F = np.linalg.lstsq(points, slopes, rcond=None)[0].T
    rest = slopes - points @ F.T
    return F, rest.T @ rest / max(1, len(rest) - points.shape[1] - 1)


def innovation_ratio(recording: Recording, transition: Floats, predicted: Floats, lag: int) -> Estimate:
    """Variance of x_{t+lag} - M^lag x_t over its prediction for independent batches (k,); M is the matrix of one step, the lag in recorded times.

    1 for white noise whatever the lag; near 0 over an epoch for batches that go through the data in turn.
    """
    power = np.linalg.matrix_power(transition, lag * recording.settings.every)
    added = recording.x[:, lag:] - recording.x[:, : recording.x.shape[1] - lag] @ power.T
    added = added - added.mean(axis=(0, 1))
    return of_samples(np.mean(added**2, axis=1) / np.diag(predicted), f"{len(recording.x)} replicas")
