"""FiPy, py-pde and fplanck on the problem of `benchmarks/fokker_planck.py`; each returns ((steady, CPU s) or None, (density at t = 1, CPU s))."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

D, T, BOX = np.array([[1.0, 0.8], [0.8, 1.0]]), 1 / 3, 2.0


def median(run: Callable[[], tuple[Any, float]], calls: int = 3) -> tuple[Any, float]:
    """What was found, and the median of the CPU times."""
    found = [run() for _ in range(calls)]
    return found[0][0], statistics.median(seconds for _, seconds in found)


def start(n: int) -> Any:
    x = (np.arange(n) + 0.5) * 2 * BOX / n - BOX
    weights = np.exp(-((x[:, None] + 1) ** 2 + x[None, :] ** 2) / (2 * 0.3**2))
    return weights / weights.sum() / (2 * BOX / n) ** 2


def _force(x: Any, y: Any) -> Any:
    """D grad U."""
    return np.tensordot(D, np.stack([4 * x * (x * x - 1), 4 * y]), axes=1)


def fipy(n: int) -> Any:
    """Implicit steps, exponential convection. Steps were made as long, and sweeps as few, as leaves the error near that of the cells."""
    from fipy import CellVariable, DiffusionTerm, ExponentialConvectionTerm, FaceVariable, Grid2D, TransientTerm

    mesh = Grid2D(nx=n, ny=n, dx=2 * BOX / n, dy=2 * BOX / n) + ((-BOX,), (-BOX,))  # noqa: RUF005
    speed = FaceVariable(mesh=mesh, rank=1, value=_force(*np.asarray(mesh.faceCenters)))
    speed.setValue(0.0, where=mesh.exteriorFaces)

    def run(values: Any, dt: float, steps: int, sweeps: int) -> Any:
        once(values, dt, 1, sweeps)
        return median(lambda: once(values, dt, steps, sweeps))

    def once(values: Any, dt: float, steps: int, sweeps: int) -> Any:
        begin = time.process_time()
        p = CellVariable(mesh=mesh, value=values.T.ravel(), hasOld=True)
        equation = TransientTerm() == DiffusionTerm(coeff=[T * D]) + ExponentialConvectionTerm(coeff=speed)
        for _ in range(steps):
            p.updateOld()
            for _ in range(sweeps):
                equation.sweep(var=p, dt=dt)
        return np.asarray(p.value).reshape(n, n).T, time.process_time() - begin

    return run(np.full((n, n), 1 / (2 * BOX) ** 2), 5.0, 20, 1), run(start(n), 0.05, 20, 1)


def pypde(n: int) -> Any:
    """Explicit steps of the flux form, without the time it compiles; no steady state (it would take some hundred units of time)."""
    step, state = stepper_of_pypde(n)

    def run() -> Any:
        moved = state.copy()
        begin = time.process_time()
        step(moved, 0.0, 1.0)
        return moved.data, time.process_time() - begin

    return None, median(run, 11)


@cache
def stepper_of_pypde(n: int) -> Any:
    from pde import PDE, CartesianGrid, ScalarField, Tensor2Field, VectorField
    from pde.solvers import EulerSolver

    grid = CartesianGrid([(-BOX, BOX)] * 2, n)
    x, y = (grid.cell_coords[..., k] for k in (0, 1))
    tensor = Tensor2Field(grid, np.broadcast_to(T * D[:, :, None, None], (2, 2, n, n)))
    force = VectorField(grid, _force(x, y))
    closed = {"normal_value": 0}
    equation = PDE(
        {"c": "divergence(dot(D, gradient(c)) + F * c)"}, consts={"D": tensor, "F": force},
        bc_ops={"c:gradient": {"derivative": 0}, "c:divergence": closed},
    )  # fmt: skip
    # tried: stable at 1.6e-3 for 50² and 6e-4 for 100² cells, not at 2.4e-3 and 1.2e-3
    dt = min(0.375 * (2 * BOX / n) ** 2, 1.6e-3)

    state = ScalarField(grid, start(n))
    begin = time.process_time()
    step = EulerSolver(equation).make_stepper(state, dt)
    step(state.copy(), 0.0, 2 * dt)  # compiles
    print(f"py-pde compiled for {time.process_time() - begin:.0f} s", flush=True)
    return step, state


def fplanck(n: int) -> Any:
    """D = 1, given the potential: eigenvectors of its matrix, and SciPy's product with the exponential."""
    vars(np)["product"] = np.prod  # fplanck 0.2.2 was written for NumPy 1
    from fplanck import fokker_planck
    from scipy import constants

    def made() -> Any:
        return fokker_planck(
            temperature=T / constants.k, drag=1.0, extent=[2 * BOX] * 2, resolution=2 * BOX / n,
            potential=lambda x, y: (x * x - 1) ** 2 + 2 * y * y,
        )  # fmt: skip

    def timed(run: Any) -> Any:
        begin = time.process_time()
        values = run()
        return values / values.sum() / (2 * BOX / n) ** 2, time.process_time() - begin

    steady = median(lambda: timed(lambda: made().steady_state()))
    return steady, median(lambda: timed(lambda: made().propagate(lambda x, y: start(n), 1.0)))
