"""Walls around the domain: reflecting, periodic or absorbing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sgdyn import checks
from sgdyn.codegen.contracts import CONFINE_SIGNATURE
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, absolute, any_of, load, nearest, select, store
from sgdyn.problem import Momentum
from sgdyn.sde.course import Confinement

KINDS = {"reflecting": 1.0, "periodic": 2.0, "absorbing": 3.0}


@exact_helper
def once(y: Any, below: Any, above: Any) -> Any:
    """y mirrored at the low wall, and that at the high one, of which below and above are the doubles; NaN stays NaN."""
    first = select(below - y > y, below - y, y)
    return first, select(above - first < first, above - first, first)


@exact_helper
def turn(x: Any, row: Any, p: Any, turned: Any) -> None:
    """The velocities in a row, those of the turned paths with the other sign; no row, no velocity."""
    if row >= 0:
        v = load(x, row, p)
        store(x, row, p, select(turned, -v, v))


@exact_helper
def mirror(x: Any, i: Any, low: Any, high: Any, velocity: Any) -> None:
    """Mirror the coordinate i at low and at high; the rare paths that are beyond the low wall still, by as many mirrors as it takes."""
    below, above, length, n = 2.0 * low, 2.0 * high, high - low, x.shape[1]
    y = load(x, i, 0)
    lowest = select(y < y, y, low)
    if velocity < 0:
        for p in range(0, n, LANES):
            _, y = once(load(x, i, p), below, above)
            store(x, i, p, y)
            lowest = select(y < lowest, y, lowest)
    else:
        for p in range(0, n, LANES):
            old = load(x, i, p)
            first, y = once(old, below, above)
            store(x, i, p, y)
            lowest = select(y < lowest, y, lowest)
            turn(x, velocity, p, (old < low) ^ (first > high))
    if any_of(lowest < low):
        for p in range(0, n, LANES):
            y = load(x, i, p)
            inside = y - low
            inside = inside - (2.0 * length) * nearest(inside / (2.0 * length))
            store(x, i, p, select(y < low, low + absolute(inside), y))
            turn(x, velocity, p, (inside < 0.0) & (y < low))


@exact_helper
def wrap(x: Any, i: Any, low: Any, high: Any) -> None:
    """Move the coordinate i by whole periods to between low and high."""
    length = high - low
    for p in range(0, x.shape[1], LANES):
        y = load(x, i, p)
        store(x, i, p, y - length * nearest((y - (low + 0.5 * length)) / length))


@exact_helper
def absorb(x: Any, i: Any, low: Any, high: Any) -> None:
    """NaN in all coordinates where the coordinate i is below low or above high."""
    for p in range(0, x.shape[1], LANES):
        y = load(x, i, p)
        gone = (y < low) | (y > high)
        if any_of(gone):
            for j in range(x.shape[0]):
                store(x, j, p, select(gone, math.nan, load(x, j, p)))


@kernel(*CONFINE_SIGNATURE)
def confine(x: Any, limits: Any) -> None:
    """limits = (kind, low, high, row of the velocity or -1) of every coordinate; kind 0 is no wall.

    What is mirrored has its velocity turned back. Absorbed paths become NaN in all coordinates.
    """
    for i in range(x.shape[0]):
        kind, low, high = limits[4 * i], limits[4 * i + 1], limits[4 * i + 2]
        if kind == 1.0:
            mirror(x, i, low, high, int(limits[4 * i + 3]))
        elif kind == 2.0:
            wrap(x, i, low, high)
        elif kind == 3.0:
            absorb(x, i, low, high)


def box(sides: Sequence[Any], kind: str | Sequence[str] = "reflecting") -> Confinement:
    """Walls at the sides (low, high) of every coordinate, None for a coordinate without any; one kind for all, or one for each.

    kind: "reflecting" (paths that cross are mirrored back), "periodic", or "absorbing" (paths that cross become NaN: see
    `Ensemble.survival`). An infinite side is no wall; periodic sides are finite. Raises ValueError where low >= high.
    """
    if not isinstance(sides, Sequence) or isinstance(sides, str):
        raise TypeError(
            f"got sides={sides!r}, expected one (low, high) or None for each coordinate; type sg.box([(-1, 1), None])"
        )
    kinds = [kind] * len(sides) if isinstance(kind, str) else list(kind)
    if len(kinds) != len(sides) or not set(kinds) <= set(KINDS):
        raise ValueError(
            f"got kind={kind!r} for {len(sides)} coordinates, expected one of {sorted(KINDS)}, or one for each coordinate"
        )
    limits = [_side(i, side, name) for i, (side, name) in enumerate(zip(sides, kinds, strict=True))]
    return Confinement(confine, np.ravel(limits))


def _side(i: int, side: Any, kind: str) -> tuple[float, float, float, float]:
    if side is None:
        return 0.0, -math.inf, math.inf, -1.0
    if np.shape(side) != (2,) or np.asarray(side).dtype.kind not in "fiu" or not side[0] < side[1]:
        raise ValueError(f"got the side {side!r} of coordinate {i}, expected (low, high) with low < high, or None")
    low, high = (float(s) for s in side)
    if kind == "periodic":
        checks.finite("side", [low, high])
    return KINDS[kind], low, high, -1.0


def walls_of(boundary: Any, problem: Any) -> Confinement:
    """The walls of a problem: of `Momentum`, those of a coordinate turn its velocity back. Raises TypeError for what `box` has not made."""
    if boundary is None:
        return Confinement()
    if not isinstance(boundary, Confinement):
        raise TypeError(f"got boundary={boundary!r}, expected walls; type sg.box([(-1, 1), None])")
    limits = boundary.limits.reshape(-1, 4).copy()
    if isinstance(problem, Momentum) and len(limits) == problem.dim:
        d = problem.U.dim
        limits[:d, 3] = np.arange(d, 2 * d)
        if np.any(limits[d:, 0]):
            raise ValueError(
                "got walls for velocities, expected None for them; type sg.box([(-1, 1), None]) for one coordinate"
            )
    return Confinement(boundary.boundary, limits.ravel())


def check_inside(confinement: Confinement, x0: Any) -> None:
    """Raise ValueError unless the walls have the dimension of the points (n, dim) and all points lie inside."""
    limits = confinement.limits.reshape(-1, 4)
    if not len(limits):
        return
    if len(limits) != x0.shape[-1]:
        raise ValueError(
            f"got walls for {len(limits)} coordinates, expected {x0.shape[-1]}; type None for a coordinate without walls"
        )
    outside = np.any((x0 < limits[:, 1]) | (x0 > limits[:, 2]), axis=-1)
    if np.any(outside):
        first = int(np.argmax(outside))
        i = int(np.argmax((x0[first] < limits[:, 1]) | (x0[first] > limits[:, 2])))
        raise ValueError(
            f"got x0={x0[first]}, expected a point inside of the walls, {limits[i, 1]:g} <= x[{i}] <= {limits[i, 2]:g}; type another x0, or wider walls"
        )


def absorbs(confinement: Confinement) -> bool:
    """Whether paths can be lost at a wall."""
    return bool(np.any(confinement.limits.reshape(-1, 4)[:, 0] == KINDS["absorbing"]))
