"""How well each of several places is reached from each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.crosschecks.reaching import reach
from sgdyn.density.grid import Grid
from sgdyn.errors import NotConvergedError
from sgdyn.estimate import Estimate
from sgdyn.pathspace.transitions import transition_density
from sgdyn.problem import Langevin, Momentum
from sgdyn.progress import Stages, progress
from sgdyn.sde.portions import Task, spread

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ReachabilityMatrix:
    """Row: from where; column: to where, (k, k), NaN on the diagonal and where a method failed (`failed`, by (row, column)).

    values: transition densities, or the probabilities to have reached regions; static and reachability split densities (`TransitionDensity`),
    None for regions. names: of the places.
    """

    points: Floats
    t: float
    values: Estimate
    static: Floats | None
    reachability: Floats | None
    failed: dict[tuple[int, int], str]
    names: tuple[str, ...]

    @property
    def asymmetry(self) -> Floats:
        """log of the value there over that back, antisymmetric."""
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(self.values.value)
        return np.asarray(logs - logs.T)

    def __str__(self) -> str:
        rows = [[name, *(f"{v:.3g}" for v in row)] for name, row in zip(self.names, self.values.value, strict=True)]
        table = [["from \\ to", *self.names], *rows]
        widths = [max(len(row[k]) for row in table) for k in range(len(table[0]))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in table]
        reasons = (f"not from {self.names[i]} to {self.names[j]}: {why}" for (i, j), why in self.failed.items())
        return "\n".join([*lines, *reasons])

    __repr__ = __str__

    def plot(self, ax: Any = None) -> Any:
        """A heat map of log10 of the values (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def reachability_matrix(
    problem: Langevin | Momentum, points: ArrayLike, *, t: float, regions: Sequence[Any] | None = None, grid: Grid | None = None,
    methods: Sequence[str] = ("Laplace", "Fokker-Planck", "guided walks"), n: int = 200, names: Sequence[str] | None = None, seed: int = 0,
    executor: Executor | None = None, shown: bool | None = None,
) -> ReachabilityMatrix:  # fmt: skip
    """Transition densities between all pairs of points (k, dim) after the time t; with a region around each of them the probabilities to
    have reached region j from point i by then, by the most exact of the methods of `reach`.

    What fails is NaN, with its reason in `.failed`. executor: of `concurrent.futures`, which takes one pair after the other. Ctrl-C returns
    what is done. Raises ValueError for fewer than two points, and for as many
    regions or names as there are no points.
    """
    places = checks.finite("points", points)
    if places.ndim != 2 or len(places) < 2:
        raise ValueError(
            f"got points of shape {places.shape}, expected (k, dim) with k >= 2; type np.array([[-1, 0], [1, 0]])"
        )
    for name, given in (("regions", regions), ("names", names)):
        if given is not None and len(given) != len(places):
            raise ValueError(f"got {len(given)} {name} for {len(places)} points, expected as many")

    def value(i: int, j: int) -> tuple[float, ...]:
        if regions is None:
            return _density(problem, places[i], places[j], t, n, seed)
        best = reach(problem, places[i], regions[j], t=t, methods=methods, grid=grid, n=n, seed=seed).value
        return float(best), float(best.error), np.nan, np.nan

    found, failed = _filled(value, len(places), executor, shown)
    labels = tuple(names) if names is not None else tuple(str(i) for i in range(len(places)))
    method = "transition densities by Laplace's method" if regions is None else "most exact of " + ", ".join(methods)
    static, roads = (found[2], found[3]) if regions is None else (None, None)
    return ReachabilityMatrix(places, float(t), Estimate(found[0], found[1], method), static, roads, failed, labels)


def _filled(
    value: Callable[[int, int], tuple[float, ...]], k: int, executor: Executor | None, shown: bool | None
) -> tuple[Floats, dict[tuple[int, int], str]]:
    """Four numbers of each pair (4, k, k), and why there are none; Ctrl-C ends it. Raises ValueError where no pair has any."""
    found, pairs = np.full((4, k, k), np.nan), list(_pairs(k))
    failed = dict.fromkeys(pairs, "interrupted")
    with progress("pairs", shown) as bar:
        tasks: list[Task] = [(_tried, (value, *pair), {}) for pair in pairs]
        answers = _one_by_one(tasks, bar) if executor is None else spread(executor, tasks, bar)
        for pair, (numbers, reason) in zip(pairs, answers, strict=False):
            found[:, *pair] = numbers
            failed[pair] = reason
    failed = {pair: reason for pair, reason in failed.items() if reason}
    if len(failed) == len(pairs):
        raise ValueError(f"got no pair that could be computed: {next(iter(failed.values()))}")
    return found, failed


def _one_by_one(tasks: Sequence[Task], bar: Stages) -> Iterator[Any]:
    """The answers to the tasks in turn; Ctrl-C ends them early."""
    for done, (function, arguments, options) in enumerate(tasks):
        bar.stage(done, len(tasks))
        try:
            yield function(*arguments, **options)
        except KeyboardInterrupt:
            return


def _tried(value: Callable[[int, int], tuple[float, ...]], i: int, j: int) -> tuple[tuple[float, ...], str]:
    """The numbers of a pair, or why there are none."""
    try:
        return value(i, j), ""
    except (NotConvergedError, ValueError) as reason:
        return (np.nan,) * 4, str(reason)


def _pairs(k: int) -> Iterator[tuple[int, int]]:
    return ((i, j) for i in range(k) for j in range(k) if i != j)


def _density(problem: Langevin | Momentum, a: Floats, b: Floats, t: float, n: int, seed: int) -> tuple[float, ...]:
    found = transition_density(problem, a, b, t, n=n, seed=seed, shown=False)
    return float(found), float(found.value.error), float(found.static), float(found.reachability)
