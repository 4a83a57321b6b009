"""Potentials known by their values on a grid: cubic splines with a compiled gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import interpolate

from sgdyn import checks
from sgdyn.codegen.jit import MATRIX, VECTOR, helper, kernel
from sgdyn.fields import Opaque
from sgdyn.potentials import Potential

if TYPE_CHECKING:
    from sgdyn.density.grid import Grid

Floats = NDArray[np.float64]
ORDER = 4


@helper
def _basis(knots: Any, start: int, count: int, x: float, values: Any, slopes: Any) -> int:
    """The four cubic B-splines at x and their derivatives; returns the first one's number, or -1 beyond the knots."""
    if not (knots[start] <= x <= knots[start + count + 3]):
        return -1
    i, above = 3, count
    while above - i > 1:
        middle = (i + above) // 2
        i, above = (middle, above) if knots[start + middle] <= x else (i, middle)
    values[0] = 1.0
    for degree in range(1, ORDER):
        if degree == ORDER - 1:
            slopes[:] = 0.0
            for r in range(degree):
                d = 3.0 * values[r] / (knots[start + i + r + 1] - knots[start + i + r + 1 - degree])
                slopes[r] -= d
                slopes[r + 1] += d
        saved = 0.0
        for r in range(degree):
            right, left = knots[start + i + r + 1] - x, x - knots[start + i + 1 + r - degree]
            w = values[r] / (right + left)
            values[r] = saved + right * w
            saved = left * w
        values[degree] = saved
    return i - 3


@helper
def table_starts(theta: Any, dim: int, header: int) -> Any:
    """Where the knots of each axis start in theta, and the coefficients (last), after a header that begins with three counts."""
    starts = np.empty(4, np.int64)
    starts[0] = header
    for a in range(3):
        starts[a + 1] = starts[a] + (int(theta[a]) + ORDER if a < dim else 0)
    return starts


@helper
def located(x: Any, theta: Any, p: int, starts: Any, value: Any, slope: Any, first: Any) -> bool:
    """Fills in the B-splines of each axis at the point p, their derivatives and first numbers; whether it lies within the knots."""
    inside = True
    for a in range(3):
        value[a, 0] = 1.0
        if a < x.shape[0]:
            first[a] = _basis(theta, starts[a], int(theta[a]), x[a, p], value[a], slope[a])
            inside = inside and first[a] >= 0
    return inside


@kernel(MATRIX, VECTOR, MATRIX)
def spline_gradient(x: Any, theta: Any, out: Any) -> None:
    """The gradient of a tensor-product cubic spline in one to three dimensions; NaN beyond the table.

    theta = (counts (3), knots of each axis, coefficients in C order); missing axes have one coefficient.
    """
    dim = x.shape[0]
    starts = table_starts(theta, dim, 3)
    coefficients = theta[starts[3] :].reshape((int(theta[0]), int(theta[1]), int(theta[2])))
    value, slope, first = np.zeros((3, ORDER)), np.zeros((3, ORDER)), np.zeros(3, np.int64)
    for p in range(x.shape[1]):
        inside = located(x, theta, p, starts, value, slope, first)
        for g in range(dim):
            out[g, p] = contracted(coefficients, first, value, slope, dim, g) if inside else np.nan


@helper
def contracted(coefficients: Any, first: Any, value: Any, slope: Any, dim: int, g: int) -> float:
    """sum_ijk c_ijk b_i b_j b_k with the derivative taken along axis g."""
    total = 0.0
    for i in range(ORDER):
        u = slope[0, i] if g == 0 else value[0, i]
        for j in range(ORDER if dim > 1 else 1):
            v = slope[1, j] if g == 1 else value[1, j]
            for k in range(ORDER if dim > 2 else 1):
                w = slope[2, k] if g == 2 else value[2, k]
                total += coefficients[first[0] + i, first[1] + j, first[2] + k] * u * v * w
    return total


@dataclass(frozen=True, eq=False)
class Spline:
    """A tensor-product cubic spline, or (`derivative=True`) its gradient."""

    knots: tuple[Floats, ...]
    coefficients: Floats
    derivative: bool = False

    @property
    def dim(self) -> int:
        return len(self.knots)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.dim,) if self.derivative else ()

    @cached_property
    def theta(self) -> Floats:
        counts = np.array([*self.coefficients.shape, 1, 1][:3], dtype=np.float64)
        return np.concatenate([counts, *self.knots, self.coefficients.ravel()])

    @property
    def block(self) -> Any:
        return spline_gradient.compiled if self.derivative else None

    @cached_property
    def _tensor(self) -> interpolate.NdBSpline:
        return interpolate.NdBSpline(self.knots, self.coefficients, 3, extrapolate=False)

    def partial(self, x: Floats, *axes: int) -> Floats:
        """A mixed derivative, one axis number for each differentiation."""
        orders = [axes.count(a) for a in range(self.dim)]
        return np.asarray(self._tensor(x, nu=orders))

    def __call__(self, x: ArrayLike) -> Floats:
        points = checks.points(x, self.dim)
        if not self.derivative:
            return self.partial(points)
        return np.stack([self.partial(points, a) for a in range(self.dim)], axis=-1)

    def gradient(self) -> Any:
        if not self.derivative:
            return Spline(self.knots, self.coefficients, derivative=True)
        return Opaque(self._hessian, self.dim, (self.dim, self.dim), name="the Hessian of the table")

    def _hessian(self, x: Floats) -> Floats:
        axes = range(self.dim)
        return np.stack([np.stack([self.partial(x, i, j) for j in axes], -1) for i in axes], -2)

    def trace(self) -> Any:
        raise TypeError("neither a scalar nor a vector field has a trace")

    def negated(self) -> Spline:
        return Spline(self.knots, -self.coefficients, self.derivative)


def tabulated(grid: Grid, values: ArrayLike) -> Potential:
    """The potential with these values at the cell centres of a grid of one to three dimensions: a cubic spline.

    Its derivatives are those of the spline; beyond the outermost centres it is NaN, and a path that gets there raises `BlowUpError`.
    Raises ValueError if the values do not have the shape of the grid, are not finite, or an axis has fewer than four cells.
    """
    table = checks.finite("values", values)
    if table.shape != grid.shape:
        raise ValueError(f"got values of shape {table.shape}, expected the shape {grid.shape} of the grid")
    if grid.dim > 3 or min(grid.shape) < ORDER:
        raise ValueError(f"got a grid of shape {grid.shape}, expected one to three axes of at least {ORDER} cells")
    knots = []
    for axis, x in enumerate(grid.midpoints):
        spline = interpolate.make_interp_spline(x, table, k=3, axis=axis)
        knots.append(np.asarray(spline.t))
        table = np.moveaxis(spline.c, 0, axis)
    return _from_spline(Spline(tuple(knots), np.ascontiguousarray(table)))


def _from_spline(value: Spline) -> Potential:
    grad = value.gradient()
    hess = grad.gradient()
    slope = Opaque(
        _third_derivatives(value), value.dim, (value.dim,), name="the gradient of the Laplacian of the table"
    )
    given: Mapping[str, Floats] = {}
    return Potential(value.dim, value, grad, hess, hess.trace(), slope, given, "tabulated")


def _third_derivatives(value: Spline) -> Any:
    def slope(x: Floats) -> Floats:
        axes = range(value.dim)
        return np.stack([sum((value.partial(x, a, a, b) for a in axes), np.zeros(x.shape[:-1])) for b in axes], -1)

    return slope
