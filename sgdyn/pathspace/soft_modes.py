"""The softest fluctuation of a critical path: what a Gaussian integral over it is worth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.pathspace.criticality import Functional
from sgdyn.pathspace.paths import Path
from sgdyn.printing import Printed

Floats = NDArray[np.float64]

ITERATIONS = 60
LATE = 0.3
"""A path that one standard deviation of its softest mode shifts by this share of the time that its way takes may begin it when it will."""

STILL = 1e-6
"""A path this much shorter than its fluctuations stays where it is: no time at which it moves can shift."""


@dataclass(frozen=True, eq=False, repr=False)
class SoftMode(Printed):
    """The fluctuation with the least curvature of the action, one standard deviation large.

    displacement (n + 1, dim) at the times t (n + 1,); curvature: its eigenvalue of the second derivatives in the metric ∫ |dx|² dt; time_shift: by how much it
    moves the path in time; excess: how far, for this displacement to either side, the action rises beside the 1/2 of a Gaussian.
    """

    displacement: Floats = field(repr=False)
    curvature: float
    time_shift: float
    excess: float
    t: Floats = field(repr=False)

    def plot(self, ax: Any = None) -> Any:
        """The displacement against time (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)

    def is_quasi_zero(self, path: Path) -> bool:
        """Whether the mode shifts the path in time by much of the time that the way itself takes, length over greatest speed."""
        speed = np.linalg.norm(np.diff(path.x, axis=0), axis=1) / path.dt
        return bool(self.time_shift * speed.max() > LATE * path.length)


def soft_mode(functional: Functional, path: Path) -> SoftMode:
    """Of a minimum of the action, by inverse iteration."""
    H, weight = functional.hessian(path), 0.5 * (path.dt[1:] + path.dt[:-1])[:, None]
    speed = (path.x[2:] - path.x[:-2]) / (2 * weight)
    v = speed + (0.1 * np.abs(speed).max() or 1.0) * np.sin(np.pi * path.t[1:-1] / path.t[-1])[:, None]
    value = 0.0
    for _ in range(ITERATIONS):
        v = v / np.sqrt(np.sum(weight * v * v))
        v, before = H.solve(weight * v), value
        value = float(1 / np.sqrt(np.sum(weight * v * v)))
        if abs(value - before) <= 1e-6 * value:
            break
    mode = v / np.sqrt(np.sum(weight * v * v)) / np.sqrt(value)
    moves = path.length > STILL * np.abs(mode).max()
    shift = abs(float(np.sum(weight * mode * speed))) / float(np.sum(weight * speed * speed)) if moves else 0.0
    displacement = np.zeros_like(path.x)
    displacement[1:-1] = mode
    rises = [functional.value(Path(path.x + sign * displacement, path.t)) for sign in (1, -1)]
    excess = [rise - functional.value(path) - 0.5 for rise in rises]
    return SoftMode(displacement, value, shift, float(max(excess, key=abs)), path.t)
