"""What the methods for `Momentum` share: points are (x, v), kicks go to v alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sgdyn.codegen.jit import Kernel, exact_helper
from sgdyn.codegen.vector import LANES, load, store
from sgdyn.problem import Momentum
from sgdyn.sde.methods.plan import Plan

RANK, OWN = 2, 3
"""Where among a plan's constants the rank of the noise stands, and where those of the method begin."""


@exact_helper
def steps_among(variates: Any, rank: Any) -> Any:
    """How many steps' normals are given at once, when one step takes `rank` of them."""
    return variates.shape[0] // rank if rank else 1


@exact_helper
def push(target: Any, source: Any, factor: Any) -> None:
    """target += factor source."""
    for i in range(target.shape[0]):
        for p in range(0, target.shape[1], LANES):
            store(target, i, p, load(target, i, p) + load(source, i, p) * factor)


@exact_helper
def refresh(v: Any, keep: Any, kick: Any, spread: Any) -> None:
    """v = keep v + spread kick."""
    for i in range(v.shape[0]):
        for p in range(0, v.shape[1], LANES):
            store(v, i, p, load(v, i, p) * keep + load(kick, i, p) * spread)


def refreshing(friction: float, time: float) -> tuple[float, float]:
    """The exact solution of dV = -friction V dt + sqrt(2 friction T) sigma dW: c and s of V = c V + s sqrt(2 T) sigma z."""
    return float(np.exp(-friction * time)), float(np.sqrt(-0.5 * np.expm1(-2 * friction * time)))


def underdamped_plan(
    step: Kernel, problem: Momentum, dt: float, own: Sequence[float], *, kicks: int = 1, several: bool = True
) -> Plan:
    """A plan that gives the step grad U as drift, D as noise, and room for a gradient and a kick.

    kicks: how often a step calls the noise. several: the step takes the normals of several steps, where there are any.
    """
    rank, room = problem.D.rank, 2 * problem.U.dim
    constants = np.array([dt, 0.0, rank, *own])
    several = several and rank > 0
    return Plan(step.compiled, problem.U.grad, problem.D, kicks * rank, constants, room=room, several=several)
