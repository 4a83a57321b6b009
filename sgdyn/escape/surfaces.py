"""Potentials, networks and drifts behind one protocol: what the search for their critical points needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from sgdyn import checks
from sgdyn.fields import Field, Opaque
from sgdyn.landscapes import Landscape
from sgdyn.potentials import Potential
from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]


class Surface(Protocol):
    """A function on R^dim by its values (n,), gradients (n, dim) and Hessians (n, dim, dim) at points (n, dim)."""

    @property
    def dim(self) -> int: ...
    @property
    def name(self) -> str: ...
    def value(self, x: Floats) -> Floats: ...
    def gradient(self, x: Floats) -> Floats: ...
    def hessian(self, x: Floats) -> Floats: ...
    def product(self, x: Floats) -> LinearOperator: ...  # the Hessian at one point (dim,) as an operator


@dataclass(frozen=True, eq=False)
class PotentialSurface:
    """A `Potential`; without a Hessian, differences of the gradient take its place."""

    U: Potential

    @property
    def dim(self) -> int:
        return self.U.dim

    @property
    def name(self) -> str:
        return self.U.name

    def value(self, x: Floats) -> Floats:
        return self.U(x)

    def gradient(self, x: Floats) -> Floats:
        return self.U.grad(x)

    def hessian(self, x: Floats) -> Floats:
        return self.U.hess(x) if self._known else differences(self.U.grad, x, symmetric=True)

    @property
    def _known(self) -> bool:
        return not (isinstance(self.U.grad, Opaque) and self.U.grad.derivative is None)

    def product(self, x: Floats) -> LinearOperator:
        if self._known:
            matrix = self.U.hess(x)
            return LinearOperator(matrix.shape, lambda v: matrix @ np.ravel(v), dtype=np.float64)
        return along(self.U.grad, x)


@dataclass(frozen=True, eq=False)
class NetworkSurface:
    """The loss of a `nets.Network`: one point at a time, Hessian-vector products by torch."""

    network: Any
    name: str = "the loss"

    @property
    def dim(self) -> int:
        return int(self.network.dim)

    def _each(self, x: Floats, what: Callable[[Any], Any]) -> Floats:
        found = [what(self.network.at(w)) for w in x.reshape(-1, self.dim)]
        return np.reshape(found, (*x.shape[:-1], *np.shape(found[0])))

    def value(self, x: Floats) -> Floats:
        return self._each(x, lambda net: net.value())

    def gradient(self, x: Floats) -> Floats:
        return self._each(x, lambda net: net.gradient())

    def hessian(self, x: Floats) -> Floats:
        return self._each(x, lambda net: net.hessian().dense())

    def product(self, x: Floats) -> LinearOperator:
        return self.network.at(x).hessian()


@dataclass(frozen=True, eq=False)
class DriftSurface:
    """A drift b that may have no potential: `gradient` is -b, `hessian` minus its Jacobian, values are NaN."""

    drift: Field
    name: str = "the drift"

    @property
    def dim(self) -> int:
        return self.drift.dim

    def value(self, x: Floats) -> Floats:
        return np.full(x.shape[:-1], np.nan)

    def gradient(self, x: Floats) -> Floats:
        return -self.drift(x)

    def hessian(self, x: Floats) -> Floats:
        return -jacobian(self.drift, x)

    def product(self, x: Floats) -> LinearOperator:
        matrix = self.hessian(x)
        return LinearOperator(matrix.shape, lambda v: matrix @ np.ravel(v), dtype=np.float64)


def surface(given: Any) -> Surface:
    """What critical points are looked for on: a `Potential`, a `nets.Network`, a `Landscape`, or the drift of a process."""
    if isinstance(given, Landscape):
        given = given.problem() if given.curl is not None else given.U
    if isinstance(given, Momentum):
        given = given.U
    if isinstance(given, Langevin):
        given = given.U if given.curl is None and given.U is not None else DriftSurface(given.drift)
    if isinstance(given, Potential):
        return PotentialSurface(given)
    if isinstance(given, DriftSurface):
        return given
    if all(hasattr(given, name) for name in ("at", "gradient", "hessian", "value", "dim")):
        return NetworkSurface(given)
    raise TypeError(
        f"got U of type {type(given).__name__}, expected a Potential, a nets.Network, a landscape or a process; type @sg.potential(dim=...) above the function"
    )


def jacobian(field: Field, x: Floats) -> Floats:
    """The derivatives of a vector field at points, by differences where no formula is known."""
    try:
        return field.gradient()(x)
    except (ValueError, TypeError):
        return differences(field, x)


def differences(function: Callable[[Floats], Floats], x: Floats, *, symmetric: bool = False) -> Floats:
    """d f_i / d x_j by central differences of fourth order, the index j last."""
    x = np.asarray(x, dtype=np.float64)
    h = 1e-3 * (1 + np.abs(x).max(initial=0.0))
    columns = [
        (8 * (function(x + h * e) - function(x - h * e)) - function(x + 2 * h * e) + function(x - 2 * h * e)) / (12 * h)
        for e in np.eye(x.shape[-1])
    ]
    found = np.stack(columns, axis=-1)
    return np.asarray(0.5 * (found + np.swapaxes(found, -1, -2)) if symmetric else found)


def along(gradient: Callable[[Floats], Floats], x: Floats) -> LinearOperator:
    """The Hessian at a point as an operator, by central differences of the gradient along each vector."""

    def product(v: Floats) -> Floats:
        v = np.ravel(v)
        size = float(np.linalg.norm(v))
        if size == 0:
            return np.zeros_like(v)
        h = 1e-4 * (1 + float(np.abs(x).max(initial=0.0))) / size
        up, down = gradient(np.stack([x + h * v, x - h * v]))
        return np.asarray((up - down) / (2 * h))

    return LinearOperator((len(x), len(x)), product, dtype=np.float64)


def box_of(box: Any, dim: int) -> Floats:
    """The sides (dim, 2) of a box given as one (low, high) or as a list of them."""
    sides = checks.finite("box", box)
    if sides.shape == (2,):
        sides = np.tile(sides, (dim, 1))
    if sides.shape != (dim, 2) or np.any(sides[:, 0] >= sides[:, 1]):
        raise ValueError(
            f"got a box of shape {sides.shape}, expected {dim} pairs (low, high) with low < high; type box=[(-2, 2)] * {dim}"
        )
    return sides
