"""Markov chains in continuous time that are looked at from time to time: the rates of greatest likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from sgdyn.fit.sojourns import Sojourns, interval

Floats = NDArray[np.float64]
Looks = dict[float, Floats]
"""How often state j was seen a time dt after state i (m, m), for each dt."""

FASTEST = 8.0
"""A rate times dt beyond which the chain has forgotten where it was: nothing but that it is fast can be known."""
STEP, ZERO = 1e-4, 1e-7
"""Of the size of a rate: a step of differences, and what is taken for nothing."""
UNKNOWN, VAGUE = 1e-4, 3.0
"""Transitions' worth of information below which there is none; a relative error beyond which a rate is not known (one transition has 1)."""


@dataclass(frozen=True, eq=False)
class Chain:
    """rates (m, m); lower, upper (m, m): limits; covariance (m², m²) of the rates, row by row, zero for those that are zero or without a limit.

    error (m, m): square roots of its diagonal; for a rate that is zero what costs one unit of log-likelihood (1/time spent where looks are close);
    infinite where a rate is so fast that looks say only that.
    """

    rates: Floats
    error: Floats
    lower: Floats
    upper: Floats
    covariance: Floats


def looks(stays: Sojourns, basins: int) -> Looks:
    """Pairs of successive looks, from stays."""
    found: Looks = {}
    for dt in np.unique(stays.dt):
        part = stays.during(float(dt))
        moves = part.counts(basins).astype(np.float64)
        stayed = np.rint(part.exposure(basins) / dt) - moves.sum(axis=1)
        found[float(dt)] = moves + np.diag(stayed)
    return found


def fitted(seen: Looks, confidence: float) -> Chain:
    """The generator G >= 0 off its diagonal with the greatest sum of n_ij log exp(G dt)_ij: where the logarithm of the matrix of transitions is
    a generator, that. Errors by the observed information; limits as those of a Poisson count with that error (Garwood's where looks are close).

    Source: Kalbfleisch, Lawless, J. Am. Stat. Assoc. 80, 863 (1985); Bladt, Sørensen, J. R. Stat. Soc. B 67, 395 (2005).
    """
    search = _Search.of(seen)
    k = search.rates()
    slope, information = search.shape(k)
    free = k > 0
    size = np.maximum(k, search.size)
    covariance = _inverse(information, free, size)
    error, lower, upper = (np.zeros(len(k)) for _ in range(3))
    error[free] = np.sqrt(np.diag(covariance)[free])
    known = free & (error < VAGUE * size)
    lower[known], upper[known] = interval((k[known] / error[known]) ** 2, k[known] / error[known] ** 2, confidence)
    for u in np.flatnonzero(k == 0):
        rest = information[u, u] - information[u, free] @ covariance[np.ix_(free, free)] @ information[free, u]
        error[u], upper[u] = (
            _costing(loss, -slope[u], max(float(rest), 0.0)) for loss in (1.0, -np.log1p(-confidence))
        )
    lost = free & ~known
    k[lost], error[lost], upper[lost] = search.size[lost], np.inf, np.inf
    tables = [search.matrix(part) for part in (k, error, lower, upper)]
    return Chain(tables[0], tables[1], tables[2], tables[3], search.block(covariance))


def _costing(loss: float, slope: float, curvature: float) -> float:
    """The u > 0 with slope u + curvature u²/2 = loss."""
    bottom = max(slope, 0.0) + np.sqrt(max(slope, 0.0) ** 2 + 2 * curvature * loss)
    return 2 * loss / bottom if bottom > 0 else np.inf


def _inverse(information: Floats, free: NDArray[np.bool_], size: Floats) -> Floats:
    """Of the block of free rates, zero elsewhere; where nothing is known of a combination of rates over `size` its variance is 1/UNKNOWN."""
    found = np.zeros_like(information)
    scale = size[free]
    values, vectors = np.linalg.eigh(information[np.ix_(free, free)] * np.outer(scale, scale))
    found[np.ix_(free, free)] = vectors / np.maximum(values, UNKNOWN) @ vectors.T * np.outer(scale, scale)
    return found


@dataclass(frozen=True, eq=False)
class _Search:
    """pairs: (from, to) of the rates k that are looked for, those out of states that were seen; size: transitions over time, or one over time."""

    seen: Looks
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]]
    size: Floats

    @classmethod
    def of(cls, seen: Looks) -> _Search:
        time = sum((dt * n.sum(axis=1) for dt, n in seen.items()), np.zeros(()))
        moves = sum((n for n in seen.values()), np.zeros(()))
        pairs = np.nonzero(~np.eye(len(moves), dtype=bool) & (time > 0)[:, None])
        return cls(seen, (pairs[0], pairs[1]), np.maximum(moves[pairs], 1) / time[pairs[0]])

    def matrix(self, k: Floats) -> Floats:
        m = len(next(iter(self.seen.values())))
        found = np.zeros((m, m))
        found[self.pairs] = k
        return found

    def block(self, covariance: Floats) -> Floats:
        m = len(next(iter(self.seen.values())))
        place = self.pairs[0] * m + self.pairs[1]
        found = np.zeros((m * m, m * m))
        found[np.ix_(place, place)] = covariance
        return found

    def value(self, k: Floats) -> tuple[float, Floats]:
        """Log-likelihood and its slopes."""
        G = self.matrix(k)
        G -= np.diag(G.sum(axis=1))
        total, slopes = 0.0, np.zeros_like(G)
        for dt, n in self.seen.items():
            P = np.maximum(linalg.expm(G * dt), 1e-300)
            total += float(np.sum(n[n > 0] * np.log(P[n > 0])))
            slopes += dt * linalg.expm_frechet(G.T * dt, n / P, compute_expm=False)
        return total, slopes[self.pairs] - np.diag(slopes)[self.pairs[0]]

    def rates(self) -> Floats:
        """The most likely k."""
        if not len(self.size):
            return self.size.copy()
        most = FASTEST / min(self.seen) / self.size
        weight = max(1.0, sum(float(n.sum() - np.trace(n)) for n in self.seen.values()))

        def loss(scaled: Floats) -> tuple[float, Floats]:
            value, slope = self.value(scaled * self.size)
            return -value / weight, -slope * self.size / weight

        start = np.minimum(self._start() / self.size, most)
        found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, top) for top in most], options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 2000})  # fmt: skip
        return np.asarray(np.where(found.x > ZERO, found.x, 0.0) * self.size)

    def _start(self) -> Floats:
        """Off the diagonal of the logarithm, where there is one; never quite zero."""
        dt = max(self.seen, key=lambda dt: float(self.seen[dt].sum()))
        n = self.seen[dt] + 1e-9 * np.eye(len(self.seen[dt]))
        P = n / n.sum(axis=1, keepdims=True)
        if np.linalg.eigvals(P).real.min() <= 0:
            return self.size
        return np.asarray(np.maximum(linalg.logm(P).real[self.pairs] / dt, 1e-3 * self.size))

    def shape(self, k: Floats) -> tuple[Floats, Floats]:
        """(slopes, minus second derivatives) of the log-likelihood, the latter by differences: on one side where k is zero."""
        slope = self.value(k)[1]
        second = np.zeros((len(k), len(k)))
        for u, size in enumerate(np.where(k > 0, k, self.size)):
            step = np.zeros(len(k))
            step[u] = STEP * size
            ahead = self.value(k + step)[1]
            behind = self.value(k - step)[1] if k[u] > 0 else slope
            second[u] = (behind - ahead) / (STEP * size * (2 if k[u] > 0 else 1))
        return slope, (second + second.T) / 2
