"""Rößler's SRIW1 method."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sgdyn.codegen.contracts import STEP_SIGNATURE
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, load, store
from sgdyn.problem import Langevin
from sgdyn.sde.engine import copy_rows
from sgdyn.sde.methods.columns import fill_rows, shift
from sgdyn.sde.methods.integrals import TIME_INTEGRAL, gather_integrals
from sgdyn.sde.methods.plan import Method, Plan

A1 = np.array([0.0, 1 / 4, 1.0, 1 / 4])
"""What the points of the noise take of the first drift; the drift enters at two points only, since its third weight is zero."""
B1 = np.array([[0.0, 0.0, 0.0], [1 / 2, 0.0, 0.0], [-1.0, 0.0, 0.0], [-5.0, 3.0, 1 / 2]])
BETA = np.array(
    [[-1.0, 4 / 3, 2 / 3, 0.0], [-1.0, 4 / 3, -1 / 3, 0.0], [2.0, -4 / 3, -2 / 3, 0.0], [-2.0, 5 / 3, -2 / 3, 1.0]]
)
"""Weights of the noise at the four points with dW, (dW² - dt)/2, int W ds and (dW³ - 3 dW dt)/6."""


@exact_helper
def weigh(variates: Any, i: Any, scale: Any, weights: Any) -> None:
    """weights = scale times what the noise at the i-th point is multiplied with."""
    rank = weights.shape[0]
    for k in range(rank):
        for p in range(0, weights.shape[1], LANES):
            z = load(variates, k, p)
            lag = z * 0.5 + load(variates, rank + k, p) * TIME_INTEGRAL
            total = (
                z * BETA[0, i]
                + (z * z - 1.0) * (0.5 * BETA[1, i])
                + lag * BETA[2, i]
                + (z * z - 3.0) * z * (BETA[3, i] / 6.0)
            )
            store(weights, k, p, total * scale)


@exact_helper
def weigh_lag(variates: Any, scale: Any, weights: Any) -> None:
    """weights = scale int W ds / dt^{3/2}."""
    rank = weights.shape[0]
    for k in range(rank):
        for p in range(0, weights.shape[1], LANES):
            store(weights, k, p, (load(variates, k, p) * 0.5 + load(variates, rank + k, p) * TIME_INTEGRAL) * scale)


@kernel(*STEP_SIGNATURE)
def sriw1_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """Two drifts and four noises; the sum over the columns of sigma is their only one, as the noise is diagonal or of one process."""
    dim, dt, scale = x.shape[0], constants[0], constants[1] * math.sqrt(constants[0])
    rank = variates.shape[0] // 2
    total, point, force, part, noises, weights = (
        work[:dim], work[dim : 2 * dim], work[2 * dim : 3 * dim], work[3 * dim : 4 * dim], work[4 * dim : 7 * dim], work[7 * dim : 7 * dim + rank],
    )  # fmt: skip
    drift(x, theta, force)
    shift(total, x, dt / 3.0, force)
    for i in range(4):
        shift(point, x, A1[i] * dt, force)
        for j in range(min(i, 3)):
            shift(point, point, B1[i, j], noises[j * dim : (j + 1) * dim])
        weigh(variates, i, scale, weights)
        noise(point, phi, weights, part)
        shift(total, total, 1.0, part)
        if i < 3:
            fill_rows(weights, scale)
            noise(point, phi, weights, noises[i * dim : (i + 1) * dim])
    weigh_lag(variates, 1.5 * scale, weights)
    noise(x, phi, weights, part)
    shift(point, x, 0.75 * dt, force)
    shift(point, point, 1.0, part)
    drift(point, theta, force)
    shift(total, total, 2.0 * dt / 3.0, force)
    copy_rows(total, x)


@dataclass(frozen=True)
class SRIW1(Method):
    """Strong order 1.5 for diagonal noise, and for noise of one Wiener process, without derivatives.

    Rößler, SIAM J. Numer. Anal. 48, 922 (2010), the scheme SRI1W1.
    """

    strong_order: ClassVar[float | None] = 1.5
    strong_order_additive: ClassVar[float | None] = 1.5
    weak_order: ClassVar[float] = 1.5
    needs_normals: ClassVar[bool] = True
    accepts: ClassVar[str] = "scalar"

    def plan(self, problem: Langevin, dt: float) -> Plan:
        noise = problem.D
        return Plan(
            sriw1_step.compiled, problem.drift, noise, 2 * noise.rank, np.array([dt, 0.0]), room=7 * noise.dim + noise.rank,
            gather=gather_integrals,
        )  # fmt: skip
