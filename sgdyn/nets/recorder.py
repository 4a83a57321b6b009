"""What is seen of a run while it runs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

FIRST = 64
"""Rows at the beginning."""


class Recorder:
    """Tensors (replica, row, ...) of double precision on the CPU, which double their rows up to `most` as these are written.

    So they take the memory of the result, and while they grow for the last time half as much again.
    """

    def __init__(self, most: int, kept: Mapping[str, Tensor] | None = None) -> None:
        self.most, self.kept = most, dict(kept or {})

    def write(self, row: int, seen: Mapping[str, Tensor]) -> None:
        """Put tensors (replica, ...) into a row: the next one, or one that was written before, which is replaced."""
        for name, value in seen.items():
            self._room(name, row, value)[:, row] = value.detach()

    def _room(self, name: str, row: int, value: Tensor) -> Tensor:
        have = self.kept.get(name)
        if have is not None and row < have.shape[1]:
            return have
        grown = torch.empty((len(value), min(self.most, max(FIRST, 2 * row)), *value.shape[1:]), dtype=torch.float64)
        if have is not None:
            grown[:, :row] = have[:, :row]
        self.kept[name] = grown
        return grown

    def rows(self, count: int) -> dict[str, Tensor]:
        """The first rows of all tensors."""
        return {name: tensor[:, :count].contiguous() for name, tensor in self.kept.items()} if count else {}
