"""Steps with repeated stochastic integrals, without derivatives: for general noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sgdyn.codegen.contracts import STEP_SIGNATURE
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.factors import drift_correction
from sgdyn.problem import Langevin
from sgdyn.sde.engine import copy_rows, sum_increments
from sgdyn.sde.methods.areas import area_normals, area_rows, gather_areas, repeated_integrals
from sgdyn.sde.methods.columns import column, shift
from sgdyn.sde.methods.plan import Plan, kind_of_noise


@exact_helper
def corrected_drift(drift: Any, theta: Any, extra: Any, psi: Any, x: Any, half: Any, out: Any, room: Any) -> None:
    """out = b(x) - half c(x), the drift of the Stratonovich equation; half = T, or 0 where there is nothing to correct."""
    drift(x, theta, out)
    if half != 0.0:
        extra(x, psi, room)
        shift(out, out, -half, room)


@exact_helper
def add_repeated(
    noise: Any, phi: Any, x: Any, base: Any, variates: Any, trace: Any, scale: Any, weights: Any, room: Any, total: Any
) -> None:
    """total += sum_k (sigma_k(base + h_k) - sigma_k(base - h_k)) scale/2, h_k = scale sum_j sigma_j(x) int int dW_j dW_k / dt."""
    dim = x.shape[0]
    direction, point, part = room[:dim], room[dim : 2 * dim], room[2 * dim : 3 * dim]
    for k in range(weights.shape[0]):
        repeated_integrals(variates, k, trace, scale, weights)
        noise(x, phi, weights, direction)
        for sign in (1.0, -1.0):
            shift(point, base, sign, direction)
            column(noise, phi, point, k, 0.5 * scale, weights, part)
            shift(total, total, sign, part)


@kernel(*STEP_SIGNATURE)
def repeated_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """x += dt ((1 - w) b(x) + w b(x + b dt)) + kick + `add_repeated`; own constants: rank, w, trace, 1 if the drift is to be corrected, 1 if sigma varies."""
    dim, rank, dt, w = x.shape[0], int(constants[2]), constants[0], constants[3]
    half, scale = 0.5 * constants[5] * constants[1] ** 2, constants[1] * math.sqrt(dt)
    base, total, room, weights = (
        work[:dim],
        work[dim : 2 * dim],
        work[2 * dim : 5 * dim],
        work[5 * dim : 5 * dim + rank],
    )
    force = room[:dim]
    corrected_drift(drift, theta, extra, psi, x, half, force, room[dim : 2 * dim])
    shift(base, x, dt, force)
    shift(total, x, dt * (1.0 - w), force)
    if w != 0.0:
        corrected_drift(drift, theta, extra, psi, base, half, force, room[dim : 2 * dim])
        shift(total, total, dt * w, force)
    noise(x, phi, variates[:rank], force)
    shift(total, total, scale, force)
    if constants[6] != 0.0:
        add_repeated(noise, phi, x, base, variates, constants[4], scale, weights, room, total)
    copy_rows(total, x)


def repeated_plan(problem: Langevin, dt: float, *, w: float, terms: int | None, stratonovich: bool = False) -> Plan:
    """w: the weight of the drift at the end of the step. Areas, of so many terms, are drawn only for noise that does not commute."""
    noise, kind = problem.D, kind_of_noise(problem.D)
    correction = drift_correction(noise, kind) if stratonovich else None
    constants = np.array(
        [dt, 0.0, noise.rank, w, float(not stratonovich), float(correction is not None), float(kind != "additive")]
    )
    general = kind == "general" and noise.rank > 1
    normals, rows = (area_normals(noise.rank, dt, terms), area_rows(noise.rank)) if general else (noise.rank, 0)
    return Plan(
        repeated_step.compiled, problem.drift, noise, normals, constants, extra=correction, room=5 * noise.dim + noise.rank, rows=rows,
        gather=gather_areas if general else sum_increments,
    )  # fmt: skip
