"""Errors of what a fitted process gives: the jackknife of numbers that errors multiply rather than shift."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate
from sgdyn.fit.stretches import combined

Floats = NDArray[np.float64]


def propagated(whole: Floats, parts: Floats) -> Estimate:
    """A value with its jackknife error, from its values without each part (part, ...): of logarithms where all are positive.

    Raises ValueError where a value is not finite. Source: Miller, Biometrika 61, 1 (1974), on transformations before the jackknife.
    """
    if not (np.all(np.isfinite(whole)) and np.all(np.isfinite(parts))):
        raise ValueError(
            "got a quantity that is not finite for the fitted process or without a part of the run, expected numbers; "
            "ask the process itself, quantity(found.process())"
        )
    count = len(parts)
    if np.all(whole > 0) and np.all(parts > 0):
        found = combined(np.log(whole), np.log(parts), count, "")
        value = np.exp(found.value)
        found = Estimate(value, value * found.error, "")
        scale = " of the logarithm"
    else:
        found, scale = combined(whole, parts, count, ""), ""
    return Estimate(found.value, found.error, f"of the fitted process, jackknife{scale} over {count} parts of the run")
