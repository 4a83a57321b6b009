"""Mean times of escape from the well of x0 to a region around other wells, by every theory that applies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.crosschecks import first_passage_times
from sgdyn.crosschecks.question import DoesNotApply, Quantity, Question
from sgdyn.escape.kramers import kramers_time
from sgdyn.escape.search import critical_points
from sgdyn.estimate import Estimate
from sgdyn.problem import Momentum
from sgdyn.region import Region

Floats = NDArray[np.float64]

MOST_STEPS = 3e10
"""Path-steps beyond which direct simulation is not begun: some minutes."""


def asymptotic(asked: Question) -> Estimate:
    """Kramers, Langer, Mel'nikov-Meshkov or Bouchet-Reygner, over all saddles from the well of x0 to wells in the region."""
    return kramers_time(asked.problem, *_way(asked))


def leading(asked: Question) -> Estimate:
    return kramers_time(asked.overdamped, *_way(asked), order=1)


def simulated(asked: Question) -> Estimate:
    """Direct simulation, where the grid does not foresee that it takes too long."""
    steps = 3 * asked.n_paths / asked.time_step  # of dt and dt/2
    if asked.grid is not None and (steps := steps * float(first_passage_times.on_grid(asked))) > MOST_STEPS:
        raise DoesNotApply(f"it would take about {steps:.1g} path-steps, more than {MOST_STEPS:.0g}: the event is rare")
    return first_passage_times.simulated(asked)


def splitting(asked: Question) -> Estimate:
    from sgdyn.escape.mean_times import mean_escape_time

    if isinstance(asked.problem, Momentum):
        raise DoesNotApply("its steps are those of Euler-Maruyama, which heats a Momentum process")
    return mean_escape_time(
        asked.problem, asked.x0, asked.region, dt=asked.time_step, boundary=asked.walls, seed=asked.seed, executor=asked.executor,
        show_progress=False,
    )  # fmt: skip


def _way(asked: Question) -> tuple[Floats, Floats]:
    """The well (dim,) that x0 lies in and the saddles (n, dim) that join it to wells in the region; positions without velocities."""
    if asked.grid is None:
        raise DoesNotApply("no grid was given in whose box saddles could be looked for; type grid=sg.Grid(...)")
    problem = asked.problem
    dim = problem.U.dim if isinstance(problem, Momentum) else problem.dim
    start = checks.vector("x0", asked.x0, problem.dim)[:dim]
    points = critical_points(problem, [(edges[0], edges[-1]) for edges in asked.grid.edges[:dim]])
    minima = points.minima
    rest = np.zeros((len(minima), problem.dim - dim))
    inside = Region.of(asked.region, problem.dim).contains(np.concatenate([minima, rest], axis=1))
    well = int(points.basin(start))
    if well < 0 or not np.any(inside) or inside[well]:
        raise DoesNotApply("x0 lies in no well, or the region holds no other one")
    leads = [well in edge and any(k >= 0 and inside[k] for k in edge) for edge in points.graph.edges.tolist()]
    if not any(leads):
        raise DoesNotApply("no saddle joins the well of x0 to one in the region directly")
    return minima[well], points.saddles[np.array(leads)]


ESCAPE_TIME = Quantity(
    {
        "exact quadrature": first_passage_times.quadrature,
        "Chebyshev": first_passage_times.collocation,
        "Fokker-Planck": first_passage_times.on_grid,
        "Kramers": asymptotic,
        "Kramers, leading order": leading,
        "simulation": simulated,
        "adaptive multilevel splitting": splitting,
    },
    'sg.crosscheck(problem, "escape time", x0=[-1], region=lambda x: x[0] > 0.9, grid=sg.Grid([(-2, 2, 200)]), dt=0.01)',
    needs=("x0", "region"),
)
