"""Gradient flows in one dimension, by quantiles: W² is the squared distance of inverse distribution functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.density.distribution import Density
from sgdyn.density.flows.columns import Column, graded, quantiles
from sgdyn.density.flows.energies import Energy
from sgdyn.density.grid import Grid
from sgdyn.errors import NotConvergedError
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]

MOST = 200
"""Newton steps."""
PRECISE = 1e-9
"""The last Newton step, relative to the width of the density; the error left is about its square."""
ROUNDING = 1e-13
BOLD = 0.9
"""The share of its width that a cell may lose in a Newton step."""


@dataclass(frozen=True)
class Quantile:
    """Newton steps for the quantiles X_0 < ... < X_points, which enclose cells of fixed masses and constant densities, in one dimension.

    Exact for such densities: mass is kept, nothing becomes negative, and each step lowers the energy by at least W²/(2 tau). Cells are graded,
    their masses falling as the cube of the distance to either end, so that tails and moving fronts are resolved: second order in 1/points.
    order=2: BDF2 in the quantiles, the first step by JKO. D may depend on x (the distance is then int dx/sqrt(D)). Reflecting walls are those
    of the grid of rho0; there are none without a grid.

    Raises ValueError for other walls and more than one dimension. Sources: Kinderlehrer and Walkington, M2AN 33, 837 (1999); Blanchet, Calvez,
    Carrillo, SIAM J. Numer. Anal. 46, 691 (2008); Matthes and Plazotta, Numer. Math. 142, 57 (2019).
    """

    points: int = 1000
    order: int = 1

    def __post_init__(self) -> None:
        checks.count("points", self.points, least=4)
        if self.order not in (1, 2):
            raise ValueError(f"got order={self.order!r}, expected 1 (JKO) or 2 (BDF2)")

    def start(self, problem: Langevin, rho0: Any, energy: Energy, seed: np.random.SeedSequence) -> Quantiles:
        if problem.dim != 1:
            raise ValueError(
                f"got a process in dimension {problem.dim} for Quantile, expected one; type method=sg.Graph() or sg.Particles(...)"
            )
        masses = graded(self.points)
        column = Column(energy, problem.D, masses, _walls(rho0))
        X = quantiles(rho0, masses)
        return Quantiles(column, X, np.zeros_like(X), column.energy(X))

    def step(self, state: Quantiles, tau: float) -> Quantiles:
        column, X = state.column, state.X
        bdf = self.order == 2 and state.steps > 0
        ahead, span = (state.moved / 3, 2 * tau / 3) if bdf else (np.zeros_like(X), tau)
        found, iterations, residual = minimised(column, X, ahead, span)
        moved = column.distance(X, found)[0]
        w2 = float(np.sqrt(column.square(moved)))
        return Quantiles(column, found, moved, column.energy(found), w2, iterations, residual, state.steps + 1)

    def restore(self, state: Quantiles, arrays: dict[str, NDArray[Any]]) -> Quantiles:
        X, moved, steps = arrays["X"], arrays["moved"], int(arrays["steps"])
        column = state.column
        return Quantiles(column, X, moved, column.energy(X), float(np.sqrt(column.square(moved))), steps=steps)


@dataclass(frozen=True, eq=False)
class Quantiles:
    """The state of a flow in one dimension: quantiles X (points + 1,), and how far the last step moved them in the metric."""

    column: Column
    X: Floats
    moved: Floats
    energy: float
    w2: float = 0.0
    iterations: int = 0
    residual: float = 0.0
    steps: int = 0

    @property
    def density(self) -> Density:
        return Density(Grid([self.X]), self.column.masses / np.diff(self.X))

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"X": self.X, "moved": self.moved, "steps": np.array(self.steps)}


def minimised(column: Column, X: Floats, ahead: Floats, tau: float) -> tuple[Floats, int, float]:
    """argmin F + |Y - Y_0 - ahead|²/(2 tau) from the quantiles X by damped Newton steps, their number, and the last one over the width.

    The objective never rises, so that F(argmin) + W²/(2 tau) <= F(X) whether or not F is convex.
    """
    now, place = column.objective(X, X, ahead, tau), X
    for iteration in range(1, MOST + 1):
        way = column.newton(place, X, ahead, tau)
        if not np.all(np.isfinite(way)):
            raise NotConvergedError(
                f"got a Newton step of NaN between {place[0]:.3g} and {place[-1]:.3g}, expected numbers: the energy or D is NaN or infinite there; "
                "type energies that are finite, or start from sg.gaussian(grid, mean, cov) on the grid of a table"
            )
        # a cell must keep a part of its width: the energy is infinite beyond
        shrink = float(np.max(-np.diff(way) / np.diff(place)))
        share = 1.0 if shrink <= BOLD else BOLD / shrink
        bold, slack = share, ROUNDING * (1 + abs(now))
        while True:
            new = column.inside(place + share * way)
            value = column.objective(new, X, ahead, tau)
            if value <= now + slack:
                break
            share *= 0.5
            if share < 1e-10 * bold:
                where = "" if np.isfinite(value) else f": the energy is {value:g} a little further"
                raise NotConvergedError(
                    f"got no descent after {iteration} Newton steps{where}, expected some; type a smaller tau than {tau:g}"
                )
        residual = float(np.abs(new - place).max() / (new[-1] - new[0]))
        place, now = new, value
        if share == 1.0 and residual < PRECISE:
            return place, iteration, residual
    raise NotConvergedError(
        f"got a residual of {residual:.2g} after {MOST} Newton steps, expected {PRECISE:g}; type a smaller tau than {tau:g}"
    )


def _walls(rho0: Any) -> tuple[float, float]:
    if not isinstance(rho0, Density):
        return -np.inf, np.inf
    if rho0.grid.boundary != (("reflecting", "reflecting"),):
        raise ValueError(
            f"got the boundary {rho0.grid.boundary[0]} for Quantile, expected reflecting walls; type sg.fokker_planck(problem, grid), or "
            "method=sg.Graph() on a periodic axis"
        )
    return float(rho0.grid.edges[0][0]), float(rho0.grid.edges[0][-1])
