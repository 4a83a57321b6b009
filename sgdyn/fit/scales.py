"""Coordinates of a run in units of their own spread, so that no answer depends on where they are measured from and in what."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sgdyn.fit.stretches import Series

Floats = NDArray[np.float64]

ROUNDING = 1e-12
"""Of its largest value, by which a constant coordinate may seem to change."""
ALIKE = 1e-10
"""Least eigenvalue of the correlations, below which a coordinate is a combination of others."""


def standardised(run: Series) -> Series:
    """The run about its mean over all replicas and times, in standard deviations (k,).

    Raises ValueError for coordinates that are constant, and for those of which one is a combination of the others.
    """
    x = run.x - run.x[0, 0]
    x = x / _unit(np.abs(x).max(axis=(0, 1)), np.abs(run.x).max(axis=(0, 1)))
    x = x - x.mean(axis=(0, 1))
    x = x / x.std(axis=(0, 1))
    values, vectors = np.linalg.eigh(np.einsum("rti,rtj->ij", x, x) / x[..., 0].size)
    if values[0] < ALIKE:
        alike = named(np.flatnonzero(np.abs(vectors[:, 0]) > 0.1))
        raise ValueError(
            f"got a run whose {alike} hang together exactly, expected ones of which none is a combination of the others; leave one of them out"
        )
    return Series(x, run.dt)


def _unit(spread: Floats, size: Floats) -> Floats:
    still = np.flatnonzero(spread <= ROUNDING * size)
    if len(still):
        raise ValueError(
            f"got a run whose {named(still)} {'does' if len(still) == 1 else 'do'} not change, expected ones that fluctuate; leave {'it' if len(still) == 1 else 'them'} out"
        )
    return spread


def named(indices: Iterable[int]) -> str:
    """`coordinates 1 and 3`."""
    words = [str(i) for i in indices]
    return f"coordinate {words[0]}" if len(words) == 1 else f"coordinates {', '.join(words[:-1])} and {words[-1]}"
