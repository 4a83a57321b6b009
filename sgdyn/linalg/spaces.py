"""What the algorithms need of vectors, so that they run on NumPy arrays and on the tensors of a GPU alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BLOCK = 16384
"""Inner products in single precision are summed over so many components, and these sums in double: it loses digits over long vectors."""


class Space(Protocol):
    """Vectors (dim,) and rows of them (count, dim) of one kind; `eps` is their rounding error."""

    dim: int
    eps: float

    def empty(self, count: int) -> Any:
        """Rows with any content."""

    def vector(self, values: Floats) -> Any:
        """A vector of numbers (dim,)."""

    def array(self, vectors: Any) -> Floats:
        """A vector, or rows, as NumPy float64."""

    def dots(self, rows: Any, vector: Any) -> Floats:
        """Inner products (count,) in double precision."""

    def combine(self, coefficients: Floats, rows: Any) -> Any:
        """The vector sum_i coefficients_i row_i; rows (m, dim) for coefficients (m, count)."""


class NumPySpace:
    """Arrays in double precision."""

    eps = float(np.finfo(np.float64).eps)

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def empty(self, count: int) -> Floats:
        return np.empty((count, self.dim))

    def vector(self, values: Floats) -> Floats:
        return np.asarray(values, dtype=np.float64)

    def array(self, vectors: Floats) -> Floats:
        return vectors

    def dots(self, rows: Floats, vector: Floats) -> Floats:
        return np.asarray(rows @ vector)

    def combine(self, coefficients: Floats, rows: Floats) -> Floats:
        return np.asarray(coefficients @ rows)


def norm(space: Space, vector: Any) -> float:
    """The length of a vector."""
    return float(np.sqrt(space.dots(vector[None], vector)[0]))


def without(space: Space, vector: Any, rows: Any) -> tuple[Any, Floats]:
    """What of a vector is orthogonal to orthonormal rows, and its coordinates along them; a second pass where the first cancels."""
    found = np.zeros(len(rows))
    before = norm(space, vector)
    for _ in range(3 if len(rows) else 0):
        part = space.dots(rows, vector)
        vector, found = vector - space.combine(part, rows), found + part
        after = norm(space, vector)
        if after > 0.7 * before:
            break
        before = after
    return vector, found


def orthonormal(space: Space, vectors: Iterator[Any], count: int, against: Any = None) -> tuple[Any, Floats]:
    """Orthonormal rows (<= count, dim) and the triangle R with vectors_j = sum_i R_ij row_i; what depends on others is left out.

    against: orthonormal rows that the new ones are orthogonal to.
    """
    rows, triangle, rank = space.empty(count), np.zeros((count, count)), 0
    for j, vector in enumerate(vectors):
        size = norm(space, vector)
        if against is not None:
            vector = without(space, vector, against)[0]
        vector, triangle[:rank, j] = without(space, vector, rows[:rank])
        length = norm(space, vector)
        if length > 100 * space.eps * size:
            rows[rank], triangle[rank, j] = vector / length, length
            rank += 1
    return rows[:rank], triangle[:rank]
