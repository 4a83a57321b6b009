"""The edges between the cells of a grid along which a diffusion matrix acts, and how strong each is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from sgdyn.density.grid import Grid
from sgdyn.density.selling import Decomposition, decomposed
from sgdyn.density.shifts import joins, shifted

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

FURTHEST = 24
"""The longest offset in cells; thinner matrices get a little diffusion across, which the generator reports."""


INDEFINITE = 1e-10
"""Negative eigenvalues of D up to this share of the largest are rounding."""
AT_ONCE = 100_000
"""Ways of cells that are looked at together."""
LAYER = 6
"""The solution bends within so many edge lengths from a wall."""


def bernoulli(w: Floats) -> Floats:
    """w/(e^w - 1), which weighs a rate that climbs by w."""
    small = np.abs(w) < 1e-5
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return np.where(small, 1 - 0.5 * w + w * w / 12, w / np.expm1(np.where(small, 1.0, w)))


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
    constant = len(D) == 1 and all(grid.uniform)
    different = [w[:1] for w in grid.widths] if constant else grid.widths
    used = np.stack(np.meshgrid(*different, indexing="ij"), axis=-1).reshape(-1, grid.dim)
    found = decomposed(D / (used[:, :, None] * used[:, None, :]), _reach(grid))
    absorbing = any(side == "absorbing" for pair in grid.boundary for side in pair)
    if constant and not absorbing and joins(found):
        walls = [(axis, at_wall(grid, found, axis)) for axis in _walls(grid)]
        return Lattice(grid, Edges(*shifted(grid, found, walls)), _closed(grid), float(found.added.max()), 0)
    pairs, everywhere = _Pairs(grid), np.arange(grid.size)
    exits = [
        pairs.add(everywhere, found.offsets[:, some], found.weights[:, some])
        for some in np.array_split(np.arange(found.offsets.shape[1]), pairs.portions(found))
    ]
    pairs.mend_walls(found)
    joined = pairs.join(smallest / used.max(axis=1) ** 2)
    ends = Exits(*(np.concatenate(parts) for parts in zip(*exits, strict=True)))
    return Lattice(grid, pairs.edges(), ends, float(found.added.max()), joined)


def _closed(grid: Grid) -> Exits:
    """No way out."""
    return Exits(np.zeros(0, dtype=np.intp), np.zeros((0, grid.dim)), np.zeros(0))


def _walls(grid: Grid) -> list[int]:
    """Axes with a reflecting wall, if there is anything along it."""
    return [axis for axis, pair in enumerate(grid.boundary) if grid.dim > 1 and "reflecting" in pair]


def at_wall(grid: Grid, found: Decomposition, axis: int) -> Decomposition:
    """Diffusion along reflecting walls across an axis that stands for what the walls cut off (see `lost_at_wall`)."""
    extra = decomposed(lost_at_wall(found.offsets, found.weights, axis), _reach(grid))
    return replace(extra, offsets=np.insert(extra.offsets, axis, 0, axis=2))


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
        self.cells = np.stack(np.unravel_index(np.arange(grid.size), grid.shape))  # (dim, cells)
        self.volumes = grid.volumes.ravel()
        self.shape, self.periodic = np.array(grid.shape)[:, None], np.array(grid.periodic)[:, None]
        self.absorbing = np.array([[side == "absorbing" for side in pair] for pair in grid.boundary])
        self.parts: list[tuple[Integers, Integers, Floats]] = []

    def portions(self, found: Decomposition) -> int:
        """How many calls of `add` the ways of all cells are given in, so that little memory is used at once."""
        ways = int(found.offsets.shape[1])
        return min(ways, 1 + ways * self.grid.size // AT_ONCE)

    def add(self, i: Integers, offsets: NDArray[np.int64], weights: Floats) -> tuple[Integers, Floats, Floats]:
        """Half the weights (n, m) of the cells i to their neighbours at +-offsets (n, m, dim), or (1, m) and (1, m, dim) for all cells;
        what goes over absorbing walls is returned."""
        cell, way = np.nonzero(np.broadcast_to(weights > 0, (len(i), weights.shape[1])))
        row = cell if len(weights) > 1 else np.zeros_like(cell)
        cell, weight = np.tile(i[cell], 2), np.tile(weights[row, way], 2)
        forth = np.stack([offsets[row, way, k] for k in range(self.grid.dim)])
        offset = np.concatenate([forth, -forth], axis=1)
        target = self.cells.take(cell, axis=1) + offset
        outside = ((target < 0) | (target >= self.shape)) & ~self.periodic
        lost = outside.any(axis=0)
        kept = np.flatnonzero(~lost)
        self._keep(cell[kept], offset.take(kept, axis=1), weight[kept], target.take(kept, axis=1))
        if not self.absorbing.any():
            none = _closed(self.grid)
            return none.i, none.dx, none.strength
        return self._exits(cell[lost], offset[:, lost], weight[lost], outside[:, lost])

    def _keep(self, i: Integers, offset: Integers, weight: Floats, target: Integers) -> None:
        j = np.ravel_multi_index(tuple(target), self.grid.shape, mode="wrap")
        self.parts.append((i, j, 0.5 * weight * self.volumes[i] * self._stretch(i, offset)))

    def summed(self) -> sparse.csr_array:
        """The strengths so far between cells i < j."""
        i, j, strength = (np.concatenate(p) for p in zip(*self.parts, strict=True))
        apart = i != j
        pairs = np.minimum(i, j)[apart], np.maximum(i, j)[apart]
        both = sparse.csr_array((strength[apart], pairs), shape=(self.grid.size,) * 2)
        self.parts = [(*both.nonzero(), both.data)]
        return both

    def mend_walls(self, found: Decomposition) -> None:
        """Edges along reflecting walls (see `at_wall`)."""
        for axis in _walls(self.grid):
            ends = zip(self.grid.boundary[axis], (0, self.grid.shape[axis] - 1), strict=True)
            ends_here = [end for side, end in ends if side == "reflecting"]
            last = np.flatnonzero(np.isin(self.cells[axis], ends_here))
            here = found if len(found.weights) == 1 else found.of(last)
            extra = at_wall(self.grid, here, axis)
            self.add(last, extra.offsets, extra.weights)

    def _stretch(self, i: Integers, offset: Integers) -> Any:
        """The length of an edge in widths of the cell i over its true length: 1 on equal cells."""
        if all(self.grid.uniform):
            return 1.0
        return np.linalg.norm(offset * self._widths(i), axis=0) / np.linalg.norm(self._way(i, offset), axis=0)

    def _widths(self, i: Integers) -> Floats:
        return np.stack([w[k[i]] for w, k in zip(self.grid.widths, self.cells, strict=True)])

    def _way(self, i: Integers, offset: Integers) -> Floats:
        """The vectors (dim, n) from the centres of the cells i to those `offset` cells away."""
        return np.stack([self._along(k, self.cells[k, i], offset[k]) for k in range(self.grid.dim)])

    def _along(self, k: int, cell: Integers, offset: Integers) -> Floats:
        mid, edges = self.grid.midpoints[k], self.grid.edges[k]
        turns, place = np.divmod(cell + offset, len(mid)) if self.grid.periodic[k] else (0, cell + offset)
        return np.asarray(mid[place] - mid[cell] + turns * (edges[-1] - edges[0]))

    def _exits(
        self, i: Integers, offset: Integers, weight: Floats, outside: NDArray[np.bool_]
    ) -> tuple[Integers, Floats, Floats]:
        """Edges cut at the first wall, if it absorbs."""
        room = np.where(offset > 0, self.shape - 0.5 - self.cells[:, i], self.cells[:, i] + 0.5)
        with np.errstate(divide="ignore"):
            share = np.where(outside, room / np.abs(offset), np.inf)
        first, rows = np.argmin(share, axis=0), np.arange(len(i))
        lost = self.absorbing[first, (offset[first, rows] > 0).astype(int)]
        i, offset, theta = i[lost], offset[:, lost], share[first, rows][lost]
        return i, (offset * self._widths(i) * theta).T, weight[lost] / theta

    def join(self, smallest: Floats) -> int:
        """Join cells that the edges do not reach to their neighbours along the axes, where D reaches all directions."""
        smallest = np.broadcast_to(smallest, (self.grid.size,))
        count, label = csgraph.connected_components(self.summed(), directed=False)
        alone = (label != np.bincount(label).argmax()) & (smallest > 0)
        if count == 1 or not np.any(alone):
            return 0
        cells = np.flatnonzero(alone)
        axes = np.eye(self.grid.dim, dtype=np.int64)[None]
        self.add(cells, axes, np.repeat(smallest[cells, None], self.grid.dim, axis=1))
        return len(cells)

    def edges(self) -> Edges:
        if len(self.parts) > 1:
            self.summed()
        i, j, strength = self.parts[0]
        offset = self.cells[:, j] - self.cells[:, i]
        wrapped = offset - self.shape * np.rint(offset / self.shape).astype(int) if any(self.grid.periodic) else offset
        return Edges(i, j, self._way(i, np.where(self.periodic, wrapped, offset)).T.copy(), strength)


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
