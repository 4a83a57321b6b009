"""Where a path comes to rest on its way: zeros of the drift, at which curves of least action have corners."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import NoConvergence, newton_krylov, root

from sgdyn.pathspace.criticality import BAND_LIMIT
from sgdyn.pathspace.curves import Curve

Floats = NDArray[np.float64]

NEAR = 4.0
"""So many segments' lengths from its nearest image a zero of the drift may lie on the curve."""
EQUAL = 1e-7
"""Points this close, relative to the curve's length, are one."""
SHORTEST = 4
"""So few segments a piece has at least."""
KRYLOV_STEPS = 30
SLOW = 0.3
"""Only images where |b| is below this share of its largest value are looked at."""


@dataclass(frozen=True, eq=False)
class Halt:
    """A zero x (dim,) of the drift and where on the curve, in segments, it lies nearest."""

    x: Floats
    at: float


def piece(curve: Curve, first: Halt, last: Halt, n: int) -> Curve:
    """What of a curve lies between two halts, n segments."""
    inner = np.arange(len(curve.x))
    inner = inner[(inner > first.at + 0.5) & (inner < last.at - 0.5)]
    points = np.concatenate([first.x[None], curve.x[inner], last.x[None]])
    if len(points) < 3:  # no image between two zeros
        points = np.stack([first.x, 0.5 * (first.x + last.x), last.x])
    return Curve(curve.functional, points).spread(n)


def divided(curve: Curve, halts: list[Halt], share: float) -> list[Curve]:
    """The curve cut at halts, with this share of its images."""
    pins = pinned(curve, halts)
    return [piece(curve, i, j, max(SHORTEST, round(share * (j.at - i.at)))) for i, j in pairwise(pins)]


def pinned(curve: Curve, halts: list[Halt]) -> list[Halt]:
    """The same halts between the curve's ends."""
    return [Halt(curve.x[0], 0.0), *halts, Halt(curve.x[-1], len(curve.x) - 1.0)]


def halts(curve: Curve) -> list[Halt]:
    """Zeros of the drift close to the curve, in its order."""
    c, x, n = curve.coefficients, curve.x, len(curve.x) - 1
    b = c.drift(x)
    speed = np.sqrt(np.einsum("ni,ni->n", b, c.lower(x, b)))
    length = float(np.linalg.norm(np.diff(x, axis=0), axis=1).sum())
    found: list[Halt] = []
    for k in range(n + 1):
        if speed[k] > min(speed[max(k - 1, 0)], speed[min(k + 1, n)], SLOW * speed.max()):
            continue
        zero = _zero(curve, x[k])
        if zero is None or np.linalg.norm(zero - x[k]) > NEAR * length / n:
            continue
        others = [x[0], x[-1], *[one.x for one in found]]
        if min(np.linalg.norm(zero - y) for y in others) > EQUAL * length:
            found.append(Halt(zero, _place(x, k, zero)))
    return sorted(found, key=lambda one: one.at)


def _place(x: Floats, k: int, zero: Floats) -> float:
    """Where a point beside image k lies nearest to the curve, in segments."""
    i, j = max(k - 1, 0), min(k + 1, len(x) - 1)
    t = (x[j] - x[i]) / (j - i)
    return float(np.clip(k + (zero - x[k]) @ t / max(float(t @ t), 1e-300), 0, len(x) - 1))


def _zero(curve: Curve, near: Floats) -> Floats | None:
    """The zero of the drift next to a point: up to 24 dimensions by Powell's method, beyond by Newton-Krylov; None where it is not found."""
    c, size = curve.coefficients, float(np.abs(curve.coefficients.drift(curve.x)).max())
    if c.dim <= BAND_LIMIT:
        x = root(lambda y: c.drift(y), near, jac=(lambda y: c.jacobian(y)) if c.smooth else None, tol=1e-13).x
    else:
        try:
            with np.errstate(all="ignore"):  # SciPy divides by the size of a point that may be 0
                x = newton_krylov(lambda y: c.drift(y), near, f_tol=1e-9 * size, maxiter=KRYLOV_STEPS)
        except (NoConvergence, ValueError):
            return None
    left = np.abs(c.drift(x)).max()
    return np.asarray(x) if np.isfinite(left) and left <= 1e-8 * max(size, 1e-300) else None
