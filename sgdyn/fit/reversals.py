"""Whether a run looks the same backwards in time: circulation, entropy production, and how likely chance makes as much of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from sgdyn import checks
from sgdyn.estimate import Estimate, of_samples, rounded
from sgdyn.fit.currents import least_entropy_production
from sgdyn.fit.drifts import drifting
from sgdyn.fit.entropies import entropy_production
from sgdyn.fit.spectra import Correlations, correlations
from sgdyn.fit.stretches import Series, series
from sgdyn.fit.units import own_units
from sgdyn.nets.recording import Recording
from sgdyn.printing import Printed

Floats = NDArray[np.float64]

NULLS, RISK = 999, 0.01
"""Surrogates, and the chance to call a reversible run irreversible."""
ENOUGH, SHORT, LONG = 12, 10.0, 60
"""Stretches: at least so many, each of so many correlation times, at most so many."""


@dataclass(frozen=True, eq=False, repr=False)
class Irreversibility(Printed):
    """The arrow of time in a run of k coordinates.

    lags (m,): times. antisymmetric (m, k, k): (C - E C' E)/2 with C_ij(lag) = E[x_i(t + lag) x_j(t)], zero if the run is reversible; E = diag(signs),
    signs (k,) -1 for the coordinates that were said to be odd. area_rate (k, k): -antisymmetric/lag at the first lag; of even coordinates the
    area that (x_i, x_j) sweep per unit time, which is T Q of a linear process for small dt. size (m,): |sum|² over the sum of
    squares of the antisymmetric parts of all stretches, 1 on average if reversible; chance: that the largest is as large for stretches run
    forwards or backwards at random. entropy_production: of the fitted linear process, per unit time (None where there is none, see
    warnings); two of its errors cover the truth near zero too, where it may come out negative. least_entropy_production: a lower bound for
    whatever process this is, of whose coordinates none is odd but those that were said to be.
    """

    lags: Floats
    antisymmetric: Estimate
    area_rate: Estimate
    size: Floats
    chance: float
    entropy_production: Estimate | None
    least_entropy_production: Estimate
    series: Series
    signs: Floats
    warnings: tuple[str, ...] = ()

    @property
    def irreversible(self) -> bool:
        """True if chance alone makes as much circulation in at most one of a hundred reversible runs."""
        return self.chance <= RISK

    @cached_property
    def correlations(self) -> Correlations:
        """Autocorrelations and power spectra beside those of a reversible process: they cannot tell a direction of time."""
        return correlations(self.series, self.signs)

    def __str__(self) -> str:
        verdict = "irreversible: it circulates" if self.irreversible else "nothing speaks against reversibility"
        least = self.least_entropy_production
        lines = [
            f"{verdict} (chance {self.chance:.2g} that stretches run backwards at random circulate as much)",
            f"entropy production at least {rounded(float(least), least.error)} per unit time, whatever the process {self._even}",
        ]
        if self.entropy_production is not None:
            linear = self.entropy_production
            lines.append(f"{rounded(float(linear), linear.error)} of the fitted linear process")
        return "\n".join([*lines, *(f"note: {warning}" for warning in self.warnings)])

    @property
    def _even(self) -> str:
        if np.any(self.signs < 0):
            return f"in which backwards in time coordinates {', '.join(map(str, np.flatnonzero(self.signs < 0)))} change their signs"
        return "of coordinates that keep their signs backwards in time (velocities do not: odd=)"

    def plot(self, ax: Any = None) -> Any:
        """Circulation against lag beside what chance makes (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def irreversibility(
    recording: Recording | Any, *, dt: float | None = None, odd: Sequence[int] = (), seed: int = 0
) -> Irreversibility:
    """Whether a stationary run is reversible, by the antisymmetric part of its lagged covariance against surrogates.

    C(lag) = E[x(t + lag) x(t)'] is symmetric if, and for a Gaussian process only if, forwards and backwards are alike; of a linear process
    (C - C')/(2 lag) -> -T Q. Surrogates run each stretch of the run forwards or backwards at random, which nothing in a reversible run can
    tell: no model of it is needed. recording: of `nets.train` on a subspace (with momentum too), or an array (replica, time, k) with `dt`.
    odd: the coordinates that change their sign backwards in time, as velocities do (at the times of the positions); then it is C = E C' E
    that reversible runs obey, E = diag(1 or -1). An equilibrium oscillator circulates in (x, v) and is reversible: without odd= it is called irreversible.
    Entropy production per unit time: tr(N^-1 (T Q) S^-1 (T Q)') of the fitted process (N = T D), its bias taken off by the jackknife (with odd
    coordinates: the divergence of its transitions from those backwards, over dt); and the
    bound ln(1 + 2 E[J]²/Var J)/lag by the area J swept in one lag (planes and lag chosen on the other half of the run; with odd coordinates it
    bounds what stretches of one lag and their reverses differ by, which is more than lag times the entropy production if p(E x) is not p(x)).

    Raises ValueError for one coordinate, coordinates that are constant or combinations of others, odd= that names none of them, and as `series` does.
    A run that is not stationary circulates for that reason alone: it is noted. Sources: Zia, Schmittmann, J. Stat. Mech. P07012 (2007), of C - C';
    Onsager, Phys. Rev. 38, 2265 (1931) and Casimir, Rev. Mod. Phys. 17, 343 (1945), of E; Hasegawa, Van Vu, Phys. Rev. Lett. 123, 110602 (2019), eq. (5), of the bound.
    """
    run = series(recording, dt, momentum=True)
    signs = _signs(odd, run.dim)
    y, back = _white(run, signs)
    stretches, lags, notes = _layout(y)
    swept = np.array([_antisymmetric(y[r, a : b + 1], lags, signs) for r, a, b in stretches])
    size, chance = _surrogates(swept, np.random.default_rng(seed))
    method = f"{len(stretches)} stretches of {run.x.shape[0]} replicas x {run.x.shape[1]} times"
    antisymmetric = of_samples(back @ swept @ back.T, method)
    first = antisymmetric.samples[:, 0] if antisymmetric.samples is not None else swept[:, 0]
    production, failed = _production(recording, run, signs)
    return Irreversibility(
        run.dt * lags.astype(np.float64), antisymmetric, of_samples(-first / (lags[0] * run.dt), method), size, chance, production,
        least_entropy_production(y, stretches, swept, lags, run.dt), run, signs, (*notes, *failed, *drifting(run)),
    )  # fmt: skip


def _signs(odd: Sequence[int], k: int) -> Floats:
    """(k,): -1 for odd coordinates."""
    signs, chosen = np.ones(k), [odd] if isinstance(odd, int | np.integer) else odd
    for i in chosen:
        if checks.count("odd", i, least=0) >= k:
            raise ValueError(f"got odd={i}, expected coordinates from 0 to {k - 1}")
        signs[i] = -1.0
    return signs


def _white(run: Series, signs: Floats) -> tuple[Floats, Floats]:
    """(coordinates about their mean, of unit covariance among the even and among the odd ones; the matrix (k, k) that leads back)."""
    if run.dim < 2:
        raise ValueError(
            "got one coordinate, expected at least two: a stationary diffusion in one dimension has no circulation"
        )
    own = own_units(run)
    root = np.linalg.cholesky(np.where(np.outer(signs, signs) > 0, own.correlation, 0.0))
    y = linalg.solve_triangular(root, own.run.x.reshape(-1, run.dim).T, lower=True).T.reshape(run.x.shape)
    return y, root * own.scale[:, None]


def _layout(y: Floats) -> tuple[list[tuple[int, int, int]], NDArray[np.int64], tuple[str, ...]]:
    """(stretches, lags in recorded times, notes): stretches of some ten correlation times, lags up to two correlation times, doubling."""
    replicas, times, _ = y.shape
    correlation = _correlation_time(y)
    lasting = replicas * times / correlation
    count = int(np.clip(lasting / SHORT, ENOUGH, LONG))
    run = Series(y, 1.0)
    length = (times - 1) // max(1, -(-count // replicas))
    longest = max(1, min(int(2 * correlation), length // 4))
    lags = np.unique(2 ** np.arange(int(np.log2(longest)) + 1))
    short = f"the run lasts {lasting:.2g} correlation times, too few for stretches that do not know of each other: chances and errors are too small"
    return run.stretches(count), lags, (short,) if lasting < SHORT * ENOUGH else ()


def _correlation_time(y: Floats) -> float:
    """The lag in recorded times at which the slowest combination of coordinates keeps 1/e of itself, within a factor of two; at least 1."""
    lag = 1
    while lag < y.shape[1] // 4:
        C = np.tensordot(y[:, lag:], y[:, :-lag], axes=((0, 1), (0, 1))) / (y.shape[0] * (y.shape[1] - lag))
        if np.linalg.eigvalsh(C + C.T)[-1] < 2 * np.exp(-1):
            return float(lag)
        lag *= 2
    return float(lag)


def _antisymmetric(y: Floats, lags: NDArray[np.int64], signs: Floats) -> Floats:
    """(C - E C' E)/2 of one stretch (time, k) at the lags, (m, k, k)."""
    C = np.array([y[lag:].T @ y[:-lag] / (len(y) - lag) for lag in lags])
    return np.asarray(0.5 * (C - np.outer(signs, signs) * np.swapaxes(C, 1, 2)))


def _surrogates(swept: Floats, random: np.random.Generator) -> tuple[Floats, float]:
    """(size at each lag (m,), chance of the largest) of stretches (stretch, m, k, k), each of which may be run backwards."""
    signs = np.vstack([np.ones(len(swept)), random.choice([-1.0, 1.0], size=(NULLS, len(swept)))])
    unit = np.sum(swept**2, axis=(0, 2, 3))
    sizes = np.stack(
        [np.sum((signs @ swept[:, i].reshape(len(swept), -1)) ** 2, axis=1) for i in range(swept.shape[1])], axis=1
    )
    sizes = sizes / np.where(unit > 0, unit, 1.0)
    largest = sizes.max(axis=1)
    return sizes[0], float((1 + np.sum(largest[1:] >= largest[0] * (1 - 1e-12))) / (1 + NULLS))


def _production(recording: Any, run: Series, signs: Floats) -> tuple[Estimate | None, tuple[str, ...]]:
    """The entropy production of the fitted linear process, or why there is none."""
    if isinstance(recording, Recording) and recording.settings.momentum:
        return None, ("no linear process is fitted: with momentum these coordinates alone are not Markov",)
    try:
        return entropy_production(run, signs), ()
    except ValueError as error:
        return None, (f"no linear process is fitted: {error}",)
