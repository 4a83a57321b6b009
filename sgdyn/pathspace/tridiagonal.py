"""Symmetric block tridiagonal matrices: the second derivatives of an action."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky_banded, eig_banded, solve_banded

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BlockTridiagonal:
    """The symmetric matrix with blocks diagonal (m, d, d) and, above it, upper (m - 1, d, d)."""

    diagonal: Floats
    upper: Floats

    @property
    def dim(self) -> int:
        return int(self.diagonal.shape[-1])

    def __matmul__(self, v: Floats) -> Floats:
        """The product with v (m, d)."""
        found = np.einsum("nij,nj->ni", self.diagonal, v)
        found[:-1] += np.einsum("nij,nj->ni", self.upper, v[1:])
        found[1:] += np.einsum("nji,nj->ni", self.upper, v[:-1])
        return np.asarray(found)

    @cached_property
    def band(self) -> Floats:
        """The upper half in LAPACK's band storage (2 d, m d): the element (i, j) stands at [2 d - 1 + i - j, j]."""
        d, m = self.dim, len(self.diagonal)
        found = np.zeros((2 * d, m, d))
        for j in range(d):
            for i in range(j + 1):
                found[2 * d - 1 + i - j, :, j] = self.diagonal[:, i, j]
            for i in range(d):
                found[d - 1 + i - j, 1:, j] = self.upper[:, i, j]
        return found.reshape(2 * d, m * d)

    def solve(self, v: Floats) -> Floats:
        """The solution u (m, d) of M u = v, M indefinite or not."""
        d = 2 * self.dim - 1
        whole = np.concatenate([self.band, np.zeros((d, self.band.shape[1]))])
        for k in range(1, d + 1):
            whole[d + k, :-k] = self.band[d - k, k:]
        return np.asarray(solve_banded((d, d), whole, v.ravel(), check_finite=False).reshape(v.shape))

    def lowest(self) -> Floats:
        """The eigenvector of the lowest eigenvalue (m, d)."""
        vector = eig_banded(self.band, select="i", select_range=(0, 0), check_finite=False)[1]
        return np.asarray(vector.reshape(-1, self.dim))

    def shifted(self, other: BlockTridiagonal, factor: float) -> BlockTridiagonal:
        """M + factor other."""
        return BlockTridiagonal(self.diagonal + factor * other.diagonal, self.upper + factor * other.upper)

    @cached_property
    def factor(self) -> Floats:
        """R of M = R'R, in LAPACK's band storage (2 d, m d). Raises LinAlgError where M is not positive definite."""
        return np.asarray(cholesky_banded(self.band, check_finite=False))

    def is_positive(self) -> bool:
        """Whether the matrix is positive definite."""
        try:
            return self.factor is not None
        except LinAlgError:
            return False

    @cached_property
    def pivots(self) -> Floats:
        """The blocks of D in M = L D L' (m, d, d): P_1 = A_1, P_k = A_k - B_{k-1}' P_{k-1}^-1 B_{k-1}.

        The determinant of the leading k blocks, the discrete Jacobi field, is the product of det P_1, ..., det P_k.
        """
        found = np.empty_like(self.diagonal)
        found[0] = self.diagonal[0]
        for k in range(1, len(found)):
            B = self.upper[k - 1]
            found[k] = self.diagonal[k] - B.T @ np.linalg.solve(found[k - 1], B)
        return found

    @cached_property
    def negative(self) -> NDArray[np.intp]:
        """The number of negative eigenvalues of each pivot (m,); their sum is that of the matrix (Sylvester)."""
        symmetric = 0.5 * (self.pivots + np.swapaxes(self.pivots, -1, -2))
        return np.asarray((np.linalg.eigvalsh(symmetric) < 0).sum(-1))

    @property
    def index(self) -> int:
        """The number of negative eigenvalues."""
        return int(self.negative.sum())

    @property
    def log_determinant(self) -> float:
        """log |det M|."""
        return float(np.linalg.slogdet(self.pivots)[1].sum())


@dataclass(frozen=True, eq=False)
class BlockPentadiagonal:
    """The symmetric matrix with blocks diagonal (m, d, d), upper (m - 1, d, d) and second (m - 2, d, d) above it.

    Two blocks together make it block tridiagonal; where m is odd a 1 on the diagonal is added, which changes no determinant.
    """

    diagonal: Floats
    upper: Floats
    second: Floats

    @cached_property
    def paired(self) -> BlockTridiagonal:
        """The same as blocks of twice the size."""
        m, d = self.diagonal.shape[:2]
        half = (m + 1) // 2
        diagonal, upper = np.zeros((half, 2, d, 2, d)), np.zeros((half, 2, d, 2, d))
        diagonal[:, 0, :, 0], diagonal[: m // 2, 1, :, 1] = self.diagonal[::2], self.diagonal[1::2]
        if m % 2:
            diagonal[-1, 1, :, 1] = np.eye(d)
        inside, between = self.upper[::2], self.upper[1::2]
        diagonal[: len(inside), 0, :, 1] = inside
        diagonal[: len(inside), 1, :, 0] = np.swapaxes(inside, -1, -2)
        upper[: len(between), 1, :, 0] = between
        upper[: len(self.second[::2]), 0, :, 0] = self.second[::2]
        upper[: len(self.second[1::2]), 1, :, 1] = self.second[1::2]
        return BlockTridiagonal(diagonal.reshape(half, 2 * d, 2 * d), upper[:-1].reshape(half - 1, 2 * d, 2 * d))

    def solve(self, v: Floats) -> Floats:
        """The solution u (m, d) of M u = v."""
        whole = np.zeros((2 * len(self.paired.diagonal), v.shape[1]))
        whole[: len(v)] = v
        return self.paired.solve(whole.reshape(-1, 2 * v.shape[1])).reshape(whole.shape)[: len(v)]

    def shifted(self, other: BlockPentadiagonal, factor: float) -> BlockPentadiagonal:
        """M + factor other."""
        return BlockPentadiagonal(
            self.diagonal + factor * other.diagonal,
            self.upper + factor * other.upper,
            self.second + factor * other.second,
        )

    @property
    def factor(self) -> Floats:
        """R of M = R'R in band storage, with the row that was added."""
        return self.paired.factor

    def is_positive(self) -> bool:
        """Whether the matrix is positive definite."""
        return self.paired.is_positive()

    @property
    def negative(self) -> NDArray[np.intp]:
        """The number of negative eigenvalues of the pivot of each pair."""
        return self.paired.negative

    @property
    def log_determinant(self) -> float:
        """log |det M|."""
        return self.paired.log_determinant
