"""How flat a minimum is along directions: the widths that Feng and Tu's relation is about."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from sgdyn import checks
from sgdyn.escape.surfaces import Surface, surface
from sgdyn.estimate import Estimate

Floats = NDArray[np.float64]

GROWTH, FARTHEST = 1.1, 1e8
"""The search for the edge goes on by so many per cent at a time, up to so many times the first step."""


def feng_tu_flatness(U: Any, x: ArrayLike, directions: ArrayLike, *, quadratic: bool = False) -> Estimate:
    """The widths F_i (n,) of {U <= e U(x)} around x along directions, as Feng and Tu define the flatness of a loss.

        F_i = s_+ + s_-,   U(x +- s d_i) = e U(x);     quadratic=True: F_i = 2 sqrt(2 (e - 1) U(x)/(d_i' H d_i)),   H = Hess U(x)

    U: a `Potential`, a `nets.Network` or a landscape, with U(x) > 0. x (dim,), next to a minimum; directions (dim, n), whose lengths do not
    matter. The first edges on both sides count, found by steps of a tenth of the way. The error is that of rounding; of the quadratic form it is
    what the loss at its ends is off, to first order. Raises ValueError where U(x) <= 0, along directions of curvature <= 0 (quadratic), and where
    U never rises to e U(x). Source: Feng and Tu, PNAS 118, e2015617118 (2021), eq. 5.
    """
    given = surface(U)
    center, ways = checks.vector("x", x, given.dim), checks.finite("directions", directions)
    if ways.ndim != 2 or len(ways) != given.dim or not np.all(np.linalg.norm(ways, axis=0) > 0):
        raise ValueError(
            f"got directions of shape {ways.shape}, expected ({given.dim}, n), none of them zero; type np.eye({given.dim})"
        )
    ways = ways / np.linalg.norm(ways, axis=0)
    low = float(given.value(center[None])[0])
    if not low > 0:
        raise ValueError(f"got U(x) = {low:g}, expected a number > 0: the width is where U has grown by the factor e")
    curvatures = np.array([d @ np.ravel(given.product(center) @ d) for d in ways.T])
    if quadratic:
        return _of_hessian(given, center, ways, low, curvatures)
    widths = [sum(_edge(given, center, sign * d, low, h) for sign in (1, -1)) for d, h in zip(ways.T, curvatures, strict=True)]  # fmt: skip
    return Estimate(np.array(widths), 1e-9 * np.array(widths), "Feng-Tu 2021, widths of U <= e U(x)")


def _of_hessian(given: Surface, x: Floats, ways: Floats, low: float, curvatures: Floats) -> Estimate:
    if np.any(curvatures <= 0):
        raise ValueError(
            f"got the curvature {curvatures.min():.3g} along direction {int(curvatures.argmin())}, expected numbers > 0; type quadratic=False"
        )
    half = np.sqrt(2 * (np.e - 1) * low / curvatures)
    ends = [given.value(x + sign * half[:, None] * ways.T) for sign in (1, -1)]
    off = sum(np.e * low - end for end in ends) / (curvatures * half)
    return Estimate(2 * half, np.abs(off) + 1e-14 * half, "Feng-Tu 2021, from the Hessian")


def _edge(given: Surface, x: Floats, d: Floats, low: float, curvature: float) -> float:
    """The first s > 0 with U(x + s d) = e U(x)."""
    scale = 1 + float(np.abs(x).max(initial=0.0))
    reach = 0.1 * (np.sqrt(low / curvature) if curvature > 0 else scale)
    first, inner = reach, 0.0

    def excess(s: float) -> float:
        return float(given.value((x + s * d)[None])[0]) - np.e * low

    while excess(reach) < 0:
        inner, reach = reach, GROWTH * reach
        if reach > FARTHEST * first:
            raise ValueError(
                f"found no edge of U <= e U(x) along {np.array2string(d, precision=3, threshold=6)} up to {reach:.2g}, expected U to rise; "
                "leave that direction out"
            )
    return float(brentq(excess, inner, reach, xtol=1e-12 * reach, rtol=1e-12))
