"""The quasipotential in two dimensions: what takes the place of U in exp(-U/T), as T falls, for drifts that are no gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, optimize

from sgdyn import checks
from sgdyn.density.grid import Grid
from sgdyn.estimate import Estimate
from sgdyn.noise import Varying
from sgdyn.problem import STRATONOVICH, Langevin, Momentum
from sgdyn.progress import progress
from sgdyn.steady import fluctuation, fronts
from sgdyn.steady.linear import linear_stationary

Floats = NDArray[np.float64]

CORE = 3
"""So many nodes around the attractor get their values from the linear process there."""
SLICE = 20_000
"""So many nodes join the front between two looks at Ctrl-C."""
ROUNDING = 1e-12
BELOW = 0.98
"""Of an interrupted front values up to this share of its height are sure not to be touched by splines over its edge."""


@dataclass(frozen=True, eq=False)
class Quasipotential:
    """V of an attractor at the midpoints of a grid's cells: values (*shape).

        V(x) = min over paths from the attractor to x of (1/4) int |x' - b|²_{D^-1} dt,   so that rho ~ exp(-V/T) as T -> 0

    around that attractor; `process` is the problem at T = 0. V has the units of U and is T times the least action: U - U_min for drifts -D grad U; half of what papers give that
    take the noise as sqrt(epsilon) dW. `level` is the least V at the edge of the box: values above it might be lower with a larger box.
    """

    process: Langevin
    grid: Grid
    attractor: Floats
    values: Floats
    level: float
    again: Callable[[Grid], Quasipotential] = field(repr=False)
    reached: float = np.inf

    @property
    def warnings(self) -> tuple[str, ...]:
        """A note if Ctrl-C came before the end."""
        if np.isinf(self.reached):
            return ()
        return (f"interrupted: values are final up to {self.reached:.4g}, and set to that above",)

    @cached_property
    def _others(self) -> tuple[Quasipotential, Quasipotential]:
        others = self.again(self.grid.coarser()), self.again(self.grid.coarser(1.5))
        if any(other.warnings for other in others):
            raise KeyboardInterrupt
        return others

    def at(self, x: ArrayLike) -> Estimate:
        """V (...) at points (..., dim), by cubic splines. The error is what a method of first order has, from grids of a half and of two thirds as many cells:

            max(|V - V_1/2|, 2 |V - V_2/3|)

        It is of second order where V is smooth and of first behind caustics, so that nothing is extrapolated. Raises ValueError for points beyond the box.
        """
        points = checks.points(checks.finite("x", x), 2)
        if any(np.any(k < 0) for k in self.grid.index(points)):
            raise ValueError("got points beyond the box, expected x inside; type a larger Grid")
        value = self.interpolated(points)
        half, third = (np.abs(value - other.interpolated(points)) for other in self._others)
        error = np.maximum(half, 2 * third) + ROUNDING * np.abs(value)
        above = float(np.mean(value - error > self.level))  # less, and leaving the box changes no more than the error
        warnings = () if above == 0 else (
            f"{above:.0%} of the points lie above {self.level:.4g}, the least V at the edge of the box: paths that leave the box might cost less",
        )  # fmt: skip
        shape = "x".join(map(str, self.grid.shape))
        unknown = self.warnings if np.any(value > BELOW * self.reached) else ()
        return Estimate(value[()], error[()], f"ordered line integrals, {shape} cells", warnings=(*unknown, *warnings))

    def interpolated(self, x: Floats) -> Floats:
        """The values of this grid alone at points (..., 2)."""
        place = [(x[..., k].ravel() - self.grid.edges[k][0]) / self.grid.widths[k][0] - 0.5 for k in range(2)]
        found = ndimage.map_coordinates(self._spline, np.stack(place), order=3, mode="nearest", prefilter=False)
        return np.asarray(np.maximum(found, 0.0).reshape(x.shape[:-1]))

    @cached_property
    def _spline(self) -> Floats:
        return np.asarray(ndimage.spline_filter(self.values, order=3, mode="nearest"))

    def path(self, x: ArrayLike) -> fluctuation.FluctuationPath:
        """The path of least action from the attractor to x (2,): how rare fluctuations get there (see `fluctuation.traced_back`)."""
        end = checks.vector("x", x, 2)
        if any(np.any(k < 0) for k in self.grid.index(end)):
            raise ValueError(f"got x={end.tolist()} beyond the box, expected a point inside; type a larger Grid")
        return fluctuation.traced_back(self, end)

    def __str__(self) -> str:
        shape = "x".join(map(str, self.grid.shape))
        text = f"quasipotential of {np.array2string(self.attractor, precision=6)}, {shape} cells, least V at the edge of the box {self.level:.6g}"
        return text + "".join(f"\n  note: {w}" for w in self.warnings)

    __repr__ = __str__

    def plot(self, ax: Any = None) -> Any:
        """Contours of V, its attractor, and the level up to which the box is large enough (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def quasipotential(
    problem: Langevin, attractor: ArrayLike, grid: Grid, *, reach: int | None = None, show_progress: bool | None = None
) -> Quasipotential:
    """The quasipotential V of a stable point of the drift, on a grid of two axes of equal cells.

        V(x) = inf (1/2) int |b|_{D^-1} |dx|_{D^-1} - <b, dx>_{D^-1}   over curves from the attractor to x

    problem: a `Langevin` process, D constant or D(x), positive definite. attractor (2,): near enough for Newton's method. reach: how many
    cells away straight segments of the curves may begin, by default 0.6 sqrt(cells along an axis). A drift that contains T div D
    (`Langevin.gibbs`) is taken at T = 0. About 5 s for 512 x 512 cells and twice that with errors. Ctrl-C returns what the front has passed: V
    rises along it, so that lower values are final. Raises ValueError for other dimensions, singular D, points that are not stable, attractors at the edge of the box and non-uniform or periodic axes, TypeError for what is no
    `Langevin` process. Sources: Freidlin and Wentzell 1984, ch. 4; Dahiya and Cameron, J. Sci. Comput. 75, 1351 (2018).
    """
    process = _cold(problem)
    cells = _checked(process, grid, reach)
    point = _stable_point(process, checks.vector("attractor", attractor, 2))
    again = lambda other: quasipotential(problem, point, other, reach=reach)  # noqa: E731
    with progress("quasipotential", show_progress) as tell:
        values, level, reached = _solved(process, grid, point, cells, tell)
    return Quasipotential(process, grid, point, values, level, again, reached)


def _cold(problem: Any) -> Langevin:
    """The process whose drift is that of T = 0."""
    if isinstance(problem, Momentum):
        raise TypeError(
            "got a Momentum process, expected a Langevin process: D of phase space is singular; with D = 1 its V is U + v²/2"
        )
    if not isinstance(problem, Langevin):
        raise TypeError(f"got a {type(problem).__name__}, expected a process; type sg.Langevin.from_drift(b, dim=2)")
    if problem.origin == STRATONOVICH and isinstance(problem.D, Varying):
        raise ValueError(
            "got a process in the sense of Stratonovich, whose drift contains T; type the Itô process with the drift of T = 0"
        )
    return replace(problem, T=1e-300) if problem.drift_has_temperature else problem


def _checked(process: Langevin, grid: Any, reach: int | None) -> int:
    if process.dim != 2 or not isinstance(grid, Grid) or grid.dim != 2:
        raise ValueError(
            f"got a process in dimension {process.dim} and a grid of {getattr(grid, 'dim', type(grid).__name__)} axes, expected 2 and 2; "
            "type sg.Grid([(-2, 2, 256), (-2, 2, 256)]), or sg.kramers_time(problem, well, saddle) for the barrier in other dimensions"
        )
    if not all(grid.uniform) or any(grid.periodic):
        raise ValueError(
            "got a grid with unequal cells or periodic axes, expected (low, high, count) for both axes and walls; type sg.Grid([(-2, 2, 256)] * 2)"
        )
    if min(grid.shape) < 4 * CORE:
        raise ValueError(f"got {grid.shape} cells, expected at least {4 * CORE} along each axis; type a larger count")
    return max(3, round(0.6 * min(grid.shape) ** 0.5)) if reach is None else checks.count("reach", reach, least=2)


def _stable_point(process: Langevin, near: Floats) -> Floats:
    """The zero of the drift next to a point, which must be stable."""
    found = optimize.root(lambda x: process.drift(x), near, jac=lambda x: process.drift.gradient()(x), tol=1e-13)
    size = float(np.linalg.norm(process.drift.gradient()(found.x), 2))
    if not np.linalg.norm(process.drift(found.x)) <= 1e-8 * max(size, 1e-300):
        raise ValueError(
            f"got attractor={near.tolist()}, expected a point next to a zero of the drift; the search ended at {found.x.tolist()}"
        )
    growth = float(np.linalg.eigvals(process.drift.gradient()(found.x)).real.max())
    if growth >= -1e-10 * size:
        raise ValueError(
            f"got attractor={near.tolist()}, next to which the drift is zero at {found.x.tolist()} with the growth rate {growth:.4g}, expected a stable point"
        )
    return np.asarray(found.x)


def _solved(process: Langevin, grid: Grid, point: Floats, reach: int, tell: Any) -> tuple[Floats, float, float]:
    """V (*shape), its least value in the outermost cells, and the height that the front has reached (infinite: all of the grid)."""
    table, widths = _table(process, grid), np.array([w[0] for w in grid.widths])
    V, start = _core(process, grid, point, widths)
    n, size = grid.size, len(start)
    state, heap, place = np.zeros(n, np.int8), np.zeros(n, np.int64), np.zeros(n, np.int64)
    heap[:size], place[start], state[start] = start, np.arange(size), fronts.CONSIDERED
    center, done = np.array([(x - m[0]) / w for x, m, w in zip(point, grid.midpoints, widths, strict=True)]), 0
    reached = np.inf
    try:
        while size:
            size = fronts.advance(table, widths, center, V, state, heap, place, size, reach, SLICE)
            done += SLICE
            tell(min(1.0, done / n))
    except KeyboardInterrupt:
        if not np.any(state >= fronts.FRONT):
            raise
        reached = float(V[state >= fronts.FRONT].max())
    values = np.minimum(V, reached).reshape(grid.shape)
    edge = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    return values, float(edge.min()), reached


def _core(process: Langevin, grid: Grid, point: Floats, widths: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Infinite values (cells,) but for the nodes beside the attractor, whose numbers come in the order of their values: a heap."""
    away = grid.centers.reshape(-1, 2) - point
    low, high = (np.array([e[k] for e in grid.edges]) for k in (0, -1))
    if np.any(point - (CORE + 1) * widths < low) or np.any(point + (CORE + 1) * widths > high):
        raise ValueError(
            f"got the attractor {point.tolist()} at the edge of the box or beyond, expected it inside; type a larger Grid"
        )
    start = np.flatnonzero(np.all(np.abs(away) <= (CORE + 1e-6) * widths, axis=1))
    linear = Langevin.linear(-process.drift.gradient()(point), T=1.0, D=process.D(point))
    V = np.full(grid.size, np.inf)
    V[start] = 0.5 * np.einsum("ni,ij,nj->n", away[start], linear_stationary(linear).precision, away[start])
    return V, start[np.argsort(V[start])]


def _table(process: Langevin, grid: Grid) -> Floats:
    """L^-1 b and L^-1 (2 n0 - 1, 2 n1 - 1, 5), D = L L', at the midpoints of the cells and half-way between them."""
    axes = [np.linspace(m[0], m[-1], 2 * len(m) - 1) for m in grid.midpoints]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    b, D = process.drift(x), process.D(x if isinstance(process.D, Varying) else x[:1, :1])
    if not (np.all(np.isfinite(b)) and np.all(np.isfinite(D))):
        raise ValueError(
            "got a drift or a D that is not finite somewhere in the box, expected finite numbers; type a Grid inside their domain"
        )
    lowest = np.linalg.eigvalsh(D)
    if np.any(lowest[..., 0] <= 1e-12 * lowest[..., 1]):
        raise ValueError(
            "got a singular D, expected a positive definite one: paths may move in every direction; type LowRank(V, s, floor=...) with a floor > 0"
        )
    inverse = np.linalg.inv(np.linalg.cholesky(D))
    table = np.empty((*x.shape[:2], 5))
    table[..., :2] = np.einsum("...ij,...j->...i", inverse, b)
    table[..., 2], table[..., 3], table[..., 4] = inverse[..., 0, 0], inverse[..., 1, 0], inverse[..., 1, 1]
    return table
