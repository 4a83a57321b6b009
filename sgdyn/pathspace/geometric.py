"""The action of a curve, whatever the times at which it is passed through: (|b||v| - b . v)/2T in the metric of D^-1.

It is the least of (|v - b|²/4T) dt over the lengths dt of a step, so that V = T S is the quasipotential between the ends. Of degree one in v:
a step counts the same however long it is taken to last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgdyn.pathspace.coefficients import Coefficients, coefficients
from sgdyn.pathspace.lagrangians import Lagrangian, Vector, inner, inner_curvature, inner_slope
from sgdyn.pathspace.rules import PointSteps
from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]

REST = 1e-20
"""What is added to |b|², as a share of its largest value: |b| has no derivative at a zero of the drift."""


@dataclass(frozen=True, eq=False)
class GeometricLagrangian(Lagrangian):
    """L(x, v) = (|b||v| - b . v)/2T in the metric of D(x)^-1."""

    def _parts(self, x: Floats, v: Floats) -> tuple[Vector, Vector, Floats, Floats]:
        """v and b with what their products need, |v| and |b| (n,)."""
        c = self.coefficients
        velocity, drift = Vector.of(c, x, v, 0.0), Vector.of(c, x, None, 1.0)
        square = inner(drift, drift)
        speed = np.sqrt(np.maximum(inner(velocity, velocity), 1e-300))
        return velocity, drift, speed, np.sqrt(square + REST * square.max(initial=0.0) + 1e-300)

    def value(self, x: Floats, v: Floats, dt: Floats) -> Floats:
        velocity, drift, speed, pull = self._parts(x, v)
        return np.asarray((speed * pull - inner(velocity, drift)) / (2 * self.coefficients.T))

    def momentum(self, x: Floats, v: Floats) -> Floats:
        """p = dL/dv = D^-1 (v |b|/|v| - b)/2T (n, dim): the gradient of the quasipotential over T along a path of least action."""
        velocity, drift, speed, pull = self._parts(x, v)
        return np.asarray(((pull / speed)[:, None] * velocity.e - drift.e) / (2 * self.coefficients.T))

    def slope(self, x: Floats, v: Floats, dt: Floats) -> tuple[Floats, Floats]:
        c = self.coefficients
        velocity, drift, speed, pull = self._parts(x, v)
        ratio = (speed / pull)[:, None]
        along = c.pull(x, ratio * drift.e - velocity.e)
        if c.varying:
            dD = c.slope_of_D(x)
            along = along + np.einsum("ni,nijk,nj->nk", velocity.e, dD, drift.e - velocity.e / (2 * ratio))
            along = along - np.einsum("ni,nijk,nj->nk", drift.e, dD, 0.5 * ratio * drift.e)
        return along / (2 * c.T), (velocity.e / ratio - drift.e) / (2 * c.T)

    def curvature(self, x: Floats, v: Floats, dt: Floats) -> tuple[Floats, Floats, Floats]:
        c = self.coefficients
        velocity, drift, speed, pull = self._parts(x, v)
        one = c.lower_columns(x, np.broadcast_to(np.eye(c.dim), (len(x), c.dim, c.dim)))
        # |v| and |b| as functions of (x, v): slopes, then second derivatives from those of their squares
        slope_of_speed = inner_slope(c, x, velocity, velocity) / (2 * speed)[:, None]
        slope_of_pull = inner_slope(c, x, drift, drift) / (2 * pull)[:, None]
        direction = velocity.e / speed[:, None]
        bend_of_speed = _root(inner_curvature(c, x, velocity, velocity), slope_of_speed, slope_of_speed, speed)
        bend_of_pull = _root(inner_curvature(c, x, drift, drift), slope_of_pull, slope_of_pull, pull)
        turned = c.lower_columns(x, velocity.columns(c, x))
        mixed = _root(2 * turned, direction, slope_of_speed, speed)
        xx = _times(pull, bend_of_speed) + _times(speed, bend_of_pull) + _outer(slope_of_speed, slope_of_pull)
        xx = xx + _outer(slope_of_pull, slope_of_speed) - inner_curvature(c, x, velocity, drift)
        vx = _times(pull, mixed) + _outer(direction, slope_of_pull) - c.lower_columns(x, drift.columns(c, x))
        vv = _times(pull, _root(2 * one, direction, direction, speed))
        return xx / (2 * c.T), vx / (2 * c.T), vv / (2 * c.T)

    def energy(self, x: Floats, v: Floats, dt: Floats) -> Floats:
        """b . p + T p' D p (n,), which is 0 for every curve: it is what the times of passage are chosen for."""
        return np.zeros(len(x))


def _outer(a: Floats, b: Floats) -> Floats:
    return np.asarray(a[:, :, None] * b[:, None, :])


def _times(factor: Floats, matrices: Floats) -> Floats:
    return np.asarray(factor[:, None, None] * matrices)


def _root(second: Floats, first: Floats, other: Floats, root: Floats) -> Floats:
    """The second derivative of sqrt(q) from that of q and the slopes of the root."""
    return (0.5 * second - _outer(first, other)) / root[:, None, None]


@dataclass(frozen=True)
class Geometric:
    """S = ∫ (|b||x'| - b . x')/2T in the metric of D^-1, at the midpoints of the steps: the least over all parametrisations in time.

    b is the drift for T -> 0. As a quadrature it is of second order in the length of the steps.
    """

    order = 2

    def steps(self, problem: Langevin | Momentum) -> PointSteps:
        return PointSteps(GeometricLagrangian(coefficients(problem, noiseless=True)), 0.5)


def weights(c: Coefficients, x: Floats) -> Floats:
    """|b|/(2 T |dx|) of the segments of a polygon (n,): how stiffly each resists being turned."""
    middle, way = 0.5 * (x[1:] + x[:-1]), np.diff(x, axis=0)
    b = c.drift(middle)
    pull = np.sqrt(np.einsum("ni,ni->n", b, c.lower(middle, b)))
    return np.asarray(pull / (2 * c.T * np.maximum(lengths(c, x), 1e-300) + 0 * way[:, 0]))


def lengths(c: Coefficients, x: Floats) -> Floats:
    """The lengths of the segments of a polygon in the metric of D^-1 (n,)."""
    way = np.diff(x, axis=0)
    return np.asarray(np.sqrt(np.einsum("ni,ni->n", way, c.lower(0.5 * (x[1:] + x[:-1]), way))))
