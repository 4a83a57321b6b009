"""Boxes cut into cells, with walls that reflect, absorb or are glued together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks

Floats = NDArray[np.float64]

WALLS = ("reflecting", "absorbing", "periodic")


@dataclass(frozen=True, init=False)
class Grid:
    """A box of cells: for each axis a tuple (low, high, count) for equal cells, or an increasing array of cell edges.

    A list of three increasing numbers as [0, 2, 5] may be either and is refused.

    boundary: "reflecting", "absorbing" or "periodic", one for all, or one for each axis, or a pair (low side, high side) for an axis.
    The nodes of every solver are the midpoints of the cells. Raises ValueError where low >= high, edges do not increase, or walls do not
    fit together.
    """

    axes: tuple[tuple[float, ...], ...]
    boundary: tuple[tuple[str, str], ...]

    def __init__(self, axes: Sequence[Any], boundary: Any = "reflecting") -> None:
        given = tuple(_axis(i, axis) for i, axis in enumerate(axes))
        if not given:
            raise ValueError("got no axis, expected one (low, high, count) for each dimension")
        object.__setattr__(self, "axes", given)
        object.__setattr__(self, "boundary", _walls(boundary, len(given)))

    @property
    def dim(self) -> int:
        return len(self.axes)

    @cached_property
    def edges(self) -> tuple[Floats, ...]:
        """Cell boundaries, one array (count + 1,) for each axis."""
        return tuple(np.linspace(a[0], a[1], int(a[2]) + 1) if len(a) == 3 else np.array(a) for a in self.axes)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(e) - 1 for e in self.edges)

    @cached_property
    def size(self) -> int:
        """The number of cells."""
        return int(np.prod(self.shape))

    @cached_property
    def uniform(self) -> tuple[bool, ...]:
        """Whether the cells of each axis are equal by definition."""
        return tuple(len(a) == 3 for a in self.axes)

    @cached_property
    def widths(self) -> tuple[Floats, ...]:
        """Cell widths along each axis, (count,)."""
        return tuple(np.diff(e) for e in self.edges)

    @cached_property
    def midpoints(self) -> tuple[Floats, ...]:
        """Cell centres along each axis, (count,)."""
        return tuple(0.5 * (e[1:] + e[:-1]) for e in self.edges)

    @cached_property
    def centers(self) -> Floats:
        """Cell centres, (*shape, dim)."""
        return np.stack(np.meshgrid(*self.midpoints, indexing="ij"), axis=-1)

    @cached_property
    def volumes(self) -> Floats:
        """Cell volumes, (*shape)."""
        return np.asarray(np.prod(np.stack(np.meshgrid(*self.widths, indexing="ij")), axis=0))

    @cached_property
    def periodic(self) -> tuple[bool, ...]:
        """Whether the two ends of each axis are glued together."""
        return tuple(low == "periodic" for low, _ in self.boundary)

    def coarser(self, factor: float = 2.0) -> Grid:
        """The same box with `factor` times fewer cells along each axis (rounded, at least 2)."""
        axes = [
            (a[0], a[1], max(2, round(n / factor))) if len(a) == 3 else _thinned(e, max(2, round(n / factor)))
            for a, e, n in zip(self.axes, self.edges, self.shape, strict=True)
        ]
        return Grid(axes, self.boundary)

    def index(self, x: ArrayLike) -> tuple[NDArray[np.intp], ...]:
        """The cell in which each point (..., dim) lies, an array for each axis; -1 beyond the box. The last edge belongs to the last cell."""
        points = checks.points(x, self.dim)
        return tuple(self._place(points[..., k], k) for k in range(self.dim))

    def _place(self, x: Floats, k: int) -> NDArray[np.intp]:
        edges = self.edges[k]
        place = np.searchsorted(edges, x, side="right") - 1
        place = np.where(x == edges[-1], len(edges) - 2, place)
        return np.where(place < len(edges) - 1, place, -1)

    def select(self, axes: Sequence[int]) -> Grid:
        """The grid of some of the axes."""
        return Grid([self.axes[i] for i in axes], tuple(self.boundary[i] for i in axes))


def _axis(i: int, axis: Any) -> tuple[float, ...]:
    given = checks.real(f"axis {i}", axis, "(low, high, count) or an increasing array of edges")
    if given.ndim != 1 or len(given) < 3:
        raise ValueError(
            f"got axis {i} = {axis!r}, expected (low, high, count) or at least 3 edges; type sg.Grid(((-2, 2, 200), (-1, 1, 80)))"
        )
    checks.finite(f"axis {i}", given)
    decimal = isinstance(axis[2], float | np.floating)
    if isinstance(axis, list) and len(given) == 3 and np.all(np.diff(given) > 0) and not decimal:
        raise ValueError(
            f"got axis {i} = {axis!r}, which may be three edges or (low, high, count), expected either; type np.array({axis!r}) for edges, or "
            f"{tuple(axis)!r} for {given[2]:g} cells"
        )
    if np.all(np.diff(given) > 0) and (len(given) > 3 or isinstance(axis, np.ndarray)):
        return tuple(given.tolist())
    if len(given) > 3 or isinstance(axis, np.ndarray):
        raise ValueError(f"got edges of axis {i} that do not increase, expected increasing edges; type np.sort(edges)")
    if not float(given[2]).is_integer() or decimal:
        raise TypeError(
            f"got axis {i} = {axis!r}, expected (low, high, count) with a whole count; type ({given[0]:g}, {given[1]:g}, 200), or "
            f"np.array({given.tolist()}) for three edges"
        )
    low, high, cells = float(given[0]), float(given[1]), checks.count("count", axis[2])
    if low >= high:
        raise ValueError(f"got axis {i} from {low:g} to {high:g}, expected low < high")
    return low, high, cells


def _walls(boundary: Any, dim: int) -> tuple[tuple[str, str], ...]:
    """One pair of walls for each axis."""
    each = (boundary,) * dim if isinstance(boundary, str) else tuple(boundary)
    if len(each) != dim:
        raise ValueError(f"got {len(each)} boundaries, expected one for each of the {dim} axes")
    pairs = tuple((side, side) if isinstance(side, str) else tuple(side) for side in each)
    for i, pair in enumerate(pairs):
        if len(pair) != 2 or any(side not in WALLS for side in pair):
            raise ValueError(f"got boundary {pair!r} of axis {i}, expected one or two of {', '.join(WALLS)}")
        if len({side == "periodic" for side in pair}) > 1:
            raise ValueError(f"got boundary {pair!r} of axis {i}: a periodic axis has no other wall")
    return pairs


def _thinned(edges: Floats, count: int) -> Floats:
    """`count` cells whose edges follow the same map from number to place."""
    from scipy.interpolate import PchipInterpolator  # slow to import

    old = np.arange(len(edges))
    return np.asarray(PchipInterpolator(old, edges)(np.linspace(0, len(edges) - 1, count + 1)))
