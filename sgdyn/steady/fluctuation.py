"""Fluctuation paths: how a rare fluctuation comes about, traced back from where it leads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.errors import NotConvergedError

if TYPE_CHECKING:
    from sgdyn.problem import Langevin
    from sgdyn.steady.quasipotentials import Quasipotential

Floats = NDArray[np.float64]

RADIUS = 3.0
"""Of a step back, in cells."""
DIRECTIONS, ROUNDS = 49, 4
"""So many directions are tried, so many times, each time in the interval between the neighbours of the best."""


@dataclass(frozen=True, eq=False)
class FluctuationPath:
    """The path of least action from an attractor to a point: x (n, 2), with V (n,) along it, from 0 to the end's.

    `action` is T times the action of the polygon (midpoint rule) beyond the first point, V there added: another value of V at the end.
    """

    potential: Quasipotential
    x: Floats
    V: Floats
    action: float

    @property
    def length(self) -> Floats:
        """Arc length from the attractor (n,)."""
        return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(self.x, axis=0), axis=1))])

    def __str__(self) -> str:
        start, end = (np.array2string(x, precision=6) for x in (self.x[0], self.x[-1]))
        return f"path of least action from {start} to {end}, {len(self.x)} points, V {self.V[-1]:.6g} at its end, action {self.action:.6g}"

    __repr__ = __str__

    def plot(self, ax: Any = None) -> Any:
        """The path over the contours of V (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def segments(process: Langevin, start: Floats, end: Floats) -> Floats:
    """T times the least action (...) of straight segments (..., dim), (|b||dx| - <b, dx>)/2 in the metric of D^-1 at their midpoints."""
    middle, way = 0.5 * (start + end), end - start
    b, inverse = process.drift(middle), np.linalg.inv(process.D(middle))

    def inner(u: Floats, v: Floats) -> Floats:
        return np.asarray(np.einsum("...i,...ij,...j->...", u, inverse, v))

    return np.asarray(0.5 * (np.sqrt(inner(b, b) * inner(way, way)) - inner(b, way)))


def traced_back(found: Quasipotential, end: Floats) -> FluctuationPath:
    """Steps of three cells from the end to the point z of an ellipse around it where V(z) + action(z -> x) is least, up to the attractor.

    Bellman's principle instead of the gradient of V: it goes through saddles, and where V is flat. Errors of the path are O(cell width).
    Raises NotConvergedError where the attractor is not reached (V ends in a well of the interpolation, or at the edge of the box).
    """
    widths = np.array([w[0] for w in found.grid.widths])
    points, most = [end], 4 * sum(found.grid.shape)
    while np.max(np.abs(points[-1] - found.attractor) / widths) > RADIUS:
        if len(points) > most:
            raise NotConvergedError(
                f"the path back from {end.tolist()} has not reached the attractor after {most} steps and stands at {points[-1].tolist()}; "
                "type a finer Grid, or a larger one if that is its edge"
            )
        points.append(_step_back(found, points[-1], RADIUS * widths))
    x = np.array([found.attractor, *points[::-1]])
    V = np.concatenate([[0.0], found.interpolated(x[1:])])
    return FluctuationPath(found, x, V, float(V[1] + segments(found.process, x[1:-1], x[2:]).sum()))


def _step_back(found: Quasipotential, x: Floats, axes: Floats) -> Floats:
    low, high = (np.array([e[k] for e in found.grid.edges]) for k in (0, -1))
    angles = np.linspace(0, 2 * np.pi, DIRECTIONS)
    for _ in range(ROUNDS):
        z = np.clip(x + axes * np.stack([np.cos(angles), np.sin(angles)], axis=-1), low, high)
        best = int(np.argmin(found.interpolated(z) + segments(found.process, z, np.broadcast_to(x, z.shape))))
        step = angles[1] - angles[0]
        angles = np.linspace(angles[best] - step, angles[best] + step, DIRECTIONS)
    return np.asarray(z[best])
