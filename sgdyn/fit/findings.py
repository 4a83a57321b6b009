"""One way in which the diffusion can fail, with its size; and many of them with one verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sgdyn.estimate import Estimate
from sgdyn.fit.comparison import Comparison
from sgdyn.fit.reasons import plus_minus
from sgdyn.fit.rungs import CERTAIN, NEAR, Ladder
from sgdyn.printing import Printed

__all__ = ["CERTAIN", "NEAR", "Finding", "Validity"]


@dataclass(frozen=True, eq=False)
class Finding:
    """name; size: how far the run is from the assumption, 0 if it holds; limit: how far it may be; meaning: what it does to the diffusion."""

    name: str
    size: Estimate
    limit: float
    meaning: str

    @property
    def state(self) -> str:
        """ "fails" beyond the limit by three errors, "holds" below it by two, else "unclear"."""
        value, error = abs(float(self.size.value)), float(self.size.error)
        if value - CERTAIN * error > self.limit:
            return "fails"
        return "holds" if value + NEAR * error <= self.limit else "unclear"

    def __str__(self) -> str:
        return f"{self.state:8} {self.name}: {plus_minus(self.size)} (limit {self.limit:g}); {self.meaning}"


@dataclass(frozen=True, eq=False, repr=False)
class Validity(Printed):
    """findings: each assumption of the diffusion with a size; comparison: of SGD with its theories, and ladder: of its variances with those of
    all that approximates it, where there was a network.

    The verdict is one line; `print(validity)` shows the table.
    """

    findings: tuple[Finding, ...]
    comparison: Comparison | None = None
    notes: tuple[str, ...] = ()
    ladder: Ladder | None = None

    def __getitem__(self, name: str) -> Finding:
        found = {each.name: each for each in self.findings}
        if name not in found:
            raise KeyError(f"got {name!r}, expected one of {', '.join(map(repr, found))}")
        return found[name]

    @property
    def failing(self) -> tuple[Finding, ...]:
        """What fails, the worst first."""
        failed = [each for each in self.findings if each.state == "fails"]
        return tuple(sorted(failed, key=lambda each: -abs(float(each.size.value)) / each.limit))

    @property
    def verdict(self) -> str:
        """One line."""
        if self.failing:
            named = ", ".join(f"{each.name} ({plus_minus(each.size)})" for each in self.failing)
            return f"the diffusion picture fails here: {named}"
        unclear = [each.name for each in self.findings if each.state == "unclear"]
        if unclear:
            return f"nothing speaks against the diffusion, but not known well enough: {', '.join(unclear)}"
        return "the diffusion picture holds here"

    def __str__(self) -> str:
        table = [] if self.ladder is None else [str(self.ladder)]
        return "\n".join([self.verdict, *map(str, self.findings), *(f"note: {note}" for note in self.notes), *table])

    def plot(self, ax: Any = None) -> Any:
        """Sizes in units of their limits (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)
