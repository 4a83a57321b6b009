"""Values between cell centres that never mix the two sides of a boundary."""

from __future__ import annotations

from functools import cached_property
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.crossings import between, crossings
from sgdyn.density.cuts import Cut
from sgdyn.density.steps import NOWHERE

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]
Bools = NDArray[np.bool_]

REACH = 3
"""Cells on each side from which values near a boundary are taken."""
GLANCES = 8
ARRIVED = 1e-6
"""A boundary point is in sight if nothing is crossed on the way there but the last of it."""


class Interpolation:
    """Cubic interpolation of values (cells, m) of a `Cut`: by products of cubics where 4 cells along each axis are clear of boundaries, else by
    a polynomial through the cells in sight and the boundary, whose values are `ends` (regions, m)."""

    def __init__(self, cut: Cut, values: Floats, ends: Floats) -> None:
        self.cut, self.grid, self.values, self.ends = cut, cut.grid, values, ends
        self.usable: Bools = (cut.owner == NOWHERE) & np.all(np.isfinite(values), axis=1)

    @cached_property
    def boundary(self) -> tuple[Floats, Integers]:
        """Points (n, dim) where edges are cut, and the region of each."""
        c = self.cut
        hit = (c.ends != NOWHERE) & (c.steps.strength > 0)
        x = self.grid.centers.reshape(-1, self.grid.dim)[c.steps.origin[hit]]
        return x + c.theta[hit, None] * c.steps.dx[hit], c.ends[hit]

    @cached_property
    def clear(self) -> Bools:
        """Usable cells from which no edge is cut."""
        clear: Bools = self.usable.copy()
        clear[self.cut.steps.origin[self.cut.ends != NOWHERE]] = False
        return clear

    def __call__(self, x: Floats) -> Floats:
        """Values (n, m) at points (n, dim) of the box."""
        found, pending = np.empty((len(x), self.values.shape[1])), np.ones(len(x), dtype=bool)
        for k, region in enumerate(self.cut.regions):
            inside = region.contains(x)
            found[inside], pending[inside] = self.ends[k], False
        cells, weights = self._products(x)
        smooth = pending & np.all(self.clear[cells], axis=1)
        found[smooth] = np.einsum("nc,ncm->nm", weights[smooth], self.values[cells[smooth]])
        for hard in np.flatnonzero(pending & ~smooth):
            found[hard] = self._fit(x[hard])
        return found

    def _products(self, x: Floats) -> tuple[Integers, Floats]:
        """The 4^dim cells around each point and their weights, (n, 4^dim)."""
        cells, weights = np.zeros((len(x), 1), dtype=np.intp), np.ones((len(x), 1))
        for k, n in enumerate(self.grid.shape):
            index, weight = self._line(x[:, k], k)
            cells = (cells[:, :, None] * n + index[:, None, :]).reshape(len(x), -1)
            weights = (weights[:, :, None] * weight[:, None, :]).reshape(len(x), -1)
        return cells, weights

    def _line(self, x: Floats, axis: int) -> tuple[Integers, Floats]:
        """The nearest cells along an axis and their Lagrange weights, (n, up to 4)."""
        middle, edges = self.grid.midpoints[axis], self.grid.edges[axis]
        n, size = len(middle), min(4, len(middle))
        start = np.searchsorted(middle, x) - size // 2
        if not self.grid.periodic[axis]:
            start = np.clip(start, 0, n - size)
        turns, index = np.divmod(start[:, None] + np.arange(size), n)
        place = middle[index] + turns * (edges[-1] - edges[0])
        weights = np.ones(place.shape)
        for a in range(size):
            for b in range(size):
                if a != b:
                    weights[:, a] *= (x - place[:, b]) / (place[:, a] - place[:, b])
        return index, weights

    def _fit(self, x: Floats) -> Floats:
        """The value at x of the polynomial nearest to the values in sight."""
        home = np.array([int(i) for i in self.grid.index(x)])
        here = int(np.ravel_multi_index(tuple(home), self.grid.shape))
        if self.cut.owner[here] == NOWHERE and not self.usable[here]:
            return np.asarray(self.values[here])
        width = np.array([w[i] for w, i in zip(self.grid.widths, home, strict=True)])
        away, values = self._in_sight(x, home, width)
        weight = 1 / (0.1 + np.sum(away**2, axis=1))
        for degree in (3, 2, 1, 0):
            basis = np.stack([np.prod(away[:, list(p)], axis=1) for p in _powers(len(x), degree)], axis=1)
            if len(values) >= basis.shape[1]:
                fit, _, rank, _ = np.linalg.lstsq(basis * weight[:, None], values * weight[:, None], rcond=1e-9)
                if rank == basis.shape[1]:
                    return np.asarray(fit[0])
        return np.full(self.values.shape[1], np.nan)

    def _in_sight(self, x: Floats, home: Integers, width: Floats) -> tuple[Floats, Floats]:
        """Ways in cells (n, dim) from x to usable cells and boundary points near it, and the values there."""
        ranges = [self._window(k, i) for k, i in enumerate(home)]
        cells = np.ravel_multi_index(np.meshgrid(*ranges, indexing="ij"), self.grid.shape).ravel()
        cells = cells[self.usable[cells]]
        points, region = self.boundary
        near = np.all(np.abs(between(self.grid, x, points)) <= REACH * width, axis=1)
        centers = self.grid.centers.reshape(-1, len(x))[cells]
        way = between(self.grid, x, np.concatenate([centers, points[near]]))
        values = np.concatenate([self.values[cells], self.ends[region[near]].reshape(-1, self.values.shape[1])])
        seen, start, pieces = np.ones(len(way), dtype=bool), np.broadcast_to(x, way.shape), np.full(len(way), GLANCES)
        for k in range(len(self.cut.regions)):
            seen &= crossings(self.cut.level(k), start, way, pieces) > 1 - ARRIVED
        return way[seen] / width, values[seen]

    def _window(self, axis: int, i: int) -> Integers:
        n = self.grid.shape[axis]
        window = np.arange(i - REACH, i + REACH + 1)
        return np.unique(window % n) if self.grid.periodic[axis] else window[(window >= 0) & (window < n)]


def _powers(dim: int, degree: int) -> list[tuple[int, ...]]:
    """The coordinates multiplied in each monomial up to a degree, the constant first."""
    return [p for d in range(degree + 1) for p in combinations_with_replacement(range(dim), d)]
