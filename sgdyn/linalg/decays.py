"""Where eigenvalues fall off exponentially with their rank, and how fast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST = 6
"""Fewer eigenvalues tell no slope."""
SHARE = 0.02
"""A run is straight if the logarithms scatter about its line by at most this share of what the line falls ..."""
SCATTER = 0.03
"""... or by this much (3 %), for runs that hardly fall."""


def straight_run(values: Floats) -> tuple[int, int]:
    """(first, end): the longest run of consecutive eigenvalues whose logarithms lie on a straight line against rank; (0, 0) if none is.

    values (m,): positive, largest first. On a straight line: the root mean square distance from the least-squares line is at most 2 % of
    what the line falls over the run, or at most 0.03. Of runs of equal length the last.
    """
    logs, m = np.log(values), len(values)
    for length in range(m, LEAST - 1, -1):
        slopes, scatter = _lines(logs, length)
        straight = scatter <= np.maximum(SHARE * np.abs(slopes) * (length - 1), SCATTER)
        if straight.any():
            first = int(np.flatnonzero(straight)[-1])
            return first, first + length
    return 0, 0


def _lines(logs: Floats, length: int) -> tuple[Floats, Floats]:
    """Slope and root mean square distance of the least-squares lines through all runs of that length."""
    windows = np.lib.stride_tricks.sliding_window_view(logs - logs.mean(), length)
    i = np.arange(length) - 0.5 * (length - 1)
    slopes = windows @ i / (i @ i)
    variance = windows.var(1) - slopes**2 * (i @ i) / length
    return slopes, np.sqrt(np.maximum(variance, 0.0))


def slope(values: Floats, first: int, end: int) -> float:
    """The least-squares slope of log value against rank over a run of positive eigenvalues."""
    i = np.arange(first, end) - 0.5 * (first + end - 1)
    return float(i @ np.log(values[first:end]) / (i @ i))


def bend(values: Floats, first: int, end: int) -> float:
    """By how much the slopes of both halves of a run differ, relative to the larger of them; 0 for a straight line."""
    middle = (first + end) // 2
    halves = slope(values, first, middle), slope(values, middle, end)
    return abs(halves[0] - halves[1]) / max(abs(halves[0]), abs(halves[1]), 1e-300)
