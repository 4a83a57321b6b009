"""One quantity by every theory that applies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.density.collocation import Chebyshev, chebyshev
from sgdyn.density.generator import Generator, fokker_planck
from sgdyn.density.grid import Grid
from sgdyn.density.refinement import refined
from sgdyn.escape.quadrature import mean_first_passage_1d
from sgdyn.estimate import Estimate, rounded
from sgdyn.problem import Langevin, Momentum
from sgdyn.region import Region
from sgdyn.steady.linear import LinearStationary, linear_stationary

Floats = NDArray[np.float64]

QUANTITIES = ("mean_first_passage", "mean", "covariance", "slowest_rate")
SEEN, AVERAGED = 5.0, 20.0
"""Relaxation times that a simulation waits before it averages, and over which it averages."""


@dataclass(frozen=True)
class Row:
    """What one theory says; `pull` is its largest deviation from the most exact theory, in standard errors of both."""

    theory: str
    estimate: Estimate
    pull: float


@dataclass(frozen=True, eq=False)
class Crosscheck:
    """The same quantity by several theories. Prints as a table; `excluded` says why the others do not apply."""

    quantity: str
    rows: tuple[Row, ...]
    excluded: dict[str, str]

    @property
    def best(self) -> Row:
        """The most exact theory, which the pulls are against."""
        return min(self.rows, key=lambda row: _relative_error(row.estimate))

    def agrees(self, errors: float = 4.0) -> bool:
        """Whether all theories agree with the most exact one within so many standard errors."""
        return all(abs(row.pull) <= errors for row in self.rows)

    def __getitem__(self, theory: str) -> Estimate:
        return next(row.estimate for row in self.rows if row.theory == theory)

    def __str__(self) -> str:
        cells = [("theory", "value", "pull", "how")]
        for row in self.rows:
            pull = "-" if row is self.best else f"{row.pull:+.1f}"
            cells.append((row.theory, _shown(row.estimate), pull, row.estimate.method))
        widths = [max(len(line[k]) for line in cells) for k in range(3)]
        lines = [f"{self.quantity}: the theories {'agree' if self.agrees() else 'DISAGREE'}"]
        lines += ["  ".join([*(c.ljust(w) for c, w in zip(line, widths, strict=False)), line[3]]) for line in cells]
        return "\n".join([*lines, *(f"not by {theory}: {reason}" for theory, reason in self.excluded.items())])

    __repr__ = __str__

    def plot(self, ax: Any = None) -> Any:
        """Each theory's deviation from the most exact one, with error bars (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


class _DoesNotApply(Exception):
    """Why a theory has no answer."""


@dataclass(frozen=True, eq=False)
class _Question:
    """What was asked, with what several theories need of it."""

    problem: Langevin | Momentum
    quantity: str
    x0: Any
    region: Any
    f: Any
    grid: Grid | None
    dt: float | None
    t: float | None
    n_paths: int
    seed: Any

    @cached_property
    def generator(self) -> Generator:
        if self.grid is None:
            raise _DoesNotApply("no grid was given; type grid=sg.Grid(...)")
        return fokker_planck(self.problem, self.grid)

    @cached_property
    def rate(self) -> Estimate:
        """The slowest rate on the grid that is not zero."""
        values = self.generator.spectrum(2).values
        k = 0 if _leaks(self.generator.grid) else 1
        return Estimate(float(values.value[k].real), float(values.error[k]), values.method, warnings=values.warnings)

    @cached_property
    def linear(self) -> LinearStationary:
        return linear_stationary(self.problem)

    @cached_property
    def numbers(self) -> Callable[[Floats], Floats] | None:
        """f at points (..., dim)."""
        from sgdyn.codegen.formula import traced  # SymPy is slow to import

        return None if self.f is None else traced(self.f, self.problem.dim)

    @cached_property
    def line(self) -> tuple[float, float, float]:
        """Of a question in one dimension: x0 and the nearest points of the region (infinite where there is none) on both sides."""
        if self.problem.dim != 1 or not isinstance(self.problem, Langevin):
            raise _DoesNotApply("it is for one dimension")
        start = float(checks.vector("x0", self.x0, 1)[0])
        region = Region.of(self.region, 1)
        return start, _edge(region, start, -1.0), _edge(region, start, 1.0)

    @cached_property
    def chebyshev(self) -> Chebyshev:
        if self.problem.dim != 1 or not isinstance(self.problem, Langevin):
            raise _DoesNotApply("it is for one dimension")
        if self.grid is None:
            raise _DoesNotApply("no grid was given whose walls could be used; type grid=sg.Grid(...)")
        return chebyshev(self.problem, (self.grid.edges[0][0], self.grid.edges[0][-1]), self.grid.boundary[0])


def crosscheck(
    problem: Langevin | Momentum, quantity: str, *, x0: ArrayLike | None = None, region: Any = None, f: Any = None, grid: Grid | None = None,
    dt: float | None = None, t: float | None = None, n_paths: int = 2000, seed: Any = 0,
) -> Crosscheck:  # fmt: skip
    """A quantity by every theory that can compute it, with the pulls of each against the most exact one.

    quantity: "mean_first_passage" from x0 to a region, the stationary "mean" (of f, by default of x) or "covariance", or the
    "slowest_rate" of relaxation. grid: for Fokker-Planck and Chebyshev; its walls hold for quadrature and simulation too, and the closed
    form of linear processes has none. dt: for the simulation, which is extrapolated from dt and dt/2; t: how long it runs for stationary
    averages, by default 25 relaxation times as found on the grid. f: a NumPy function of x (dim,).

    Raises ValueError for an unknown quantity and where no theory applies; the reasons of those that do not are listed in the result.
    """
    if not isinstance(problem, Langevin | Momentum):
        raise TypeError(f"got a {type(problem).__name__}, expected a process; type sg.Langevin(U, T=..., D=...)")
    if quantity not in QUANTITIES:
        raise ValueError(f"got quantity={quantity!r}, expected one of {', '.join(QUANTITIES)}")
    if quantity == "mean_first_passage" and (x0 is None or region is None):
        raise ValueError(
            'got no x0 or no region, expected both; type sg.crosscheck(problem, "mean_first_passage", x0=[-1], region=lambda x: x[0] > 1)'
        )
    asked = _Question(problem, quantity, x0, region, f, grid, dt, t, checks.count("n_paths", n_paths), seed)
    found: dict[str, Estimate] = {}
    excluded: dict[str, str] = {}
    for theory, answer in _THEORIES.items():
        try:
            found[theory] = answer(asked)
        except (_DoesNotApply, ValueError, TypeError, RuntimeError, MemoryError, FloatingPointError) as reason:
            excluded[theory] = str(reason)
    if not found:
        reasons = "; ".join(f"{theory}: {reason}" for theory, reason in excluded.items())
        raise ValueError(f"got no theory that applies, expected one at least ({reasons})")
    best = min(found.values(), key=_relative_error)
    rows = tuple(Row(theory, estimate, _largest_pull(estimate, best)) for theory, estimate in found.items())
    return Crosscheck(quantity, rows, excluded)


def _by_quadrature(asked: _Question) -> Estimate:
    if asked.quantity != "mean_first_passage":
        raise _DoesNotApply("it is for mean first-passage times")
    start, left, right = asked.line
    if np.isfinite(left) and np.isfinite(right):
        raise _DoesNotApply("the region lies on both sides of x0")
    target, side = (left, 1) if np.isfinite(left) else (right, 0)
    wall = None
    if asked.grid is not None:
        if asked.grid.boundary[0][side] != "reflecting":
            raise _DoesNotApply(f"the wall behind x0 is {asked.grid.boundary[0][side]}")
        wall = float(asked.grid.edges[0][-side])
    return mean_first_passage_1d(asked.problem, start, target, wall=wall)  # type: ignore[arg-type]


def _by_collocation(asked: _Question) -> Estimate:
    if asked.quantity == "mean_first_passage":
        start, left, right = asked.line
        whole = asked.chebyshev
        ends = max(left, whole.low), min(right, whole.high)
        kinds = tuple(
            "absorbing" if end == place else kind
            for end, place, kind in zip(ends, (left, right), whole.boundary, strict=True)
        )
        return chebyshev(asked.problem, ends, kinds).mean_first_passage(None, start)  # type: ignore[arg-type]
    if asked.quantity == "slowest_rate":
        rates = asked.chebyshev.rates(2)
        k = 1 if asked.chebyshev.boundary == ("reflecting", "reflecting") else 0
        return Estimate(float(rates.value[k]), float(rates.error[k]), rates.method)
    whole, numbers = asked.chebyshev, asked.numbers
    if asked.quantity == "mean":
        return whole.mean(numbers or (lambda x: x))
    mean, square = whole.mean(lambda x: x), whole.mean(lambda x: x[..., None] ** 2)
    error = square.error + 2 * abs(float(mean.value[0])) * mean.error
    return Estimate(square.value - mean.value[:, None] ** 2, error, mean.method)


def _on_a_grid(asked: _Question) -> Estimate:
    if asked.quantity == "slowest_rate":
        return asked.rate
    generator = asked.generator
    if asked.quantity == "mean_first_passage":
        return generator.mean_first_passage(asked.region, asked.x0)  # type: ignore[return-value]
    if _leaks(generator.grid):
        raise _DoesNotApply("nothing is stationary between absorbing walls")
    if asked.quantity == "covariance":
        return refined(generator, lambda g: g.stationary().cov())
    return refined(generator, lambda g: g.stationary().mean(asked.numbers))


def _simulated(asked: _Question) -> Estimate:
    from sgdyn.sde.observables import Average, Covariance
    from sgdyn.sde.observation import observe
    from sgdyn.sde.passage import first_passage

    if asked.quantity == "slowest_rate":
        raise _DoesNotApply("a rate is no average over paths")
    if asked.dt is None:
        raise _DoesNotApply("no time step was given; type dt=...")
    walls = _walls(asked)
    if asked.quantity == "mean_first_passage":
        return first_passage(
            asked.problem, asked.x0, asked.region, dt=asked.dt, n_paths=asked.n_paths, extrapolate=True, boundary=walls, seed=asked.seed, show_progress=False,
        )  # fmt: skip
    t = asked.t if asked.t is not None else (SEEN + AVERAGED) / float(asked.rate)
    start = asked.x0 if asked.x0 is not None else _typical(asked)
    what = Covariance() if asked.quantity == "covariance" else Average(asked.f)
    coarse, fine = (
        observe(
            asked.problem, start, {"it": what}, t=t, after=t * SEEN / (SEEN + AVERAGED), dt=asked.dt / part, n_paths=asked.n_paths, boundary=walls,
            seed=asked.seed, stream=part, show_progress=False,
        )["it"]
        for part in (1, 2)
    )  # fmt: skip
    method = f"{asked.n_paths} paths, dt={asked.dt:g} and {asked.dt / 2:g}, extrapolated"
    return Estimate(2 * fine.value - coarse.value, np.hypot(2 * fine.error, coarse.error), method)


def _in_closed_form(asked: _Question) -> Estimate:
    if asked.quantity == "mean_first_passage" or asked.f is not None:
        raise _DoesNotApply("it is for the mean, the covariance and the rates of linear processes")
    state = asked.linear
    value: Any = {"mean": state.center, "covariance": state.covariance}.get(asked.quantity)
    if value is None:
        value = float(np.linalg.eigvals(state.F).real.min())
    return Estimate(value, (1e-13 + state.error) * (np.abs(value) + np.sqrt(np.trace(state.covariance))), "closed form")


_THEORIES: dict[str, Callable[[_Question], Estimate]] = {
    "exact quadrature": _by_quadrature,
    "Chebyshev": _by_collocation,
    "linear": _in_closed_form,
    "Fokker-Planck": _on_a_grid,
    "simulation": _simulated,
}


def _edge(region: Region, start: float, sign: float) -> float:
    """The nearest point of the region on one side of x0, by bisection; infinite if there is none within 1e6."""
    if region.contains([start]):
        raise ValueError(f"got x0=[{start:g}] inside the region, expected a point outside")
    away = np.concatenate([np.linspace(0, 10, 10_001), np.geomspace(10, 1e6, 2_001)[1:]])
    inside = region.contains((start + sign * away)[:, None])
    if not np.any(inside):
        return sign * np.inf
    k = int(np.argmax(inside))
    out, within = away[k - 1], away[k]
    for _ in range(60):
        middle = 0.5 * (out + within)
        out, within = (out, middle) if region.contains([start + sign * middle]) else (middle, within)
    return float(start + sign * within)


def _leaks(grid: Grid) -> bool:
    return any(side == "absorbing" for pair in grid.boundary for side in pair)


def _walls(asked: _Question) -> Any:
    """The walls of the grid around the paths; none for velocities, which no wall turns back."""
    from sgdyn.sde.boundaries import box

    if asked.grid is None or isinstance(asked.problem, Momentum):
        return None
    mixed = [pair for pair in asked.grid.boundary if pair[0] != pair[1]]
    if mixed:
        raise _DoesNotApply(f"it has no axis with the walls {mixed[0]}")
    sides = [(float(edges[0]), float(edges[-1])) for edges in asked.grid.edges]
    return box(sides, [pair[0] for pair in asked.grid.boundary])


def _typical(asked: _Question) -> Floats:
    """Where the stationary density on the grid is largest."""
    density = asked.generator.stationary()
    return np.asarray(density.grid.centers.reshape(-1, density.grid.dim)[np.argmax(density.values)])


def _relative_error(estimate: Estimate) -> float:
    size = float(np.abs(estimate.value).max())
    return float(np.max(estimate.error)) / size if size else float(np.max(estimate.error))


def _largest_pull(estimate: Estimate, reference: Estimate) -> float:
    if estimate is reference:
        return 0.0
    gap = np.ravel(np.asarray(estimate.value) - reference.value)
    spread = np.ravel(np.hypot(estimate.error, reference.error))
    pulls = np.divide(gap, spread, out=np.where(gap == 0, 0.0, np.inf), where=spread > 0)
    return float(pulls[np.argmax(np.abs(pulls))])


def _shown(estimate: Estimate) -> str:
    values, errors = np.ravel(estimate.value), np.ravel(estimate.error)
    shown = [rounded(float(v), float(e)) for v, e in zip(values[:3], errors[:3], strict=True)]
    return ", ".join(shown) + (", ..." if len(values) > 3 else "")
