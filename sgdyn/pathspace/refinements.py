"""Curves of least action on finer and finer levels, divided at the zeros of the drift they run over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sgdyn.estimate import Estimate
from sgdyn.pathspace.costs import Cost, cost
from sgdyn.pathspace.curves import Curve, Work, relaxed
from sgdyn.pathspace.halts import Halt, divided, halts, piece, pinned

SECOND_ORDER = (3.0, 5.5)
"""Ratios of successive differences between which errors are taken to fall as the square of the segments' length."""
SAFETY = 4.0
"""Costs of splines are compared up to so many times the square of what the midpoint rule is off, relative."""


@dataclass(frozen=True, eq=False)
class Refined:
    """The pieces of a path at n segments, the actions at n/4, n/2 and n, the spline's cost at n/2, and by how much another division was cheaper."""

    pieces: list[Curve]
    values: list[float]
    coarse: float
    excess: float = 0.0

    @cached_property
    def spline(self) -> Cost:
        return cost(self.pieces)

    @property
    def moved(self) -> float:
        """What the last level changed in the spline's cost: what its points are off, whatever the order of the rule."""
        return abs(self.spline.value - self.coarse)

    @property
    def slack(self) -> float:
        """What the spline's cost may be off: it is least at the path, so that errors of points count by their squares."""
        size = max(abs(self.spline.value), 1e-300)
        return SAFETY * (self.spline.value - self.values[-1]) ** 2 / size + self.moved / SAFETY + 1e-12 * size

    def action(self) -> Estimate:
        """Extrapolated; where a kink is left inside a segment, no rule has an order, and the spline's cost is the value."""
        n = sum(len(one.x) - 1 for one in self.pieces)
        found = extrapolated(self.values, n)
        if not np.isfinite(self.moved):
            return found
        error = self.excess + self.moved + abs(self.spline.value - found.value)
        if self.spline.kinked:
            error += abs(self.spline.value - self.values[-1])
            return Estimate(self.spline.value, error, f"geometric action, {n} segments, spline")
        return Estimate(found.value, found.error + error, found.method)


def refined(curve: Curve, work: Work, share: tuple[float, float]) -> Refined:
    """The path at n/4, n/2 and n segments, divided at the zeros of the drift without which it does not cost less.

    Splines are compared, not sums over segments: those miss what lies in a kink of |b|.
    """
    middle = 0.5 * (share[0] + share[1])
    whole = _levels([curve], work, (share[0], middle))
    found = halts(whole.pieces[0]) if not work.interrupted else []
    if not found:
        return whole
    parts = _levels(_relaxed(divided(whole.pieces[0], found, 0.25), work), work, (middle, share[1]))
    kept = _needed(whole.pieces[0], parts, found, work)
    if work.interrupted or not kept:
        return whole
    if len(kept) < len(found):
        parts = _levels(_relaxed(divided(whole.pieces[0], kept, 0.25), work), work, (middle, share[1]))
    excess = parts.spline.value - whole.spline.value
    return replace(parts, excess=max(0.0, excess)) if excess <= parts.slack else whole


def _relaxed(pieces: list[Curve], work: Work) -> list[Curve]:
    return [relaxed(one, work) for one in pieces]


def _needed(whole: Curve, parts: Refined, found: list[Halt], work: Work) -> list[Halt]:
    """The halts without which the path does not become cheaper, one after another."""
    pins, pieces, k = pinned(whole, found), list(parts.pieces), 1
    while k < len(pins) - 1:
        n = sum(len(one.x) - 1 for one in pieces[k - 1 : k + 1])
        one = whole if len(pins) == 3 else relaxed(piece(whole, pins[k - 1], pins[k + 1], n), work)
        if work.interrupted:
            break
        if cost([one]).value < cost(pieces[k - 1 : k + 1]).value - parts.slack:
            pins[k : k + 1], pieces[k - 1 : k + 1] = [], [one]
        else:
            k += 1
    return pins[1:-1]


def _levels(pieces: list[Curve], work: Work, share: tuple[float, float]) -> Refined:
    values, coarse = [sum(one.value for one in pieces)], np.inf
    for level in range(2):
        if work.interrupted:
            break
        finer, coarse = [], cost(pieces).value
        for k, one in enumerate(pieces):
            work.stage(level * len(pieces) + k, 2 * len(pieces), share)
            finer.append(relaxed(one.spread(2 * (len(one.x) - 1)), work))
        pieces = finer
        values.append(sum(one.value for one in pieces))
    return Refined(pieces, values, coarse)


def extrapolated(values: list[float], n: int) -> Estimate:
    """Richardson's extrapolation where errors fall with the square of the segments' length, Aitken's where they fall otherwise."""
    name = f"geometric action, {n} segments"
    if len(values) < 3:
        return Estimate(values[-1], abs(values[-1] - values[0]) if len(values) > 1 else np.inf, name)
    coarse, middle, fine = values
    rounding = 1e-13 * max(map(abs, values))
    if abs(middle - fine) <= rounding:
        return Estimate(fine, rounding + abs(middle - fine), name)
    ratio = (coarse - middle) / (middle - fine)
    if SECOND_ORDER[0] < ratio < SECOND_ORDER[1]:
        first, second = (4 * middle - coarse) / 3, (4 * fine - middle) / 3
        value = (16 * second - first) / 15
        return Estimate(value, abs(value - first) + rounding, f"{name}, Richardson")
    if ratio > 1.5:
        value = fine - (middle - fine) / (ratio - 1)
        return Estimate(value, abs(value - fine) + rounding, f"{name}, Aitken")
    return Estimate(fine, abs(middle - fine) + rounding, name)
