"""The Verlet-type method of Grønbech-Jensen and Farago."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sgdyn.codegen.contracts import STEP_SIGNATURE
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, load, store
from sgdyn.problem import Momentum
from sgdyn.sde.methods.plan import Method, Plan
from sgdyn.sde.methods.underdamped import OWN, RANK, push, steps_among, underdamped_plan


@exact_helper
def _first_parts(x: Any, v: Any, gradient: Any, kick: Any, dt: Any, a: Any, b: Any, spread: Any) -> None:
    """x += b dt (v - g dt/2 + k/2) and v = a (v - g dt/2) + b k with the random impulse k."""
    for i in range(x.shape[0]):
        for p in range(0, x.shape[1], LANES):
            w, k = load(v, i, p) - load(gradient, i, p) * (0.5 * dt), load(kick, i, p) * spread
            store(x, i, p, load(x, i, p) + (w + k * 0.5) * (b * dt))
            store(v, i, p, w * a + k * b)


@kernel(*STEP_SIGNATURE)
def gjf_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """The gradient at the end of a step is that at the beginning of the next."""
    dim, dt, rank = x.shape[0] // 2, constants[0], int(constants[RANK])
    a, b, spread = constants[OWN], constants[OWN + 1], constants[OWN + 2] * constants[1]
    position, velocity, gradient, kick = x[:dim], x[dim:], work[:dim], work[dim:]
    drift(position, theta, gradient)
    for step in range(steps_among(variates, rank)):
        noise(position, phi, variates[step * rank : (step + 1) * rank], kick)
        _first_parts(position, velocity, gradient, kick, dt, a, b, spread)
        drift(position, theta, gradient)
        push(velocity, gradient, -0.5 * dt)


@dataclass(frozen=True)
class GJF(Method):
    """Velocity Verlet with the impulses of friction and noise over a step, b = 1/(1 + friction dt/2), a = b (1 - friction dt/2).

    For D = 1 <x²> in a harmonic potential, and diffusion and drift on a slope, are exact at any stable dt; <v²> is T (1 - h dt²/4).
    Grønbech-Jensen and Farago, Mol. Phys. 111, 983 (2013), the update of r and v with the coefficients a and b.
    """

    strong_order: ClassVar[float | None] = 1.0
    strong_order_additive: ClassVar[float | None] = 1.0
    weak_order: ClassVar[float] = 2.0
    accepts: ClassVar[str] = "additive"
    problems: ClassVar[tuple[type, ...]] = (Momentum,)

    def plan(self, problem: Momentum, dt: float) -> Plan:
        half = 0.5 * problem.friction * dt
        return underdamped_plan(
            gjf_step, problem, dt, [(1 - half) / (1 + half), 1 / (1 + half), np.sqrt(problem.friction * dt)]
        )
