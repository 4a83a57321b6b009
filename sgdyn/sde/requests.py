"""What is asked of a simulation, checked: process, starting points, times to save, schedules, steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.fields import Affine
from sgdyn.problem import Langevin, Momentum
from sgdyn.sde.methods.euler_maruyama import EulerMaruyama
from sgdyn.sde.methods.plan import Method
from sgdyn.sde.walkers import Steps

Floats = NDArray[np.float64]

MOST_PATHS = 2**40
"""Paths of one run: more would take years, and NumPy counts bytes up to 2^63."""


def check_schedule(process: Langevin, schedule: Any) -> None:
    """Raise ValueError where the drift holds the problem's own T, which a schedule would not change."""
    if schedule is not None and process.drift_has_temperature:
        raise ValueError(
            "got temperature=... for a process whose drift contains T (a Gibbs process with D(x), or one of Stratonovich's), expected one "
            "without; type Langevin.from_drift with the drift written out, t its parameter"
        )


def temperatures(T: float, schedule: Callable[[float], float] | None, steps: int, dt: float) -> Floats:
    """T, or T at the beginning of every step."""
    if schedule is None:
        return np.array([T])
    if not callable(schedule):
        raise TypeError(
            f"got temperature={schedule!r}, expected a function of the time; type lambda t: {schedule!r}, or T=... of the problem"
        )
    values = np.array([_number(schedule(step * dt), step * dt) for step in range(steps)])
    if not np.all(np.isfinite(values)) or values.min() < 0:
        wrong = int(np.argmax(~np.isfinite(values) | (values < 0)))
        raise ValueError(f"got temperature({wrong * dt:g}) = {values[wrong]:g}, expected finite numbers >= 0")
    return values


def _number(value: Any, t: float) -> float:
    """T at the time t."""
    if isinstance(value, float) or (np.ndim(value) == 0 and np.asarray(value).dtype.kind in "fiu"):
        return float(value)
    raise TypeError(f"got temperature({t:g}) = {value!r}, expected a number; type lambda t: 0.3 * np.exp(-t)")


def checked_process(problem: Any) -> Langevin:
    """The Itô process to integrate."""
    if isinstance(problem, Momentum):
        return problem.phase_space
    if not isinstance(problem, Langevin):
        raise TypeError(
            f"got a problem of type {type(problem).__name__}, expected Langevin or Momentum; type sg.Langevin(U, T=..., D=...)"
        )
    return problem


def starting_points(x0: ArrayLike, dim: int, n_paths: int | None) -> Floats:
    """Points (n_paths, dim) from x0."""
    points = checks.points(checks.finite("x0", x0), dim, "x0")
    count = None if n_paths is None else checks.count("n_paths", n_paths)
    if count is not None and count > MOST_PATHS:
        raise ValueError(
            f"got n_paths={count}, expected at most 2^40 in one run; type a smaller n_paths, and first_path=... for the others"
        )
    if points.ndim == 1:
        return np.broadcast_to(points, (count or 1, dim))
    if points.ndim > 2 or (n_paths is not None and len(points) != n_paths) or not len(points):
        raise ValueError(f"got x0 of shape {points.shape} and n_paths={n_paths}, expected ({dim},) or (n_paths, {dim})")
    return points


def saved_steps(save: int | ArrayLike, steps: int, dt: float) -> Steps:
    """The step numbers to keep."""
    if np.ndim(save) == 0:
        wanted = checks.count("save", save)
        if wanted > steps + 1:
            raise ValueError(
                f"got save={wanted} times of {steps} steps, expected at most {steps + 1}; type a smaller dt or save"
            )
        return np.array([steps]) if wanted == 1 else np.round(np.linspace(0, steps, wanted)).astype(np.int64)
    if np.asarray(save).dtype.kind == "b":
        raise TypeError(
            f"got save={save!r}, expected a number of times, or the times themselves; type save=[0.0, {steps * dt:g}]"
        )
    times = checks.finite("save", save)
    if (
        times.ndim != 1
        or not len(times)
        or times.min() < 0
        or times.max() > (steps + 0.5) * dt
        or np.any(np.diff(times) <= 0)
    ):
        raise ValueError(f"got save={times}, expected increasing times between 0 and {steps * dt:g}")
    return np.minimum(np.round(times / dt).astype(np.int64), steps)  # half a step beyond t counts as t


def refuse_unstable(process: Langevin, dt: float, method: Method) -> None:
    """Refuse steps at which a stable linear process would explode: |1 + dt lambda| > 1 for an eigenvalue of its drift."""
    if isinstance(method, EulerMaruyama) and isinstance(process.drift, Affine) and process.dim <= 2000:
        matrix = process.drift.matrix
        symmetric = np.array_equal(matrix, matrix.T)
        if symmetric and dt * np.max(np.sum(np.abs(matrix), axis=1)) <= 2:  # a bound of the largest |lambda|
            return
        eigenvalues = np.linalg.eigvalsh(matrix) if symmetric else np.linalg.eigvals(matrix)
        growth = np.abs(1 + dt * eigenvalues)
        decaying = eigenvalues.real < 0
        if np.any(decaying & (growth > 1 + 1e-12)):
            limit = float(np.min(-2 * eigenvalues.real[decaying] / np.abs(eigenvalues[decaying]) ** 2))
            raise ValueError(
                f"got dt={dt:g}, expected dt < {limit:.4g}: beyond, the steps of this linear process grow without bound; type dt={limit / 20:.2g}"
            )
