"""The same quantity by several theories, in one table with pulls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sgdyn import checks
from sgdyn.crosschecks.quantities import QUANTITIES
from sgdyn.crosschecks.question import DoesNotApply, Question
from sgdyn.density.grid import Grid
from sgdyn.estimate import Estimate, rounded
from sgdyn.problem import Langevin, Momentum
from sgdyn.progress import progress


@dataclass(frozen=True)
class Row:
    """What one theory says; `pull` is its largest deviation from the most exact theory, in standard errors of both."""

    theory: str
    estimate: Estimate
    pull: float


@dataclass(frozen=True, eq=False)
class Crosscheck:
    """The same quantity by several theories. Prints as a table; `excluded` says why the others do not apply."""

    quantity: str
    rows: tuple[Row, ...]
    excluded: dict[str, str]

    @property
    def best(self) -> Row:
        """The most exact theory, which the pulls are against."""
        return min(self.rows, key=lambda row: _relative_error(row.estimate))

    def agrees(self, errors: float = 4.0) -> bool:
        """Whether all theories agree with the most exact one within so many standard errors."""
        return all(abs(row.pull) <= errors for row in self.rows)

    @property
    def _verdict(self) -> str:
        if len(self.rows) == 1:
            return "by one theory alone, which nothing confirms"
        return f"the theories {'agree' if self.agrees() else 'DISAGREE'}"

    def __getitem__(self, theory: str) -> Estimate:
        """Raises KeyError for a theory that has no answer, with the reason."""
        for row in self.rows:
            if row.theory == theory:
                return row.estimate
        reason = self.excluded.get(theory, "it was not asked")
        raise KeyError(
            f"got {theory!r}, expected one of {', '.join(row.theory for row in self.rows)}; {theory}: {reason}"
        )

    def __str__(self) -> str:
        cells = [("theory", "value", "pull", "how")]
        for row in self.rows:
            pull = "-" if row is self.best else f"{row.pull:+.1f}"
            cells.append((row.theory, _shown(row.estimate), pull, row.estimate.method))
        widths = [max(len(line[k]) for line in cells) for k in range(3)]
        lines = [f"{self.quantity}: {self._verdict}"]
        lines += ["  ".join([*(c.ljust(w) for c, w in zip(line, widths, strict=False)), line[3]]) for line in cells]
        lines += [f"note on {row.theory}: {note}" for row in self.rows for note in row.estimate.warnings]
        return "\n".join([*lines, *(f"not by {theory}: {reason}" for theory, reason in self.excluded.items())])

    __repr__ = __str__

    def plot(self, ax: Any = None) -> Any:
        """Each theory's deviation from the most exact one, with error bars (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def crosscheck(
    problem: Langevin | Momentum, quantity: str, *, x0: ArrayLike | None = None, region: Any = None, f: Any = None, grid: Grid | None = None,
    dt: float | None = None, t: float | None = None, n_paths: int = 2000, seed: Any = 0, executor: Executor | None = None,
) -> Crosscheck:  # fmt: skip
    """A quantity by every theory that can compute it, with the pulls of each against the most exact one.

    quantity: "mean_first_passage" from x0 to a region, "escape time" (the same from the well of x0 to a region around other wells, with the
    asymptotic theories of `kramers_time` over the saddles between them, looked for in the grid's box, and rare-event sampling), the stationary "mean" (of f, by default of x) or "covariance", or the
    "slowest_rate" of relaxation. grid: for Fokker-Planck and Chebyshev; its walls hold for quadrature and simulation too, and the closed
    form of linear processes has none. dt: for the simulation, which is extrapolated from dt and dt/2; t: how long it runs for stationary
    averages, by default 25 relaxation times as found on the grid. f: a NumPy function of x (dim,). executor: of `concurrent.futures`, for the simulations.

    Raises ValueError for an unknown quantity and where no theory applies; the reasons of those that do not are listed in the result.
    """
    if not isinstance(problem, Langevin | Momentum):
        raise TypeError(f"got a {type(problem).__name__}, expected a process; type sg.Langevin(U, T=..., D=...)")
    if quantity not in QUANTITIES:
        raise ValueError(f"got quantity={quantity!r}, expected one of {', '.join(QUANTITIES)}")
    asked = Question(problem, quantity, x0, region, f, grid, dt, t, checks.count("n_paths", n_paths), seed, executor)
    needs = QUANTITIES[quantity].needs
    missing = [name for name in needs if getattr(asked, name) is None]
    if missing:
        raise ValueError(
            f"got no {' and no '.join(missing)}, expected {' and '.join(needs)}; type {QUANTITIES[quantity].example}"
        )
    theories = QUANTITIES[quantity].theories
    return compared(quantity, {theory: partial(answer, asked) for theory, answer in theories.items()})


def compared(quantity: str, theories: Mapping[str, Callable[[], Estimate]], *, shown: bool | None = None) -> Crosscheck:
    """What the theories say, with the pulls against the most exact one, and why others have no answer.

    Ctrl-C returns what has been found, if there is anything. Raises ValueError where no theory has an answer.
    """
    found, excluded = _answers(quantity, theories, shown)
    if not found:
        reasons = "; ".join(f"{theory}: {reason}" for theory, reason in excluded.items())
        raise ValueError(f"got no theory that applies, expected one at least ({reasons})")
    best = min(found.values(), key=_relative_error)
    rows = tuple(Row(theory, estimate, _largest_pull(estimate, best)) for theory, estimate in found.items())
    return Crosscheck(quantity, rows, excluded)


def _answers(
    quantity: str, theories: Mapping[str, Callable[[], Estimate]], shown: bool | None
) -> tuple[dict[str, Estimate], dict[str, str]]:
    found: dict[str, Estimate] = {}
    excluded: dict[str, str] = {}
    with progress(quantity, shown) as bar:
        for k, (theory, answer) in enumerate(theories.items()):
            bar.stage(k, len(theories))
            try:
                found[theory] = answer()
            except (DoesNotApply, ValueError, TypeError, RuntimeError, MemoryError, FloatingPointError) as reason:
                excluded[theory] = str(reason)
            except KeyboardInterrupt:
                if not found:
                    raise
                excluded |= dict.fromkeys(list(theories)[k:], "interrupted by Ctrl-C")
                break
    return found, excluded


def _relative_error(estimate: Estimate) -> float:
    size = float(np.abs(estimate.value).max())
    return float(np.max(estimate.error)) / size if size else float(np.max(estimate.error))


def _largest_pull(estimate: Estimate, reference: Estimate) -> float:
    if estimate is reference:
        return 0.0
    gap = np.ravel(np.asarray(estimate.value) - reference.value)
    spread = np.ravel(np.hypot(estimate.error, reference.error))
    pulls = np.divide(gap, spread, out=np.where(gap == 0, 0.0, np.inf), where=spread > 0)
    return float(pulls[np.argmax(np.abs(pulls))])


def _shown(estimate: Estimate) -> str:
    values, errors = np.ravel(estimate.value), np.ravel(estimate.error)
    shown = [rounded(float(v), float(e)) for v, e in zip(values[:3], errors[:3], strict=True)]
    return ", ".join(shown) + (", ..." if len(values) > 3 else "")
