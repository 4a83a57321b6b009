"""Stochastic Runge-Kutta steps for additive noise, by their tableaus."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from sgdyn.codegen.contracts import STEP_SIGNATURE
from sgdyn.codegen.formula import Formula
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, fma, load, store
from sgdyn.noise import Diagonal
from sgdyn.problem import Langevin
from sgdyn.sde.methods.integrals import gather_integrals
from sgdyn.sde.methods.plan import Plan
from sgdyn.sde.methods.stages import WRITTEN_OUT, Tableau


@exact_helper
def stage(point: Any, x: Any, forces: Any, a: Any, i: Any, kick: Any, alpha: Any, lag: Any, beta: Any) -> None:
    """point = x + sum_{j < i} a_j forces_j + alpha kick + beta lag."""
    dim = x.shape[0]
    for k in range(dim):
        for p in range(0, x.shape[1], LANES):
            store(point, k, p, fma(load(lag, k, p), beta, fma(load(kick, k, p), alpha, load(x, k, p))))
        for j in range(i):
            for p in range(0, x.shape[1], LANES):
                store(point, k, p, fma(load(forces, j * dim + k, p), a[j], load(point, k, p)))


@kernel(*STEP_SIGNATURE)
def additive_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """Stages x + dt sum_j A_ij f_j + sqrt(2 T dt) sigma (b_i xi + c_i eta); psi = (A dt, b, c) with the rows of A the stages and the step."""
    dim, rank, scale = x.shape[0], variates.shape[0] // 2, constants[1] * math.sqrt(constants[0])
    stages = int(constants[2])
    A = psi[: (stages + 1) * stages].reshape((stages + 1, stages))
    b, c = psi[A.size : A.size + stages + 1], psi[A.size + stages + 1 :]
    kick, lag, point, forces = work[:dim], work[dim : 2 * dim], work[2 * dim : 3 * dim], work[3 * dim :]
    noise(x, phi, variates[:rank], kick)
    noise(x, phi, variates[rank:], lag)
    for i in range(stages):
        stage(point, x, forces, A[i], i, kick, b[i] * scale, lag, c[i] * scale)
        drift(point, theta, forces[i * dim : (i + 1) * dim])
    stage(x, x, forces, A[stages], stages, kick, b[stages] * scale, lag, c[stages] * scale)


def additive_plan(
    problem: Langevin, dt: float, A: Sequence[Sequence[float]], b: Sequence[float], c: Sequence[float]
) -> Plan:
    """A: rows of the stages and, last, of the step, filled up with zeros; b, c: what each row takes of xi and eta."""
    stages, noise = len(A) - 1, problem.D
    tableau = Tableau(dt * np.array([[*row, *[0.0] * (stages - len(row))] for row in A]), np.array(b), np.array(c))
    constants, drift, rank = np.array([dt, 0.0, stages]), problem.drift, 2 * noise.rank
    if (
        isinstance(drift, Formula)
        and drift.dim <= WRITTEN_OUT
        and isinstance(noise, Diagonal)
        and noise.rank == noise.dim
    ):
        psi = np.concatenate([tableau.table.ravel(), np.sqrt(noise.values)])
        lean = partial(tableau.steps, drift)
        return Plan(
            lean("ordinary"), drift, None, rank, constants, psi=psi, several=True, gather=gather_integrals, lean=lean
        )
    psi = np.concatenate([tableau.A.ravel(), b, c])
    room, step = (3 + stages) * noise.dim, additive_step.compiled
    return Plan(step, drift, noise, rank, constants, psi=psi, room=room, gather=gather_integrals)
