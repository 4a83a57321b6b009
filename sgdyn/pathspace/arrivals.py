"""The probability to have reached a region by a time, by Laplace's method over the critical paths that end on its boundary.

    P = ∫_0^t ds sum_k p(b_k(s), s | a) n.v (2 pi)^{(d-1)/2} / sqrt(det S_k'' along the boundary)

b_k(s) is where a path that takes the time s arrives best. For a Brownian path before a plane the integrand is the exact density of arrival times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import simpson
from scipy.interpolate import CubicSpline
from scipy.special import logsumexp

from sgdyn.errors import NotConvergedError
from sgdyn.estimate import Estimate
from sgdyn.pathspace.boundaries import Arrival, arrival
from sgdyn.pathspace.corrections import depth, of_levels
from sgdyn.pathspace.free_ends import FreeEnd
from sgdyn.pathspace.functional import Action
from sgdyn.pathspace.landings import coarsest, images, landed, starts
from sgdyn.pathspace.paths import Path
from sgdyn.problem import Langevin
from sgdyn.progress import progress
from sgdyn.region import Region

Floats = NDArray[np.float64]

NODES = 20
REMOTE = 25.0
"""Arrivals so much less likely, in powers of e, than those at the end do not count."""
FAR = 0.5
"""The next order in T, relative, from which Laplace's method is refused."""
SMALLEST = -700.0
"""Logarithms of probabilities that are numbers in double precision."""
LEAST = 1.0
"""The action below which arrivals are no rare event."""
SAME = 1e-4
MOST = 20
NEAR = 1e-9
"""The gap at which the image of a path ends on the boundary too."""
CORRECTED = 100
"""Paths are weighed on more steps than this, up to twice as many."""


def arrivals(problem: Langevin, x0: Floats, region: Region, *, t: float, n: int, seed: int = 0) -> tuple[Arrival, ...]:
    """All minima of the action found among paths from x0 to the boundary in the time t, the least action first.

    Looked for on a few steps, from straight and bent paths whose ends slide along the boundary, and from the images of what was found.

    Raises NotConvergedError where there is none.
    """
    functional = Action(problem)
    rough: list[Arrival] = []
    plan = starts(region, x0, functional, t=t, n=coarsest(n), seed=seed)
    for gap, start in _told("ways to the boundary", plan):
        one = landed(functional, gap, start)
        if one is None or not one.is_minimum or any(_same(one, known) for known in rough):
            continue
        rough.append(one)
        if len(rough) < MOST:  # a continuous family has no end of images
            plan += [(gap, image) for image in images(one.path, x0) if abs(float(gap(image.x[-1]))) < NEAR]
    found: list[Arrival] = []
    for one in (_refined(one, n) for one in rough):
        if one is None or not one.is_minimum or not _enters_last(one, region):
            continue
        if not any(_same(one, known) for known in found):
            found.append(one)
    if not found:
        raise NotConvergedError(
            "no path of least action that ends on the region's boundary was found: saddles, corners of the region and paths that cross it before "
            "do not count; type another t, or the method Fokker-Planck"
        )
    return tuple(sorted(found, key=lambda one: one.action))


def _refined(one: Arrival | None, n: int) -> Arrival | None:
    """The same arrival on n steps."""
    while one is not None and one.path.n < n:
        one = arrival(one.functional, one.gap, one.path.finer())
    return one


def _told(title: str, whole: Sequence[Any]) -> Iterator[Any]:
    """The same one after another, with a progress bar where this is part of longer work."""
    with progress(title, False) as bar:
        for k, one in enumerate(whole):
            bar(k / len(whole))
            yield one


def _enters_last(one: Arrival, region: Region) -> bool:
    """Whether the path stays outside until its end, and the end lies on the region's own boundary."""
    x, n = one.path.x, one.normal
    step = 1e-6 * max(1.0, float(np.abs(x).max()))
    inside = region.contains(x[:-2])
    return bool(not inside.any() and region.contains(x[-1] + step * n) and not region.contains(x[-1] - step * n))


def _same(one: Arrival, other: Arrival) -> bool:
    return bool(np.abs(one.path.x - other.path.x).max() < SAME * (np.ptp(other.path.x, axis=0).max() + 1e-300))


@dataclass(frozen=True, eq=False)
class LaplaceReach:
    """The probability with its error, and the paths behind it."""

    value: Estimate
    arrivals: tuple[Arrival, ...]


def laplace_reach(
    problem: Langevin, x0: Floats, region: Region, *, t: float, n: int = 200, samples: int = 2000, seed: int = 0
) -> LaplaceReach:
    """The probability to have reached the region by the time t, to leading order in T.

    Its error is the next order in T: that of the density on the boundary, by weighing paths, and that of the layer before it; and
    what half as many steps change. Raises NotConvergedError where Laplace's method does not hold.
    """
    found = arrivals(problem, x0, region, t=t, n=n, seed=seed)
    least = found[0].action
    if least < LEAST:
        raise NotConvergedError(
            f"the least action is {least:.2g}: to arrive by t={t:g} is no rare event, and Laplace's method has no small number; type the method Fokker-Planck or simulation"
        )
    kept = tuple(one for one in found if one.action < least + REMOTE)
    order, layers = next_order(problem, kept, samples, seed), max(one.layer for one in kept)
    far = abs(float(order) - 1) + order.error + layers
    if far > FAR:
        raise NotConvergedError(
            f"the next order in T is {float(order) - 1:+.2g} ± {order.error:.2g} of the leading one in the density, {layers:.2g} in the layer before the "
            f"boundary: Laplace's method does not hold (t={t:g} may be long beside the relaxation); type the method Fokker-Planck, simulation or splitting"
        )
    logs = np.array([_log_probability(one) for one in _told("arrivals before", kept)])
    log = float(logsumexp(logs[:, 0]))
    relative = float(np.exp(logs[:, 0] - log) @ logs[:, 1]) + far
    if log < SMALLEST:
        raise NotConvergedError(
            f"the probability is exp({log:.8g} ± {relative:.2g}), below the smallest number of double precision"
        )
    value = float(np.exp(log))
    plural = "s" if len(kept) > 1 else ""
    name = f"{len(kept)} critical path{plural}, n={n}; error from the next order in T"
    return LaplaceReach(Estimate(value, value * relative, name), kept)


def next_order(problem: Langevin, kept: tuple[Arrival, ...], samples: int, seed: int) -> Estimate:
    """The density integrated over the ends, over its Laplace approximation."""
    levels = [list(kept)]
    n = kept[0].path.n
    while (n > CORRECTED and n % 2 == 0) or len(levels) < depth(problem):
        n //= 2
        halves = [arrival(one.functional, one.gap, one.path.coarser()) for one in levels[-1]]
        if any(one is None for one in halves):
            raise NotConvergedError(
                f"no critical path was reached with {levels[-1][0].path.n // 2} steps; type a larger n"
            )
        levels.append([one for one in halves if one is not None])
    last = levels[-depth(problem) :]
    return of_levels(
        problem, [[FreeEnd(one, k) for one in level] for k, level in enumerate(last)], samples=samples, seed=seed
    )


def _log_probability(last: Arrival) -> tuple[float, float]:
    """log of ∫ ds over the arrivals that continue this one to earlier times, extrapolated from n/2 and n steps, and its error."""
    fine, quadrature = _integrated(last)
    half = arrival(last.functional, last.gap, last.path.coarser())
    if half is None:
        raise NotConvergedError(f"no critical path was reached with {last.path.n // 2} steps; type a larger n")
    coarse, _ = _integrated(half)
    return (4 * fine - coarse) / 3, abs(fine - coarse) / 3 + quadrature


def _integrated(last: Arrival) -> tuple[float, float]:
    """The logarithm of the integral, and what half as many nodes change."""
    t = last.path.duration
    window = t if last.energy <= 0 else min(t, REMOTE / last.energy)
    back = 0.5 * window * (1 - np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES))
    logs, times = [last.log_rate], [0.0]
    now = last
    for u in back:
        sooner = earlier(now, t - u)
        if sooner is None or sooner.log_rate < logs[0] - 2 * REMOTE:
            break
        now = sooner
        logs.append(now.log_rate)
        times.append(float(u))
    if len(times) < 8:
        raise NotConvergedError("critical paths could not be followed to earlier arrivals; type a larger n")
    whole, half = _quadrature(times, logs), _quadrature(times[::2], logs[::2])
    return whole, abs(whole - half) / 8


def _quadrature(times: list[float], logs: list[float]) -> float:
    """log of ∫ exp(logs), by a spline of the logarithms."""
    u = np.linspace(0, times[-1], 4001)
    return float(np.log(simpson(np.exp(CubicSpline(times, logs)(u) - logs[0]), u)) + logs[0])


def earlier(one: Arrival, s: float) -> Arrival | None:
    """The critical path that arrives at the time s, from one that arrives a little later."""
    if s <= 0:
        return None
    found = arrival(one.functional, one.gap, Path(one.path.x, one.path.t * (s / one.path.duration)))
    return found if found is not None and found.is_minimum else None
