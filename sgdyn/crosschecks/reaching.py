"""The probability to have reached a region by a time: Laplace's method, grid, simulation and guided walks in one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.crosschecks.question import DoesNotApply
from sgdyn.crosschecks.tables import Crosscheck, compared
from sgdyn.density.generator import fokker_planck
from sgdyn.density.grid import Grid
from sgdyn.errors import CensoredError
from sgdyn.estimate import Estimate
from sgdyn.pathspace.arrivals import arrivals, earlier, laplace_reach
from sgdyn.pathspace.boundaries import Arrival
from sgdyn.pathspace.coefficients import coefficients
from sgdyn.pathspace.corrections import tail_index
from sgdyn.pathspace.guided_walks import Guide, effective, guided_reach
from sgdyn.problem import Langevin, Momentum
from sgdyn.progress import progress
from sgdyn.region import Region

Floats = NDArray[np.float64]

STEPS = 500
"""A simulated path takes so many steps where no dt is given."""
SOONER = (0.8, 0.6, 0.4, 0.25, 0.15)
"""Walks are also guided along the ways that arrive after these shares of the time."""
FUTILE, LEAST_SHARE = 4.0, 0.1
FEW = 50
"""Guided walks worth fewer equal weights than this say nothing of their error."""
MORE = 4
"""So many times as many are tried then."""
HEAVY = 0.7
"""Means of weights whose tail has a larger index are unreliable, see `tail_index`."""


@dataclass(frozen=True, eq=False)
class _Question:
    problem: Langevin | Momentum
    x0: Floats
    region: Region
    t: float
    grid: Grid | None
    dt: float
    n: int
    n_paths: int
    seed: int
    executor: Executor | None = None

    @cached_property
    def arrivals(self) -> tuple[Arrival, ...]:
        return arrivals(self._overdamped, self.x0, self.region, t=self.t, n=self.n, seed=self.seed)

    @property
    def _overdamped(self) -> Langevin:
        if not isinstance(self.problem, Langevin) or coefficients(self.problem, noiseless=True).degenerate:
            raise DoesNotApply("D has no full rank, as that of Momentum: paths have no density")
        return self.problem

    def laplace(self) -> Estimate:
        return laplace_reach(self._overdamped, self.x0, self.region, t=self.t, n=self.n, seed=self.seed).value

    def on_grid(self) -> Estimate:
        if self.grid is None:
            raise DoesNotApply("no grid was given; type grid=sg.Grid(...)")
        found = fokker_planck(self.problem, self.grid).reached(self.region, self.t, self.x0)
        assert isinstance(found, Estimate)
        return found

    def simulated(self) -> Estimate:
        """The share of paths that arrive; at dt and 2 dt, whose difference counts as error."""
        with progress("simulation", False) as bar:
            shares = []
            for k in range(2):
                bar.stage(k, 2)
                shares.append(self._arrived(self.dt * (k + 1)))
        fine, coarse = shares
        if not fine.any():
            raise DoesNotApply(
                f"none of {len(fine)} paths arrived: the probability is below {3 / len(fine):.2g} (95 %); type a larger n_paths"
            )
        share = float(fine.mean())
        spread = np.sqrt(share * (1 - share) / len(fine))
        change = max(0.0, abs(share - coarse.mean()) - 2 * spread)
        return Estimate(share, float(np.hypot(spread, change)), f"{len(fine)} paths, dt={self.dt:g}")

    def _arrived(self, dt: float) -> NDArray[np.bool_]:
        from sgdyn.sde.passage import first_passage

        try:
            found = first_passage(
                self.problem, self.x0, self.region, dt=dt, n_paths=self.n_paths, t_max=self.t, seed=self.seed, executor=self.executor,
                show_progress=False,
            )  # fmt: skip
            times = found.samples
        except CensoredError as censored:
            if censored.limit < self.t * (1 - 1e-9):
                raise KeyboardInterrupt from censored
            times = censored.times
        assert times is not None
        return np.asarray(times <= self.t)

    def guided(self) -> Estimate:
        ways = [way for one in self.arrivals for way in self._sooner(one)]
        weights = np.exp([self.arrivals[0].action - way.action for way in ways])
        shares = np.maximum(weights / weights.sum(), LEAST_SHARE / len(weights))
        guides = [
            Guide(way.path, way.functional.momenta(way.path), float(share))
            for way, share in zip(ways, shares / shares.sum(), strict=True)
        ]
        walks, problem = max(self.n_paths // 5, 100), self._overdamped
        for more in (1, MORE):
            found = guided_reach(problem, self.x0, self.region, guides, t=self.t, walks=more * walks, seed=self.seed)
            assert found.samples is not None
            worth, tail = effective(found.samples), tail_index(found.samples)
            if worth >= FEW and tail < HEAVY:
                return found
        if not float(found) > 0:
            raise DoesNotApply(
                f"no weight of {MORE * walks} walks is a number of double precision above 0; type a larger n_paths or T"
            )
        raise DoesNotApply(
            f"{worth:.0f} of {MORE * walks} walks carry the weight of all, whose tail has the index {tail:.2g}: their mean {float(found):.2g} has no error; "
            "paths of another kind than the critical ones count; type a larger n_paths, or the method Fokker-Planck"
        )

    def split(self) -> Estimate:
        from sgdyn.escape.deadlines import probability_before

        return probability_before(
            self._overdamped, self.x0, self.region, self.t, dt=self.dt, seed=self.seed, executor=self.executor
        )

    def _sooner(self, one: Arrival) -> list[Arrival]:
        """The way that arrives at t, and those that arrive after shares of it."""
        found = [one]
        for share in SOONER:
            way = earlier(found[-1], share * self.t)
            if way is None or way.action > one.action + FUTILE:
                break
            found.append(way)
        return found


METHODS: dict[str, Callable[[_Question], Estimate]] = {
    "Laplace": _Question.laplace, "Fokker-Planck": _Question.on_grid, "simulation": _Question.simulated, "guided walks": _Question.guided, "splitting": _Question.split,
}  # fmt: skip
USUAL = ("Laplace", "Fokker-Planck", "simulation", "guided walks")


@dataclass(frozen=True, eq=False)
class Reach:
    """The probability to have reached a region by the time t, by several methods: `table`, with pulls against the most exact one.

    `value` is that one's; `arrivals` are the critical paths that end on the region's boundary (empty where there are none). Prints as the table.
    """

    question: Any
    methods: tuple[str, ...]
    table: Crosscheck
    back: tuple[Any, Any] | None

    @property
    def value(self) -> Estimate:
        return self.table.best.estimate

    def __float__(self) -> float:
        return float(self.value)

    def __getitem__(self, method: str) -> Estimate:
        return self.table[method]

    def __str__(self) -> str:
        return str(self.table)

    __repr__ = __str__

    @property
    def arrivals(self) -> tuple[Arrival, ...]:
        try:
            return self.question.arrivals  # type: ignore[no-any-return]
        except (DoesNotApply, RuntimeError, ValueError):
            return ()

    @cached_property
    def returning(self) -> Reach:
        """The way back. Raises ValueError where `back` was not given."""
        if self.back is None:
            raise ValueError(
                "got no way back, expected a start and a region for it; type reach(..., back=(y0, lambda x: x[0] < -0.9))"
            )
        y0, region = self.back
        asked = _question(self.question.problem, y0, region, self.question)
        return _answered(asked, self.methods, None)

    @cached_property
    def asymmetry(self) -> Estimate:
        """log of the probability of this way over that of the way back."""
        forth, back = self.value, self.returning.value
        if not (float(forth) > 0 and float(back) > 0):
            raise ValueError(
                f"got the probabilities {float(forth):.3g} and {float(back):.3g}, expected numbers above 0; type a longer t"
            )
        value = float(np.log(float(forth) / float(back)))
        error = float(np.hypot(forth.error / float(forth), back.error / float(back)))
        return Estimate(value, error, f"{self.table.best.theory} and {self.returning.table.best.theory}")

    def plot(self, ax: Any = None) -> Any:
        """The paths of arrival, on the landscape in two dimensions (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def reach(
    problem: Langevin | Momentum, x0: ArrayLike, region: Any, *, t: float, methods: Sequence[str] = USUAL, grid: Grid | None = None,
    dt: float | None = None, n: int = 200, n_paths: int = 20_000, back: tuple[Any, Any] | None = None, seed: int = 0,
    executor: Executor | None = None, shown: bool | None = None,
) -> Reach:  # fmt: skip
    """The probability that paths from x0 (dim,) have entered a region by the time t, by several methods side by side.

    methods: "Laplace", the sum over critical paths of n steps to the boundary, its error the next order in T; "Fokker-Planck", the backward
    equation on the `grid`; "simulation", n_paths paths with the step dt (t/500 by default); "guided walks", n_paths/5 of them, pushed along
    the critical paths and weighed by Girsanov's theorem, however small the probability (refused where few carry the weight of all); and, where asked for, "splitting"
    (adaptive multilevel splitting in space and time). What fails is listed with its reason. back: start and region (y0, region) of the
    way back, for `.asymmetry`. executor: of `concurrent.futures`, for simulation and splitting. shown: the progress bar over the methods. Ctrl-C returns the table of those that are done.

    Raises ValueError for x0 in the region, unknown methods, and where no method applies. Sources: Freidlin and Wentzell, Random Perturbations of
    Dynamical Systems (1998); Girsanov, Theory Probab. Appl. 5, 285 (1960); for the layer before the boundary `pathspace/boundaries.py`.
    """
    if isinstance(methods, str):
        raise TypeError(f"got methods={methods!r}, expected a list of names; type methods=[{methods!r}]")
    if back is not None and not (isinstance(back, tuple | list) and len(back) == 2):
        raise ValueError(f"got back={back!r}, expected a start and a region; type back=(y0, lambda x: x[0] < -0.9)")
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not len(methods):
        raise ValueError(f"got methods={list(methods)!r}, expected some of {', '.join(METHODS)}")
    time = checks.positive("t", t)
    step = time / STEPS if dt is None else checks.positive("dt", dt)
    count = checks.count("n", n, least=16)
    if count % 4:
        raise ValueError(f"got n={count}, expected a multiple of 4; type n={4 * (count // 4 + 1)}")
    if not isinstance(problem, Langevin | Momentum):
        raise TypeError(f"got a {type(problem).__name__}, expected a process; type sg.Langevin(U, T=..., D=...)")
    paths = checks.count("n_paths", n_paths, least=2)
    dim = problem.phase_space.dim if isinstance(problem, Momentum) else problem.dim
    blank = _Question(problem, np.zeros(dim), Region.of(region, dim), time, grid, step, count, paths, seed, executor)
    return _answered(_question(problem, x0, region, blank), tuple(methods), back, shown)


def _question(problem: Langevin | Momentum, x0: ArrayLike, region: Any, like: _Question) -> _Question:
    """The same question from another start to another region."""
    dim = len(like.x0)
    start, target = checks.vector("x0", x0, dim), Region.of(region, dim)
    if target.contains(start):
        raise ValueError(f"got x0={start} inside the region, expected a start outside")
    return replace(like, problem=problem, x0=start, region=target)


def _answered(
    asked: _Question, methods: tuple[str, ...], back: tuple[Any, Any] | None, shown: bool | None = None
) -> Reach:
    name = f"probability to have reached the region by t={asked.t:g}"
    table = compared(name, {method: lambda m=method: METHODS[m](asked) for method in methods}, shown=shown)  # type: ignore[misc]
    return Reach(asked, methods, table, back)
