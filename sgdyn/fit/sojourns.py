"""How long replicas stayed in each basin and where they went next; rates of a Markov chain from it, with exact intervals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from sgdyn.estimate import Estimate
from sgdyn.fit.basins import NOWHERE, Places

Floats = NDArray[np.float64]

FEW = 8
"""Of fewer waiting times no distribution is fitted."""
FLATTEST, STEEPEST = 0.02, 50.0


@dataclass(frozen=True, eq=False)
class Sojourns:
    """Stays (n,) of all replicas: the basin, where it ended (-1: with the recording), how long it was, and the time between two looks."""

    basin: Places
    next: Places
    length: Floats
    dt: Floats

    def counts(self, basins: int) -> NDArray[np.int64]:
        """Transitions from row to column."""
        found = np.zeros((basins, basins), dtype=np.int64)
        ended = self.next != NOWHERE
        np.add.at(found, (self.basin[ended], self.next[ended]), 1)
        return found

    def exposure(self, basins: int) -> Floats:
        """The time spent in each basin by all replicas together."""
        return np.asarray(np.bincount(self.basin, weights=self.length, minlength=basins), dtype=np.float64)

    def of(self, basin: int) -> Sojourns:
        """Those in one basin."""
        kept = self.basin == basin
        return Sojourns(self.basin[kept], self.next[kept], self.length[kept], self.dt[kept])


def joined(parts: Iterable[Sojourns]) -> Sojourns:
    """The stays of several recordings."""
    several = list(parts)
    return Sojourns(*(np.concatenate([getattr(part, name) for part in several]) for name in ("basin", "next", "length", "dt")))  # fmt: skip


def sojourns(states: Places, dt: float) -> Sojourns:
    """Stays of states at times dt apart (replica, time); those before the first basin are left out. The last look adds no time."""
    starts = np.ones(states.shape, dtype=bool)
    starts[:, 1:] = states[:, 1:] != states[:, :-1]
    replica, time = np.nonzero(starts)
    again = replica[1:] == replica[:-1]
    ends = np.append(np.where(again, time[1:], states.shape[1] - 1), states.shape[1] - 1)
    following = np.append(np.where(again, states[replica[1:], time[1:]], NOWHERE), NOWHERE)
    basin = states[replica, time]
    kept = (basin != NOWHERE) & (ends > time)
    length = (ends - time)[kept] * dt
    return Sojourns(basin[kept], following[kept], length, np.full(len(length), dt))


def interval(counts: NDArray[np.int64], exposure: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Exact limits of Poisson rates (Garwood 1936); where nothing was seen, zero and the one-sided upper limit -log(1 - confidence)/exposure."""
    risk = (1 - confidence) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        lower = np.where(counts > 0, stats.chi2.ppf(risk, 2 * counts) / (2 * exposure), 0.0)
        seen = stats.chi2.ppf(1 - risk, 2 * counts + 2) / (2 * exposure)
        upper = np.where(counts > 0, seen, -np.log1p(-confidence) / exposure)
    return lower, upper


def waiting_shape(stays: Sojourns) -> Estimate:
    """The exponent c of Weibull's law P(longer than t) = exp(-(t/s)^c) for waiting times, the unfinished ones included: 1 if there is no memory.

    Maximum likelihood, error by the observed information; NaN for fewer than 8 finished ones. An end is known to lie between two looks and
    taken to lie in the middle. Source: Kalbfleisch, Prentice, The Statistical Analysis of Failure Time Data (2002), 3.4.
    """
    ended = stays.next != NOWHERE
    count = int(ended.sum())
    method = f"Weibull's law, {count} waiting times and {len(ended) - count} unfinished ones"
    if count < FEW:
        return Estimate(np.nan, np.nan, method)
    times = np.where(ended, stays.length - stays.dt / 2, stays.length)
    logs = np.log(times / times.max())
    if np.ptp(logs[ended]) == 0:
        return Estimate(np.nan, np.nan, method)

    def moments(c: float) -> tuple[float, float]:
        weights = np.exp(c * logs)
        mean = float(np.average(logs, weights=weights))
        return mean, float(np.average((logs - mean) ** 2, weights=weights))

    def slope(c: float) -> float:
        return 1 / c - moments(c)[0] + float(logs[ended].mean())

    if slope(FLATTEST) * slope(STEEPEST) > 0:
        return Estimate(np.nan, np.nan, method)
    shape = float(optimize.brentq(slope, FLATTEST, STEEPEST))
    return Estimate(shape, float(1 / np.sqrt(count * (1 / shape**2 + moments(shape)[1]))), method)
