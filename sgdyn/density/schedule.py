"""Processes whose potential, drift, noise or temperature change with the time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from sgdyn.codegen.formula import Formula
from sgdyn.noise import Varying
from sgdyn.problem import STRATONOVICH, Langevin, Momentum

Temperature = Callable[[float], float]


def moves(problem: Langevin | Momentum, temperature: Temperature | None) -> bool:
    """Whether anything depends on the time: a schedule of T, or a parameter called `t` in U, drift or D."""
    if temperature is not None and not callable(temperature):
        raise TypeError(
            f"got temperature={temperature!r}, expected a function of the time; type lambda t: {temperature!r}, or T=... of the problem"
        )
    parts = (problem.U.value if problem.U is not None else None, getattr(problem, "curl", None), problem.D)
    return temperature is not None or any(_clocks(part) for part in parts)


def at_time(problem: Langevin | Momentum, time: float, temperature: Temperature | None) -> Langevin | Momentum:
    """The process as it is at a time.

    Raises ValueError where T at that time is not positive, and for a process of Stratonovich's sense with a schedule of T, whose drift
    holds the old one.
    """
    changes: dict[str, Any] = {"D": _noise_at(problem.D, time)}
    if problem.U is not None and _clocks(problem.U.value):
        changes["U"] = problem.U.replace(t=time)
    if isinstance(problem, Langevin):
        changes["curl"] = _field_at(problem.curl, time)
    if temperature is not None:
        if problem.origin == STRATONOVICH:
            raise ValueError(
                "got temperature=... for a process that was converted from Stratonovich's sense, whose drift contains T, expected one "
                "without; type Langevin.from_drift with the drift written out, t its parameter"
            )
        changes["T"] = float(temperature(time))
        if not (np.isfinite(changes["T"]) and changes["T"] > 0):
            raise ValueError(f"got temperature({time:g}) = {changes['T']:g}, expected a finite number > 0")
    return dataclasses.replace(problem, **changes)


def _clocks(part: Any) -> tuple[int, ...]:
    return tuple(getattr(part, "clocks", ()))


def _field_at(field: Any, time: float) -> Any:
    if not isinstance(field, Formula) or not field.clocks:
        return field
    theta = field.theta.copy()
    theta[list(field.clocks)] = time
    return dataclasses.replace(field, theta=theta)


def _noise_at(D: Any, time: float) -> Any:
    return Varying(_field_at(D.matrix, time), _field_at(D.divergence, time)) if isinstance(D, Varying) else D
