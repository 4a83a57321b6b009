"""Adaptive multilevel splitting: paths that fall behind are replaced by branches of those that are ahead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.sde.climbing import THERE
from sgdyn.sde.excursions import NEVER, Excursions

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

MOST_PATHS = 2**32
"""Paths that one repetition may number."""


@dataclass
class Source:
    """The randomness of one repetition: numbers of fresh paths, and draws of parents; a function of (seed, stream, repetition)."""

    seed: np.random.SeedSequence
    stream: int
    repetition: int
    used: int = 0
    draws: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        own = (*self.seed.spawn_key, self.stream, self.repetition)
        self.draws = np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed.entropy, spawn_key=own)))

    def numbers(self, count: int) -> NDArray[np.uint64]:
        """Numbers of paths that nobody has had."""
        first = self.repetition * MOST_PATHS + self.used
        self.used += count
        if self.used > MOST_PATHS:
            raise ValueError(f"got more than {MOST_PATHS} paths in one repetition, expected fewer; type fewer walkers")
        return np.arange(count, dtype=np.uint64) + np.uint64(first)


@dataclass
class Herd:
    """Paths of several repetitions (n): the rungs they have passed, and the points (n, rungs + 1, dim) where they did so first."""

    rung: Places
    points: Floats

    @classmethod
    def at(cls, x: Floats, passed: Places, rungs: int) -> Herd:
        """Paths that begin at points (n, dim), above so many rungs."""
        return cls(passed.copy(), np.repeat(x[:, None], rungs + 1, axis=1))

    def branches(self, places: Any, rung: Places) -> Herd:
        """Copies of the paths at `places` up to where they first stood above `rung` rungs (those that a leap took at once included)."""
        points, here = self.points[places], np.arange(len(rung))
        same = np.all(points == points[here, rung][:, None], axis=-1)
        beyond = np.arange(points.shape[1]) > rung[:, None]
        reached = np.arange(points.shape[1]) < self.rung[places][:, None]
        return Herd(rung + 1 + np.sum(same & beyond & reached, axis=1), points)

    @property
    def ends(self) -> Floats:
        """Where the paths go on from (n, dim)."""
        return np.ascontiguousarray(self.points[np.arange(len(self.rung)), self.rung - 1])

    def climb(self, excursions: Excursions, start: Floats, numbers: NDArray[np.uint64], goal: float = NEVER) -> Any:
        """Walk on from points (n, dim), except for paths that are in b or have passed `goal` rungs; returns which came to b."""
        top = self.points.shape[1]
        moving = np.flatnonzero(self.rung < min(top, goal))
        found = excursions.climb(start[moving], numbers[moving], goal)
        fresh = np.arange(top) >= self.rung[moving, None]
        self.points[moving] = np.where(fresh[..., None], found.points, self.points[moving])
        self.rung[moving] = np.maximum(self.rung[moving], found.rung)
        self.rung[moving[found.end == THERE]] = top
        return self.rung == top


@dataclass(frozen=True)
class AdaptiveMultilevelSplitting:
    """Each of `walkers` paths runs until it enters a or b. Then, again and again, the `discarded` fraction that came least far (and
    what came no farther) ends, and is replaced by branches of others, drawn at random, from where they first were farther.

        P = product over the rounds of (1 - ended/walkers),

    times the share that is in b at the end. Its mean is exactly the probability of the paths with steps dt, whatever the score; the
    score decides about its variance, which is about -log P/walkers at best. Sources: Cérou and Guyader, Stoch. Anal. Appl. 25, 417
    (2007); unbiased: Bréhier, Gazeau, Goudenège, Lelièvre, Rousset, Ann. Appl. Probab. 26, 3559 (2016), theorem 4.1.
    """

    walkers: int = 128
    discarded: float = 0.25

    name = "adaptive multilevel splitting"

    def __post_init__(self) -> None:
        checks.count("walkers", self.walkers, least=2)
        if not 0 < checks.number("discarded", self.discarded) < 1:
            raise ValueError(f"got discarded={self.discarded:g}, expected a fraction in (0, 1); type discarded=0.25")

    @property
    def starts(self) -> int:
        """Points that a repetition begins with."""
        return self.walkers

    def planned(
        self, excursions: Excursions, start: Floats, passed: Places, source: Source
    ) -> AdaptiveMultilevelSplitting:
        """Nothing has to be known beforehand."""
        return self

    def probabilities(
        self, excursions: Excursions, start: Floats, passed: Places, sources: Sequence[Source], tell: Callable[[float], None]
    ) -> Floats:  # fmt: skip
        """The estimates (repetitions,) for paths from points (repetitions, walkers, dim) that stand above `passed` rungs."""
        count, top = len(sources), len(excursions.rungs) + 1
        herd = Herd.at(start.reshape(-1, start.shape[-1]), passed.ravel(), top - 1)
        herd.climb(excursions, start.reshape(-1, start.shape[-1]), numbers_of(sources, np.full(count, self.walkers)))
        weights = np.ones(count)
        while True:
            rung = herd.rung.reshape(count, self.walkers)
            level = np.sort(rung, axis=1)[:, ceil(self.discarded * self.walkers) - 1]
            ended = (rung <= level[:, None]) & (level < top)[:, None]
            weights *= 1 - ended.mean(axis=1)
            ended &= (weights > 0)[:, None]
            if not ended.any():
                return np.asarray(weights * np.mean(rung == top, axis=1))
            self._branch(excursions, herd, ended, level, sources)
            tell(
                float(
                    np.mean(np.min(herd.rung.reshape(rung.shape), axis=1, where=(weights > 0)[:, None], initial=top))
                    / top
                )
            )

    def _branch(self, excursions: Excursions, herd: Herd, ended: Any, level: Places, sources: Sequence[Source]) -> None:
        """Replace the paths that have ended (repetitions, walkers) by branches of the others of their repetition."""
        parents = [
            r * self.walkers + source.draws.choice(np.flatnonzero(~gone), int(gone.sum()))
            for r, (source, gone) in enumerate(zip(sources, ended, strict=True))
            if gone.any()
        ]
        repetition, places = np.nonzero(ended)[0], np.flatnonzero(ended)
        young = herd.branches(np.concatenate(parents), level[repetition])
        young.climb(excursions, young.ends, numbers_of(sources, ended.sum(axis=1)))
        herd.rung[places], herd.points[places] = young.rung, young.points


def numbers_of(sources: Sequence[Source], counts: Any) -> NDArray[np.uint64]:
    """Numbers of fresh paths, so many of each repetition."""
    return np.concatenate([source.numbers(int(n)) for source, n in zip(sources, counts, strict=True)])
