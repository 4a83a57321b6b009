"""Scores that say how far a path has come, and the ladders of rungs on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.codegen.formula import traced
from sgdyn.density.solution import Solution
from sgdyn.fields import Field, Opaque
from sgdyn.region import Region

Floats = NDArray[np.float64]

FAINTEST = 1e-30
"""The lowest rung of a committor that is zero where paths begin."""


@dataclass(frozen=True, eq=False)
class Ladder:
    """A score with the scores (n,) of its rungs; `floor` is the score of the start."""

    score: Field
    rungs: Floats
    floor: float

    def passed(self, x: Floats) -> NDArray[np.int64]:
        """How many rungs points (..., dim) stand above."""
        height = np.reshape(self.score(x), x.shape[:-1])
        return np.searchsorted(self.rungs, height, side="left").astype(np.int64)


def ladder(score: Any, levels: int | ArrayLike, x0: Floats, b: Region, first: float | None = None) -> Ladder:
    """The ladder from the score of x0 (or its `first` rung) up to the region b.

    score: None for the level of the predicate b, which is 0 at its border; a function of x (dim,) that rises to 1 there; or a committor
    (`Solution`). levels: how many equally spaced rungs (for a committor spaced in its logarithm), or their scores.
    """
    field, top, logarithmic = _field(score, b, len(x0))
    floor = float(np.ravel(field(x0))[0])
    if not floor < top:
        raise ValueError(
            f"got the score {floor:g} at x0, expected less than its value {top:g} at the region; type a score that rises to 1 there"
        )
    if np.ndim(levels):
        rungs = checks.finite("levels", levels)
        if rungs.ndim != 1 or not len(rungs) or np.any(np.diff(rungs) <= 0):
            raise ValueError(f"got levels of shape {rungs.shape}, expected increasing scores (n,)")
        rungs = rungs if first is None else np.concatenate([[first], rungs[rungs > first]])
        return Ladder(field, rungs, floor)
    count = checks.count("levels", levels)
    bottom = floor if first is None else first
    if logarithmic:
        rungs = np.geomspace(max(bottom, FAINTEST), top, count + 1)
    else:
        rungs = np.linspace(bottom, top, count + 1)
    return Ladder(field, rungs[:-1] if first is not None else rungs[1:-1] if count > 1 else rungs[:1], floor)


def _field(score: Any, b: Region, dim: int) -> tuple[Field, float, bool]:
    """The score as a field, its value at b, and whether rungs are spaced in its logarithm."""
    if score is None:
        return b.level(), 0.0, False
    if isinstance(score, Solution):
        return _interpolated(score, dim), 1.0, True
    if not callable(score):
        raise TypeError(f"got score={score!r}, expected a function of x ({dim},); type lambda x: x[0]")
    field = traced(score, dim)
    if field.shape not in ((), (1,)):
        raise ValueError(f"got a score of shape {field.shape}, expected one number; type lambda x: x[0]")
    return field, 1.0, False


def _interpolated(solution: Solution, dim: int) -> Opaque:
    """The values of a solution between the midpoints of its cells, constant beyond."""
    from scipy.interpolate import RegularGridInterpolator

    grid = solution.grid
    if grid.dim != dim or solution.values.ndim != dim:
        raise ValueError(f"got a score on a grid of {grid.dim} axes, expected one function of {dim} coordinates")
    low, high = (np.array([m[k] for m in grid.midpoints]) for k in (0, -1))
    table = RegularGridInterpolator(grid.midpoints, solution.values)
    return Opaque(lambda x: np.reshape(table(np.clip(x, low, high)), x.shape[:-1]), dim, (), name="the committor")
