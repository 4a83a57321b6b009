"""Tables of several components over one to three dimensions: cubic splines with compiled values, continued beyond their mesh."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate

from sgdyn.codegen.jit import MATRIX, VECTOR, helper, kernel
from sgdyn.tabulation import ORDER, contracted, located, table_starts

Floats = NDArray[np.float64]


@helper
def _clipped(x: Any, theta: Any, p: int, starts: Any, y: Any) -> bool:
    """Fills in the point of the table that is nearest to the point p; whether they differ."""
    beyond = False
    for a in range(x.shape[0]):
        low, high = theta[starts[a]], theta[starts[a] + int(theta[a]) + ORDER - 1]
        y[a, 0] = x[a, p]
        if x[a, p] < low:
            y[a, 0] = low
        if x[a, p] > high:
            y[a, 0] = high
        beyond = beyond or y[a, 0] != x[a, p]
    return beyond


@helper
def _values(x: Any, theta: Any, p: int, starts: Any, straight: bool, out: Any) -> None:
    """All components at the point p, beyond the table as straight lines or as constants. theta = (counts (3), components, knots of each axis, coefficients)."""
    dim, counts = x.shape[0], (int(theta[0]), int(theta[1]), int(theta[2]))
    size = counts[0] * counts[1] * counts[2]
    value, slope, first = np.zeros((3, ORDER)), np.zeros((3, ORDER)), np.zeros(3, np.int64)
    y = np.empty((dim, 1))
    beyond = _clipped(x, theta, p, starts, y)
    inside = located(y, theta, 0, starts, value, slope, first)
    for c in range(len(out)):
        begin = starts[3] + c * size
        coefficients = theta[begin : begin + size].reshape(counts)
        out[c] = contracted(coefficients, first, value, slope, dim, -1) if inside else np.nan
        if straight and beyond and inside:
            for a in range(dim):
                if x[a, p] != y[a, 0]:
                    out[c] += (x[a, p] - y[a, 0]) * contracted(coefficients, first, value, slope, dim, a)


@kernel(MATRIX, VECTOR, MATRIX)
def spline_values(x: Any, theta: Any, out: Any) -> None:
    """Splines of several components, which go on as straight lines."""
    starts, found = table_starts(theta, x.shape[0], 4), np.empty(int(theta[3]))
    for p in range(x.shape[1]):
        _values(x, theta, p, starts, True, found)
        for c in range(len(found)):
            out[c, p] = found[c]


@kernel(MATRIX, VECTOR, MATRIX, MATRIX)
def spline_factor(x: Any, theta: Any, z: Any, out: Any) -> None:
    """L(x) z, the components being the rows of the lower triangle of L one after the other, logarithms on its diagonal."""
    dim = x.shape[0]
    starts, found = table_starts(theta, dim, 4), np.empty(int(theta[3]))
    for p in range(x.shape[1]):
        _values(x, theta, p, starts, False, found)
        c = 0
        for i in range(dim):
            total = 0.0
            for j in range(i):
                total += found[c] * z[j, p]
                c += 1
            out[i, p] = total + math.exp(found[c]) * z[i, p]
            c += 1


@dataclass(frozen=True, eq=False)
class Table:
    """Tensor-product cubic splines of several components: knots of each axis, coefficients (component, *shape).

    Beyond the knots they go on as straight lines, or (`straight=False`) as constants.
    """

    knots: tuple[Floats, ...]
    coefficients: Floats
    straight: bool = True

    @property
    def dim(self) -> int:
        return len(self.knots)

    @cached_property
    def theta(self) -> Floats:
        counts = np.array([*self.coefficients.shape[1:], 1, 1][:3], dtype=np.float64)
        return np.concatenate([counts, [len(self.coefficients)], *self.knots, self.coefficients.ravel()])

    @cached_property
    def _spline(self) -> interpolate.NdBSpline:
        return interpolate.NdBSpline(self.knots, np.moveaxis(self.coefficients, 0, -1), 3, extrapolate=False)

    def beyond(self, x: Floats) -> tuple[Floats, Floats]:
        """The nearest points of the table, and the way from there (..., k)."""
        y = np.clip(x, [t[0] for t in self.knots], [t[-1] for t in self.knots])
        return y, x - y

    def __call__(self, x: Floats, *axes: int) -> Floats:
        """Values (..., component), or a mixed derivative, one axis number for each differentiation."""
        orders = np.array([axes.count(a) for a in range(self.dim)])
        y, away = self.beyond(x)
        found = np.asarray(self._spline(y, nu=orders))
        if not np.any(away):
            return found
        across = (away != 0) @ orders  # how often it is differentiated along an axis beyond whose end the point lies
        if not self.straight:
            return np.where((across > 0)[..., None], 0.0, found)
        for a in range(self.dim):
            here = (across == 0) & (away[..., a] != 0)
            found[here] += away[here][:, a, None] * self._spline(y[here], nu=orders + np.eye(self.dim, dtype=int)[a])
        return np.where((across > 1)[..., None], 0.0, found)

    def negated(self) -> Table:
        return replace(self, coefficients=-self.coefficients)


def table(axes: tuple[Floats, ...], values: Floats, straight: bool = True) -> Table:
    """Splines through values (*shape, component) on the mesh of the axes, at least four nodes each, with continuous slopes where they go on."""
    knots, coefficients = [], np.asarray(values)
    for a, x in enumerate(axes):
        spline = interpolate.make_interp_spline(
            x, coefficients, k=3, axis=a, bc_type="natural" if straight else "clamped"
        )
        knots.append(np.asarray(spline.t))
        coefficients = np.moveaxis(spline.c, 0, a)
    return Table(tuple(knots), np.ascontiguousarray(np.moveaxis(coefficients, -1, 0)), straight)
