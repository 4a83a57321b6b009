"""How far the landscape moves along a run: mean and variance of its second half against those of its first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sgdyn.estimate import Estimate
from sgdyn.fit.findings import CERTAIN, Finding
from sgdyn.fit.stretches import Series

Floats = NDArray[np.float64]

LIMIT = 0.3
WITNESSES = 8
"""Differences between the halves, at least: one of each replica, or of pieces of it."""


def steady(run: Series) -> Finding:
    """How far the second half of the run lies from the whole: its mean, in standard deviations, or its variance, relative to it, at worst."""
    x = run.x - run.x.mean(axis=(0, 1))
    x = x / np.sqrt(np.mean(x**2, axis=(0, 1)))
    d = np.concatenate([_differences(x), _differences(x**2)], axis=2) / 2
    value, error = d.mean(axis=(0, 1)), _error(d) * max(1.0, np.sqrt(np.log(d.shape[2])))
    i = int(np.argmax(np.abs(value) - CERTAIN * error))
    size = Estimate(float(value[i]), float(error[i]), f"{d.shape[0] * d.shape[1]} differences")
    what, unit = ("mean", "in standard deviations") if i < run.dim else ("variance", "relative to it")
    return Finding("constant in time", size, LIMIT, f"{what} of coordinate {i % run.dim} in the second half of the run less that of the whole, {unit}: the landscape moves")  # fmt: skip


def _differences(y: Floats) -> Floats:
    """(replica, piece, k): of the means of pieces, those of the second half less those of the first."""
    pieces = -(-WITNESSES // len(y))
    half = y.shape[1] // 2
    early, late = (np.array_split(part, min(pieces, half), axis=1) for part in (y[:, :half], y[:, half:]))
    return np.stack([b.mean(axis=1) - a.mean(axis=1) for a, b in zip(early, late, strict=True)], axis=1)


def _error(d: Floats) -> Floats:
    """(k,): of the mean, as certain as Student's t makes it, pieces that follow each other being allowed to resemble each other."""
    count = d.shape[0] * d.shape[1]
    rest = d - d.mean(axis=(0, 1))
    error = rest.reshape(count, -1).std(axis=0, ddof=1) / np.sqrt(count)
    if d.shape[1] > 1:
        alike = np.sum(rest[:, 1:] * rest[:, :-1], axis=(0, 1)) / np.sum(rest**2, axis=(0, 1)) + 1 / count
        alike = np.clip(alike, 0.0, 0.9)
        error = error * np.sqrt((1 + alike) / (1 - alike))
    return np.asarray(error * stats.t.isf(stats.norm.sf(CERTAIN), count - 1) / CERTAIN)
