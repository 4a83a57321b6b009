"""Where paths to the boundary of a region may start from, and how they come to rest in a minimum of the action."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import null_space

from sgdyn.codegen.formula import Formula
from sgdyn.pathspace.boundaries import Arrival, arrival
from sgdyn.pathspace.criticality import critical_path
from sgdyn.pathspace.functional import Action
from sgdyn.pathspace.paths import Path, straight
from sgdyn.pathspace.starts import bent_starts
from sgdyn.region import Region

Floats = NDArray[np.float64]

RAYS, LENGTHS = 24, np.geomspace(1e-3, 1e3, 121)
DISTANT = 4.0
"""Paths start towards points of the boundary up to so many times as far as the nearest one."""
BENDS, BENT_ENDS = 6, 2
"""Bent paths start towards so many of the nearest points on each piece of the boundary."""
SLIDES, STRIDE, ALONG = 25, 0.25, 1e-8
"""The end slides along the boundary so many times, by at most this share of the distance, until the slope of the action along it is small."""
LEAST_STEPS = 32


def starts(
    region: Region, x0: Floats, functional: Action, *, t: float, n: int, seed: int
) -> list[tuple[Formula, Path]]:
    """Straight paths in several directions to the boundary, and paths to its nearest points bent to one side and the other."""
    ends = _ends(region, x0, seed)
    plan = [(gap, straight(x0, end, t=t, n=n)) for gap, end in ends]
    if len(x0) == 1:
        return plan
    for gap in dict.fromkeys(gap for gap, _ in ends):
        near = [end for other, end in ends if other is gap][:BENT_ENDS]
        for k, end in enumerate(near):
            one = straight(x0, end, t=t, n=n)
            bent = bent_starts(one, BENDS, seed + k, len(x0), functional.width(one))
            plan += [(gap, path) for path, descend in list(bent)[6:] if descend]
    return plan


def coarsest(n: int) -> int:
    """The number of steps on which paths are looked for first."""
    while n % 2 == 0 and n // 2 >= LEAST_STEPS:
        n //= 2
    return n


def images(path: Path, x0: Floats) -> Iterator[Path]:
    """The path with one coordinate turned round, and across the chord between its ends: as good as itself in a symmetric problem."""
    for k in range(len(x0)):
        flip = np.where(np.arange(len(x0)) == k, -1.0, 1.0)
        yield Path(x0 + (path.x - x0) * flip, path.t)
    chord = path.x[-1] - x0
    along, bend = chord / np.linalg.norm(chord), path.x - x0
    yield Path(x0 + 2 * np.outer(bend @ along, along) - bend, path.t)


def landed(functional: Action, gap: Formula, path: Path) -> Arrival | None:
    """The minimum of the action that a path comes to whose end slides along the boundary, or None."""
    for _ in range(SLIDES):
        settled = critical_path(functional, path, descend=True)
        if settled is None:
            return None
        path, now = settled, Arrival(functional, gap, settled)
        tangents = null_space(now.slope[None])
        slope = tangents.T @ now.momentum
        if np.abs(slope).max(initial=0.0) <= ALONG * (np.abs(now.momentum).max() + 1e-300):
            break
        moved = _slid(now, tangents, slope)
        if moved is None:
            return None
        path = moved
    return arrival(functional, gap, path)


def _slid(now: Arrival, tangents: Floats, slope: Floats) -> Path | None:
    """The path with its end moved along the boundary against the slope of the action, by Newton's step with all curvatures positive."""
    values, vectors = np.linalg.eigh(0.5 * (now.along + now.along.T))
    floor = 1e-3 * np.abs(values).max() + 1e-300
    step = -tangents @ (vectors @ ((vectors.T @ slope) / np.maximum(np.abs(values), floor)))
    most = STRIDE * float(np.linalg.norm(now.path.x[-1] - now.path.x[0]))
    step *= min(1.0, most / float(np.linalg.norm(step)))
    end = on_boundary(now.gap, now.path.x[-1] + step)
    if end is None:
        return None
    share = ((now.path.t - now.path.t[0]) / now.path.duration)[:, None]
    return Path(now.path.x + share * (end - now.path.x[-1]), now.path.t)


def on_boundary(gap: Formula, b: Floats) -> Floats | None:
    """The point where the gap is 0 that Newton's method along its slope reaches."""
    for _ in range(30):
        rise, slope = float(gap(b)), np.asarray(gap.gradient()(b))
        size = float(slope @ slope)
        if size == 0:
            return None
        move = rise / size * slope
        b = b - move
        if np.linalg.norm(move) <= 1e-13 * (1e-300 + np.abs(b).max()):
            return b
    return None


def _ends(region: Region, x0: Floats, seed: int) -> list[tuple[Formula, Floats]]:
    """Points on the region's boundary in several directions from x0, with the comparison that ends there, the nearest first."""
    rays = np.array([[1.0], [-1.0]]) if len(x0) == 1 else _spread_out(np.random.default_rng(seed), len(x0))
    found = []
    for gap in region.comparisons():
        slope = np.asarray(gap.gradient()(x0))
        size = float(np.linalg.norm(slope))
        for ray in [slope / size, *rays] if 0 < size < np.inf else rays:
            length = _way(gap, x0, ray)
            if length is not None:
                found.append((length, gap, x0 + length * ray))
    found.sort(key=lambda one: one[0])
    return [(gap, end) for length, gap, end in found if length <= DISTANT * found[0][0]]


def _way(gap: Formula, x0: Floats, ray: Floats) -> float | None:
    """How far the boundary lies along a ray, None if it does not meet it."""
    inside = np.asarray(gap(x0 + LENGTHS[:, None] * ray)) > 0
    if not inside.any():
        return None
    k = int(np.argmax(inside))
    low, high = (0.0 if k == 0 else float(LENGTHS[k - 1])), float(LENGTHS[k])
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if gap(x0 + middle * ray) > 0 else (middle, high)
    return high


def _spread_out(rng: np.random.Generator, d: int) -> Floats:
    if d == 2:
        angles = 2 * np.pi * (np.arange(RAYS // 2) + 0.5 * rng.random()) / (RAYS // 2)
        return np.stack([np.cos(angles), np.sin(angles)], -1)
    rays = rng.normal(size=(RAYS, d))
    return np.concatenate([np.eye(d), -np.eye(d), rays / np.linalg.norm(rays, axis=1, keepdims=True)])
