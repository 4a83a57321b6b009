"""B1: double well; B2: 10-dimensional dense linear; B3: Müller-Brown. The same numbers as benchmarks/limit/problems.h."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import numpy as np

STEP = {"B1": 1e-2, "SRA1": 1e-2, "B2": 1e-2, "B3": 1e-4}
START = {"B1": np.zeros(1), "SRA1": np.zeros(1), "B2": np.zeros(10), "B3": np.array([-0.558, 1.442])}
SIGMA = {"B1": float(np.sqrt(0.2)), "SRA1": float(np.sqrt(0.2)), "B3": float(np.sqrt(30.0))}
"""dX = f(X) dt + SIGMA dW, but for B2: dX = -H X dt + B dW"""

_i, _j = np.indices((10, 10))
HESSIAN = 0.5 ** np.abs(_i - _j) + np.diag(np.arange(1, 11) / 5)
NOISE = np.where(_j <= _i, 0.3 / np.where(_j <= _i, 1 + _i - _j, 1), 0.0)

# U = sum_k A exp(a u² + b u v + c v²) with u = x - X, v = y - Y
WELLS = (
    (-200.0, -1.0, 0.0, -10.0, 1.0, 0.0),
    (-100.0, -1.0, 0.0, -10.0, 0.0, 0.5),
    (-170.0, -6.5, 11.0, -6.5, -0.5, 1.5),
    (15.0, 0.7, 0.6, 0.7, -1.0, 1.0),
)


def muller_brown_force(library: ModuleType, x: Any, y: Any) -> tuple[Any, Any]:
    """-grad U by the exp of a library of arrays."""
    fx, fy = 0.0, 0.0
    for A, a, b, c, X, Y in WELLS:
        u, v = x - X, y - Y
        e = A * library.exp(a * u * u + b * u * v + c * v * v)
        fx, fy = fx - e * (2 * a * u + b * v), fy - e * (b * u + 2 * c * v)
    return fx, fy


def scale(problem: str) -> float:
    """What a standard normal is multiplied by in a step (B1, B3)."""
    return SIGMA[problem] * float(np.sqrt(STEP[problem]))


def use_cores(threads: int) -> None:
    """Keep this process to as many cores as threads are wanted, for libraries that count cores when they start."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[-threads:]))
