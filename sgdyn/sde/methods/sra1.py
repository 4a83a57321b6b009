"""Rößler's SRA1 method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sgdyn.problem import Langevin
from sgdyn.sde.methods.additive_runge_kutta import additive_plan
from sgdyn.sde.methods.integrals import TIME_INTEGRAL
from sgdyn.sde.methods.plan import Method, Plan


@dataclass(frozen=True)
class SRA1(Method):
    """Two stages: the drift at X and at X + 3/4 b(X) dt + 3/2 sigma int W ds/dt, with the weights 1/3 and 2/3.

    Rößler, SIAM J. Numer. Anal. 48, 922 (2010).
    """

    strong_order: ClassVar[float | None] = None
    strong_order_additive: ClassVar[float | None] = 1.5
    weak_order: ClassVar[float] = 2.0
    needs_normals: ClassVar[bool] = True
    accepts: ClassVar[str] = "additive"

    def plan(self, problem: Langevin, dt: float) -> Plan:
        return additive_plan(
            problem, dt, [[], [3 / 4], [1 / 3, 2 / 3]], [0.0, 3 / 4, 1.0], [0.0, 3 / 2 * TIME_INTEGRAL, 0.0]
        )
