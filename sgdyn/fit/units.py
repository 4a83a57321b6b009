"""Runs in units of their own: about their mean, of standard deviation 1, so that neither offsets nor scales cost digits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate
from sgdyn.fit.stretches import Series

Floats = NDArray[np.float64]

LEAST = 1e-12
"""Eigenvalue of the correlation matrix below which one coordinate is a combination of others, whatever rounding says."""


@dataclass(frozen=True, eq=False)
class OwnUnits:
    """run: (x - mean)/scale; correlation (k, k) of its coordinates at one time."""

    run: Series
    mean: Floats
    scale: Floats
    correlation: Floats

    def rate(self, found: Estimate) -> Estimate:
        """A matrix F of dX = -F X dt in the units of the run it came from."""
        return _times(found, self.scale[:, None] / self.scale)

    def covariance(self, found: Estimate) -> Estimate:
        """A matrix (k, k) that transforms as a covariance."""
        return _times(found, np.outer(self.scale, self.scale))

    def point(self, found: Estimate) -> Estimate:
        """A point (k,)."""
        back = _times(found, self.scale)
        return Estimate(self.mean + back.value, back.error, back.method)


def _times(found: Estimate, factor: Floats) -> Estimate:
    return Estimate(found.value * factor, found.error * factor, found.method)


def own_units(run: Series) -> OwnUnits:
    """Raises ValueError that names coordinates which are constant or combinations of others, and for more coordinates than transitions can tell."""
    mean = run.x.mean(axis=(0, 1))
    x = run.x - mean
    size = np.abs(x).max(axis=(0, 1))
    _refuse_constant(size, np.abs(mean))
    scale = size * (x / size).std(axis=(0, 1))
    y = x / scale
    transitions = len(x) * (x.shape[1] - 1)
    if transitions < 2 * (run.dim + 1):
        raise ValueError(
            f"got {transitions} transitions of {run.dim} coordinates, expected at least {2 * (run.dim + 1)}: more would be fitted than was seen; "
            "record longer, or take fewer coordinates"
        )
    flat = y.reshape(-1, run.dim)
    correlation = flat.T @ flat / len(flat)
    _refuse_combinations(correlation)
    return OwnUnits(Series(y, run.dt), mean, scale, correlation)


def _refuse_constant(size: Floats, mean: Floats) -> None:
    constant = np.flatnonzero(size <= 8 * np.finfo(float).eps * mean)
    if len(constant):
        raise ValueError(f"got coordinate {constant[0]} that is constant; leave it out")


def _refuse_combinations(correlation: Floats) -> None:
    values, vectors = np.linalg.eigh(correlation)
    if values[0] < LEAST:
        together = np.flatnonzero(np.abs(vectors[:, 0]) > 0.01 * np.abs(vectors[:, 0]).max())
        shown = ", ".join(map(str, together[:6])) + ", ..." * (len(together) > 6)
        raise ValueError(f"got coordinates {shown}, of which one is a combination of others; leave one out")
