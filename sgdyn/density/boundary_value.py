"""Where a process goes first, and when: passage times, committors, splitting probabilities, and what stays behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import linalg

from sgdyn import checks
from sgdyn.density.cuts import Cut, cut
from sgdyn.density.distribution import Density
from sgdyn.density.generator import Generator
from sgdyn.density.notes import noted
from sgdyn.density.refinement import refined
from sgdyn.density.solution import Solution, start
from sgdyn.density.steps import NOWHERE
from sgdyn.estimate import Estimate
from sgdyn.printing import Printed

Floats = NDArray[np.float64]


def mean_first_passage(
    generator: Generator, region: Any, x0: ArrayLike | None = None, moments: int = 1
) -> Solution | Estimate:
    """See `Generator.mean_first_passage`."""
    count = checks.count("moments", moments)
    solution = _passage(generator, region, count)
    if x0 is None:
        return solution
    found = solution.at(start(x0, solution.cut))
    if not np.all(np.isfinite(found.value)):
        raise ValueError(
            f"got x0={np.asarray(x0).tolist()}, from where paths may stay forever without reaching the region: the mean time is infinite; "
            "type generator.committor(...) for the chances, or a finer Grid if the cells are cut off by a steep barrier"
        )
    return found


def _ended(generator: Generator, region: Any) -> Cut:
    """The process ended at a region, or at absorbing walls alone."""
    if region is not None:
        return cut(generator, [region])
    if not absorbs(generator):
        raise ValueError(
            "got no region and no absorbing wall, expected somewhere to arrive; type a region such as lambda x: x[0] > 0.9, "
            'or Grid(..., boundary="absorbing")'
        )
    return cut(generator, [])


def _passage(generator: Generator, region: Any, count: int) -> Solution:
    ended = _ended(generator, region)
    u, n = np.ones(len(ended.free)), np.arange(1, count + 1)
    columns = []
    for k in n:
        u = ended.solve(k * ended.room * np.where(ended.ending, u, 0.0))
        columns.append(np.where(ended.certain, u, np.inf))
    values = np.stack(columns, axis=-1) if count > 1 else columns[0]
    ends = np.zeros((len(ended.regions), count)) if count > 1 else np.zeros(len(ended.regions))
    name = "mean first-passage time" if count == 1 else "moments of the first-passage time"
    return _solution(name, ended, values, ends, (0.0, np.inf), partial(_passage, region=region, count=count))


def committor(generator: Generator, a: Any, b: Any, backward: bool = False) -> Solution:
    """See `Generator.committor`."""
    ended = cut(generator, [a, b], stationary_log_masses(generator) if backward else None)
    goal = 0 if backward else 1
    name = "probability to come from a last" if backward else "probability to reach b before a"
    q, ends = ended.solve(ended.arrivals[:, goal]), np.eye(2)[goal]
    return _solution(name, ended, q, ends, (0.0, 1.0), partial(committor, a=a, b=b, backward=backward))


def splitting(generator: Generator, regions: Sequence[Any]) -> Solution:
    """See `Generator.splitting`."""
    if len(regions) < 2:
        raise ValueError(f"got {len(regions)} region, expected at least two; type generator.splitting([left, right])")
    ended = cut(generator, regions)
    q = ended.solve(ended.arrivals)
    name = "probability to end in each region"
    return _solution(name, ended, q, np.eye(len(regions)), (0.0, 1.0), partial(splitting, regions=regions))


def _solution(
    name: str, ended: Cut, u: Floats, ends: Floats, bounds: tuple[float, float], again: Callable[[Generator], Solution]
) -> Solution:
    values = ended.spread(u, ends)
    return Solution(name, values.reshape(*ended.grid.shape, *u.shape[1:]), bounds, ended, ends, again)


def stationary_log_masses(generator: Generator) -> Floats:
    """log of the stationary masses (cells,), up to a constant. Raises ValueError for absorbing walls."""
    if absorbs(generator):
        raise ValueError(
            "got absorbing walls, which leave nothing stationary, expected reflecting or periodic ones; "
            "type committor(a, b) or quasi_stationary() for what paths do before they leave"
        )
    if generator.log_masses is not None:
        return generator.log_masses
    masses = generator.stationary().masses.ravel()
    return np.asarray(np.log(np.maximum(masses, masses[masses > 0].min())))


def absorbs(generator: Generator) -> bool:
    return any(side == "absorbing" for pair in generator.grid.boundary for side in pair)


@dataclass(frozen=True, eq=False, repr=False)
class QuasiStationary(Printed):
    """The density of paths that have not reached a region for long, and the rate at which they do."""

    density: Density
    rate: Estimate

    def plot(self, ax: Any = None) -> Any:
        """The density (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def quasi_stationary(generator: Generator, region: Any) -> QuasiStationary:
    """See `Generator.quasi_stationary`."""
    ended = _ended(generator, region)
    if not np.all(ended.ending):
        k = ended.free[np.argmin(ended.ending)]
        x = generator.grid.centers.reshape(-1, generator.grid.dim)[k]
        raise ValueError(f"got a region that is never reached from {x}, expected one that ends all paths")
    density, _ = _leading(ended)
    values = ended.spread(density, np.zeros(len(ended.regions)))
    rate = refined(generator, lambda g: _leading(ended if g is generator else _ended(g, region))[1], irregular=True)
    rate = noted(rate, generator, ended.owner != NOWHERE)
    return QuasiStationary(Density(generator.grid, values.reshape(generator.grid.shape)), rate)


def _leading(ended: Cut) -> tuple[Floats, float]:
    """The density (free,) of mass 1 that decays at one rate, the slowest: Perron's vector of the inverse."""
    n, volume = len(ended.free), ended.room
    masses = np.full(n, 1.0 / n)

    def later(masses: Floats) -> Floats:
        return volume * ended.solver.solve_transposed(masses)

    if n > 2:
        inverse = linalg.LinearOperator((n, n), matvec=later, dtype=np.float64)
        vector = linalg.eigs(inverse, k=1, which="LM", v0=masses)[1][:, 0]
        masses = np.abs(np.real(vector / vector[np.argmax(np.abs(vector))]))
    # positive sums lose no digits: two more steps make small masses right, too
    for _ in range(2):
        masses = masses / masses.sum()
        masses, rate = later(masses), 1.0 / later(masses).sum()
    density = masses / (volume * ended.generator.volumes[ended.free])
    return density / (density @ ended.generator.volumes[ended.free]), float(rate)
