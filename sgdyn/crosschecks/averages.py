"""Stationary means and covariances by every theory that applies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.crosschecks.question import DoesNotApply, Quantity, Question
from sgdyn.density.distribution import Density
from sgdyn.density.refinement import refined
from sgdyn.estimate import Estimate

Floats = NDArray[np.float64]

SEEN, AVERAGED = 5.0, 20.0
"""Relaxation times that a simulation waits before it averages, and over which it averages."""


def collocated_mean(asked: Question) -> Estimate:
    return asked.chebyshev.mean(asked.numbers or (lambda x: x))


def collocated_covariance(asked: Question) -> Estimate:
    mean, square = asked.chebyshev.mean(lambda x: x), asked.chebyshev.mean(lambda x: x[..., None] ** 2)
    error = square.error + 2 * abs(float(mean.value[0])) * mean.error
    return Estimate(square.value - mean.value[:, None] ** 2, error, mean.method)


def linear_mean(asked: Question) -> Estimate:
    if asked.f is not None:
        raise DoesNotApply("it is for the mean of x itself")
    return _closed(asked, asked.linear.center)


def linear_covariance(asked: Question) -> Estimate:
    return _closed(asked, asked.linear.covariance)


def _closed(asked: Question, value: Floats) -> Estimate:
    state = asked.linear
    error = (1e-13 + state.error) * (np.abs(value) + np.sqrt(np.trace(state.covariance)))
    return Estimate(value, error, "closed form")


def mean_on_grid(asked: Question) -> Estimate:
    return _refined(asked, lambda rho: rho.mean(asked.numbers))


def covariance_on_grid(asked: Question) -> Estimate:
    return _refined(asked, lambda rho: rho.cov())


def _refined(asked: Question, quantity: Callable[[Density], Floats]) -> Estimate:
    generator = asked.generator
    if asked.leaks:
        raise DoesNotApply("nothing is stationary between absorbing walls")
    rho = generator.stationary()
    size = float(np.abs(rho.mean()).max() + np.sqrt(np.trace(rho.cov())))
    found = refined(generator, lambda g: quantity(rho if g is generator else g.stationary()), scale=size)
    return replace(found, warnings=tuple(dict.fromkeys((*found.warnings, *rho.warnings))))


def simulated_mean(asked: Question) -> Estimate:
    from sgdyn.sde.observables import Average

    return _simulated(asked, Average(asked.f))


def simulated_covariance(asked: Question) -> Estimate:
    from sgdyn.sde.observables import Covariance

    return _simulated(asked, Covariance())


def _simulated(asked: Question, what: Any) -> Estimate:
    """An average over paths and the time, extrapolated from two time steps."""
    from sgdyn.sde.observation import observe

    dt, walls = asked.time_step, asked.walls
    t = asked.t if asked.t is not None else (SEEN + AVERAGED) / float(asked.rate)
    start = asked.x0 if asked.x0 is not None else _typical(asked)
    coarse, fine = (
        observe(
            asked.problem, start, {"it": what}, t=t, after=t * SEEN / (SEEN + AVERAGED), dt=dt / part, n_paths=asked.n_paths, boundary=walls,
            seed=asked.seed, stream=part, executor=asked.executor, show_progress=False,
        )["it"]
        for part in (1, 2)
    )  # fmt: skip
    method = f"{asked.n_paths} paths, dt={dt:g} and {dt / 2:g}, extrapolated"
    return Estimate(2 * fine.value - coarse.value, np.hypot(2 * fine.error, coarse.error), method)


def _typical(asked: Question) -> Floats:
    """Where the stationary density on the grid is largest."""
    density = asked.generator.stationary()
    return np.asarray(density.grid.centers.reshape(-1, density.grid.dim)[np.argmax(density.values)])


MEAN = Quantity(
    {
        "Chebyshev": collocated_mean,
        "linear": linear_mean,
        "Fokker-Planck": mean_on_grid,
        "simulation": simulated_mean,
    },
    'sg.crosscheck(problem, "mean", f=lambda x: x[0] ** 2, grid=sg.Grid([(-2, 2, 200)]))',
)
COVARIANCE = Quantity(
    {
        "Chebyshev": collocated_covariance,
        "linear": linear_covariance,
        "Fokker-Planck": covariance_on_grid,
        "simulation": simulated_covariance,
    },
    'sg.crosscheck(problem, "covariance", grid=sg.Grid([(-2, 2, 200)]))',
)
