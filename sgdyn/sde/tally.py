"""Sums over the paths of an ensemble of any size, unit by unit."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.problem import Langevin
from sgdyn.progress import Progress
from sgdyn.sde import diagnosis, few
from sgdyn.sde.boundaries import absorbs
from sgdyn.sde.course import WIDEST, WIDTH, Clock, Confinement, Course
from sgdyn.sde.methods.plan import Plan
from sgdyn.sde.portions import portions
from sgdyn.sde.setting import Observable, Setting
from sgdyn.sde.simulation import slices
from sgdyn.sde.walkers import Walkers, Workers

Floats = NDArray[np.float64]

GROUPS = 20
"""Groups of paths, or of stretches of time, from which errors are found by leaving out one at a time."""


ROOM, PATHS_AT_ONCE = 32 * 2**20, 2**14
"""Bytes of records, and paths of a thread, that are worked on at once."""


@dataclass(frozen=True)
class Span:
    """The steps from which, up to which and at which is looked."""

    first: int
    last: int
    every: int

    def stretches(self, count: int) -> list[tuple[int, int]]:
        """(first, count) of nearly equal stretches of steps, each a whole number of looks, the first at or after `first`."""
        begin = max(0, -(-self.first // self.every) - 1)
        looks = self.last // self.every - begin
        if looks < count:
            raise ValueError(
                f"got {max(0, looks)} looks at each path, expected at least {count}; type a longer t, a smaller `every`, or more paths"
            )
        bounds = [begin + looks * i // count for i in range(count + 1)]
        return [(i * self.every, (j - i) * self.every) for i, j in itertools.pairwise(bounds)]


@dataclass
class Sums:
    """Sums of samples over the groups, (groups, k) by name, and how many looks at paths stand in each group."""

    weights: Floats
    sums: dict[str, Floats] = field(default_factory=dict)
    done: int = 0
    interrupted: bool = False

    def add(self, name: str, groups: Any, samples: Floats, looks: int) -> None:
        """Add samples (paths, k) of so many looks to a group, or to one group for each path."""
        total = self.sums.setdefault(name, np.zeros((len(self.weights), samples.shape[1])))
        total[groups] += looks * (samples if isinstance(groups, slice) else samples.sum(axis=0))

    @classmethod
    def total(cls, parts: Iterable[Sums]) -> Sums:
        """The sums over all portions, in their order, up to the first that was interrupted."""
        whole: Sums | None = None
        for part in parts:
            whole = part if whole is None else whole.plus(part)
            if part.interrupted:
                break
        if whole is None or not whole.done:
            raise KeyboardInterrupt
        return whole

    def plus(self, other: Sums) -> Sums:
        """Both together."""
        sums = {name: self.sums[name] + other.sums.get(name, 0.0) for name in self.sums}
        return Sums(self.weights + other.weights, sums, self.done + other.done, other.interrupted)


@dataclass
class Tally:
    """An ensemble that is walked one unit (a block of paths with fixed numbers) after the other, so that threads change no bit."""

    process: Langevin
    plan: Plan
    clock: Clock
    confinement: Confinement
    observables: dict[str, Observable]
    span: Span
    start: Floats
    first_path: int

    def __post_init__(self) -> None:
        n = len(self.start)
        course = Course(self.plan, self.clock)
        widest, narrow = course.width(self.process.dim, n, 1), few.way(course, n, 1)[1]
        self.width = narrow or max(WIDTH, min(widest, WIDEST, math.ceil(n / GROUPS) // WIDTH * WIDTH))
        units = math.ceil(n / self.width)
        once = any(o.once for o in self.observables.values())
        self.by_path = units < GROUPS
        if once and n < 2:
            raise ValueError(
                "got one path for an observable that is one number for each path, expected at least 2; type a larger n_paths"
            )
        scarce = self.by_path and not once and n < GROUPS
        self.stretches = self.span.stretches(math.ceil(GROUPS / n) if scarce else 1)
        self.groups = n * len(self.stretches) if self.by_path else GROUPS
        self.quantities: dict[Any, Any] = {}
        self.shifts: dict[Any, Floats] = {}

    def run(self, workers: Workers, tell: Progress) -> Sums:
        """The sums over all paths, portion by portion as an executor would find them."""
        n = len(self.start)
        return Sums.total(
            self.portion(begin, end, workers, lambda f, begin=begin, end=end: tell((begin + f * (end - begin)) / n))
            for begin, end in portions(n, self.width)
        )

    def portion(self, begin: int, end: int, workers: Workers, tell: Progress) -> Sums:
        """The sums over the paths [begin, end); Ctrl-C ends them early."""
        sums = Sums(np.zeros(self.groups))
        try:
            for first, last in self._batches(begin, end, workers.threads):
                self._walk(first, last, workers, sums)
                sums.done += last - first
                tell((last - begin) / (end - begin))
        except KeyboardInterrupt:
            sums.interrupted = True
        return sums

    def _batches(self, begin: int, end: int, threads: int) -> Iterator[tuple[int, int]]:
        """Paths [first, last) to walk at once: whole units, and what is left over by itself."""
        size = self.width * self._units_at_once(threads)
        whole = begin + (end - begin) // self.width * self.width
        yield from ((first, min(first + size, whole)) for first in range(begin, whole, size))
        if whole < end:
            yield whole, end

    def _units_at_once(self, threads: int) -> int:
        """Enough units that a call is worth its while, few enough that their records fit into `ROOM`."""
        watches = [o.watch(self._setting(self.width)) for o in self.observables.values()]
        floats = (
            sum(w.record.size * (self.width if w.record.ndim == 1 else 1) for w in watches)
            + 2 * self.process.dim * self.width
        )
        return max(threads, min(ROOM // (8 * floats), threads * max(1, PATHS_AT_ONCE // self.width)))

    def _setting(self, paths: int) -> Setting:
        every = self.span.every
        return Setting(
            self.process.dim,
            self.start[0],
            every * self.clock.dt,
            every,
            paths,
            self.by_path,
            self.quantities,
            self.shifts,
        )

    def _walk(self, begin: int, end: int, workers: Workers, sums: Sums) -> None:
        numbers = np.arange(begin, end, dtype=np.uint64) + np.uint64(self.first_path)
        setting = self._setting(min(self.width, end - begin))
        watches = tuple(o.watch(setting) for o in self.observables.values())
        start = points = np.ascontiguousarray(self.start[begin:end])
        unwatched = self.stretches[0][0]
        if unwatched:
            moving = Walkers(Course(self.plan, self.clock, (), self.confinement), start, numbers, workers, self.width)
            self._advance(moving, start, numbers, 0, unwatched)
            points = moving.points()
        for stretch, (first, count) in enumerate(self.stretches):
            watching = Course(self.plan, self.clock, watches, self.confinement)
            moving = Walkers(watching, points, numbers, workers, self.width)
            self._advance(moving, start, numbers, first, count)
            points = moving.points()
            self._add(sums, moving, begin, stretch, count // self.span.every, setting)

    def _advance(self, moving: Walkers, start: Floats, numbers: Any, first: int, count: int) -> None:
        for begin, some in slices(count, start.size):
            moving.advance(first + begin, some)
            moving.workers.check()
            if not absorbs(self.confinement):
                diagnosis.check_finite(
                    self.process, moving.course, moving.points(), start, numbers, first + begin + some
                )

    def _add(self, sums: Sums, moving: Walkers, begin: int, stretch: int, looks: int, setting: Setting) -> None:
        """Add what was recorded to the groups of its paths."""
        for unit in range(len(moving.x)):
            path = begin + unit * self.width
            paths = min(self.width, moving.n - unit * self.width)
            groups = self._groups(path, paths, stretch)
            for number, (name, observable) in enumerate(self.observables.items()):
                record = moving.records[number][unit]
                samples = observable.samples(record if observable.shared else record[:, :paths], setting, looks)
                sums.add(name, groups, samples, looks)
            sums.weights[groups] += looks if self.by_path else paths * looks

    def _groups(self, path: int, paths: int, stretch: int) -> Any:
        """One group for each of the paths in a stretch of time, or one for the whole unit."""
        first = stretch * len(self.start) + path
        return slice(first, first + paths) if self.by_path else path // self.width % self.groups

    def results(self, sums: Sums) -> dict[str, Any]:
        """The answers with their errors."""
        setting, dt = self._setting(self.width), self.clock.dt
        method = f"{sums.done} path{'s' * (sums.done > 1)}, {self.span.first * dt:g} <= t <= {self.span.last * dt:g}, dt={dt:g}"
        used = sums.weights > 0
        return {
            name: self._result(observable, sums.sums[name][used], sums.weights[used], setting, method)
            for name, observable in self.observables.items()
        }

    @staticmethod
    def _result(observable: Observable, sums: Floats, weights: Floats, setting: Setting, method: str) -> Any:
        value = observable.value(sums.sum(axis=0) / weights.sum(), setting)
        if len(weights) < 2:
            return observable.result(
                value, np.full(np.shape(value), np.nan), setting, f"{method}; too few for an error"
            )
        without = [
            observable.value((sums.sum(axis=0) - s) / (weights.sum() - w), setting)
            for s, w in zip(sums, weights, strict=True)
        ]
        spread = np.asarray(without) - np.mean(without, axis=0)
        error = np.sqrt((len(without) - 1) / len(without) * np.sum(spread**2, axis=0))
        return observable.result(value, error, setting, method)
