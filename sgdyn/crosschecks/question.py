"""What a cross-check was asked, with what several theories need of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.collocation import Chebyshev, chebyshev
from sgdyn.density.generator import Generator, fokker_planck
from sgdyn.density.grid import Grid
from sgdyn.estimate import Estimate
from sgdyn.problem import Langevin, Momentum
from sgdyn.steady.linear import LinearStationary, linear_stationary

Floats = NDArray[np.float64]


class DoesNotApply(Exception):
    """Why a theory has no answer."""


@dataclass(frozen=True, eq=False)
class Question:
    """What was asked. Raises `DoesNotApply` from whatever is looked up but was not given or is not there."""

    problem: Langevin | Momentum
    quantity: str
    x0: Any
    region: Any
    f: Any
    grid: Grid | None
    dt: float | None
    t: float | None
    n_paths: int
    seed: Any
    executor: Executor | None = None

    @cached_property
    def generator(self) -> Generator:
        if self.grid is None:
            raise DoesNotApply("no grid was given; type grid=sg.Grid(...)")
        return fokker_planck(self.problem, self.grid)

    @property
    def leaks(self) -> bool:
        """Whether a wall of the grid absorbs."""
        return self.grid is not None and any(side == "absorbing" for pair in self.grid.boundary for side in pair)

    @cached_property
    def rate(self) -> Estimate:
        """The slowest rate on the grid that is not zero."""
        values = self.generator.spectrum(2).values
        k = 0 if self.leaks else 1
        return Estimate(float(values.value[k].real), float(values.error[k]), values.method, warnings=values.warnings)

    @cached_property
    def linear(self) -> LinearStationary:
        return linear_stationary(self.problem)

    @cached_property
    def numbers(self) -> Callable[[Floats], Floats] | None:
        """f at points (..., dim)."""
        from sgdyn.codegen.formula import traced  # SymPy is slow to import

        return None if self.f is None else traced(self.f, self.problem.dim)

    @property
    def overdamped(self) -> Langevin:
        """The process, if it is one in one dimension without momentum."""
        if self.problem.dim != 1 or not isinstance(self.problem, Langevin):
            raise DoesNotApply("it is for one dimension")
        return self.problem

    @cached_property
    def chebyshev(self) -> Chebyshev:
        problem = self.overdamped
        if self.grid is None:
            raise DoesNotApply("no grid was given whose walls could be used; type grid=sg.Grid(...)")
        return chebyshev(problem, (self.grid.edges[0][0], self.grid.edges[0][-1]), self.grid.boundary[0])

    @property
    def time_step(self) -> float:
        if self.dt is None:
            raise DoesNotApply("no time step was given; type dt=...")
        return self.dt

    @property
    def walls(self) -> Any:
        """The walls of the grid around simulated paths; none for velocities, which no wall turns back."""
        from sgdyn.sde.boundaries import box

        if self.grid is None or isinstance(self.problem, Momentum):
            return None
        mixed = [pair for pair in self.grid.boundary if pair[0] != pair[1]]
        if mixed:
            raise DoesNotApply(f"it has no axis with the walls {mixed[0]}")
        sides = [(float(edges[0]), float(edges[-1])) for edges in self.grid.edges]
        return box(sides, [pair[0] for pair in self.grid.boundary])


Theory = Callable[[Question], Estimate]


@dataclass(frozen=True)
class Quantity:
    """The theories that may know a quantity, by name, and an example of how it is asked for.

    `needs` names the arguments of the question that may not be missing.
    """

    theories: Mapping[str, Theory]
    example: str
    needs: tuple[str, ...] = ()
