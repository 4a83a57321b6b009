"""The Metropolis-adjusted Langevin algorithm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sgdyn.codegen import elementary
from sgdyn.codegen.contracts import STEP_SIGNATURE
from sgdyn.codegen.formula import combined
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, load, select, store
from sgdyn.fields import Field, Opaque, as_formula
from sgdyn.noise import Diagonal, Varying
from sgdyn.potentials import Potential
from sgdyn.problem import Langevin
from sgdyn.sde.methods.columns import shift
from sgdyn.sde.methods.plan import Method, Plan


@exact_helper
def log_ratio(here: Any, there: Any, kick: Any, forces: Any, scale: Any, dt: Any, T: Any, p: Any) -> Any:
    """log of p(y) q(x|y) / (p(x) q(y|x)) = -(U(y) - U(x))/T + (kick.g scale)/2T + dt g.f/4T with g = grad U(x) + grad U(y), f = -D g.

    The inverse of D drops out, so that it may be singular.
    """
    total = (load(here, 0, p) - load(there, 0, p)) / T
    for i in range(kick.shape[0]):
        g = load(here, 1 + i, p) + load(there, 1 + i, p)
        total = total + g * (load(kick, i, p) * (0.5 * scale / T) + load(forces, i, p) * (0.25 * dt / T))
    return total


@exact_helper
def accept(x: Any, y: Any, row: Any, p: Any, ratio: Any) -> None:
    """x = y where a uniform number, the distribution function of the normal `row`, is below e^ratio."""
    uniform = elementary.erfc(row * -math.sqrt(0.5)) * 0.5
    taken = uniform < elementary.exp(ratio)
    for i in range(x.shape[0]):
        store(x, i, p, select(taken, load(y, i, p), load(x, i, p)))


@kernel(*STEP_SIGNATURE)
def mala_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """Euler-Maruyama's step as a proposal; extra is (U, grad U)."""
    dim, rank, dt, scale = x.shape[0], variates.shape[0] - 1, constants[0], constants[1] * math.sqrt(constants[0])
    T = 0.5 * constants[1] ** 2
    y, kick, forces, force = work[:dim], work[dim : 2 * dim], work[2 * dim : 3 * dim], work[3 * dim : 4 * dim]
    here, there = work[4 * dim : 5 * dim + 1], work[5 * dim + 1 :]
    drift(x, theta, forces)
    noise(x, phi, variates[:rank], kick)
    shift(y, x, dt, forces)
    shift(y, y, scale, kick)
    drift(y, theta, force)
    shift(forces, forces, 1.0, force)
    extra(x, psi, here)
    extra(y, psi, there)
    for p in range(0, x.shape[1], LANES):
        accept(x, y, load(variates, rank, p), p, log_ratio(here, there, kick, forces, scale, dt, T, p))


def value_and_gradient(U: Potential) -> Field:
    """(U, grad U) as one field (1 + dim,)."""
    value, grad = as_formula(U.value), as_formula(U.grad)
    if value is not None and grad is not None:
        return combined(
            "value and gradient", [value, grad], (1 + U.dim,), lambda u, g: np.concatenate([np.reshape(u, 1), g])
        )
    return Opaque(
        lambda x: np.concatenate([U(x)[..., None], U.grad(x)], -1), U.dim, (1 + U.dim,), name="U and its gradient"
    )


@dataclass(frozen=True)
class MALA(Method):
    """Euler-Maruyama's step, taken or refused so that exp(-U/T) is kept exactly at any dt: the reference for stationary averages.

    For `Langevin(U, T)` and for `Langevin.gibbs(U, T, D)` with constant D. The refused steps slow the paths down: times are right to
    O(dt) only. Roberts and Tweedie, Bernoulli 2, 341 (1996), section 1.4.3; as an integrator,
    Bou-Rabee and Vanden-Eijnden, Comm. Pure Appl. Math. 63, 655 (2010).
    """

    strong_order: ClassVar[float | None] = None
    strong_order_additive: ClassVar[float | None] = 0.75
    weak_order: ClassVar[float] = 1.0
    needs_normals: ClassVar[bool] = True
    accepts: ClassVar[str] = "additive"

    @classmethod
    def refusal(cls, problem: Any) -> str | None:
        if problem.U is None or problem.curl is not None:
            return "a drift that is no gradient"
        noise = problem.D
        same = isinstance(noise, Diagonal) and noise.isotropic == 1.0
        return None if problem.is_gibbs or same else "a stationary density that is not exp(-U/T) (see Langevin.gibbs)"

    def plan(self, problem: Langevin, dt: float) -> Plan:
        noise, dim, U = problem.D, problem.dim, problem.U
        assert U is not None and not isinstance(noise, Varying)
        return Plan(
            mala_step.compiled, problem.drift, noise, noise.rank + 1, np.array([dt, 0.0]), extra=value_and_gradient(U), room=6 * dim + 2,
        )  # fmt: skip
