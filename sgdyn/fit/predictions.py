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

HOW = 'type compare({"Kramers": {("0", "1"): rate}})'
ANSCOMBE = 3 / 8
"""sqrt(N + 3/8) of a Poisson count has standard deviation 1/2 to second order in 1/N (Anscombe, Biometrika 35, 246 (1948))."""


@dataclass(frozen=True, eq=False)
class RateRow:
    """One rate by one theory. ratio: measured over predicted, with the error of both; pull: 2 (sqrt(N + 3/8) - sqrt(n + 3/8)) for N transitions
    where n are expected, in standard deviations of chance and of the prediction: right for N = 0 too (N as `Escape.likelihood` has it)."""

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


def compared(
    found: Escape, rates: Mapping[str, Any] | None, times: Mapping[str, Any] | None, time_per_step: Any = None
) -> EscapeComparison:
    """See `Escape.compare`."""
    given = [(theory, pair, _estimate(value)) for theory, pair, value in _entries(rates)]
    given += [(theory, pair, _scaled(_estimate(value), None)) for theory, pair, value in _entries(times)]
    if not given:
        raise ValueError(f"got no predictions, expected some; {HOW}")
    clock = _clock(found, time_per_step)
    return EscapeComparison(tuple(_row(found, theory, pair, _scaled(rate, clock)) for theory, pair, rate in given))


def _entries(tables: Mapping[str, Any] | None) -> list[tuple[str, tuple[Any, Any], Any]]:
    """(theory, pair, value) of nested mappings."""
    if tables is not None and not isinstance(tables, Mapping):
        raise TypeError(f"got predictions {tables!r}, expected a mapping from theories to rates; {HOW}")
    found = []
    for theory, table in (tables or {}).items():
        if not isinstance(table, Mapping):
            raise TypeError(f"got {table!r} for the theory {theory!r}, expected a mapping from (start, end) to numbers; {HOW}")  # fmt: skip
        for pair, value in table.items():
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise TypeError(f"got {pair!r} for a transition of the theory {theory!r}, expected (start, end); {HOW}")
            found.append((str(theory), pair, value))
    return found


def _clock(found: Escape, given: Any) -> float:
    """The time of the theories that passes in a unit of time of the run."""
    if given is None:
        return 1.0
    if found.time_per_step is None:
        raise ValueError("got time_per_step= beside rates from arrays, whose steps are not known; type escape(array, dt=...) with dt in the time of the theories")  # fmt: skip
    step = given
    if hasattr(given, "origin"):
        step = getattr(given.origin, "time_per_step", None)
        if step is None:
            raise ValueError("got a process that was not made by sgd(...), expected one, or the time of a step of SGD in it; type time_per_step=lr")  # fmt: skip
    return checks.positive("time_per_step", step) / found.time_per_step


def _estimate(value: Any) -> Estimate:
    known = value if isinstance(value, Estimate) else Estimate(checks.number("prediction", value), 0.0, "given")
    if not float(known.value) > 0:
        raise ValueError(f"got a predicted rate or time {float(known.value):g}, expected a positive one")
    return known


def _scaled(rate: Estimate, factor: float | None) -> Estimate:
    """Times a number; 1/rate for None."""
    value, error = float(rate.value), float(rate.error)
    scaled = (1 / value, error / value**2) if factor is None else (value * factor, error * factor)
    return Estimate(*scaled, rate.method, None, rate.warnings)


def _row(found: Escape, theory: str, pair: Any, predicted: Estimate) -> RateRow:
    start, end = pair
    i, j = found.index(start), found.index(end)
    measured, rate = found.rate(start, end), float(predicted.value)
    if found.exposure[i] == 0:
        raise ValueError(f"got a rate from {found.names[i]!r}, which was never visited, expected one that was measured")
    count, exposure = found.likelihood(start, end)
    expected = rate * exposure
    doubt = float(predicted.error) * exposure / np.sqrt(expected + ANSCOMBE)
    pull = 2 * (np.sqrt(count + ANSCOMBE) - np.sqrt(expected + ANSCOMBE)) / np.hypot(1.0, doubt)
    ratio = float(measured.value) / rate
    spread = np.hypot(float(measured.error) / rate, ratio * float(predicted.error) / rate)
    return RateRow(
        theory, found.names[i], found.names[j], measured, predicted, Estimate(ratio, float(spread), predicted.method), float(pull)
    )  # fmt: skip
