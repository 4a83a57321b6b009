"""The action of underdamped paths, written for the positions alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sgdyn.pathspace.coefficients import Coefficients
from sgdyn.pathspace.paths import Path
from sgdyn.problem import Momentum

Floats = NDArray[np.float64]


def configuration_action(problem: Momentum, path: Path) -> float:
    """∫ |x'' + gamma x' + grad U|²_{D^-1}/(4 gamma T) dt of positions (n + 1, dim) at equal times, by second differences.

    Raises ValueError for unequal steps, fewer than two, and a D without full rank.
    """
    c = Coefficients(problem.U.grad.negated(), problem.D, problem.T * problem.friction, True)
    if c.degenerate:
        raise ValueError(
            "got a D without full rank, expected one with for a path of positions; pass a path of points (x, v)"
        )
    if path.n < 2 or np.ptp(path.dt) > 1e-9 * path.dt.max():
        raise ValueError(
            f"got {path.n} steps of {path.dt.min():.6g} to {path.dt.max():.6g}, expected at least two equal ones; type path.at(np.linspace(...))"
        )
    dt, x = path.dt[0], path.x
    inner, acceleration = x[1:-1], (x[2:] - 2 * x[1:-1] + x[:-2]) / dt**2
    excess = acceleration + problem.friction * (x[2:] - x[:-2]) / (2 * dt) - c.drift(inner)
    density = np.einsum("ni,ni->n", excess, c.lower(inner, excess)) / (4 * c.T)
    return float(dt * (density.sum() + 0.5 * (density[0] + density[-1])))
