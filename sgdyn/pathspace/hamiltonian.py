"""Hamilton's equations of the action with their linearisation, integrated and aimed.

H(x, P) = P . b(x) + P' D(x) P,   x' = b + 2 D P,   P' = -P . grad b - P' (grad D) P,   P = T p
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from sgdyn.errors import NotConvergedError
from sgdyn.pathspace.coefficients import Coefficients
from sgdyn.pathspace.paths import Path

Floats = NDArray[np.float64]
Weight = Callable[[Floats, Floats], float]

AIMS = 30
TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False)
class Flow:
    """Where the flow ends: x, p (dim,), spread dx(t)/dp(0) and turn dp(t)/dp(0) (dim, dim), the action and ∫ W dt on the way."""

    x: Floats
    p: Floats
    spread: Floats
    turn: Floats
    action: float
    weight: float
    error: float


def flow_from(c: Coefficients, weight: Weight, path: Path, p0: Floats) -> Flow:
    """The flow from the path's start to its end: p(0) by Newton's method from p0, with the flow's own linearisation.

    Raises NotConvergedError where it does not arrive.
    """
    p, target = p0, path.x[-1]
    size = np.ptp(path.x, axis=0).max() + np.abs(target).max()
    best = np.inf
    for _ in range(AIMS):
        flow = _integrated(c, weight, path.x[0], p, path.duration)
        miss = np.inf if flow is None else float(np.abs(flow.x - target).max())
        if flow is None or not miss < best:
            break
        best = miss
        if miss <= 100 * TOLERANCE * size:
            return flow
        p = p + np.linalg.solve(flow.spread, target - flow.x)
    if flow is not None and best <= 1e-8 * size:
        return flow
    raise NotConvergedError(
        f"paths shot from {path.x[0]} miss the end by {best:.2g} after the time {path.duration:g}: they part too fast to be aimed; "
        'type method="pivots"'
    )


def _integrated(c: Coefficients, weight: Weight, x0: Floats, p0: Floats, t: float) -> Flow | None:
    d, T = len(x0), c.T
    start = np.concatenate([x0, T * p0, np.zeros(d * d), np.eye(d).ravel(), np.zeros(2)])
    slope = _Slope(c, weight)
    with np.errstate(over="ignore", invalid="ignore"):
        found = solve_ivp(slope, (0.0, t), start, method="DOP853", rtol=TOLERANCE, atol=1e-14)
    if not found.success or not np.all(np.isfinite(found.y)):
        return None
    end = found.y[:, -1]
    spread, turn = (end[2 * d + k * d * d : 2 * d + (k + 1) * d * d].reshape(d, d) for k in (0, 1))
    return Flow(end[:d], end[d : 2 * d] / T, T * spread, turn, float(end[-2] / T), float(end[-1]), 1e-10)


@dataclass(frozen=True, eq=False)
class _Slope:
    """The time derivative of (x, P, dx/dP(0), dP/dP(0), ∫ P' D P, ∫ W)."""

    c: Coefficients
    weight: Weight

    def __call__(self, t: float, state: Floats) -> Floats:
        c, d = self.c, self.c.dim
        x, P = state[:d], state[d : 2 * d]
        M, N = (state[2 * d + k * d * d : 2 * d + (k + 1) * d * d].reshape(d, d) for k in (0, 1))
        D, J = c.D(x), c.jacobian(x[None])[0]
        bent = np.einsum("ikl,i->kl", c.second(x[None])[0], P)
        push = np.zeros(d)
        if c.varying:
            slope, second = c.slope_of_D(x[None])[0], c.second_of_D(x[None])[0]
            J = J + 2 * np.einsum("ijl,j->il", slope, P)
            bent = bent + np.einsum("i,ijkl,j->kl", P, second, P)
            push = np.einsum("i,ijk,j->k", P, slope, P)
        b = c.drift(x[None])[0]
        along = b + 2 * D @ P
        back = -P @ J + push  # P J holds twice the slope of D
        return np.concatenate(
            [
                along,
                back,
                (J @ M + 2 * D @ N).ravel(),
                (-bent @ M - J.T @ N).ravel(),
                [P @ D @ P, self.weight(x, P / c.T)],
            ]
        )
