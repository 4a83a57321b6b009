"""The Euler method for heavy-tailed noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sgdyn import checks
from sgdyn.codegen.contracts import STEP_SIGNATURE
from sgdyn.codegen.elementary import arctan, cos, exp, log, sin
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, load, select, store
from sgdyn.problem import Langevin
from sgdyn.sde.methods.euler_maruyama import euler
from sgdyn.sde.methods.plan import Method, Plan

ALPHA, LENGTH, SCALE = 2, 3, 4
TINY = 1e-300


@exact_helper
def stable(a: Any, b: Any, alpha: Any) -> Any:
    """A symmetric stable variate, E exp(i k S) = exp(-|k|^alpha), from two normals.

    S = sin(alpha V)/cos(V)^(1/alpha) (cos((1 - alpha) V)/W)^((1 - alpha)/alpha), where V = arctan(b/a) is uniform on (-pi/2, pi/2) and
    W = (a² + b²)/2 is exponential, independent of each other.
    """
    w = (a * a + b * b) * 0.5
    v = select(a == 0.0, 0.0, arctan(b / a))
    ratio = log(cos(v * (1.0 - alpha))) - log(select(w > TINY, w, TINY))
    return sin(v * alpha) * exp((ratio * (1.0 - alpha) - log(cos(v))) / alpha)


@kernel(*STEP_SIGNATURE)
def levy_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """Rows k and rank + k of the normals make the k-th stable variate."""
    rank, jumps = variates.shape[0] // 2, work[2 * x.shape[0] :]
    for k in range(rank):
        for p in range(0, x.shape[1], LANES):
            store(jumps, k, p, stable(load(variates, k, p), load(variates, rank + k, p), constants[ALPHA]))
    scale = constants[SCALE] if constants[SCALE] >= 0.0 else constants[1] * math.sqrt(0.5)
    euler(drift, theta, noise, phi, x, jumps, work, constants[0], scale * constants[LENGTH])


@dataclass(frozen=True)
class LevyEuler(Method):
    """X += b(X) dt + scale dt^(1/alpha) sigma(X) S: dX = b dt + scale sigma dL with independent symmetric alpha-stable components of L.

    S is standard, E exp(i k S) = exp(-|k|^alpha), 0 < alpha <= 2: at alpha = 2 its variance is 2, at alpha = 1 it is Cauchy's. scale:
    None for sqrt(T), which makes alpha = 2 the Langevin process itself; a number takes the place of sqrt(T), and then T has no effect.
    For alpha < 2 the components of L do not jump together, no variance exists, and `refine` repeats no path; where the drift grows
    faster than |x|, explicit steps from where a jump ends blow up sooner or later.
    Chambers, Mallows, Stuck, J. Am. Stat. Assoc. 71, 340 (1976), the symmetric case; for SGD: Simsekli, Sagun, Gürbüzbalaban,
    arXiv:1901.06053.
    """

    alpha: float
    scale: float | None = None

    strong_order: ClassVar[float | None] = None
    strong_order_additive: ClassVar[float | None] = None
    weak_order: ClassVar[float] = 1.0
    needs_normals: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < checks.number("alpha", self.alpha) <= 2:
            raise ValueError(f"got alpha={self.alpha!r}, expected 0 < alpha <= 2; 2 is the normal law")
        if self.scale is not None:
            checks.positive("scale", self.scale, zero=True)

    def plan(self, problem: Langevin, dt: float) -> Plan:
        D, scale = problem.D, -1.0 if self.scale is None else self.scale
        constants = np.array([dt, 0.0, self.alpha, dt ** (1 / self.alpha), scale])
        return Plan(levy_step.compiled, problem.drift, D, 2 * D.rank, constants, room=2 * D.dim + D.rank)
