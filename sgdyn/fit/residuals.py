"""Whether what a linear process leaves unexplained is white and Gaussian, and whether a run is in balance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate
from sgdyn.fit import variance_ratios
from sgdyn.fit.autoregression import residuals
from sgdyn.fit.findings import CERTAIN, Finding
from sgdyn.fit.stationarity import balance
from sgdyn.fit.stretches import Series, jackknife
from sgdyn.nets.recording import Recording

Floats = NDArray[np.float64]

CUTS = (6.0, 8.0, 12.0, 24.0, 48.0)
"""Residuals beyond so many robust standard deviations are cut back to them: of normal ones none in 10^8 is."""
KURTOSIS = 1.0
NORMAL_QUARTILE = 0.6744897501960817


def findings(run: Series, epoch: float | None = None) -> tuple[Finding, ...]:
    """Of the residuals of a fitted linear process: their own past, what they add up to, and their fourth moment.

    epoch: recorded times in an epoch of batches, if that is known.
    """
    parts = residuals(run)
    scale = _robust_scale(np.concatenate(parts))
    parts = [e / scale for e in parts]
    tame = [np.clip(e, -CUTS[0], CUTS[0]) for e in parts]
    return (
        Finding("Markov", _largest(_correlation(parts)), 0.1, "residuals know their own past: coordinates are missing, or the drift is no linear one"),
        variance_ratios.white(_by_replica(tame, len(run.x)), epoch),
        _gaussian(parts),
    )  # fmt: skip


def _by_replica(parts: list[Floats], replicas: int) -> Floats:
    """(replica, time, k), about their mean."""
    whole = np.concatenate(parts)
    whole = whole - whole.mean(axis=0)
    return np.asarray(whole.reshape(replicas, -1, whole.shape[1]))


def _largest(parts: Estimate) -> Estimate:
    """The component that is for certain farthest from 0, with an error that grows with the number of those it was chosen from."""
    value, error = np.atleast_1d(parts.value), np.atleast_1d(parts.error) * _choice(np.size(parts.value))
    i = int(np.argmax(np.abs(value) - CERTAIN * error))
    return Estimate(float(value[i]), float(error[i]), parts.method)


def _choice(count: int) -> float:
    """How much an error grows if the worst of `count` is taken."""
    return float(max(1.0, np.sqrt(np.log(count))))


def _correlation(parts: list[Floats]) -> Estimate:
    """Of residuals with those of the recorded time before (k,)."""
    ones = [np.ones(e.shape[1]) for e in parts]
    sums = [[one * len(e), (e**2).sum(0), one * (len(e) - 1), (e[1:] * e[:-1]).sum(0)] for one, e in zip(ones, parts, strict=True)]  # fmt: skip
    method = f"jackknife over {len(parts)} stretches"
    (found,) = jackknife(np.array(sums), lambda m: (m[3] / m[2] / (m[1] / m[0]),), method)
    return found


def _gaussian(parts: list[Floats]) -> Finding:
    """Excess kurtosis of residuals in units of `_robust_scale`: as it is, or, where that proves more, of residuals whose largest are cut back.

    Where a fourth moment does not exist, its estimate has an error as large as itself and proves nothing. That of residuals cut back
    at c standard deviations has one that can be trusted, and is smaller: beyond the limit it shows that the whole is beyond.
    """
    meaning = "excess kurtosis of residuals: jumps, heavy tails or noise that depends on x"
    found = {cut: _kurtosis([np.clip(e, -cut, cut) for e in parts]) for cut in (np.inf, *CUTS)}
    best = max(found, key=lambda cut: found[cut].value - CERTAIN * found[cut].error)
    if best < np.inf and found[best].value - CERTAIN * found[best].error > KURTOSIS:
        meaning += f"; at least that, which is with those beyond {best:g} standard deviations cut back to these"
        return Finding("Gaussian noise", found[best], KURTOSIS, meaning)
    return Finding("Gaussian noise", found[np.inf], KURTOSIS, meaning)


def _kurtosis(parts: list[Floats]) -> Estimate:
    """E[e⁴]/E[e²]² - 3 in the coordinate where it is worst."""
    sums = [[np.full(e.shape[1], float(len(e))), (e**2).sum(0), (e**4).sum(0)] for e in parts]
    method = f"jackknife over {len(parts)} stretches"
    (found,) = jackknife(np.array(sums), lambda m: (m[2] * m[0] / m[1] ** 2 - 3,), method)
    return _largest(found)


def _robust_scale(e: Floats) -> Floats:
    """The standard deviation (k,) of a normal variable with the same quartiles; the ordinary one where half of all are alike."""
    quartile = np.median(np.abs(e - np.median(e, axis=0)), axis=0) / NORMAL_QUARTILE
    return np.asarray(np.where(quartile > 0, quartile, np.maximum(e.std(axis=0), np.finfo(float).tiny)))


def balanced(recording: Recording) -> Finding:
    """The fluctuation-dissipation relation, relative to the noise that is put in, in the direction where it is worst."""
    found = balance(recording)
    error, given = found.excess.error, found.injected.value
    pull = np.abs(found.excess.value) / np.where(error > 0, error, np.inf)
    i = int(np.argmax(np.where(given > 0, pull, -1.0)))
    unit, error = (float(part[i]) if given[i] > 0 else 1.0 for part in (given, error))
    size = Estimate(
        float(found.excess.value[i]) / unit,
        error / unit * _choice(len(pull)),
        found.excess.method,
    )
    return Finding(
        "stationary", size, 0.1, "E[x g] over (lr/2) E[g²] less 1: the run takes in more or less than it gives back"
    )
