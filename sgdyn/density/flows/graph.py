"""Gradient flows on a grid, by the edges between its cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.distribution import Density
from sgdyn.density.flows.energies import Energy
from sgdyn.density.flows.linearised import Descent, Step
from sgdyn.density.flows.network import Network
from sgdyn.density.flows.pressures import Compression, Pressures
from sgdyn.density.flows.stages import Entropies, Predictor, Stages
from sgdyn.density.forces import Forces
from sgdyn.density.generator import assembled
from sgdyn.density.grid import Grid
from sgdyn.noise import Varying
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Graph:
    """Newton steps for the masses of cells, in the Maas metric of the edges of `sg.fokker_planck(problem, grid)`: any D, constant or not.

    For int V rho + T int rho log rho the mobility of an edge is the logarithmic mean of rho exp(V/T), so that the flow for tau -> 0 is that
    generator's own; for other energies it is the mean of rho. order=1: the distance linearised at the end of the step (`linearised`,
    `pressures`); each step lowers the energy by at least w2²/(2 tau). order=2: three minimisations in the metric of half a step (`stages`);
    each step lowers the energy by at least 0.2 w2²/(2 tau), convex or not, where each of the three ends in its minimum. Nothing becomes negative
    and mass is kept to rounding.

    Interactions W are taken at the differences x - y of centres as they are: W must be even, finite at 0, and periodic where the grid is.

    Raises ValueError for walls that are not closed, and other orders. Sources: Maas, J. Funct. Anal. 261 (2011); Cances,
    Gallouet, Todeschi, Numer. Math. 146 (2020); Zaitzeff, Esedoglu, Garikipati, SIAM J. Numer. Anal. 58 (2020).
    """

    order: int = 1

    def __post_init__(self) -> None:
        if self.order not in (1, 2):
            raise ValueError(f"got order={self.order!r}, expected 1 or 2; type sg.Graph(order=2)")

    def start(self, problem: Langevin, rho0: Any, energy: Energy, seed: np.random.SeedSequence) -> GraphState:
        if not isinstance(rho0, Density):
            raise TypeError(
                f"got rho0 of type {type(rho0).__name__} for Graph, expected a density on a grid; type sg.gaussian(grid, mean, cov)"
            )
        _checked(rho0.grid, energy)
        return GraphState(rho0, energy.value(rho0), _surroundings(problem, rho0.grid, energy, self.order))

    def step(self, state: GraphState, tau: float) -> GraphState:
        around, rho = state.around, state.density
        found = around.stepper(tau)(rho.masses.ravel())
        after = Density(rho.grid, (found.masses / rho.grid.volumes.ravel()).reshape(rho.grid.shape))
        w2 = float(np.sqrt(around.heat * found.squared))
        return GraphState(after, around.energy.value(after), around, w2, found.iterations, found.residual)

    def restore(self, state: GraphState, arrays: dict[str, NDArray[Any]]) -> GraphState:
        rho = Density(state.density.grid, arrays["values"])
        w2, residual = (float(x) for x in arrays["found"])
        return GraphState(rho, state.around.energy.value(rho), state.around, w2, int(arrays["iterations"]), residual)

    def moved(self, state: GraphState, density: Density) -> GraphState:
        energy = state.around.energy.value(density)
        return GraphState(density, energy, state.around, state.w2, state.iterations, state.residual)


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What all steps share. `heat` times the squared distances of the network is those in the metric D^-1."""

    energy: Energy
    heat: float
    stepper_of: Callable[[float], Callable[[Floats], Step]]
    known: dict[float, Callable[[Floats], Step]] = field(default_factory=dict)

    def stepper(self, tau: float) -> Callable[[Floats], Step]:
        if tau not in self.known:
            self.known[tau] = self.stepper_of(tau)
        return self.known[tau]


@dataclass(frozen=True, eq=False)
class GraphState:
    """The state of a flow on a grid."""

    density: Density
    energy: float
    around: Surroundings
    w2: float = 0.0
    iterations: int = 0
    residual: float = 0.0

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "values": self.density.values,
            "found": np.array([self.w2, self.residual]),
            "iterations": np.array(self.iterations),
        }


def _checked(grid: Grid, energy: Energy) -> None:
    if any(side == "absorbing" for pair in grid.boundary for side in pair):
        raise ValueError(
            'got absorbing walls, expected walls that keep the mass: W² compares equal masses; type boundary="reflecting", or sg.fokker_planck'
        )
    if not energy.internals:
        raise ValueError(
            "got an energy without an internal part for Graph, expected one that spreads mass; type + sg.Entropy(T) or + sg.PorousMedium(2)"
        )


def _surroundings(problem: Langevin, grid: Grid, energy: Energy, order: int) -> Surroundings:
    T = energy.temperature
    if T is not None and not energy.interactions:
        network = _network(problem, grid, T, lambda x: energy.potential(x) / T)
        entropies = Entropies(network.log_masses)
        return Surroundings(energy, T, _orders(network, entropies, lambda tau: Descent(network, tau), order))
    network = _network(problem, grid, 1.0, lambda x: np.zeros(x.shape[:-1]))
    pressures = Pressures(energy, grid)
    return Surroundings(
        energy, 1.0, _orders(network, pressures, lambda tau: Compression(network, pressures, tau), order)
    )


def _orders(network: Network, energy: Any, first: Callable[[float], Predictor], order: int) -> Callable[[float], Any]:
    return first if order == 1 else lambda tau: Stages(network, energy, first(0.5 * tau), tau)


def _network(problem: Langevin, grid: Grid, T: float, potential: Callable[[Floats], Floats]) -> Network:
    """The edges of T D in detailed balance with exp(-potential)."""
    D = problem.D
    pushed = Forces(
        grid.dim,
        lambda x: np.asarray(T * D(x)),
        lambda x: np.asarray(T * D.divergence(x)),
        not isinstance(D, Varying),
        potential,
        None,
        keeps=True,
    )
    return Network(assembled(problem, grid, pushed))
