"""Drift and diffusion of a run without a model: conditional moments, local polynomials, the limit of small steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.density.grid import Grid
from sgdyn.estimate import Estimate
from sgdyn.fit.bandwidths import cross_validated
from sgdyn.fit.local_moments import DEGREE, Pieces, Stretch, diagonal, pairs, pieces
from sgdyn.fit.markov import Independence, independence
from sgdyn.fit.neighbourhoods import Neighbourhoods, around, over_grid
from sgdyn.fit.small_steps import drifts, limit, noises
from sgdyn.fit.stretches import Series, jackknife, series
from sgdyn.fit.tables import continued, process_from
from sgdyn.nets.recording import Recording
from sgdyn.printing import Printed
from sgdyn.problem import Langevin
from sgdyn.progress import progress

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

MOST_LAGS = 4
MOVED = 2.0
"""Standard errors (rms over the points) that the last order of the extrapolation may move the drift without a warning."""


@dataclass(frozen=True, eq=False, repr=False)
class KramersMoyal(Printed):
    """dX = F(X) dt + sqrt(2 T D(X)) dW as a run follows it, at `points` (n, k).

    drift (n, k) and noise (n, k, k) = T D with standard errors, NaN where `known` (n,) is False: too few points of the run are near.
    drift_bias, noise_bias: bounds on what is left of the errors of finite steps and of smoothing: how far the last order of each correction moved
    the value. pawula (n, k): E dx⁴/3 (E dx²)² given x, 1 for a diffusion at small steps, large for jumps. independence: whether the run is
    Markov, and its noise Gaussian. bandwidths (2, k): of drift and noise, in units of the coordinates. axes: of the grid that the points are, if any.
    """

    points: Floats
    drift: Estimate
    noise: Estimate
    known: Flags
    drift_bias: Floats
    noise_bias: Floats
    pawula: Estimate
    independence: Independence
    bandwidths: Floats
    axes: tuple[Floats, ...] | None
    series: Series

    @property
    def dim(self) -> int:
        return int(self.points.shape[1])

    @property
    def box(self) -> list[tuple[float, float]]:
        """The smallest box around the known points: type boundary=sg.box(found.box) in simulations."""
        inside = self.points[self.known]
        return [(float(a), float(b)) for a, b in zip(inside.min(axis=0), inside.max(axis=0), strict=True)]

    def grid(self, count: int) -> Grid:
        """A grid over the box with reflecting walls and `count` cells along each axis, for `fokker_planck` and its kin."""
        return Grid([(low, high, checks.count("count", count)) for low, high in self.box])

    def process(self) -> Langevin:
        """The fitted process with T = 1 and D = `noise`, which every solver takes: cubic splines through the points.

        Negative eigenvalues of `noise` are cut off, and its Cholesky factor is interpolated, so that D is positive semidefinite everywhere.
        Points of the box that are not known have the values of the nearest known one; beyond the box all is NaN, and a path that gets there raises
        `BlowUpError`: type boundary=sg.box(found.box), and found.grid(200) for grids. Raises ValueError for points that were chosen.
        """
        if self.axes is None:
            raise ValueError("got a fit at chosen points, expected one on its own grid; type sgdyn.fit.kramers_moyal(recording) without points=")
        return process_from(self.axes, *continued(self.axes, self.known, self.drift.value, self.noise.value))

    def plot(self, ax: Any = None) -> Any:
        """Drift and noise with their errors (one dimension), or the drift as arrows over the noise (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def kramers_moyal(
    recording: Recording | Any, *, dt: float | None = None, bandwidth: ArrayLike | None = None, points: ArrayLike | None = None,
    lags: int = 3, show_progress: bool | None = None,
) -> KramersMoyal:  # fmt: skip
    """Drift F(x) and diffusion T D(x) of a run in one to three coordinates, without a model.

    F = lim E[x(t + s) - x(t) | x(t) = x]/s and T D = lim Cov[x(t + s) | x(t) = x]/2s as s -> 0. The conditional moments at s = dt, 2 dt, ...,
    `lags` dt are local polynomials with Gaussian weights; the limit is that of the polynomial in s through them, so that terms up to
    dt^(lags - 1) drop out (lags=1: no correction). bandwidth: standard deviation of the weights in units of the coordinates, a number or (k,); default: the one
    whose local linear fit predicts left-out fifths of the run best, for drift and noise each. The values are then those of degree 2, which takes the
    bias of the linear fit off; errors are jackknife errors over some 60 stretches of the run and cover that correction. points (n, k): where;
    default: a grid over the run.

    recording: of `nets.train` on a subspace, or an array (replica, time, k) or (time, k) with its `dt`. Raises ValueError for more than 3
    coordinates, one that never moves, too few points near each other, momentum. Sources: Fan and Gijbels, Local Polynomial Modelling (1996);
    Calonico, Cattaneo, Farrell, JASA 113, 767 (2018), errors after bias correction; Gottschall and Peinke, New J. Phys. 10, 083034 (2008), finite steps.
    """
    run = _checked(recording, dt)
    whole = pieces(run, max(_lags(lags), 2))
    h = _bandwidths(whole, bandwidth, show_progress)
    grid = over_grid(whole, h)
    tests = independence(whole, grid)
    if points is None:
        return _result(run, whole, grid, lags, tests)
    given = checks.finite("points", checks.points(points, run.dim)).reshape(-1, run.dim)
    return _result(run, whole, around(whole, whole.standard(given), h), lags, tests)


def _checked(recording: Recording | Any, dt: float | None) -> Series:
    run = series(recording, dt)
    if run.dim > 3:
        raise ValueError(
            f"got {run.dim} coordinates, expected at most 3: in more, no run has points near each other; type x[..., :2], or "
            "sgdyn.fit.force_inference(recording)"
        )
    return run


def _lags(lags: int) -> int:
    if checks.count("lags", lags) > MOST_LAGS:
        raise ValueError(f"got lags={lags}, expected at most {MOST_LAGS}: the errors grow with each")
    return lags


def _bandwidths(run: Pieces, bandwidth: ArrayLike | None, show: bool | None) -> Floats:
    """Of drift and noise (2, k), in standard coordinates."""
    if bandwidth is not None:
        h = checks.vector("bandwidth", bandwidth, run.dim)
        if np.any(h <= 0):
            raise ValueError(f"got bandwidth={bandwidth!r}, expected positive numbers in units of the coordinates")
        return np.stack([h / run.scale] * 2)
    with progress("bandwidths", show) as tick:
        drift = cross_validated(run, lambda part: part.ahead[0], lambda done: tick(0.5 * done))
        noise = cross_validated(run, _products, lambda done: tick(0.5 + 0.5 * done))
    return np.repeat([[drift], [noise]], run.dim, axis=1)


def _products(part: Stretch) -> Floats:
    i, j = pairs(part.z.shape[1])
    return np.asarray(part.ahead[0][:, i] * part.ahead[0][:, j])


def _result(run: Series, whole: Pieces, where: Neighbourhoods, lags: int, tests: Independence) -> KramersMoyal:
    known, k = where.known, run.dim
    if not known.any():
        raise ValueError("got points with too few of the run near any of them, expected points within it; type points=None for its own grid")
    near = where.kept(known)
    sums = np.concatenate([near.drift, near.noise], axis=1)
    split, unit = near.drift.shape[1], whole.scale

    def statistic(total: Floats, degree: int = DEGREE, order: int = lags) -> tuple[Floats, ...]:
        first, both = near.moments(total[:split], total[split:], degree)
        many = first.shape[1] // k
        drift = limit(drifts(first, k, run.dt, many), order) * unit
        noise = limit(noises(both, k, run.dt, many), order) * unit[:, None] * unit
        return drift, noise, both[:, -k:] / (3 * both[:, many * k : -k][:, diagonal(k)] ** 2)

    method = f"local polynomials, {lags} lags, {len(run.x)} replicas x {run.x.shape[1]} times, jackknife over {len(sums)} stretches"
    drift, noise, pawula = jackknife(sums, statistic, method)
    total = sums.sum(axis=0)
    best, straight, shorter = statistic(total), statistic(total, 1), statistic(total, DEGREE, lags - 1 if lags > 1 else 2)
    bias = [np.abs(b - s) + np.abs(b - o) for b, s, o in zip(best[:2], straight, shorter, strict=False)]
    notes = tests.remarks + _moved(best[0] - shorter[0], drift)
    spread = [_everywhere(known, part) for part in (drift.value, drift.error, noise.value, noise.error, *bias, pawula.value, pawula.error)]
    return KramersMoyal(
        whole.center + unit * where.nodes,
        Estimate(spread[0], spread[1], method, warnings=notes),
        Estimate(spread[2], spread[3], method, warnings=notes),
        known, spread[4], spread[5], Estimate(spread[6], spread[7], method), tests, where.h * unit,
        where.axes and tuple(c + s * a for a, c, s in zip(where.axes, whole.center, unit, strict=True)), run,
    )  # fmt: skip


def _moved(step: Floats, drift: Estimate) -> tuple[str, ...]:
    pulls = float(np.sqrt(np.mean((step / drift.error) ** 2)))
    if pulls < MOVED:
        return ()
    size = float(np.sqrt(np.mean(step**2) / np.mean(drift.value**2)))
    return (f"the last order of the limit of small steps moved the drift by {100 * size:.2g} % ({pulls:.1f} standard errors); record more often",)


def _everywhere(known: Flags, values: Floats) -> Floats:
    out = np.full((len(known), *values.shape[1:]), np.nan)
    out[known] = values
    return out
