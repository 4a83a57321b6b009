"""The probability to reach a region before a time, by the methods for one region before another: the time is one more coordinate."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from sgdyn import checks
from sgdyn.codegen.expression import Expression
from sgdyn.codegen.formula import Formula
from sgdyn.escape.rare_events import hitting_probability
from sgdyn.escape.repetitions import Sampler
from sgdyn.escape.splitting import AdaptiveMultilevelSplitting
from sgdyn.estimate import Estimate
from sgdyn.fields import as_formula
from sgdyn.noise import Varying
from sgdyn.problem import Langevin
from sgdyn.region import Region


def probability_before(
    problem: Langevin, x0: ArrayLike, region: Region, t: float, *, dt: float, method: Sampler = AdaptiveMultilevelSplitting(),  # noqa: B008
    repetitions: int = 32, seed: int = 0, executor: Executor | None = None,
) -> Estimate:  # fmt: skip
    """The probability that paths from x0 (dim,) enter the region before the time t, however small.

    Raises ValueError for D(x) and for drifts that are not given in symbols, else as `hitting_probability`.
    """
    d = problem.dim
    start, over = np.append(checks.vector("x0", x0, d), 0.0), Region.of(lambda y: y[d] > t, d + 1)
    target = Region(_lifted(region.condition))
    return hitting_probability(
        with_clock(problem), start, over, target, dt=dt, method=method, repetitions=repetitions, seed=seed, executor=executor, show_progress=False
    )  # fmt: skip


def with_clock(problem: Langevin) -> Langevin:
    """The process (X, s) with ds = dt."""
    drift = as_formula(problem.drift)
    if drift is None or isinstance(problem.D, Varying):
        raise ValueError(
            "got D(x), or a drift without symbols, expected a constant D and a drift in NumPy; type another method"
        )
    d = problem.dim
    D = np.zeros((d + 1, d + 1))
    D[:d, :d] = problem.D(np.zeros(d))
    return Langevin.from_drift(_lifted(drift, [1]), problem.T, D, dim=d + 1)


def _lifted(formula: Formula, more: list[int] | None = None) -> Formula:
    """The same with one more coordinate, which it does not contain, and with more components."""
    d = formula.dim + 1

    def rule(e: Expression) -> Expression:
        components = e.components if more is None else np.concatenate([e.components, np.array(more, dtype=object)])
        return Expression(d, e.count, components)

    shape = formula.shape if more is None else (formula.shape[0] + len(more),)
    return replace(formula.derived(f"with a clock {more}", shape, rule), dim=d)
