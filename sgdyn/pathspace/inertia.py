"""The action of underdamped paths, written for the positions alone: their velocities are bound to them, so that D has full rank."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sgdyn.pathspace.coefficients import Coefficients
from sgdyn.pathspace.paths import Path
from sgdyn.pathspace.tridiagonal import BlockPentadiagonal
from sgdyn.problem import Momentum

Floats = NDArray[np.float64]

BATCH = 200_000
"""So many points are evaluated at once."""


def forces(problem: Momentum) -> Coefficients:
    """-grad U and friction T D, on positions."""
    return Coefficients(problem.U.grad.negated(), problem.D, problem.T * problem.friction, True)


def configuration_action(problem: Momentum, path: Path) -> float:
    """∫ |x'' + gamma x' + grad U|²_{D^-1}/(4 gamma T) dt of positions (n + 1, dim) at equal times, by second differences.

    Raises ValueError for unequal steps, fewer than two, and a D without full rank.
    """
    c = forces(problem)
    if c.degenerate:
        raise ValueError(
            "got a D without full rank, expected one with for a path of positions; pass a path of points (x, v)"
        )
    if path.n < 2 or np.ptp(path.dt) > 1e-9 * path.dt.max():
        raise ValueError(
            f"got {path.n} steps of {path.dt.min():.6g} to {path.dt.max():.6g}, expected at least two equal ones; type path.at(np.linspace(...))"
        )
    dt, x = path.dt[0], path.x
    inner, acceleration = x[1:-1], (x[2:] - 2 * x[1:-1] + x[:-2]) / dt**2
    excess = acceleration + problem.friction * (x[2:] - x[:-2]) / (2 * dt) - c.drift(inner)
    density = np.einsum("ni,ni->n", excess, c.lower(inner, excess)) / (4 * c.T)
    return float(dt * (density.sum() + 0.5 * (density[0] + density[-1])))


@dataclass(frozen=True, eq=False)
class InertialAction:
    """The action of positions x_0, ..., x_n at equal times, between points (x_0, v_0) and (x_n, v_n) of phase space.

        S = sum_k |r_k|²_{D^-1}/(4 gamma T dt_k),   dt_k = dt, at the ends dt/2
        r_k = (x_{k+1} - 2 x_k + x_{k-1})/dt + gamma (x_{k+1} - x_{k-1})/2 + dt grad U(x_k)
        r_0 = u_1 - v_0 + (dt/2)(gamma (v_0 + u_1)/2 + grad U(x_0)),   u_1 = (x_1 - x_0)/dt,   and r_n its mirror

    The r_k are the increments of noise of a leapfrog scheme, so that exp(-S) times a constant is the density of (x_1, ..., x_n, v_n);
    errors of densities fall as dt². The Freidlin-Wentzell action is its limit: D is constant, and T enters nowhere else.
    """

    problem: Momentum
    v0: Floats
    v1: Floats

    @cached_property
    def c(self) -> Coefficients:
        return forces(self.problem)

    @property
    def dim(self) -> int:
        return self.problem.U.dim

    def increments(self, x: Floats, dt: float) -> Floats:
        """r of positions (..., n + 1, dim)."""
        half, u = 0.25 * self.problem.friction * dt, np.diff(x, axis=-2) / dt
        push = -dt * self.c.drift(x.reshape(-1, self.dim)).reshape(x.shape)
        push[..., [0, -1], :] *= 0.5
        push[..., 1:-1, :] += (1 + 2 * half) * u[..., 1:, :] - (1 - 2 * half) * u[..., :-1, :]
        push[..., 0, :] += (1 + half) * u[..., 0, :] - (1 - half) * self.v0
        push[..., -1, :] += (1 + half) * self.v1 - (1 - half) * u[..., -1, :]
        return np.asarray(push)

    def momenta(self, path: Path) -> Floats:
        """D^-1 r_k/(2 gamma T dt_k), the momentum of the velocity at the times of the path (n + 1, dim)."""
        r = self.increments(path.x, path.dt[0])
        return self.c.lower(path.x, r) / (2 * self.c.T * _weights(path)[:, None])

    def value(self, path: Path) -> float:
        """S."""
        return float(0.5 * np.einsum("ni,ni->", self.increments(path.x, path.dt[0]), self.momenta(path)))

    def gradient(self, path: Path) -> Floats:
        """dS/dx_k (n + 1, dim); 0 at the ends, which are held."""
        q, (below, above) = self.momenta(path), self._couplings(path)
        found = np.zeros_like(path.x)
        found[1:-1] = above * q[:-2] - 2 / path.dt[0] * q[1:-1] + below * q[2:]
        found[1:-1] -= path.dt[0] * self.c.pull(path.x[1:-1], q[1:-1])
        return found

    def scale(self, path: Path) -> float:
        """The largest of the terms whose sum the gradient is."""
        c, x = self.c, path.x
        pushes = c.lower(x[1:], c.drift(x[1:])), c.lower(x[1:], self.problem.friction * np.diff(x, axis=0) / path.dt[0])
        size = np.abs(self.momenta(path)).max() + sum(np.abs(push).max() for push in pushes) / (2 * c.T)
        return float(2 * size / path.dt[0])

    def hessian(self, path: Path) -> BlockPentadiagonal:
        """d²S/dx_j dx_k of the positions between the ends."""
        x, dt = path.x[1:-1], path.dt[0]
        bend = -dt * np.einsum("nikl,ni->nkl", self.c.second(x), self.momenta(path)[1:-1])
        return self._square(path, -dt * self.c.jacobian(x), bend)

    def springs(self, path: Path) -> BlockPentadiagonal:
        """The part of it that is there without forces."""
        none = np.zeros((path.n - 1, self.dim, self.dim))
        return self._square(path, none, none)

    def _square(self, path: Path, stiffness: Floats, bend: Floats) -> BlockPentadiagonal:
        """(dr/dx)' (D dt_k)^-1 (dr/dx)/(2 gamma T) + bend, dr_k/dx_k = stiffness - 2/dt."""
        one = np.eye(self.dim)
        inverse = self.c.lower(np.zeros((self.dim, self.dim)), one) / (2 * self.c.T)
        W = inverse / _weights(path)[:, None, None]
        B, (below, above) = stiffness - 2 / path.dt[0] * one, self._couplings(path)
        above, below = above[..., None], below[..., None]
        diagonal = above**2 * W[:-2] + np.swapaxes(B, -1, -2) @ W[1:-1] @ B + below**2 * W[2:] + bend
        upper = np.swapaxes(B[:-1], -1, -2) @ W[1:-2] * above[1:] + below[:-1] * W[2:-1] @ B[1:]
        return BlockPentadiagonal(diagonal, upper, below[:-2] * W[2:-2] * above[2:])

    def _couplings(self, path: Path) -> tuple[Floats, Floats]:
        """dr_{k+1}/dx_k and dr_{k-1}/dx_k at the inner points (n - 1, 1)."""
        dt, half = path.dt[0], 0.25 * self.problem.friction * path.dt[0]
        below, above = (np.full((path.n - 1, 1), (1 + sign * 2 * half) / dt) for sign in (-1, 1))
        below[-1], above[0] = (1 - half) / dt, (1 + half) / dt
        return below, above

    def log_measure(self, path: Path) -> float:
        """The logarithm of what multiplies exp(-S) in the density of (x_1, ..., x_n, v_n)."""
        dt, half, D = path.dt[0], 0.25 * self.problem.friction * path.dt[0], self.c.log_determinant(path.x[:1])[0]
        volume = self.dim * np.log(4 * np.pi * self.c.T * _weights(path)).sum() + (path.n + 1) * D
        jacobian = 2 * np.log1p(half) + (path.n - 1) * np.log1p(2 * half) - path.n * np.log(dt)
        return float(self.dim * jacobian - 0.5 * volume)

    def leading_log_density(self, path: Path) -> float:
        """log p(b, t | a) by Laplace's method on these steps, around a critical path."""
        H, m = self.hessian(path), (path.n - 1) * self.dim
        return float(self.log_measure(path) - self.value(path) + 0.5 * m * np.log(2 * np.pi) - 0.5 * H.log_determinant)

    def log_densities(self, x: Floats, like: Path) -> Floats:
        """log p(x_1, ..., x_n, v_n) of paths (count, n + 1, dim), as (count,)."""
        share, weights = max(1, BATCH // len(like.t)), 4 * self.c.T * _weights(like)[:, None]
        found = []
        for k in range(0, len(x), share):
            r = self.increments(x[k : k + share], like.dt[0])
            lowered = self.c.lower(r.reshape(-1, self.dim), r.reshape(-1, self.dim)).reshape(r.shape)
            found.append(-np.sum(r * lowered / weights, axis=(1, 2)))
        return np.concatenate(found) + self.log_measure(like)

    def phase_space(self, path: Path) -> Path:
        """The points (x, v), v by central differences."""
        v = np.concatenate([self.v0[None], (path.x[2:] - path.x[:-2]) / (2 * path.dt[0]), self.v1[None]])
        return Path(np.concatenate([path.x, v], axis=1), path.t)

    def momenta_in_phase_space(self, path: Path) -> Floats:
        """The momenta of (x, v) in the middle of the steps (n, 2 dim): p_x = gamma p_v - dp_v/dt."""
        q = self.momenta(path)
        p = 0.5 * (q[1:] + q[:-1])
        return np.concatenate([self.problem.friction * p - np.diff(q, axis=0) / path.dt[0], p], axis=1)


def _weights(path: Path) -> Floats:
    """dt_k: at the ends half a step."""
    found = np.full(path.n + 1, path.dt[0])
    found[[0, -1]] *= 0.5
    return found


def of_ends(problem: Momentum, a: Floats, b: Floats) -> InertialAction:
    """The action between two points of phase space."""
    d = problem.U.dim
    return InertialAction(problem, a[d:], b[d:])


def positions(path: Path) -> Path:
    """The positions of a path in phase space."""
    return Path(path.x[:, : path.dim // 2], path.t)


def with_velocities(path: Path) -> Path:
    """The positions of a path in phase space, bent so that they leave and arrive with the velocities of its ends."""
    d, t, s = path.dim // 2, path.duration, ((path.t - path.t[0]) / path.duration)[:, None]
    x, chord = path.x[:, :d], path.x[-1, :d] - path.x[0, :d]
    first, last = t * path.x[0, d:] - chord, t * path.x[-1, d:] - chord
    return Path(x + s * (1 - s) ** 2 * first - s**2 * (1 - s) * last, path.t)
