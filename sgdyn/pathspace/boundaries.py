"""Critical paths that end somewhere on the boundary of a region.

Over the end point b with g(b) = 0 the action is stationary where its slope p is normal to the boundary: p = mu grad g (transversality).
Newton's method for the points of the path, its end and the multiplier mu at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import null_space

from sgdyn.codegen.formula import Formula
from sgdyn.pathspace.determinants import divergence
from sgdyn.pathspace.functional import Action
from sgdyn.pathspace.paths import Path
from sgdyn.pathspace.tridiagonal import BlockTridiagonal
from sgdyn.printing import Printed

Floats = NDArray[np.float64]

STEPS = 40
ACCEPTED = 1e-9


@dataclass(frozen=True, eq=False, repr=False)
class Arrival(Printed):
    """A critical path whose end is free on the boundary where the gap g is 0; g > 0 inside the region.

    With p the slope of S there, n the normal and v the velocity of arrival, paths first reach the boundary around the end at the rate

        p(b, s | a) n.v (2 pi)^{(d-1)/2} / sqrt(det of the curvature of S along the boundary)

    to leading order: absorption takes away what the image of the incoming density does, which leaves its flux.
    """

    functional: Action
    gap: Formula
    path: Path

    def plot(self, ax: Any = None) -> Any:
        """The path, on the landscape in two dimensions (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)

    @cached_property
    def momentum(self) -> Floats:
        """dS/db (dim,)."""
        return np.asarray(self.functional.gradient(self.path)[-1])

    @cached_property
    def slope(self) -> Floats:
        """grad g at the end."""
        return np.asarray(self.gap.gradient()(self.path.x[-1]))

    @property
    def normal(self) -> Floats:
        return np.asarray(self.slope / np.linalg.norm(self.slope))

    @cached_property
    def velocity(self) -> Floats:
        """b + 2 T D p at the end (dim,)."""
        c, b = self.functional.lagrangian.coefficients, self.path.x[-1]
        return np.asarray(c.drift(b) + 2 * c.T * c.D(b) @ self.momentum)

    @property
    def speed(self) -> float:
        """n.v"""
        return float(self.normal @ self.velocity)

    @property
    def multiplier(self) -> float:
        return float(self.momentum @ self.slope / (self.slope @ self.slope))

    @cached_property
    def action(self) -> float:
        return self.functional.value(self.path)

    @cached_property
    def energy(self) -> float:
        """-dS/dt."""
        return float(self.functional.energies(self.path).mean())

    @cached_property
    def extended(self) -> BlockTridiagonal:
        """Second derivatives of S with respect to all points but the first."""
        return with_end(self.functional, self.path)

    @cached_property
    def along(self) -> Floats:
        """Second derivatives of S along the boundary (dim - 1, dim - 1), its curvature included."""
        B = null_space(self.slope[None])
        bend = self.multiplier * np.asarray(self.gap.gradient().gradient()(self.path.x[-1]))
        return np.asarray(B.T @ (self.extended.pivots[-1] - bend) @ B)

    @cached_property
    def is_minimum(self) -> bool:
        """Whether the action is least among paths nearby that end on the boundary, and the path arrives from outside."""
        inner = not self.extended.negative[:-1].any()
        return bool(inner and self.speed > 0 and np.all(np.linalg.eigvalsh(0.5 * (self.along + self.along.T)) > 0))

    @cached_property
    def log_rate(self) -> float:
        """log of the rate of first arrivals around this end, at the time of the path."""
        path = self.path
        middle, p = 0.5 * (path.x[1:] + path.x[:-1]), self.functional.momenta(path)
        _, across, _ = self.functional.steps.curvature(path.x[:-1], path.x[1:], path.dt)
        vleck = np.linalg.slogdet(across)[1].sum() - self.functional.hessian(path).log_determinant
        density = 0.5 * vleck - self.action - path.dt @ divergence(self.functional.problem, middle, p)
        return float(density - 0.5 * np.log(2 * np.pi) + np.log(self.speed) - 0.5 * np.linalg.slogdet(self.along)[1])

    @property
    def layer(self) -> float:
        """The depth over which absorption is felt, T n'Dn/n.v, over the distances on which speed and boundary change: relative order T."""
        c, path, n = self.functional.lagrangian.coefficients, self.path, self.normal
        depth = c.T * float(n @ c.D(path.x[-1]) @ n) / self.speed
        middles = np.diff(path.x[-3:], axis=0) / path.dt[-2:, None]
        change = abs(float(n @ (middles[1] - middles[0]))) / (0.5 * (path.dt[-1] + path.dt[-2])) / self.speed**2
        B = null_space(self.slope[None])
        bend = np.abs(np.trace(B.T @ np.asarray(self.gap.gradient().gradient()(path.x[-1])) @ B)) / np.linalg.norm(
            self.slope
        )
        return float(depth * (change + bend))


def with_end(functional: Action, path: Path) -> BlockTridiagonal:
    """Second derivatives of the action with respect to all points but the first."""
    xx, xy, yy = functional.steps.curvature(path.x[:-1], path.x[1:], path.dt)
    diagonal = yy.copy()
    diagonal[:-1] += xx[1:]
    return BlockTridiagonal(diagonal, xy[1:])


def arrival(functional: Action, gap: Formula, start: Path) -> Arrival | None:
    """The critical path with its end on the boundary that Newton's method reaches from a path, or None."""
    slope, bend = gap.gradient(), gap.gradient().gradient()
    path, mu = start, Arrival(functional, gap, start).multiplier
    residual = _residual(functional, gap, slope, path, mu)
    for _ in range(STEPS):
        if _size(functional, residual, path) < ACCEPTED:
            return Arrival(functional, gap, path)
        try:
            step, rise = _newton_step(functional, slope, bend, path, mu, residual)
        except (np.linalg.LinAlgError, ValueError):
            return None
        moved = _halved(lambda share: _tried(functional, gap, slope, path, mu, share, step, rise), residual)  # noqa: B023
        if moved is None:
            return Arrival(functional, gap, path) if _size(functional, residual, path) < 1e-6 else None
        path, mu, residual = moved
    return None


Residual = tuple[Floats, float]


def _residual(functional: Action, gap: Formula, slope: Formula, path: Path, mu: float) -> Residual:
    found = functional.gradient(path)[1:].copy()
    found[-1] -= mu * np.asarray(slope(path.x[-1]))
    return found, float(gap(path.x[-1]))


def _size(functional: Action, residual: Residual, path: Path) -> float:
    scale = np.abs(functional.momenta(path)).max() + 1e-300
    return max(float(np.abs(residual[0]).max() / scale), abs(residual[1]))


def _newton_step(
    functional: Action, slope: Formula, bend: Formula, path: Path, mu: float, residual: Residual
) -> tuple[Floats, float]:
    """Steps of the points and of the multiplier, by elimination of the points."""
    H = with_end(functional, path)
    diagonal = H.diagonal.copy()
    diagonal[-1] -= mu * np.asarray(bend(path.x[-1]))
    matrix, normal = BlockTridiagonal(diagonal, H.upper), np.zeros_like(residual[0])
    normal[-1] = slope(path.x[-1])
    plain, response = matrix.solve(residual[0]), matrix.solve(normal)
    rise = (float(np.sum(normal * plain)) - residual[1]) / float(np.sum(normal * response))
    return rise * response - plain, rise


Tried = tuple[Path, float, Residual]


def _tried(
    functional: Action, gap: Formula, slope: Formula, path: Path, mu: float, share: float, step: Floats, rise: float
) -> Tried:
    x = path.x.copy()
    x[1:] += share * step
    moved = Path(x, path.t)
    return moved, mu + share * rise, _residual(functional, gap, slope, moved, mu + share * rise)


def _halved(tried: Callable[[float], Tried], residual: Residual) -> Tried | None:
    """The first of ever shorter steps that lowers the residual."""
    norm = float(np.hypot(np.linalg.norm(residual[0]), residual[1]))
    for share in 0.5 ** np.arange(10):
        try:
            found = tried(share)
        except ValueError:
            continue
        if np.hypot(np.linalg.norm(found[2][0]), found[2][1]) < norm:
            return found
    return None
