"""The OBABO splitting."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from sgdyn.codegen.contracts import GATHER_SIGNATURE, STEP_SIGNATURE
from sgdyn.codegen.jit import kernel
from sgdyn.codegen.vector import LANES, load, store
from sgdyn.problem import Momentum
from sgdyn.sde.methods.plan import Method, Plan
from sgdyn.sde.methods.underdamped import OWN, RANK, push, refresh, refreshing, steps_among, underdamped_plan


@kernel(*STEP_SIGNATURE)
def obabo_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """Two refreshments of the velocity, and a step of velocity Verlet between them."""
    dim, dt, rank = x.shape[0] // 2, constants[0], int(constants[RANK])
    keep, spread = constants[OWN], constants[OWN + 1] * constants[1]
    position, velocity, gradient, kick = x[:dim], x[dim:], work[:dim], work[dim:]
    drift(position, theta, gradient)
    for step in range(steps_among(variates, 2 * rank)):
        first = 2 * step * rank
        noise(position, phi, variates[first : first + rank], kick)
        refresh(velocity, keep, kick, spread)
        push(velocity, gradient, -0.5 * dt)
        push(position, velocity, dt)
        drift(position, theta, gradient)
        push(velocity, gradient, -0.5 * dt)
        noise(position, phi, variates[first + rank : first + 2 * rank], kick)
        refresh(velocity, keep, kick, spread)


@kernel(*GATHER_SIGNATURE)
def gather_halves(fresh: Any, variates: Any, i: Any, refine: Any) -> None:
    """The increments of the two halves of a step: of the 2 refine halves of finer steps the first `refine` belong to the first one."""
    rank, scale = variates.shape[0] // 2, 1.0 / math.sqrt(refine)
    for half in range(2):
        number = 2 * i + half
        target = number // refine * rank
        for row in range(rank):
            for p in range(0, variates.shape[1], LANES):
                part = load(fresh, half * rank + row, p) * scale
                before = load(variates, target + row, p)
                store(variates, target + row, p, part if number % refine == 0 else before + part)


@dataclass(frozen=True)
class OBABO(Method):
    """The velocity's Ornstein-Uhlenbeck process for dt/2 (O), velocity Verlet (B A B), O again.

    For D = 1 and a harmonic potential <v²> is exact, and <x²> is T/(h (1 - h dt²/4)). Each step draws two normals a component, those of its
    halves; with `refine` every half is the sum of the finer halves that lie in it. Bussi and Parrinello, Phys. Rev. E 75, 056707 (2007).
    """

    strong_order: ClassVar[float | None] = 1.0
    strong_order_additive: ClassVar[float | None] = 1.0
    weak_order: ClassVar[float] = 2.0
    accepts: ClassVar[str] = "additive"
    problems: ClassVar[tuple[type, ...]] = (Momentum,)

    def plan(self, problem: Momentum, dt: float) -> Plan:
        plan = underdamped_plan(obabo_step, problem, dt, refreshing(problem.friction, 0.5 * dt), kicks=2)
        return replace(plan, gather=gather_halves)
