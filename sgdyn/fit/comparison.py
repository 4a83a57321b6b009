"""A recorded run of SGD against the theories of it, direction by direction, with one verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate
from sgdyn.fit import statistics
from sgdyn.fit.statistics import Dressed, Observed
from sgdyn.nets.subspace import Subspace
from sgdyn.nets.training import Recording
from sgdyn.problem import Langevin, Momentum
from sgdyn.sde.ensemble import simulate
from sgdyn.steady.discrete import DiscreteSGD
from sgdyn.steady.linear import LinearStationary, linear_stationary

Floats = NDArray[np.float64]

SILENT = 1e-9
"""A direction whose predicted variance is below this fraction of the largest gets no noise at all: a symmetry of the network protects it."""
STEP = 0.01
RELAXATIONS = 5.0


@dataclass(frozen=True, eq=False)
class Comparison:
    """Stationary statistics of a run and what the theories say of them, in the k directions of a subspace.

    variance: measured; discrete (exact for SGD on the quadratic), diffusion (Lyapunov) (k,), simulated (the engine; None if skipped).
    correlation_time: in steps; the theories' at the same lags. Q, Q_discrete (k, k) at the shortest recorded lag; Q_diffusion at lag 0.
    kurtosis: measured; kurtosis_discrete (k,), NaN where no theory is known. mean: of x in standard deviations. dressed: curvature and
    noise along the run. innovation: variance of what one epoch adds, over that of independent batches (None with momentum). noisy (k,):
    directions that noise reaches; the others are left out of the verdict.
    """

    recording: Recording
    subspace: Subspace
    process: Langevin | Momentum
    variance: Estimate
    discrete: Floats
    diffusion: Floats
    simulated: Estimate | None
    correlation_time: Estimate
    correlation_time_discrete: Floats
    correlation_time_diffusion: Floats
    Q: Estimate
    Q_discrete: Floats
    Q_diffusion: Floats
    kurtosis: Estimate
    kurtosis_discrete: Floats
    mean: Estimate
    drift: Estimate
    dressed: Dressed
    innovation: Estimate | None
    noisy: NDArray[np.bool_]

    def ratio(self, theory: str = "diffusion") -> Estimate:
        """Measured over predicted variance (k,); theory is "diffusion" or "discrete"."""
        predicted = self.diffusion if theory == "diffusion" else self.discrete
        safe = np.where(self.noisy, predicted, np.nan)
        return Estimate(self.variance.value / safe, self.variance.error / safe, self.variance.method)

    @property
    def verdict(self) -> Any:
        """Whether the diffusion describes the run, to how much, and why not (see `sgdyn.fit.verdict`)."""
        from sgdyn.fit.verdict import judge

        return judge(self)

    def plot(self, ax: Any = None) -> Any:
        """Measured over predicted variances with error bars (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def compare(
    recording: Recording, subspace: Subspace, *, paths: int = 2048, seed: int = 0, show_progress: bool | None = None
) -> Comparison:
    """Compare a stationary recording with the exact discrete theory, the diffusion in closed form, and its simulation.

    recording: from `train(..., record=subspace)`, with the approach to stationarity cut off (`recording.after(step)`). paths: of the
    simulation; 0 skips it. For the epoch sampler the theories are those of independent batches, which is what then fails. Raises
    ValueError with fewer than 8 replicas, or for another subspace.
    """
    if len(recording.x) < 8 or len(recording.steps) < 4:
        raise ValueError(
            f"got {len(recording.x)} replicas at {len(recording.steps)} times, expected at least 8 at 4: errors come from independent replicas; type replicas=64"
        )
    if recording.x.shape[-1] != subspace.k:
        raise ValueError(
            f"got a recording of {recording.x.shape[-1]} directions, expected the {subspace.k} of the subspace; type train(..., record=subspace)"
        )
    return _Theories.of(recording, subspace).against(recording, paths, seed, show_progress)


@dataclass(frozen=True, eq=False)
class _Theories:
    subspace: Subspace
    process: Langevin | Momentum
    discrete: DiscreteSGD
    linear: LinearStationary
    white: bool

    @classmethod
    def of(cls, recording: Recording, subspace: Subspace) -> _Theories:
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
    def time_per_step(self) -> float:
        return float(self.process.origin.time_per_step)

    def continuous_lagged(self, steps: int) -> Floats:
        """E[x(t + lag) x(t)'] of the diffusion (k, k)."""
        return self.linear.lagged_covariance(steps * self.time_per_step)[: self.k, : self.k]

    def lags(self, recording: Recording) -> NDArray[np.int64]:
        """For each direction the number of recorded times nearest to its correlation time."""
        h = np.diag(self.subspace.H)
        s = recording.settings
        wanted = (1 - s.momentum) / (s.lr * h) / s.every
        return np.clip(np.round(wanted), 1, max(1, len(recording.steps) // 3)).astype(np.int64)

    def against(self, recording: Recording, paths: int, seed: int, show_progress: bool | None) -> Comparison:
        s, k = recording.settings, self.k
        observed = Observed.of(recording, controlled=self.white)
        lags = self.lags(recording)
        zero = np.diag(self.discrete.covariance)
        discrete_lagged = np.array(
            [self.discrete.lagged_covariance(int(lag) * s.every)[i, i] for i, lag in enumerate(lags)]
        )
        diffusion = np.diag(self.linear.covariance)[:k]
        diffusion_lagged = np.array([self.continuous_lagged(int(lag) * s.every)[i, i] for i, lag in enumerate(lags)])
        T = self._temperature(s.lr, s.momentum)
        Q_discrete = _antisymmetric(self.discrete.lagged_covariance(s.every), T, s.every * s.lr)
        noisy = zero > SILENT * zero.max()
        with np.errstate(divide="ignore", invalid="ignore"):
            return Comparison(
                recording, self.subspace, self.process, observed.variances(zero), zero, diffusion, self._simulated(paths, seed, show_progress),
                statistics.correlation_times(observed, lags, np.stack([zero, discrete_lagged])),
                _times(lags * s.every, discrete_lagged / zero), _times(lags * s.every, diffusion_lagged / diffusion),
                statistics.circulation(observed, 1, T, s.lr, Q_discrete), Q_discrete, _antisymmetric(self.continuous_lagged(s.every), T, s.every * s.lr),
                statistics.excess_kurtosis(observed), self._kurtosis(recording), _in_deviations(observed.mean, zero), _drift(observed, zero),
                statistics.dressed(recording), self._innovation(recording), noisy,
            )  # fmt: skip

    def _temperature(self, lr: float, momentum: float) -> float:
        """T of the overdamped picture, in time lr * steps."""
        return float(self.process.T) * (1 - momentum)

    def _simulated(self, paths: int, seed: int, show_progress: bool | None) -> Estimate | None:
        """Variances (k,) of the diffusion by the engine, from rest, after `RELAXATIONS` relaxation times of the slowest mode."""
        if not paths:
            return None
        F = self.linear.F
        rates = np.linalg.eigvals(F)
        slowest = 1.0 / float(rates.real.min())
        ensemble = simulate(
            self.process,
            np.zeros(len(F)),
            t=2 * RELAXATIONS * slowest,
            dt=STEP / float(np.abs(rates).max()),
            n_paths=paths,
            save=41,
            seed=seed,
            show_progress=show_progress,
        )
        found = ensemble.mean(lambda x: x[..., : self.k] ** 2, after=RELAXATIONS * slowest)
        return Estimate(found.value, found.error, f"{found.method}, dt h_max = {STEP}")

    def _kurtosis(self, recording: Recording) -> Floats:
        """Excess kurtosis of x_i of the exact iteration: lr⁴ kappa_4 / (1 - (1 - lr h)⁴) / S_ii², kappa_4 = kappa_4(g_i)/batch³."""
        s = recording.settings
        if s.sampler != "replacement" or s.momentum:
            return np.full(self.k, np.nan)
        g = self.subspace.samples
        fourth = (np.mean(g**4, axis=0) - 3 * np.mean(g**2, axis=0) ** 2) / s.batch**3
        decay = 1 - (1 - s.lr * np.diag(self.subspace.H)) ** 4
        return np.asarray(s.lr**4 * fourth / decay / np.diag(self.discrete.covariance) ** 2)

    def _innovation(self, recording: Recording) -> Estimate | None:
        s = recording.settings
        lag = max(1, round(s.n / s.batch / s.every))
        if s.momentum or lag >= len(recording.steps):
            return None
        predicted = self.discrete.innovation_covariance(lag * s.every)
        with np.errstate(divide="ignore", invalid="ignore"):
            return statistics.innovation_ratio(recording, self.discrete.transition, predicted, lag)


def _antisymmetric(lagged: Floats, T: float, time: float) -> Floats:
    return -(lagged - lagged.T) / (2 * T * time)


def _times(steps: NDArray[np.int64], ratio: Floats) -> Floats:
    return np.asarray(-steps / np.log(np.clip(ratio, 1e-3, 1 - 1e-12)))


def _in_deviations(mean: Estimate, variance: Floats) -> Estimate:
    spread = np.sqrt(variance)
    return Estimate(mean.value / spread, mean.error / spread, mean.method)


def _drift(observed: Observed, variance: Floats) -> Estimate:
    """Change of the variance from the first to the second half of the recording, relative to the prediction (k,)."""
    half = observed.x.shape[1] // 2
    change = np.mean(observed.x[:, half:] ** 2, axis=1) - np.mean(observed.x[:, :half] ** 2, axis=1)
    if observed.shadow is not None:
        change = (
            change - np.mean(observed.shadow[:, half:] ** 2, axis=1) + np.mean(observed.shadow[:, :half] ** 2, axis=1)
        )
    error = change.std(axis=0, ddof=1) / np.sqrt(len(change))
    return Estimate(change.mean(axis=0) / variance, error / variance, f"{len(change)} replicas")
