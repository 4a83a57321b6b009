"""The stochastic heavy ball."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sgdyn.codegen.contracts import STEP_SIGNATURE
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, load, store
from sgdyn.problem import Momentum
from sgdyn.sde.methods.plan import Method, Plan
from sgdyn.sde.methods.underdamped import OWN, underdamped_plan


@exact_helper
def _roll(x: Any, v: Any, gradient: Any, kick: Any, dt: Any, keep: Any, spread: Any) -> None:
    """v = keep v - dt gradient + spread kick, and x += dt v."""
    for i in range(x.shape[0]):
        for p in range(0, x.shape[1], LANES):
            w = load(v, i, p) * keep - load(gradient, i, p) * dt + load(kick, i, p) * spread
            store(v, i, p, w)
            store(x, i, p, load(x, i, p) + w * dt)


@kernel(*STEP_SIGNATURE)
def heavy_ball_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """One gradient and one kick, both at x before the step."""
    dim = x.shape[0] // 2
    position, gradient, kick = x[:dim], work[:dim], work[dim:]
    drift(position, theta, gradient)
    noise(position, phi, variates, kick)
    _roll(position, x[dim:], gradient, kick, constants[0], constants[OWN], constants[OWN + 1] * constants[1])


@dataclass(frozen=True)
class StochasticHeavyBall(Method):
    """The iteration w = mu w + g, x = x - lr w of noisy gradients g, at lr = dt² and mu = 1 - friction dt.

    With V = -sqrt(lr) w it is the symplectic Euler method for `Momentum`, of order 1: V += -friction V dt - grad U dt +
    sqrt(2 friction T dt) sigma z, then X += V dt. At the dt of `sgd(...)` it is SGD itself (see `SGDMap`).
    Polyak, USSR Comput. Math. Math. Phys. 4(5), 1 (1964); Gadat, Panloup, Saadane, Electron. J. Stat. 12, 461 (2018).
    """

    strong_order: ClassVar[float | None] = 1.0
    strong_order_additive: ClassVar[float | None] = 1.0
    weak_order: ClassVar[float] = 1.0
    accepts: ClassVar[str] = "additive"
    problems: ClassVar[tuple[type, ...]] = (Momentum,)

    def plan(self, problem: Momentum, dt: float) -> Plan:
        """Raises ValueError for friction dt > 1, where mu would be negative."""
        loss = problem.friction * dt
        if loss > 1 + 1e-12:
            raise ValueError(
                f"got dt={dt:g} with friction={problem.friction:g}, which makes mu = 1 - friction dt = {1 - loss:.3g}, expected dt <= "
                f"{1 / problem.friction:.4g}; type method=sg.BAOAB() for larger steps"
            )
        return underdamped_plan(heavy_ball_step, problem, dt, [1 - loss, float(np.sqrt(loss))], several=False)
