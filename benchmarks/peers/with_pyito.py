"""pyito: Numba kernels over paths."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import Run
from .problems import HESSIAN, NOISE, SIGMA, START, STEP, WELLS

try:
    import numba
    import pyito
except ImportError:
    pyito = None


def build(problem: str, paths: int, steps: int, threads: int, precision: str = "float64") -> Run | None:
    if pyito is None or problem not in ("B1", "B2", "B3") or precision != "float64":
        return None
    numba.set_num_threads(threads)
    drift, diffusion, args = {
        "B1": (_double_well, _constant, (SIGMA["B1"],)),
        "B2": (_linear, _matrix, (HESSIAN, NOISE)),
        "B3": (_muller_brown, _diagonal, (np.array(WELLS), np.full(2, SIGMA["B3"]))),
    }[problem]
    process, dt = pyito.SDE(drift, diffusion, args=args), STEP[problem]
    end = (steps - 0.5) * dt  # pyito rounds the number of steps up
    return lambda: pyito.integrate(process, START[problem], (0.0, end), dt, n_paths=paths, seed=1)


def _double_well(t: float, x: Any, args: Any) -> Any:
    return x - x**3


def _constant(t: float, x: Any, args: Any) -> Any:
    return args[0]


def _linear(t: float, x: Any, args: Any) -> Any:
    return -(args[0] @ x)


def _matrix(t: float, x: Any, args: Any) -> Any:
    return args[1]


def _muller_brown(t: float, x: Any, args: Any) -> Any:
    force = np.zeros(2)
    for k in range(4):
        A, a, b, c, X, Y = args[0][k]
        u, v = x[0] - X, x[1] - Y
        e = A * math.exp(a * u * u + b * u * v + c * v * v)
        force[0] -= e * (2 * a * u + b * v)
        force[1] -= e * (b * u + 2 * c * v)
    return force


def _diagonal(t: float, x: Any, args: Any) -> Any:
    return args[1]
