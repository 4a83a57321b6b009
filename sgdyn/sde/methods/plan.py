"""What every method is: a frozen value that states its orders and makes a plan of its steps for a problem."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sgdyn.codegen.formula import Formula
from sgdyn.codegen.jit import FIELD_BLOCK, NOISE_BLOCK, Kernel, kernel
from sgdyn.factors import Factor
from sgdyn.fields import Field
from sgdyn.noise import Noise, Varying
from sgdyn.problem import Langevin, Momentum
from sgdyn.sde.engine import sum_increments

Floats = NDArray[np.float64]
NOTHING = np.zeros(0)


@dataclass(frozen=True)
class Plan:
    """One step of a method on a problem, as the engine takes it (see `sgdyn.codegen.contracts`).

    normals: rows of standard normals for a step. rows: rows that `gather` makes of them; 0 where the step takes them as they are.
    room: rows of work space. several: the step also takes the normals of several steps at once, one below the other. divisions: of the
    step, at most, by a method that divides its steps. explicit: steps explode where dt times the slope of the drift exceeds 2. equation:
    the equation that every step solves by Newton's method, "" where there is none. whole: makes the compiled step where it contains the drift,
    which need not be compiled by itself then, nor the step where another is taken. lean: makes the compiled `contracts.LEAN_STEPS` of a
    precision, if there are any. narrow: makes the step for blocks of eight paths, where `step` takes sixteen at once.
    """

    step: Any
    drift: Field | None
    noise: Noise | None
    normals: int
    constants: Floats
    extra: Field | None = None
    psi: Floats = field(default_factory=lambda: NOTHING)
    room: int = 0
    rows: int = 0
    several: bool = False
    gather: Kernel = sum_increments
    divisions: int = 1
    explicit: bool = True
    equation: str = ""
    whole: Callable[[], Any] | None = None
    lean: Callable[[str], Any] | None = None
    narrow: Callable[[], Any] | None = None


class Method(ABC):
    """An integration method. Class constants: `strong_order`, `strong_order_additive`, `weak_order`, and what noise it accepts.

    `accepts` names a kind of noise ("additive", "diagonal", "scalar", "commutative", "general"), which contains the kinds before it.
    `interpretation`: "Stratonovich" where the steps approximate that integral; the drift is converted, so that the process is the
    same. `needs_normals`: steps use the law of normals
    beyond their first moments, so that noise="weak" will not do (see `choice.check_variates`).
    """

    strong_order: ClassVar[float | None]
    strong_order_additive: ClassVar[float | None]
    weak_order: ClassVar[float]
    accepts: ClassVar[str] = "general"
    interpretation: ClassVar[str] = "Itô"
    problems: ClassVar[tuple[type, ...]] = (Langevin,)
    needs_normals: ClassVar[bool] = False

    @abstractmethod
    def plan(self, problem: Any, dt: float) -> Plan:
        """The steps of length dt on a problem."""

    @classmethod
    def refusal(cls, problem: Any) -> str | None:
        """What the method cannot take in a problem besides its noise; None if nothing."""
        return None

    def steps_of(self, problem: Any, dt: float) -> Plan:
        """`plan`, for a problem that the method accepts; raises TypeError for others, naming the methods that do."""
        from sgdyn.sde.methods.choice import check_accepted

        given = problem.phase_space if isinstance(problem, Momentum) and Momentum not in self.problems else problem
        check_accepted(self, given)
        return self.plan(given, dt)


def kind_of_noise(noise: Noise) -> str:
    """ "additive", "diagonal" (D_ii a function of x_i alone), of a `Factor` also "scalar" (one Wiener process) or "commutative", "general"."""
    if not isinstance(noise, Varying):
        return "additive"
    if isinstance(noise, Factor):
        return noise.kind
    return "diagonal" if _is_diagonal(noise) else "general"


def _is_diagonal(noise: Varying) -> bool:
    """Whether D_ij = 0 for i != j and D_ii depends on x_i alone: by the symbols where there are some, by 16 points elsewhere."""
    d, others = noise.dim, ~np.eye(noise.dim, dtype=bool)
    if isinstance(noise.matrix, Formula):
        off, depends = noise.matrix.make().components[others], noise.matrix.dependence
        return not np.any(off != 0) and not np.any(depends[np.arange(d), np.arange(d)][others])
    points = np.random.default_rng(0).normal(size=(16, d))
    value = noise(points)
    if np.any(value[:, others] != 0):
        return False
    return all(np.array_equal(noise(_only(points, i))[:, i, i], value[:, i, i]) for i in range(d))


def _only(points: Floats, i: int) -> Floats:
    """The same points with all components but i changed."""
    moved = points + 1.0
    moved[:, i] = points[:, i]
    return moved


@kernel(*FIELD_BLOCK.signature.args)
def no_field(x: Any, theta: Any, out: Any) -> None:
    """Stands for a field that a method does not ask for."""


@kernel(*NOISE_BLOCK.signature.args)
def no_noise(x: Any, theta: Any, z: Any, out: Any) -> None:
    """Stands for a noise that a method applies itself."""
