"""Vectors of weight space as tensors, where the network is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sgdyn.linalg.spaces import BLOCK

Floats = NDArray[np.float64]

GROUP = 64 * BLOCK
"""So many components are multiplied by one call: a GPU would wait for many small ones."""


class TensorSpace:
    """Tensors in the precision and on the device of others (dim,); inner products are summed in double precision."""

    def __init__(self, like: Tensor) -> None:
        self.like, self.dim = like, int(like.numel())
        self.eps = float(torch.finfo(like.dtype).eps)

    def empty(self, count: int) -> Tensor:
        return torch.empty((count, self.dim), dtype=self.like.dtype, device=self.like.device)

    def vector(self, values: Floats) -> Tensor:
        return torch.as_tensor(values).to(self.like, copy=True)  # torch's own memory: sums go by its alignment

    def array(self, vectors: Tensor) -> Floats:
        return numpy_of(vectors)

    def dots(self, rows: Tensor, vector: Tensor) -> Floats:
        return numpy_of(dot(rows, vector))

    def combine(self, coefficients: Floats, rows: Tensor) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(coefficients)).to(self.like) @ rows


def dot(rows: Tensor, vector: Tensor) -> Tensor:
    """rows (m, p) times vector (p,), sums of blocks added in double precision: single precision loses digits over long vectors.

    One row, a length mostly, is multiplied in double precision too; among many that would take six times as long.
    """
    if rows.dtype == torch.float64:
        return rows @ vector.double()
    within = torch.float64 if len(rows) == 1 else rows.dtype
    sums = together if rows.is_cuda else one_by_one
    return sums(rows, vector, within)


def one_by_one(rows: Tensor, vector: Tensor, within: torch.dtype) -> Tensor:
    """One product a block: the quickest on a processor."""
    total = torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
    for start in range(0, rows.shape[1], BLOCK):
        part = slice(start, start + BLOCK)
        total += (rows[:, part].to(within) @ vector[part].to(within)).double()
    return total


def together(rows: Tensor, vector: Tensor, within: torch.dtype) -> Tensor:
    """Many blocks at once: a GPU would wait for single ones."""
    whole = rows.shape[1] // BLOCK * BLOCK
    total = (rows[:, whole:].to(within) @ vector[whole:].to(within)).double()
    for start in range(0, whole, GROUP):
        part = slice(start, min(start + GROUP, whole))
        a, b = (x[..., part].unflatten(-1, (-1, BLOCK)).to(within) for x in (rows, vector))
        total += torch.bmm(a.transpose(0, 1), b[..., None]).sum(0, dtype=torch.float64)[:, 0]
    return total


def numpy_of(tensor: Any) -> Floats:
    """A tensor as a NumPy float64 array."""
    return np.asarray(tensor.detach().double().cpu().numpy())
