"""Which minimum a point flows to, which two minima a saddle joins, and the tree that the barriers make of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp

from sgdyn import checks
from sgdyn.escape.following import both_sides
from sgdyn.escape.surfaces import DriftSurface

if TYPE_CHECKING:
    from sgdyn.escape.search import CriticalPoints

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

ARRIVED = 1e-3
"""A path that comes within this share of the box of a stable point has arrived."""
LONGEST = 1e4


@dataclass(frozen=True, eq=False)
class SaddleGraph:
    """The saddles of index 1 as edges between minima: `edges` (n, 2) holds the minima that steepest descent from each saddle ends in.

    -1 stands for a way out of the box. Edges are sorted by the height of the saddle; `merges` are those where a path between two groups of
    minima first opens.
    """

    points: CriticalPoints
    edges: Integers

    @property
    def heights(self) -> Floats:
        """U at the saddles (n,)."""
        return np.asarray(self.points.values[self.points.index == 1])

    @property
    def merges(self) -> list[tuple[int, int, int]]:
        """(saddle, group, group): the saddles at which two groups, named by their lowest minima, become one, from the lowest up."""
        group = np.arange(len(self.points.minima))
        found = []
        for k, (a, b) in enumerate(self.edges):
            if a >= 0 and b >= 0 and group[a] != group[b]:
                low, high = sorted((int(group[a]), int(group[b])))
                group[group == high] = low
                found.append((k, low, high))
        return found

    def barrier(self, a: int, b: int) -> float:
        """The height of the lowest way from minimum a to minimum b above a; infinite if there is none."""
        minima = len(self.points.minima)
        for name, k in (("a", a), ("b", b)):
            if not 0 <= checks.count(name, k, least=0) < minima:
                raise ValueError(f"got {name}={k}, expected the number of one of {minima} minima")
        group = np.arange(minima)
        for k, (i, j) in enumerate(self.edges):
            if i >= 0 and j >= 0:
                group[group == group[j]] = group[i]
            if group[a] == group[b]:
                return float(self.heights[k] - self.points.values[a]) if a != b else 0.0
        return float("inf")

    def saddles(self, a: int, b: int) -> Floats:
        """The saddles (n, dim) that join two minima directly, the lowest first."""
        joined = [set(edge) == {a, b} for edge in self.edges.tolist()]
        return np.asarray(self.points.saddles[np.array(joined, dtype=bool)])

    def __str__(self) -> str:
        names = ["outside" if k < 0 else str(k) for k in self.edges.ravel()]
        pairs = [f"  {a} - {b}  over {h:.8g}" for a, b, h in zip(names[::2], names[1::2], self.heights, strict=True)]
        return "\n".join([f"{len(self.points.minima)} minima joined by {len(pairs)} saddles", *pairs])

    __repr__ = __str__

    def plot(self, ax: Any = None) -> Any:
        """The disconnectivity tree: minima at their values, joined where a way opens (Becker and Karplus 1997; see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def basin(points: CriticalPoints, x: ArrayLike) -> Integers:
    """See `CriticalPoints.basin`."""
    array = checks.points(checks.finite("x", x), points.surface.dim)
    flat = array.reshape(-1, points.surface.dim)
    return np.array([_end(points, y) for y in flat], dtype=np.intp).reshape(array.shape[:-1])


def _end(points: CriticalPoints, x: Floats) -> int:
    """The number of the minimum that the flow -grad U from x comes near."""
    minima, given = points.minima, points.surface
    if not len(minima):
        return -1
    width = np.linalg.norm(points.box[:, 1] - points.box[:, 0])
    curvature = max(float(points.eigenvalues[0, 0]), 1e-12)  # of the lowest minimum: the clock

    def near(_: float, y: Floats) -> float:
        return float(np.min(np.linalg.norm(minima - y, axis=1)) - ARRIVED * width)

    def outside(_: float, y: Floats) -> float:
        return float(np.max(np.abs(y - points.box.mean(axis=1))) - 2 * width)

    near.terminal = outside.terminal = True  # type: ignore[attr-defined]
    if near(0.0, x) < 0:
        return int(np.argmin(np.linalg.norm(minima - x, axis=1)))
    stiff = "LSODA" if given.dim <= 64 else "RK45"
    flow = solve_ivp(
        lambda _, y: -given.gradient(y[None])[0], (0, LONGEST / curvature), x, stiff, events=(near, outside), rtol=1e-6, atol=1e-8 * width
    )  # fmt: skip
    end = flow.y[:, -1]
    return int(np.argmin(np.linalg.norm(minima - end, axis=1))) if len(flow.t_events[0]) else -1


def graph(points: CriticalPoints) -> SaddleGraph:
    """See `CriticalPoints.graph`."""
    edges = [[_end(points, x) for x in _beside(points, s)] for s in points.saddles]
    return SaddleGraph(points, np.array(edges, dtype=np.intp).reshape(-1, 2))


def _beside(points: CriticalPoints, saddle: Floats) -> list[Floats]:
    """Two points next to a saddle on both sides along its unstable direction."""
    gap = 1e-4 * float(np.linalg.norm(points.box[:, 1] - points.box[:, 0]))
    if not isinstance(points.surface, DriftSurface):
        return both_sides(points.surface, saddle, gap)
    values, vectors = np.linalg.eig(points.surface.hessian(saddle))
    v = vectors[:, np.argmin(values.real)].real
    return [saddle - gap * v, saddle + gap * v]
