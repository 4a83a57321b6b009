"""Which coordinates of a run come back, and which wander off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.fit.stretches import series
from sgdyn.nets.recording import Recording
from sgdyn.printing import Printed

Floats = NDArray[np.float64]

NULLS, RISK = 999, 0.01
"""Random walks for the null, and the chance to call one confined."""
TAIL = 50
"""The largest of them, whose excesses, as those of a logarithm of likelihood, continue the null by an exponential."""
BLOCKS, WAVES = 128, 24
"""The run is averaged over so many blocks (or up to twice as many), and seen through so many cosines."""
RATES = np.geomspace(1, 64, 13)
"""Relaxation rates that are tried, in half waves over the run."""
NOISES = np.append(np.geomspace(12, 64, 6), 1e6)
"""Cosines from which on noise that does not add up may hide a random walk."""
CHUNK = 2_000_000


@dataclass(frozen=True, eq=False, repr=False)
class Confinement(Printed):
    """statistic (k,): logarithm of the likelihood of a coordinate that comes back over that of a random walk; chance (k,) that a walk has as much.

    confined (k,): chance below 0.01 for all k together (Holm). relaxations (k,): how many relaxation times of the coordinate one replica lasts.
    """

    statistic: Floats
    chance: Floats
    confined: NDArray[np.bool_]
    relaxations: Floats
    warnings: tuple[str, ...] = ()

    def plot(self, ax: Any = None) -> Any:
        """The statistic of each coordinate, the confined ones filled (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def confinement(recording: Recording | Any, *, dt: float | None = None, seed: int = 0) -> Confinement:
    """Tests of each coordinate against the random walk, by how power falls with frequency over the slowest 24 half waves in the run.

    Of a walk the cosine j of the run has variance ~ 1/j², of one with noise that does not add up 1/j² + 1/m², of a coordinate that comes back
    1/(j² + c²), lasting pi c relaxation times. What a walk does within a block of the run (momentum, batches that go through the data in turn,
    noise of the measurement) is not seen there. The null is 999 walks whose steps are the run's own with random signs, so that noise may change
    along the run, between replicas, and have heavy tails. A run of a few relaxation times cannot tell: it is not called confined. Free and
    confined motion in one coordinate, as in axes that are turned, is free. A coordinate that is constant is not tested: a warning.
    Source: Müller, Watson, Econometrica 76, 979 (2008); signs: Cavaliere, Taylor, Econometric Theory 24, 43 (2008); the tail of the
    null: Knijnenburg et al., Bioinformatics 25, i161 (2009).
    """
    run = series(recording, dt)
    steps = np.diff(_blocks(run.x), axis=1)
    sines = _sines(steps.shape[1])
    found, rate = _likelihood_ratio(np.moveaxis(steps, 2, 0) @ sines)
    null = _null(steps, sines, np.random.default_rng(seed))
    chance = np.array([_chance(value, part) for value, part in zip(found, null, strict=True)])
    constant = np.flatnonzero(np.ptp(run.x, axis=1).max(axis=0) == 0)
    chance[constant] = 1.0
    notes = tuple(f"coordinate {i} is constant: neither free nor confined" for i in constant)
    return Confinement(found, chance, _holm(chance), _relaxations(run.x, rate), notes)


def _blocks(x: Floats) -> Floats:
    """Means over equal blocks of times: (replica, block, k)."""
    replicas, times, k = x.shape
    length = max(1, times // BLOCKS)
    return np.asarray(x[:, times % length :].reshape(replicas, -1, length, k).mean(axis=2))


def _sines(steps: int) -> Floats:
    """(steps, j): of the steps of a path, which make of its cosines numbers that are independent and alike for a random walk."""
    j = np.arange(1, min(WAVES, (steps + 1) // 3) + 1)
    return np.asarray(np.sin(np.pi * np.arange(1, steps + 1)[:, None] * j / (steps + 1)))


def _likelihood_ratio(b: Floats) -> tuple[Floats, Floats]:
    """Over b (..., replica, j), each replica with a scale of its own: (logarithm of the ratio, c); c is infinite where even the last cosine is flat."""
    j = np.arange(1, b.shape[-1] + 1)
    back = _likelihoods(b, 1 + (RATES[:, None] / j) ** 2)
    free = _likelihoods(b, 1 / (1 + (j / NOISES[:, None]) ** 2))
    rate = RATES[np.argmax(back, axis=-1)]
    return back.max(axis=-1) - free.max(axis=-1), np.where(rate < j[-1], rate, np.inf)


def _likelihoods(b: Floats, precision: Floats) -> Floats:
    """(..., m): logarithms of the likelihoods of m precisions (m, j), over that of a random walk; replicas that do not move say nothing."""
    square = b**2
    total = square.sum(axis=-1, keepdims=True)
    moves = total > 0
    ratio = square @ precision.T / np.where(moves, total, 1.0)
    logs = 0.5 * np.log(precision).sum(axis=1) - 0.5 * b.shape[-1] * np.log(np.where(moves, ratio, 1.0))
    return np.asarray(np.where(moves, logs, 0.0).sum(axis=-2))


def _null(steps: Floats, sines: Floats, random: np.random.Generator) -> Floats:
    """(k, NULLS): the statistic of the run's own steps with random signs."""
    replicas, times, k = steps.shape
    found, size = [], max(1, CHUNK // (replicas * times))
    for first in range(0, NULLS, size):
        signs = 2.0 * random.integers(0, 2, (min(size, NULLS - first), replicas, times)) - 1
        found.append([_likelihood_ratio((signs * steps[:, :, i]) @ sines)[0] for i in range(k)])
    return np.concatenate(found, axis=1)


def _chance(found: float, null: Floats) -> float:
    """The share of the null that reaches what was found, beyond the largest by the tail."""
    slack = 1e-9 * max(1.0, abs(found))
    share = float((1 + np.sum(null >= found - slack)) / (1 + len(null)))
    top = np.sort(null)[-TAIL:]
    excess = float(np.mean(top - top[0]))
    if found <= top[-1] + slack or excess <= slack:
        return share
    return min(share, float(TAIL / (1 + len(null)) * np.exp(-(found - top[0]) / excess)))


def _relaxations(x: Floats, rate: Floats) -> Floats:
    """By the regression of the increments on the past, each about its mean in the replica, and no more than slow motion allows: (k,)."""
    past, step = x[:, :-1], np.diff(x, axis=1)
    past = past - past.mean(axis=1, keepdims=True)
    weight = np.sum(past**2, axis=(0, 1))
    slope = np.sum(past * step, axis=(0, 1)) / np.where(weight > 0, weight, 1.0)
    return np.asarray(np.minimum(np.maximum(-slope, 0.0) * step.shape[1], np.pi * rate))


def _holm(chance: Floats) -> NDArray[np.bool_]:
    """Holm's step-down: the chance that any random walk is called confined is at most `RISK`."""
    order = np.argsort(chance)
    passed = np.cumprod(chance[order] <= RISK / (len(chance) - np.arange(len(chance)))).astype(bool)
    confined = np.zeros(len(chance), dtype=bool)
    confined[order] = passed
    return confined
