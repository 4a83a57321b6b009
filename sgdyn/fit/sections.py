"""One part of a report: what was found, with its tables, figures, numbers and warnings, as plain data that a file can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate
from sgdyn.fit import pages


@dataclass(frozen=True)
class Table:
    """A table of texts; words: of sentences rather than of numbers."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str
    words: bool = False


@dataclass(frozen=True, eq=False)
class Section:
    """name: of its arrays in result.npz; holds: True, False, or None where that is open; figures: (svg, caption)."""

    name: str
    title: str
    verdict: str
    holds: bool | None = None
    lines: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def words(self) -> dict[str, Any]:
        """All but the arrays, for JSON."""
        found = asdict(self)
        del found["arrays"]
        return found

    def html(self, numbers: pages.Numbers) -> str:
        """As a part of a page."""
        tables = "".join(numbers.table(t.head, t.rows, t.caption, words=t.words) for t in self.tables)
        notes = pages.listed([f"warning: {warning}" for warning in self.warnings], "note")
        return (
            f"<h2>{self.title}</h2>{pages.verdict(self.verdict, self.holds)}{pages.listed(self.lines)}{notes}"
            f"{numbers.figures(self.figures)}{tables}"
        )


def restored(words: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Section:
    """The section of which `words` and `arrays` were kept."""
    tables = tuple(Table(**{**t, "head": tuple(t["head"]), "rows": tuple(map(tuple, t["rows"]))}) for t in words["tables"])  # fmt: skip
    lists = {name: tuple(words[name]) for name in ("lines", "warnings")}
    figures = tuple((svg, caption) for svg, caption in words["figures"])
    return Section(**{**words, **lists, "tables": tables, "figures": figures, "arrays": dict(arrays)})


def numbers_of(**found: Any) -> dict[str, NDArray[Any]]:
    """Arrays by name; an Estimate becomes its value and, under name.error, its error; None is left out."""
    kept: dict[str, NDArray[Any]] = {}
    for name, part in found.items():
        if isinstance(part, Estimate):
            kept |= {name: np.asarray(part.value), f"{name}.error": np.asarray(part.error)}
        elif part is not None:
            kept[name] = np.asarray(part)
    return kept
