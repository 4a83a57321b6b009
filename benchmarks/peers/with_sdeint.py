"""sdeint: pure Python, path by path, one thread."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import Run
from .problems import HESSIAN, NOISE, SIGMA, START, STEP, muller_brown_force

try:
    import sdeint
except ImportError:
    sdeint = None


def build(problem: str, paths: int, steps: int, threads: int, precision: str = "float64") -> Run | None:
    if sdeint is None or problem not in ("B1", "B2", "B3") or threads > 1 or precision != "float64":
        return None
    times = np.arange(steps + 1) * STEP[problem]
    matrix = NOISE if problem == "B2" else SIGMA[problem] * np.eye(len(START[problem]))

    def drift(x: Any, t: float) -> Any:
        if problem == "B2":
            return -HESSIAN @ x
        if problem == "B3":
            return np.array(muller_brown_force(np, x[0], x[1]))
        return x - x * x * x

    def run() -> object:
        rng = np.random.default_rng(1)
        return np.array(
            [
                sdeint.itoEuler(drift, lambda x, t: matrix, START[problem], times, generator=rng)[-1]
                for _ in range(paths)
            ]
        )

    return run
