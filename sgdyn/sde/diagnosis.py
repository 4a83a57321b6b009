"""Where and why a path was lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from sgdyn.errors import BlowUpError
from sgdyn.problem import Langevin
from sgdyn.sde.course import Course
from sgdyn.sde.walkers import Walkers, thread_pool

Floats = NDArray[np.float64]
COARSE = 1000
SUSPECTS, JACOBIANS = 256, 40_000
"""At most so many paths, or so many numbers in the Jacobians of their drifts, are looked at together."""


def check_finite(process: Langevin, course: Course, x: Floats, start: Floats, numbers: Any, step: int) -> None:
    """Raise `BlowUpError` if a path has left the finite numbers before `step`."""
    if np.isfinite(x.sum()):
        return
    lost = np.flatnonzero(~np.all(np.isfinite(x), axis=-1))
    if len(lost):
        _explain(process, course, start[lost[0]], int(numbers[lost[0]]), len(lost), step)


def check_arrivals(
    process: Langevin,
    course: Course,
    before: tuple[Floats, int],
    x: Floats,
    start: Floats,
    numbers: Any,
    times: Floats,
) -> None:
    """Raise `BlowUpError` if one of the paths, which have just arrived, did so by unstable steps; before: their points at a step."""
    dt, shortest = course.clock.dt, course.clock.dt / course.plan.divisions
    if not course.plan.explicit or not len(times):
        return
    suspects = _farthest(x, times)
    suspects = suspects[shortest * _stiffness(process, x[suspects]) > 2]
    # A path may have arrived by stable steps and gone astray behind the border: what counts is the point from which it arrived.
    for i in _stiff_before(process, course, before, numbers, times, suspects):
        trail, now = _last_steps(course, start[i], int(numbers[i]), round(times[i] / dt) - 1)
        index, stable = _first_unstable(process, course, trail)
        if stable is not None:
            time = (now - len(trail) + 1 + index) * dt
            raise BlowUpError(
                f"path {int(numbers[i])} reached the region because it blew up: from t={time:g} on, at x={np.array2string(trail[index], precision=4, threshold=6)}, "
                f"the step dt={dt:g} is too large for the drift; type dt={stable:.2g}",
                path=int(numbers[i]),
                time=time,
                dt=stable,
            )


def _farthest(x: Floats, times: Floats) -> NDArray[np.int64]:
    """A bounded number of paths: half of them the farthest, the lost and early ones first, the others from all over."""
    distance = np.sum(np.abs(x), axis=-1)
    order = np.lexsort((times, -np.where(np.isnan(distance), np.inf, distance)))
    most = max(4, min(SUSPECTS, JACOBIANS // x.shape[1] ** 2))
    if len(order) <= most:
        return order
    half = most // 2
    return np.concatenate([order[:half], order[np.linspace(half, len(order) - 1, most - half).astype(np.int64)]])


def _stiff_before(
    process: Langevin,
    course: Course,
    before: tuple[Floats, int],
    numbers: Any,
    times: Floats,
    suspects: NDArray[np.int64],
) -> list[int]:
    """Those of the suspects whose last step before they arrived was unstable, walked again from their points before."""
    if not len(suspects):
        return []
    now, steps = before[1], np.round(times[suspects] / course.clock.dt).astype(np.int64) - 1
    points = np.empty((len(suspects), before[0].shape[1]))
    with thread_pool(1) as workers:
        moving = Walkers(replace(course, watches=()), before[0][suspects], numbers[suspects], workers)
        for step in np.unique(steps):
            moving.advance(now, int(step) - now)
            now = int(step)
            points[steps == step] = moving.points()[steps == step]
    stiff = course.clock.dt / course.plan.divisions * _stiffness(process, points) > 2
    return [int(i) for i in suspects[stiff]]


def _explain(process: Langevin, course: Course, x0: Floats, path: int, lost: int, step: int) -> NoReturn:
    """Walk the lost path again, step by step at the end, and name what went wrong first."""
    dt = course.clock.dt
    trail, now = _last_steps(course, x0, path, step)
    if course.plan.equation and np.all(np.isfinite(process.drift(trail[-1]))):
        _explain_newton(process, course, trail[-1], path, lost, now)
    index, stable = _first_unstable(process, course, trail)
    x, time = trail[index], (now - len(trail) + 1 + index) * dt
    head = f"path {path} ({lost} lost in all) left the finite numbers; at t={time:g} it was at x={np.array2string(x, precision=4, threshold=6)}"
    if stable is not None:
        message = f"{head}, where the step dt={dt:g} is too large for the drift; type dt={stable:.2g}"
    elif not np.all(np.isfinite(process.drift(x))):
        message = f"{head}, where the drift is not finite; check the potential, or widen its table"
    elif not (smallest := _smallest(process.D(x))) >= 0:
        message = f"{head}, where D(x) has the eigenvalue {smallest:.4g}; expected none below 0"
    else:
        message = (
            f"{head}, where drift and D(x) are finite: a stage of the step dt={dt:g} went to points at which one of them is not; check their domains, widen "
            "tables, or type a smaller dt=..."
        )
    raise BlowUpError(message, path=path, time=time, dt=stable)


def _explain_newton(process: Langevin, course: Course, x: Floats, path: int, lost: int, now: int) -> NoReturn:
    """Say that the equation of a step was not solved; near x it has one solution, and it is found, where dt |b'| is well below 1."""
    dt, stiffness = course.clock.dt, _stiffness(process, x)
    smaller = min(dt / 4, 0.5 / stiffness) if stiffness else dt / 4
    raise BlowUpError(
        f"path {path} ({lost} lost in all) was given up at t={now * dt:g} at x={np.array2string(x, precision=4, threshold=6)}: Newton's method found no "
        f"solution of the implicit step {course.plan.equation} with dt={dt:g}; type dt={smaller:.2g}, with which the equation is easier, or "
        "method=sg.TamedEuler(), which solves none",
        path=path,
        time=now * dt,
        dt=smaller,
    )


def _last_steps(course: Course, x0: Floats, path: int, step: int) -> tuple[list[Floats], int]:
    """The last finite points of a path, one for each step, and the number of the last one's step."""
    numbers, now, course = np.array([path], dtype=np.uint64), 0, replace(course, watches=())
    trail = [x0]
    with thread_pool(1) as workers:
        for length in (COARSE, 1):
            while now < step:
                moving = Walkers(course, trail[-1][None], numbers, workers)
                moving.advance(now, min(length, step - now))
                if not np.all(np.isfinite(moving.points())):
                    break
                now += min(length, step - now)
                trail = [*(trail if length == 1 else []), moving.points()[0]]
    return trail, now


def _first_unstable(process: Langevin, course: Course, trail: list[Floats]) -> tuple[int, float | None]:
    """The first point of the final stretch on which the shortest step times the stiffness exceeds 2, with a dt that is stable there."""
    index, stable, divisions = len(trail), None, course.plan.divisions
    shortest = course.clock.dt / divisions
    while index > 0 and shortest * (stiffness := _stiffness(process, trail[index - 1])) > 2:
        index, stable = index - 1, 0.2 * divisions / stiffness or stable
    return (index, stable) if stable else (len(trail) - 1, None)


def _smallest(D: Floats) -> float:
    return float(np.linalg.eigvalsh(D)[0]) if np.all(np.isfinite(D)) else float("nan")


def _stiffness(process: Langevin, x: Floats) -> Any:
    """The largest |eigenvalue| of the Jacobian of the drift at x (..., dim), by differences; infinite where they are not finite.

    Its norm would be the curvature itself in the phase space of `Momentum`, whose frequencies are the roots of that.
    """
    dim, h = x.shape[-1], 1e-6 * (1 + np.abs(x))
    with np.errstate(invalid="ignore", over="ignore"):
        shifts = h[..., None] * np.eye(dim)
        forward, backward = (
            process.drift((x[..., None, :] + sign * shifts).reshape(-1, dim)).reshape(shifts.shape) for sign in (1, -1)
        )
        jacobian = (forward - backward) / (2 * h[..., None])
    finite = np.all(np.isfinite(jacobian), axis=(-2, -1))
    rates = np.linalg.eigvals(np.where(finite[..., None, None], jacobian, 0.0))
    return np.where(finite, np.abs(rates).max(axis=-1), np.inf)
