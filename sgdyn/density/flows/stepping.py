"""`jko`: the flow of steepest descent of an energy, one minimisation a step."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import is_dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.density.distribution import Density
from sgdyn.density.flows import driving, starts
from sgdyn.density.flows.energies import Energy, as_energy
from sgdyn.density.flows.flow import Cloud, Evidence, Flow, GaussianState
from sgdyn.density.flows.identity import identity
from sgdyn.density.flows.records import Record
from sgdyn.density.flows.remarks import remarks
from sgdyn.density.flows.stirring import Stirring
from sgdyn.density.flows.terms import check_terms
from sgdyn.fields import Affine
from sgdyn.noise import Varying
from sgdyn.problem import Langevin
from sgdyn.progress import progress

Floats = NDArray[np.float64]

PARTICLES = 1000
"""Of a start that is no cloud."""


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
    """How to take a step: a frozen dataclass of its parameters. One with `remarks(flow)` adds sentences to the warnings of its flows."""

    def start(self, problem: Langevin, rho0: Any, energy: Energy, seed: np.random.SeedSequence) -> Any:
        """The state at time 0; everything that later steps need (problem, energy, seed, tables) is kept in the state. Raises ValueError or
        TypeError for problems, starts and energies it is not for, naming the method that is."""

    def step(self, state: Any, tau: float) -> Any:
        """argmin F(rho) + W²(rho, state)/(2 tau), as a new state. Raises `NotConvergedError`."""

    def restore(self, state: Any, arrays: dict[str, NDArray[Any]]) -> Any:
        """The state whose `arrays()` these are, given the state at time 0: going on from it gives the identical bits."""


class OnGrid(Method, Protocol):
    """A method whose densities stay on one grid."""

    def moved(self, state: Any, density: Density) -> Any:
        """The same state with another density on its grid, for split="curl"."""


def jko(
    problem: Langevin, rho0: Any, *, tau: float, n: int, method: Method | None = None, energy: Any = None, split: str | None = None,
    seed: int | np.random.SeedSequence = 0, checkpoint: str | Path | None = None, show_progress: bool | None = None,
) -> Flow:  # fmt: skip
    """n steps of length tau of the scheme of Jordan, Kinderlehrer and Otto, each the minimum of energy and cost of transport:

        rho_{k+1} = argmin F(rho) + W²(rho, rho_k)/(2 tau),   F = int V rho + T int rho log rho,   cost (x - y)' D^-1 (x - y)

    For tau -> 0 this is the Fokker-Planck equation of a process with drift -D grad V + T div D: Gibbs processes (V = U), D = d I (V = U/d),
    linear processes in detailed balance. energy: another F, such as `sg.PotentialEnergy(U) + sg.PorousMedium(2)`, whose flow in the metric of
    the problem's D is wanted. rho0: a `Density`, `GaussianState(mean, cov)`, points (n, dim), or in one dimension anything with a quantile
    function `ppf`, such as `scipy.stats.norm()`.
    method: `Quantile` (1-D), `Graph` (grids), `Gaussian` (linear processes), `Particles`, `Entropic`; by default the first that fits of
    Gaussian, Quantile, Graph, Particles. split="curl": for a curl beside the gradient part, each step comes between two of the curl alone for
    the time tau/2, through the faces of the grid (second order in tau beside the step's own order, and in the cells' width; `warnings` measure it). checkpoint: a folder that keeps the steps, to go on from there to the
    identical result. Ctrl-C returns the steps that are done, with `complete=False`.

    Returns a `Flow`. Raises ValueError for drifts that descend no free energy, and `NotConvergedError` where a step finds no minimum.
    Sources: Jordan, Kinderlehrer, Otto, SIAM J. Math. Anal. 29, 1 (1998); Lisini, ESAIM: COCV 15, 712 (2009).
    """
    process = driving.checked(problem)
    tau, n = checks.positive("tau", tau), checks.count("n", n)
    if split not in (None, "curl"):
        raise ValueError(f'got split={split!r}, expected None or "curl"')
    driving.check_curl(process, split, energy is not None)
    descended = driving.free_energy(process, split) if energy is None else as_energy(energy)
    start = starts.begun(rho0, process.dim)
    check_terms(descended, process.dim, start, starts.places(start))
    starts.check_there(process, descended, starts.places(start))
    if energy is not None:
        driving.check_dropped(process, starts.places(start))
    chosen = _default(process, start, descended) if method is None else _checked(method)
    sequence = checks.seed_sequence(seed)
    stir = _stirring(process, start, descended, chosen, split)
    settings = {"tau": tau, "split": split, "seed": str(sequence.entropy), "branch": list(sequence.spawn_key)}

    def advance(state: Any, k: int) -> Any:
        state = chosen.step(state if stir is None else stir(state, 0.5 * tau), tau)
        starts.checked_energy(state.energy, k)
        return state if stir is None else stir(state, 0.5 * tau)

    with progress("jko", show_progress) as tell:
        first = chosen.start(process, start, descended, sequence)
        starts.checked_energy(first.energy, 0)
        record = Record(checkpoint, lambda: identity(process, start, descended, chosen, settings, float(first.energy)))
        kept, complete = record.run(first, n, advance, chosen.restore, tell)
    flow = Flow(
        process,
        descended,
        tau,
        chosen,
        tuple(state.density for state in kept),
        np.array([state.energy for state in kept]),
        np.array([state.w2 for state in kept[1:]]),
        tuple(Evidence(state.iterations, state.residual) for state in kept[1:]),
        None if stir is None else split,
        complete,
        (),
        start,
        np.array([state.error for state in kept]),
    )
    notes = remarks(flow, n, rho0)
    if not complete:
        warnings.warn(notes[-1], stacklevel=2)
    return replace(flow, warnings=notes)


def _checked(method: Any) -> Any:
    if isinstance(method, type) or not (is_dataclass(method) and hasattr(method, "start") and hasattr(method, "step")):
        raise TypeError(f"got method={method!r}, expected one of the methods; type sg.Quantile()")
    return method


def _default(problem: Langevin, rho0: Any, energy: Energy) -> Any:
    """Gaussian for linear processes that start normal, Quantile in one dimension, Graph on a grid, Particles otherwise."""
    linear = all(isinstance(U.grad, Affine) for U in energy.potentials) and energy.is_free_energy
    if isinstance(rho0, GaussianState) and linear and not isinstance(problem.D, Varying):
        return _named("gaussians", "Gaussian")()
    if problem.dim == 1 and not isinstance(rho0, Cloud):
        return _named("quantile", "Quantile")()
    if isinstance(rho0, Density):
        return _named("graph", "Graph")()
    return _named("particles", "Particles")(len(rho0.points) if isinstance(rho0, Cloud) else PARTICLES)


def _named(module: str, name: str) -> Any:
    # each method comes with its own heavy imports
    return getattr(import_module(f"sgdyn.density.flows.{module}"), name)


def _stirring(
    problem: Langevin, rho0: Any, energy: Energy, method: Any, split: str | None
) -> Callable[[Any, float], Any] | None:
    """What follows each step: the curl alone."""
    if split is None or problem.curl is None or problem.U is None or problem.dim == 1:
        return None
    if not isinstance(rho0, Density) or not hasattr(method, "moved"):
        raise ValueError(
            f'got split="curl" with {type(method).__name__} and a {type(rho0).__name__}, expected a Density on a grid; '
            "type method=sg.Graph() and rho0=sg.gaussian(grid, mean, cov)"
        )
    if not driving.own(problem, energy, starts.places(rho0)):
        raise ValueError(
            f'got split="{split}" with an energy other than the free energy of the problem, expected that one: the curl is carried so that '
            "exp(-U/T) of the problem stays as it is; type no energy, or sg.Langevin.gibbs(U, T, D, curl=...) of the energy that is meant"
        )
    stirring = Stirring.of(problem, rho0.grid)
    return lambda state, tau: method.moved(state, stirring(state.density, tau))
