"""One spectrum with its head, its tail and its effective ranks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sgdyn import checks
from sgdyn.estimate import Estimate, rounded
from sgdyn.linalg import decays
from sgdyn.linalg.densities import SpectralDensity
from sgdyn.linalg.ranks import effective_rank
from sgdyn.nets.sample_means import SampleMean
from sgdyn.printing import Printed

Floats = NDArray[np.float64]

RESOLVED = 10.0
"""Eigenvalues below so many times the floor are left out of fits and counts."""
BENT = 0.5


@dataclass(frozen=True, eq=False, repr=False)
class SloppySpectrum(Printed):
    """Eigenvalues (m,) of a matrix with `size` rows that is a mean over samples, largest first: all but certain zeros, or the top ones.

    floor: what rounding may make of a zero. left: the eigenvalues with each group of samples left out; all errors are jackknife errors
    over these, which say what other samples of the same number would change, not what more samples would.
    """

    name: str
    values: Floats
    size: int
    floor: float
    complete: bool
    method: str
    left: tuple[Floats, ...]

    @property
    def resolved(self) -> Floats:
        """The positive eigenvalues above 10 times the floor (r,)."""
        return self.values[self.values > RESOLVED * self.floor]

    @property
    def negative(self) -> int:
        """How many eigenvalues are below -10 times the floor."""
        return int(np.sum(self.values < -RESOLVED * self.floor))

    @cached_property
    def tail(self) -> tuple[int, int]:
        """(first, end): the longest run of resolved eigenvalues whose logarithms lie on a straight line against rank, counted from 0.

        Straight: the root mean square distance from the least-squares line is at most 2 % of what the line falls, or at most 0.03. (0, 0)
        if no run of 6 is.
        """
        return decays.straight_run(self.resolved)

    @property
    def head(self) -> int:
        """The number of eigenvalues before the tail."""
        return self.tail[0]

    @cached_property
    def slope(self) -> Estimate:
        """d log(eigenvalue)/d rank over the tail, the same ranks in all jackknife samples; NaN without a tail."""
        first, end = self.tail
        said = f"least squares over ranks {first + 1} to {end}, jackknife over {len(self.left)} groups of samples"
        if end == 0:
            return Estimate(math.nan, math.nan, "no tail", warnings=("no 6 eigenvalues on a line",))
        notes = []
        if end - first < (len(self.resolved) + 1) // 2:
            notes.append("the tail is less than half of the resolved eigenvalues")
        if self.bend > BENT:
            notes.append(f"the slopes of its halves differ by {self.bend:.0%}")
        return self._estimate(lambda v: _slope(v, first, end), said, tuple(notes))

    @property
    def bend(self) -> float:
        """By how much the slopes of the tail's halves differ, relative to the larger; 0: straight."""
        return decays.bend(self.values, *self.tail) if self.tail[1] else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The slope with 95 %, by Student's t."""
        half = float(stats.t.ppf(0.975, len(self.left) - 1)) * float(self.slope.error)
        return float(self.slope) - half, float(self.slope) + half

    @property
    def decades(self) -> Estimate:
        """What the line falls over the tail, in powers of ten."""
        factor = (self.tail[1] - self.tail[0] - 1) / math.log(10)
        return Estimate(-factor * self.slope.value, factor * self.slope.error, self.slope.method)

    def effective_rank(self, rule: str | float = "participation") -> Estimate:
        """How many eigenvalues matter: the rules of `SymmetricOperator.effective_rank`, or a threshold.

        Raises ValueError for thresholds below 10 times the floor, and where only the top eigenvalues are known and more are needed.
        """
        if not isinstance(rule, str):
            return self.count(rule)
        if not self.complete:
            raise ValueError(f"got the rule {rule!r} for the top {len(self.values)} eigenvalues, expected all; type fewer samples, or a threshold")  # fmt: skip
        return self._estimate(lambda v: float(effective_rank(self._density(v), rule)), f"{rule}, {self._said}")

    def count(self, above: float) -> Estimate:
        """How many eigenvalues exceed a threshold; what rounding can change is in the error."""
        threshold = checks.positive("above", above)
        if threshold < RESOLVED * self.floor:
            raise ValueError(
                f"got the threshold {threshold:.3g}, expected at least {RESOLVED * self.floor:.3g}: eigenvalues below 10 times the numerical floor mean nothing"
            )
        if not self.complete and self.values[-1] > threshold:
            raise ValueError(f"got the threshold {threshold:.3g}, which all of the {len(self.values)} known eigenvalues exceed; type a larger k=")  # fmt: skip
        found = self._estimate(lambda v: float(np.sum(v > threshold)), f"eigenvalues above {threshold:.3g}, {self._said}")  # fmt: skip
        near = 0.5 * float(np.sum(np.abs(self.values - threshold) < self.floor))
        return Estimate(found.value, math.hypot(found.error, near), found.method)

    def smooth_count(self, scale: float) -> Estimate:
        """Sum of lambda/(lambda + scale) over the positive eigenvalues; those that are not resolved are in the error.

        Raises ValueError where only the top eigenvalues are known, or for scales below 10 times the floor.
        """
        scale = checks.positive("scale", scale)
        if not self.complete or scale < RESOLVED * self.floor:
            raise ValueError(f"got the scale {scale:.3g}, expected at least {RESOLVED * self.floor:.3g}, and all eigenvalues, not the top {len(self.values)}")  # fmt: skip
        found = self._estimate(lambda v: float(_shares(v, scale).sum()), f"smooth count, {self._said}")
        unresolved = (len(self.values) - len(self.resolved)) * self.floor / scale
        return Estimate(found.value, math.hypot(found.error, unresolved), found.method)

    @property
    def _said(self) -> str:
        return f"{self.method}, jackknife over {len(self.left)} groups of samples"

    def _density(self, values: Floats) -> SpectralDensity:
        return SpectralDensity.exact(values, self.size - len(values), self.method, self.floor)

    def _estimate(self, function: Callable[[Floats], float], said: str, notes: tuple[str, ...] = ()) -> Estimate:
        parts = np.array([function(values) for values in self.left])
        return Estimate(function(self.values), float(np.sqrt((len(parts) - 1) * parts.var())), said, warnings=notes)

    def row(self) -> tuple[str, ...]:
        """Name, rows, resolved eigenvalues, head, slope, decades, participation rank, largest eigenvalue, floor: what a table shows."""
        first, end = self.tail
        slope = rounded(float(self.slope), float(self.slope.error)) if end else "-"
        rank = self.effective_rank() if self.complete else None
        shown = "-" if rank is None else rounded(float(rank), float(rank.error))
        ranks, decades = (f"{first + 1}-{end}", f"{float(self.decades):.2g}") if end else ("-", "-")
        return (
            self.name, str(self.size), str(len(self.resolved)), ranks, slope, decades, shown,
            f"{self.values[0]:.2g}", f"{self.floor / self.values[0]:.0e}",
        )  # fmt: skip

    def plot(self, ax: Any = None) -> Any:
        """Eigenvalues against rank with the line of the tail (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def spectrum_of(name: str, mean: SampleMean, groups: int) -> SloppySpectrum:
    """The spectrum of a mean over samples, and those with a group left out."""
    values = mean.eigenvalues()
    left = tuple(mean.eigenvalues(g) for g in range(groups))
    return SloppySpectrum(name, values, mean.size, mean.floor(values), mean.complete, mean.method, left)


def _slope(values: Floats, first: int, end: int) -> float:
    """The slope over these ranks, as far as there are positive eigenvalues."""
    return decays.slope(values, first, min(end, int(np.sum(values > 0))))


def _shares(values: Floats, scale: float) -> Floats:
    positive = np.maximum(values, 0.0)
    return np.asarray(positive / (positive + scale))
