"""Long passage times from shorter simulations: the exponential tail of the times, or the law of Arrhenius over temperatures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.errors import CensoredError
from sgdyn.estimate import Estimate
from sgdyn.problem import Langevin, Momentum
from sgdyn.region import Region
from sgdyn.sde.passage import first_passage
from sgdyn.sde.requests import checked_process
from sgdyn.sde.tally import GROUPS

Floats = NDArray[np.float64]

FEWEST_ARRIVALS = 20
"""Arrivals in the tail below which its rate is not worth an error."""
SUSPICIOUS = 3.0
"""Standard errors between the rates of two halves of a tail, or of a fit's residuals, beyond which a note is made."""


@dataclass(frozen=True)
class ExponentialTail:
    """Paths run up to the time t_max only. Those that wait at `after` (default: a quarter of t_max) arrive at a constant rate r,

        tau = E[min(t, after)] + P(t > after)/r,   r = arrivals/(time waited) between `after` and t_max,

    right where `after` is beyond the relaxation in the well, which the rates in the two halves of the tail are compared to see.
    """

    t_max: float
    after: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start < checks.positive("t_max", self.t_max):
            raise ValueError(f"got after={self.after:g}, expected a time in [0, t_max={self.t_max:g})")

    @property
    def start(self) -> float:
        """When the tail begins."""
        return self.t_max / 4 if self.after is None else checks.number("after", self.after)

    def estimate(self, problem: Langevin | Momentum, x0: ArrayLike, region: Any, options: dict[str, Any]) -> Estimate:
        """The mean time, of which the tail has been extrapolated."""
        times = self._times(problem, x0, region, options)
        arrived, _ = self._tail(times)
        if arrived.sum() < FEWEST_ARRIVALS:
            raise ValueError(
                f"got {int(arrived.sum())} arrivals between t={self.start:g} and {self.t_max:g}, expected at least {FEWEST_ARRIVALS}; type a "
                "larger t_max or n_paths, or use sg.mean_escape_time"
            )
        groups = np.arange(len(times)) % GROUPS
        value = self._mean(times)
        without = np.array([self._mean(times[groups != g]) for g in range(GROUPS)])
        error = float(np.sqrt((GROUPS - 1) * np.mean((without - without.mean()) ** 2)))
        method = f"{len(times)} paths up to t={self.t_max:g}, exponential tail"
        return Estimate(value, error, method, warnings=self._notes(times))

    def _times(self, problem: Any, x0: ArrayLike, region: Any, options: dict[str, Any]) -> Floats:
        try:
            found = first_passage(problem, x0, region, t_max=self.t_max, **options)
        except CensoredError as censored:
            if censored.limit < self.t_max * (1 - 1e-9):
                raise  # Ctrl-C
            return censored.times
        assert found.samples is not None
        return found.samples

    def _tail(self, times: Floats, end: float | None = None, start: float | None = None) -> tuple[Any, Floats]:
        """Which paths arrive in the tail, and how long each waits in it."""
        start, end = self.start if start is None else start, self.t_max if end is None else end
        clipped = np.where(np.isnan(times), np.inf, times)
        return (clipped > start) & (clipped <= end), np.clip(clipped, start, end) - start

    def _mean(self, times: Floats) -> float:
        arrived, waited = self._tail(times)
        early = np.minimum(np.where(np.isnan(times), np.inf, times), self.start)
        return float(early.mean() + np.mean(waited > 0) * waited.sum() / arrived.sum())

    def _notes(self, times: Floats) -> tuple[str, ...]:
        middle = 0.5 * (self.start + self.t_max)
        counts, rates = [], []
        for start, end in ((self.start, middle), (middle, self.t_max)):
            arrived, waited = self._tail(times, end, start)
            counts.append(max(1, int(arrived.sum())))
            rates.append(counts[-1] / max(waited.sum(), 1e-300))
        gap = np.log(rates[1] / rates[0])
        if abs(gap) < SUSPICIOUS * np.sqrt(1 / counts[0] + 1 / counts[1]):
            return ()
        return (
            f"the rate changes by {np.expm1(gap):.0%} from the first half of the tail to the second: it is not exponential; type a larger `after`",
        )


@dataclass(frozen=True)
class Arrhenius:
    """Times at higher temperatures, extrapolated to that of the problem by log tau = E/T + log a (+ c T), fitted with their errors as weights.

    c T is the next order of Kramers' law. The error is that of the fit, and what it changes without the hottest temperature. For drifts and D
    that do not depend on T, in one regime: a barrier, or a way, that changes between the temperatures is not foreseen.
    """

    temperatures: tuple[float, ...]
    terms: int = 3

    def __post_init__(self) -> None:
        T = checks.finite("temperatures", self.temperatures)
        if checks.count("terms", self.terms, least=2) > 3:
            raise ValueError(f"got terms={self.terms}, expected 2 or 3")
        if T.ndim != 1 or len(set(T.tolist())) != len(T) or len(T) < self.terms + 1 or T.min() <= 0:
            raise ValueError(
                f"got temperatures={self.temperatures}, expected at least {self.terms + 1} different numbers > 0"
            )

    def estimate(self, problem: Langevin | Momentum, x0: ArrayLike, region: Any, options: dict[str, Any]) -> Estimate:
        """The mean time at the temperature of the problem."""
        T = np.sort(np.asarray(self.temperatures, dtype=np.float64))
        if checked_process(problem).drift_has_temperature:
            raise ValueError(
                "got a process whose drift contains T, expected one whose barrier is the same at all T; use sg.mean_escape_time"
            )
        if T[0] <= problem.T:
            raise ValueError(
                f"got T={problem.T:g} and temperatures from {T[0]:g}, expected higher ones than that of the problem"
            )
        stream = int(options.pop("stream", 0))
        found = [
            first_passage(replace(problem, T=t), x0, region, stream=stream + i, **options) for i, t in enumerate(T)
        ]
        times = np.array([f.value for f in found])
        relative = np.array([f.error for f in found]) / times
        log, error, scatter = self._fit(T, np.log(times), relative, problem.T)
        fewer = self._fit(T[:-1], np.log(times[:-1]), relative[:-1], problem.T)[0]
        notes: tuple[str, ...] = ()
        if scatter > SUSPICIOUS:
            notes = (
                f"times deviate from the law by up to {scatter:.1f} of their errors: one law does not hold at all of these temperatures",
            )
        method = f"{len(T)} temperatures from {T[0]:g} to {T[-1]:g}, extrapolated to {problem.T:g}"
        value = float(np.exp(log))
        return Estimate(value, value * float(np.hypot(error, fewer - log)), method, warnings=notes)

    def _fit(self, T: Floats, y: Floats, error: Floats, where: float) -> tuple[float, float, float]:
        """The extrapolated value, its standard error, and the largest residual in errors."""
        weighted = self._rows(T) / error[:, None]
        covariance = np.linalg.pinv(weighted.T @ weighted)
        solved = covariance @ weighted.T @ (y / error)
        target = self._rows(np.asarray(where))
        residual = float(np.abs((y - self._rows(T) @ solved) / error).max())
        return float(target @ solved), float(np.sqrt(target @ covariance @ target)), residual

    def _rows(self, T: Floats) -> Floats:
        return np.stack([1 / T, np.ones_like(T), T][: self.terms], axis=-1)


def extrapolated_passage(
    problem: Langevin | Momentum, x0: ArrayLike, region: Callable[[Any], Any] | Region, *, dt: float, method: ExponentialTail | Arrhenius,
    **options: Any,
) -> Estimate:  # fmt: skip
    """The mean time at which paths from x0 first enter a region, from simulations that are shorter than it.

    method: `ExponentialTail(t_max)` or `Arrhenius(temperatures)`. The other arguments are those of `first_passage`. Raises ValueError where
    the extrapolation has no ground (too few arrivals, temperatures below that of the problem, a drift that contains T), TypeError for other methods.
    """
    if not isinstance(method, ExponentialTail | Arrhenius):
        raise TypeError(
            f"got method={method!r}, expected sg.ExponentialTail(t_max=...) or sg.Arrhenius(temperatures=(...))"
        )
    if "t_max" in options:
        raise TypeError("got t_max=..., expected it in the method; type method=sg.ExponentialTail(t_max=...)")
    return method.estimate(problem, x0, region, {"dt": dt, **options})
