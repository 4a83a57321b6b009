"""What of the terms of an energy is refused before a flow begins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.distribution import Density
from sgdyn.density.flows.energies import Energy, Internal
from sgdyn.potentials import Potential

Floats = NDArray[np.float64]

PLACES = 256
DENSITIES = np.geomspace(1e-3, 1e2, 26)
SAME = 1e-9
"""Of the differences of W."""


def check_terms(energy: Energy, dim: int, start: Any, points: Floats) -> None:
    """Raise ValueError for terms in another dimension, for internal energies whose derivatives are not theirs, and for interactions that are not finite, not even, or not periodic where the grid of
    the start is; `points` (n, dim) are places of the start."""
    for term in (*energy.potentials, *energy.interactions):
        if term.dim != dim:
            raise ValueError(
                f"got {term.name} in dimension {term.dim} in the energy of a process in dimension {dim}, expected the same; type sg.potential(dim={dim})"
            )
    for f in energy.internals:
        _check_internal(f)
    for W in energy.interactions:
        apart = _apart(points)
        values = _finite(W, apart)
        _check_same(values, W(-apart), apart, _UNEVEN)
        for axis, length in _around(start):
            _check_same(values, W(apart + length * np.eye(dim)[axis]), apart, _OPEN.format(axis=axis, length=length))


def _check_internal(f: Internal) -> None:
    """f(0) = 0, and f' and f'' against central differences, at most densities: kinks are allowed."""
    zero = float(np.asarray(f.per_volume(np.zeros(1)))[0])
    if np.isfinite(zero) and zero != 0:
        raise ValueError(
            f"got {type(f).__name__}.per_volume(0) = {zero:g}, expected 0, the energy of no mass; take it off"
        )
    h = 1e-4 * DENSITIES
    for name, given, of in (("slope", f.slope, f.per_volume), ("curvature", f.curvature, f.slope)):
        with np.errstate(over="ignore", invalid="ignore"):
            high, low, found = of(DENSITIES + h), of(DENSITIES - h), given(DENSITIES)
            expected = (high - low) / (2 * h)
            wrong = np.abs(found - expected) > 1e-3 * np.abs(expected) + 1e-8 * np.abs(high) / DENSITIES
        if np.mean(wrong) > 0.2:
            k = int(np.argmax(wrong))
            raise ValueError(
                f"got {type(f).__name__}.{name}({DENSITIES[k]:.3g}) = {found[k]:.6g}, expected {expected[k]:.6g}, the derivative of "
                f"{of.__name__} there; see sg.PorousMedium for the three functions"
            )


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
