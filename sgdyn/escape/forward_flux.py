"""Forward flux sampling: stage by stage over fixed interfaces, with fresh trials from where the successful ones arrived."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.errors import NotConvergedError
from sgdyn.escape.splitting import Herd, Source, numbers_of
from sgdyn.sde.excursions import Excursions

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class ForwardFlux:
    """`trials` paths from each interface run until they enter a, b or pass the next one; P is the product of the shares that do.

    The interfaces are rungs of the ladder, placed by a run of its own so that about the share `success` arrives. P is unbiased for the
    paths with steps dt. Source: Allen, Warren, ten Wolde, Phys. Rev. Lett. 94, 018104 (2005); placing: Kratzer, Arnold, Allen, J.
    Chem. Phys. 138, 164112 (2013).
    """

    trials: int = 256
    success: float = 0.3
    interfaces: tuple[int, ...] = ()

    name = "forward flux sampling"

    def __post_init__(self) -> None:
        checks.count("trials", self.trials, least=2)
        if not 0 < checks.number("success", self.success) < 1:
            raise ValueError(f"got success={self.success:g}, expected a share in (0, 1); type success=0.3")

    @property
    def starts(self) -> int:
        """Points that a repetition begins with."""
        return self.trials

    def planned(self, excursions: Excursions, start: Floats, passed: Places, source: Source) -> ForwardFlux:
        """The same with its interfaces placed, by paths from points (n, dim)."""
        top = len(excursions.rungs) + 1
        places: list[int] = []
        herd = Herd.at(start, passed, top - 1)
        points = start
        while not places or places[-1] < top:
            herd.climb(excursions, points, source.numbers(len(points)))
            here = places[-1] if places else 0
            wanted = int(np.quantile(herd.rung, 1 - self.success, method="higher"))
            places.append(max(wanted, here + 1))
            ahead = np.flatnonzero(herd.rung >= places[-1])
            if not len(ahead):
                raise NotConvergedError(
                    f"none of {len(points)} paths passed from rung {here} of {top - 1} to the next; type more levels, or more trials"
                )
            herd = herd.branches(source.draws.choice(ahead, len(points)), np.full(len(points), places[-1] - 1))
            points = herd.ends
        return replace(self, interfaces=tuple(places))

    def probabilities(
        self, excursions: Excursions, start: Floats, passed: Places, sources: Sequence[Source], tell: Callable[[float], None]
    ) -> Floats:  # fmt: skip
        """The estimates (repetitions,) for paths from points (repetitions, trials, dim) that stand above `passed` rungs."""
        weights, alive, n = np.ones(len(sources)), np.arange(len(sources)), start.shape[1]
        points = start.reshape(-1, start.shape[-1])
        herd = Herd.at(points, passed.ravel(), len(excursions.rungs))
        for stage, goal in enumerate(self.interfaces):
            herd.climb(
                excursions, points, numbers_of([sources[k] for k in alive.tolist()], np.full(len(alive), n)), goal
            )
            ahead = (herd.rung >= goal).reshape(len(alive), n)
            weights[alive] *= ahead.mean(axis=1)
            rows = np.flatnonzero(ahead.any(axis=1))
            chosen = [
                sources[k].draws.choice(np.flatnonzero(ahead[i]), n) + i * n
                for i, k in enumerate(alive.tolist())
                if i in rows
            ]
            alive = alive[rows]
            if not len(alive):
                break
            herd = herd.branches(np.concatenate(chosen), np.full(len(alive) * n, goal - 1))
            points = herd.ends
            tell((stage + 1) / len(self.interfaces))
        return weights
