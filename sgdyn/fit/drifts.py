"""Whether the mean or the variance of a run drifts along it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sgdyn.fit.stretches import Series

Floats = NDArray[np.float64]

RISK = 0.0027
"""The chance of three standard deviations, all coordinates together."""
TRENDS, DEGREES = 4, 60
"""Cosines whose mean over replicas is a trend, and degrees of freedom of the noise they are held against: faster cosines, where replicas are few."""
WAVES = np.append(np.geomspace(0.5, 64, 15), 1e6)
"""Relaxation rates that are tried, in half waves over the run."""
DOUBT = 1.0
"""Of a logarithm of likelihood, by which slow relaxation is preferred: it would look like a trend."""


def drifting(run: Series) -> tuple[str, ...]:
    """A note if the mean or the variance of a coordinate drifts along the run (see `trends`)."""
    chance = trends(run.x)
    if chance.min() * chance.size >= RISK:
        return ()
    moment, coordinate = np.unravel_index(np.argmin(chance), chance.shape)
    name = ("mean", "variance")[int(moment)]
    return (
        f"it is not stationary: the {name} of coordinate {int(coordinate)} drifts along the run, which makes circulation too; "
        "drop the approach to stationarity",
    )


def trends(x: Floats) -> Floats:
    """(2, k): chances that a stationary run drifts as much in its mean and in its variance; x (replica, time, k), 1 where it is constant.

    Cosines over the run of x and of (x - mean)², a_j = sqrt(2/T) sum cos(pi j (t + 1/2)/T) y(t), are independent of each other if stationary,
    of variance 1/(1 + (j/c)²) for a relaxation time of T/(pi c). The mean square over replicas of the first four is compared with the
    spread between replicas, and of faster cosines where these are few, by Fisher's F. An approach that is short beside the run shows in its
    first rows: their mean, and how far out they lie, are compared with the second half of the run. Source: Müller, Watson, Econometrica 76, 979 (2008), of cosines.
    """
    x = x - x.mean(axis=(0, 1))
    square = x**2
    a = _cosines(np.stack([x, square - square.mean(axis=(0, 1))]))
    known = np.minimum(TRENDS, a.shape[2])
    mean = a.mean(axis=1)
    mean[:, known:] = 0
    degrees = np.where(np.arange(a.shape[2]) < known, len(x) - 1.0, float(len(x)))
    power = np.sum((a - mean[:, None]) ** 2, axis=1) * (degrees > 0)[:, None]
    waves, shape = _relaxation(power, degrees)
    noise = np.sum(power / shape, axis=1) / degrees.sum()
    found = np.sum(mean**2 / shape, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = len(x) * found / known / noise
    chance = np.where(noise > 0, stats.f.sf(ratio, known, degrees.sum()), 1.0)
    begun = _begun(x, np.clip(len(x) * np.pi * waves / 2, 1.0, x[:, :, 0].size / 2))
    return np.asarray(np.minimum(1.0, 2 * np.minimum(chance, begun)))


def _cosines(y: Floats) -> Floats:
    """a_j of y (moment, replica, time, k), as many as give `DEGREES` of freedom: (moment, replica, j, k)."""
    replicas, times = y.shape[1:3]
    few = max(0, -(-(DEGREES - TRENDS * (replicas - 1)) // replicas))
    j = np.arange(1, min(TRENDS + few, times // 2) + 1)[:, None]
    return np.asarray(np.sqrt(2 / times) * np.cos(np.pi * j * (np.arange(times) + 0.5) / times) @ y)


def _relaxation(power: Floats, degrees: Floats) -> tuple[Floats, Floats]:
    """(c (moment, k), 1/(1 + (j/c)²) (moment, j, k)): the slowest relaxation that is as likely as the likeliest, within `DOUBT`."""
    j = np.arange(1, len(degrees) + 1)
    shapes = 1 / (1 + (j / WAVES[:, None]) ** 2)
    with np.errstate(divide="ignore"):
        spread = degrees.sum() * np.log(np.einsum("mjk,cj->cmk", power, 1 / shapes))
    likelihood = -0.5 * ((np.log(shapes) @ degrees)[:, None, None] + spread)
    best = np.argmax(likelihood >= likelihood.max(axis=0) - DOUBT, axis=0)
    return WAVES[best], np.swapaxes(shapes[best], 1, 2)


def _begun(x: Floats, independent: Floats) -> Floats:
    """(2, k): chances that the mean of the first rows, and their spread, differ as much from those of the second half, which holds so many independent points (2, k).

    Spread by the ranks of the distances from the median, whose variance is 1/12 whatever the tails.
    """
    late, first = x[:, x.shape[1] // 2 :], x[:, 0]
    away = np.abs(first.mean(axis=0) - late.mean(axis=(0, 1)))
    spread, others = late.std(axis=(0, 1)), max(1, len(x) - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        far = np.where(away > 0, away / spread / np.sqrt(1 / len(x) + 1 / independent[0]), 0.0)
    middle = np.abs(_ranks(first, late) - np.where(spread > 0, 0.5, 0.0))
    extreme = stats.norm.sf(np.sqrt(12) * middle / np.sqrt(1 / others + 1 / independent[1]))
    return np.stack([2 * stats.t.sf(far, independent[0]), 2 * extreme])


def _ranks(first: Floats, late: Floats) -> Floats:
    """(k,): the share of the late points that lie nearer to their median than the first ones (replica, k) to theirs, on average."""
    sizes = np.sort(np.abs(late - np.median(late, axis=(0, 1))).reshape(-1, late.shape[2]), axis=0)
    distances = np.abs(first - np.median(first, axis=0)) * np.sqrt(len(first) / max(1, len(first) - 1))
    shares = [np.searchsorted(row, own).mean() / len(row) for row, own in zip(sizes.T, distances.T, strict=True)]
    return np.array(shares)
