"""Densities that change with the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.density.distribution import Density, point
from sgdyn.density.exponential import Exponential, Flows
from sgdyn.density.notes import thickened
from sgdyn.density.schedule import Temperature, at_time, moves
from sgdyn.errors import NotConvergedError
from sgdyn.printing import Printed
from sgdyn.progress import progress

if TYPE_CHECKING:
    from sgdyn.density.generator import Generator

Floats = NDArray[np.float64]
Report = Callable[[float], None]

FEWEST, MOST = 8, 4096
"""Steps of a schedule."""


@dataclass(frozen=True, eq=False, repr=False)
class Evolution(Sequence[Density], Printed):
    """Densities at `times` (k,), from the `start` at time 0. `errors` (k,) bounds what solving added, in L1 (see `evolve`)."""

    generator: Generator
    start: Density
    times: Floats
    states: tuple[Density, ...]
    temperature: Temperature | None
    tolerance: float

    def __len__(self) -> int:
        return len(self.states)

    @overload
    def __getitem__(self, k: int) -> Density: ...
    @overload
    def __getitem__(self, k: slice) -> Sequence[Density]: ...
    def __getitem__(self, k: Any) -> Any:
        return self.states[k]

    @property
    def errors(self) -> Floats:
        return np.array([state.solver_error for state in self.states])

    @property
    def mass(self) -> Floats:
        """The probability that is still in the box (k,): the survival probability where walls absorb."""
        return np.array([state.masses.sum() for state in self.states])

    def at(self, t: float) -> Density:
        """The density at any time >= 0, carried on from the last one that is known."""
        time = checks.positive("t", t, zero=True)
        before = int(np.searchsorted(self.times, time, side="right")) - 1
        known, since = (self.states[before], float(self.times[before])) if before >= 0 else (self.start, 0.0)
        course = _Course(self.generator, self.temperature, self.tolerance, since)
        return course.densities(known, np.array([time]))[0]

    @cached_property
    def free_energy(self) -> Floats:
        """T KL(rho|rho_ss) at all times (k,), which falls along every Fokker-Planck flow.

        Raises ValueError for schedules, and where there is no stationary density.
        """
        if moves(self.generator.problem, self.temperature):
            raise ValueError(
                "got an evolution with a schedule, expected rates that do not change: no stationary density stands for all times; "
                "type rho.free_energy(problem) with the process of one time"
            )
        final = self.generator.stationary()
        return self.generator.problem.T * np.array([state.kl(final) for state in self.states])

    def plot(self, ax: Any = None) -> Any:
        """Curves at several times in one dimension; start and end as contours in two (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def evolve(
    generator: Generator, rho: Any, t: ArrayLike, temperature: Temperature | None = None, tolerance: float = 1e-4
) -> Density | Evolution:
    """The density at a time t >= 0 (a `Density`), or at increasing times (an `Evolution`).

        d rho/dt = div( rho (grad U - c) + T div(D rho) ),   rho(0) a `Density`, or a point (dim,) shared among its nearest cells

    Nothing is negative and mass is kept to rounding, or lost over absorbing walls alone (`Density.outside`). The exponential of the rates is
    taken whole, so there are no time steps: `solver_error` is what its approximation and setting negative masses (below 1e-11) to zero moved,
    in L1, beside the error of the grid. temperature: T at the time t, in place of the problem's; with it, or with a parameter called `t` in
    U, drift or D, the rates of midpoints serve a step each (second order), and steps are halved until their L1 error is below `tolerance`.

    Raises ValueError for densities on another grid, points beyond the box and times that do not increase, `NotConvergedError` where 4096
    steps of a schedule do not reach the tolerance. Sources: see `Exponential`.
    """
    start = _start(generator, rho)
    given = checks.finite("t", t)
    times = np.atleast_1d(given)
    if given.ndim > 1 or not len(times) or times.min() < 0 or np.any(np.diff(times) <= 0):
        raise ValueError(f"got t={t!r}, expected a time >= 0 or increasing ones; type np.linspace(0, 1, 11)")
    states = _Course(generator, temperature, checks.positive("tolerance", tolerance), 0.0).densities(start, times)
    return states[0] if given.ndim == 0 else Evolution(generator, start, times, states, temperature, tolerance)


def _start(generator: Generator, rho: Any) -> Density:
    if not isinstance(rho, Density):
        return point(generator.grid, rho)
    if rho.grid.axes != generator.grid.axes:
        raise ValueError(
            f"got a density on a grid of shape {rho.grid.shape}, expected the generator's own, of shape {generator.grid.shape}; type the same Grid for both"
        )
    values = checks.finite("rho.values", rho.values)
    if values.min() < 0 or not values.max() > 0:
        raise ValueError(
            f"got densities from {values.min():g} to {values.max():g}, expected none below 0 and some above"
        )
    return Density(generator.grid, values, outside=rho.outside, solver_error=rho.solver_error)


@dataclass(frozen=True)
class _Course:
    """How masses are carried from the time `since` on."""

    generator: Generator
    temperature: Temperature | None
    tolerance: float
    since: float

    def densities(self, start: Density, times: Floats) -> tuple[Density, ...]:
        masses = start.masses.ravel()
        with progress("evolving") as report:
            if moves(self.generator.problem, self.temperature):
                states, errors = self._scheduled(masses, times, report)
            else:
                states, errors = _exponential(self.generator)(masses, times - self.since, report)
        return tuple(self._density(start, m, e) for m, e in zip(states, errors, strict=True))

    def _density(self, start: Density, masses: Floats, error: float) -> Density:
        grid = self.generator.grid
        lost = float(start.masses.sum() - masses.sum()) if _leaks(self.generator) else 0.0
        values = (masses / self.generator.volumes).reshape(grid.shape)
        error += start.solver_error
        doubts = thickened(self.generator)
        return Density(grid, values, outside=start.outside + lost, solver_error=error, warnings=doubts)

    def _scheduled(self, masses: Floats, times: Floats, report: Report) -> Flows:
        """Twice as many steps until the densities change by less than three times the tolerance: the error of order two."""
        steps = FEWEST
        before, _ = self._midpoints(masses, times, steps, report)
        while steps < MOST:
            steps *= 2
            states, errors = self._midpoints(masses, times, steps, report)
            change = [float(np.abs(a - b).sum()) / 3 for a, b in zip(states, before, strict=True)]
            if max(change) <= self.tolerance:
                return states, [c + e for c, e in zip(change, errors, strict=True)]
            before = states
        raise NotConvergedError(
            f"got an L1 error of {max(change):.2g} with {MOST} steps, expected at most {self.tolerance:g}; type a larger tolerance, or a shorter t"
        )

    def _midpoints(self, masses: Floats, times: Floats, steps: int, report: Report) -> Flows:
        """About so many steps in all, at least one for each of the times."""
        from sgdyn.density.generator import fokker_planck

        states, errors, error, now = [], [], 0.0, self.since
        whole = max(float(times[-1]) - self.since, 1e-300)
        for time in times:
            count = int(np.ceil(steps * (time - now) / whole * (1 - 1e-12)))
            for k in range(count):
                middle = now + (k + 0.5) * (time - now) / count
                problem = at_time(self.generator.problem, middle, self.temperature)
                flow = _exponential(fokker_planck(problem, self.generator.grid))
                (masses,), (added,) = flow(masses, np.array([(time - now) / count]))
                error += added
                report((middle - self.since) / whole)
            now = float(time)
            states.append(masses)
            errors.append(error)
        return states, errors


def _exponential(generator: Generator) -> Exponential:
    return Exponential(generator.rates, _leaks(generator))


def _leaks(generator: Generator) -> bool:
    return bool(np.any(generator.leaks > 0))
