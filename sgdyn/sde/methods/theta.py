"""The drift-implicit theta method."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sgdyn import checks
from sgdyn.codegen.contracts import STEP_SIGNATURE
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, absolute, any_of, load, select, store
from sgdyn.fields import Affine, Opaque, as_formula
from sgdyn.problem import Langevin
from sgdyn.sde.methods.columns import fill_rows, shift
from sgdyn.sde.methods.plan import Method, Plan

NEWTON_STEPS = 50
NEWTON_TOLERANCE = 1e-9
"""A correction this small, relative to 1 + |x|, is the last one: the next would be its square."""


@exact_helper
def pivot(A: Any, b: Any, k: Any, dim: Any, p: Any) -> None:
    """Bring, path by path, the largest element of the column k on or below the diagonal onto it."""
    for i in range(k + 1, dim):
        larger = absolute(load(A, i * dim + k, p)) > absolute(load(A, k * dim + k, p))
        for j in range(k, dim):
            upper, lower = load(A, k * dim + j, p), load(A, i * dim + j, p)
            store(A, k * dim + j, p, select(larger, lower, upper))
            store(A, i * dim + j, p, select(larger, upper, lower))
        upper, lower = load(b, k, p), load(b, i, p)
        store(b, k, p, select(larger, lower, upper))
        store(b, i, p, select(larger, upper, lower))


@exact_helper
def eliminate(A: Any, b: Any, k: Any, dim: Any, p: Any) -> None:
    """Subtract multiples of the row k from those below."""
    for i in range(k + 1, dim):
        factor = load(A, i * dim + k, p) / load(A, k * dim + k, p)
        for j in range(k + 1, dim):
            store(A, i * dim + j, p, load(A, i * dim + j, p) - factor * load(A, k * dim + j, p))
        store(b, i, p, load(b, i, p) - factor * load(b, k, p))


@exact_helper
def solve(A: Any, b: Any) -> None:
    """b = A^-1 b on every path by Gaussian elimination; A (dim², n) is lost."""
    dim = b.shape[0]
    for p in range(0, b.shape[1], LANES):
        for k in range(dim):
            pivot(A, b, k, dim, p)
            eliminate(A, b, k, dim, p)
        for k in range(dim - 1, -1, -1):
            value = load(b, k, p)
            for j in range(k + 1, dim):
                value = value - load(A, k * dim + j, p) * load(b, j, p)
            store(b, k, p, value / load(A, k * dim + k, p))


@exact_helper
def newton_matrix(A: Any, dim: Any, scale: Any) -> None:
    """A = I - scale A."""
    for i in range(dim):
        for j in range(dim):
            for p in range(0, A.shape[1], LANES):
                store(A, i * dim + j, p, load(A, i * dim + j, p) * -scale + (1.0 if i == j else 0.0))


@exact_helper
def residual(goal: Any, y: Any, scale: Any, force: Any) -> None:
    """force = goal - y + scale force."""
    for i in range(y.shape[0]):
        for p in range(0, y.shape[1], LANES):
            store(force, i, p, load(goal, i, p) - load(y, i, p) + load(force, i, p) * scale)


@exact_helper
def correct(y: Any, delta: Any, waiting: Any) -> Any:
    """y += delta on the paths that wait for it; those whose delta was small wait no more. True if any still wait."""
    some = False
    for p in range(0, y.shape[1], LANES):
        open_ = load(waiting, 0, p) > 0.0
        still = open_ ^ open_
        for i in range(y.shape[0]):
            old, step = load(y, i, p), load(delta, i, p)
            still = still | (absolute(step) > (absolute(old) + 1.0) * NEWTON_TOLERANCE) | (step != step)
            store(y, i, p, select(open_, old + step, old))
        still = still & open_
        store(waiting, 0, p, select(still, load(waiting, 0, p), 0.0))
        some = some or any_of(still)
    return some


@exact_helper
def lose(y: Any, waiting: Any) -> None:
    """NaN on the paths where Newton's method has found nothing."""
    for i in range(y.shape[0]):
        for p in range(0, y.shape[1], LANES):
            store(y, i, p, select(load(waiting, 0, p) > 0.0, math.nan, load(y, i, p)))


@kernel(*STEP_SIGNATURE)
def newton_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """y = x + (1 - w) dt b(x) + kick + w dt b(y) by Newton's method from x; extra is the Jacobian of b, constants[2] = w."""
    dim, dt, w = x.shape[0], constants[0], constants[2]
    goal, force, waiting, A = work[:dim], work[dim : 2 * dim], work[2 * dim : 2 * dim + 1], work[2 * dim + 1 :]
    drift(x, theta, force)
    shift(goal, x, (1.0 - w) * dt, force)
    noise(x, phi, variates, force)
    shift(goal, goal, constants[1] * math.sqrt(dt), force)
    fill_rows(waiting, 1.0)
    for _ in range(NEWTON_STEPS):
        drift(x, theta, force)
        residual(goal, x, w * dt, force)
        extra(x, psi, A)
        newton_matrix(A, dim, w * dt)
        solve(A, force)
        if not correct(x, force, waiting):
            return
    lose(x, waiting)


@kernel(*STEP_SIGNATURE)
def inverse_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """x += (I - w dt F)^-1 (dt b(x) + kick) for an affine drift b with matrix F; extra multiplies with the inverse."""
    dim, dt = x.shape[0], constants[0]
    force, kick = work[:dim], work[dim:]
    drift(x, theta, force)
    noise(x, phi, variates, kick)
    for i in range(dim):
        for p in range(0, x.shape[1], LANES):
            store(force, i, p, load(force, i, p) * dt + load(kick, i, p) * (constants[1] * math.sqrt(dt)))
    extra(force, psi, kick)
    shift(x, x, 1.0, kick)


@dataclass(frozen=True)
class Theta(Method):
    """X_{n+1} = X_n + (1 - theta) b(X_n) dt + theta b(X_{n+1}) dt + sqrt(2 T dt) sigma(X_n) z: stable for stiff drifts if theta >= 1/2.

    theta = 1 (the default) is the implicit Euler method. Newton's method at every step; a path where it finds nothing is reported as
    blown up. Kloeden and Platen (1992), eqs. 12.2.4, 12.2.8.
    """

    theta: float = 1.0
    strong_order: ClassVar[float | None] = 0.5
    strong_order_additive: ClassVar[float | None] = 1.0
    weak_order: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        if not 0 <= checks.positive("theta", self.theta, zero=True) <= 1:
            raise ValueError(f"got theta={self.theta:g}, expected a number between 0 (explicit) and 1 (implicit)")

    @classmethod
    def refusal(cls, problem: Any) -> str | None:
        unknown = isinstance(problem.drift, Opaque) and problem.drift.derivative is None
        return "a drift in Python, without its derivative" if unknown else None

    def plan(self, problem: Langevin, dt: float) -> Plan:
        drift, noise, dim = problem.drift, problem.D, problem.dim
        constants = np.array([dt, 0.0, self.theta])
        if isinstance(drift, Affine):
            matrix = np.eye(dim) - self.theta * dt * drift.matrix
            inverse = Affine(np.asarray(np.linalg.inv(matrix), dtype=np.float64), np.zeros(dim))
            return Plan(
                inverse_step.compiled, drift, noise, noise.rank, constants, extra=inverse, room=2 * dim, explicit=self.theta < 0.5
            )  # fmt: skip
        slope, room = drift.gradient(), 2 * dim + 1 + dim * dim
        return Plan(
            newton_step.compiled, drift, noise, noise.rank, constants, extra=as_formula(slope) or slope, room=room,
            explicit=self.theta < 0.5, equation=f"y = ... + {self.theta:g} dt b(y)" if self.theta else "",
        )  # fmt: skip
