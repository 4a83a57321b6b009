"""Stationary statistics of recorded replicas, each with an error from the replicas, which are independent.

Where the quadratic model has been driven by the same batches (the shadow) and its exact theory is known, its error is subtracted:
mean(x) - mean(shadow) + theory has the same expectation and a far smaller variance (control variate).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate, of_samples
from sgdyn.nets.training import Recording

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Observed:
    """Paths x (replica, time, k) about their common mean, seen every `every` steps, and the shadow's (or None)."""

    x: Floats
    shadow: Floats | None
    mean: Estimate
    every: int

    @classmethod
    def of(cls, recording: Recording, controlled: bool) -> Observed:
        shadow = recording.shadow if controlled and recording.shadow.shape == recording.x.shape else None
        away = recording.x if shadow is None else recording.x - shadow  # the shadow's own mean is exactly zero
        mean = of_samples(away.mean(axis=1), f"{len(recording.x)} replicas")
        return cls(recording.x - mean.value, shadow, mean, recording.settings.every)

    @property
    def replicas(self) -> int:
        return len(self.x)

    def average(self, f: Callable[[Floats], Floats], exact: Floats | None) -> Estimate:
        """The expectation of f, which takes paths (replica, time, k) to (replica, ...); `exact` is its value for the shadow."""
        values = f(self.x)
        if self.shadow is None or exact is None:
            return of_samples(values, f"{self.replicas} replicas")
        return of_samples(
            values - f(self.shadow) + exact, f"{self.replicas} replicas, quadratic model as control variate"
        )

    def lagged(self, lag: int, exact: Floats | None) -> Estimate:
        """E[x_{t+lag} x_t'] (k, k), the lag in recorded times."""
        return self.average(
            lambda x: np.einsum("rti,rtj->rij", x[:, lag:], x[:, : x.shape[1] - lag]) / (x.shape[1] - lag), exact
        )

    def variances(self, exact: Floats | None) -> Estimate:
        """E[x_i²] (k,)."""
        return self.average(lambda x: np.mean(x**2, axis=1), exact)


def correlation_times(observed: Observed, lags: NDArray[np.int64], exact: Floats | None) -> Estimate:
    """-lag/log(C_ii(lag)/C_ii(0)) in steps (k,), each direction at its own lag (in recorded times); NaN where C_ii(lag) is not positive.

    `exact` (2, k): the shadow's C_ii(0) and C_ii(lag). Errors by the delta method over replicas.
    """
    n = observed.x.shape[1]

    def pairs(x: Floats) -> Floats:
        at_lag = [np.mean(x[:, lag:, i] * x[:, : n - lag, i], axis=1) for i, lag in enumerate(lags)]
        return np.stack([np.mean(x**2, axis=1), np.stack(at_lag, axis=1)], axis=1)

    found = observed.average(pairs, exact)
    zero, at_lag = found.value
    ratio = np.where(at_lag > 1e-2 * zero, np.minimum(at_lag / zero, 1 - 1e-9), np.nan)
    assert found.samples is not None
    spread = found.samples[:, 1] / at_lag - found.samples[:, 0] / zero
    relative = spread.std(axis=0, ddof=1) / np.sqrt(len(spread))
    steps = lags * observed.every
    return Estimate(-steps / np.log(ratio), steps / np.log(ratio) ** 2 * relative, found.method)


def excess_kurtosis(observed: Observed) -> Estimate:
    """E[x_i⁴]/E[x_i²]² - 3 (k,)."""
    second, fourth = np.mean(observed.x**2, axis=1), np.mean(observed.x**4, axis=1)
    m2, m4 = second.mean(axis=0), fourth.mean(axis=0)
    influence = fourth / m2**2 - 2 * m4 * second / m2**3
    return Estimate(
        m4 / m2**2 - 3, influence.std(axis=0, ddof=1) / np.sqrt(len(second)), f"{observed.replicas} replicas"
    )


def circulation(observed: Observed, lag: int, T: float, time_per_step: float, exact: Floats | None) -> Estimate:
    """Q(lag) = -(C(lag) - C(lag)')/(2 T time) (k, k), the antisymmetric lagged covariance; the lag in recorded times.

    Zero for every reversible process; single-coordinate spectra cannot see it.
    """
    scale = -1.0 / (2 * T * lag * observed.every * time_per_step)

    def antisymmetric(x: Floats) -> Floats:
        c = np.einsum("rti,rtj->rij", x[:, lag:], x[:, : x.shape[1] - lag]) / (x.shape[1] - lag)
        return np.asarray(scale * (c - np.swapaxes(c, 1, 2)))

    return observed.average(antisymmetric, exact)


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
    batch = recording.settings.batch
    return Dressed(F, Estimate(D.value * batch, D.error * batch, D.method))


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
