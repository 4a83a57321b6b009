"""When the acceleration of a string begins anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STALLED = 60
"""So many steps without acceleration, one after the other, show that spreading the images out is what looks like going uphill."""
UPHILL = 0.3
"""From then on it begins anew where the step itself goes uphill by more than this cosine,"""
WORSE = 1.5
"""until images move by so many times as much as at the change, as they do in landscapes where that swings."""


@dataclass(eq=False)
class Restarts:
    """O'Donoghue and Candès's rule for images that are spread out after each step.

    Steps are taken with what spreading does to the images, which on strongly bent strings moves them across as well, against the slope: then
    nothing is ever accelerated, and the steps themselves are looked at instead.
    """

    stalled: int = 0
    level: float | None = None
    swung: bool = False

    def due(self, push: Floats, y: Floats, step: Floats | None, spread: Floats, moved: float) -> bool:
        """Whether the way (n - 1, dim) of the inner images, before (`step`) or after (`spread`) spreading, leads uphill; push: the way down at y.

        step: None for the last steps, which decide where the string comes to rest, and while images climb: spreading counts then.
        """
        if self.level is not None and moved > WORSE * self.level:
            self.level, self.swung = None, True
        down = across(push, y)
        if self.level is not None and step is not None:
            way = across(step, y)
            return bool(float(np.einsum("ni,ni->", down, way)) > UPHILL * np.linalg.norm(down) * np.linalg.norm(way))
        against = float(np.einsum("ni,ni->", down, spread)) > 0
        self.stalled = self.stalled + 1 if against and step is not None else 0
        if self.stalled > STALLED and not self.swung:
            self.level = moved
        return against


def across(push: Floats, x: Floats) -> Floats:
    """What of vectors at the inner images is orthogonal to the string (n - 1, dim)."""
    t = x[2:] - x[:-2]
    share = np.einsum("ni,ni->n", push, t) / np.maximum(np.einsum("ni,ni->n", t, t), 1e-300)
    return np.asarray(push - share[:, None] * t)
