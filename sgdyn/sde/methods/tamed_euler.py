"""The tamed Euler method."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sgdyn.codegen.contracts import STEP_SIGNATURE
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, load, sqrt, store
from sgdyn.problem import Langevin
from sgdyn.sde.methods.euler_maruyama import add_scaled
from sgdyn.sde.methods.plan import Method, Plan


@exact_helper
def tame(force: Any, dt: Any) -> None:
    """force /= 1 + dt |force|."""
    for p in range(0, force.shape[1], LANES):
        square = load(force, 0, p) * load(force, 0, p)
        for i in range(1, force.shape[0]):
            square = square + load(force, i, p) * load(force, i, p)
        for i in range(force.shape[0]):
            store(force, i, p, load(force, i, p) / (sqrt(square) * dt + 1.0))


@kernel(*STEP_SIGNATURE)
def tamed_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """x += dt b/(1 + dt |b|) + sqrt(2 T dt) sigma z."""
    dim, dt = x.shape[0], constants[0]
    force, kick = work[:dim], work[dim:]
    drift(x, theta, force)
    noise(x, phi, variates, kick)
    tame(force, dt)
    add_scaled(x, force, dt, kick, constants[1] * math.sqrt(dt))


@dataclass(frozen=True)
class TamedEuler(Method):
    """X += b dt/(1 + dt |b|) + sqrt(2 T dt) sigma z: no step of the drift is longer than 1, so that superlinear drifts cannot explode.

    Hutzenthaler, Jentzen, Kloeden, Ann. Appl. Probab. 22, 1611 (2012), eq. 4 and theorem 1.1.
    """

    strong_order: ClassVar[float | None] = 0.5
    strong_order_additive: ClassVar[float | None] = 1.0
    weak_order: ClassVar[float] = 1.0

    def plan(self, problem: Langevin, dt: float) -> Plan:
        noise = problem.D
        return Plan(tamed_step.compiled, problem.drift, noise, noise.rank, np.array([dt, 0.0]), room=2 * noise.dim)
