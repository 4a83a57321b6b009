"""Whether what a linear process leaves unexplained is white and Gaussian, and whether a run is in balance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate
from sgdyn.fit.autoregression import LinearDynamics, residuals
from sgdyn.fit.findings import CERTAIN, Finding
from sgdyn.fit.stationarity import balance
from sgdyn.fit.stretches import Series, jackknife
from sgdyn.nets.recording import Recording

Floats = NDArray[np.float64]

WINDOWS = (2, 4, 8, 16, 32, 64, 128)
LEAST = 8
"""Windows that a stretch must hold for its variance ratio to count."""


def findings(run: Series, fitted: LinearDynamics) -> tuple[Finding, ...]:
    """Of the residuals of a fitted linear process: their own past, what they add up to, and their fourth moment."""
    return (
        Finding("Markov", _largest(fitted.residual_correlation), 0.1, "residuals know their own past: coordinates are missing, or the drift is no linear one"),
        Finding("white noise", variance_ratio(run), 0.2, "what residuals add up to over a window, over independent ones' less 1: -1 over an epoch that goes through the data in turn"),
        Finding("Gaussian noise", _largest(fitted.residual_kurtosis), 1.0, "excess kurtosis of residuals: jumps, heavy tails or noise that depends on x"),
    )  # fmt: skip


def _largest(parts: Estimate) -> Estimate:
    """The component that is for certain farthest from 0, with an error that grows with the number of those it was chosen from."""
    value, error = np.atleast_1d(parts.value), np.atleast_1d(parts.error)
    i = int(np.argmax(np.abs(value) - CERTAIN * error))
    return Estimate(float(value[i]), float(error[i]) * max(1.0, np.sqrt(np.log(len(value)))), parts.method)


def variance_ratio(run: Series) -> Estimate:
    """Var(sum of w residuals)/(w Var(residual)) - 1, averaged over coordinates, at the window w where it is farthest from 0.

    Source: Lo, MacKinlay, Rev. Financial Studies 1, 41 (1988).
    """
    parts = residuals(run)
    shortest = min(len(part) for part in parts)
    windows = [w for w in WINDOWS if w * LEAST <= shortest] or [2]
    moments = np.array([[_sums(part, w) for w in windows] for part in parts])
    (found,) = jackknife(moments, _ratios, f"jackknife over {len(parts)} stretches")
    return _largest(found)


def _sums(e: Floats, w: int) -> list[Floats]:
    """(count, sum of squared sums over windows that overlap, count of residuals, sum of squares), each (k,)."""
    total = np.cumsum(np.vstack([np.zeros((1, e.shape[1])), e]), axis=0)
    windowed = total[w:] - total[:-w]
    ones = np.ones(e.shape[1])
    return [ones * len(windowed) * w, np.sum(windowed**2, axis=0), ones * len(e), np.sum(e**2, axis=0)]


def _ratios(m: Floats) -> tuple[Floats]:
    """m (window, 4, k) -> (window,)."""
    return (np.mean(m[:, 1] / m[:, 0] / (m[:, 3] / m[:, 2]) - 1, axis=1),)


def balanced(recording: Recording) -> Finding:
    """The fluctuation-dissipation relation, relative to the noise that is put in, in the direction where it is worst."""
    found = balance(recording)
    error, given = found.excess.error, found.injected.value
    pull = np.abs(found.excess.value) / np.where(error > 0, error, np.inf)
    i = int(np.argmax(np.where(given > 0, pull, -1.0)))
    unit, error = (float(part[i]) if given[i] > 0 else 1.0 for part in (given, error))
    size = Estimate(
        float(found.excess.value[i]) / unit,
        error / unit * max(1.0, float(np.sqrt(np.log(len(pull))))),
        found.excess.method,
    )
    return Finding(
        "stationary", size, 0.1, "E[x g] over (lr/2) E[g²] less 1: the run takes in more or less than it gives back"
    )
