"""What is known of SGD near a minimum: the exact iteration on the quadratic loss, and the diffusion; and the tests against a recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate
from sgdyn.fit import statistics
from sgdyn.fit.moments import Lags, Moments
from sgdyn.fit.significance import Check, check
from sgdyn.fit.statistics import Clock, Measured
from sgdyn.nets.subspace import Subspace
from sgdyn.nets.training import Recording
from sgdyn.problem import Langevin, Momentum
from sgdyn.sde.simulation import simulate
from sgdyn.steady.discrete import DiscreteSGD
from sgdyn.steady.linear import LinearStationary, linear_stationary

Floats = NDArray[np.float64]

SILENT = 1e-9
"""A direction whose predicted variance is below this fraction of the largest gets no noise at all: a symmetry of the network protects it."""
STEP = 0.01
RELAXATIONS = 5.0
TOLERANCE = 0.10
"""Relative deviation of variances and lagged covariances that a description may have."""
TOLERANCE_Q = 0.25


@dataclass(frozen=True, eq=False)
class Theories:
    """The process and the exact iteration for the settings of a recording; white: whether its batches are independent, as both assume."""

    subspace: Subspace
    process: Langevin | Momentum
    discrete: DiscreteSGD
    linear: LinearStationary
    white: bool

    @classmethod
    def of(cls, recording: Recording, subspace: Subspace) -> Theories:
        s = recording.settings
        white = s.sampler != "epoch"
        sampler = s.sampler if white else "without"
        process = subspace.local_model(lr=s.lr, batch=s.batch, momentum=s.momentum, sampler=sampler)
        discrete = subspace.discrete_model(lr=s.lr, batch=s.batch, momentum=s.momentum, sampler=sampler)
        return cls(subspace, process, discrete, linear_stationary(process), white)

    @property
    def k(self) -> int:
        return self.subspace.k

    @property
    def noisy(self) -> NDArray[np.bool_]:
        """Directions (k,) that noise reaches."""
        variance = np.diag(self.discrete.covariance)
        return np.asarray(variance > SILENT * variance.max())

    def continuous(self, steps: int) -> Floats:
        """E[x(t + lag) x(t)'] of the diffusion (k, k)."""
        time = steps * float(self.process.origin.time_per_step)
        return self.linear.lagged_covariance(time)[: self.k, : self.k]

    def clock(self, recording: Recording) -> Clock:
        """For each direction the number of recorded times nearest to its correlation time."""
        s = recording.settings
        wanted = (1 - s.momentum) / (s.lr * np.diag(self.subspace.H)) / s.every
        lags = np.clip(np.round(wanted), 1, max(1, len(recording.steps) // 3)).astype(np.int64)
        T = float(self.process.T) * (1 - s.momentum)  # of the overdamped picture, in time lr * steps
        return Clock(lags, s.every, T * s.lr * s.every)

    def simulated(self, paths: int, seed: int, show_progress: bool | None) -> Estimate | None:
        """Variances (k,) of the diffusion by the engine, from rest, after `RELAXATIONS` relaxation times of the slowest mode."""
        if not paths:
            return None
        rates = np.linalg.eigvals(self.linear.F)
        slowest, dt = 1.0 / float(rates.real.min()), STEP / float(np.abs(rates).max())
        ensemble = simulate(
            self.process, np.zeros(len(rates)), t=2 * RELAXATIONS * slowest, dt=dt, n_paths=paths, save=41, seed=seed, show_progress=show_progress
        )  # fmt: skip
        found = ensemble.mean(lambda x: x[..., : self.k] ** 2, after=RELAXATIONS * slowest)
        return Estimate(found.value, found.error, f"{found.method}, dt h_max = {STEP}")

    def kurtosis(self, recording: Recording) -> Floats:
        """Excess kurtosis of x_i of the exact iteration: lr⁴ kappa_4 / (1 - (1 - lr h)⁴) / S_ii², kappa_4 = kappa_4(g_i)/batch³."""
        s = recording.settings
        if s.sampler != "replacement" or s.momentum:
            return np.full(self.k, np.nan)
        g = self.subspace.samples
        fourth = (np.mean(g**4, axis=0) - 3 * np.mean(g**2, axis=0) ** 2) / s.batch**3
        decay = 1 - (1 - s.lr * np.diag(self.subspace.H)) ** 4
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(s.lr**4 * fourth / decay / np.diag(self.discrete.covariance) ** 2)

    def innovation(self, recording: Recording) -> Estimate | None:
        """Variance of what one epoch of steps adds over that of independent batches (k,); None with momentum or in short recordings."""
        s = recording.settings
        lag = max(1, round(s.n / s.batch / s.every))
        if s.momentum or lag >= len(recording.steps):
            return None
        predicted = self.discrete.innovation_covariance(lag * s.every)
        with np.errstate(divide="ignore", invalid="ignore"):
            return statistics.innovation_ratio(recording, self.discrete.transition, predicted, lag)

    def checks(self, clock: Clock, measured: Measured, exact: Moments, tolerant: bool) -> tuple[Check, ...]:
        """Variances, lagged covariances and circulation against exact moments, over the directions that noise reaches.

        tolerant: deviations up to `TOLERANCE` (`TOLERANCE_Q` for the circulation) do not count.
        """
        kept = np.flatnonzero(self.noisy)
        first, second = (kept[side] for side in np.triu_indices(len(kept), 1))
        S, Q = np.diag(self.discrete.covariance), clock.Q(exact.turning)[first, second]
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = exact.second / measured.variance.value
        unit = (S * np.sqrt(_times(clock.lags, self._decay(clock))))[kept]
        pair = np.sqrt(S[first] * S[second])
        a, b = (TOLERANCE, TOLERANCE_Q) if tolerant else (0.0, 0.0)
        own = (unit, a, a * S[kept], spread[kept])
        found = [
            check("variances", _part(measured.variance, kept), exact.second[kept], *own),
            check("lagged covariances", _part(measured.lagged, kept), exact.lagged[kept], *own),
        ]
        if len(first):
            slack = b * pair * np.sqrt(np.mean((Q / pair) ** 2))
            both = np.sqrt(spread[first] * spread[second])
            found.append(check("circulation Q", _part(measured.Q, (first, second)), Q, pair, b, slack, both))
        return tuple(found)

    def _decay(self, clock: Clock) -> Floats:
        exact = Moments.stationary(self.discrete.lagged_covariance, clock.lags, clock.every)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(exact.lagged / exact.second)

    def times(self, clock: Clock, exact: Moments) -> Floats:
        """Correlation times (k,) in steps, from the same lags as the measured ones."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return _times(clock.lags * clock.every, exact.lagged / exact.second)


def _times(steps: Lags, ratio: Floats) -> Floats:
    return np.asarray(-steps / np.log(np.clip(ratio, 1e-3, 1 - 1e-12)))


def _part(estimate: Estimate, index: object) -> Estimate:
    """Some components of an estimate with its samples; index: (m,), or a pair of these for matrices."""
    assert estimate.samples is not None
    where = index if isinstance(index, tuple) else (index,)
    return Estimate(
        estimate.value[where], estimate.error[where], estimate.method, estimate.samples[(slice(None), *where)]
    )
