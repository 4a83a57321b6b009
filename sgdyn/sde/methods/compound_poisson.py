"""The Euler method with jumps at random times."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.codegen.contracts import STEP_SIGNATURE
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, load, select, sqrt, store
from sgdyn.problem import Langevin
from sgdyn.sde.methods.euler_maruyama import euler
from sgdyn.sde.methods.plan import Method, Plan
from sgdyn.sde.methods.resampling import SEEDS, add_drawn_rows, seeds

Floats = NDArray[np.float64]

LEVELS, SCALE = 2, 3
LARGEST = 9.0
"""Beyond the largest normal that Box-Muller can make."""


@exact_helper
def counted(z: Any, thresholds: Any) -> Any:
    """How many thresholds lie below the normals z: inversion of a law of whole numbers."""
    count = z * 0.0
    for k in range(len(thresholds)):
        count = count + select(z > thresholds[k], 1.0, 0.0)
    return count


@kernel(*STEP_SIGNATURE)
def normal_jumps_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """The sum of N normal marks is sqrt(N) times one. Normals: of the noise, of the number of jumps, of the marks."""
    dim, dt, rank = x.shape[0], constants[0], variates.shape[0] - 1 - x.shape[0]
    euler(drift, theta, noise, phi, x, variates[:rank], work, dt, constants[1] * math.sqrt(dt))
    for p in range(0, x.shape[1], LANES):
        spread = sqrt(counted(load(variates, rank, p), psi)) * constants[SCALE]
        for i in range(dim):
            store(x, i, p, load(x, i, p) + load(variates, rank + 1 + i, p) * spread)


@kernel(*STEP_SIGNATURE)
def drawn_jumps_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """Marks are rows of a table. Normals: of the noise, of the number of jumps, of the draws; psi = (thresholds, table)."""
    dim, dt, rank, levels = x.shape[0], constants[0], variates.shape[0] - 1 - SEEDS, int(constants[LEVELS])
    table = psi[levels:].reshape(((len(psi) - levels) // dim, dim))
    euler(drift, theta, noise, phi, x, variates[:rank], work, dt, constants[1] * math.sqrt(dt))
    for p in range(0, x.shape[1], LANES):
        jumps = counted(load(variates, rank, p), psi[:levels])
        add_drawn_rows(table, jumps, seeds(variates, rank + 1, p), x, p)


@dataclass(frozen=True, eq=False)
class CompoundPoisson(Method):
    """Euler-Maruyama with jumps: dX = b dt + sqrt(2 T) sigma dW + dJ, where J jumps `rate` times per unit of time, by independent marks.

    Marks are normal with the standard deviation `scale` in every component, or rows of the table `marks` (number, dim), all equally
    likely. The number of jumps in a step has the Poisson law of mean rate dt exactly; they happen at the step's end. J is not centred:
    its drift is rate times the mean mark, its covariance per unit of time rate E[mark mark'].
    Platen and Bruti-Liberati, Numerical Solution of Stochastic Differential Equations with Jumps in Finance (2010), chapter 6.
    """

    rate: float
    scale: float | None = None
    marks: ArrayLike | None = None

    strong_order: ClassVar[float | None] = None
    strong_order_additive: ClassVar[float | None] = None
    weak_order: ClassVar[float] = 1.0
    needs_normals: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checks.positive("rate", self.rate, zero=True)
        if (self.scale is None) == (self.marks is None):
            raise ValueError(
                f"got scale={self.scale!r} and marks={self.marks!r}, expected one of them; type scale=1.0 for normal marks"
            )

    def plan(self, problem: Langevin, dt: float) -> Plan:
        """Raises ValueError if the marks do not fit the problem's dimension."""
        dim, D, levels = problem.dim, problem.D, poisson_thresholds(self.rate * dt)
        if self.marks is None:
            constants = np.array([dt, 0.0, len(levels), checks.positive("scale", self.scale, zero=True)])
            return Plan(
                normal_jumps_step.compiled, problem.drift, D, D.rank + 1 + dim, constants, psi=levels, room=2 * dim
            )
        table = checks.finite("marks", self.marks)
        if table.ndim != 2 or table.shape[1] != dim or not len(table):
            raise ValueError(f"got marks of shape {table.shape}, expected (number, {dim})")
        constants, psi = np.array([dt, 0.0, len(levels)]), np.concatenate([levels, table.ravel()])
        return Plan(drawn_jumps_step.compiled, problem.drift, D, D.rank + 1 + SEEDS, constants, psi=psi, room=2 * dim)


def poisson_thresholds(mean: float) -> Floats:
    """The levels t_0, t_1, ... of a normal z such that the number of them below z is a Poisson variable: P(z > t_k) = P(N > k)."""
    k = np.arange(math.ceil(mean + 12 * math.sqrt(mean) + 40))
    from scipy import special  # slow to import

    below, above = special.pdtr(k, mean), special.pdtrc(k, mean)
    levels = np.where(above < 0.5, -special.ndtri(above), special.ndtri(below))
    return np.asarray(levels[levels < LARGEST])
