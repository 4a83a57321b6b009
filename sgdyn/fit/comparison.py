"""A recorded run of SGD against the theories of it, direction by direction, with one verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate
from sgdyn.fit import statistics
from sgdyn.fit.moments import Moments
from sgdyn.fit.significance import Check
from sgdyn.fit.statistics import Dressed, Measured
from sgdyn.fit.theories import Theories
from sgdyn.nets.subspace import Subspace
from sgdyn.nets.training import Recording
from sgdyn.printing import Printed
from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]

LEAST_REPLICAS, LEAST_TIMES = 8, 4


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Printed):
    """Stationary statistics of a run and what the theories say of them, in the k directions of a subspace.

    measured: what SGD did, nothing else in it. controlled: the same with the quadratic model of the same batches as control variate, far
    more precise; None unless that model passes `shadow_checks` against its own exact theory. checks: measured against the discrete theory.

    discrete (exact for SGD on the quadratic), diffusion (Lyapunov) (k,): variances; simulated (the engine; None if skipped).
    correlation_time_*: in steps, at the same lags as the measured. Q_discrete (k, k) at the shortest recorded lag; Q_diffusion too.
    kurtosis: measured; kurtosis_discrete (k,), NaN where no theory is known. memory (k,): what a run from rest still lacks of its
    stationary variance on average. dressed: curvature and noise along the run. innovation: variance of what one epoch adds, over that of
    independent batches (None with momentum). noisy (k,): directions that noise reaches; the others are left out of the verdict.
    """

    recording: Recording
    subspace: Subspace
    process: Langevin | Momentum
    measured: Measured
    controlled: Measured | None
    checks: tuple[Check, ...]
    shadow_checks: tuple[Check, ...]
    discrete: Floats
    diffusion: Floats
    simulated: Estimate | None
    correlation_time_discrete: Floats
    correlation_time_diffusion: Floats
    Q_discrete: Floats
    Q_diffusion: Floats
    kurtosis: Estimate
    kurtosis_discrete: Floats
    memory: Floats
    dressed: Dressed
    innovation: Estimate | None
    noisy: NDArray[np.bool_]

    @property
    def variance(self) -> Estimate:
        """Measured (k,), with the error that the replicas have."""
        return self.measured.variance

    @property
    def correlation_time(self) -> Estimate:
        """Measured (k,), in steps."""
        return self.measured.correlation_time

    @property
    def Q(self) -> Estimate:
        """Measured circulation (k, k) at the shortest recorded lag."""
        return self.measured.Q

    @property
    def mean(self) -> Estimate:
        """Of x in predicted standard deviations (k,)."""
        return self._relative(self.measured.mean, np.sqrt(self.discrete))

    @property
    def drift(self) -> Estimate:
        """Change of the variance from the first to the second half of the recording, relative to the prediction (k,)."""
        return self._relative(self.measured.change, self.discrete)

    @property
    def resolved(self) -> Comparison:
        """The same with the controlled statistics in place of the measured ones, where there are any."""
        return self if self.controlled is None else replace(self, measured=self.controlled)

    def ratio(self, theory: str = "diffusion") -> Estimate:
        """Measured over predicted variance (k,); theory is "diffusion" or "discrete"."""
        return self._relative(self.variance, self.diffusion if theory == "diffusion" else self.discrete)

    def _relative(self, estimate: Estimate, unit: Floats) -> Estimate:
        safe = np.where(self.noisy, unit, np.nan)
        return Estimate(estimate.value / safe, estimate.error / safe, estimate.method)

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

    recording: from `train(..., record=subspace)`, begun at the center, with the approach to stationarity cut off
    (`recording.after(step)`). paths: of the simulation; 0 skips it. For the epoch sampler the theories are those of independent batches,
    which is what then fails. Raises ValueError with fewer than 8 replicas or 4 times, and for a recording on another subspace.
    """
    _check(recording, subspace)
    recording.settings.require_plain()
    theories = Theories.of(recording, subspace)
    return _compared(recording, theories, theories.simulated(paths, seed, show_progress))


def _check(recording: Recording, subspace: Subspace) -> None:
    if len(recording.x) < LEAST_REPLICAS or len(recording.steps) < LEAST_TIMES:
        raise ValueError(
            f"got {len(recording.x)} replicas at {len(recording.steps)} times, expected at least {LEAST_REPLICAS} at {LEAST_TIMES}: errors come from independent replicas; type replicas=64"
        )
    if recording.x.shape[-1] != subspace.k:
        raise ValueError(
            f"got a recording of {recording.x.shape[-1]} directions, expected the {subspace.k} of the subspace; type train(..., record=subspace)"
        )
    if recording.subspace and recording.subspace != subspace.digest():
        raise ValueError(
            "got a recording on another subspace (its basis, H or D differ), expected the one it was recorded on; type train(..., record=subspace)"
        )


def _compared(recording: Recording, theories: Theories, simulated: Estimate | None) -> Comparison:
    clock = theories.clock(recording)
    discrete = Moments.stationary(theories.discrete.lagged_covariance, clock.lags, clock.every)
    diffusion = Moments.stationary(theories.continuous, clock.lags, clock.every)
    rest = Moments.from_rest(theories.discrete, recording.steps, clock.lags)
    measured = clock.raw(recording.x)
    shadowed = theories.white and recording.shadow.shape == recording.x.shape
    shadow = theories.checks(clock, clock.shadow(recording.shadow), rest, tolerant=False) if shadowed else ()
    trusted = bool(shadow) and all(check.passed for check in shadow)
    with np.errstate(divide="ignore", invalid="ignore"):
        memory = 1 - rest.second / np.diag(theories.discrete.covariance)
    return Comparison(
        recording, theories.subspace, theories.process, measured, clock.controlled(recording.x, recording.shadow, rest) if trusted else None,
        theories.checks(clock, measured, discrete, tolerant=True), shadow, discrete.second, diffusion.second, simulated,
        theories.times(clock, discrete), theories.times(clock, diffusion), clock.Q(discrete.turning), clock.Q(diffusion.turning),
        statistics.excess_kurtosis(recording.x - measured.mean.value), theories.kurtosis(recording), memory, statistics.dressed(recording),
        theories.innovation(recording), theories.noisy,
    )  # fmt: skip
