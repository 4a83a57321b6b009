"""Where segments cross into a region, and the shortest ways in boxes with periodic axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.grid import Grid
from sgdyn.region import Region

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

Level = Callable[[Floats], Floats]

HALVINGS = 46
MARGIN = 1.5
"""A level may be so much steeper than it is beside."""


def crossings(level: Level, x: Floats, dx: Floats, pieces: Integers) -> Floats:
    """The share of each segment x + s dx at which a level first becomes positive; inf where never.

    It is looked for at the ends of the segment's pieces (at least 2), and between them where the level, as steep as it is beside, has room
    to rise above zero and fall again: in regions thinner than a piece.
    """
    share, open_ = np.full(len(x), np.inf), np.arange(len(x))
    last = level(x)
    before = last.copy()
    for k in range(1, int(pieces.max(initial=0)) + 1):
        open_ = open_[pieces[open_] >= k]
        here = level(x[open_] + (k / pieces[open_])[:, None] * dx[open_])
        hit = open_[here > 0]
        share[hit] = _root(level, x[hit], dx[hit], (k - 1) / pieces[hit], k / pieces[hit])
        if k > 1:
            _look_between(level, x, dx, pieces, k, share, open_, (before[open_], last[open_], here))
        before[open_], last[open_] = last[open_], here
        open_ = open_[np.isinf(share[open_])]
    return share


def _look_between(
    level: Level, x: Floats, dx: Floats, pieces: Integers, k: int, share: Floats, open_: Integers, levels: Any
) -> None:
    """Crossings in the last two pieces, none of whose ends is inside."""
    first, second, third = levels
    steep = MARGIN * np.maximum(np.abs(second - first), np.abs(third - second))
    for low, a, b in ((k - 2, first, second), (k - 1, second, third)):
        rows = open_[(third <= 0) & (-(a + b) < steep) & np.isinf(share[open_])]
        n = pieces[rows]
        top = _peak(level, x[rows], dx[rows], low / n, (low + 1) / n)
        inside = level(x[rows] + top[:, None] * dx[rows]) > 0
        rows, n, top = rows[inside], n[inside], top[inside]
        share[rows] = _root(level, x[rows], dx[rows], low / n, top)


def _peak(level: Level, x: Floats, dx: Floats, low: Floats, high: Floats) -> Floats:
    """Where the level is highest, by thirds."""
    for _ in range(HALVINGS if len(x) else 0):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        rising = level(x + left[:, None] * dx) < level(x + right[:, None] * dx)
        low, high = np.where(rising, left, low), np.where(rising, high, right)
    return 0.5 * (low + high)


def _root(level: Level, x: Floats, dx: Floats, low: Floats, high: Floats) -> Floats:
    """Bisection: levels of joined comparisons have kinks."""
    for _ in range(HALVINGS if len(x) else 0):
        middle = 0.5 * (low + high)
        inside = level(x + middle[:, None] * dx) > 0
        low, high = np.where(inside, low, middle), np.where(inside, middle, high)
    return high


def wrapped(grid: Grid, x: Floats) -> Floats:
    """Points (..., dim) brought into the box along periodic axes."""
    if not any(grid.periodic):
        return x
    low, high = (np.array([e[end] for e in grid.edges]) for end in (0, -1))
    return np.where(np.array(grid.periodic), low + np.mod(x - low, high - low), x)


def between(grid: Grid, x: Floats, y: Floats) -> Floats:
    """The shortest ways from points x to y, around periodic axes where that is shorter."""
    way = y - x
    length = np.array([e[-1] - e[0] for e in grid.edges])
    return np.where(np.array(grid.periodic), way - length * np.rint(way / length), way)


def level_on(region: Region, grid: Grid) -> Level:
    """A function of points (n, dim) that is positive inside a region, around periodic axes too."""
    level = region.level()
    return lambda x: np.asarray(level(wrapped(grid, x))[..., 0])


def slope_on(region: Region, grid: Grid, cells: Integers) -> Floats:
    """The gradient (n, dim) of a region's level at cells, by differences over a thousandth of their widths."""
    x, place = grid.centers.reshape(-1, grid.dim)[cells], np.unravel_index(cells, grid.shape)
    level, slope = level_on(region, grid), np.empty((len(cells), grid.dim))
    for k in range(grid.dim):
        small = 1e-3 * grid.widths[k][place[k]]
        step = small[:, None] * np.eye(grid.dim)[k]
        slope[:, k] = (level(x + step) - level(x - step)) / (2 * small)
    return slope
