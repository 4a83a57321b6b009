"""The edges between the cells of a grid along which a diffusion matrix acts, and how strong each is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from sgdyn.density.grid import Grid
from sgdyn.density.selling import Decomposition, decomposed

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

FURTHEST = 24
"""The longest offset in cells; thinner matrices get a little diffusion across, which the generator reports."""


INDEFINITE = 1e-10
"""Negative eigenvalues of D up to this share of the largest are rounding."""
LAYER = 6
"""The solution bends within so many edge lengths from a wall."""


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
    symmetric and errors of second order. Raises ValueError where D is indefinite. Source: Fehrenbach and Mirebeau, J. Math. Imaging Vis. 49 (2014).
    """
    smallest = _smallest(grid, D)
    widths = np.stack(np.meshgrid(*grid.widths, indexing="ij"), axis=-1).reshape(-1, grid.dim)
    constant = len(D) == 1 and all(grid.uniform)
    used = widths[:1] if constant else widths
    found = decomposed(D / (used[:, :, None] * used[:, None, :]), _reach(grid))
    pairs, everywhere = _Pairs(grid), np.arange(grid.size)
    ways = range(found.offsets.shape[1])
    exits = [pairs.add(everywhere, sign * found.offsets[:, m], found.weights[:, m]) for m in ways for sign in (1, -1)]
    pairs.mend_walls(found)
    joined = pairs.join(smallest / used.max(axis=1) ** 2)
    ends = Exits(*(np.concatenate(parts) for parts in zip(*exits, strict=True)))
    return Lattice(grid, pairs.edges(), ends, float(found.added.max()), joined)


def _smallest(grid: Grid, D: Floats) -> Floats:
    """The smallest eigenvalue of each D, none below zero but for rounding."""
    finite = np.isfinite(D).all(axis=(1, 2))
    if not np.all(finite):
        k = int(np.argmin(finite))
        raise ValueError(
            f"got T D = {D[k].tolist()} at {_place(grid, k)}, expected finite numbers; type a Grid inside its domain"
        )
    values = np.linalg.eigvalsh(D)
    smallest, k = values[:, 0], int(np.argmin(values[:, 0]))
    if smallest[k] < -INDEFINITE * np.abs(values).max():
        raise ValueError(
            f"got T D with the eigenvalue {smallest[k]:.6g} at {_place(grid, k)}, expected none below 0 in the box: D is a covariance; "
            "type a D that is positive semidefinite there (A @ A.T is), or a Grid where it is"
        )
    return np.asarray(smallest)


def _place(grid: Grid, k: int) -> list[float]:
    """The centre of a cell."""
    where = np.unravel_index(k, grid.shape)
    return [float(f"{mid[i]:.6g}") for mid, i in zip(grid.midpoints, where, strict=True)]


def _reach(grid: Grid) -> int:
    for n, around in zip(grid.shape, grid.periodic, strict=True):
        if around and n < 3:
            raise ValueError(f"got a periodic axis of {n} cells, expected at least 3")
    return max(1, min(FURTHEST, (min(grid.shape) - 1) // 2))


class _Pairs:
    """Strengths gathered cell by cell."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.cells = np.stack(np.unravel_index(np.arange(grid.size), grid.shape), axis=-1)
        self.volumes = grid.volumes.ravel()
        self.parts: list[tuple[Integers, Integers, Floats]] = []
        self._summed: sparse.csr_array | None = None

    def add(self, i: Integers, offset: NDArray[np.int64], weight: Floats) -> tuple[Integers, Floats, Floats]:
        """Half the weights (n,) of the cells i to their neighbours at `offset` (n, dim); what goes over absorbing walls is returned."""
        offset, weight = np.broadcast_to(offset, (len(i), self.grid.dim)), np.broadcast_to(weight, (len(i),))
        some = weight > 0
        i, offset, weight = i[some], offset[some], weight[some]
        target = self.cells[i] + offset
        outside = self._outside(target)
        lost = outside.any(axis=1)
        self._keep(i[~lost], offset[~lost], weight[~lost], target[~lost])
        return self._exits(i[lost], offset[lost], weight[lost], outside[lost])

    def _keep(self, i: Integers, offset: NDArray[np.int64], weight: Floats, target: Integers) -> None:
        j = np.ravel_multi_index(tuple(target.T), self.grid.shape, mode="wrap")
        self._summed = None
        self.parts.append((i, j, 0.5 * weight * self.volumes[i] * self._stretch(i, offset)))

    def summed(self) -> sparse.csr_array:
        """The strengths so far, symmetric."""
        if self._summed is None:
            i, j, strength = (np.concatenate(p) for p in zip(*self.parts, strict=True))
            one_way = sparse.csr_array((strength, (i, j)), shape=(self.grid.size,) * 2)
            self._summed = sparse.csr_array(one_way + one_way.T)
        return self._summed

    def mend_walls(self, found: Decomposition) -> None:
        """Diffusion along reflecting walls that stands for what the walls cut off (see `lost_at_wall`)."""
        for axis in range(self.grid.dim if self.grid.dim > 1 else 0):
            for side, end in zip(self.grid.boundary[axis], (0, self.grid.shape[axis] - 1), strict=True):
                if side == "reflecting":
                    self._mend(found, axis, np.flatnonzero(self.cells[:, axis] == end))

    def _mend(self, found: Decomposition, axis: int, last: Integers) -> None:
        chosen = last if len(found.weights) > 1 else np.zeros(1, dtype=np.intp)
        extra = decomposed(lost_at_wall(found.offsets[chosen], found.weights[chosen], axis), _reach(self.grid))
        offsets = np.insert(extra.offsets, axis, 0, axis=2)
        for m in range(offsets.shape[1]):
            for sign in (1, -1):
                self.add(last, sign * offsets[:, m], extra.weights[:, m])

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
        absorbing = np.array([[side == "absorbing" for side in pair] for pair in self.grid.boundary])
        if len(i) == 0 or not absorbing.any():
            return i[:0], np.empty((0, self.grid.dim)), weight[:0]
        room = np.where(offset > 0, np.array(self.grid.shape) - 0.5 - self.cells[i], self.cells[i] + 0.5)
        with np.errstate(divide="ignore"):
            share = np.where(outside, room / np.abs(offset), np.inf)
        first = np.argmin(share, axis=1)
        rows = np.arange(len(i))
        lost = absorbing[first, (offset[rows, first] > 0).astype(int)]
        i, offset, theta = i[lost], offset[lost], share[rows, first][lost]
        widths = np.stack([w[self.cells[i, k]] for k, w in enumerate(self.grid.widths)], axis=-1)
        return i, offset * widths * theta[:, None], weight[lost] / theta

    def join(self, smallest: Floats) -> int:
        """Join cells that the edges do not reach to their neighbours along the axes, where D reaches all directions."""
        smallest = np.broadcast_to(smallest, (self.grid.size,))
        count, label = csgraph.connected_components(self.summed(), directed=False)
        alone = (label != np.bincount(label).argmax()) & (smallest > 0)
        if count == 1 or not np.any(alone):
            return 0
        cells = np.flatnonzero(alone)
        for axis in np.eye(self.grid.dim, dtype=np.int64):
            for sign in (1, -1):
                self.add(cells, sign * axis, smallest[cells])
        return int(alone.sum())

    def edges(self) -> Edges:
        both = sparse.triu(self.summed(), k=1).tocoo()
        i, j = both.row.astype(np.intp), both.col.astype(np.intp)
        offset = self.cells[j] - self.cells[i]
        shape = np.array(self.grid.shape)
        wrapped = offset - shape * np.rint(offset / shape).astype(int)
        offset = np.where(np.array(self.grid.periodic), wrapped, offset)
        return Edges(i, j, self.way(i, offset), both.data)


def lost_at_wall(offsets: NDArray[np.int64], weights: Floats, axis: int) -> Floats:
    """What a reflecting wall across `axis` takes from the diffusion along it, (n, dim - 1, dim - 1), in cells of the wall.

    Nothing flows through, (D grad u)_n = 0, so that an edge e changes u by g.grad u, g = e - e_n D n/D_nn. The outer part of the edges is
    missing, lambda |e_n| g g'/2. Edges with |e_n| > 1 leave their forces r unbalanced in the cells next to the wall, which bend u there and
    lose r' A^+ r more, A the operator across the wall. Without both the error is of first order in the cell width.
    """
    e = offsets.astype(float)
    D = np.einsum("nm,nmi,nmj->nij", weights, e, e)
    through = D[:, axis] / np.maximum(D[:, axis, axis], np.finfo(float).tiny)[:, None]
    along = np.delete(e - e[:, :, [axis]] * through[:, None, :], axis, axis=2)
    steps = np.abs(offsets[:, :, axis]) * (weights > 0)
    missing = np.einsum("nm,nmi,nmj->nij", 0.5 * weights * steps, along, along)
    longest = int(steps.max())
    if longest < 2:
        return np.asarray(missing)
    force = weights[:, :, None] * np.sign(e[:, :, [axis]]) * along
    cells = np.arange(LAYER * longest)
    unbalanced = np.einsum("nmc,nmi->nci", (steps[:, :, None] > cells).astype(float), force)
    bent = np.linalg.pinv(_across(steps, weights, len(cells)), rcond=1e-12, hermitian=True) @ unbalanced
    return np.asarray(missing + np.swapaxes(unbalanced, 1, 2) @ bent)


def _across(steps: NDArray[np.int64], weights: Floats, count: int) -> Floats:
    """The operators (n, count, count) of jumps by `steps` cells in a row of cells."""
    A = np.zeros((len(steps), count, count))
    for step in range(1, int(steps.max()) + 1):
        weight = np.where(steps == step, weights, 0.0).sum(axis=1)[:, None]
        i = np.arange(count - step)
        A[:, i, i + step] -= weight
        A[:, i + step, i] -= weight
        A[:, i, i] += weight
        A[:, i + step, i + step] += weight
    return A
