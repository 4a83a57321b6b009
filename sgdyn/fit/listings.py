"""Fitted linear dynamics as a short table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sgdyn.estimate import rounded

if TYPE_CHECKING:
    from sgdyn.fit.autoregression import LinearDynamics

SHOWN = 6
"""Coordinates that are printed at most."""


def printed(found: LinearDynamics) -> str:
    """F, noise and center with their errors, rates, and what is noted."""
    k = len(found.center.value)
    shown = min(k, SHOWN)
    lines = [f"dX = -F (X - center) dt + sqrt(2 T D) dW, {k} coordinate{'s' * (k > 1)}"]
    lines += [f"({shown} of them; all in .F, .noise, .center)"] if shown < k else []
    lines += _table("F", found.F, shown) + _table("T D", found.noise, shown)
    lines.append(f"center  {'   '.join(_cells(found.center.value[:shown], found.center.error[:shown]))}")
    lines.append(f"rates  {', '.join(_rate(rate) for rate in found.rates[:shown])}{', ...' * (shown < k)}")
    return "\n".join([*lines, f"({found.F.method})", *(f"note: {warning}" for warning in found.F.warnings)])


def _table(name: str, matrix: Any, shown: int) -> list[str]:
    rows = [_cells(matrix.value[i, :shown], matrix.error[i, :shown]) for i in range(shown)]
    widths = [max(len(row[j]) for row in rows) for j in range(shown)]
    heads = [name if i == 0 else "" for i in range(shown)]
    return [
        f"{head:6}  {'   '.join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))}"
        for head, row in zip(heads, rows, strict=True)
    ]


def _cells(values: Any, errors: Any) -> list[str]:
    return [rounded(float(value), float(error)) for value, error in zip(values, errors, strict=True)]


def _rate(rate: complex) -> str:
    return f"{rate.real:.4g}" + (f"{rate.imag:+.4g}i" if abs(rate.imag) > 1e-12 * np.abs(rate) else "")
