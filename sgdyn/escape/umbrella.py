"""Umbrella sampling: simulations held at each value of a coordinate in turn, put together."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.codegen.formula import Formula, combined
from sgdyn.escape.effective_potentials import (
    EffectivePotential,
    from_lowest,
    gibbs_temperature,
    path_points,
    variable,
    wanted,
)
from sgdyn.escape.marginals import edges_around
from sgdyn.fields import Field
from sgdyn.potentials import Potential, _from_formula
from sgdyn.problem import Langevin, Momentum
from sgdyn.progress import progress
from sgdyn.sde.methods.mala import MALA
from sgdyn.sde.simulation import simulate

Floats = NDArray[np.float64]

SOLVERS = ("mean force", "mbar")
RESAMPLES, MBAR_RESAMPLES = 100, 12
STEP = 0.2
"""Steps in units of the shortest relaxation time of a window."""
FEWEST_PATHS = 8
FINE = 20
"""Points of the integral of the mean force between two windows."""


@dataclass(frozen=True)
class UmbrellaSampling:
    """Simulations with U + stiffness (u(x) - c)²/2 for every c of `at`, by `paths` paths of `MALA`, which has no error of the step.

    solver: "mean force" integrates dF/du = T (u - m_i)/s_i² - stiffness (u - c_i), m_i and s_i² the mean and variance in the windows, each
    weighted by its density (umbrella integration: Kästner and Thiel, J. Chem. Phys. 123, 144104 (2005)): windows must be narrow enough that
    u is Gaussian in each. "mbar" (Shirts and Chodera, J. Chem. Phys. 129, 124105 (2008)) weighs all samples, needs windows that overlap and the
    package pymbar, and gives averages over the bins around `at`. Errors by bootstrap of the paths, which are independent.

    stiffness: default 4 T/(gap between windows)², with which neighbours overlap. saved: how many times of each path are kept, half a longest relaxation
    time of the window apart. start (dim,): where the first window is looked for.
    """

    stiffness: float | None = None
    paths: int = 16
    saved: int = 100
    solver: str = "mean force"
    start: Any = None
    seed: int = 0
    show_progress: bool | None = None

    def __post_init__(self) -> None:
        checks.count("paths", self.paths, least=FEWEST_PATHS)
        checks.count("saved", self.saved, least=2)
        if self.solver not in SOLVERS:
            raise ValueError(f"got solver={self.solver!r}, expected one of {SOLVERS}")
        if self.stiffness is not None:
            checks.positive("stiffness", self.stiffness)

    def effective(self, problem: Langevin | Momentum, along: Any, at: Floats | None) -> EffectivePotential:
        T, U, u = gibbs_temperature(problem), problem.U, wanted(at)
        assert U is not None
        if self.solver == "mbar":
            _pymbar()
        coordinate = variable(along, U.dim)
        stiffness = 4 * T / float(np.mean(np.diff(u))) ** 2 if self.stiffness is None else self.stiffness
        series = self._windows(U, T, coordinate, u, stiffness, self._start(along, U.dim))
        solve = _mean_force if self.solver == "mean force" else _mbar
        rng, resamples = np.random.default_rng(self.seed), RESAMPLES if self.solver == "mean force" else MBAR_RESAMPLES
        values = solve(series, u, stiffness, T)
        drawn = [solve(series[:, rng.integers(self.paths, size=self.paths)], u, stiffness, T) for _ in range(resamples)]
        curves = np.array(drawn)
        low = int(np.argmin(values))
        error = np.std(curves - curves[:, low : low + 1], axis=0, ddof=1)
        method = f"umbrella sampling, {len(u)} windows of {self.paths} paths, {self.solver}"
        return from_lowest(u, values, error, T, method, _overlap(series))

    def _start(self, along: Any, dim: int) -> Floats:
        if self.start is None and np.ndim(along):
            return np.asarray(path_points(along, dim)[0])
        return np.zeros(dim) if self.start is None else checks.vector("start", self.start, dim)

    def _windows(self, U: Potential, T: float, coordinate: Field, u: Floats, stiffness: float, x: Floats) -> Floats:
        """The coordinate (window, path, time) in every window."""
        found: list[Any] = [None] * len(u)
        begin = int(np.argmin(np.abs(u - float(coordinate(x)))))
        centre = x
        with progress("umbrella sampling", self.show_progress) as tell:
            for done, i in enumerate([*range(begin, len(u)), *range(begin - 1, -1, -1)]):
                if i == begin - 1:
                    x = centre
                biased = held(U, coordinate, u[i], stiffness)
                bend = partial(curvature, U, coordinate, stiffness)
                x = _bottom(biased, bend, x)
                centre = x if i == begin else centre
                found[i] = coordinate(self._simulated(biased, T, x, bend(x), i))
                tell((done + 1) / len(u))
        return np.array(found)

    def _simulated(self, biased: Potential, T: float, x: Floats, bend: Floats, window: int) -> Floats:
        """Points (path, time, dim) of the stationary state around x."""
        rates = np.linalg.eigvalsh(bend)
        slow, fast = max(float(rates[0]), float(rates[-1]) / 1e4), float(rates[-1])
        gap, begin = 0.5 / slow, 5 / slow
        times = begin + gap * np.arange(1, self.saved + 1)
        ensemble = simulate(
            Langevin(biased, T), x, t=float(times[-1]), dt=STEP / fast, n_paths=self.paths, save=times, method=MALA(), seed=self.seed,
            stream=window, show_progress=False,
        )  # fmt: skip
        if not ensemble.complete:
            raise KeyboardInterrupt
        return ensemble.x


def held(U: Potential, coordinate: Field, centre: float, stiffness: float) -> Potential:
    """U + stiffness (u(x) - centre)²/2."""
    if isinstance(U.value, Formula) and isinstance(coordinate, Formula):
        rule = lambda f, u, k, c: f + k * (u - c) ** 2 / 2  # noqa: E731
        return _from_formula(combined("held", [U.value, coordinate], (), rule, [stiffness, centre]), {}, "U held")
    slope = coordinate.gradient()
    return Potential.from_functions(
        lambda x: U(x) + stiffness * (coordinate(x) - centre) ** 2 / 2,
        lambda x: U.grad(x) + stiffness * (coordinate(x) - centre)[..., None] * slope(x),
        dim=U.dim,
        check=False,
    )


def curvature(U: Potential, coordinate: Field, stiffness: float, x: Floats) -> Floats:
    """The Hessian of U held at x, where the coordinate bends little: stiffness times the square of its gradient added."""
    slope = coordinate.gradient()(x)
    return np.asarray(U.hess(x) + stiffness * np.outer(slope, slope))


def _bottom(held: Potential, bend: Callable[[Floats], Floats], x: Floats) -> Floats:
    from scipy.optimize import minimize

    found = minimize(lambda y: float(held(y)), x, jac=lambda y: held.grad(y), hess=bend, method="trust-exact")
    return np.asarray(found.x)


def _mean_force(series: Floats, u: Floats, stiffness: float, T: float) -> Floats:
    """The integral of the mean force, at u."""
    mean, variance = series.mean(axis=(1, 2)), series.var(axis=(1, 2))
    fine = np.unique(np.concatenate([np.linspace(a, b, FINE, endpoint=False) for a, b in pairwise(u)] + [u]))
    gap = fine[:, None] - mean
    log = -0.5 * gap**2 / variance - 0.5 * np.log(variance)
    weights = np.exp(log - log.max(axis=1, keepdims=True))
    force = np.sum(weights * (T * gap / variance - stiffness * (fine[:, None] - u)), axis=1) / weights.sum(axis=1)
    integral = np.concatenate([[0.0], np.cumsum(0.5 * (force[1:] + force[:-1]) * np.diff(fine))])
    return np.asarray(integral[np.searchsorted(fine, u)])


def _mbar(series: Floats, u: Floats, stiffness: float, T: float) -> Floats:
    """-T log of the density in the bins around u, from the weights of all samples."""
    windows = len(u)
    samples = series.reshape(windows, -1)
    energies = 0.5 * stiffness * (samples.ravel()[None] - u[:, None]) ** 2 / T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymbar hands SciPy options that it does not know
        found = _pymbar().MBAR(energies, np.full(windows, samples.shape[1]), solver_protocol=({"method": "adaptive"},))
    log = -np.logaddexp.reduce(found.f_k[:, None] - energies + np.log(samples.shape[1]), axis=0)
    edges = edges_around(u)
    masses = np.histogram(samples.ravel(), edges, weights=np.exp(log - log.max()))[0]
    if np.any(masses == 0):
        raise ValueError("got bins without samples, expected some in each; type a larger stiffness, or more paths")
    return np.asarray(-T * np.log(masses / np.diff(edges)))


def _overlap(series: Floats) -> tuple[str, ...]:
    """A note where neighbouring windows have little in common."""
    mean, spread = series.mean(axis=(1, 2)), series.std(axis=(1, 2))
    gap = np.abs(np.diff(mean)) / (spread[1:] + spread[:-1])
    if gap.max() < 2:
        return ()
    return (
        f"neighbouring windows are up to {gap.max():.1f} standard deviations of both apart: type more values in `at`, or a smaller stiffness",
    )


def _pymbar() -> Any:
    try:
        import pymbar
    except ImportError as error:
        raise ImportError(
            "solver='mbar' needs pymbar; type pip install 'sgdyn[umbrella]', or solver='mean force'"
        ) from error
    return pymbar
