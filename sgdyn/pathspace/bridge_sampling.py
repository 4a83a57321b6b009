"""Bridges: paths of a process given both ends, sampled in path space."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.estimate import Estimate
from sgdyn.pathspace.coefficients import coefficients
from sgdyn.pathspace.ensembles import Actions, GaussianPaths, best_rule
from sgdyn.pathspace.functional import Action
from sgdyn.pathspace.paths import Path, ends, straight
from sgdyn.printing import Printed
from sgdyn.problem import Langevin, Momentum
from sgdyn.progress import progress

Floats = NDArray[np.float64]

WARM = 0.2
"""The share of the iterations after which recording begins."""


@dataclass(frozen=True, eq=False)
class Target:
    """What samplers need: log densities of bridges relative to Gaussian paths with the same ends, Brownian ones."""

    actions: Actions
    reference: GaussianPaths

    @property
    def problem(self) -> Langevin:
        return self.actions.functional.problem  # type: ignore[return-value]

    def log_weight(self, u: Floats) -> Floats:
        """log of the density of deviations u (count, n - 1, dim) over the reference's, up to a constant."""
        return self.actions.log_density(self.reference.paths(u)) + self.reference.half_square(u)

    def force(self, u: Floats) -> Floats:
        """Its derivatives (count, n - 1, dim)."""
        return -self.actions.slope(self.reference.paths(u)) + self.reference.product(u)


class Chain(Protocol):
    """Chains side by side."""

    t: Floats

    def next(self) -> tuple[Floats, NDArray[np.bool_]]:
        """The paths (chains, n + 1, dim) after one move, and which chains moved."""
        ...


class Sampler(Protocol):
    """How bridges are sampled: a frozen value that starts chains."""

    def chain(self, problem: Langevin, start: Path, count: int, rng: np.random.Generator) -> Chain: ...


@dataclass(frozen=True, eq=False, repr=False)
class Bridges(Printed):
    """Sampled bridges: paths (chain, record, n + 1, dim) at the times t (n + 1,), and the share of moves that were accepted.

    interrupted: the iteration at which Ctrl-C ended the chains, None where they are complete.
    """

    t: Floats
    paths: Floats
    acceptance: float
    method: Any
    problem: Langevin | Momentum = field(repr=False)
    interrupted: int | None = None

    @property
    def complete(self) -> bool:
        """False if Ctrl-C ended the sampling early."""
        return self.interrupted is None

    def mean(self, f: Any = None) -> Estimate:
        """The mean of f(x) of paths x (..., n + 1, dim), of the points themselves by default, with the error from autocorrelations."""
        values = self.paths if f is None else np.asarray(f(self.paths), dtype=float)
        if values.shape[:2] != self.paths.shape[:2]:
            raise ValueError(
                f"got f(x) of shape {values.shape} for x of shape {self.paths.shape}, expected a value for each path along the first two axes"
            )
        worth = effective_sample_size(values)
        spread = values.std(axis=(0, 1))
        mean = values.mean(axis=(0, 1))
        error = spread / np.sqrt(np.maximum(worth, 1.0))
        name = f"{self.method}, {np.min(worth):.0f} effective of {values.shape[0] * values.shape[1]} paths"
        doubts: tuple[str, ...] = ("fewer than 50 effective paths: the error is a guess",) if np.min(worth) < 50 else ()
        if self.interrupted is not None:
            doubts += (
                f"interrupted by Ctrl-C at iteration {self.interrupted}: fewer moves than asked for, more of them from the start",
            )
        if mean.ndim:
            return Estimate(mean, error, name, warnings=doubts)
        return Estimate(float(mean), float(error), name, warnings=doubts)

    @cached_property
    def effective_sample_size(self) -> float:
        """That of the slowest among the means of the components, and of the middle points."""
        middle = self.paths[:, :, len(self.t) // 2]
        return float(min(effective_sample_size(self.paths.mean(2)).min(), effective_sample_size(middle).min()))

    def plot(self, ax: Any = None) -> Any:
        """Some of the paths (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def effective_sample_size(values: Floats) -> Floats:
    """Independent samples that chains (chain, record, ...) are worth, by Geyer's initial positive sequence over all chains.

    Source: Geyer, Stat. Sci. 7, 473 (1992); between chains as Gelman et al., Bayesian Data Analysis (2013), section 11.5.
    """
    chains, records = values.shape[:2]
    flat = values.reshape(chains, records, -1)
    centred = flat - flat.mean(axis=(0, 1))
    spectrum = np.fft.rfft(centred, 2 * records, axis=1)
    lagged = np.fft.irfft((spectrum * spectrum.conj()).mean(0), axis=0)[:records] / records
    rho = lagged / np.where(lagged[0] > 0, lagged[0], 1.0)
    pairs = rho[: 2 * (records // 2)].reshape(-1, 2, rho.shape[1]).sum(1)
    falling = np.minimum.accumulate(np.where(np.cumsum(pairs <= 0, axis=0) > 0, 0.0, pairs), axis=0)
    time = np.maximum(2 * falling.sum(0) - 1, 1 / np.log10(chains * records + 10))
    return np.asarray((chains * records / time).reshape(values.shape[2:]))


def bridges(
    problem: Langevin, a: ArrayLike, b: ArrayLike, *, t: float, n: int = 100, method: Sampler | None = None, chains: int = 64, iterations: int = 500,
    seed: int = 0, shown: bool | None = None,
) -> Bridges:  # fmt: skip
    """Paths of the process from a to b (dim,) in the time t, n steps each, sampled by Markov chains in path space.

    method: `PathHMC()`, the default, for constant D of full rank; `PreconditionedCrankNicolson(step)`, the same without the gradient of the
    action; `GuidedProposals()`, for D(x) too. Their acceptance does not fall with n. Recorded are the last 4/5 of the iterations. The
    density of the discretised paths is that of `StaticKernel` for gradient systems (error dt²), else `MidpointJacobian`.

    Ctrl-C returns what is done, with `.interrupted`. Raises ValueError for D that the method does not take and ends of another shape.
    """
    from sgdyn.pathspace.samplers import PathHMC

    sampler = PathHMC() if method is None else method
    if not hasattr(sampler, "chain") or isinstance(sampler, type):
        raise TypeError(f"got method={method!r}, expected a sampler; type method=sg.PathHMC() or sg.GuidedProposals()")
    if not isinstance(problem, Langevin):
        raise TypeError(
            f"got a {type(problem).__name__}, expected an overdamped process; type sg.Langevin(U, T=..., D=...)"
        )
    first, last = ends(a, b, problem.dim)
    start = straight(first, last, t=t, n=checks.count("n", n, least=2))
    rng = np.random.default_rng(seed)
    count, most = checks.count("chains", chains), checks.count("iterations", iterations, least=10)
    kept, accepted, interrupted = [], [], None
    chain = sampler.chain(problem, start, count, rng)
    with progress("bridges", shown) as bar:
        try:
            for k in range(most):
                paths, moved = chain.next()
                if k >= WARM * most:
                    kept.append(paths)
                    accepted.append(moved)
                bar(k / most)
        except KeyboardInterrupt:
            if len(kept) < 10:
                raise
            interrupted = k
    return Bridges(chain.t, np.stack(kept, 1), float(np.mean(accepted)), sampler, problem, interrupted)


def target(problem: Langevin, start: Path) -> Target:
    """Bridges relative to Brownian ones. Raises ValueError for D that depends on x or has no full rank."""
    c = coefficients(problem, noiseless=False)
    if c.varying or c.degenerate:
        what = "depends on x" if c.varying else "has no full rank"
        raise ValueError(f"got a D that {what}, expected a constant one of full rank; type method=sg.GuidedProposals()")
    functional = Action(problem, best_rule(problem))
    return Target(Actions(functional, start.t), GaussianPaths(start, functional.springs(start)))
