"""Many paths at once: their actions, and Gaussian ones around a path."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve_banded, solve_banded

from sgdyn.pathspace.coefficients import Coefficients, coefficients, equilibrium
from sgdyn.pathspace.functional import Action
from sgdyn.pathspace.paths import Path
from sgdyn.pathspace.rules import Midpoint, MidpointJacobian, Rule, StaticKernel
from sgdyn.pathspace.tridiagonal import BlockPentadiagonal, BlockTridiagonal
from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]

BATCH = 200_000
"""So many points are evaluated at once."""


def best_rule(problem: Langevin | Momentum) -> Rule:
    """The rule whose transition densities have the smallest error in dt."""
    if isinstance(problem, Langevin) and equilibrium(problem) is not None:
        return StaticKernel()
    return Midpoint() if coefficients(problem, noiseless=False).varying else MidpointJacobian()


@dataclass(frozen=True, eq=False)
class Actions:
    """Actions and log densities of paths x (count, n + 1, dim) at the times t (n + 1,)."""

    functional: Action
    t: Floats

    @property
    def coefficients(self) -> Coefficients:
        return self.functional.lagrangian.coefficients

    def log_density(self, x: Floats) -> Floats:
        """log p(x_1, ..., x_n | x_0), as (count,)."""
        share = max(1, BATCH // len(self.t))
        return np.concatenate([self._log_density(x[k : k + share]) for k in range(0, len(x), share)])

    def _log_density(self, x: Floats) -> Floats:
        steps, (first, last, dt) = self.functional.steps, self._parts(x)
        c = self.coefficients
        volume = c.dim * np.log(4 * np.pi * c.T * dt) + c.log_determinant(steps.place(first, last))
        ends = np.array([steps.of_ends(a, b) for a, b in zip(x[:1, 0], x[:1, -1], strict=True)])
        whole = steps.value(first, last, dt) + 0.5 * volume
        return np.asarray(-whole.reshape(len(x), -1).sum(1) - ends)

    def slope(self, x: Floats) -> Floats:
        """Derivatives of -log p with respect to the points between the ends (count, n - 1, dim), for constant D."""
        first, last = self.functional.steps.slope(*self._parts(x))
        shape = (len(x), -1, x.shape[-1])
        return np.asarray(first.reshape(shape)[:, 1:] + last.reshape(shape)[:, :-1])

    def _parts(self, x: Floats) -> tuple[Floats, Floats, Floats]:
        dim = x.shape[-1]
        return x[:, :-1].reshape(-1, dim), x[:, 1:].reshape(-1, dim), np.tile(np.diff(self.t), len(x))


@dataclass(frozen=True, eq=False)
class GaussianPaths:
    """Gaussian paths with fixed ends around a mean path, whose inner points have the inverse covariance `precision`."""

    mean: Path
    precision: BlockTridiagonal | BlockPentadiagonal

    @cached_property
    def _factor(self) -> Floats:
        """R of R'R = precision, upper banded."""
        return self.precision.factor

    def fluctuations(self, rng: np.random.Generator, count: int) -> Floats:
        """Deviations (count, n - 1, dim) of the points between the ends."""
        m, d = self.mean.n - 1, self.mean.dim
        R = self._factor
        z = rng.standard_normal((R.shape[1], count))
        found = solve_banded((0, len(R) - 1), R, z, check_finite=False)[: m * d]
        return np.asarray(found.T.reshape(count, m, d))

    def paths(self, deviations: Floats) -> Floats:
        """Whole paths (count, n + 1, dim)."""
        x = np.tile(self.mean.x, (len(deviations), 1, 1))
        x[:, 1:-1] += deviations
        return x

    def half_square(self, deviations: Floats) -> Floats:
        """u' precision u/2 = |R u|²/2 (count,)."""
        R = self._factor
        u = np.zeros((R.shape[1], len(deviations)))
        u[: deviations[0].size] = deviations.reshape(len(deviations), -1).T
        found = R[-1][:, None] * u
        for k in range(1, len(R)):
            found[:-k] += R[-1 - k, k:, None] * u[k:]
        return np.asarray(0.5 * np.einsum("kc,kc->c", found, found))

    def product(self, deviations: Floats) -> Floats:
        """The precision times deviations (count, n - 1, dim)."""
        M = self.precision
        assert isinstance(M, BlockTridiagonal)
        found = np.einsum("nij,cnj->cni", M.diagonal, deviations)
        found[:, :-1] += np.einsum("nij,cnj->cni", M.upper, deviations[:, 1:])
        found[:, 1:] += np.einsum("nji,cnj->cni", M.upper, deviations[:, :-1])
        return np.asarray(found)

    def response(self, forces: Floats) -> Floats:
        """The covariance times forces (count, n - 1, dim)."""
        flat = forces.reshape(len(forces), -1).T
        return np.asarray(cho_solve_banded((self._factor, False), flat, check_finite=False).T.reshape(forces.shape))

    def log_density(self, deviations: Floats) -> Floats:
        """(count,)"""
        m = (self.mean.n - 1) * self.mean.dim
        whole = 0.5 * self.precision.log_determinant - 0.5 * m * np.log(2 * np.pi)
        return np.asarray(whole - self.half_square(deviations))
