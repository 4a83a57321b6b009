"""The shifted additive-noise Runge-Kutta method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sgdyn.problem import Langevin
from sgdyn.sde.methods.additive_runge_kutta import additive_plan
from sgdyn.sde.methods.integrals import TIME_INTEGRAL
from sgdyn.sde.methods.plan import Method, Plan


@dataclass(frozen=True)
class ShARK(Method):
    """Two stages around X + sigma H, H = int W ds/dt - dW/2; the smallest error of the methods with two drifts to a step.

    Foster, dos Reis, Strange, SIAM J. Numer. Anal. 62, 500 (2024) (arXiv:2210.17543).
    """

    strong_order: ClassVar[float | None] = None
    strong_order_additive: ClassVar[float | None] = 1.5
    weak_order: ClassVar[float] = 2.0
    needs_normals: ClassVar[bool] = True
    accepts: ClassVar[str] = "additive"

    def plan(self, problem: Langevin, dt: float) -> Plan:
        A = [[], [5 / 6], [2 / 5, 3 / 5]]
        return additive_plan(problem, dt, A, [0.0, 5 / 6, 1.0], [TIME_INTEGRAL, TIME_INTEGRAL, 0.0])
