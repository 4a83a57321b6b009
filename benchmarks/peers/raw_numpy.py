"""A loop over steps in NumPy with its fastest generator, SFC64; it uses one thread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import Run
from .problems import HESSIAN, NOISE, START, STEP, muller_brown_force, scale


def build(problem: str, paths: int, steps: int, threads: int, precision: str = "float64") -> Run | None:
    if problem not in ("B1", "B2", "B3") or threads > 1:
        return None
    kind = np.dtype(precision).type
    dt = kind(STEP[problem])

    def normals(rng: np.random.Generator, *shape: int) -> NDArray[np.floating]:
        return rng.standard_normal(shape, dtype=kind)

    def double_well() -> object:
        rng, x, factor = np.random.Generator(np.random.SFC64(1)), np.zeros(paths, kind), kind(scale("B1"))
        for _ in range(steps):
            x += (x - x * x * x) * dt + factor * normals(rng, paths)
        return x

    def dense_linear() -> object:
        rng, x = np.random.Generator(np.random.SFC64(1)), np.zeros((paths, 10), kind)
        drift, noise = (np.eye(10) - dt * HESSIAN).T.astype(kind), (NOISE.T * np.sqrt(dt)).astype(kind)
        for _ in range(steps):
            x = x @ drift + normals(rng, paths, 10) @ noise
        return x

    def muller_brown() -> object:
        rng, factor = np.random.Generator(np.random.SFC64(1)), kind(scale("B3"))
        x, y = (np.full(paths, start, kind) for start in START["B3"])
        for _ in range(steps):
            fx, fy = muller_brown_force(np, x, y)
            x, y = x + fx * dt + factor * normals(rng, paths), y + fy * dt + factor * normals(rng, paths)
        return np.stack([x, y], axis=1)

    return {"B1": double_well, "B2": dense_linear, "B3": muller_brown}[problem]
