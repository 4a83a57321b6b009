"""First-passage times by simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks, randomness
from sgdyn.errors import CensoredError
from sgdyn.estimate import Estimate, of_samples
from sgdyn.fields import Field
from sgdyn.problem import Langevin, Momentum
from sgdyn.progress import Progress, progress
from sgdyn.region import OVERSHOOT, Region
from sgdyn.sde import diagnosis
from sgdyn.sde.ensemble import checked_process, refuse_unstable, starting_points
from sgdyn.sde.methods.choice import check_method
from sgdyn.sde.methods.euler_maruyama import EulerMaruyama
from sgdyn.sde.methods.plan import Method
from sgdyn.sde.variates import variates
from sgdyn.sde.walkers import Clock, Course, Walkers, Watch, Workers, thread_pool
from sgdyn.sde.watchers import arrivals

Floats = NDArray[np.float64]

FIRST_SLICE, WORK = 64, 2e7
HOPELESS_WORK = 4e10
"""Component-steps without a single arrival after which a region is called unreachable (unless t_max was given)."""
COMPACT_BELOW = 0.7


def first_passage(
    problem: Langevin | Momentum, x0: ArrayLike, region: Callable[[Any], Any] | Region, *, dt: float, n_paths: int | None = None,
    t_max: float | None = None, corrected: bool = True, method: Method = EulerMaruyama(),  # noqa: B008
    noise: str = "double", rng: str = "philox", seed: int | np.random.SeedSequence | None = None, stream: int = 0, threads: int | None = None, show_progress: bool | None = None,
) -> Estimate:  # fmt: skip
    """The mean time at which paths from x0 first enter a region, with its standard error; `.samples` (n_paths,) are the times.

    region: a predicate of x (dim,), as `lambda x: x[0] > 0.9`. A path looked at every dt only seems to arrive late, by O(sqrt(dt)); with
    `corrected=True` the region is widened by 0.5826 standard deviations of a step, which leaves O(dt) (Broadie, Glasserman, Kou, Math.
    Finance 7, 325 (1997); Gobet and Menozzi, Stoch. Proc. Appl. 120, 130 (2010)). n_paths: default 1000.

    Raises `CensoredError`, with the times that are known, if some paths have not arrived by t_max (their mean would be biased), if none
    arrives for very long, or at Ctrl-C; ValueError if x0 lies in the region; `BlowUpError` if a path is lost.
    """
    process = checked_process(problem)
    start = starting_points(x0, process.dim, 1000 if n_paths is None and np.ndim(x0) == 1 else n_paths)
    target = Region.of(region, process.dim)
    dt = checks.positive("dt", dt)
    refuse_unstable(process, dt, method)
    if np.any(target.contains(start)):
        raise ValueError(
            f"got x0={start[np.argmax(target.contains(start))]} inside the region, expected a point outside"
        )
    level, warnings = _level(process, target, dt, corrected)
    limit = randomness.MAX_STEPS if t_max is None else checks.steps(t_max, dt)
    random = variates(noise, rng)
    clock = Clock(dt, 1, randomness.key(checks.seed_sequence(seed), stream), np.array([process.T]), random)
    course = Course(check_method(method).steps_of(problem, dt), clock, (Watch(arrivals, 1, level, record=np.array([-1.0])),))
    with thread_pool(threads) as workers, progress("first passage", show_progress) as tell:
        times = _Race(process, course, start, limit, t_max is not None, tell, workers).run()
    return of_samples(times, f"{len(times)} paths, dt={dt:g}", warnings)


def _level(process: Langevin, target: Region, dt: float, corrected: bool) -> tuple[Field, tuple[str, ...]]:
    """The field whose sign says "arrived", and what to warn of."""
    late = ("arrivals are seen only every dt: the mean is too large by O(sqrt(dt)); compare with dt/4",)
    if not corrected:
        return target.level(), late
    widened = target.widened_level(process.D.matrix, OVERSHOOT * float(np.sqrt(2 * process.T * dt)))
    return (target.level(), late) if widened is None else (widened, ())


@dataclass
class _Race:
    """Paths that walk until they arrive; those that have are taken out from time to time."""

    process: Langevin
    course: Course
    start: Floats
    limit: int
    limited: bool
    tell: Progress
    workers: Workers
    now: int = 0

    def run(self) -> Floats:
        times = np.full(len(self.start), np.nan)
        waiting = np.arange(len(self.start))
        x = self.start
        try:
            while len(waiting):
                waiting, x = self._lap(times, waiting, x)
                self.tell(1 - len(waiting) / len(times))
        except KeyboardInterrupt as interrupt:
            raise self._censored(times, "at Ctrl-C") from interrupt
        return times

    def _lap(self, times: Floats, waiting: Any, x: Floats) -> tuple[Any, Floats]:
        """Walk the waiting paths until enough have arrived to make it worth while to close the ranks."""
        numbers = waiting.astype(np.uint64)
        moving = Walkers(self.course, x, numbers, self.workers)
        arrived = np.zeros(len(waiting), dtype=bool)
        while arrived.mean() <= 1 - COMPACT_BELOW and not arrived.all():
            count = min(self._slice(len(waiting)), self.limit - self.now)
            if count <= 0 or self._hopeless(times):
                raise self._censored(times, f"by t={self.now * self.course.clock.dt:g}")
            moving.advance(self.now, count)
            self.now += count
            found, x = moving.recorded()[:, 0], moving.points()
            arrived = found >= 0
            times[waiting[arrived]] = found[arrived]
            diagnosis.check_finite(
                self.process, self.course, np.where(arrived[:, None], 0.0, x), self.start[waiting], numbers, self.now
            )
        return waiting[~arrived], x[~arrived]

    def _slice(self, n: int) -> int:
        return int(max(16, min(max(FIRST_SLICE, self.now // 4), WORK / (n * self.process.dim))))

    def _hopeless(self, times: Floats) -> bool:
        return not self.limited and bool(np.all(np.isnan(times))) and self.now * self.start.size > HOPELESS_WORK

    def _censored(self, times: Floats, when: str) -> CensoredError:
        missing = int(np.isnan(times).sum())
        limit = self.now * self.course.clock.dt
        if missing == len(times):
            message = f"none of {missing} paths had reached the region {when}; check that it can be reached, or type a larger t_max"
        else:
            rate = (np.nansum(times) + missing * limit) / (len(times) - missing)
            message = (
                f"{missing} of {len(times)} paths had not reached the region {when}; the mean of the others would be too small; type a larger "
                f"t_max (if arrivals are a Poisson process, the mean is {rate:.4g})"
            )
        return CensoredError(message, times=times, waiting=missing, limit=limit)
