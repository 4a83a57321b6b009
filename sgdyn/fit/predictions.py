"""Rates of theories beside counted transitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sgdyn import checks
from sgdyn.estimate import Estimate, rounded
from sgdyn.printing import Printed

if TYPE_CHECKING:
    from sgdyn.fit.escapes import Escape

ANSCOMBE = 3 / 8
"""sqrt(N + 3/8) of a Poisson count has standard deviation 1/2 to second order in 1/N (Anscombe, Biometrika 35, 246 (1948))."""


@dataclass(frozen=True, eq=False)
class RateRow:
    """One rate by one theory. ratio: measured over predicted, with the error of both; pull: 2 (sqrt(N + 3/8) - sqrt(n + 3/8)) for N transitions
    where n are expected, in standard deviations of chance and of the prediction: right for N = 0 too."""

    theory: str
    start: str
    end: str
    measured: Estimate
    predicted: Estimate
    ratio: Estimate
    pull: float


@dataclass(frozen=True, eq=False, repr=False)
class EscapeComparison(Printed):
    """Measured rates and those of theories, a row each."""

    rows: tuple[RateRow, ...]

    def agrees(self, theory: str | None = None, errors: float = 4.0) -> bool:
        """Whether all rows (of one theory) agree within so many standard errors."""
        rows = [row for row in self.rows if theory in (None, row.theory)]
        if not rows:
            raise ValueError(f"got the theory {theory!r}, expected one of {sorted({row.theory for row in self.rows})}")
        return all(abs(row.pull) <= errors for row in rows)

    def __str__(self) -> str:
        lines = ["transition  theory: predicted, measured, ratio, pull"]
        for row in self.rows:
            numbers = (rounded(float(e.value), float(e.error)) for e in (row.predicted, row.measured, row.ratio))
            lines.append(f"{row.start} -> {row.end}  {row.theory}: {', '.join(numbers)}, {row.pull:+.1f}")
        notes = dict.fromkeys(n for row in self.rows for n in (*row.measured.warnings, *row.predicted.warnings))
        return "\n".join([*lines, *(f"note: {note}" for note in notes)])

    def plot(self, ax: Any = None) -> Any:
        """Measured over predicted rates (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def compared(found: Escape, rates: Mapping[str, Any] | None, times: Mapping[str, Any] | None) -> EscapeComparison:
    """See `Escape.compare`."""
    given = [(theory, pair, _estimate(value)) for theory, table in (rates or {}).items() for pair, value in table.items()]  # fmt: skip
    given += [(theory, pair, _inverse(_estimate(value))) for theory, table in (times or {}).items() for pair, value in table.items()]  # fmt: skip
    if not given:
        raise ValueError('got no predictions, expected some; type compare({"Kramers": {("0", "1"): rate}})')
    return EscapeComparison(tuple(_row(found, *each) for each in given))


def _estimate(value: Any) -> Estimate:
    known = value if isinstance(value, Estimate) else Estimate(checks.number("prediction", value), 0.0, "given")
    if not float(known.value) > 0:
        raise ValueError(f"got a predicted rate or time {float(known.value):g}, expected a positive one")
    return known


def _inverse(time: Estimate) -> Estimate:
    return Estimate(1 / float(time.value), float(time.error) / float(time.value) ** 2, time.method, None, time.warnings)


def _row(found: Escape, theory: str, pair: Any, predicted: Estimate) -> RateRow:
    start, end = pair
    i, j = found.index(start), found.index(end)
    measured, rate = found.rate(start, end), float(predicted.value)
    if found.exposure[i] == 0:
        raise ValueError(f"got a rate from {found.names[i]!r}, which was never visited, expected one that was measured")
    expected, count = rate * found.exposure[i], found.counts[i, j]
    doubt = float(predicted.error) * found.exposure[i] / np.sqrt(expected + ANSCOMBE)
    pull = 2 * (np.sqrt(count + ANSCOMBE) - np.sqrt(expected + ANSCOMBE)) / np.hypot(1.0, doubt)
    ratio = float(measured.value) / rate
    spread = np.hypot(float(measured.error) / rate, ratio * float(predicted.error) / rate)
    return RateRow(
        theory, found.names[i], found.names[j], measured, predicted, Estimate(ratio, float(spread), predicted.method), float(pull)
    )  # fmt: skip
