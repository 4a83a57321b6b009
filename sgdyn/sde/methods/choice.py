"""Which methods accept which problem."""

from __future__ import annotations

from typing import Any

from sgdyn.problem import Langevin, Momentum
from sgdyn.sde.methods.adaptive import Adaptive
from sgdyn.sde.methods.baoab import BAOAB
from sgdyn.sde.methods.compound_poisson import CompoundPoisson
from sgdyn.sde.methods.euler_maruyama import EulerMaruyama
from sgdyn.sde.methods.exact_linear import ExactLinear
from sgdyn.sde.methods.gjf import GJF
from sgdyn.sde.methods.heun import Heun
from sgdyn.sde.methods.levy_euler import LevyEuler
from sgdyn.sde.methods.mala import MALA
from sgdyn.sde.methods.milstein import Milstein
from sgdyn.sde.methods.obabo import OBABO
from sgdyn.sde.methods.plan import Method, kind_of_noise
from sgdyn.sde.methods.resampled_sgd_map import ResampledSGDMap
from sgdyn.sde.methods.ri6 import RI6
from sgdyn.sde.methods.sgd_map import SGDMap
from sgdyn.sde.methods.shark import ShARK
from sgdyn.sde.methods.sra1 import SRA1
from sgdyn.sde.methods.sra3 import SRA3
from sgdyn.sde.methods.sri2 import SRI2, SRS2
from sgdyn.sde.methods.sriw1 import SRIW1
from sgdyn.sde.methods.stochastic_heavy_ball import StochasticHeavyBall
from sgdyn.sde.methods.tamed_euler import TamedEuler
from sgdyn.sde.methods.theta import Theta

METHODS: tuple[type[Method], ...] = (
    EulerMaruyama, TamedEuler, Theta, Milstein, SRI2, SRIW1, SRA1, SRA3, ShARK, RI6, Heun, SRS2, Adaptive, ExactLinear, MALA,
    BAOAB, OBABO, GJF, StochasticHeavyBall,
)  # fmt: skip
"""The methods that approximate any process they accept: those that messages name."""
OTHER_PROCESSES: tuple[type[Method], ...] = (SGDMap, ResampledSGDMap, LevyEuler, CompoundPoisson)
"""Methods for another process than the diffusion, or for the one step of a run of SGD; no message names them."""
KINDS = ("additive", "diagonal", "scalar", "commutative", "general")
"""Kinds of noise, each of which contains those before it."""


def accepts(method: type[Method] | Method, problem: Any) -> bool:
    """Whether a method can take steps of a problem."""
    if not isinstance(problem, method.problems):
        return False
    return isinstance(problem, Momentum) or (_takes_noise(method, problem) and method.refusal(problem) is None)


def _takes_noise(method: type[Method] | Method, problem: Any) -> bool:
    return KINDS.index(kind_of_noise(problem.D)) <= KINDS.index(method.accepts)


def check_method(method: Any) -> Method:
    """The method, or a TypeError that says what was given instead."""
    if not isinstance(method, Method):
        raise TypeError(
            f"got method={method!r}, expected a method such as sg.EulerMaruyama(); type method=sg.EulerMaruyama() with brackets"
        )
    return method


def check_accepted(method: Method, problem: Any) -> None:
    """Raise TypeError, naming the methods that would do, if the method does not accept the problem."""
    if accepts(method, problem):
        return
    names = ", ".join(f"sg.{m.__name__}()" for m in METHODS if accepts(m, problem))
    raise TypeError(
        f"got method={method!r} for a problem with {_trouble(method, problem)}, which it does not accept; type one of {names}"
    )


def _trouble(method: Method, problem: Any) -> str:
    """What the method does not accept."""
    if isinstance(problem, Momentum):
        return "underdamped dynamics"
    if Langevin not in method.problems:
        return "no momentum"
    refused = method.refusal(problem) if _takes_noise(method, problem) else None
    return refused or f"{kind_of_noise(problem.D)} noise"


def check_variates(method: Method, noise: str) -> None:
    """Raise ValueError for signs in place of normals where the method needs the law of normals."""
    if noise == "weak" and method.needs_normals:
        raise ValueError(
            f"got noise='weak' with method={method!r}, which needs normals; expected noise='double' or 'single'"
        )


__all__ = ["METHODS", "OTHER_PROCESSES", "Langevin", "accepts", "check_accepted", "check_method", "check_variates"]
