"""Rößler's RI6 method, of weak order 2."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sgdyn.codegen.contracts import STEP_SIGNATURE
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, copysign, load, store
from sgdyn.problem import Langevin
from sgdyn.sde.engine import copy_rows
from sgdyn.sde.methods.columns import column, fill_rows, shift
from sgdyn.sde.methods.plan import Method, Plan


@exact_helper
def cross_integrals(variates: Any, k: Any, scale: Any, weights: Any) -> None:
    """weights_l = scale I_kl / dt, l != k: (z_k z_l - s_k)/2 for k < l, (z_k z_l + s_l)/2 for l < k, s the signs of the later variates."""
    rank = weights.shape[0]
    for l in range(rank):  # noqa: E741
        for p in range(0, weights.shape[1], LANES):
            z = load(variates, k, p)
            if l == k:
                store(weights, l, p, z * 0.0)
            else:
                sign = copysign(z * 0.0 + 1.0, load(variates, rank + min(k, l), p))
                store(weights, l, p, (z * load(variates, l, p) + (-sign if k < l else sign)) * (0.5 * scale))


@exact_helper
def add_pair(
    total: Any,
    noise: Any,
    phi: Any,
    base: Any,
    direction: Any,
    variates: Any,
    k: Any,
    diagonal: Any,
    scale: Any,
    room: Any,
    weights: Any,
) -> None:
    """total += sum of sigma_k(base +- direction) (z_k/4 +- q/2) scale: q = (z_k² - 1)/2 if diagonal, 1 if not."""
    dim = base.shape[0]
    point, part = room[:dim], room[dim : 2 * dim]
    for sign in (1.0, -1.0):
        fill_rows(weights, 0.0)
        for p in range(0, base.shape[1], LANES):
            z = load(variates, k, p)
            q = (z * z - 1.0) * 0.5 if diagonal else z * 0.0 + 1.0
            store(weights, k, p, (z * 0.25 + q * (0.5 * sign)) * scale)
        shift(point, base, sign, direction)
        noise(point, phi, weights, part)
        shift(total, total, 1.0, part)


@kernel(*STEP_SIGNATURE)
def ri6_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """Two drifts, and of every column of sigma five values."""
    dim, rank, dt, scale = x.shape[0], int(constants[2]), constants[0], constants[1] * math.sqrt(constants[0])
    base, total, direction, room, weights = (
        work[:dim], work[dim : 2 * dim], work[2 * dim : 3 * dim], work[3 * dim : 5 * dim], work[5 * dim : 5 * dim + rank]
    )  # fmt: skip
    drift(x, theta, direction)
    shift(base, x, dt, direction)
    shift(total, x, 0.5 * dt, direction)
    noise(x, phi, variates[:rank], direction)
    shift(direction, base, scale, direction)
    drift(direction, theta, room[:dim])
    shift(total, total, 0.5 * dt, room[:dim])
    for k in range(rank):
        column(noise, phi, x, k, scale, weights, direction)
        add_pair(total, noise, phi, base, direction, variates, k, True, scale, room, weights)
        cross_integrals(variates, k, scale, weights)
        noise(x, phi, weights, direction)
        add_pair(total, noise, phi, x, direction, variates, k, False, scale, room, weights)
    copy_rows(total, x)


@dataclass(frozen=True)
class RI6(Method):
    """Weak order 2 for any noise, without derivatives: for averages, not for paths.

    Rößler, SIAM J. Numer. Anal. 47, 1713 (2009), the scheme RI6; normals stand for its three-point variables, which have the same
    first five moments.
    """

    strong_order: ClassVar[float | None] = 0.5
    strong_order_additive: ClassVar[float | None] = 1.0
    weak_order: ClassVar[float] = 2.0
    needs_normals: ClassVar[bool] = True

    def plan(self, problem: Langevin, dt: float) -> Plan:
        noise, constants = problem.D, np.array([dt, 0.0, problem.D.rank])
        return Plan(
            ri6_step.compiled,
            problem.drift,
            noise,
            max(1, 2 * noise.rank - 1),
            constants,
            room=5 * noise.dim + noise.rank,
        )
