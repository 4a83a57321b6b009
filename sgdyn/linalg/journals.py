"""Products of an operator kept in a folder as they are made, so that long work goes on after a crash where it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.storage import Folder

if TYPE_CHECKING:
    from sgdyn.linalg.operators import SymmetricOperator

SINGLE = 1e-9
"""A rounding error larger than this is one of single precision: four bytes a number are enough."""


class Journal:
    """An operator whose products are written down, and given again in the same order to whoever asks anew.

    All methods here are functions of a seed and of the products, so that they go through the same steps to the same bits, whatever they
    keep. The folder takes p numbers for each product.
    """

    def __init__(self, operator: SymmetricOperator, place: str | Path, question: dict[str, Any]) -> None:
        """Raises ValueError for a folder that is damaged, or of another operator or another question."""
        self.operator, self.space = operator, operator.space
        self.folder = Folder(place, lambda: operator.identity() | question, "question", "files")
        index = self.folder.index()
        self.files: list[list[Any]] = [] if index is None else index["files"]
        self.stored = sum(count for _, count, _ in self.files)
        self.asked, self._open = 0, (-1, np.zeros((0, 0)))
        self._new: list[NDArray[Any]] = []

    def __call__(self, v: Any) -> Any:
        """A v, from the folder while there are products."""
        number, self.asked = self.asked, self.asked + 1
        if number < self.stored:
            return self.space.vector(self._read(number))
        product = self.operator.apply(v)
        kind = np.float32 if self.space.eps > SINGLE else np.float64
        self._new.append(self.space.array(product).astype(kind))
        if self.folder.due():
            self.save()
        return product

    def shorten(self, count: int) -> None:
        """Take only the first products for known."""
        kept, left = [], count
        for name, here, key in self.files:
            if left > 0:
                kept.append([name, min(here, left), key])
            left -= here
        self.files, self.stored = kept, min(count, self.stored)

    def save(self) -> None:
        """Write down the products since the last time."""
        if not self._new:
            return
        rows, first = np.stack(self._new), self.stored
        name = f"products-{first}-{first + len(rows)}.npz"
        self.files.append([name, len(rows), self.folder.save(name, {"products": rows})])
        self.folder.save_index({"files": self.files})
        self._new, self.stored = [], first + len(rows)

    def _read(self, number: int) -> NDArray[np.float64]:
        first = 0
        for i, (name, count, key) in enumerate(self.files):
            if number < first + count:
                if self._open[0] != i:
                    self._open = i, self.folder.load(name, key)["products"]
                return np.asarray(self._open[1][number - first], dtype=np.float64)
            first += count
        raise IndexError(number)


@contextmanager
def journal(operator: SymmetricOperator, place: str | Path | None, **question: Any) -> Iterator[Any]:
    """What multiplies: the operator itself, or its journal, which is written to the end whatever happens."""
    if place is None:
        yield operator.apply
        return
    kept = operator.journal(place, question)
    try:
        yield kept
    finally:
        kept.save()
