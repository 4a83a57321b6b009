"""Markov chains in path space whose acceptance does not fall with the number of steps of a path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.pathspace.bridge_sampling import Target, target
from sgdyn.pathspace.paths import Path
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]
Moved = tuple[Floats, NDArray[np.bool_]]


@dataclass(frozen=True)
class PreconditionedCrankNicolson:
    """u' = sqrt(1 - step²) u + step xi, xi a Brownian bridge; accepted by what the density has beside the Brownian bridge's.

    step: in (0, 1]; 1 draws anew each time. Source: Cotter, Roberts, Stuart, White, Stat. Sci. 28, 424 (2013).
    """

    step: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < checks.number("step", self.step) <= 1:
            raise ValueError(f"got step={self.step}, expected a number in (0, 1]; type step=0.3")

    def chain(self, problem: Langevin, start: Path, count: int, rng: np.random.Generator) -> _Chain:
        return _Chain(self, target(problem, start), count, rng)

    def move(self, chain: _Chain) -> Moved:
        xi = chain.target.reference.fluctuations(chain.rng, len(chain.u))
        return chain.decided(np.sqrt(1 - self.step**2) * chain.u + self.step * xi, np.zeros(len(chain.u)))


@dataclass(frozen=True)
class PathHMC:
    """Hamiltonian Monte Carlo whose masses are the Brownian bridge's: half kicks by C grad log weight, rotations by the angle `step` between.

    C is the Brownian bridge's covariance, so that positions and velocities are bridges alike and energy errors stay bounded as n grows.
    step: angle of a rotation; length: rotations a move. Source: Beskos, Pinski, Sanz-Serna, Stuart, Stoch. Proc. Appl. 121, 2201 (2011).
    """

    step: float = 0.3
    length: int = 4

    def __post_init__(self) -> None:
        if not 0 < checks.number("step", self.step) <= 1.5:
            raise ValueError(f"got step={self.step}, expected an angle in (0, 1.5]; type step=0.3")
        checks.count("length", self.length)

    def chain(self, problem: Langevin, start: Path, count: int, rng: np.random.Generator) -> _Chain:
        return _Chain(self, target(problem, start), count, rng)

    def move(self, chain: _Chain) -> Moved:
        aim, u = chain.target, chain.u
        v = aim.reference.fluctuations(chain.rng, len(u))
        before = aim.reference.half_square(v) + aim.reference.half_square(u)
        c, s = np.cos(self.step), np.sin(self.step)
        half = np.tan(self.step / 2)
        push = aim.reference.response(aim.force(u))
        for _ in range(self.length):
            v = v + half * push
            u, v = c * u + s * v, c * v - s * u
            push = aim.reference.response(aim.force(u))
            v = v + half * push
        after = aim.reference.half_square(v) + aim.reference.half_square(u)
        return chain.decided(u, before - after)


@dataclass(eq=False)
class _Chain:
    """Chains side by side: deviations u (count, n - 1, dim) from the straight path with their log weights."""

    method: Any
    target: Target
    count: int
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.u = self.target.reference.fluctuations(self.rng, self.count)
        self.logs = self.target.log_weight(self.u)
        self.t = self.target.actions.t

    def next(self) -> Moved:
        """The paths (count, n + 1, dim) after one move, and which chains moved."""
        return self.method.move(self)  # type: ignore[no-any-return]

    def decided(self, u: Floats, extra: Floats) -> Moved:
        """Metropolis's decision on a proposal, `extra` its log ratio beside that of the weights."""
        logs = self.target.log_weight(u)
        taken = np.log(self.rng.random(self.count)) < logs - self.logs + extra
        self.u = np.where(taken[:, None, None], u, self.u)
        self.logs = np.where(taken, logs, self.logs)
        return self.target.reference.paths(self.u), taken
