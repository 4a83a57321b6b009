"""What ways there are to an answer, what each costs, and which is taken."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

Cost = tuple[float, float]
"""Seconds and floating-point operations, NaN where they are not known."""

ALGEBRA = 256
"""Rows of the matrices whose product is timed, as a measure of dense algebra."""
EIGEN = 9.0
"""Operations for all eigenvalues and vectors of a symmetric matrix, per cube of its rows (Golub and Van Loan, section 8.3)."""


@dataclass(frozen=True)
class Way:
    """One way: its memory in bytes, the products or passes through the data it takes, and why it is (not) taken.

    counts: how often it does what a price is known of ("product", "algebra", ...). seconds and flops: what that makes, NaN before it is
    measured.
    """

    method: str
    memory: float
    work: str
    reason: str
    counts: dict[str, float] = field(default_factory=dict)
    seconds: float = math.nan
    flops: float = math.nan


@dataclass(frozen=True)
class Plan:
    """The ways that were weighed; `chosen` is the method taken. Prints as a table."""

    chosen: str
    ways: tuple[Way, ...]

    def priced(self, price: Callable[[str], Cost]) -> Plan:
        """The same plan with what the ways cost, at the price of each thing that they do."""
        known = {kind: price(kind) for kind in dict.fromkeys(kind for way in self.ways for kind in way.counts)}

        def total(way: Way, which: int) -> float:
            return sum(count * known[kind][which] for kind, count in way.counts.items()) if way.counts else math.nan

        return replace(self, ways=tuple(replace(w, seconds=total(w, 0), flops=total(w, 1)) for w in self.ways))

    def __str__(self) -> str:
        lines = [f"{'':2}{'method':<10}{'memory':>10}{'flops':>10}{'time':>10}  {'work':<46} why"]
        for way in self.ways:
            mark = "→ " if way.method == self.chosen else "  "
            flops = "" if math.isnan(way.flops) else f"{way.flops:.1e}"
            row = f"{mark}{way.method:<10}{size(way.memory):>10}{flops:>10}{duration(way.seconds):>10}"
            lines.append(f"{row}  {way.work:<46} {way.reason}")
        return "\n".join(lines)

    __repr__ = __str__


def algebra() -> Cost:
    """The price of one operation of dense algebra, from a product of matrices."""
    matrix = np.random.default_rng(0).standard_normal((ALGEBRA, ALGEBRA))
    return timed(lambda: matrix @ matrix) / (2.0 * ALGEBRA**3), 1.0


def timed(function: Callable[[], object]) -> float:
    """The seconds of a second call."""
    function()
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def size(count: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def duration(seconds: float) -> str:
    """A time for people, nothing if it is not known."""
    if math.isnan(seconds):
        return ""
    for unit, length in (("ms", 1e-3), ("s", 1.0), ("min", 60.0)):
        if seconds < 100 * length:
            return f"{seconds / length:.2g} {unit}"
    return f"{seconds / 3600:.2g} h"
