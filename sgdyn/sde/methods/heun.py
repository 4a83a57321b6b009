"""The Heun method for Stratonovich equations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sgdyn.codegen.contracts import STEP_SIGNATURE
from sgdyn.codegen.jit import kernel
from sgdyn.factors import drift_correction, unwritten
from sgdyn.problem import Langevin
from sgdyn.sde.methods.columns import shift
from sgdyn.sde.methods.euler_maruyama import add_scaled
from sgdyn.sde.methods.plan import Method, Plan, kind_of_noise
from sgdyn.sde.methods.repeated_runge_kutta import corrected_drift


@kernel(*STEP_SIGNATURE)
def heun_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """The mean of two steps of Euler's, from x and from where the first one ends, with the drift of Stratonovich's equation."""
    dim, dt, scale = x.shape[0], constants[0], constants[1] * math.sqrt(constants[0])
    half = 0.5 * constants[2] * constants[1] ** 2
    point, force, kick, room = work[:dim], work[dim : 2 * dim], work[2 * dim : 3 * dim], work[3 * dim :]
    corrected_drift(drift, theta, extra, psi, x, half, force, room)
    noise(x, phi, variates, kick)
    shift(point, x, dt, force)
    shift(point, point, scale, kick)
    add_scaled(x, force, 0.5 * dt, kick, 0.5 * scale)
    corrected_drift(drift, theta, extra, psi, point, half, force, room)
    noise(point, phi, variates, kick)
    add_scaled(x, force, 0.5 * dt, kick, 0.5 * scale)


@dataclass(frozen=True)
class Heun(Method):
    """The explicit trapezoidal rule, which converges to Stratonovich's integral; the drift is converted, so that it solves the same process.

    For dX = b dt + sqrt(2 T) sigma o dW type `sg.stratonovich(problem)` first. Strong order 1 where the noise commutes. Rümelin, SIAM J.
    Numer. Anal. 19, 604 (1982).
    """

    strong_order: ClassVar[float | None] = 0.5
    strong_order_additive: ClassVar[float | None] = 1.0
    weak_order: ClassVar[float] = 1.0
    interpretation: ClassVar[str] = "Stratonovich"

    @classmethod
    def refusal(cls, problem: Any) -> str | None:
        return unwritten(problem.D)

    def plan(self, problem: Langevin, dt: float) -> Plan:
        noise, correction = problem.D, drift_correction(problem.D, kind_of_noise(problem.D))
        constants = np.array([dt, 0.0, float(correction is not None)])
        return Plan(
            heun_step.compiled, problem.drift, noise, noise.rank, constants, extra=correction, room=4 * noise.dim
        )
