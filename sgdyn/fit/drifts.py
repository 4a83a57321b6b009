"""Whether the halves of a run are alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sgdyn.fit.stretches import Series

Floats = NDArray[np.float64]

CERTAIN = 7e-6
"""The chance of 4.5 standard deviations, all coordinates together."""
MANY = 8
"""Replicas from which each is its own witness; fewer are cut into stretches."""


def drifting(run: Series) -> tuple[str, ...]:
    """A note if the mean or the variance of a coordinate differs between the halves of the run, by Student's t over replicas or stretches."""
    chance = np.nan_to_num(_chances(run.x - run.x.mean(axis=(0, 1))), nan=1.0)
    if chance.min() * chance.size >= CERTAIN:
        return ()
    moment, coordinate = np.unravel_index(np.argmin(chance), chance.shape)
    name = ("mean", "variance")[int(moment)]
    return (
        f"it is not stationary: the {name} of coordinate {int(coordinate)} differs between the halves of the run, which makes circulation too; "
        "drop the approach to stationarity",
    )


def _chances(x: Floats) -> Floats:
    """(2, k): of the differences of means and of squares between the halves of x (replica, time, k)."""
    both = np.stack([x, x**2])
    half = x.shape[1] // 2
    if len(x) >= MANY:
        difference = both[:, :, half:].mean(axis=2) - both[:, :, :half].mean(axis=2)
        return np.asarray(stats.ttest_1samp(difference, 0.0, axis=1).pvalue)
    early, late = (_pieces(part) for part in (both[:, :, :half], both[:, :, half:]))
    return np.asarray(stats.ttest_ind(late, early, axis=1, equal_var=False).pvalue)


def _pieces(x: Floats) -> Floats:
    """Means of about 16 pieces in all (moment, piece, k)."""
    each = -(-16 // x.shape[1])
    parts = np.array_split(x, min(each, x.shape[2]), axis=2)
    return np.concatenate([part.mean(axis=2) for part in parts], axis=1)
