"""Where a path comes to rest on its way: zeros of the drift, at which curves of least action have corners."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import NoConvergence, newton_krylov, root

from sgdyn.pathspace.criticality import BAND_LIMIT
from sgdyn.pathspace.curves import Curve

Floats = NDArray[np.float64]

NEAR = 1.0
"""So many segments' lengths from its nearest image a zero of the drift lies on the curve."""
SHORTEST = 4
"""So few segments a piece has at least."""
KRYLOV_STEPS = 30
SLOW = 0.3
"""Only images where |b| is below this share of its largest value are looked at."""


def divided(curve: Curve) -> list[Curve]:
    """The curve cut at the zeros of the drift it runs over, each piece with its share of the images."""
    x, n = curve.x, len(curve.x) - 1
    cuts = _zeros(curve)
    bounds = [(0, x[0]), *cuts, (n, x[-1])]
    pieces = []
    for (i, first), (j, last) in pairwise(bounds):
        points = np.concatenate([first[None], x[i + 1 : j], last[None]])
        if len(points) < 3:  # no image between two zeros
            points = np.stack([first, 0.5 * (first + last), last])
        pieces.append(Curve(curve.functional, points).spread(max(SHORTEST, j - i)))
    return pieces


def _zeros(curve: Curve) -> list[tuple[int, Floats]]:
    """Images (by number) next to zeros of the drift, and those zeros (dim,)."""
    c, x = curve.coefficients, curve.x
    b = c.drift(x)
    speed = np.sqrt(np.einsum("ni,ni->n", b, c.lower(x, b)))
    reach = NEAR * float(np.linalg.norm(np.diff(x, axis=0), axis=1).mean())
    found: list[tuple[int, Floats]] = []
    for k in range(1, len(x) - 1):
        if speed[k] > min(speed[k - 1], speed[k + 1], SLOW * speed.max()):
            continue
        zero = _zero(curve, x[k])
        if zero is None or np.linalg.norm(zero - x[k]) > reach:
            continue
        others = [x[0], x[-1], *[y for _, y in found]]
        if min(np.linalg.norm(zero - y) for y in others) > reach:
            found.append((k, zero))
    return found


def _zero(curve: Curve, near: Floats) -> Floats | None:
    """The zero of the drift next to a point: up to 24 dimensions by Powell's method, beyond by Newton-Krylov; None where it is not found."""
    c, size = curve.coefficients, float(np.abs(curve.coefficients.drift(curve.x)).max())
    if c.dim <= BAND_LIMIT:
        x = root(lambda y: c.drift(y), near, jac=(lambda y: c.jacobian(y)) if c.smooth else None, tol=1e-13).x
    else:
        try:
            x = newton_krylov(lambda y: c.drift(y), near, f_tol=1e-9 * size, maxiter=KRYLOV_STEPS)
        except (NoConvergence, ValueError):
            return None
    left = np.abs(c.drift(x)).max()
    return np.asarray(x) if np.isfinite(left) and left <= 1e-8 * max(size, 1e-300) else None
