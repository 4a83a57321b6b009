"""Mean first-passage times by every theory that applies."""

from __future__ import annotations

import numpy as np

from sgdyn import checks
from sgdyn.crosschecks.question import DoesNotApply, Quantity, Question
from sgdyn.density.collocation import chebyshev
from sgdyn.escape.quadrature import mean_first_passage_1d
from sgdyn.estimate import Estimate
from sgdyn.region import Region


def quadrature(asked: Question) -> Estimate:
    start, left, right = _line(asked)
    if np.isfinite(left) and np.isfinite(right):
        raise DoesNotApply("the region lies on both sides of x0")
    target, side = (left, 1) if np.isfinite(left) else (right, 0)
    wall = None
    if asked.grid is not None:
        if asked.grid.boundary[0][side] != "reflecting":
            raise DoesNotApply(f"the wall behind x0 is {asked.grid.boundary[0][side]}")
        wall = float(asked.grid.edges[0][-side])
    return mean_first_passage_1d(asked.overdamped, start, target, wall=wall)


def collocation(asked: Question) -> Estimate:
    start, left, right = _line(asked)
    whole = asked.chebyshev
    ends = max(left, whole.low), min(right, whole.high)
    kinds = tuple(
        "absorbing" if end == place else kind
        for end, place, kind in zip(ends, (left, right), whole.boundary, strict=True)
    )
    return chebyshev(asked.overdamped, ends, kinds).mean_first_passage(None, start)


def on_grid(asked: Question) -> Estimate:
    return asked.generator.mean_first_passage(asked.region, asked.x0)  # type: ignore[return-value]


def simulated(asked: Question) -> Estimate:
    from sgdyn.sde.passage import first_passage

    return first_passage(
        asked.problem, asked.x0, asked.region, dt=asked.time_step, n_paths=asked.n_paths, extrapolate=True, boundary=asked.walls, seed=asked.seed,
        executor=asked.executor, show_progress=False,
    )  # fmt: skip


def _line(asked: Question) -> tuple[float, float, float]:
    """x0 and the nearest points of the region (infinite where there is none) on both sides of it."""
    problem = asked.overdamped
    start = float(checks.vector("x0", asked.x0, 1)[0])
    region = Region.of(asked.region, problem.dim)
    return start, _edge(region, start, -1.0), _edge(region, start, 1.0)


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


MEAN_FIRST_PASSAGE = Quantity(
    {"exact quadrature": quadrature, "Chebyshev": collocation, "Fokker-Planck": on_grid, "simulation": simulated},
    'sg.crosscheck(problem, "mean_first_passage", x0=[-1], region=lambda x: x[0] > 1)',
    needs=("x0", "region"),
)
