"""Regions on a grid: where the ways between cells cross into them, and the process that ends there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from sgdyn.density.crossings import Level, crossings, level_on, slope_on
from sgdyn.density.elimination import Elimination
from sgdyn.density.generator import Generator
from sgdyn.density.grid import Grid
from sgdyn.density.lattice import bernoulli
from sgdyn.density.solvers import Solver
from sgdyn.density.steps import NOWHERE, Steps, every_step, exponential
from sgdyn.errors import NotConvergedError
from sgdyn.region import Region

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]
Bools = NDArray[np.bool_]

CLOSEST = 1e-10
"""The shortest cut in lengths of an edge: a cell whose centre lies on the boundary ends there, without infinite rates."""
MOST_STEPS = 1e9
"""The expected number of jumps before the end up to which factors of -Q are right to seven digits."""
CHEAP, AFFORDABLE = 1e6, 3e10
"""Steps of an elimination that take next to no time (a chain), and half a minute (400 x 400 or 32 x 32 x 32 cells)."""


@dataclass(frozen=True, eq=False)
class Cut:
    """A process that ends where it enters one of several regions.

    owner (cells,): the region of each cell, NOWHERE for the free ones. `steps` are those out of free cells, with the region they end in
    (or NOWHERE), the share theta of the way to its boundary (1 for the others), and their rates.
    """

    generator: Generator
    regions: tuple[Region, ...]
    owner: Integers
    steps: Steps
    ends: Integers
    theta: Floats
    rates: Floats
    bridged: int

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs; factors are found there again."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @property
    def grid(self) -> Grid:
        return self.generator.grid

    def level(self, k: int) -> Level:
        """A function of points (n, dim) that is positive inside a region, around periodic axes too."""
        return level_on(self.regions[k], self.grid)

    @cached_property
    def free(self) -> Integers:
        """The numbers of the free cells."""
        return np.flatnonzero(self.owner == NOWHERE)

    @cached_property
    def number(self) -> Integers:
        """The place of each cell among the free ones."""
        return np.cumsum(self.owner == NOWHERE) - 1

    @cached_property
    def inner(self) -> sparse.csr_array:
        """Rates (free, free) between free cells, with all rates out on the diagonal."""
        n, row = len(self.free), self.number[self.steps.origin]
        stays = (self.ends == NOWHERE) & (self.steps.target != NOWHERE)
        column = self.number[self.steps.target[stays]]
        off = sparse.csr_array((self.rates[stays], (row[stays], column)), shape=(n, n))
        return sparse.csr_array(off - sparse.diags_array(np.bincount(row, self.rates, n)))

    @cached_property
    def arrivals(self) -> Floats:
        """Rates (free, regions) into the regions."""
        n, row = len(self.free), self.number[self.steps.origin]
        hits = [self.ends == k for k in range(len(self.regions))]
        return np.array([np.bincount(row[hit], self.rates[hit], n) for hit in hits]).reshape(-1, n).T

    @cached_property
    def room(self) -> Floats:
        """The share (free,) of each cell's second derivatives that its cut ways see: sum_e s_e theta_e (e.n)²/sum_e s_e (e.n)², n the normal.

        With it as the volume of the cell, sources are as consistent beside a boundary as elsewhere.
        """
        s, hit = self.steps, (self.ends != NOWHERE) & (self.steps.strength > 0)
        room = np.ones(self.grid.size)
        x = self.grid.centers.reshape(-1, self.grid.dim)
        for k, region in enumerate(self.regions):
            beside = np.zeros(self.grid.size, dtype=bool)
            beside[s.origin[hit & (self.ends == k)]] = True
            rows = np.flatnonzero(beside[s.origin])
            slope = np.zeros_like(x)
            slope[beside] = slope_on(region, self.grid, np.flatnonzero(beside))
            weight = s.strength[rows] * np.einsum("nd,nd->n", s.dx[rows], slope[s.origin[rows]]) ** 2
            whole = np.bincount(s.origin[rows], weight, len(x))
            cut = np.bincount(s.origin[rows], weight * self.theta[rows], len(x))
            room = np.where(whole > 0, np.minimum(room, cut / np.where(whole > 0, whole, 1.0)), room)
        return room[self.free]

    @cached_property
    def lost(self) -> Floats:
        """Rates (free,) over absorbing walls."""
        gone = (self.ends == NOWHERE) & (self.steps.target == NOWHERE)
        return np.asarray(
            np.bincount(self.number[self.steps.origin[gone]], self.rates[gone], len(self.free)), dtype=float
        )

    @cached_property
    def ending(self) -> Bools:
        """Whether a path from each free cell can end, (free,)."""
        return self._reaching((self.arrivals.sum(axis=1) + self.lost) > 0)

    @cached_property
    def certain(self) -> Bools:
        """Whether every path from each free cell ends, (free,)."""
        return ~self._reaching(~self.ending)

    def _reaching(self, goal: Bools) -> Bools:
        n = len(goal)
        inner = self.inner.tocoo()
        passable = (inner.data > 0) & (inner.row != inner.col)
        last = np.flatnonzero(goal)
        start, end = np.r_[inner.col[passable], np.full(len(last), n)], np.r_[inner.row[passable], last]
        graph = sparse.csr_array((np.ones(len(start)), (start, end)), shape=(n + 1, n + 1))
        found = np.zeros(n + 1, dtype=bool)
        found[csgraph.breadth_first_order(graph, n, directed=True, return_predecessors=False)] = True
        return found[:n]

    @cached_property
    def solver(self) -> Solver | Elimination:
        """Of -Q on the free cells from which paths can end.

        Raises ValueError where there is none, and `NotConvergedError` where paths take so long that rounding hides the rates out and the
        grid is too large to eliminate.
        """
        kept = np.flatnonzero(self.ending)
        if not len(kept):
            raise ValueError(
                f"got regions that no path on the grid of {_shape(self.grid)} cells reaches, as all rates into them are 0 in floats, "
                "expected some way there; type a finer Grid, a larger T, or a region less far up"
            )
        matrix = sparse.csr_array(-self.inner[kept][:, kept])
        rates = sparse.csr_array(sparse.diags_array(matrix.diagonal()) - matrix)
        rates.setdiag(0.0)
        rates.eliminate_zeros()
        outside = np.asarray(self.inner[kept][:, np.flatnonzero(~self.ending)].sum(axis=1)).ravel()
        slow = Elimination(rates, self.arrivals[kept].sum(axis=1) + self.lost[kept] + outside)
        if slow.cost <= CHEAP:
            return slow
        fast = Solver(matrix, self._balancing(self.free[kept]))
        steps = fast.solve(matrix.diagonal())
        # rounding changes each rate by 1e-16 of itself, and a path passes so many
        if steps.min() > 0 and steps.max() < MOST_STEPS:
            return fast
        if slow.cost <= AFFORDABLE:
            return slow
        raise NotConvergedError(
            f"got a process that stays for more than {MOST_STEPS:.0e} jumps between the cells of a grid of {_shape(self.grid)}, "
            "so that rounding hides when it ends; type generator.rate(a, b, once_in_a=True) for the rate from the well it starts in, "
            "or a coarser Grid; Kramers' formula estimates such rare events"
        )

    def _balancing(self, cells: Integers) -> Floats | None:
        """Masses in detailed balance, if there are and floats hold them."""
        log = self.generator.log_masses
        if log is None or not self.generator.reversible or np.ptp(log[cells]) > 600:
            return None
        return np.asarray(np.exp(log[cells] - log[cells].max()))

    def solve(self, b: Floats) -> Floats:
        """u (free, ...) of -Q u = b; NaN where paths cannot end."""
        columns = b.reshape(len(b), -1)
        u = np.full(columns.shape, np.nan)
        for k in range(columns.shape[1]):
            u[self.ending, k] = self.solver.solve(columns[self.ending, k])
        return u.reshape(b.shape)

    def spread(self, u: Floats, ends: Floats) -> Floats:
        """Values (cells, ...) from those of the free cells and those in the regions."""
        cells = np.empty((self.grid.size, *u.shape[1:]))
        cells[self.free] = u
        taken = self.owner != NOWHERE
        if len(ends):
            cells[taken] = ends[self.owner[taken]]
        return cells


def cut(generator: Generator, regions: Sequence[Any], log_masses: Floats | None = None) -> Cut:
    """The process ended at regions (predicates): ways into them are cut where they cross the boundary, at the share theta of their length.

    A cut way has the rate strength B(climb up to the boundary)/theta, which keeps the second order of the edges (Gibou et al., J. Comput.
    Phys. 176, 205 (2002)). With `log_masses`, those of the stationary state, the process runs backwards in time. Raises ValueError for
    regions that hold nothing of the grid, hold all of it, or overlap.
    """
    given = tuple(Region.of(region, generator.grid.dim) for region in regions)
    owner = _owners(generator, given)
    every = every_step(generator, log_masses)
    bridged = int(np.sum(_between(owner, every)))
    kept = every.of(owner[every.origin] == NOWHERE)
    ends, theta = _ends(generator.grid, given, owner, kept)
    for k in range(len(given)):
        if not np.any(owner == k) and not np.any(ends == k):
            raise ValueError(
                f"got a region that no cell of the grid of {_shape(generator.grid)} cells touches, expected one inside the box; "
                "type a finer Grid (errors are found on one with half the cells along each axis) or a wider region"
            )
    rates = _rates(generator, kept, ends, theta, log_masses)
    return Cut(generator, given, owner, kept, ends, theta, rates, bridged)


def _shape(grid: Grid) -> str:
    return "x".join(map(str, grid.shape))


def _owners(generator: Generator, regions: tuple[Region, ...]) -> Integers:
    x = generator.grid.centers.reshape(-1, generator.grid.dim)
    owner = np.full(len(x), NOWHERE)
    for k, region in enumerate(regions):
        inside = region.contains(x)
        shared = inside & (owner != NOWHERE)
        if np.any(shared):
            raise ValueError(
                f"got regions {owner[shared][0]} and {k} that both hold {x[shared][0]}, expected regions that do not overlap"
            )
        owner[inside] = k
    if np.all(owner != NOWHERE):
        raise ValueError("got regions that hold every cell of the grid, expected some room between them")
    return owner


def _between(owner: Integers, steps: Steps) -> Bools:
    """Steps that lead from one region straight into another."""
    a, b = owner[steps.origin], np.where(steps.target == NOWHERE, NOWHERE, owner[steps.target])
    return np.asarray((a != b) & (a != NOWHERE) & (b != NOWHERE))


def _rates(generator: Generator, steps: Steps, ends: Integers, theta: Floats, log_masses: Floats | None) -> Floats:
    climb, hit = steps.climb.copy(), np.flatnonzero((ends != NOWHERE) & (steps.strength > 0))
    x = generator.grid.centers.reshape(-1, generator.grid.dim)
    climb[hit] = generator.edge_forces.climb(x[steps.origin[hit]], theta[hit, None] * steps.dx[hit])
    # what is carried across a face does not depend on how far behind it the boundary is
    rates = steps.strength * _nearby(generator, steps, theta, hit) * bernoulli(climb) / theta + steps.carried
    if log_masses is None or generator.log_masses is not None:
        return rates
    # without detailed balance along the edges: pi_j q_ji/pi_i = q_ij exp(climb - fall of log density)
    log_density = log_masses - np.log(generator.volumes)
    target = np.where(steps.target == NOWHERE, steps.origin, steps.target)
    tilt = climb - theta * (log_density[steps.origin] - log_density[target])
    return np.asarray((rates - steps.carried) * exponential(tilt, steps.strength) + steps.carried)


def _nearby(generator: Generator, steps: Steps, theta: Floats, hit: Integers) -> Floats:
    """D in the middle of each cut way over its mean at the two ends of the whole way, along the way."""
    share, x = np.ones(len(theta)), generator.grid.centers.reshape(-1, generator.grid.dim)[steps.origin[hit]]
    if generator.forces.constant or not len(hit):
        return share
    dx = steps.dx[hit]
    near, here, there = (
        np.einsum("nd,nde,ne->n", dx, generator.forces.strength(x + part * dx), dx)
        for part in (0.5 * theta[hit, None], 0.0, 1.0)
    )
    share[hit] = np.where((near > 0) & (here + there > 0), 2 * near / np.where(near > 0, here + there, 1.0), 1.0)
    return share


def _ends(grid: Grid, regions: tuple[Region, ...], owner: Integers, steps: Steps) -> tuple[Integers, Floats]:
    """The first region each step enters and the share of its length before it."""
    x = grid.centers.reshape(-1, grid.dim)
    widths = np.stack([w[i] for w, i in zip(grid.widths, np.unravel_index(steps.origin, grid.shape), strict=True)], -1)
    pieces = np.clip(np.ceil(np.abs(steps.dx / widths).max(axis=1) - 1e-9), 2, None).astype(int)
    ends, theta = np.full(len(pieces), NOWHERE), np.ones(len(pieces))
    first = np.full(len(pieces), np.inf)
    for k, region in enumerate(regions):
        share = crossings(level_on(region, grid), x[steps.origin], steps.dx, pieces)
        sooner = share < first
        ends[sooner], first[sooner] = k, share[sooner]
    # a centre that lies on the boundary to rounding belongs to its own cell
    missed = (ends == NOWHERE) & (steps.target != NOWHERE) & (owner[steps.target] != NOWHERE)
    ends[missed], first[missed] = owner[steps.target[missed]], 1.0
    theta[ends != NOWHERE] = np.clip(first[ends != NOWHERE], CLOSEST, 1.0)
    return ends, theta
