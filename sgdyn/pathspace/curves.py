"""Curves of least geometric action: images at equal distances, moved across the curve by Newton's method and spread out again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky_banded, solve_banded
from scipy.optimize import minimize

from sgdyn.pathspace.coefficients import Coefficients
from sgdyn.pathspace.criticality import by_newton
from sgdyn.pathspace.functional import Action
from sgdyn.pathspace.geometric import lengths, weights
from sgdyn.pathspace.paths import Path, at_equal_distances
from sgdyn.pathspace.tridiagonal import BlockTridiagonal
from sgdyn.progress import Progress

Floats = NDArray[np.float64]

STEPS, PATIENCE = 100, 20
"""Newton steps at most, and so many in which the force across the curve does not become less."""
ROUNDED = 1e-7
"""Below this force rounding may stop it."""
STIFFEST = 1e6
SPREADS = 3
"""Points are put at equal distances so many times in succession: the spline's length is not the polygon's."""
ROUNDS, INNER, MEMORY = 20, 200, 8
"""Rounds of L-BFGS, steps in each, and how many of them are remembered."""
FARTHEST = 0.2
"""No image moves further in one step than this share of the curve's length."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Images x (n + 1, dim) of a curve and its geometric action S; everything across it is meant in the metric of D^-1."""

    functional: Action
    x: Floats

    @property
    def coefficients(self) -> Coefficients:
        return self.functional.lagrangian.coefficients

    @cached_property
    def path(self) -> Path:
        return Path(self.x, np.linspace(0, 1, len(self.x)))

    @cached_property
    def value(self) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            found = self.functional.value(self.path)
        return found if np.isfinite(found) else np.inf

    @cached_property
    def lengths(self) -> Floats:
        return lengths(self.coefficients, self.x)

    @cached_property
    def tangents(self) -> tuple[Floats, Floats]:
        """Unit tangents t at the inner images, and D^-1 t (n - 1, dim)."""
        inner, t = self.x[1:-1], self.x[2:] - self.x[:-2]
        e = self.coefficients.lower(inner, t)
        size = np.sqrt(np.maximum(np.einsum("ni,ni->n", t, e), 1e-300))[:, None]
        return t / size, e / size

    @cached_property
    def force(self) -> Floats:
        """dS/dx of the inner images across the curve (n - 1, dim)."""
        t, e = self.tangents
        slope = self.functional.gradient(self.path)[1:-1]
        return np.asarray(slope - e * np.einsum("ni,ni->n", t, slope)[:, None])

    @property
    def residual(self) -> float:
        """The largest force across the curve, relative to the change of momentum |b|/T (in D^-1) that a sharp bend would need."""
        c = self.coefficients
        size = np.abs(c.lower(self.x, c.drift(self.x))).max() / c.T
        return float(np.abs(self.force).max(initial=0.0) / max(size, 1e-300))

    def moved(self, step: Floats) -> Curve:
        x = self.x.copy()
        x[1:-1] += step
        return Curve(self.functional, x)

    def spread(self, n: int | None = None) -> Curve:
        """The same curve with images at equal distances."""
        curve = self
        for k in range(SPREADS):
            x = at_equal_distances(curve.x, n if k == 0 else None, metric=curve.lengths)
            curve = Curve(self.functional, x)
        return curve

    def across(self, matrix: BlockTridiagonal, stiffness: float) -> BlockTridiagonal:
        """P' M P + stiffness (D^-1 t)(D^-1 t)', P = 1 - t t' D^-1: the matrix among displacements across the curve."""
        t, e = self.tangents
        P = np.eye(self.x.shape[1]) - np.einsum("ni,nj->nij", t, e)
        along = stiffness * np.einsum("ni,nj->nij", e, e)
        diagonal = np.einsum("nki,nkl,nlj->nij", P, matrix.diagonal, P) + along
        return BlockTridiagonal(diagonal, np.einsum("nki,nkl,nlj->nij", P[:-1], matrix.upper, P[1:]))

    @cached_property
    def hessian(self) -> BlockTridiagonal:
        """d²S/dx dx across the curve."""
        return self.across(self.functional.hessian(self.path), float(weights(self.coefficients, self.x).mean()))

    @cached_property
    def springs(self) -> BlockTridiagonal:
        """The part of it that resists bending, everywhere positive: the segments' |b|/|dx|, the mean of them added."""
        c, w = self.coefficients, weights(self.coefficients, self.x)
        one = np.broadcast_to(np.eye(c.dim), (len(w), c.dim, c.dim))
        stiffness = (w + w.mean())[:, None, None] * c.lower_columns(0.5 * (self.x[1:] + self.x[:-1]), one)
        springs = BlockTridiagonal(stiffness[:-1] + stiffness[1:], -stiffness[1:-1])
        return self.across(springs, float(w.mean()))

    def stable(self) -> bool:
        """Whether no small displacement across the curve makes the action less."""
        return self.x.shape[1] == 1 or len(self.x) < 3 or self.hessian.is_positive()


@dataclass
class Work:
    """How far a computation is, and whether Ctrl-C has ended it; what is done then is kept."""

    bar: Progress
    interrupted: bool = False
    share: tuple[float, float] = (0.0, 1.0)
    done: float = 0.0

    def stage(self, number: int, count: int, share: tuple[float, float] = (0.0, 1.0)) -> None:
        """Piece number `number` of `count` in a share of the whole begins."""
        first, last = share
        width = (last - first) / count
        self.share = (first + number * width, first + (number + 1) * width)
        self.tell(0.0)

    def tell(self, done: float) -> None:
        """How much of the piece is done."""
        first, last = self.share
        self.done = max(self.done, first + (last - first) * min(max(done, 0.0), 1.0))
        self.bar(self.done)


def newton(curve: Curve, work: Work, tolerance: float = 1e-11) -> Curve:
    """The curve of least action next to one, by Newton steps across it that are made to descend; Ctrl-C returns the last one."""
    found = [curve]
    try:
        for new in descending(curve, tolerance):
            found[0] = new
            work.tell(np.log10(max(new.residual, tolerance)) / np.log10(tolerance))
    except KeyboardInterrupt:
        work.interrupted = True
    return found[0]


def descending(curve: Curve, tolerance: float) -> Iterator[Curve]:
    """Curves of falling action, until the force across them is small or rounding stops it."""
    shift, best, waited = 0.0, np.inf, 0
    for _ in range(STEPS):
        step, shift = _step(curve, shift)
        new = curve.moved(step)
        if new.value > curve.value * (1 + 1e-13) and (shift or new.residual > 0.5 * curve.residual):
            if (shift := max(8 * shift, 1e-2)) > STIFFEST:
                return
            continue
        curve, shift = new.spread(), (shift / 8 if shift > 1e-3 else 0.0)
        yield curve
        waited = 0 if curve.residual < 0.9 * best else waited + 1
        best = min(best, curve.residual)
        if best < tolerance or waited > (3 if best < ROUNDED else PATIENCE):
            return


def _step(curve: Curve, shift: float) -> tuple[Floats, float]:
    """A descending step across the curve, and the share of the springs that was needed for it."""
    farthest = FARTHEST * float(np.linalg.norm(np.diff(curve.x, axis=0), axis=1).sum())
    while True:
        matrix = curve.hessian.shifted(curve.springs, shift) if shift else curve.hessian
        if matrix.is_positive():
            step = -matrix.solve(curve.force)
            if (size := np.abs(step).max()) <= farthest or shift > STIFFEST:
                return step * min(1.0, farthest / max(size, 1e-300)), shift
        if not np.isfinite(shift := max(4 * shift, 1e-3)):
            raise FloatingPointError("got second derivatives that are not finite along the path")


@dataclass(frozen=True, eq=False)
class Scaling:
    """Variables y in which the second derivatives of the action are near 1: x = start + P R^-1 y, R'R tridiagonal for each component alike.

    The action is about half the sum of |b|/(2T|dx|) |step of x|² and of |J|² |dx|/(2T|b|) |x|², J the Jacobian of the drift, its square
    taken from its product with one random vector an image. P keeps images in the planes across the start, so that they stay apart.
    """

    start: Curve
    factor: Floats

    @classmethod
    def of(cls, curve: Curve) -> Scaling:
        c, x = curve.coefficients, curve.x[1:-1]
        w = weights(c, curve.x)
        probe = np.random.default_rng(0).choice([-1.0, 1.0], size=x.shape)
        pulled = c.pull(x, probe)
        square = np.einsum("ni,ni->n", pulled, pulled) / np.einsum("ni,ni->n", probe, probe)
        both = w[:-1] + w[1:]
        band = np.zeros((2, len(x)))
        band[1] = both + square / (2 * c.T**2 * both) + 1e-6 * w.mean()
        band[0, 1:] = -w[1:-1]
        return cls(curve, np.asarray(cholesky_banded(band)))

    def curve(self, y: Floats) -> Curve:
        t, e = self.start.tangents
        step = solve_banded((0, 1), self.factor, y.reshape(t.shape))
        return self.start.moved(step - t * np.einsum("ni,ni->n", e, step)[:, None])

    def pulled(self, gradient: Floats) -> Floats:
        """The gradient with respect to y, from that with respect to the inner images."""
        t, e = self.start.tangents
        across = gradient - e * np.einsum("ni,ni->n", t, gradient)[:, None]
        transposed = np.stack([self.factor[1], np.append(self.factor[0, 1:], 0.0)])
        return np.asarray(solve_banded((1, 0), transposed, across).ravel())


def quasi_newton(curve: Curve, work: Work, tolerance: float = 1e-7) -> Curve:
    """The same by L-BFGS in scaled variables, spread out and scaled anew after each round: memory O(n dim), no second derivatives."""
    try:
        for k in range(ROUNDS):
            new = _descended(curve).spread()
            work.tell(max(k / ROUNDS, np.log10(max(new.residual, tolerance)) / np.log10(tolerance)))
            done = new.residual < tolerance or abs(new.value - curve.value) <= 1e-10 * _scale(curve)
            curve = new if new.value <= curve.value * (1 + 1e-9) or new.residual < curve.residual else curve
            if done or curve is not new:
                break
    except KeyboardInterrupt:
        work.interrupted = True
    return curve


def _scale(curve: Curve) -> float:
    """The action of as long a curve across the drift."""
    return float((weights(curve.coefficients, curve.x) * curve.lengths**2).sum())


def _descended(curve: Curve) -> Curve:
    scaling = Scaling.of(curve)

    def value_and_gradient(y: Floats) -> tuple[float, Floats]:
        here = scaling.curve(y)
        return here.value, scaling.pulled(here.functional.gradient(here.path)[1:-1])

    options = {"maxiter": INNER, "maxfun": 2 * INNER, "maxcor": MEMORY, "gtol": 0.0, "ftol": 1e-14}
    zero = np.zeros(curve.x[1:-1].size)
    return scaling.curve(minimize(value_and_gradient, zero, jac=True, method="L-BFGS-B", options=options).x)


def relaxed(curve: Curve, work: Work) -> Curve:
    """The curve of least action next to one, by the method its dimension and derivatives allow; in one dimension there is but one."""
    if curve.x.shape[1] == 1 or len(curve.x) < 3 or work.interrupted:
        return curve
    return newton(curve, work) if by_newton(curve.functional) else quasi_newton(curve, work)
