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
LATE = 700.0
"""Nobody stays that many mean times."""


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
        return self._kept(self.basin == basin)

    def during(self, dt: float) -> Sojourns:
        """Those that were looked at every dt."""
        return self._kept(self.dt == dt)

    def _kept(self, kept: NDArray[np.bool_]) -> Sojourns:
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


def interval(counts: Floats | NDArray[np.int64], exposure: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Exact limits of Poisson rates (Garwood 1936); where nothing was seen, zero and the one-sided upper limit -log(1 - confidence)/exposure."""
    risk = (1 - confidence) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        lower = np.where(counts > 0, stats.chi2.ppf(risk, 2 * counts) / (2 * exposure), 0.0)
        seen = stats.chi2.ppf(1 - risk, 2 * counts + 2) / (2 * exposure)
        upper = np.where(counts > 0, seen, -np.log1p(-confidence) / exposure)
    return lower, upper


def waiting_shape(stays: Sojourns) -> Estimate:
    """The exponent c of Weibull's law P(longer than t) = exp(-(t/s)^c) at looks t = dt, 2 dt, ... after the first: 1 if there is no memory.

    A Markov chain that is looked at every dt stays a number of looks that has no memory either, however large dt is (Nakagawa and Osaki's
    discrete law with c = 1). Maximum likelihood, the unfinished stays included, error by the observed information; NaN for fewer than 8
    finished ones, or all alike. Source: Nakagawa, Osaki, IEEE Trans. Reliab. R-24, 300 (1975).
    """
    ended = stays.next != NOWHERE
    count = int(ended.sum())
    method = f"Weibull's law, {count} waiting times and {len(ended) - count} unfinished ones"
    unknown = Estimate(np.nan, np.nan, method)
    if count < FEW or len(np.unique(np.rint(stays.length[ended] / stays.dt[ended]))) < 2:
        return unknown
    law = Waiting.of(stays)
    found = optimize.minimize(law.loss, np.array([0.0, 1.0]), jac=True, hess=law.curvature, method="trust-exact", options={"gtol": 1e-8})  # fmt: skip
    information = law.curvature(found.x) * law.weight
    if not FLATTEST < found.x[1] < STEEPEST or np.linalg.eigvalsh(information)[0] <= 0:
        return unknown
    return Estimate(float(found.x[1]), float(np.sqrt(np.linalg.inv(information)[1, 1])), method)


@dataclass(frozen=True, eq=False)
class Waiting:
    """Stays that ended between the times start and end (n,), or later than start where end is infinite, in units of their mean; number of each (n,)."""

    start: Floats
    end: Floats
    number: Floats

    @classmethod
    def of(cls, stays: Sojourns) -> Waiting:
        ended = stays.next != NOWHERE
        both = np.stack([np.where(ended, stays.length - stays.dt, stays.length), np.where(ended, stays.length, np.inf)])
        pairs, number = np.unique(both, axis=1, return_counts=True)
        mean = stays.length.sum() / ended.sum()
        start, end = np.where(pairs < 1e-9 * mean, 0.0, pairs) / mean
        return cls(start, end, number.astype(np.float64))

    @property
    def weight(self) -> float:
        return float(self.number.sum())

    def loss(self, law: Floats) -> tuple[float, Floats]:
        """Minus the mean log-likelihood of the law (log rate, exponent), and its slopes."""
        (H0, g0, _), (H1, g1, _) = self._hazards(law)
        gap = H1 - H0
        value = np.log(-np.expm1(-np.where(gap > 0, gap, np.inf))) - H0
        slope = (g1 - g0) / np.expm1(gap) - g0
        return -float(self.number @ value) / self.weight, -(slope @ self.number) / self.weight

    def curvature(self, law: Floats) -> Floats:
        """Second derivatives of the loss."""
        (H0, g0, h0), (H1, g1, h1) = self._hazards(law)
        gap, g = H1 - H0, g1 - g0
        bend = g[:, None] * g[None, :]
        second = (h1 - h0) / np.expm1(gap) - bend / (np.expm1(gap) * -np.expm1(-gap)) - h0
        return np.asarray(-(second @ self.number) / self.weight)

    def _hazards(self, law: Floats) -> list[tuple[Floats, Floats, Floats]]:
        """(H, slopes (2, n), second derivatives (2, 2, n)) of H = exp(law_0) t^law_1 at both times; 0 at t = 0, and at t = inf the H is large and flat."""
        found = []
        for t in (self.start, self.end):
            inside = (t > 0) & np.isfinite(t)
            log = np.log(t, where=inside, out=np.zeros_like(t))
            H = np.where(inside, np.exp(np.minimum(law[0] + law[1] * log, 300.0)), np.where(t > 0, LATE, 0.0))
            powers = np.stack([np.ones_like(log), log]) * inside
            found.append((H, H * powers, H * powers[:, None] * powers[None, :]))
        return found
