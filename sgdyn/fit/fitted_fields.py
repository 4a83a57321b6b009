"""Processes whose drift and diffusion are tables; in one dimension the drift is that of a potential."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate

from sgdyn.covariance import semidefinite_cholesky
from sgdyn.fields import Opaque
from sgdyn.fit.tables import Table, spline_factor, spline_values, table
from sgdyn.noise import Varying, nearest_covariance
from sgdyn.potentials import Potential
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]

MOST_DERIVATIVES = 3
LEAST_ROOT = 1e-4
"""Of the largest element on the diagonal of the factor of D: its smallest, so that it has a logarithm."""


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

    def negated(self) -> TabulatedDrift:
        assert self.table is not None
        return _drift(self.table.negated())


@dataclass(frozen=True, eq=False)
class TabulatedNoise(Varying):
    """D(x) = L(x) L(x)' from a table of Cholesky factors, whose diagonals are exponentials: positive definite between the nodes as at them."""

    factor: Table

    @property
    def theta(self) -> Floats:
        return self.factor.theta

    @property
    def block(self) -> Any:
        return spline_factor.compiled

    def apply(self, x: Floats, z: Floats) -> Floats:
        return np.asarray(np.einsum("...ij,...j->...i", _lower(self.factor, x), z))


def process_from(axes: tuple[Floats, ...], drift: Floats, noise: Floats) -> Langevin:
    """The process with T = 1 whose drift (node, k) and D = noise (node, k, k) at the mesh of the axes are given."""
    force = table(axes, drift.reshape(*[len(a) for a in axes], len(axes)))
    D = _noise(axes, noise)
    return Langevin(_potential(force), 1.0, D) if len(axes) == 1 else Langevin(None, 1.0, D, _drift(force))


def _drift(force: Table) -> TabulatedDrift:
    dim = force.dim
    return TabulatedDrift(force, dim, (dim,), _derivative(force, 1), "the fitted drift", force)


def _derivative(force: Table, order: int) -> Opaque:
    """All derivatives of one order of a vector field (..., dim, dim, ...)."""
    further = _derivative(force, order + 1) if order < MOST_DERIVATIVES else None
    shape = (force.dim,) * (order + 1)
    return Opaque(_all(force, order), force.dim, shape, further, f"derivative {order} of the fitted drift")


def _all(values: Table, order: int) -> Callable[[Floats], Floats]:
    def derivatives(x: Floats) -> Floats:
        found = [values(x, *axes) for axes in product(range(values.dim), repeat=order)]
        return np.stack(found, axis=-1).reshape(*x.shape[:-1], -1, *[values.dim] * order)

    return derivatives


def _potential(force: Table) -> Potential:
    """U of one coordinate with -U' = drift: every drift in one dimension is a gradient."""
    grad = _drift(force.negated())
    whole = interpolate.BSpline(force.knots[0], -force.coefficients[0], 3).antiderivative()

    def value(x: Floats) -> Floats:
        y, away = force.beyond(x)
        straight = -force(y) * away - 0.5 * force(y, 0) * away**2
        return np.asarray((whole(y) + straight)[..., 0])

    hess = grad.gradient()
    slope = Opaque(lambda x: -force(x, 0, 0), 1, (1,), name="the gradient of the Laplacian of the fitted potential")
    U = Opaque(value, 1, (), grad, "the fitted potential")
    return Potential(1, U, grad, hess, hess.trace(), slope, {}, "fitted")


def _noise(axes: tuple[Floats, ...], noise: Floats) -> TabulatedNoise:
    dim, rows = len(axes), np.tril_indices(len(axes))
    roots = semidefinite_cholesky(np.array([nearest_covariance(D) for D in noise]))
    i = np.arange(dim)
    diagonal = roots[:, i, i]
    roots[:, i, i] = np.log(np.maximum(diagonal, max(LEAST_ROOT * diagonal.max(), 1e-150)))
    factor = table(axes, roots[:, rows[0], rows[1]].reshape(*[len(a) for a in axes], len(rows[0])), straight=False)
    curved = Opaque(lambda x: _curvature(factor, x), dim, (dim,) * 4, name="the second derivative of the fitted D")
    slopes = Opaque(lambda x: _slope(factor, x), dim, (dim,) * 3, curved, "the slope of the fitted D")
    further = Opaque(
        lambda x: np.einsum("...ijja->...ia", _curvature(factor, x)), dim, (dim, dim), name="the slope of div D"
    )
    divergence = Opaque(
        lambda x: np.einsum("...ijj->...i", _slope(factor, x)), dim, (dim,), further, "the divergence of the fitted D"
    )
    return TabulatedNoise(
        Opaque(lambda x: _squared(factor, x), dim, (dim, dim), slopes, "the fitted D"), divergence, factor
    )


def _squared(factor: Table, x: Floats) -> Floats:
    L = _lower(factor, x)
    return np.asarray(np.einsum("...ik,...jk->...ij", L, L))


def _slope(factor: Table, x: Floats) -> Floats:
    """d_a D_ij at the index (..., i, j, a)."""
    L = _lower(factor, x)
    half = np.stack([np.einsum("...ik,...jk->...ij", _lower(factor, x, a), L) for a in range(factor.dim)], axis=-1)
    return np.asarray(half + np.swapaxes(half, -2, -3))


def _curvature(factor: Table, x: Floats) -> Floats:
    """d_a d_b D_ij at the index (..., i, j, a, b)."""
    dim, L = factor.dim, _lower(factor, x)
    first = [_lower(factor, x, a) for a in range(dim)]
    rows = [
        np.einsum("...ik,...jk->...ij", _lower(factor, x, a, b), L)
        + np.einsum("...ik,...jk->...ij", first[a], first[b])
        for a, b in product(range(dim), repeat=2)
    ]
    half = np.stack(rows, axis=-1).reshape(*L.shape, dim, dim)
    return np.asarray(half + np.swapaxes(half, -3, -4))


def _lower(factor: Table, x: Floats, *axes: int) -> Floats:
    """L (..., dim, dim), or one of its first or second derivatives."""
    dim = factor.dim
    out = np.zeros((*x.shape[:-1], dim, dim))
    i, j = np.tril_indices(dim)
    out[..., i, j] = factor(x, *axes)
    d = np.arange(dim)
    root = np.exp(factor(x)[..., i == j])
    if len(axes) == 2:
        out[..., d, d] += np.prod([factor(x, a)[..., i == j] for a in axes], axis=0)
    out[..., d, d] = root * out[..., d, d] if axes else root
    return out
