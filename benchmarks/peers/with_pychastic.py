"""pychastic: float32 only (its x64 mode fails)."""

from __future__ import annotations

from typing import Any

from . import Run
from .problems import HESSIAN, NOISE, SIGMA, START, STEP, muller_brown_force, use_cores

try:
    import jax
    import jax.numpy as jnp
    import pychastic
except ImportError:
    pychastic = None


def build(problem: str, paths: int, steps: int, threads: int, precision: str = "float32") -> Run | None:
    if pychastic is None or problem not in ("B1", "B2", "B3") or precision != "float32":
        return None
    use_cores(threads)
    dt = STEP[problem]
    start = jnp.asarray(START[problem], jnp.float32)
    hessian = jnp.asarray(HESSIAN, jnp.float32)
    matrix = jnp.asarray(NOISE if problem == "B2" else SIGMA[problem] * jnp.eye(len(start)), jnp.float32)

    def drift(x: Any) -> Any:
        if problem == "B2":
            return -hessian @ x
        if problem == "B3":
            return jnp.stack(muller_brown_force(jnp, x[0], x[1]))
        return x - x * x * x

    equation = pychastic.sde_problem.SDEProblem(drift, lambda x: matrix, start, (steps + 0.5) * dt)
    solver = pychastic.sde_solver.SDESolver(dt=dt, scheme="euler")

    @jax.jit  # without it, every call traces and compiles again
    def ensemble() -> Any:
        solution = solver.solve_many(equation, n_trajectories=paths, chunk_size=None, progress_bar=False)
        return solution["solution_values"][:, -1]

    return lambda: ensemble().block_until_ready()
