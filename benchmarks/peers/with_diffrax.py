"""diffrax, vmapped over paths, with UnsafeBrownianPath (its fastest noise; the documented default is 20 times slower)."""

from __future__ import annotations

from typing import Any

from . import Run
from .problems import HESSIAN, NOISE, SIGMA, START, STEP, muller_brown_force, use_cores

try:
    import diffrax
    import jax
    import jax.numpy as jnp
    import lineax
except ImportError:
    diffrax = None


def build(problem: str, paths: int, steps: int, threads: int, precision: str = "float64") -> Run | None:
    if diffrax is None:
        return None
    use_cores(threads)
    jax.config.update("jax_enable_x64", precision == "float64")
    kind, dt = jnp.dtype(precision), STEP[problem]
    start = jnp.asarray(START[problem], kind)
    hessian, noise = jnp.asarray(HESSIAN, kind), jnp.asarray(NOISE, kind)
    strong = problem == "SRA1"

    def drift(t: Any, x: Any, args: Any) -> Any:
        if problem == "B2":
            return -hessian @ x
        if problem == "B3":
            return jnp.stack(muller_brown_force(jnp, x[0], x[1]))
        return x - x * x * x

    def diffusion(t: Any, x: Any, args: Any) -> Any:
        if problem == "B2":
            return noise
        return lineax.DiagonalLinearOperator(jnp.full(start.shape, SIGMA[problem], kind))

    def one(key: Any) -> Any:
        area = diffrax.SpaceTimeLevyArea if strong else diffrax.BrownianIncrement
        path = diffrax.UnsafeBrownianPath(jax.ShapeDtypeStruct(start.shape, kind), key, levy_area=area)
        return diffrax.diffeqsolve(
            diffrax.MultiTerm(diffrax.ODETerm(drift), diffrax.ControlTerm(diffusion, path)),
            diffrax.SRA1() if strong else diffrax.Euler(),
            t0=0.0,
            t1=steps * dt,
            dt0=dt,
            y0=start,
            saveat=diffrax.SaveAt(t1=True),
            adjoint=diffrax.ForwardMode(),
            max_steps=None,
        ).ys[0]

    ensemble = jax.jit(jax.vmap(one))
    return lambda: ensemble(jax.random.split(jax.random.key(1), paths)).block_until_ready()
