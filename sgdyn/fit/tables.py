"""Processes known by their drift and diffusion on a grid: cubic splines with compiled values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate, ndimage

from sgdyn.codegen.jit import MATRIX, VECTOR, helper, kernel
from sgdyn.covariance import semidefinite_cholesky
from sgdyn.fields import Opaque
from sgdyn.noise import Varying, nearest_covariance
from sgdyn.problem import Langevin
from sgdyn.tabulation import ORDER, contracted, located, table_starts

Floats = NDArray[np.float64]


@helper
def _values(x: Any, theta: Any, p: int, starts: Any, out: Any) -> None:
    """All components at the point p, NaN beyond the table. theta = (counts (3), components, knots of each axis, coefficients)."""
    counts = (int(theta[0]), int(theta[1]), int(theta[2]))
    size = counts[0] * counts[1] * counts[2]
    value, slope, first = np.zeros((3, ORDER)), np.zeros((3, ORDER)), np.zeros(3, np.int64)
    inside = located(x, theta, p, starts, value, slope, first)
    for c in range(len(out)):
        begin = starts[3] + c * size
        coefficients = theta[begin : begin + size].reshape(counts)
        out[c] = contracted(coefficients, first, value, slope, x.shape[0], -1) if inside else np.nan


@kernel(MATRIX, VECTOR, MATRIX)
def spline_values(x: Any, theta: Any, out: Any) -> None:
    """Splines of several components over one to three dimensions."""
    starts, found = table_starts(theta, x.shape[0], 4), np.empty(int(theta[3]))
    for p in range(x.shape[1]):
        _values(x, theta, p, starts, found)
        for c in range(len(found)):
            out[c, p] = found[c]


@kernel(MATRIX, VECTOR, MATRIX, MATRIX)
def spline_factor(x: Any, theta: Any, z: Any, out: Any) -> None:
    """L(x) z, the components being the rows of the lower triangle of L one after the other."""
    dim = x.shape[0]
    starts, found = table_starts(theta, dim, 4), np.empty(int(theta[3]))
    for p in range(x.shape[1]):
        _values(x, theta, p, starts, found)
        c = 0
        for i in range(dim):
            total = 0.0
            for j in range(i + 1):
                total += found[c] * z[j, p]
                c += 1
            out[i, p] = total


@dataclass(frozen=True, eq=False)
class Table:
    """Tensor-product cubic splines of several components: knots of each axis, coefficients (component, *shape)."""

    knots: tuple[Floats, ...]
    coefficients: Floats

    @cached_property
    def theta(self) -> Floats:
        counts = np.array([*self.coefficients.shape[1:], 1, 1][:3], dtype=np.float64)
        return np.concatenate([counts, [len(self.coefficients)], *self.knots, self.coefficients.ravel()])

    @cached_property
    def _spline(self) -> interpolate.NdBSpline:
        return interpolate.NdBSpline(self.knots, np.moveaxis(self.coefficients, 0, -1), 3, extrapolate=False)

    def __call__(self, x: Floats) -> Floats:
        """Values (..., component)."""
        return np.asarray(self._spline(x))

    def slopes(self, x: Floats) -> Floats:
        """Derivatives (..., component, axis)."""
        axes = np.eye(len(self.knots), dtype=int)
        return np.stack([self._spline(x, nu=order) for order in axes], axis=-1)


def table(axes: tuple[Floats, ...], values: Floats) -> Table:
    """Splines through values (*shape, component) on the mesh of the axes, at least four nodes each."""
    knots, coefficients = [], np.asarray(values)
    for a, x in enumerate(axes):
        spline = interpolate.make_interp_spline(x, coefficients, k=3, axis=a)
        knots.append(np.asarray(spline.t))
        coefficients = np.moveaxis(spline.c, 0, a)
    return Table(tuple(knots), np.ascontiguousarray(np.moveaxis(coefficients, -1, 0)))


@dataclass(frozen=True, eq=False)
class TabulatedDrift(Opaque):
    """A drift from a table, compiled."""

    table: Table | None = None

    @property
    def block(self) -> Any:  # type: ignore[override]
        return spline_values.compiled

    @property
    def theta(self) -> Floats:  # type: ignore[override]
        assert self.table is not None
        return self.table.theta


@dataclass(frozen=True, eq=False)
class TabulatedNoise(Varying):
    """D(x) = L(x) L(x)' from a table of Cholesky factors: positive semidefinite between the nodes as at them."""

    factor: Table

    @property
    def theta(self) -> Floats:
        return self.factor.theta

    @property
    def block(self) -> Any:
        return spline_factor.compiled

    def apply(self, x: Floats, z: Floats) -> Floats:
        return np.asarray(np.einsum("...ij,...j->...i", _lower(self.factor(x), self.dim), z))


def process_from(axes: tuple[Floats, ...], drift: Floats, noise: Floats) -> Langevin:
    """The process with T = 1 whose drift (node, k) and D = noise (node, k, k) at the mesh of the axes are given."""
    dim, shape = len(axes), [len(a) for a in axes]
    force = table(axes, drift.reshape(*shape, dim))
    slope = Opaque(force.slopes, dim, (dim, dim), name="the slope of the fitted drift")
    field = TabulatedDrift(force, dim, (dim,), slope, "the fitted drift", force)
    return Langevin(None, 1.0, _noise(axes, noise), field)


def _noise(axes: tuple[Floats, ...], noise: Floats) -> TabulatedNoise:
    dim = len(axes)
    rows = np.tril_indices(dim)
    roots = semidefinite_cholesky(np.array([nearest_covariance(D) for D in noise]))[:, rows[0], rows[1]]
    factor = table(axes, roots.reshape(*[len(a) for a in axes], len(rows[0])))

    def matrix(x: Floats) -> Floats:
        L = _lower(factor(x), dim)
        return np.asarray(np.einsum("...ik,...jk->...ij", L, L))

    def slope(x: Floats) -> Floats:
        L, dL = _lower(factor(x), dim), _lower(np.moveaxis(factor.slopes(x), -1, -2), dim)
        half = np.einsum("...aik,...jk->...ija", dL, L)
        return np.asarray(half + np.swapaxes(half, -2, -3))

    slopes = Opaque(slope, dim, (dim, dim, dim), name="the slope of the fitted D")
    divergence = Opaque(
        lambda x: np.einsum("...ijj->...i", slope(x)), dim, (dim,), name="the divergence of the fitted D"
    )
    return TabulatedNoise(Opaque(matrix, dim, (dim, dim), slopes, name="the fitted D"), divergence, factor)


def _lower(rows: Floats, dim: int) -> Floats:
    """Lower triangles (..., dim, dim) of their rows (..., component)."""
    out = np.zeros((*rows.shape[:-1], dim, dim))
    i, j = np.tril_indices(dim)
    out[..., i, j] = rows
    return out


def continued(axes: tuple[Floats, ...], known: NDArray[np.bool_], *values: Floats) -> tuple[Floats, ...]:
    """Values (node, ...) with those at nodes that are not known replaced by the nearest known ones, distances in nodes."""
    shape = [len(a) for a in axes]
    nearest = ndimage.distance_transform_edt(~known.reshape(shape), return_distances=False, return_indices=True)
    places = np.ravel_multi_index(tuple(nearest), tuple(shape)).ravel()
    return tuple(v[places] for v in values)
