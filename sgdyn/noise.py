"""The diffusion matrix D(x): its square root, its divergence, and checks that it is one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.codegen.blocks import dense_noise, diagonal_noise, low_rank_noise
from sgdyn.codegen.formula import Formula, combined, traced
from sgdyn.codegen.jit import PIVOT_TOLERANCE
from sgdyn.covariance import check_symmetric
from sgdyn.covariance import semidefinite_cholesky as semidefinite_cholesky
from sgdyn.fields import Constant, Field, Opaque

Floats = NDArray[np.float64]


class Noise(Protocol):
    """D(x) = sigma(x) sigma(x)' with sigma (dim, rank); a step needs `rank` normals."""

    @property
    def dim(self) -> int: ...
    @property
    def rank(self) -> int: ...
    @property
    def theta(self) -> Floats: ...
    @property
    def block(self) -> Any: ...  # a compiled `jit.NOISE_BLOCK`, None where only Python can evaluate D
    @property
    def matrix(self) -> Field: ...
    @property
    def divergence(self) -> Field: ...
    def apply(self, x: Floats, z: Floats) -> Floats: ...  # sigma(x) z of x (n, dim) and z (n, rank)
    def __call__(self, x: ArrayLike) -> Floats: ...  # D at points (..., dim), as (..., dim, dim)


class _ConstantNoise(ABC):
    """What noise of constant D has in common."""

    @property
    @abstractmethod
    def dim(self) -> int: ...

    @abstractmethod
    def _value(self) -> Floats:
        """D (dim, dim)."""

    @cached_property
    def matrix(self) -> Constant:
        return Constant(self._value(), self.dim)

    @property
    def divergence(self) -> Constant:
        return Constant(np.zeros(self.dim), self.dim)

    def __call__(self, x: ArrayLike) -> Floats:
        return self.matrix(x)


@dataclass(frozen=True, eq=False)
class Diagonal(_ConstantNoise):
    """D = diag(values), values (dim,) >= 0; coordinates with zero get no noise at all."""

    values: Floats

    def __post_init__(self) -> None:
        if np.any(self.values < 0):
            i = int(np.argmin(self.values))
            raise ValueError(f"got D with the diagonal element {self.values[i]:.6g} at {i}, expected numbers >= 0")

    @property
    def dim(self) -> int:
        return len(self.values)

    @cached_property
    def _noisy(self) -> NDArray[np.intp]:
        return np.flatnonzero(self.values)

    @property
    def rank(self) -> int:
        return len(self._noisy)

    @property
    def isotropic(self) -> float | None:
        """The one value, if all are the same."""
        return float(self.values[0]) if np.all(self.values == self.values[0]) else None

    @property
    def theta(self) -> Floats:
        return np.concatenate([self._noisy.astype(np.float64), np.sqrt(self.values[self._noisy])])

    @property
    def block(self) -> Any:
        return diagonal_noise.compiled

    def _value(self) -> Floats:
        return np.asarray(np.diag(self.values))

    def apply(self, x: Floats, z: Floats) -> Floats:
        out = np.zeros((*z.shape[:-1], self.dim))
        out[..., self._noisy] = np.sqrt(self.values[self._noisy]) * z
        return out


@dataclass(frozen=True, eq=False)
class Dense(_ConstantNoise):
    """D = factor factor', factor (dim, rank) lower triangular: the semidefinite Cholesky factor without its zero columns."""

    factor: Floats

    @property
    def dim(self) -> int:
        return int(self.factor.shape[0])

    @property
    def rank(self) -> int:
        return int(self.factor.shape[1])

    @property
    def theta(self) -> Floats:
        return self.factor.ravel()

    @property
    def block(self) -> Any:
        return dense_noise.compiled

    def _value(self) -> Floats:
        return np.asarray(self.factor @ self.factor.T)

    def apply(self, x: Floats, z: Floats) -> Floats:
        return np.asarray(z @ self.factor.T)


@dataclass(frozen=True, eq=False)
class LowRank(_ConstantNoise):
    """D = V diag(s) V' + floor I: V (dim, k), s (k,) >= 0, floor >= 0. No normals are spent on a floor of zero.

    Raises ValueError for negative s or floor and for shapes that do not fit.
    """

    V: Floats
    s: Floats
    floor: float = 0.0

    def __post_init__(self) -> None:
        V = checks.finite("V", self.V)
        if V.ndim != 2:
            raise ValueError(f"got V of shape {V.shape}, expected (dim, k)")
        s = checks.vector("s", self.s, V.shape[1])
        if np.any(s < 0):
            raise ValueError(f"got s with the element {s.min():.6g}, expected numbers >= 0")
        for name, value in (("V", V), ("s", s), ("floor", checks.positive("floor", self.floor, zero=True))):
            object.__setattr__(self, name, value)

    @property
    def dim(self) -> int:
        return int(self.V.shape[0])

    @property
    def rank(self) -> int:
        return len(self.s) + (self.dim if self.floor else 0)

    @property
    def theta(self) -> Floats:
        return np.concatenate([[np.sqrt(self.floor)], (self.V * np.sqrt(self.s)).ravel()])

    @property
    def block(self) -> Any:
        return low_rank_noise.compiled

    def _value(self) -> Floats:
        return np.asarray((self.V * self.s) @ self.V.T + self.floor * np.eye(self.dim))

    def apply(self, x: Floats, z: Floats) -> Floats:
        k = len(self.s)
        out = z[..., :k] @ (self.V * np.sqrt(self.s)).T
        return np.asarray(out + np.sqrt(self.floor) * z[..., k:] if self.floor else out)


@dataclass(frozen=True, eq=False)
class Varying:
    """D(x) given by a field of matrices (dim, dim); its root is the semidefinite Cholesky factor at every point."""

    matrix: Field
    divergence: Field

    @property
    def dim(self) -> int:
        return self.matrix.dim

    @property
    def rank(self) -> int:
        return self.dim

    @property
    def clocks(self) -> tuple[int, ...]:
        """Where the parameters hold the time (see `Formula`)."""
        return getattr(self.matrix, "clocks", ())

    @property
    def theta(self) -> Floats:
        return self.matrix.theta

    @property
    def block(self) -> Any:
        return self.matrix.noise_block if isinstance(self.matrix, Formula) else None

    def __call__(self, x: ArrayLike) -> Floats:
        return self.matrix(x)

    def apply(self, x: Floats, z: Floats) -> Floats:
        return np.asarray(np.einsum("...ij,...j->...i", semidefinite_cholesky(self.matrix(x)), z))


def nearest_covariance(D: ArrayLike) -> Floats:
    """The positive semidefinite matrix nearest to a symmetric one in Frobenius norm: its negative eigenvalues set to zero (Higham 1988)."""
    values, vectors = np.linalg.eigh(checks.symmetric("D", D))
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)


def noise_from_functions(
    matrix: Callable[[Floats], ArrayLike],
    divergence: Callable[[Floats], ArrayLike] | None = None,
    *,
    dim: int,
    check: bool = True,
) -> Varying:
    """A state-dependent D from Python functions of points (..., dim): D(x) (..., dim, dim) and (div D)_i = sum_j d_j D_ij (..., dim).

    For what NumPy-traceable functions cannot say; simulated by NumPy steps. Without `divergence`, what needs it raises ValueError.
    Raises ValueError if D is not symmetric at some random points (`check=False` skips it).
    """

    def missing(x: Floats) -> ArrayLike:
        raise ValueError("the divergence of D was not given; pass it to noise_from_functions")

    field = Opaque(matrix, checks.count("dim", dim), (dim, dim), name="D")
    if check:
        check_symmetric(field)
    return Varying(field, Opaque(divergence or missing, dim, (dim,), name="the divergence of D"))


def as_noise(value: Any, dim: int) -> Noise:
    """D from a number, (dim,), (dim, dim), `LowRank`, or a function of x that returns any of the three.

    Raises ValueError if it is not symmetric positive semidefinite (naming the eigenvalue) or does not fit the dimension. A function
    is checked for symmetry only; where it is indefinite, a simulation raises `BlowUpError`.
    """
    if isinstance(value, Diagonal | Dense | LowRank | Varying):
        found: Noise = value
    elif callable(value):
        found = _traced_noise(value, dim)
    else:
        found = _constant_noise(checks.finite("D", value), dim)
    if found.dim != dim:
        raise ValueError(f"got D in dimension {found.dim}, expected {dim}")
    return found


def _constant_noise(array: Floats, dim: int) -> Noise:
    if array.ndim < 2:
        return Diagonal(checks.vector("D", array, dim))
    matrix = checks.positive_semidefinite("D", array, dim)
    if not np.any(matrix - np.diag(np.diag(matrix))):
        return Diagonal(np.maximum(np.diag(matrix), 0.0))
    factor = semidefinite_cholesky(matrix)
    return _dense(matrix, factor[:, np.any(factor != 0, axis=0)])


def _dense(matrix: Floats, factor: Floats) -> Noise:
    """The Cholesky factor, or eigenvectors where rounding has spoiled it (nearly singular D)."""
    error = np.abs(factor @ factor.T - matrix).max()
    if np.isfinite(error) and error <= 1e-9 * np.abs(matrix).max():
        return Dense(np.ascontiguousarray(factor))
    values, vectors = np.linalg.eigh(matrix)
    keep = values > PIVOT_TOLERANCE * values[-1]
    return LowRank(vectors[:, keep], values[keep])


def _traced_noise(function: Callable[..., Any], dim: int) -> Varying:
    given = traced(function, dim)
    rules: dict[tuple[int, ...], Callable[..., Any]] = {
        (): lambda e: np.diag(np.full(dim, e.item())),
        (dim,): np.diag,
        (dim, dim): lambda e: e,
    }
    if given.shape not in rules:
        raise ValueError(f"got D(x) of shape {given.shape}, expected (), ({dim},) or ({dim}, {dim})")
    matrix = given if given.shape == (dim, dim) else combined("matrix", [given], (dim, dim), rules[given.shape])
    if given.shape == (dim, dim) and not np.array_equal(written := given.make().components, written.T):
        check_symmetric(given)
    return Varying(matrix, matrix.gradient().trace())
