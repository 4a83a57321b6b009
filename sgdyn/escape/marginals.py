"""Effective potentials of what was solved on a grid or simulated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.density.distribution import Density
from sgdyn.density.generator import Generator
from sgdyn.escape.effective_potentials import (
    EffectivePotential,
    coordinate,
    from_lowest,
    gibbs_temperature,
    variable,
    wanted,
)
from sgdyn.printing import Printed
from sgdyn.problem import Langevin, Momentum
from sgdyn.sde.ensemble import Ensemble

Floats = NDArray[np.float64]

RESAMPLES = 200
"""Bootstrap resamples; their spread is known to a twentieth."""
FEWEST_BLOCKS = 8


def temperature(problem: Langevin | Momentum) -> float:
    """T times the D of isotropic noise, or T: the unit of -T log rho where the density is not exp(-U/T)."""
    try:
        return gibbs_temperature(problem)
    except ValueError:
        return problem.T


@dataclass(frozen=True, repr=False)
class DensityMarginal(Printed):
    """F = -T log of the marginal of a density on a grid, or of a generator's stationary density, which has an error: the change on half as many cells.

    The values of u are the midpoints of the cells; at others the logarithm is interpolated, cubic.
    """

    source: Density | Generator

    def __post_init__(self) -> None:
        if not isinstance(self.source, Density | Generator):
            raise TypeError(
                f"got a source of type {type(self.source).__name__}, expected a Density or a Generator; type sg.DensityMarginal(sg.fokker_planck(problem, grid))"
            )

    def effective(self, problem: Langevin | Momentum, along: Any, at: Floats | None) -> EffectivePotential:
        T, source = temperature(problem), self.source
        axis = coordinate(along, source.grid.dim)
        if isinstance(source, Density):
            u, values, error = _logs(source, axis, at, T)
            notes = (
                ()
                if source.error is not None
                else ("the error of the grid is not known: type DensityMarginal(generator)",)
            )
            return from_lowest(u, values, error, T, "marginal of a density", (*source.warnings, *notes))
        density = source.stationary()
        u, values, _ = _logs(density, axis, at, T)
        _, coarse, _ = _logs(source.coarse.stationary(), axis, u, T, beyond=True)
        gap = values - coarse
        low = int(np.argmin(values))
        uncertain = tuple(dict.fromkeys((*density.warnings, *source.notes)))
        return from_lowest(u, values, np.abs(gap - gap[low]), T, "marginal on a grid", uncertain)


def _logs(
    density: Density, axis: int, at: Floats | None, T: float, beyond: bool = False
) -> tuple[Floats, Floats, Floats]:
    """u, -T log of the marginal there, and its error from counting."""
    from scipy.interpolate import CubicSpline

    marginal = density.marginal(axis)
    u, values = marginal.grid.midpoints[0], marginal.values
    filled = values > 0
    if not np.all(filled) and at is None:
        raise ValueError(
            f"got {int(np.sum(~filled))} empty cells, expected none; type at=... where the density is known, or a smaller box"
        )
    if at is not None and not beyond and (at[0] < u[filled][0] or at[-1] > u[filled][-1]):
        raise ValueError(
            f"got at from {at[0]:g} to {at[-1]:g}, expected numbers between {u[filled][0]:g} and {u[filled][-1]:g}"
        )
    logs = -T * np.log(values[filled])
    error = np.zeros(len(logs)) if marginal.error is None else T * marginal.error[filled] / values[filled]
    if at is None:
        return u, logs, error
    return at, CubicSpline(u[filled], logs)(at), np.interp(at, u[filled], error)


@dataclass(frozen=True)
class EnsembleHistogram:
    """F = -T log of a histogram of the coordinate over the saved points of an ensemble after the time `after`, in bins around the values `at`.

    Errors by bootstrap: of whole paths, which are independent, or, of fewer than 8 paths, of `blocks` stretches of time of each, which
    must be longer than the correlation time. A bin averages the density over its width. Source: Künsch, Ann. Stat. 17, 1217 (1989).
    """

    ensemble: Ensemble
    after: float = 0.0
    blocks: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.ensemble, Ensemble):
            raise TypeError(
                f"got an ensemble of type {type(self.ensemble).__name__}, expected the result of sg.simulate(...)"
            )
        checks.count("blocks", self.blocks, least=2)

    def effective(self, problem: Langevin | Momentum, along: Any, at: Floats | None) -> EffectivePotential:
        u, T, x = wanted(at), temperature(problem), self.ensemble.x[:, self.ensemble.t >= self.after]
        if not x.shape[1]:
            raise ValueError(
                f"got after={self.after:g}, expected a time before the last one saved, {self.ensemble.t[-1]:g}"
            )
        series = np.asarray(variable(along, x.shape[-1])(x))
        counts = block_counts(series, edges_around(u), self.blocks)
        return histogram_potential(u, counts, T, f"histogram of {len(x)} paths", self.seed)


def edges_around(u: Floats) -> Floats:
    """The edges (n + 1,) of bins with these centres, halfway between them."""
    middle = 0.5 * (u[1:] + u[:-1])
    return np.concatenate([[2 * u[0] - middle[0]], middle, [2 * u[-1] - middle[-1]]])


def block_counts(series: Floats, edges: Floats, blocks: int) -> Floats:
    """Counts (blocks, bins) of series (path, time): one block for each path, or stretches of time of few paths."""
    paths, times = series.shape
    if paths >= FEWEST_BLOCKS:
        parts = list(series)
    else:
        if times < 2 * blocks:
            raise ValueError(
                f"got {paths} paths of {times} saved times, expected at least {2 * blocks}; type a larger `save`, or more paths"
            )
        parts = [part for path in series for part in np.array_split(path, blocks)]
    return np.array([np.histogram(part, edges)[0] for part in parts], dtype=np.float64)


def histogram_potential(u: Floats, counts: Floats, T: float, method: str, seed: int) -> EffectivePotential:
    """-T log of the summed counts per width, with errors relative to the lowest bin by resampling the blocks."""
    width = np.diff(edges_around(u))
    total = counts.sum(axis=0)
    if np.any(total == 0):
        raise ValueError(
            f"got {int(np.sum(total == 0))} of {len(u)} bins in which no path was seen, expected none; type a narrower `at`, fewer bins, or more paths"
        )
    values = -T * np.log(total / width)
    low, rng = int(np.argmin(values)), np.random.default_rng(seed)
    drawn = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=RESAMPLES) @ counts
    missing = np.mean(np.any(drawn == 0, axis=0))
    curves = -T * np.log(np.maximum(drawn, 0.5) / width)
    error = np.std(curves - curves[:, low : low + 1], axis=0, ddof=1)
    rare = int(np.sum((counts > 0).sum(axis=0) < FEWEST_BLOCKS))
    notes = (
        (f"{rare} bins were seen in fewer than {FEWEST_BLOCKS} blocks: their errors are too small",)
        if rare or missing
        else ()
    )
    return from_lowest(u, values, error, T, method, notes)
