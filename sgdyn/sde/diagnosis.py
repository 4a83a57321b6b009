"""Where and why a path was lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from sgdyn.errors import BlowUpError
from sgdyn.problem import Langevin
from sgdyn.sde.walkers import Course, Walkers, thread_pool

Floats = NDArray[np.float64]
COARSE = 1000


def check_finite(process: Langevin, course: Course, x: Floats, start: Floats, numbers: Any, step: int) -> None:
    """Raise `BlowUpError` if a path has left the finite numbers before `step`."""
    if np.isfinite(x.sum()):
        return
    lost = np.flatnonzero(~np.all(np.isfinite(x), axis=-1))
    if len(lost):
        _explain(process, course, start[lost[0]], int(numbers[lost[0]]), len(lost), step)


def check_arrivals(
    process: Langevin, course: Course, x: Floats, start: Floats, numbers: Any, times: Floats, step: int
) -> None:
    """Raise `BlowUpError` if the path that has gone farthest arrived by unstable steps; times < 0 are no arrivals."""
    distance = np.where(times >= 0, np.sum(np.abs(x), axis=-1), -1.0)
    i, dt = int(np.argmax(np.where(np.isnan(distance), np.inf, distance))), course.clock.dt
    if times[i] < 0 or not course.plan.explicit or dt / course.plan.divisions * _stiffness(process, x[i]) <= 2:
        return
    trail, now = _last_steps(course, start[i], int(numbers[i]), round(times[i] / dt) - 1)
    index, stable = _first_unstable(process, course, trail)
    time = (now - len(trail) + 1 + index) * dt
    if stable is not None and time < times[i]:
        raise BlowUpError(
            f"path {int(numbers[i])} reached the region because it blew up: from t={time:g} on, at x={np.array2string(trail[index], precision=4, threshold=6)}, "
            f"the step dt={dt:g} is too large for the drift; type dt={stable:.2g}",
            path=int(numbers[i]),
            time=time,
            dt=stable,
        )


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
    else:
        message = f"{head}, where D(x) has the eigenvalue {_smallest(process.D(x)):.4g}; expected none below 0"
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


def _stiffness(process: Langevin, x: Floats) -> float:
    """The largest singular value of the Jacobian of the drift, by differences; infinite where they are not finite."""
    h = 1e-6 * (1 + np.abs(x))
    shifts = np.diag(h)
    with np.errstate(invalid="ignore", over="ignore"):
        jacobian = (process.drift(x + shifts) - process.drift(x - shifts)) / (2 * h[:, None])
    return float(np.linalg.norm(jacobian, 2)) if np.all(np.isfinite(jacobian)) else float("inf")
