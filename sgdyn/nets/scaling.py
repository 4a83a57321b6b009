"""Straight lines through logarithms, with errors that hold where neighbouring points are alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from sgdyn import checks
from sgdyn.estimate import Estimate
from sgdyn.printing import Printed

Floats = NDArray[np.float64]

LEAST = 5
"""Fewer points tell no exponent with an error."""
STRETCHES = 10


@dataclass(frozen=True, eq=False, repr=False)
class PowerLaw(Printed):
    """y = exp(intercept) x^exponent by least squares of the logarithms.

    x, y (n,): the points that were used. The errors are jackknife errors, leaving out points or, where points are ordered, stretches of
    them; `interval` covers the exponent with 95 % (Student's t). They hold the scatter about the line, as far as it is not alike over stretches; that there is a line they do not say.
    """

    exponent: Estimate
    intercept: Estimate
    interval: tuple[float, float]
    x: Floats
    y: Floats
    names: tuple[str, str] = ("x", "y")

    def plot(self, ax: Any = None) -> Any:
        """The points and the line, log-log (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def power_law(x: ArrayLike, y: ArrayLike, *, ordered: bool = False, names: tuple[str, str] = ("x", "y")) -> PowerLaw:
    """Fit y = exp(intercept) x^exponent to points (n,); those with x <= 0 or y <= 0 are left out, with a note.

    ordered: the points are a trajectory, whose neighbours are no independent pieces of information: stretches are left out, not points.
    Raises ValueError for fewer than 5 points above zero, and for x that are all the same.
    """
    a, b = (np.ravel(checks.finite(name, part)) for name, part in zip(names, (x, y), strict=True))
    kept = (a > 0) & (b > 0)
    if kept.sum() < LEAST or np.ptp(a[kept]) == 0:
        raise ValueError(
            f"got {int(kept.sum())} points above zero with {len(np.unique(a[kept]))} values of {names[0]}, expected at least {LEAST}, not all the same"
        )
    u, v = np.log(a[kept]), np.log(b[kept])
    groups = _groups(len(u), ordered)
    left = np.array([_line(np.delete(u, group), np.delete(v, group)) for group in groups])
    fit, count = _line(u, v), len(groups)
    error = np.sqrt((count - 1) * left.var(0))
    half = float(stats.t.ppf(0.975, count - 2) * error[0])
    said = f"least squares of {len(u)} logarithms, jackknife over {count} {'stretches' if ordered else 'points'}"
    notes = () if kept.all() else (f"{int((~kept).sum())} points at or below zero left out",)
    slope, offset = (Estimate(float(f), float(e), said, warnings=notes) for f, e in zip(fit, error, strict=True))
    return PowerLaw(slope, offset, (float(slope) - half, float(slope) + half), a[kept], b[kept], names)


def _groups(n: int, ordered: bool) -> list[NDArray[np.intp]]:
    """What is left out together: points, or stretches of at least two, so many that the rest still makes a line."""
    return np.array_split(np.arange(n), min(STRETCHES, max(4, n // 2)) if ordered else n)


def _line(u: Floats, v: Floats) -> Floats:
    """(slope, intercept)."""
    du = u - u.mean()
    slope = float(du @ v / max(du @ du, 1e-300))
    return np.array([slope, v.mean() - slope * u.mean()])
