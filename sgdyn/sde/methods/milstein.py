"""The Milstein method."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sgdyn.codegen.contracts import STEP_SIGNATURE
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, load, store
from sgdyn.factors import diagonal_derivative
from sgdyn.fields import as_formula
from sgdyn.noise import Varying
from sgdyn.problem import Langevin
from sgdyn.sde.methods.euler_maruyama import euler
from sgdyn.sde.methods.plan import Method, Plan, kind_of_noise
from sgdyn.sde.methods.repeated_runge_kutta import repeated_plan


@exact_helper
def add_squares(x: Any, slope: Any, variates: Any, scale: Any) -> None:
    """x_i += scale slope_i (z_i² - 1)."""
    for i in range(x.shape[0]):
        for p in range(0, x.shape[1], LANES):
            z = load(variates, i, p)
            store(x, i, p, load(x, i, p) + load(slope, i, p) * (z * z - 1.0) * scale)


@kernel(*STEP_SIGNATURE)
def milstein_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """Euler-Maruyama's step and T/2 d_i D_ii (z_i² - 1) dt, d_i D_ii the extra field."""
    dim, dt = x.shape[0], constants[0]
    slope = work[2 * dim :]
    extra(x, psi, slope)
    euler(drift, theta, noise, phi, x, variates, work, dt, constants[1] * math.sqrt(dt))
    add_squares(x, slope, variates, 0.25 * constants[1] ** 2 * dt)


@dataclass(frozen=True)
class Milstein(Method):
    """Euler-Maruyama's step and the repeated integrals of the noise: strong order 1.

    Of diagonal noise, T/2 d_i D_ii (z_i² - 1) dt, which is right where D vanishes as well: Milstein, Theory Probab. Appl. 19, 557
    (1975). Of any other, by differences along the columns of sigma, and simulated areas if it does not commute: Kloeden and Platen
    (1992), section 11.1. terms: of the areas' series (default: so many that order 1 remains).
    """

    terms: int | None = None
    strong_order: ClassVar[float | None] = 1.0
    strong_order_additive: ClassVar[float | None] = 1.0
    weak_order: ClassVar[float] = 1.0

    def plan(self, problem: Langevin, dt: float) -> Plan:
        noise = problem.D
        if isinstance(noise, Varying) and kind_of_noise(noise) == "diagonal" and as_formula(noise.matrix) is not None:
            slope, constants = diagonal_derivative(noise), np.array([dt, 0.0])
            return Plan(
                milstein_step.compiled, problem.drift, noise, noise.rank, constants, extra=slope, room=3 * noise.dim
            )
        return repeated_plan(problem, dt, w=0.0, terms=self.terms)
