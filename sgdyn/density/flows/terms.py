"""What of the terms of an energy is refused before a flow begins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.distribution import Density
from sgdyn.density.flows.energies import Energy
from sgdyn.potentials import Potential

Floats = NDArray[np.float64]

PLACES = 256
SAME = 1e-9
"""Of the differences of W."""


def check_terms(energy: Energy, dim: int, start: Any, points: Floats) -> None:
    """Raise ValueError for terms in another dimension, and for interactions that are not finite, not even, or not periodic where the grid of
    the start is; `points` (n, dim) are places of the start."""
    for term in (*energy.potentials, *energy.interactions):
        if term.dim != dim:
            raise ValueError(
                f"got {term.name} in dimension {term.dim} in the energy of a process in dimension {dim}, expected the same; type sg.potential(dim={dim})"
            )
    for W in energy.interactions:
        apart = _apart(points)
        values = _finite(W, apart)
        _check_same(values, W(-apart), apart, _UNEVEN)
        for axis, length in _around(start):
            _check_same(values, W(apart + length * np.eye(dim)[axis]), apart, _OPEN.format(axis=axis, length=length))


_UNEVEN = (
    "W(x) at x - y and W(-x), expected an even W, the energy of a pair whichever comes first; type W(x)/2 + W(-x)/2"
)
_OPEN = "W(x) at x - y and W(x + {length:g}) along the periodic axis {axis}, expected a W as periodic as the grid; type a periodic W, or reflecting walls"


def _apart(points: Floats) -> Floats:
    """Differences of some pairs of points, and 0."""
    some = points[np.linspace(0, len(points) - 1, min(len(points), PLACES)).astype(int)]
    return np.concatenate([some - np.roll(some, len(some) // 3 + 1, axis=0), np.zeros((1, points.shape[1]))])


def _finite(W: Potential, apart: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.asarray(W(apart))
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise ValueError(
            f"got an interaction W of {values[wrong][0]:g} at x - y = {apart[wrong][0]}, expected one that is finite, also at 0; type a smoothed "
            "one, such as log(|x|² + a²)/2, or a table on a larger grid"
        )
    return values


def _around(start: Any) -> list[tuple[int, float]]:
    """The periodic axes of the grid of a start, with their lengths."""
    if not isinstance(start, Density):
        return []
    edges = start.grid.edges
    return [
        (axis, float(edges[axis][-1] - edges[axis][0])) for axis, closed in enumerate(start.grid.periodic) if closed
    ]


def _check_same(one: Floats, other: Floats, apart: Floats, expected: str) -> None:
    k = int(np.argmax(np.abs(one - other)))
    if not np.abs(one - other)[k] <= SAME * max(float(np.ptp(one)), float(np.abs(one).max())):
        raise ValueError(f"got an interaction of {one[k]:.6g} and {other[k]:.6g} at x - y = {apart[k]} for {expected}")
