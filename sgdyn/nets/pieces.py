"""The gradients of all samples with respect to one parameter, as what a layer was given and what came back to it.

For a linear layer g_i = sum_t d_it a_it', a the inputs and d the slopes of the loss at the outputs: products with all g_i, and the inner
products g_i . g_j = sum_ts (a_it . a_js)(d_it . d_js), need a and d alone. Source: Goodfellow, arXiv:1510.01799; Bu et al.,
arXiv:2205.10683 ("ghost" norms).
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

BLOCK_BYTES = 64 * 2**20
SIDE = 256
"""Samples on a side of a block of the Gram matrix."""


@dataclass(frozen=True, eq=False)
class Piece(ABC):
    """Gradients g_i (N, size) in one place of the flat vector; what every layer can do with its rows alone."""

    place: slice

    @property
    def size(self) -> int:
        return int(self.place.stop - self.place.start)

    def tensors(self) -> dict[str, Tensor]:
        """What is kept of each sample, by name."""
        held = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: part for name, part in held.items() if isinstance(part, Tensor)}

    def room(self, n: int) -> Piece:
        """A piece of this kind for n samples, to be filled by `put`."""
        empty: dict[str, Any] = {name: t.new_empty(n, *t.shape[1:]) for name, t in self.tensors().items()}
        return dataclasses.replace(self, **empty)

    def put(self, start: int, part: Piece) -> None:
        """The samples from `start` are those of another piece."""
        for name, given in part.tensors().items():
            getattr(self, name)[start : start + len(given)] = given

    @abstractmethod
    def rows(self, samples: slice) -> Tensor:
        """g_i of some samples (b, size)."""

    @abstractmethod
    def push(self, v: Tensor) -> Tensor:
        """g_i . v (N,) in double precision for v (size,)."""

    @abstractmethod
    def pull(self, u: Tensor) -> Tensor:
        """sum_i u_i g_i (size,) for u (N,)."""

    def gram(self, i: slice, j: slice) -> Tensor:
        """g_i . g_j (b, c) in double precision."""
        return self.rows(i).double() @ self.rows(j).double().T

    def add_gram(self, total: Tensor) -> None:
        """Add g_i . g_j to the lower triangle of a matrix (N, N) in double precision, in blocks."""
        for i, j in lower(len(total), SIDE):
            total[i, j] += self.gram(i, j)

    def squares(self, n: int) -> Tensor:
        """|g_i|² (N,) in double precision."""
        return torch.cat([self.rows(part).double().square().sum(1) for part in self.blocks(n)])

    def column_squares(self, n: int) -> Tensor:
        """sum_i g_i² (size,), component by component, in double precision."""
        parts = [self.rows(part).double().square().sum(0) for part in self.blocks(n)]
        return torch.stack(parts).sum(0)

    def blocks(self, n: int) -> list[slice]:
        """Samples so few at once that their rows are small."""
        size = max(1, min(512, BLOCK_BYTES // (8 * self.size)))
        return [slice(start, min(start + size, n)) for start in range(0, n, size)]


@dataclass(frozen=True, eq=False)
class Rows(Piece):
    """The rows themselves (N, size): biases, and layers with few parameters."""

    values: Tensor

    def rows(self, samples: slice) -> Tensor:
        return self.values[samples]

    def push(self, v: Tensor) -> Tensor:
        return (self.values @ v).double()

    def pull(self, u: Tensor) -> Tensor:
        return u @ self.values


@dataclass(frozen=True, eq=False)
class Outer(Piece):
    """g_i = d_i a_i' for inputs a (N, inputs) and slopes d (N, outputs): the weights of a linear layer used once."""

    a: Tensor
    d: Tensor

    def rows(self, samples: slice) -> Tensor:
        return (self.d[samples, :, None] * self.a[samples, None, :]).flatten(1)

    def push(self, v: Tensor) -> Tensor:
        return ((self.a @ v.view(self.d.shape[1], -1).T) * self.d).sum(1, dtype=torch.float64)

    def pull(self, u: Tensor) -> Tensor:
        return ((self.d * u[:, None]).T @ self.a).flatten()

    def gram(self, i: slice, j: slice) -> Tensor:
        return (self.a[i].double() @ self.a[j].double().T) * (self.d[i].double() @ self.d[j].double().T)

    def squares(self, n: int) -> Tensor:
        return self.a.double().square().sum(1) * self.d.double().square().sum(1)

    def column_squares(self, n: int) -> Tensor:
        return (self.d.double().square().T @ self.a.double().square()).flatten()


@dataclass(frozen=True, eq=False)
class Lookup(Piece):
    """g_i = sum_t e_(k_it) d_it' for numbers k (N, T) and slopes d (N, T, width): an embedding."""

    numbers: Tensor
    d: Tensor

    def rows(self, samples: slice) -> Tensor:
        numbers, d = self.numbers[samples], self.d[samples]
        rows = d.new_zeros(len(d), self.size // d.shape[2], d.shape[2])
        return rows.scatter_add(1, numbers[..., None].expand_as(d), d).flatten(1)

    def push(self, v: Tensor) -> Tensor:
        return (v.view(-1, self.d.shape[2])[self.numbers] * self.d).sum((1, 2), dtype=torch.float64)

    def pull(self, u: Tensor) -> Tensor:
        width = self.d.shape[2]
        slopes = (self.d * u[:, None, None]).reshape(-1, width)
        return slopes.new_zeros(self.size // width, width).index_add(0, self.numbers.flatten(), slopes).flatten()

    def gram(self, i: slice, j: slice) -> Tensor:
        T = self.numbers.shape[1]
        same = self.numbers[i].flatten()[:, None] == self.numbers[j].flatten()[None, :]
        pairs = same * (self.d[i].double().flatten(0, 1) @ self.d[j].double().flatten(0, 1).T)
        return pairs.view(len(self.d[i]), T, -1, T).sum((1, 3))

    def add_gram(self, total: Tensor) -> None:
        for i, j in lower(len(total), pairs_side(self.numbers.shape[1])):
            total[i, j] += self.gram(i, j)

    def squares(self, n: int) -> Tensor:
        same = self.numbers[:, :, None] == self.numbers[:, None, :]
        return (same * (self.d @ self.d.transpose(1, 2))).sum((1, 2), dtype=torch.float64)


def lower(n: int, side: int) -> Iterator[tuple[slice, slice]]:
    """The blocks of a matrix (n, n) that touch its lower triangle."""
    starts = range(0, n, side)
    return ((slice(i, i + side), slice(j, j + side)) for i in starts for j in starts if j <= i)


def pairs_side(positions: int) -> int:
    """The side of a block whose pairs of positions fit into the memory for them."""
    return max(1, min(SIDE, int((2 * BLOCK_BYTES / 8) ** 0.5) // positions))
