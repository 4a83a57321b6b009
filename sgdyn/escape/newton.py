"""Zeros of a gradient by Newton's method from many starts, with those already found deflated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from sgdyn.errors import NotConvergedError
from sgdyn.escape.surfaces import Surface

Floats = NDArray[np.float64]

STEPS = 80
SAME = 1e-5
"""Zeros nearer than this share of the box are one."""
FLAT = 1e-7
"""An eigenvalue below this share of the largest is none that a second derivative can tell from zero."""


def newton(surface: Surface, x: Floats, width: float, *, known: Floats | None = None, steps: int = STEPS) -> Floats:
    """Newton's iteration from points (n, dim) at once, no step longer than width/10; where it ends (n, dim).

    known (m, dim): zeros that are divided out, g -> g prod_i (1 + 1/|x - x_i|²).
    Source: Farrell, Birkisson, Funke, SIAM J. Sci. Comput. 37, A2026 (2015).
    """
    x = x.copy()
    moving = np.arange(len(x))
    for _ in range(steps):
        with np.errstate(all="ignore"):
            step = _step(surface, x[moving])
            step = step if known is None else _deflated(step, x[moving], known)
            size = np.linalg.norm(step, axis=-1)
            x[moving] -= step * np.minimum(1.0, 0.1 * width / np.maximum(size, 1e-300))[:, None]
        x[moving[~np.isfinite(size)]] = np.nan
        moving = moving[size > 1e-14 * width]
        if not len(moving):
            break
    return x


def _step(surface: Surface, x: Floats) -> Floats:
    """H^-1 g; directions that are flat to rounding are left out."""
    g, H = surface.gradient(x), surface.hessian(x)
    fine = np.all(np.isfinite(g), axis=-1) & np.all(np.isfinite(H), axis=(-1, -2))
    step = np.full_like(x, np.nan)
    if np.any(fine):
        step[fine] = np.einsum("nij,nj->ni", np.linalg.pinv(H[fine], rcond=1e-14), g[fine])
    return step


def _deflated(step: Floats, x: Floats, known: Floats) -> Floats:
    """The step of Newton's method for g times the deflation: the same direction, another length."""
    gap = x[:, None] - known
    square = np.sum(gap**2, axis=-1)
    slope = -2 * np.sum(gap / (square * (1 + square))[..., None], axis=1)  # of the logarithm of the deflation
    return np.asarray(step / (1 + np.sum(slope * step, axis=-1))[:, None])


def residuals(surface: Surface, x: Floats) -> Floats:
    """|g| relative to the largest |H| times the size of x: what rounding leaves is about 1e-16."""
    H = np.abs(surface.hessian(x)).max(axis=(-1, -2))
    return np.asarray(
        np.linalg.norm(surface.gradient(x), axis=-1) / np.maximum(H, 1e-300) / (1 + np.abs(x).max(axis=-1))
    )


def distinct(points: Floats, width: float, tolerance: float = SAME) -> tuple[Floats, NDArray[np.intp]]:
    """The points (n, dim) without repetitions, and how often each occurs."""
    kept: list[Floats] = []
    counts: list[int] = []
    for x in points:
        gaps = [float(np.linalg.norm(x - y)) for y in kept]
        if gaps and min(gaps) < tolerance * width:
            counts[int(np.argmin(gaps))] += 1
        else:
            kept.append(x)
            counts.append(1)
    return np.array(kept).reshape(len(kept), points.shape[-1]), np.array(counts, dtype=np.intp)


def zeros_in(
    surface: Surface, sides: Floats, starts: int, tolerance: float, seed: int
) -> tuple[Floats, NDArray[np.intp]]:
    """The zeros found in a box from Sobol points, then from half of them with those zeros deflated; how often each was met."""
    width = float(np.linalg.norm(sides[:, 1] - sides[:, 0]))
    unit = qmc.Sobol(len(sides), seed=seed).random_base2(int(np.ceil(np.log2(starts))))
    x = sides[:, 0] + unit * (sides[:, 1] - sides[:, 0])
    met = _converged(surface, newton(surface, x, width), sides, tolerance)
    for _ in range(3):
        known, _ = distinct(met, width)
        if not len(known):
            break
        near = newton(surface, x[: len(x) // 2], width, known=known, steps=STEPS // 2)
        new = _converged(surface, newton(surface, near, width, steps=5), sides, tolerance)
        fresh = [p for p in new if np.min(np.linalg.norm(known - p, axis=1)) > SAME * width]
        if not fresh:
            break
        met = np.concatenate([met, fresh])
    return distinct(met, width)


def _converged(surface: Surface, x: Floats, sides: Floats, tolerance: float) -> Floats:
    fine = np.all(np.isfinite(x), axis=-1)
    fine[fine] &= np.all((x[fine] >= sides[:, 0]) & (x[fine] <= sides[:, 1]), axis=-1)
    if np.any(fine):
        fine[fine] &= residuals(surface, x[fine]) <= tolerance
    return np.asarray(x[fine])


def polished(surface: Surface, x: Floats, name: str) -> Floats:
    """The critical point next to x (dim,). Raises `NotConvergedError` if there is none near."""
    start = np.asarray(x, dtype=np.float64)
    scale = 1 + float(np.abs(start).max(initial=0.0))
    end = newton(surface, start[None], scale)[0]
    if not np.all(np.isfinite(end)) or residuals(surface, end[None])[0] > 1e-7:
        raise NotConvergedError(
            f"found no critical point near {name}={np.array2string(start, precision=4)}; type sg.critical_points(U, box) to see where they are"
        )
    if np.linalg.norm(end - start) > 0.25 * scale:
        raise ValueError(
            f"got {name}={np.array2string(start, precision=4)}, expected a critical point; the next one is {np.array2string(end, precision=6)}"
        )
    return np.asarray(end)
