"""Paths that walk until they arrive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sgdyn.errors import CensoredError
from sgdyn.problem import Langevin
from sgdyn.progress import Progress
from sgdyn.sde import diagnosis
from sgdyn.sde.course import Course
from sgdyn.sde.walkers import Walkers, Workers

Floats = NDArray[np.float64]

FIRST_SLICE, WORK = 64, 2e7
COMPACT_BELOW = 0.7
"""Part of the paths that still wait, below which the others are taken out."""


@dataclass
class Race:
    """Paths that walk until they arrive; those that have are taken out from time to time.

    It is over before all have arrived after `limit` steps, or after `patience` if none has.
    """

    process: Langevin
    course: Course
    start: Floats
    limit: int
    patience: float
    tell: Progress
    workers: Workers
    first_path: int
    precision: str
    now: int = 0
    over: bool = False
    work: ClassVar[float] = WORK

    def run(self) -> Floats:
        """The times of arrival, NaN for the paths that had not arrived when it was over."""
        times = np.full(len(self.start), np.nan)
        waiting = np.arange(len(self.start))
        x = self.start
        try:
            while len(waiting) and not self.over:
                waiting, x = self._lap(times, waiting, x)
                self.tell(1 - len(waiting) / len(times))
        except KeyboardInterrupt as interrupt:
            raise censored(times, self.now * self.course.clock.dt, "at Ctrl-C") from interrupt
        return times

    def _lap(self, times: Floats, waiting: Any, x: Floats) -> tuple[Any, Floats]:
        """Walk the waiting paths until enough have arrived to make it worth while to close the ranks."""
        numbers = waiting.astype(np.uint64) + np.uint64(self.first_path)
        moving = self._walkers(x, numbers)
        arrived = np.zeros(len(waiting), dtype=bool)
        while arrived.mean() <= 1 - COMPACT_BELOW and not arrived.all():
            count = min(self._slice(len(waiting)), self.limit - self.now)
            if count <= 0 or (self.now > self.patience and np.all(np.isnan(times))):
                self.over = True
                break
            moving.advance(self.now, count)
            self.workers.check()
            before, first, seen = x, self.now, arrived
            self.now += count
            found, x = moving.recorded()[:, 0], moving.points()
            arrived = found >= 0
            times[waiting[arrived]] = found[arrived]
            new = np.flatnonzero(arrived & ~seen)
            diagnosis.check_arrivals(
                self.process,
                self.course,
                (before[new], first),
                x[new],
                self.start[waiting[new]],
                numbers[new],
                found[new],
            )
            diagnosis.check_finite(
                self.process, self.course, np.where(arrived[:, None], 0.0, x), self.start[waiting], numbers, self.now
            )
        return waiting[~arrived], x[~arrived]

    def _walkers(self, x: Floats, numbers: NDArray[np.uint64]) -> Any:
        """Paths from the points x that record when they arrive."""
        return Walkers(self.course, x, numbers, self.workers)

    def _slice(self, n: int) -> int:
        return int(max(16, min(max(FIRST_SLICE, self.now // 4), self.work / (n * self.process.dim))))


def censored(times: Floats, limit: float, when: str) -> CensoredError:
    """What says that the paths without a time, NaN, had not arrived at `limit`."""
    missing = int(np.isnan(times).sum())
    if missing == len(times):
        message = f"none of {missing} paths had reached the region {when}; check that it can be reached, or type a larger t_max"
    else:
        rate = (np.nansum(times) + missing * limit) / (len(times) - missing)
        message = (
            f"{missing} of {len(times)} paths had not reached the region {when}; the mean of the others would be too small; type a larger "
            f"t_max (if arrivals are a Poisson process, the mean is {rate:.4g})"
        )
    return CensoredError(message, times=times, waiting=missing, limit=limit)
