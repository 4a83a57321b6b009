"""Edges of a diffusion that is the same everywhere: each cell has the same few neighbours, as far as the box goes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.grid import Grid
from sgdyn.density.selling import Decomposition

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]
Offset = tuple[int, ...]


def joins(found: Decomposition) -> bool:
    """Whether cells exchange mass with their neighbours along all axes, so that no cell of any box is left alone."""
    steps = {offset for offset, _ in _ways(found)}
    return all(tuple(row) in steps for row in np.eye(found.offsets.shape[2], dtype=int).tolist())


def shifted(
    grid: Grid, found: Decomposition, walls: list[tuple[int, Decomposition]]
) -> tuple[Integers, Integers, Floats, Floats]:
    """Cells i < j, ways dx (n, dim) and strengths (n,) of weights (1, m) that belong to all equal cells, of which none leads over
    an absorbing wall; those of `walls` are added along the walls across an axis."""
    strengths: dict[Offset, Floats] = {}
    volume, numbers = float(grid.volumes.flat[0]), np.arange(grid.size).reshape(grid.shape)
    for offset, weight in _ways(found):
        _at(strengths, numbers, offset, grid)[...] += weight * volume
    for axis, extra in walls:
        ends = {
            end % grid.shape[axis]
            for end, side in zip((0, -1), grid.boundary[axis], strict=True)
            if side == "reflecting"
        }
        for offset, weight in _ways(extra):
            _at(strengths, numbers, offset, grid)[(slice(None),) * axis + (sorted(ends),)] += weight * volume
    parts = [_listed(grid, numbers, offset, strength) for offset, strength in strengths.items()]
    i, j, dx, strength = (np.concatenate(p) for p in zip(*parts, strict=True))
    return i, j, dx, strength


def _ways(found: Decomposition) -> Iterator[tuple[Offset, float]]:
    """Offsets with a weight, of e and -e the one whose first number that is not zero is positive."""
    for offset, weight in zip(found.offsets[0].tolist(), found.weights[0].tolist(), strict=True):
        if weight > 0:
            yield max(tuple(offset), tuple(-k for k in offset)), weight


def _at(strengths: dict[Offset, Floats], numbers: Integers, offset: Offset, grid: Grid) -> Floats:
    """The strengths of all edges with an offset, at first zero."""
    if offset not in strengths:
        strengths[offset] = np.zeros(_ends(numbers, offset, grid.periodic)[0].shape)
    return strengths[offset]


def _ends(numbers: Integers, offset: Offset, periodic: tuple[bool, ...]) -> tuple[Integers, Integers]:
    """The cells that have a neighbour at the offset, and that neighbour."""
    here, there, further = [slice(None)] * len(offset), [slice(None)] * len(offset), numbers
    for axis, (k, around) in enumerate(zip(offset, periodic, strict=True)):
        if around:
            further = np.roll(further, -k, axis)
        else:
            n = numbers.shape[axis]
            here[axis], there[axis] = slice(max(0, -k), n - max(0, k)), slice(max(0, k), n - max(0, -k))
    return numbers[tuple(here)], further[tuple(there)]


def _listed(
    grid: Grid, numbers: Integers, offset: Offset, strength: Floats
) -> tuple[Integers, Integers, Floats, Floats]:
    i, j = (ends.ravel() for ends in _ends(numbers, offset, grid.periodic))
    dx = np.array([k * widths[0] for k, widths in zip(offset, grid.widths, strict=True)])
    way, strength = np.tile(dx, (len(i), 1)), strength.ravel()
    back = i > j  # around a periodic axis
    if np.any(back):
        i, j, way[back] = np.minimum(i, j), np.maximum(i, j), -dx
    kept = strength > 0
    return (i, j, way, strength) if np.all(kept) else (i[kept], j[kept], way[kept], strength[kept])
