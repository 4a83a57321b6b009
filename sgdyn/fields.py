"""Tensor fields on R^dim and their algebra: formulas, affine maps, constants and Python functions behind one protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.codegen.blocks import affine_block
from sgdyn.codegen.formula import UNROLLED, Formula, combined, constants, traced

Floats = NDArray[np.float64]


class Field(Protocol):
    """A map from points (..., dim) to tensors (..., *shape)."""

    @property
    def dim(self) -> int: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def theta(self) -> Floats: ...
    @property
    def block(self) -> Any: ...  # a compiled `jit.FIELD_BLOCK`, None where only Python can evaluate the field
    def __call__(self, x: ArrayLike) -> Floats: ...
    def gradient(self) -> Field: ...
    def trace(self) -> Field: ...
    def negated(self) -> Field: ...


@dataclass(frozen=True, eq=False)
class Affine:
    """matrix x + offset: matrix (size, dim), offset (size,)."""

    matrix: Floats
    offset: Floats

    @property
    def dim(self) -> int:
        return int(self.matrix.shape[1])

    @property
    def shape(self) -> tuple[int, ...]:
        return self.offset.shape

    @property
    def theta(self) -> Floats:
        return np.concatenate([self.offset, self.matrix.ravel()])

    @property
    def block(self) -> Any:
        return affine_block.compiled

    def __call__(self, x: ArrayLike) -> Floats:
        return np.asarray(checks.points(x, self.dim) @ self.matrix.T + self.offset)

    def torch(self, x: Any) -> Any:
        """The field at a torch tensor (..., dim)."""
        return x @ x.new_tensor(self.matrix.T) + x.new_tensor(self.offset)

    def gradient(self) -> Constant:
        return Constant(self.matrix, self.dim)

    def trace(self) -> Field:
        raise TypeError("a vector field has no trace; take the trace of its gradient")

    def negated(self) -> Affine:
        return Affine(-self.matrix, -self.offset)

    def formula(self) -> Formula:
        """The same map in symbols, matrix and offset as parameters."""
        return traced(
            lambda x, matrix, offset: matrix @ x + offset, self.dim, {"matrix": self.matrix, "offset": self.offset}
        )


@dataclass(frozen=True, eq=False)
class Constant:
    """The same tensor everywhere."""

    value: Floats
    dim: int
    block = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def theta(self) -> Floats:
        return np.ravel(self.value)

    def __call__(self, x: ArrayLike) -> Floats:
        return np.broadcast_to(self.value, (*checks.points(x, self.dim).shape[:-1], *self.shape)).copy()

    def gradient(self) -> Constant:
        return Constant(np.zeros((*self.shape, self.dim)), self.dim)

    def trace(self) -> Constant:
        return Constant(np.asarray(np.trace(self.value, axis1=-2, axis2=-1)), self.dim)

    def negated(self) -> Constant:
        return Constant(-self.value, self.dim)

    def formula(self) -> Formula:
        """The same tensor in symbols."""
        return constants(self.value, self.dim)


@dataclass(frozen=True, eq=False)
class Opaque:
    """A Python function of points (..., dim), whose derivatives are other functions or unknown."""

    function: Callable[[Floats], ArrayLike]
    dim: int
    shape: tuple[int, ...]
    derivative: Field | None = None
    name: str = "the function"
    block = None
    theta = np.zeros(0)

    def __call__(self, x: ArrayLike) -> Floats:
        x = checks.points(x, self.dim)
        values = np.asarray(self.function(x), dtype=np.float64)
        expected = (*x.shape[:-1], *self.shape)
        if values.shape != expected:
            raise ValueError(
                f"got {self.name} of shape {values.shape} at points of shape {x.shape}, expected {expected}: it must work over leading axes"
            )
        return values

    def gradient(self) -> Field:
        if self.derivative is None:
            raise ValueError(
                f"the derivative of {self.name} was not given; pass it to Potential.from_functions, or write the function in NumPy for @sg.potential"
            )
        return self.derivative

    def trace(self) -> Opaque:
        return Opaque(
            lambda x: np.trace(self(x), axis1=-2, axis2=-1), self.dim, self.shape[:-2], name=f"the trace of {self.name}"
        )

    def negated(self) -> Opaque:
        derivative = None if self.derivative is None else self.derivative.negated()
        return Opaque(lambda x: -self(x), self.dim, self.shape, derivative, self.name)


def is_field(value: Any) -> bool:
    """True for the kinds of field that users can pass."""
    return isinstance(value, Formula | Affine | Constant | Opaque)


def as_formula(field: Field) -> Formula | None:
    """The field in symbols, where that is sensible."""
    if isinstance(field, Affine | Constant):
        return field.formula() if max(field.dim, int(np.prod(field.shape))) <= 4 * UNROLLED else None
    return field if isinstance(field, Formula) else None


def total(f: Field, g: Field) -> Field:
    """f + g of two vector fields, in the fastest form both allow."""
    if isinstance(f, Affine) and isinstance(g, Affine):
        return Affine(f.matrix + g.matrix, f.offset + g.offset)
    first, second = as_formula(f), as_formula(g)
    if first is not None and second is not None:
        return combined("sum", [first, second], f.shape, lambda a, b: a + b)
    return Opaque(lambda x: f(x) + g(x), f.dim, f.shape, name="the sum of two fields")


def product(matrix: Field, vector: Field) -> Field:
    """M(x) v(x) of a matrix field and a vector field."""
    if isinstance(matrix, Constant) and isinstance(vector, Affine):
        return Affine(matrix.value @ vector.matrix, matrix.value @ vector.offset)
    first, second = as_formula(matrix), as_formula(vector)
    if first is not None and second is not None:
        return combined("product", [first, second], vector.shape, lambda m, v: m @ v)
    return Opaque(
        lambda x: np.einsum("...ij,...j->...i", matrix(x), vector(x)),
        vector.dim,
        vector.shape,
        name="the product of two fields",
    )


def multiple(factor: float, field: Field) -> Field:
    """factor f(x)."""
    if isinstance(field, Affine):
        return Affine(factor * field.matrix, factor * field.offset)
    formula = as_formula(field)
    if formula is not None:
        return combined("multiple", [formula], field.shape, lambda f, c: c * f, [factor])
    return Opaque(lambda x: factor * field(x), field.dim, field.shape, name="a multiple of a field")


def vector_field(name: str, value: Any, dim: int) -> Field:
    """A field (dim,) from a field, a traced NumPy function of x, or (wrapped as `Opaque`) anything else that evaluates points."""
    field = value if is_field(value) else _traced_field(name, value, dim)
    if field.dim != dim or field.shape != (dim,):
        raise ValueError(
            f"got {name} of shape {field.shape} in dimension {field.dim}, expected ({dim},) in dimension {dim}"
        )
    return field


def _traced_field(name: str, value: Any, dim: int) -> Formula:
    if not callable(value):
        raise TypeError(
            f"got {name}={value!r}, expected a function of x that returns {dim} components, as lambda x: np.array([...])"
        )
    return traced(value, dim)
