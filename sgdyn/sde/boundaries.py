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
from sgdyn.sde.walkers import Confinement

KINDS = {"reflecting": 1.0, "periodic": 2.0, "absorbing": 3.0}


@kernel(*CONFINE_SIGNATURE)
def confine(x: Any, limits: Any) -> None:
    """limits = (kind, low, high) of every coordinate; kind 0 is no wall. Absorbed paths become NaN in all coordinates."""
    dim = x.shape[0]
    for i in range(dim):
        kind, low, high = limits[3 * i], limits[3 * i + 1], limits[3 * i + 2]
        length = high - low
        for p in range(0, x.shape[1], LANES):
            y = load(x, i, p)
            if kind == 1.0 and length < math.inf:
                y = y - low
                y = low + absolute(y - (2.0 * length) * nearest(y / (2.0 * length)))
            elif kind == 1.0 and low > -math.inf:
                y = low + absolute(y - low)
            elif kind == 1.0:
                y = high - absolute(high - y)
            elif kind == 2.0:
                y = y - length * nearest((y - (low + 0.5 * length)) / length)
            elif kind == 3.0:
                gone = (y < low) | (y > high)
                y = select(gone, math.nan, y)
            store(x, i, p, y)
    for i in range(dim):
        if limits[3 * i] == 3.0:
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
    kinds = [kind] * len(sides) if isinstance(kind, str) else list(kind)
    if len(kinds) != len(sides) or not set(kinds) <= set(KINDS):
        raise ValueError(
            f"got kind={kind!r} for {len(sides)} coordinates, expected one of {sorted(KINDS)}, or one for each coordinate"
        )
    limits = [_side(i, side, name) for i, (side, name) in enumerate(zip(sides, kinds, strict=True))]
    return Confinement(confine, np.ravel(limits))


def _side(i: int, side: Any, kind: str) -> tuple[float, float, float]:
    if side is None:
        return 0.0, -math.inf, math.inf
    if np.shape(side) != (2,) or not side[0] < side[1]:
        raise ValueError(f"got the side {side!r} of coordinate {i}, expected (low, high) with low < high, or None")
    low, high = (float(s) for s in side)
    if kind == "periodic":
        checks.finite("side", [low, high])
    return KINDS[kind], low, high


def check_inside(confinement: Confinement, x0: Any) -> None:
    """Raise ValueError unless the walls have the dimension of the points (n, dim) and all points lie inside."""
    limits = confinement.limits.reshape(-1, 3)
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
    return bool(np.any(confinement.limits.reshape(-1, 3)[:, 0] == KINDS["absorbing"]))
