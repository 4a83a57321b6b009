"""What ways there are to an answer, what each costs, and which is taken."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Way:
    """One way: its memory in bytes, the products or passes through the data it takes, and why it is (not) taken."""

    method: str
    memory: float
    work: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """The ways that were weighed; `chosen` is the method taken. Prints as a table."""

    chosen: str
    ways: tuple[Way, ...]

    def __str__(self) -> str:
        lines = [f"{'':2}{'method':<10}{'memory':>10}  {'work':<40} why"]
        for way in self.ways:
            mark = "→ " if way.method == self.chosen else "  "
            lines.append(f"{mark}{way.method:<10}{size(way.memory):>10}  {way.work:<40} {way.reason}")
        return "\n".join(lines)

    __repr__ = __str__


def size(count: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
