"""Rare events by simulation: the probability to reach one region before another."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sgdyn import checks
from sgdyn.escape.ladders import ladder
from sgdyn.escape.repetitions import Asked, Sampler, checked_sampler, described, nobody, performed
from sgdyn.escape.splitting import AdaptiveMultilevelSplitting
from sgdyn.estimate import Estimate, of_samples
from sgdyn.problem import Langevin, Momentum
from sgdyn.region import Region
from sgdyn.sde.course import Confinement
from sgdyn.sde.requests import checked_process


def hitting_probability(
    problem: Langevin | Momentum, x0: ArrayLike, a: Callable[[Any], Any] | Region, b: Callable[[Any], Any] | Region, *, dt: float,
    method: Sampler = AdaptiveMultilevelSplitting(), score: Any = None, levels: int | ArrayLike = 64, repetitions: int = 32,  # noqa: B008
    correction: str | None = "shift", boundary: Confinement | None = None, seed: int | np.random.SeedSequence | None = None, stream: int = 0,
    threads: int | None = None, executor: Executor | None = None, show_progress: bool | None = None,
) -> Estimate:  # fmt: skip
    """The probability that paths from x0 (dim,) enter the region b before the region a, however small; `.samples` are the repetitions'.

    method: `AdaptiveMultilevelSplitting` or `ForwardFlux`. score: how far a path has come: by default the level of the predicate b (as
    x[0] - 0.9 of x[0] > 0.9); a function of x that rises to 1 at b; or a committor on a grid. levels: so many equally spaced scores between x0
    and b at which paths may branch, or these scores. The score changes the error, not the mean. correction: "shift" widens a and b by what
    paths seen every dt overshoot (see `first_passage`), which leaves O(dt); None does not.

    The error is that of the mean of independent repetitions. Steps are those of Euler-Maruyama. All numbers are a function of (seed, stream); neither
    threads nor executors change a bit. Ctrl-C returns the repetitions that are done. Raises ValueError for x0 in a or b, `CensoredError` if
    paths reach neither, `BlowUpError` if one is lost.
    """
    process, start = checked_process(problem), checks.vector("x0", x0, problem.dim)
    regions = Region.of(a, process.dim), Region.of(b, process.dim)
    for region, name in zip(regions, "ab", strict=True):
        if region.contains(start):
            raise ValueError(f"got x0={start} inside the region {name}, expected a point outside of both")
    steps = ladder(score, levels, start, regions[1])
    asked = Asked(
        problem,
        start,
        regions,
        steps,
        dt,
        correction,
        boundary,
        checked_sampler(method),
        checks.seed_sequence(seed),
        stream,
    )
    found = performed(asked, repetitions, threads, executor, show_progress)
    if not np.any(found.probabilities):
        raise ValueError(nobody(found, asked))
    return of_samples(found.probabilities, *described(found, asked, repetitions))
