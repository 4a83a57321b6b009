"""What is carried across the faces of cells without diffusion: upwind where D does not reach, by a stream function where the density is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sgdyn.density.forces import CERTAIN, Forces, Values
from sgdyn.density.grid import Grid

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

GAUSS = np.polynomial.legendre.leggauss(5)
SPARE = 1 - 1e-12
"""The share of a conductance that a flux may use up, so that rounding makes no rate negative."""


@dataclass(frozen=True)
class Faces:
    """Rates `forth` from cells i to j and `back` from j to i (a pair may have a negative one that diffusion outweighs), and rates out of the
    cells `last` over absorbing walls. `upwinded` counts the faces where one of the two alone would do, or nearly."""

    i: Integers
    j: Integers
    forth: Floats
    back: Floats
    last: Integers
    out: Floats
    upwinded: int


def neighbours(grid: Grid, axis: int) -> tuple[Integers, Integers]:
    """Pairs of cells (i, j) that share a face across an axis, j on the upper side."""
    cells = np.arange(grid.size).reshape(grid.shape)
    if grid.periodic[axis]:
        return cells.ravel(), np.roll(cells, -1, axis).ravel()
    lower = [slice(None)] * grid.dim
    upper = list(lower)
    lower[axis], upper[axis] = slice(None, -1), slice(1, None)
    return cells[tuple(lower)].ravel(), cells[tuple(upper)].ravel()


def upwinded(grid: Grid, forces: Forces) -> Faces | None:
    """What lies outside the range of D, carried from the cell it comes from; None where D reaches everything.

    First order in the cell width. Raises nothing: rates are never negative.
    """
    if forces.rest is None or not _degenerate(grid, forces):
        return None
    parts = [_upwind_axis(grid, forces, axis) for axis in range(grid.dim)]
    walls = [_upwind_walls(grid, forces, axis) for axis in range(grid.dim)]
    i, j, forth, back = (np.concatenate(p) for p in zip(*parts, strict=True))
    last, out = (np.concatenate(p) for p in zip(*walls, strict=True))
    return Faces(i, j, forth, back, last, out, len(i))


def _degenerate(grid: Grid, forces: Forces) -> bool:
    values = np.linalg.eigvalsh(forces.strength(grid.centers.reshape(-1, grid.dim)[: 1 if forces.constant else None]))
    return bool(np.any(values[:, 0] <= CERTAIN * values[:, -1]))


def _upwind_axis(grid: Grid, forces: Forces, axis: int) -> tuple[Integers, Integers, Floats, Floats]:
    i, j = neighbours(grid, axis)
    widths, x = _widths(grid, axis), grid.centers.reshape(-1, grid.dim)
    face = x[i].copy()
    face[:, axis] += 0.5 * widths[i]
    speed = forces.unreached(face)[:, axis]
    return i, j, np.maximum(speed, 0) / widths[i], np.maximum(-speed, 0) / widths[j]


def _upwind_walls(grid: Grid, forces: Forces, axis: int) -> tuple[Integers, Floats]:
    cells, x, widths = np.arange(grid.size).reshape(grid.shape), grid.centers.reshape(-1, grid.dim), _widths(grid, axis)
    found: list[tuple[Integers, Floats]] = [(np.zeros(0, dtype=np.intp), np.zeros(0))]
    for end, sign, side in ((0, -1, grid.boundary[axis][0]), (-1, 1, grid.boundary[axis][1])):
        if side == "absorbing":
            last = np.take(cells, end, axis=axis).ravel()
            wall = x[last].copy()
            wall[:, axis] += 0.5 * sign * widths[last]
            found.append((last, np.maximum(sign * forces.unreached(wall)[:, axis], 0) / widths[last]))
    last, out = (np.concatenate(p) for p in zip(*found, strict=True))
    return last, out


def _widths(grid: Grid, axis: int) -> Floats:
    shape = [1] * grid.dim
    shape[axis] = -1
    return np.broadcast_to(grid.widths[axis].reshape(shape), grid.shape).ravel()


def circulation(grid: Grid, forces: Forces, masses: Floats, conductance: sparse.csr_array) -> Faces:
    """The rates of a field c with div(c exp(-Psi)) = 0 in two dimensions, by its stream function: exp(-Psi) stays stationary to rounding.

    conductance: the symmetric flux per difference of rho/exp(-Psi) between two cells. A face carries the mean of both sides (second order)
    where conductance keeps the rates positive. Where it does not, what it lacks is added (first order): no rate is negative then, and
    where nothing diffuses that is the upwind side.
    """
    flux = face_fluxes(grid, forces)
    parts = []
    for axis in range(2):
        i, j = neighbours(grid, axis)
        carried = flux[axis].ravel()
        lacking = np.maximum(0.5 * np.abs(carried) - SPARE * np.asarray(conductance[i, j]).ravel(), 0)
        forth, back = 0.5 * carried + lacking, -0.5 * carried + lacking
        parts.append((i, j, _ratio(forth, masses[i]), _ratio(back, masses[j]), lacking > 0))
    i, j, forth, back, one_sided = (np.concatenate(p) for p in zip(*parts, strict=True))
    return Faces(i, j, forth, back, np.zeros(0, dtype=np.intp), np.zeros(0), int(one_sided.sum()))


def _ratio(flux: Floats, masses: Floats) -> Floats:
    """Rates out of cells; none where the mass is below the smallest float."""
    return np.divide(flux, masses, out=np.zeros_like(flux), where=masses > 0)


def face_fluxes(grid: Grid, forces: Forces) -> tuple[Floats, Floats]:
    """Fluxes of c exp(-Psi) through the faces between cells of both axes: differences of psi at the corners, so that they add up to nothing."""
    psi = _stream(grid, forces)
    across, along = np.diff(psi, axis=1), -np.diff(psi, axis=0)
    first = across[1:] if grid.periodic[0] else across[1:-1]
    second = along[:, 1:] if grid.periodic[1] else along[:, 1:-1]
    return first, second


def face_speeds(grid: Grid, forces: Forces, axis: int) -> Floats:
    """Volumes that c carries through the faces between cells across an axis in a unit of time, shaped as these faces are."""
    lower = grid.edges[axis][1:] if grid.periodic[axis] else grid.edges[axis][1:-1]
    places = [lower if k == axis else mid for k, mid in enumerate(grid.midpoints)]
    speed = known(forces.rest)(np.stack(np.meshgrid(*places, indexing="ij"), axis=-1))[..., axis]
    for k, widths in enumerate(grid.widths):
        if k != axis:
            speed = speed * widths.reshape([-1 if m == k else 1 for m in range(grid.dim)])
    return np.asarray(speed)


def _stream(grid: Grid, forces: Forces) -> Floats:
    """psi (n0 + 1, n1 + 1) at the corners of the cells."""
    rise = -_line_fluxes(grid, forces, 1)
    if not any(grid.periodic):
        psi = _from_both_ends(rise)
        psi[:, [0, -1]] = 0.0
        return psi
    psi = np.concatenate([np.zeros((1, rise.shape[1])), np.cumsum(rise, axis=0)])
    start = np.concatenate([[0.0], np.cumsum(_line_fluxes(grid, forces, 0)[0])])
    if grid.periodic[0]:
        gap = psi[-1] - psi[-1].mean()
        psi = psi - np.linspace(0, 1, len(psi))[:, None] * gap
    psi = psi + start
    for axis in np.flatnonzero(~np.array(grid.periodic)):
        walls = np.moveaxis(psi, axis, 0)[[0, -1]]
        np.moveaxis(psi, axis, 0)[[0, -1]] = walls.mean(axis=1, keepdims=True)  # nothing goes through a wall
    return np.asarray(psi)


def _from_both_ends(rise: Floats) -> Floats:
    """Running sums from the end that is nearer in content, so that they are small where the flux is."""
    zero = np.zeros((1, rise.shape[1]))
    forth = np.concatenate([zero, np.cumsum(rise, axis=0)])
    back = -np.concatenate([np.cumsum(rise[::-1], axis=0)[::-1], zero])
    content = np.concatenate([zero, np.cumsum(np.abs(rise), axis=0)])
    return np.where(content <= 0.5 * content[-1], forth, back)


def _line_fluxes(grid: Grid, forces: Forces, normal: int) -> Floats:
    """Fluxes of c exp(-Psi) through the pieces of the grid's lines, those of axis 1 - normal at all edges of axis `normal`.

    Shape (n0, n1 + 1) for normal 1, (n0 + 1, n1) for normal 0. Five Gauss points a piece.
    """
    other = 1 - normal
    edges, half = grid.edges[other], 0.5 * grid.widths[other]
    total = np.zeros((len(half), len(grid.edges[normal])))
    for node, weight in zip(*GAUSS, strict=True):
        place = edges[:-1] + (1 + node) * half
        mesh = np.meshgrid(place, grid.edges[normal], indexing="ij")
        x = np.stack(mesh if normal == 1 else mesh[::-1], axis=-1)
        total += weight * half[:, None] * _flow(forces, x)[..., normal]
    return total if normal == 1 else total.T


def _flow(forces: Forces, x: Floats) -> Floats:
    potential, rest = known(forces.potential), known(forces.rest)
    with np.errstate(over="ignore", invalid="ignore"):
        density = np.exp(-potential(x))
        return np.where(density[..., None] > 0, rest(x) * density[..., None], 0.0)


def known(values: Values | None) -> Values:
    assert values is not None
    return values
