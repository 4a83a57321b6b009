"""Rößler's SRA3 method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sgdyn.problem import Langevin
from sgdyn.sde.methods.additive_runge_kutta import additive_plan
from sgdyn.sde.methods.integrals import TIME_INTEGRAL
from sgdyn.sde.methods.plan import Method, Plan


@dataclass(frozen=True)
class SRA3(Method):
    """Three stages, of order 3 where there is no noise: for weak noise and smooth drift.

    Rößler, SIAM J. Numer. Anal. 48, 922 (2010).
    """

    strong_order: ClassVar[float | None] = None
    strong_order_additive: ClassVar[float | None] = 1.5
    weak_order: ClassVar[float] = 2.0
    needs_normals: ClassVar[bool] = True
    accepts: ClassVar[str] = "additive"

    def plan(self, problem: Langevin, dt: float) -> Plan:
        A = [[], [1.0], [1 / 4, 1 / 4], [1 / 6, 1 / 6, 2 / 3]]
        return additive_plan(problem, dt, A, [0.0, 0.0, 3 / 4, 1.0], [0.0, 0.0, 3 / 2 * TIME_INTEGRAL, 0.0])
