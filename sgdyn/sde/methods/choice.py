"""Which methods accept which problem."""

from __future__ import annotations

from typing import Any

from sgdyn.problem import Langevin, Momentum
from sgdyn.sde.methods.euler_maruyama import EulerMaruyama
from sgdyn.sde.methods.plan import Method, kind_of_noise

METHODS: tuple[type[Method], ...] = (EulerMaruyama,)
ACCEPTED = {"additive": ("additive",), "diagonal": ("additive", "diagonal"), "general": ("additive", "diagonal", "general")}


def accepts(method: type[Method] | Method, problem: Any) -> bool:
    """Whether a method can take steps of a problem."""
    if not isinstance(problem, method.problems):
        return False
    return isinstance(problem, Momentum) or kind_of_noise(problem.D) in ACCEPTED[method.accepts]


def check_method(method: Any) -> Method:
    """The method, or a TypeError that says what was given instead."""
    if not isinstance(method, Method):
        raise TypeError(f"got method={method!r}, expected a method such as sg.EulerMaruyama(); type method=sg.EulerMaruyama() with brackets")
    return method


def check_accepted(method: Method, problem: Any) -> None:
    """Raise TypeError, naming the methods that would do, if the method does not accept the problem."""
    if accepts(method, problem):
        return
    kind = "underdamped" if isinstance(problem, Momentum) else f"{kind_of_noise(problem.D)} noise"
    names = ", ".join(f"sg.{m.__name__}()" for m in METHODS if accepts(m, problem))
    raise TypeError(f"got method={method!r} for a problem with {kind}, which it does not accept; type one of {names}")


__all__ = ["METHODS", "Langevin", "accepts", "check_accepted", "check_method"]
