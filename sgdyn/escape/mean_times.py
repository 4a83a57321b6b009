"""Long escape times from rare events: how often paths set out, times the probability that they arrive."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.codegen.formula import Formula, combined
from sgdyn.escape.ladders import Ladder, ladder
from sgdyn.escape.repetitions import Asked, Found, Sampler, checked_sampler, described, nobody, performed
from sgdyn.escape.splitting import AdaptiveMultilevelSplitting
from sgdyn.estimate import Estimate
from sgdyn.fields import Field, Opaque
from sgdyn.problem import Langevin, Momentum
from sgdyn.region import Region
from sgdyn.sde.course import Confinement
from sgdyn.sde.requests import checked_process
from sgdyn.steady.linear import linear_stationary

Floats = NDArray[np.float64]

MOST_OF_THE_WAY = 0.5
"""The first rung is at most at this part of the way from the well to the region."""
UNSTEADY = 4.0
"""Standard errors between the two halves of the passages beyond which a note is made."""
FREQUENT = 0.2
"""Probability to arrive from which on it is no rare event."""


def mean_escape_time(
    problem: Langevin | Momentum, x0: ArrayLike, region: Callable[[Any], Any] | Region, *, dt: float,
    method: Sampler = AdaptiveMultilevelSplitting(), well: Any = None, first_level: float | None = None, score: Any = None,  # noqa: B008
    levels: int | ArrayLike = 64, passages: tuple[int, int] = (10, 20), repetitions: int = 32, correction: str | None = "shift",
    boundary: Confinement | None = None, seed: int | np.random.SeedSequence | None = None, stream: int = 0,
    threads: int | None = None, executor: Executor | None = None, show_progress: bool | None = None,
) -> Estimate:  # fmt: skip
    """The mean time in which paths that begin in a well, at x0 (dim,), enter a region, however long.

        tau = E[time between passages]/P,

    passages of the score `first_level` by paths that were in the `well` since the last, P the probability to go on from there to the region
    before the well. Paths that enter the region begin again at x0, so that the identity is exact in the state in which the passages recur
    (Hill's relation). well: a predicate; by default where the score is below that of x0. first_level: by default one standard deviation of
    the score in the well, from the linearised process. passages: how many are made before they are counted, and how many are.
    The other arguments are those of `hitting_probability`.

    The error is that of independent repetitions (jackknife), and the longest relaxation time of the well, by which times from x0 and from
    the recurrent state differ. Raises ValueError where x0 is in the region or at no stable point; else as `hitting_probability`.
    Sources: Allen, Warren, ten Wolde, PRL 94, 018104 (2005); Cérou, Guyader, Lelièvre, Pommier, J. Chem. Phys. 134, 054108 (2011).
    """
    process, start = checked_process(problem), checks.vector("x0", x0, problem.dim)
    target = Region.of(region, process.dim)
    if target.contains(start):
        raise ValueError(f"got x0={start} inside the region, expected a point in a well outside")
    whole = ladder(score, levels, start, target)
    linear = _linearised(process, start)
    first = (
        _first(whole, start, linear.covariance) if first_level is None else checks.number("first_level", first_level)
    )
    steps = ladder(score, levels, start, target, first)
    home = _below(steps) if well is None else Region.of(well, process.dim)
    _check_home(home, steps, start)
    asked = Asked(
        problem, start, (home, target), steps, dt, correction, boundary, checked_sampler(method), checks.seed_sequence(seed), stream, _passages(passages)
    )  # fmt: skip
    found = performed(asked, repetitions, threads, executor, show_progress)
    relaxation = 1 / float(np.linalg.eigvals(linear.F).real.min())
    return _time(found, asked, repetitions, relaxation)


def _passages(passages: Any) -> tuple[int, int]:
    """(unseen, seen), the latter even."""
    if np.shape(passages) != (2,):
        raise ValueError(f"got passages={passages!r}, expected two numbers; type passages=(10, 20)")
    unseen, seen = checks.count("passages[0]", passages[0]), checks.count("passages[1]", passages[1], least=2)
    return unseen + seen % 2 if seen % 2 else unseen, seen + seen % 2


def _linearised(process: Langevin, x: Floats) -> Any:
    """The stationary state of the linear process at x."""
    h = 1e-5 * (1 + np.abs(x)) * np.eye(len(x))
    jacobian = (process.drift(x + h) - process.drift(x - h)).T / (2 * np.diag(h))
    try:
        return linear_stationary(Langevin.linear(-jacobian, process.T, process.D(x), center=x))
    except (ValueError, ArithmeticError) as error:
        raise ValueError(
            f"got x0={x}, expected a stable point of the drift, at the bottom of a well; there the drift has the eigenvalues "
            f"{np.round(np.linalg.eigvals(jacobian), 6).tolist()}"
        ) from error


def _first(whole: Ladder, x: Floats, covariance: Floats) -> float:
    """One standard deviation of the score above that of x, or half of the way up."""
    h = 1e-5 * (1 + np.abs(x)) * np.eye(len(x))
    slope = np.ravel(whole.score(x + h) - whole.score(x - h)) / (2 * np.diag(h))
    spread = float(np.sqrt(slope @ covariance @ slope))
    top = float(whole.rungs[-1])
    highest = whole.floor + MOST_OF_THE_WAY * (top - whole.floor)
    if not spread > 0:
        raise ValueError(
            f"got a score that is flat at x0={x}, so that paths cannot be seen to leave; type score=..., or first_level=..."
        )
    return min(whole.floor + spread, highest)


def _below(steps: Ladder) -> Field:
    """Positive where the score is below that of the start."""
    floor = steps.floor
    if isinstance(steps.score, Formula):
        return combined("below", [steps.score], (1,), lambda s, f: [f - np.ravel(s)[0]], [floor])
    return Opaque(
        lambda x: floor - np.reshape(steps.score(x), (*x.shape[:-1], 1)), steps.score.dim, (1,), name="the well"
    )


def _check_home(home: Any, steps: Ladder, start: Floats) -> None:
    if steps.rungs[0] <= steps.floor:
        raise ValueError(f"got first_level={steps.rungs[0]:g}, expected more than the score {steps.floor:g} of x0")
    if isinstance(home, Region) and not home.contains(start):
        raise ValueError(f"got x0={start} outside of the well, expected a point inside; type well=... around x0")


def _time(found: Found, asked: Asked, repetitions: int, relaxation: float) -> Estimate:
    """The ratio of the means with its jackknife error, and the notes."""
    p, cycle = found.probabilities, found.times.mean(axis=1)
    n = len(p)
    if np.sum(p > 0) < 2:
        raise ValueError(nobody(found, asked))
    whole = cycle.mean() / p.mean()
    without = (cycle.sum() - cycle) / (p.sum() - p)
    value = n * whole - (n - 1) * without.mean()
    error = float(np.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2)))
    method, notes = described(found, asked, repetitions)
    drifted = found.times[:, 1] - found.times[:, 0]
    pull = drifted.mean() / (drifted.std(ddof=1) / np.sqrt(n))
    if abs(pull) > UNSTEADY:
        notes += (
            f"the time between passages changes by {drifted.mean() / cycle.mean():.1%} from the first half to the second: type more unseen "
            f"passages, passages=({4 * asked.passages[0]}, {asked.passages[1]})",
        )
    if p.mean() > FREQUENT:
        notes += (f"paths arrive with probability {p.mean():.2g}: this is no rare event, first_passage is simpler",)
    return Estimate(float(value), float(np.hypot(error, relaxation)), method, warnings=notes)
