"""Exact steps of linear processes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sgdyn.fields import Affine
from sgdyn.noise import semidefinite_cholesky
from sgdyn.problem import Langevin
from sgdyn.sde.methods.linear_map import linear_plan
from sgdyn.sde.methods.plan import Method, Plan

Floats = NDArray[np.float64]
SHORT = 0.25
"""The length of a step, in units of the inverse norm of the drift, up to which the exponential of a block matrix loses no digits."""


def transition(F: Floats, offset: Floats, D: Floats, dt: float) -> tuple[Floats, Floats, Floats]:
    """M, b, C with X(dt) = M X(0) + b + a normal vector of covariance 2 T C, for dX = (F X + offset) dt + sqrt(2 T) sigma dW.

    Van Loan's block matrix for a short step (IEEE Trans. Automat. Control 23, 395 (1978)), which is then doubled.
    """
    d = len(F)
    doublings = max(0, math.ceil(math.log2(max(float(np.linalg.norm(F, 1)) * dt / SHORT, 1.0))))
    short, zero = dt * 2.0**-doublings, np.zeros((d, d))
    from scipy.linalg import expm  # slow to import

    blocks = expm(short * np.block([[-F, D], [zero, F.T]]))
    M = blocks[d:, d:].T
    C = M @ blocks[:d, d:]
    b = expm(short * np.block([[F, offset[:, None]], [np.zeros((1, d + 1))]]))[:d, d]
    for _ in range(doublings):
        b, C, M = M @ b + b, M @ C @ M.T + C, M @ M
    return M, b, (C + C.T) / 2


@dataclass(frozen=True)
class ExactLinear(Method):
    """The exact law at any dt of a process with affine drift and constant D: X -> e^{F dt} X + b + sqrt(2 T) L z.

    L L' = int_0^dt e^{F s} D e^{F' s} ds; D may be singular. Right in law; the steps of two different dt do not see the same Brownian
    path. Gillespie, Phys. Rev. E 54, 2084 (1996), eq. 1.9; Van Loan, IEEE Trans. Automat. Control 23, 395 (1978).
    """

    strong_order: ClassVar[float | None] = None
    strong_order_additive: ClassVar[float | None] = None
    weak_order: ClassVar[float] = math.inf
    needs_normals: ClassVar[bool] = True
    accepts: ClassVar[str] = "additive"

    @classmethod
    def refusal(cls, problem: Any) -> str | None:
        return None if isinstance(problem.drift, Affine) else "a drift that is not linear"

    def plan(self, problem: Langevin, dt: float) -> Plan:
        drift, dim = problem.drift, problem.dim
        assert isinstance(drift, Affine)
        M, b, C = transition(drift.matrix, drift.offset, problem.D(np.zeros(dim)), dt)
        return replace(linear_plan(M, b, semidefinite_cholesky(C), dt), explicit=False)
