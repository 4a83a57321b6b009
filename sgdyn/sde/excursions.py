"""Paths that are walked until each has come to its own end: climbs towards a region, and trips out of another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.codegen.formula import Formula, combined
from sgdyn.errors import CensoredError
from sgdyn.fields import Field, Opaque
from sgdyn.problem import Langevin
from sgdyn.sde import climbing, diagnosis
from sgdyn.sde.boundaries import absorbs
from sgdyn.sde.course import Course, Watch
from sgdyn.sde.walkers import Walkers, Workers, into_blocks

Floats = NDArray[np.float64]
Numbers = NDArray[np.uint64]
Places = NDArray[np.int64]

FIRST_SLICE, WORK = 64, 2e7
COMPACT_BELOW = 0.5
NEVER = np.inf


def heights(score: Field, a: Field, b: Field) -> Field:
    """The field (3,) of the score and the levels of two regions, compiled where all are formulas."""
    if isinstance(score, Formula) and isinstance(a, Formula) and isinstance(b, Formula):
        return combined("heights", [score, a, b], (3,), lambda s, f, g: np.concatenate([np.ravel(s), f, g]))
    parts = (score, a, b)
    function: Callable[..., Any] = lambda x: np.stack([np.reshape(f(x), x.shape[:-1]) for f in parts], axis=-1)  # noqa: E731
    return Opaque(function, a.dim, (3,), name="the score and the regions")


@dataclass(frozen=True)
class Climbed:
    """What became of paths (n): how they ended (see `climbing`), rungs they passed, and the points (n, rungs + 1, dim) where they did."""

    end: Places
    rung: Places
    points: Floats


@dataclass(frozen=True)
class Trips:
    """Passages of the first rung by paths (n): the last point (n, dim), the times of the earlier and the later half, and entries into b."""

    points: Floats
    early: Floats
    late: Floats
    arrived: Places


@dataclass(frozen=True)
class Excursions:
    """The means to walk paths of a process on a ladder of scores `rungs`, between the regions whose levels are in `quantity`.

    longest: component-steps of all paths together after which those that are still under way are given up.
    """

    process: Langevin
    course: Course
    quantity: Field
    rungs: Floats
    workers: Workers
    longest: float

    def climb(self, start: Floats, numbers: Numbers, goal: float = NEVER) -> Climbed:
        """Walk paths from points (n, dim) until they enter a or b, or have passed `goal` rungs."""
        n, dim, rungs = len(start), start.shape[1], len(self.rungs)
        head = climbing.CLIMB_ROWS
        record = np.zeros(head + (rungs + 1) * dim)
        record[6] = self.rungs[0]
        psi = np.concatenate([self.rungs, [goal, rungs]])
        found = self._walk(start, numbers, Watch(climbing.climbs, 1, self.quantity, psi, record))
        points = found[:, head:].reshape(n, rungs + 1, dim)
        return Climbed(found[:, 0].astype(np.int64), found[:, 1].astype(np.int64), points)

    def trips(self, start: Floats, numbers: Numbers, unseen: int, seen: int) -> Trips:
        """Walk paths from one point (dim,) through `unseen` and then `seen` (an even number) passages of the first rung."""
        head = climbing.TRIP_ROWS
        record = np.zeros(head + len(start))
        record[2] = 1.0
        psi = np.concatenate([start, [self.rungs[0], unseen, unseen + seen]])
        points = np.broadcast_to(start, (len(numbers), len(start)))
        found = self._walk(points, numbers, Watch(climbing.trips, 1, self.quantity, psi, record))
        half = seen // 2
        early, late = (found[:, 9] - found[:, 3]) / half, (found[:, 4] - found[:, 9]) / half
        return Trips(found[:, head:], early, late, found[:, 5].astype(np.int64))

    def _walk(self, start: Floats, numbers: Numbers, watch: Watch) -> Floats:
        """The records (n, rows) of all paths when each has come to its end."""
        course = replace(self.course, watches=(watch,))
        found = np.tile(watch.record, (len(start), 1))
        waiting, x, now = np.arange(len(start)), np.ascontiguousarray(start), 0
        while len(waiting):
            moving = Walkers(course, x, numbers[waiting], self.workers)
            width = moving.x.shape[2]
            moving.records[0][:] = into_blocks(found[waiting], numbers[waiting], width, False)[0]
            ended = np.zeros(len(waiting), dtype=bool)
            while ended.mean() <= 1 - COMPACT_BELOW:
                self._check_patience(now, len(waiting), found)
                first, count = now, self._slice(now, x.size)
                moving.advance(first, count)
                self.workers.check()
                before, x, now, seen = x, moving.points(), first + count, ended
                records = moving.recorded()
                ended = records[:, 0] > 0
                self._check(course, start[waiting], numbers[waiting], (before, first), x, records, ended & ~seen, now)
            found[waiting] = records
            waiting, x = waiting[~ended], np.ascontiguousarray(x[~ended])
        return found

    def _slice(self, now: int, size: int) -> int:
        return int(max(16, min(max(FIRST_SLICE, now // 2), WORK / size)))

    def _check(
        self, course: Course, start: Floats, numbers: Numbers, before: tuple[Floats, int], x: Floats, records: Floats, new: Any, now: int,
    ) -> None:  # fmt: skip
        """Raise `BlowUpError` if a path is lost, or has come to its end because its steps were unstable."""
        fresh = np.flatnonzero(new & (records[:, 0] != climbing.STOPPED))
        diagnosis.check_arrivals(
            self.process, course, (before[0][fresh], before[1]), x[fresh], start[fresh], numbers[fresh], records[fresh, 2],
        )  # fmt: skip
        if not absorbs(course.confinement):
            alive = np.where(records[:, :1] > 0, 0.0, x)
            diagnosis.check_finite(self.process, course, alive, start, numbers, now)

    def _check_patience(self, now: int, waiting: int, found: Floats) -> None:
        """Give up paths that stay where neither region is."""
        if now * waiting * self.process.dim <= self.longest:
            return
        dt = self.course.clock.dt
        times = np.where(found[:, 0] > 0, found[:, 2], np.nan)
        raise CensoredError(
            f"{waiting} of {len(found)} paths had come to neither region after the time {now * dt:g}; there may be a third well on the way, "
            "or none where the paths are to return to; type regions that contain all places where paths stay for long",
            times=times,
            waiting=waiting,
            limit=now * dt,
        )
