"""jax.lax.scan over steps, jitted, threefry normals. JAX counts the cores when it starts: one thread count for a process."""

from __future__ import annotations

from typing import Any

from . import Run
from .problems import HESSIAN, NOISE, START, STEP, muller_brown_force, scale, use_cores

try:
    import jax
    import jax.numpy as jnp
except ImportError:
    jax = None


def build(problem: str, paths: int, steps: int, threads: int, precision: str = "float64") -> Run | None:
    if jax is None or problem not in ("B1", "B2", "B3"):
        return None
    use_cores(threads)
    jax.config.update("jax_enable_x64", precision == "float64")
    kind, dt = jnp.dtype(precision), STEP[problem]

    def normals(key: Any, *shape: int) -> Any:
        return jax.random.normal(key, shape, kind)

    def double_well(x: Any, key: Any) -> tuple[Any, None]:
        return x + (x - x * x * x) * dt + scale("B1") * normals(key, 1, paths), None

    def dense_linear(x: Any, key: Any) -> tuple[Any, None]:
        return x - dt * (jnp.asarray(HESSIAN, kind) @ x) + dt**0.5 * jnp.asarray(NOISE, kind) @ normals(
            key, 10, paths
        ), None

    def muller_brown(x: Any, key: Any) -> tuple[Any, None]:
        return x + dt * jnp.stack(muller_brown_force(jnp, *x)) + scale("B3") * normals(key, 2, paths), None

    step = {"B1": double_well, "B2": dense_linear, "B3": muller_brown}[problem]

    @jax.jit
    def ensemble(key: Any) -> Any:
        start = jnp.tile(jnp.asarray(START[problem], kind)[:, None], (1, paths))
        return jax.lax.scan(step, start, jax.random.split(key, steps))[0].T

    return lambda: ensemble(jax.random.key(1)).block_until_ready()
