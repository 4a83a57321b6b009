"""Stationary densities of generators."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from sgdyn import checks
from sgdyn.density.distribution import Density
from sgdyn.density.grid import Grid
from sgdyn.density.notes import CROWDED, at_walls, thickened, unresolved, walls
from sgdyn.density.solvers import Solver
from sgdyn.density.uniformisation import after_jumps
from sgdyn.errors import NotConvergedError

if TYPE_CHECKING:
    from sgdyn.density.generator import Generator

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

STRAY = 1e-3
"""The largest share of the cells, besides the main part, that may stand alone and be dropped."""
NOTICED = 1e-4
"""The density at a wall, as a share of the largest, from which on it is mentioned."""
RESIDUAL = 1e-8
BLOCKS = 144
"""Blocks of cells from which a solution starts, in grids that mass does not cross in a hundred jumps."""


def stationary(generator: Generator) -> Density:
    """The density with Q' m = 0, of mass one.

    Known masses (detailed balance, or a curl that keeps them) are exact to rounding. Otherwise one equation is dropped and the rest, an
    M-matrix, is solved: no mass is negative. `solver_error` is |Q' m|_1 over twice the sum of all flows. `warnings` tell of cells that were
    dropped, of thickened D, of cells that do not resolve the potential, and of mass at reflecting walls. Raises ValueError for absorbing walls and where several parts of the box never meet.
    """
    _check_walls(generator)
    part, stray = _recurrent(generator)
    masses, logs = np.zeros(generator.grid.size), None
    if generator.log_masses is not None:
        # cells whose rates in are below the smallest float keep their masses
        part = np.setdiff1d(np.arange(generator.grid.size), stray)
        logs = generator.log_masses[part] - generator.log_masses[part].max()
        logs = logs - np.log(np.exp(logs).sum())
        masses[part] = np.exp(logs)
    else:
        masses[part] = _null_vector(_among(generator.rates, part), _blocks(generator.grid)[part])
    residual = _residual(generator.rates, masses)
    if not residual <= RESIDUAL:
        raise NotConvergedError(
            f"got a relative residual |Q' m| of {residual:.2g}, expected at most {RESIDUAL:g}: parts of the box exchange too little mass to be weighed; "
            "type a higher T, or generator.evolve(rho, t)"
        )
    grid = generator.grid
    known = None if logs is None else _spread(logs, part, generator).reshape(grid.shape)
    values = (masses / generator.volumes).reshape(grid.shape)
    dropped = (f"{len(stray)} cells that nothing connects to the others were dropped",) if len(stray) else ()
    reaches = values[walls(grid)].max(initial=0.0) > NOTICED * values.max()
    crowded = at_walls(grid, values * grid.volumes, 0.0 if reaches else CROWDED)
    warnings = (*dropped, *thickened(generator), *unresolved(generator, masses), *crowded)
    return Density(grid, values, solver_error=residual, warnings=warnings, log_values=known)


def _among(rates: sparse.csr_array, part: Integers) -> sparse.csr_array:
    return rates if len(part) == rates.shape[0] else sparse.csr_array(rates[part][:, part])


def _check_walls(generator: Generator) -> None:
    if any(side == "absorbing" for pair in generator.grid.boundary for side in pair):
        raise ValueError(
            "got absorbing walls, over which all mass leaves in the end, expected none; type generator.quasi_stationary() for the density of "
            'what has not left, or a Grid(..., boundary="reflecting")'
        )


def _spread(logs: Floats, part: Integers, generator: Generator) -> Floats:
    """log density in all cells, -inf in those that were dropped."""
    spread = np.full(generator.grid.size, -np.inf)
    spread[part] = logs - np.log(generator.volumes[part])
    return spread


def _recurrent(generator: Generator) -> tuple[Integers, Integers]:
    """The part of the box that nothing leaves, and the few stray cells that nothing leaves either."""
    rates = generator.rates
    count, label = csgraph.connected_components(rates, directed=True, connection="strong")
    if count == 1:
        return np.arange(generator.grid.size), np.zeros(0, dtype=np.intp)
    links = rates.tocoo()
    leaving = label[links.row[(label[links.row] != label[links.col]) & (links.data > 0)]]
    closed = np.setdiff1d(np.arange(count), leaving)
    sizes = np.bincount(label)[closed]
    main = closed[np.argmax(sizes)]
    stray = np.flatnonzero(np.isin(label, closed) & (label != main))
    if len(stray) > max(4, STRAY * generator.grid.size):
        raise ValueError(
            f"got {len(closed)} parts of the box that no path leaves, the largest of {sizes.max()} of {generator.grid.size} cells, expected one: "
            "any mixture of their densities is stationary; type a D with noise in all directions (LowRank(V, s, floor=...)), or "
            "generator.evolve(rho, t) for the mixture that a start leads to"
        )
    return np.flatnonzero(label == main), stray


def _null_vector(rates: sparse.csr_array, blocks: Integers | None = None) -> Floats:
    """Masses of an irreducible chain, normalised; with the numbers of the blocks (n,) that its cells lie in, if it is large."""
    if rates.shape[0] == 1:
        return np.ones(1)
    masses = np.ones(rates.shape[0])
    # the first guess is cheap, the second sees exchanges that are rarer than rounding can weigh
    for gathered in (partial(_densest, blocks=blocks), _late):
        masses = _pinned(rates, gathered(rates))
        largest = int(np.argmax(masses))
        if masses[largest] > 1e3:  # errors grow with the time to come back to the pinned cell, of mass one
            masses = _pinned(rates, largest)
        if _residual(rates, masses) <= RESIDUAL:
            break
    return np.asarray(masses / masses.sum())


def _residual(rates: sparse.csr_array, masses: Floats) -> float:
    """|Q' m|_1 over all flows."""
    flows = float(2 * np.abs(rates.diagonal()) @ masses)
    return float(np.abs(rates.T @ masses).sum()) / flows if flows > 0 else 0.0  # all mass in a cell that nothing leaves


def _densest(rates: sparse.csr_array, blocks: Integers | None) -> int:
    """A cell where much mass gathers: in the densest block of the chain of blocks, where jumps within it lead."""
    if blocks is None or len(blocks) <= 4 * BLOCKS:
        return int(np.argmax(_settled(rates)))
    sizes = np.maximum(np.bincount(blocks), 1)  # a block may have lost all its cells
    count, links = len(sizes), rates.tocoo()
    flows = np.bincount(blocks[links.row] * count + blocks[links.col], links.data, count**2).reshape(count, count)
    chain = flows / sizes[:, None]
    cells = np.flatnonzero(blocks == np.argmax(_resolvent(chain, sizes) / sizes))
    return int(cells[np.argmax(_settled(sparse.csr_array(rates[cells][:, cells])))])


def _resolvent(rates: Floats, masses: Floats) -> Floats:
    """Where masses are after some 1e10 jumps."""
    shift = 1e-10 * float(-rates.diagonal().min())
    return np.asarray(np.linalg.solve(shift * np.eye(len(rates)) - rates.T, masses))


def _blocks(grid: Grid) -> Integers:
    """The block of each cell, about BLOCKS in all."""
    counts = [min(n, round(BLOCKS ** (1 / grid.dim))) for n in grid.shape]
    along = [np.arange(n) * count // n for n, count in zip(grid.shape, counts, strict=True)]
    return np.asarray(np.ravel_multi_index(np.meshgrid(*along, indexing="ij"), counts).ravel())


def _settled(rates: sparse.csr_array, steps: int = 100) -> Floats:
    """Where mass gathers first: some jumps from the same mass everywhere."""
    return after_jumps(rates, np.ones(rates.shape[0]), np.eye(steps + 1)[-1])


def _late(rates: sparse.csr_array) -> int:
    """Where most mass is after some 1e12 jumps: a resolvent."""
    shift = 1e-12 * float(-rates.diagonal().min())
    solver = Solver(sparse.csr_array(shift * sparse.eye_array(rates.shape[0]) - rates))
    return int(np.argmax(solver.solve_transposed(np.ones(rates.shape[0]))))


def _pinned(rates: sparse.csr_array, cell: int) -> Floats:
    """Q' m = 0 with mass one in a cell: the state in which what is lost there comes in again."""
    lossy = -rates
    row = slice(rates.indptr[cell], rates.indptr[cell + 1])
    lossy.data[row][rates.indices[row] == cell] *= 2
    source = np.zeros(rates.shape[0])
    source[cell] = 1.0
    masses = np.maximum(Solver(lossy).solve_transposed(source), 0.0)
    return np.asarray(masses / masses[cell])


def box_error(generator: Generator, growth: float = 0.2) -> float:
    """The L1 difference between the stationary densities of the box and of one that is larger by `growth`, with cells of the same size.

    Between 0 and 2; mass beyond the smaller box counts. Raises ValueError for absorbing walls.
    """
    _check_walls(generator)
    from sgdyn.density.generator import fokker_planck

    larger, inside = _grown(generator.grid, checks.positive("growth", growth))
    masses = stationary(fokker_planck(generator.problem, larger)).masses
    beyond = masses.sum() - masses[inside].sum()
    return float(np.abs(masses[inside] - stationary(generator).masses).sum() + beyond)


def _grown(grid: Grid, growth: float) -> tuple[Grid, tuple[slice, ...]]:
    """A grid with more cells on either side, and where the old one lies in it."""
    axes: list[Floats | tuple[float, float, int]] = []
    inside = []
    for axis, edges, periodic in zip(grid.axes, grid.edges, grid.periodic, strict=True):
        n = len(edges) - 1
        more = 0 if periodic else max(1, round(0.5 * growth * n))
        inside.append(slice(more, more + n))
        first, last = edges[1] - edges[0], edges[-1] - edges[-2]
        if len(axis) == 3:
            axes.append((edges[0] - more * first, edges[-1] + more * last, n + 2 * more))
        else:
            steps = np.arange(1, more + 1)
            axes.append(np.concatenate([edges[0] - first * steps[::-1], edges, edges[-1] + last * steps]))
    return Grid(axes, grid.boundary), tuple(inside)
