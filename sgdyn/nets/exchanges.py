"""Inner products of gradients whose samples different processes hold."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from sgdyn.nets.pieces import Lookup, Piece, pairs_side
from sgdyn.nets.positions import Positions
from sgdyn.nets.shards import Shards


def visitor(piece: Piece, shards: Shards, rank: int) -> Piece:
    """The same piece of another process."""
    there: dict[str, Any] = {name: shards.visitor(part, rank) for name, part in piece.tensors().items()}
    return dataclasses.replace(piece, **there)


def across(mine: Piece, theirs: Piece, total: Tensor) -> None:
    """Add the inner products g_i . g_j of the samples of one piece with those of another to a matrix (here, there)."""
    here, there = total.shape
    both = mine.room(here + there)
    both.put(0, mine)
    both.put(here, theirs)
    if isinstance(both, Positions) and not both.by_pairs:
        for panel in both.panels(here + there):
            total += panel[:here].double() @ panel[here:].double().T
        return
    side = pairs_side(_positions(both))
    for i in range(0, here, side):
        left = slice(i, min(i + side, here))
        for j in range(0, there, side):
            stop = min(j + side, there)
            total[left, j:stop] += both.gram(left, slice(here + j, here + stop))


def _positions(piece: Piece) -> int:
    if isinstance(piece, Positions):
        return piece.slopes(slice(1)).shape[1]
    return piece.numbers.shape[1] if isinstance(piece, Lookup) else 1
