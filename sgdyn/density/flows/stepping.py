"""`jko`: the flow of steepest descent of an energy, one minimisation a step."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.distribution import Density
from sgdyn.density.flows.energies import Energy
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]


class State(Protocol):
    """Where a flow stands. `density` is what the `Flow` shows (`Density`, `GaussianState` or `Cloud`), `energy` its energy; `w2`, `iterations`
    and `residual` belong to the last step (0 at the start). States are never changed: a step makes a new one."""

    @property
    def density(self) -> Any: ...
    @property
    def energy(self) -> float: ...
    @property
    def w2(self) -> float: ...
    @property
    def iterations(self) -> int: ...
    @property
    def residual(self) -> float: ...
    def arrays(self) -> dict[str, NDArray[Any]]: ...  # all that `Method.restore` needs, for checkpoints


class Method(Protocol):
    """How to take a step: a frozen dataclass of its parameters."""

    def start(self, problem: Langevin, rho0: Any, energy: Energy, seed: np.random.SeedSequence) -> Any:
        """The state at time 0; everything that later steps need (problem, energy, seed, tables) is kept in the state. Raises ValueError or
        TypeError for problems, starts and energies it is not for, naming the method that is."""

    def step(self, state: Any, tau: float) -> Any:
        """argmin F(rho) + W²(rho, state)/(2 tau), as a new state. Raises `NotConvergedError`."""

    def restore(self, state: Any, arrays: dict[str, NDArray[Any]]) -> Any:
        """The state whose `arrays()` these are, given the state at time 0: going on from it gives the identical bits."""

    def moved(self, state: Any, density: Density) -> Any:
        """The same state with another density on its grid, for split="curl". Only methods on grids have it."""
