"""What the spline through a curve's images costs: the geometric action by Gauss's quadrature, exact also where |b| has a kink."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from sgdyn.pathspace.curves import Curve

Floats = NDArray[np.float64]

GAUSS = np.polynomial.legendre.leggauss(4)
HALVINGS = 40
"""So many times the parts of a segment halve towards the slowest point in it."""
LOOKS, CLOSER = 17, 8
"""The slowest point is looked for among so many, so many times in succession."""
WITHIN = 1e-4
"""A kink this close to an image, in segments, is one at the image: both rules are right there."""


@dataclass(frozen=True)
class Cost:
    """S of the spline, no less than the least action (up to rounding), and whether |b| has a kink inside a segment."""

    value: float
    kinked: bool


def cost(pieces: list[Curve]) -> Cost:
    """The cost of curves one after another."""
    found = [_cost(piece) for piece in pieces]
    return Cost(sum(one.value for one in found), any(one.kinked for one in found))


def _cost(curve: Curve) -> Cost:
    spline = CubicSpline(np.arange(len(curve.x)), curve.x)
    kinks = [(k, _slowest(curve, spline, k)) for k in _suspects(curve)]
    plain = np.setdiff1d(np.arange(len(curve.x) - 1), [k for k, _ in kinks])
    bounds = [np.stack([plain, plain + 1.0])]
    bounds += [_halved(u, side) for k, u in kinks for side in (k, k + 1)]
    low, high = np.concatenate(bounds, axis=1)
    kinked = any(WITHIN < u - k < 1 - WITHIN for k, u in kinks)
    with np.errstate(over="ignore", invalid="ignore"):
        value = _integrated(curve, spline, low, high)
    return Cost(value if np.isfinite(value) else np.inf, kinked)


def _integrated(curve: Curve, spline: CubicSpline, low: Floats, high: Floats) -> float:
    nodes, weights = GAUSS
    u = (0.5 * (low + high)[:, None] + 0.5 * (high - low)[:, None] * nodes).ravel()
    share = (0.5 * (high - low)[:, None] * weights).ravel()
    return float(share @ curve.functional.lagrangian.value(spline(u), spline(u, 1), share))


def _suspects(curve: Curve) -> NDArray[np.intp]:
    """Segments in which the drift changes by more than its size in their middle."""
    change = _speed(curve, curve.x[1:], curve.coefficients.drift(curve.x[1:]) - curve.coefficients.drift(curve.x[:-1]))
    middle = 0.5 * (curve.x[1:] + curve.x[:-1])
    return np.flatnonzero(_speed(curve, middle, curve.coefficients.drift(middle)) < change)


def _speed(curve: Curve, x: Floats, b: Floats) -> Floats:
    return np.asarray(np.sqrt(np.maximum(np.einsum("ni,ni->n", b, curve.coefficients.lower(x, b)), 0.0)))


def _slowest(curve: Curve, spline: CubicSpline, k: int) -> float:
    """Where in segment k the drift is least."""
    low, high = float(k), k + 1.0
    for _ in range(CLOSER):
        u = np.linspace(low, high, LOOKS)
        x = spline(u)
        at = int(np.argmin(_speed(curve, x, curve.coefficients.drift(x))))
        low, high = u[max(at - 1, 0)], u[min(at + 1, LOOKS - 1)]
    return float(0.5 * (low + high))


def _halved(u: float, side: int) -> Floats:
    """Parts from a segment's end to u, each half as long as the one before, as (2, parts)."""
    marks = np.append(u + (side - u) * 0.5 ** np.arange(HALVINGS), u)
    return np.sort(np.stack([marks[1:], marks[:-1]]), axis=0)
