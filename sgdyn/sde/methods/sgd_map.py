"""SGD's own iteration with Gaussian noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from sgdyn.problem import Langevin, Momentum, Sampling
from sgdyn.sde.methods.euler_maruyama import EulerMaruyama
from sgdyn.sde.methods.plan import Method, Plan
from sgdyn.sde.methods.stochastic_heavy_ball import StochasticHeavyBall


def sampling_of(problem: Any, dt: float) -> Sampling:
    """The SGD run that a process stands for; raises ValueError if there is none, or if dt is not the time of one of its steps."""
    origin = problem.origin
    if not isinstance(origin, Sampling):
        raise ValueError(
            f"got a {type(problem).__name__} that stands for no SGD run, expected one made by sg.sgd(U, D, lr=..., batch=...)"
        )
    if not math.isclose(dt, origin.time_per_step, rel_tol=1e-9):
        raise ValueError(
            f"got dt={dt:.12g}, expected dt={origin.time_per_step:.12g}, the time of one step of SGD with lr={origin.lr:g} and "
            f"momentum={origin.momentum:g}; type dt=problem.origin.time_per_step and t=steps * dt"
        )
    return origin


@dataclass(frozen=True)
class SGDMap(Method):
    """x -= lr (grad U + xi), or v = mu v + grad U + xi, x -= lr v, with normal xi of covariance c D(x)/batch; for `sgd(...)` only.

    Not an approximation of SGD but its iteration: the stationary state is that of `discrete_sgd`. It is also Euler-Maruyama (with
    momentum: `StochasticHeavyBall`, V = -sqrt(lr) v) at the one dt = origin.time_per_step, hence of weak order 1 in lr for the
    diffusion. Li, Tai, E, JMLR 20(40), 1 (2019).
    """

    strong_order: ClassVar[float | None] = EulerMaruyama.strong_order
    strong_order_additive: ClassVar[float | None] = EulerMaruyama.strong_order_additive
    weak_order: ClassVar[float] = EulerMaruyama.weak_order
    problems: ClassVar[tuple[type, ...]] = (Langevin, Momentum)

    def plan(self, problem: Langevin | Momentum, dt: float) -> Plan:
        sampling_of(problem, dt)
        stepper: Method = StochasticHeavyBall() if isinstance(problem, Momentum) else EulerMaruyama()
        return stepper.plan(problem, dt)
