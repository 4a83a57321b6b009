"""Rößler's SRI2 and SRS2 methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sgdyn.factors import unwritten
from sgdyn.problem import Langevin
from sgdyn.sde.methods.plan import Method, Plan
from sgdyn.sde.methods.repeated_runge_kutta import repeated_plan


@dataclass(frozen=True)
class SRI2(Method):
    """Strong order 1 for any noise, without derivatives; repeated integrals are simulated where the noise does not commute.

    terms: of their series (default: so many that order 1 remains).

    Rößler, SIAM J. Numer. Anal. 48, 922 (2010), the scheme SRI2 of theorem 6.2 (`itoSRI2` of sdeint).
    """

    terms: int | None = None
    strong_order: ClassVar[float | None] = 1.0
    strong_order_additive: ClassVar[float | None] = 1.0
    weak_order: ClassVar[float] = 1.0

    def plan(self, problem: Langevin, dt: float) -> Plan:
        return repeated_plan(problem, dt, w=0.5, terms=self.terms)


@dataclass(frozen=True)
class SRS2(Method):
    """The twin of SRI2 with Stratonovich's integrals; it solves the same process, its drift converted (see `sgdyn.stratonovich`).

    Rößler, SIAM J. Numer. Anal. 48, 922 (2010), the scheme SRS2 of theorem 6.2 (`stratSRS2` of sdeint).
    """

    terms: int | None = None
    strong_order: ClassVar[float | None] = 1.0
    strong_order_additive: ClassVar[float | None] = 1.0
    weak_order: ClassVar[float] = 1.0
    interpretation: ClassVar[str] = "Stratonovich"

    @classmethod
    def refusal(cls, problem: Any) -> str | None:
        return unwritten(problem.D)

    def plan(self, problem: Langevin, dt: float) -> Plan:
        return repeated_plan(problem, dt, w=0.5, terms=self.terms, stratonovich=True)
