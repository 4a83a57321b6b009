"""The Lagrangian |v - b|²_{D^-1}/4T + W and its derivatives, at many points at once.

Everything is made of products u' D^-1 w of the velocity and the drift. With e = D^-1 u, D_k = d_k D and g_k(u) = d_k u - D_k e(u),

    d_k (u' D^-1 w)    = d_k u . e(w) + e(u) . d_k w - e(u)' D_k e(w)
    d_kl (u' D^-1 w)   = d_kl u . e(w) + e(u) . d_kl w - e(u)' D_kl e(w) + g_k(u)' D^-1 g_l(w) + g_l(u)' D^-1 g_k(w)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sgdyn.fields import Field
from sgdyn.pathspace.coefficients import Coefficients

Floats = NDArray[np.float64]


class Weight(Protocol):
    """A scalar W(x) in the exponent, which may depend on the step: values (n,), slopes (n, dim), curvatures (n, dim, dim)."""

    def value(self, x: Floats, dt: Floats) -> Floats: ...
    def slope(self, x: Floats, dt: Floats) -> Floats: ...
    def curvature(self, x: Floats, dt: Floats) -> Floats: ...


@dataclass(frozen=True, eq=False)
class FieldWeight:
    """W(x) = factor f(x)."""

    field: Field
    factor: float

    def value(self, x: Floats, dt: Floats) -> Floats:
        return np.asarray(self.factor * self.field(x))

    def slope(self, x: Floats, dt: Floats) -> Floats:
        return np.asarray(self.factor * self.field.gradient()(x))

    def curvature(self, x: Floats, dt: Floats) -> Floats:
        return np.asarray(self.factor * self.field.gradient().gradient()(x))


@dataclass(frozen=True, eq=False)
class JacobianWeight:
    """W(x) = -log det(I - dt grad b(x)/2) / dt: the Jacobian of the midpoint rule, exactly; div b/2 for dt -> 0."""

    jacobian: Field

    def _matrix(self, x: Floats, dt: Floats) -> Floats:
        return np.asarray(np.eye(x.shape[1]) - 0.5 * dt[:, None, None] * self.jacobian(x))

    def value(self, x: Floats, dt: Floats) -> Floats:
        sign, logarithm = np.linalg.slogdet(self._matrix(x, dt))
        if np.any(sign <= 0):
            raise ValueError(
                f"got a step of {float(np.max(dt)):.3g}, for which det(I - dt grad b/2) is not positive, expected a smaller one; type a larger n"
            )
        return np.asarray(-logarithm / dt)

    def slope(self, x: Floats, dt: Floats) -> Floats:
        inverse = np.linalg.inv(self._matrix(x, dt))
        return np.asarray(0.5 * np.einsum("nij,njik->nk", inverse, self.jacobian.gradient()(x)))

    def curvature(self, x: Floats, dt: Floats) -> Floats:
        inverse, second = np.linalg.inv(self._matrix(x, dt)), self.jacobian.gradient()
        turned = np.einsum("nij,njlk->nilk", inverse, second(x))
        squares = np.einsum("nijk,njil->nkl", turned, turned)
        return np.asarray(
            0.5 * np.einsum("nij,njikl->nkl", inverse, second.gradient()(x)) + 0.25 * dt[:, None, None] * squares
        )


@dataclass(frozen=True, eq=False)
class Vector:
    """A vector field u on points x with what its products need: u, e = D^-1 u (n, dim); its transposed derivative times vectors."""

    u: Floats
    e: Floats
    drift_share: float  # u = v + drift_share b(x), v constant

    @classmethod
    def of(cls, c: Coefficients, x: Floats, v: Floats | None, drift_share: float) -> Vector:
        u = np.zeros_like(x) if v is None else v
        if drift_share:
            u = u + drift_share * c.drift(x)
        return cls(u, c.lower(x, u), drift_share)

    def columns(self, c: Coefficients, x: Floats) -> Floats:
        """g_k(u) as (n, dim, k)."""
        g = self.drift_share * c.jacobian(x) if self.drift_share else np.zeros((*x.shape, x.shape[1]))
        return np.asarray(g - np.einsum("nijk,nj->nik", c.slope_of_D(x), self.e)) if c.varying else g


def inner(u: Vector, w: Vector) -> Floats:
    """u' D^-1 w (n,)."""
    return np.asarray(np.einsum("ni,ni->n", u.u, w.e))


def inner_slope(c: Coefficients, x: Floats, u: Vector, w: Vector) -> Floats:
    """Its derivatives with respect to x (n, dim)."""
    p = u.drift_share * w.e + w.drift_share * u.e
    slope = c.pull(x, p) if u.drift_share or w.drift_share else np.zeros_like(x)
    if c.varying:
        slope = slope - np.einsum("ni,nijk,nj->nk", u.e, c.slope_of_D(x), w.e)
    return np.asarray(slope)


def inner_curvature(c: Coefficients, x: Floats, u: Vector, w: Vector) -> Floats:
    """Its second derivatives with respect to x (n, dim, dim)."""
    first, second = u.columns(c, x), w.columns(c, x)
    cross = np.einsum("nik,nil->nkl", first, c.lower_columns(x, second))
    found = cross + np.swapaxes(cross, -1, -2)
    p = u.drift_share * w.e + w.drift_share * u.e
    if u.drift_share or w.drift_share:
        found = found + np.einsum("nikl,ni->nkl", c.second(x), p)
    if c.varying:
        found = found - np.einsum("ni,nijkl,nj->nkl", u.e, c.second_of_D(x), w.e)
    return np.asarray(found)


@dataclass(frozen=True, eq=False)
class Lagrangian:
    """L(x, v) = |v - b(x)|²_{D(x)^-1}/4T + sum of weights W(x)."""

    coefficients: Coefficients
    weights: tuple[Weight, ...] = ()

    def _excess(self, x: Floats, v: Floats) -> Vector:
        return Vector.of(self.coefficients, x, v, -1.0)

    def value(self, x: Floats, v: Floats, dt: Floats) -> Floats:
        """(n,)"""
        r = self._excess(x, v)
        return np.asarray(inner(r, r) / (4 * self.coefficients.T) + sum(w.value(x, dt) for w in self.weights))

    def momentum(self, x: Floats, v: Floats) -> Floats:
        """p = dL/dv = D^-1 (v - b)/2T (n, dim)."""
        return self._excess(x, v).e / (2 * self.coefficients.T)

    def slope(self, x: Floats, v: Floats, dt: Floats) -> tuple[Floats, Floats]:
        """dL/dx and dL/dv (n, dim)."""
        c, r = self.coefficients, self._excess(x, v)
        along = inner_slope(c, x, r, r) / (4 * c.T) + sum(w.slope(x, dt) for w in self.weights)
        return np.asarray(along), r.e / (2 * c.T)

    def curvature(self, x: Floats, v: Floats, dt: Floats) -> tuple[Floats, Floats, Floats]:
        """d²L/dx dx, d²L/dv dx (rows v) and d²L/dv dv (n, dim, dim)."""
        c, r = self.coefficients, self._excess(x, v)
        xx = inner_curvature(c, x, r, r) / (4 * c.T) + sum(w.curvature(x, dt) for w in self.weights)
        vx = c.lower_columns(x, r.columns(c, x)) / (2 * c.T)
        vv = c.lower_columns(x, np.broadcast_to(np.eye(c.dim), (len(x), c.dim, c.dim))) / (2 * c.T)
        return np.asarray(xx), vx, vv

    def energy(self, x: Floats, v: Floats, dt: Floats) -> Floats:
        """p . v - L = (|v|² - |b|²)_{D^-1}/4T - W (n,), which a critical path conserves."""
        c = self.coefficients
        speed, drift = Vector.of(c, x, v, 0.0), Vector.of(c, x, None, 1.0)
        kinetic = (inner(speed, speed) - inner(drift, drift)) / (4 * c.T)
        return np.asarray(kinetic - sum(w.value(x, dt) for w in self.weights))
