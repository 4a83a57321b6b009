"""Whether a run is stationary: the balance of what gradients take in and noise gives back, direction by direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sgdyn.estimate import Estimate
from sgdyn.fit.drifts import trends
from sgdyn.fit.stretches import Series, jackknife, series
from sgdyn.nets.recording import Recording
from sgdyn.printing import Printed

Floats = NDArray[np.float64]

CERTAIN = 3.0
"""Standard deviations, all directions and tests together, beyond which a run is not stationary."""
MANY = 8
"""Replicas from which each is its own witness."""
ENOUGH = 20
"""Relaxation times, of all replicas together, that a run must last in each direction: a random walk seems to last so many once in a hundred times."""
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False, repr=False)
class Balance(Printed):
    """temperature (k,) = E[(x_i - mean) g_i], what equipartition would make equal in all directions; injected (k,) = (lr/2) E[g_i²].

    excess (k,) = temperature - injected: 0 in each direction of a stationary run. sigmas: how certainly the run is not stationary, by the
    largest excess and by drifts of mean and variance along it, all together. relaxations (k,): how many relaxation times one replica lasts,
    E[(x_i - mean) g_i]/Var(x_i) times its length; infinite where nothing moves. warnings: directions that are too slow for the run.
    """

    temperature: Estimate
    injected: Estimate
    excess: Estimate
    sigmas: float
    relaxations: Floats
    warnings: tuple[str, ...] = ()

    @property
    def stationary(self) -> bool:
        """True if nothing speaks against it and the run is long enough to tell."""
        return self.sigmas < CERTAIN and not self.warnings

    def __str__(self) -> str:
        verdict = "consistent with a stationary run" if self.sigmas < CERTAIN else "not a stationary run"
        if self.warnings and self.sigmas < CERTAIN:
            verdict = "too short to tell whether it is stationary"
        said = f"{verdict}: E[x g] and (lr/2) E[g²], and beginning and end, differ by {self.sigmas:.1f} standard deviations in {len(self.relaxations)} directions"
        return "\n".join([said, *(f"note: {warning}" for warning in self.warnings)])

    def plot(self, ax: Any = None) -> Any:
        """Temperature and injected noise of each direction (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def balance(recording: Recording) -> Balance:
    """The fluctuation-dissipation relation of SGD without momentum, E[(x_i - mean) g_i] = (lr/2) E[g_i²], exact for every loss and noise at stationarity.

    From E|w'|² = E|w|² with w' = w - lr g, in each direction i of the recording; g is the gradient of the batch, weight decay included.
    What a replica takes in beyond what it gives back is what |x|² falls by, so that replicas are the units of its error from 8 on; with
    fewer it is that of 2 Var(x²) for the two ends of a replica. Mean and variance must not drift either (`sgdyn.fit.drifts`), which is all that
    shows an approach in few replicas.
    Raises TypeError for what is no `Recording`, ValueError for one with momentum or without a subspace. Source: Yaida, arXiv:1810.00004, eq. (FDR1).
    """
    if not isinstance(recording, Recording):
        raise TypeError(f"got a {type(recording).__name__}, expected the Recording of nets.train(..., record=subspace)")
    run = series(recording)
    if recording.gradients.shape != recording.x.shape:
        raise ValueError("got a recording without gradients, expected one with; type nets.train(..., record=subspace)")
    lr, x, g = recording.settings.dt, recording.x, recording.gradients
    parts = _units(run, x - x.mean(axis=(0, 1)), g)
    sums = np.array([_sums(y, h) for y, h in parts])
    method = f"{x.shape[0]} replicas x {x.shape[1]} times, jackknife over {len(sums)} {'replicas' if len(x) >= MANY else 'stretches'}"
    temperature, injected, excess = jackknife(sums, lambda m: _balanced(m, lr), method)
    if len(x) < MANY:
        excess = Estimate(excess.value, _of_ends(run, x, g, lr), f"{method}; two ends of each replica")
    excess = Estimate(excess.value, np.hypot(excess.error, _rounding(x, g)), excess.method)
    lasting = _relaxations(run, x, temperature)
    chances = [len(excess.value) * _chance(excess, len(x), len(sums)).min(), trends(x).min() * 2 * len(excess.value)]
    return Balance(temperature, injected, excess, _sigmas(2 * min(chances)), lasting, _notes(lasting, len(x)))


def _units(run: Series, x: Floats, g: Floats) -> list[tuple[Floats, Floats]]:
    """Coordinates and gradients of each replica, or of stretches where replicas are few."""
    if len(x) >= MANY:
        return list(zip(x, g, strict=True))
    return [(x[r, a:b], g[r, a:b]) for r, a, b in run.stretches()]


def _sums(x: Floats, g: Floats) -> list[Floats]:
    return [np.full(x.shape[1], float(len(x))), x.sum(0), g.sum(0), (x * g).sum(0), (g * g).sum(0)]


def _balanced(m: Floats, lr: float) -> tuple[Floats, Floats, Floats]:
    taken, given = m[3] / m[0] - m[1] * m[2] / m[0] ** 2, lr / 2 * m[4] / m[0]
    return taken, given, taken - given


def _of_ends(run: Series, x: Floats, g: Floats, lr: float) -> Floats:
    """(k,): the error of the excess, which is -d|x|²/(2 lr) over the run, from two ends that are independent, and what recorded times add that are no successive steps."""
    x = x - x.mean(axis=(0, 1))
    square = x**2
    each = (x * g - lr / 2 * g**2)[:, :-1] + np.diff(square, axis=1) / (2 * run.dt)
    means = np.array([each[r, a:b].mean(axis=0) for r, a, b in run.stretches()])
    ends = np.sqrt(2 * square.var(axis=(0, 1)) / len(x)) / (2 * run.dt * each.shape[1])
    return np.asarray(np.hypot(ends, means.std(axis=0, ddof=1) / np.sqrt(len(means))))


def _rounding(x: Floats, g: Floats) -> float:
    return float(ROUNDING * np.sqrt(np.mean(x**2, axis=(0, 1)).max() * np.mean(g**2, axis=(0, 1)).max()))


def _chance(excess: Estimate, replicas: int, units: int) -> Floats:
    """(k,): by Student's t over replicas; of few, with the tails of a difference of squares of two ends of each. 1 where nothing moves."""
    pull = np.abs(excess.value) / np.where(excess.error > 0, excess.error, np.inf)
    return np.asarray(2 * stats.t.sf(pull, replicas - 1 if replicas >= MANY else min(units - 1, replicas + 4)))


def _sigmas(chance: float) -> float:
    """As the deviation of a normal variable."""
    return float(stats.norm.isf(min(1.0, chance) / 2)) if chance > 0 else float("inf")


def _relaxations(run: Series, x: Floats, temperature: Estimate) -> Floats:
    variance = x.var(axis=(0, 1))
    rate = np.maximum(temperature.value, 0.0) / np.where(variance > 0, variance, 1.0)
    return np.where(np.ptp(x, axis=(0, 1)) > 0, rate * run.dt * (x.shape[1] - 1), np.inf)


def _notes(lasting: Floats, replicas: int) -> tuple[str, ...]:
    slow = np.flatnonzero(lasting * replicas < ENOUGH)
    if not len(slow):
        return ()
    worst = int(np.argmin(lasting))
    return (
        f"the run lasts {replicas * lasting[worst]:.2g} relaxation times of direction {worst}{f' (and {len(slow) - 1} more are slow)' * (len(slow) > 1)}, "
        f"all replicas together, expected at least {ENOUGH}: a random walk looks like that",
    )
