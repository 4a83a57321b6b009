"""The BAOAB splitting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sgdyn.codegen.contracts import STEP_SIGNATURE
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, load, store
from sgdyn.problem import Momentum
from sgdyn.sde.methods.plan import Method, Plan
from sgdyn.sde.methods.underdamped import OWN, RANK, push, refreshing, steps_among, underdamped_plan


@exact_helper
def _first_parts(x: Any, v: Any, gradient: Any, kick: Any, half: Any, keep: Any, spread: Any) -> None:
    """B A O A: half a kick by the gradient, half a flight, the velocity refreshed, the other half of the flight."""
    for i in range(x.shape[0]):
        for p in range(0, x.shape[1], LANES):
            w = load(v, i, p) - load(gradient, i, p) * half
            y = load(x, i, p) + w * half
            w = w * keep + load(kick, i, p) * spread
            store(x, i, p, y + w * half)
            store(v, i, p, w)


@kernel(*STEP_SIGNATURE)
def baoab_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """The gradient at the end of a step is that at the beginning of the next."""
    dim, half, rank = x.shape[0] // 2, 0.5 * constants[0], int(constants[RANK])
    keep, spread = constants[OWN], constants[OWN + 1] * constants[1]
    position, velocity, gradient, kick = x[:dim], x[dim:], work[:dim], work[dim:]
    drift(position, theta, gradient)
    for step in range(steps_among(variates, rank)):
        noise(position, phi, variates[step * rank : (step + 1) * rank], kick)
        _first_parts(position, velocity, gradient, kick, half, keep, spread)
        drift(position, theta, gradient)
        push(velocity, gradient, -half)


@dataclass(frozen=True)
class BAOAB(Method):
    """Half a kick (B), half a flight (A), the velocity's own Ornstein-Uhlenbeck process exactly (O), A and B again.

    For D = 1 the law of x is wrong by O(dt²), by O(dt⁴) at high friction, and exact in a harmonic potential, where <v²> is
    T (1 - h dt²/4). With `refine` it follows a given Brownian path, to strong order 1.
    Leimkuhler and Matthews, Appl. Math. Res. eXpress 2013, 34; J. Chem. Phys. 138, 174102 (2013).
    """

    strong_order: ClassVar[float | None] = 1.0
    strong_order_additive: ClassVar[float | None] = 1.0
    weak_order: ClassVar[float] = 2.0
    accepts: ClassVar[str] = "additive"
    problems: ClassVar[tuple[type, ...]] = (Momentum,)

    def plan(self, problem: Momentum, dt: float) -> Plan:
        return underdamped_plan(baoab_step, problem, dt, refreshing(problem.friction, dt))
