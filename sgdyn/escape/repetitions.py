"""Independent repetitions of a way to sample rare events: what is asked, and the work, here or by an executor."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks, randomness
from sgdyn.escape.forward_flux import ForwardFlux
from sgdyn.escape.ladders import Ladder
from sgdyn.escape.splitting import AdaptiveMultilevelSplitting, Source
from sgdyn.fields import Field
from sgdyn.problem import Langevin, Momentum
from sgdyn.progress import Progress, progress
from sgdyn.region import OVERSHOOT, Region
from sgdyn.sde.boundaries import check_inside, walls_of
from sgdyn.sde.course import Clock, Confinement, Course
from sgdyn.sde.excursions import Excursions, heights
from sgdyn.sde.methods.euler_maruyama import EulerMaruyama
from sgdyn.sde.portions import Task, portions, spread
from sgdyn.sde.requests import checked_process, refuse_unstable
from sgdyn.sde.variates import variates
from sgdyn.sde.walkers import Workers, thread_pool

Floats = NDArray[np.float64]
Sampler = AdaptiveMultilevelSplitting | ForwardFlux

LONGEST = 4e10
"""Component-steps of one round after which paths that come to neither region are given up."""
TOGETHER = 8
"""Repetitions that are walked together, and done together when Ctrl-C comes."""
PILOT = 2**31
"""The repetition of the run that places interfaces."""
UNRELIABLE = 1.0
"""Spread of single repetitions, relative to their mean, beyond which the error is itself uncertain."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A checked request. passages: (unseen, seen) of the first rung that paths make before they begin to climb; (0, 0): they begin at the start."""

    problem: Langevin | Momentum
    start: Floats
    regions: tuple[Any, Region]
    ladder: Ladder
    dt: float
    correction: str | None
    boundary: Confinement | None
    method: Sampler
    seed: np.random.SeedSequence
    stream: int
    passages: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        process = checked_process(self.problem)
        refuse_unstable(process, checks.positive("dt", self.dt), EulerMaruyama())
        check_inside(walls_of(self.boundary, self.problem), self.start[None])
        if self.correction not in ("shift", None):
            raise ValueError(f"got correction={self.correction!r}, expected 'shift' or None")

    def excursions(self, workers: Workers) -> Excursions:
        """The means to walk."""
        process = checked_process(self.problem)
        levels = [self._level(region, process) for region in self.regions]
        clock = Clock(
            self.dt, 1, randomness.key(self.seed, self.stream), np.array([process.T]), variates("double", "philox")
        )
        course = Course(
            EulerMaruyama().steps_of(self.problem, self.dt), clock, (), walls_of(self.boundary, self.problem)
        )
        quantity = heights(self.ladder.score, *levels)
        return Excursions(process, course, quantity, self.ladder.rungs, workers, LONGEST)

    def _level(self, region: Any, process: Langevin) -> Field:
        """The level of a region, widened by the mean overshoot; a field is its own level."""
        if not isinstance(region, Region):
            return region  # type: ignore[no-any-return]
        if self.correction is None:
            return region.level()
        widened = region.widened_level(process.D.matrix, OVERSHOOT * float(np.sqrt(2 * process.T * self.dt)))
        return region.level() if widened is None else widened

    @property
    def unshifted(self) -> bool:
        """Whether the correction that was asked for cannot be made."""
        return (
            self.correction is not None
            and self.regions[1].widened_level(checked_process(self.problem).D.matrix, 1.0) is None
        )


@dataclass
class Found:
    """Of the repetitions that are done: probabilities (n,), and the mean times between passages, in an earlier and a later half (n, 2)."""

    probabilities: Floats
    times: Floats


def checked_sampler(method: Any) -> Sampler:
    if not isinstance(method, Sampler):
        raise TypeError(
            f"got method={method!r}, expected a way to sample rare events; type method=sg.AdaptiveMultilevelSplitting()"
        )
    return method


def performed(
    asked: Asked, repetitions: int, threads: int | None, executor: Executor | None, show_progress: bool | None
) -> Found:
    """All repetitions, or those that were done when Ctrl-C came."""
    count = checks.count("repetitions", repetitions, least=2)
    parts: list[Found] = []
    with progress("rare events", show_progress) as tell, contextlib.suppress(KeyboardInterrupt):
        parts.extend(_parts(_planned(asked, threads), count, threads, executor, tell))
    if sum(len(part.probabilities) for part in parts) < 2:
        raise KeyboardInterrupt
    return Found(np.concatenate([p.probabilities for p in parts]), np.concatenate([p.times for p in parts]))


def _parts(asked: Asked, count: int, threads: int | None, executor: Executor | None, tell: Progress) -> Iterator[Found]:
    if executor is not None:
        tasks: list[Task] = [(repeat, (asked, begin, end, 1), {}) for begin, end in portions(count, TOGETHER)]
        yield from spread(executor, tasks, tell)
        return
    for begin in range(0, count, TOGETHER):
        end = min(begin + TOGETHER, count)
        yield repeat(asked, begin, end, threads, lambda f, b=begin, e=end: tell((b + f * (e - b)) / count))


def _planned(asked: Asked, threads: int | None) -> Asked:
    """The request with its method's plan made."""
    if not isinstance(asked.method, ForwardFlux) or asked.method.interfaces:
        return asked
    with thread_pool(threads) as workers:
        walk, source = asked.excursions(workers), Source(asked.seed, asked.stream, PILOT)
        start, passed, _ = _starts(asked, walk, [source])
        return replace(asked, method=asked.method.planned(walk, start[0], passed[0], source))


def repeat(asked: Asked, begin: int, end: int, threads: int | None, tell: Progress = lambda _: None) -> Found:
    """The repetitions begin, ..., end - 1."""
    sources = [Source(asked.seed, asked.stream, repetition) for repetition in range(begin, end)]
    with thread_pool(threads) as workers:
        walk = asked.excursions(workers)
        start, passed, times = _starts(asked, walk, sources)
        return Found(asked.method.probabilities(walk, start, passed, sources, tell), times)


def _starts(asked: Asked, walk: Excursions, sources: list[Source]) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Where climbs begin (repetitions, n, dim), the rungs they stand above, and the mean times between passages (repetitions, 2)."""
    count, n, dim = len(sources), asked.method.starts, len(asked.start)
    if asked.passages == (0, 0):
        start = np.tile(asked.start, (count, n, 1))
        return start, asked.ladder.passed(start), np.full((count, 2), np.nan)
    numbers = np.concatenate([source.numbers(n) for source in sources])
    made = walk.trips(asked.start, numbers, *asked.passages)
    start = made.points.reshape(count, n, dim)
    times = np.stack([made.early, made.late], axis=-1).reshape(count, n, 2).mean(axis=1)
    return start, np.maximum(asked.ladder.passed(start), 1), times


def described(found: Found, asked: Asked, repetitions: int) -> tuple[str, tuple[str, ...]]:
    """How the numbers were found, and what makes them less certain."""
    p, notes = found.probabilities, []
    method = f"{asked.method.name}, {len(p)} repetitions of {asked.method.starts} paths, dt={asked.dt:g}"
    if len(p) < repetitions:
        notes.append(f"interrupted: {len(p)} of {repetitions} repetitions are done")
    lost = int(np.sum(p == 0))
    if lost:
        notes.append(
            f"in {lost} of {len(p)} repetitions no path arrived: the error may be too small; type more paths, or another score"
        )
    elif p.std(ddof=1) > UNRELIABLE * p.mean():
        notes.append(
            f"single repetitions scatter by {p.std(ddof=1) / p.mean():.1f} times their mean, so that the error is itself uncertain; type "
            "more paths, or another score"
        )
    if asked.unshifted:
        notes.append("arrivals are seen only every dt: times are too long by O(sqrt(dt)); compare with dt/4")
    return method, tuple(notes)


def nobody(found: Found, asked: Asked) -> str:
    return (
        f"no path arrived in {len(found.probabilities)} repetitions of {asked.method.starts} paths on {len(asked.ladder.rungs)} levels; check that "
        "the region can be reached, or type more levels (between which a path should pass with a probability of 0.1 or more), more paths, or another score"
    )
