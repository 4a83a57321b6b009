"""Walls around the domain: reflecting, periodic or absorbing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sgdyn import checks
from sgdyn.codegen.contracts import CONFINE_SIGNATURE
from sgdyn.codegen.jit import kernel
from sgdyn.codegen.vector import LANES, absolute, load, nearest, select, store
from sgdyn.problem import Momentum
from sgdyn.sde.walkers import Confinement

KINDS = {"reflecting": 1.0, "periodic": 2.0, "absorbing": 3.0}


@kernel(*CONFINE_SIGNATURE)
def confine(x: Any, limits: Any) -> None:
    """limits = (kind, low, high, row of the velocity or -1) of every coordinate; kind 0 is no wall.

    What is mirrored has its velocity turned back. Absorbed paths become NaN in all coordinates.
    """
    dim = x.shape[0]
    for i in range(dim):
        kind, low, high, velocity = limits[4 * i], limits[4 * i + 1], limits[4 * i + 2], int(limits[4 * i + 3])
        length = high - low
        for p in range(0, x.shape[1], LANES):
            y = load(x, i, p)
            if kind == 1.0:
                if length < math.inf:
                    inside = y - low
                    inside = inside - (2.0 * length) * nearest(inside / (2.0 * length))
                    y = low + absolute(inside)
                elif low > -math.inf:
                    inside = y - low
                    y = low + absolute(inside)
                else:
                    inside = high - y
                    y = high - absolute(inside)
                if velocity >= 0:
                    v = load(x, velocity, p)
                    store(x, velocity, p, select(inside < 0.0, -v, v))
            elif kind == 2.0:
                y = y - length * nearest((y - (low + 0.5 * length)) / length)
            elif kind == 3.0:
                gone = (y < low) | (y > high)
                y = select(gone, math.nan, y)
            store(x, i, p, y)
    for i in range(dim):
        if limits[4 * i] == 3.0:
            for p in range(0, x.shape[1], LANES):
                gone = load(x, i, p)
                for j in range(dim):
                    y = load(x, j, p)
                    store(x, j, p, select(gone == gone, y, gone))


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
        raise ValueError(f"got x0={x0[np.argmax(outside)]}, expected a point inside of the walls")


def absorbs(confinement: Confinement) -> bool:
    """Whether paths can be lost at a wall."""
    return bool(np.any(confinement.limits.reshape(-1, 4)[:, 0] == KINDS["absorbing"]))
