"""Derivatives that were not given, by central differences of fourth order, in few dimensions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn.fields import Field, Opaque

Floats = NDArray[np.float64]

FEW = 8
"""Up to so many dimensions: second derivatives of a drift take (4 dim)² evaluations a point."""
STEP = 1e-3
"""Relative to 1 + |x|: each derivative then is right to about 1e-11 of the function's size, the second to 1e-8."""
SIDES = np.array([1.0, -1.0, 2.0, -2.0])
SHARES = np.array([8.0, -8.0, -1.0, 1.0]) / 12


@dataclass(frozen=True, eq=False)
class Differenced(Opaque):
    """A Python function whose derivatives are those given, else differences."""

    def gradient(self) -> Field:
        if self.derivative is not None:
            return differenced(self.derivative)
        return Differenced(slope(self), self.dim, (*self.shape, self.dim), name=f"the derivative of {self.name}")

    def trace(self) -> Differenced:
        traced = super().trace()
        return Differenced(traced.function, self.dim, traced.shape, name=traced.name)

    def negated(self) -> Differenced:
        turned = super().negated()
        derivative = None if self.derivative is None else self.derivative.negated()
        return Differenced(turned.function, self.dim, self.shape, derivative, self.name)


def differenced(field: Field) -> Field:
    """The same field with derivatives, where it is an opaque function of few variables."""
    if not isinstance(field, Opaque) or isinstance(field, Differenced) or field.dim > FEW:
        return field
    return Differenced(field.function, field.dim, field.shape, field.derivative, field.name)


def slope(field: Opaque) -> Callable[[Floats], ArrayLike]:
    """The derivative of a function of points (..., dim), all points around them at once."""

    def at(x: Floats) -> Floats:
        h = STEP * (1 + np.abs(x).max(axis=-1))
        ways = SIDES[:, None, None] * np.eye(field.dim)
        around = x + ways.reshape(4, field.dim, *[1] * (x.ndim - 1), field.dim) * h[..., None]
        found = np.einsum("s,sk...->k...", SHARES, field(around))
        return np.asarray(np.moveaxis(found / h.reshape(*h.shape, *[1] * len(field.shape)), 0, -1))

    return at
