"""The Euler-Maruyama method."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sgdyn.codegen.contracts import STEP_SIGNATURE
from sgdyn.codegen.formula import UNROLLED, Formula
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, load, store
from sgdyn.fields import Affine
from sgdyn.noise import Dense, Diagonal
from sgdyn.problem import Langevin
from sgdyn.sde.methods.linear_map import linear_plan
from sgdyn.sde.methods.plan import Method, Plan

TILED = 40
"""Up to this dimension a linear process with dense noise takes its step by one small matrix product."""


@exact_helper
def add_scaled(x: Any, a: Any, alpha: Any, b: Any, beta: Any) -> None:
    """x += alpha a + beta b."""
    for i in range(x.shape[0]):
        for p in range(0, x.shape[1], LANES):
            store(x, i, p, load(x, i, p) + load(a, i, p) * alpha + load(b, i, p) * beta)


@exact_helper
def euler(drift: Any, theta: Any, noise: Any, phi: Any, x: Any, z: Any, work: Any, dt: Any, scale: Any) -> None:
    """x += b(x) dt + scale sigma(x) z, with 2 dim rows of work space."""
    dim = x.shape[0]
    force, kick = work[:dim], work[dim : 2 * dim]
    drift(x, theta, force)
    noise(x, phi, z, kick)
    add_scaled(x, force, dt, kick, scale)


@kernel(*STEP_SIGNATURE)
def euler_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """Any drift, any noise."""
    dt = constants[0]
    euler(drift, theta, noise, phi, x, variates, work, dt, constants[1] * math.sqrt(dt))


@dataclass(frozen=True)
class EulerMaruyama(Method):
    """X += b(X) dt + sqrt(2 T dt) sigma(X) z with standard normal z.

    Maruyama, Rend. Circ. Mat. Palermo 4, 48 (1955); orders: Kloeden and Platen, Numerical Solution of Stochastic Differential Equations
    (1992), theorems 10.2.2, 14.5.2.
    """

    strong_order: ClassVar[float | None] = 0.5
    strong_order_additive: ClassVar[float | None] = 1.0
    weak_order: ClassVar[float] = 1.0

    def plan(self, problem: Langevin, dt: float) -> Plan:
        drift, noise, constants = problem.drift, problem.D, np.array([dt, 0.0])
        if (
            isinstance(drift, Formula)
            and drift.dim <= UNROLLED
            and isinstance(noise, Diagonal)
            and noise.rank == noise.dim
        ):
            return Plan(
                None,
                drift,
                None,
                noise.rank,
                constants,
                psi=np.sqrt(noise.values),
                several=True,
                whole=drift.euler_block,
                lean=drift.lean_block,
                narrow=drift.narrow_block,
            )
        if isinstance(drift, Affine) and isinstance(noise, Dense) and noise.dim <= TILED and noise.rank:
            M, L = np.eye(noise.dim) + dt * drift.matrix, math.sqrt(dt) * noise.factor
            return linear_plan(M, dt * drift.offset, L, dt)
        return Plan(euler_step.compiled, drift, noise, noise.rank, constants, room=2 * noise.dim)
