"""The edges between the cells of a grid along which a diffusion matrix acts, and how strong each is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from sgdyn.density.grid import Grid
from sgdyn.density.selling import decomposed

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

FURTHEST = 24
"""The longest offset in cells; thinner matrices get a little diffusion across, which the generator reports."""


@dataclass(frozen=True)
class Edges:
    """Pairs of cells i < j with the way dx (n, dim) from i to j and a symmetric strength (volume per time) between them."""

    i: Integers
    j: Integers
    dx: Floats
    strength: Floats


@dataclass(frozen=True)
class Exits:
    """Edges from cells i over an absorbing wall: the way dx to the wall and the strength per volume, already cut at the wall."""

    i: Integers
    dx: Floats
    strength: Floats


@dataclass(frozen=True)
class Lattice:
    """All edges of a grid. `added` is the largest share of the trace of D that thin matrices were given, `joined` the cells whose own
    edges all left the box and that were joined to their neighbours along the axes instead."""

    grid: Grid
    edges: Edges
    exits: Exits
    added: float
    joined: int


def lattice(grid: Grid, D: Floats) -> Lattice:
    """The edges for diffusion matrices D (n, dim, dim) at the cell centres, or (1, dim, dim) if D is constant.

    Each cell gives half of its weight lambda_k to each of its neighbours at +-e_k (h-scaled Selling decomposition), so that strengths are
    symmetric and errors of second order. Source: Fehrenbach and Mirebeau, J. Math. Imaging Vis. 49 (2014).
    """
    widths = np.stack(np.meshgrid(*grid.widths, indexing="ij"), axis=-1).reshape(-1, grid.dim)
    constant = len(D) == 1 and all(np.ptp(w) == 0 or u for w, u in zip(grid.widths, grid.uniform, strict=True))
    used = widths[:1] if constant else widths
    found = decomposed(D / (used[:, :, None] * used[:, None, :]), _reach(grid))
    pairs, ways = _Pairs(grid), range(found.offsets.shape[1])
    exits = [pairs.add(sign * found.offsets[:, m], found.weights[:, m]) for m in ways for sign in (1, -1)]
    smallest = np.linalg.eigvalsh(D)[:, 0]
    joined = pairs.join(smallest / used.max(axis=1) ** 2)
    ends = Exits(*(np.concatenate(parts) for parts in zip(*exits, strict=True)))
    return Lattice(grid, pairs.edges(), ends, float(found.added.max()), joined)


def _reach(grid: Grid) -> int:
    smallest = min(n for n in grid.shape)
    return max(1, min(FURTHEST, (smallest - 1) // 2))


class _Pairs:
    """Strengths gathered cell by cell."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.cells = np.stack(np.unravel_index(np.arange(grid.size), grid.shape), axis=-1)
        self.volumes = grid.volumes.ravel()
        self.sum = sparse.csr_array((grid.size, grid.size))

    def add(self, offsets: NDArray[np.int64], weights: Floats) -> tuple[Integers, Floats, Floats]:
        """Half the weight of every cell to its neighbour; what goes over absorbing walls is returned."""
        offsets = np.broadcast_to(offsets, (self.grid.size, self.grid.dim))
        weights = np.broadcast_to(weights, (self.grid.size,))
        some = np.flatnonzero(weights > 0)
        offset, weight = offsets[some], weights[some]
        target = self.cells[some] + offset
        outside = self._outside(target)
        kept = ~outside.any(axis=1)
        i, offset, weight, inside = some[kept], offset[kept], weight[kept], target[kept]
        j = np.ravel_multi_index(tuple(inside.T), self.grid.shape, mode="wrap")
        strength = 0.5 * weight * self.volumes[i] * self._stretch(i, offset)
        self.sum = self.sum + sparse.csr_array((strength, (i, j)), shape=self.sum.shape)
        return self._exits(some[~kept], offsets[some][~kept], weights[some][~kept], outside[~kept])

    def _outside(self, target: Integers) -> NDArray[np.bool_]:
        """Which axes are left through a wall, (n, dim)."""
        beyond = (target < 0) | (target >= np.array(self.grid.shape))
        return np.asarray(beyond & ~np.array(self.grid.periodic))

    def _stretch(self, i: Integers, offset: NDArray[np.int64]) -> Floats:
        """The length of an edge in widths of the cell i over its true length: 1 on equal cells."""
        if all(self.grid.uniform):
            return np.ones(len(i))
        widths = np.stack([w[self.cells[i, k]] for k, w in enumerate(self.grid.widths)], axis=-1)
        return np.asarray(np.linalg.norm(offset * widths, axis=1) / np.linalg.norm(self.way(i, offset), axis=1))

    def way(self, i: Integers, offset: NDArray[np.int64]) -> Floats:
        """The vectors from the centres of the cells i to those `offset` cells away."""
        return np.stack([self._along(k, self.cells[i, k], offset[:, k]) for k in range(self.grid.dim)], axis=-1)

    def _along(self, k: int, cell: Integers, offset: NDArray[np.int64]) -> Floats:
        mid, edges = self.grid.midpoints[k], self.grid.edges[k]
        turns, place = np.divmod(cell + offset, len(mid))
        return np.asarray(mid[place] - mid[cell] + turns * (edges[-1] - edges[0]))

    def _exits(
        self, i: Integers, offset: NDArray[np.int64], weight: Floats, outside: NDArray[np.bool_]
    ) -> tuple[Integers, Floats, Floats]:
        """Edges cut at the first wall, if it absorbs."""
        room = np.where(offset > 0, np.array(self.grid.shape) - 0.5 - self.cells[i], self.cells[i] + 0.5)
        with np.errstate(divide="ignore"):
            share = np.where(outside, room / np.abs(offset), np.inf)
        first = np.argmin(share, axis=1)
        absorbing = np.array([[side == "absorbing" for side in pair] for pair in self.grid.boundary])
        rows = np.arange(len(i))
        lost = absorbing[first, (offset[rows, first] > 0).astype(int)]
        i, offset, theta = i[lost], offset[lost], share[rows, first][lost]
        widths = np.stack([w[self.cells[i, k]] for k, w in enumerate(self.grid.widths)], axis=-1)
        return i, offset * widths * theta[:, None], weight[lost] / theta

    def join(self, smallest: Floats) -> int:
        """Join cells that the edges do not reach to their neighbours along the axes, where D reaches all directions."""
        smallest = np.broadcast_to(smallest, (self.grid.size,))
        count, label = csgraph.connected_components(self.sum, directed=False)
        alone = (label != np.bincount(label).argmax()) & (smallest > 0)
        if count == 1 or not np.any(alone):
            return 0
        weight = np.where(alone, smallest, 0.0)
        for axis in np.eye(self.grid.dim, dtype=np.int64):
            for sign in (1, -1):
                self.add(np.tile(sign * axis, (self.grid.size, 1)), weight)
        return int(alone.sum())

    def edges(self) -> Edges:
        both = sparse.triu(self.sum + self.sum.T, k=1).tocoo()
        i, j = both.row.astype(np.intp), both.col.astype(np.intp)
        offset = self.cells[j] - self.cells[i]
        shape = np.array(self.grid.shape)
        wrapped = offset - shape * np.rint(offset / shape).astype(int)
        offset = np.where(np.array(self.grid.periodic), wrapped, offset)
        return Edges(i, j, self.way(i, offset), both.data)
