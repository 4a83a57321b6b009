"""What one writes with Numba: a parallel loop over paths, NumPy's normals inside. Not reproducible over thread counts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import Run
from .problems import HESSIAN, NOISE, START, STEP, WELLS, scale

try:
    import numba
except ImportError:
    numba = None


def build(problem: str, paths: int, steps: int, threads: int, precision: str = "float64") -> Run | None:
    if numba is None or problem not in ("B1", "B2", "B3") or precision != "float64":
        return None
    numba.set_num_threads(threads)
    kernel = numba.njit(parallel=True, fastmath=True)(_KERNELS[problem])
    dt = STEP[problem]
    if problem == "B1":
        return lambda: kernel(paths, steps, dt, scale("B1"))
    if problem == "B2":
        return lambda: kernel(paths, steps, dt, HESSIAN, NOISE * np.sqrt(dt))
    return lambda: kernel(paths, steps, dt, scale("B3"), START["B3"], np.array(WELLS))


def _double_well(paths: int, steps: int, dt: float, factor: float) -> Any:
    out = np.empty(paths)
    for p in numba.prange(paths):
        x = 0.0
        for _ in range(steps):
            x += (x - x**3) * dt + factor * np.random.standard_normal()  # noqa: NPY002
        out[p] = x
    return out


def _dense_linear(paths: int, steps: int, dt: float, H: Any, B: Any) -> Any:
    out = np.empty((paths, 10))
    for p in numba.prange(paths):
        x, z, new = np.zeros(10), np.empty(10), np.empty(10)
        for _ in range(steps):
            for i in range(10):
                z[i] = np.random.standard_normal()  # noqa: NPY002
            for i in range(10):
                new[i] = x[i]
                for j in range(10):
                    new[i] += B[i, j] * z[j] - dt * H[i, j] * x[j]
            x[:] = new
        out[p] = x
    return out


def _muller_brown(paths: int, steps: int, dt: float, factor: float, start: Any, wells: Any) -> Any:
    out = np.empty((paths, 2))
    for p in numba.prange(paths):
        x, y = start[0], start[1]
        for _ in range(steps):
            fx, fy = 0.0, 0.0
            for k in range(4):
                A, a, b, c, X, Y = wells[k]
                u, v = x - X, y - Y
                e = A * math.exp(a * u * u + b * u * v + c * v * v)
                fx -= e * (2 * a * u + b * v)
                fy -= e * (b * u + 2 * c * v)
            x += fx * dt + factor * np.random.standard_normal()  # noqa: NPY002
            y += fy * dt + factor * np.random.standard_normal()  # noqa: NPY002
        out[p, 0], out[p, 1] = x, y
    return out


_KERNELS = {"B1": _double_well, "B2": _dense_linear, "B3": _muller_brown}
