"""Which coordinates of a run come back, and which wander off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.fit.stretches import Series, series
from sgdyn.nets.recording import Recording
from sgdyn.printing import Printed

Floats = NDArray[np.float64]

NULLS, TIMES, RISK = 999, 200, 0.01
"""Random walks for the null, at most so many times each (the distribution has its limit by then), and the chance to call one confined."""


@dataclass(frozen=True, eq=False, repr=False)
class Confinement(Printed):
    """statistic (k,): Dickey and Fuller's t, very negative where a coordinate comes back; chance (k,) that a free random walk is as negative.

    confined (k,): chance below 0.01 for all k together (Holm). relaxations (k,): how many relaxation times of the coordinate one replica lasts.
    """

    statistic: Floats
    chance: Floats
    confined: NDArray[np.bool_]
    relaxations: Floats

    def plot(self, ax: Any = None) -> Any:
        """The statistic of each coordinate, the confined ones filled (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def confinement(recording: Recording | Any, *, dt: float | None = None, seed: int = 0) -> Confinement:
    """Tests of each coordinate against the random walk: x(t + dt) - x(t) = -a (x(t) - center of the replica) + noise, a = 0?

    A run that is short of a relaxation time cannot tell: it is not called confined. The null is 999 random walks of the same number of replicas.
    Source: Dickey, Fuller, JASA 74, 427 (1979), pooled over replicas (Levin, Lin, Chu, J. Econometrics 108, 1 (2002)).
    """
    run = series(recording, dt)
    slope, t = _dickey_fuller(run.x)
    null = _null(run, np.random.default_rng(seed))
    chance = (1 + np.sum(null[None, :] <= t[:, None], axis=1)) / (1 + len(null))
    return Confinement(t, chance, _holm(chance), np.maximum(-slope, 0.0) * (run.x.shape[1] - 1))


def _dickey_fuller(x: Floats) -> tuple[Floats, Floats]:
    """(slope, t) of the increments on the past, each about its mean in the replica: x (replica, time, k)."""
    past, step = x[:, :-1], np.diff(x, axis=1)
    past, step = past - past.mean(axis=1, keepdims=True), step - step.mean(axis=1, keepdims=True)
    weight = np.sum(past**2, axis=(0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.sum(past * step, axis=(0, 1)) / weight
        left = np.sum((step - slope * past) ** 2, axis=(0, 1)) / (step.shape[0] * (step.shape[1] - 1) - 1)
        t = slope / np.sqrt(left / weight)
    return np.nan_to_num(slope), np.nan_to_num(t)


def _null(run: Series, random: np.random.Generator) -> Floats:
    replicas, times, _ = run.x.shape
    walks = (
        np.cumsum(random.standard_normal((replicas, min(times, TIMES), count)), axis=1)
        for count in [37] * (NULLS // 37)
    )
    return np.concatenate([_dickey_fuller(walk)[1] for walk in walks])


def _holm(chance: Floats) -> NDArray[np.bool_]:
    """Holm's step-down: the chance that any random walk is called confined is at most `RISK`, or the least that so many nulls can show."""
    order = np.argsort(chance)
    limits = np.maximum(RISK / (len(chance) - np.arange(len(chance))), 1.5 / (1 + NULLS))
    passed = np.cumprod(chance[order] <= limits).astype(bool)
    confined = np.zeros(len(chance), dtype=bool)
    confined[order] = passed
    return confined
