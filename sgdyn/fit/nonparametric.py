"""Drift and diffusion of a run without a model: conditional moments, local polynomials, the limit of small steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.density.grid import Grid
from sgdyn.estimate import Estimate
from sgdyn.fit.bandwidths import cross_validated
from sgdyn.fit.conditional import conditional_rates
from sgdyn.fit.continuation import Known, remarks, trimmed
from sgdyn.fit.fitted_fields import process_from
from sgdyn.fit.local_moments import Pieces, Stretch, increments, pieces, squares
from sgdyn.fit.markov import Independence, independence
from sgdyn.fit.neighbourhoods import Neighbourhoods, at_nodes, box_of, over_grid, without_means
from sgdyn.fit.projections import DEPENDENT
from sgdyn.fit.propagation import propagated
from sgdyn.fit.stretches import Series, series
from sgdyn.nets.recording import Recording
from sgdyn.printing import Printed
from sgdyn.problem import Langevin
from sgdyn.progress import Progress, progress

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

MOST_LAGS = 4
SHOWN = 5
"""Points that are printed."""


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
    series: Series = field(repr=False)
    replicates: tuple[Floats, Floats] = field(repr=False)

    @property
    def dim(self) -> int:
        return int(self.points.shape[1])

    def __repr__(self) -> str:
        places, found = (
            np.flatnonzero(self.known),
            [f"KramersMoyal: {self.known.sum()} of {len(self.points)} points known"],
        )
        for i in places[np.unique(np.linspace(0, len(places) - 1, SHOWN).astype(int))]:
            at = [np.array2string(part[i], precision=4, separator=", ") for part in (
                self.points, self.drift.value, self.drift.error, self.noise.value, self.noise.error
            )]  # fmt: skip
            found.append("  x = {}: F = {} ± {}, T D = {} ± {}".format(*(text.replace("\n", "") for text in at)))
        return "\n".join([*found, *(f"  note: {text}" for text in self.noise.warnings)])

    __str__ = __repr__

    @property
    def box(self) -> list[tuple[float, float]]:
        """The smallest box around the known points: type boundary=sg.box(found.box) in simulations."""
        inside = self.points[self.known]
        return [(float(a), float(b)) for a, b in zip(inside.min(axis=0), inside.max(axis=0), strict=True)]

    def grid(self, count: int) -> Grid:
        """A grid over the box with reflecting walls and `count` cells along each axis, for `fokker_planck` and its kin."""
        return Grid([(low, high, checks.count("count", count)) for low, high in self.box])

    def process(self) -> Langevin:
        """The fitted process with T = 1 and D = `noise`: cubic splines through the points; in one dimension U with -U' = drift.

        Its drift is C², T D the square of a factor whose diagonal is the exponential of a spline: positive everywhere. T D that is not two errors above zero
        is set to the upper end of that range, at most the nearest value that is (a note of `noise` says where). Points that are not known, and all beyond
        the box, have the nearest known T D, and the nearest known drift with a linear pull back at the rate T D/variance of the run (more where the drift
        points away): paths come back, and what they do there is no finding. found.grid(200), boundary=sg.box(found.box): the box alone.
        Solvers that ask for formulas refuse it (`Heun`, `SRIW1`, `RI6`, `Milstein` in more dimensions, `probability_before`), and what rests on
        third derivatives (`kramers_time`, `instanton` at few data) suffers from the splines': see `force_inference`. Raises ValueError for chosen points.
        """
        return self._process(self.drift.value, self.noise.value)

    def _process(self, drift: Floats, noise: Floats) -> Langevin:
        return process_from(*self._known.everywhere(drift, noise))

    @property
    def _known(self) -> Known:
        if self.axes is None:
            raise ValueError(
                "got a fit at chosen points, expected one on its own grid; type sgdyn.fit.kramers_moyal(recording) without points="
            )
        variance = self.series.x.var(axis=(0, 1))
        return Known(self.axes, self.known, np.asarray(self.noise.error), variance, self.series.dt)

    def estimate(self, quantity: Callable[[Langevin], Any], groups: int = 20) -> Estimate:
        """What a function of the fitted process gives, with the jackknife error that the run's length makes: a time, a density, a rate.

        quantity(process): a number or an array; it is called once for the process and once without each of `groups` parts of the run. Where all values
        are positive, the jackknife is that of the logarithm, so that times of escape, which errors multiply, stay positive. Raises
        ValueError where a value is not finite.
        """
        fitted, away = (self.drift.value, self.noise.value), [part - part.mean(axis=0) for part in self.replicates]
        count = len(away[0])
        splits = np.array_split(np.arange(count), min(checks.count("groups", groups, least=2), count))
        whole, parts = np.asarray(quantity(self.process()), dtype=np.float64), []
        for left in splits:
            share = (count - 1) / (count - len(left))
            shifted = (value + share * part[left].sum(axis=0) for value, part in zip(fitted, away, strict=True))
            parts.append(np.asarray(quantity(self._process(*shifted)), dtype=np.float64))
        return propagated(whole, np.array(parts))

    def plot(self, ax: Any = None) -> Any:
        """Drift and noise with their errors (one dimension), or the drift as arrows over the noise (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def kramers_moyal(
    recording: Recording | Any, *, dt: float | None = None, bandwidth: ArrayLike | None = None, points: ArrayLike | None = None,
    lags: int = 3, show_progress: bool | None = None,
) -> KramersMoyal:  # fmt: skip
    """Drift F(x) and diffusion T D(x) of a run in one to three coordinates, without a model.

    F = lim E[x(t + s) - x(t) | x(t) = x]/s and T D = lim Cov[x(t + s) | x(t) = x]/2s as s -> 0, the conditional moments by local polynomials with
    Gaussian weights. Finite s: at each s = dt, ..., `lags` dt the process is taken as linear near x, which is exact for linear ones; what is left is a
    series in s, of which F loses the terms up to dt^(lags - 1), T D one less. lags=0: E[dx]/dt and Cov[dx]/2dt as they are. bandwidth: standard deviation of the weights in units of the coordinates, a number or (k,); default: the one
    whose local linear fit predicts left-out fifths of the run best, for drift and noise each. The values are then those of degree 2, which takes the
    bias of the linear fit off; errors are jackknife errors over some 60 stretches of the run and cover that correction. points (n, k): where;
    default: a grid over the run.

    recording: of `nets.train` on a subspace, or an array (replica, time, k) or (time, k) with its `dt`. Raises ValueError for more than 3
    coordinates, one that never moves, too few points near each other, momentum. Sources: Fan and Gijbels, Local Polynomial Modelling (1996);
    Calonico, Cattaneo, Farrell, JASA 113, 767 (2018), errors after bias correction; Gottschall and Peinke, New J. Phys. 10, 083034 (2008), finite steps.
    """
    run = _checked(recording, dt)
    whole = pieces(run, max(_lags(lags), 2))
    with progress("Kramers-Moyal", show_progress) as tick:
        whole, drift, noise = _neighbourhoods(whole, bandwidth, tick)
    tests = independence(whole, noise)
    if points is None:
        return _result(run, whole, drift, noise, lags, tests)
    given = checks.finite("points", checks.points(points, run.dim)).reshape(-1, run.dim)
    nodes = whole.standard(given)
    chosen = (at_nodes(whole, nodes, drift.h, increments), at_nodes(whole, nodes, noise.h, squares))
    return _result(run, whole, *chosen, lags, tests)


def _checked(recording: Recording | Any, dt: float | None) -> Series:
    run = series(recording, dt)
    if run.dim > 3:
        raise ValueError(
            f"got {run.dim} coordinates, expected at most 3: in more, no run has points near each other; type x[..., :2], or "
            "sgdyn.fit.force_inference(recording)"
        )
    y = (run.x - run.x.mean(axis=(0, 1))).reshape(-1, run.dim)
    sizes = np.linalg.norm(y, axis=0)
    if np.all(sizes > 0) and np.linalg.eigvalsh((y / sizes).T @ (y / sizes))[0] < DEPENDENT:
        raise ValueError(
            "got coordinates of which one is a linear function of the others, expected independent ones; leave it out of the recording"
        )
    return run


def _lags(lags: int) -> int:
    if checks.count("lags", lags, least=0) > MOST_LAGS:
        raise ValueError(f"got lags={lags}, expected at most {MOST_LAGS}: the errors grow with each")
    return lags


def _neighbourhoods(
    run: Pieces, bandwidth: ArrayLike | None, tick: Progress
) -> tuple[Pieces, Neighbourhoods, Neighbourhoods]:
    """The run with its residuals, and the sums for drift and noise over one grid."""
    first = (
        _bandwidth(run, bandwidth)
        if bandwidth is not None
        else cross_validated(run, _steps, lambda done: tick(0.4 * done))
    )
    coarse = over_grid(run, first, first, increments)
    run = without_means(run, coarse)
    second = first if bandwidth is not None else cross_validated(run, _products, lambda done: tick(0.5 + 0.4 * done))
    narrower = np.minimum(first, second)
    drift = coarse if np.all(narrower == first) else over_grid(run, first, narrower, increments)
    noise = over_grid(run, second, narrower, squares)
    tick(1.0)
    assert drift.axes is not None
    axes, which = box_of(drift.known & noise.known, drift.axes)
    return run, drift.cut(axes, which), noise.cut(axes, which)


def _bandwidth(run: Pieces, given: ArrayLike) -> Floats:
    """(k,) in standard coordinates."""
    h = checks.vector("bandwidth", given, run.dim)
    if np.any(h <= 0):
        raise ValueError(f"got bandwidth={given!r}, expected positive numbers in units of the coordinates")
    return np.asarray(h / run.scale)


def _steps(part: Stretch) -> Floats:
    return np.asarray(part.ahead[0])


def _products(part: Stretch) -> Floats:
    k = part.z.shape[1]
    return squares(part)[:, : k * (k + 1) // 2]


def _result(
    run: Series, whole: Pieces, drift: Neighbourhoods, noise: Neighbourhoods, lags: int, tests: Independence
) -> KramersMoyal:
    found, unit = conditional_rates(whole, drift, noise, lags), whole.scale
    axes, nodes = drift.axes, drift.nodes
    if axes is not None and (good := found.resolved()).any():
        known = trimmed(axes, found.known, good)
        axes, which = box_of(known, axes)
        found, nodes = found.cut(known, which), nodes[which]
    axes = axes and tuple(c + s * a for a, c, s in zip(axes, whole.center, unit, strict=True))
    notes = tests.remarks + found.remarks
    fit = KramersMoyal(
        whole.center + unit * nodes, replace(found.drift, warnings=notes), replace(found.noise, warnings=notes), found.known,
        found.drift_bias, found.noise_bias, found.pawula, tests, np.stack([drift.h, noise.h]) * unit, axes, run, found.replicates,
    )  # fmt: skip
    if axes is None:
        return fit
    strange = fit._known.floored(fit.noise.value)[1]
    return replace(fit, noise=replace(fit.noise, warnings=notes + remarks(fit.points, strange, fit.known)))
