"""What Laplace's method leaves out, by weighing Gaussian paths around the critical ones with their exact density.

    p(b, t | a) = sum_k A_k E_k[ rho(x) / sum_j A_j q_j(x) ],

q_k the Gaussian density around critical path k, A_k = exp(-S_k - W_k) det(...)^{-1/2} its contribution by Laplace's method on the same steps, rho the
density of discretised paths. The mean tends to 1 as T -> 0; its deviation from 1 is the next order in T.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import genpareto

from sgdyn.errors import NotConvergedError
from sgdyn.estimate import Estimate
from sgdyn.pathspace.coefficients import coefficients
from sgdyn.pathspace.criticality import Functional, critical_path
from sgdyn.pathspace.determinants import divergence
from sgdyn.pathspace.ensembles import Actions, GaussianPaths
from sgdyn.pathspace.functional import Action
from sgdyn.pathspace.inertia import InertialAction, of_ends, positions
from sgdyn.pathspace.paths import Path
from sgdyn.pathspace.rules import FreidlinWentzell, Midpoint, MidpointJacobian
from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]

HEAVY = 0.5
"""Weights whose tail has a larger index than this have no variance: no sample tells the error of their mean."""
STEPS = 200
"""Paths are weighed on about so many steps."""


class Component(Protocol):
    """Gaussian paths around one critical path, with the logarithm of Laplace's contribution on the same steps."""

    @property
    def mean(self) -> Path: ...
    @property
    def log_mass(self) -> float: ...
    def pairs(self, rng: np.random.Generator, count: int) -> Floats:
        """Antithetic paths (2 count, n + 1, dim)."""
        ...

    def log_density(self, x: Floats) -> Floats:
        """Of paths (count, n + 1, dim)."""
        ...


@dataclass(frozen=True, eq=False)
class FixedEnds:
    """Around a critical path with fixed ends."""

    gaussian: GaussianPaths
    log_mass: float

    @classmethod
    def of(cls, problem: Langevin | Momentum, path: Path) -> FixedEnds:
        functional = Action(problem, FreidlinWentzell())
        H, m = functional.hessian(path), (path.n - 1) * path.dim
        log_mass = leading_log_density(functional, path) + 0.5 * m * np.log(2 * np.pi) - 0.5 * H.log_determinant
        return cls(GaussianPaths(path, H), float(log_mass))

    @property
    def mean(self) -> Path:
        return self.gaussian.mean

    def pairs(self, rng: np.random.Generator, count: int) -> Floats:
        return _antithetic(self.gaussian, rng, count)

    def log_density(self, x: Floats) -> Floats:
        return self.gaussian.log_density((x - self.mean.x)[:, 1:-1])


@dataclass(frozen=True, eq=False)
class Positions:
    """Around a critical path of an underdamped process between two points of phase space, in positions alone."""

    functional: InertialAction
    gaussian: GaussianPaths
    log_mass: float

    @classmethod
    def of(cls, functional: InertialAction, path: Path) -> Positions:
        return cls(functional, GaussianPaths(path, functional.hessian(path)), functional.leading_log_density(path))

    @property
    def mean(self) -> Path:
        return self.gaussian.mean

    def pairs(self, rng: np.random.Generator, count: int) -> Floats:
        return _antithetic(self.gaussian, rng, count)

    def log_density(self, x: Floats) -> Floats:
        return self.gaussian.log_density((x - self.mean.x)[:, 1:-1])


def _antithetic(gaussian: GaussianPaths, rng: np.random.Generator, count: int) -> Floats:
    u = gaussian.fluctuations(rng, count)
    return gaussian.paths(np.concatenate([u, -u]))


def leading_log_density(functional: Action, path: Path) -> float:
    """log of the density of a path on its steps, to order T^0 beside the action."""
    return functional.log_density(path) - float(
        path.dt @ _leading_weight(functional.problem, path, functional.momenta(path))
    )


def _leading_weight(problem: Langevin | Momentum, path: Path, p: Floats) -> Floats:
    """What the rule adds to Freidlin and Wentzell's action on the path itself, to order T^0, per time."""
    c = coefficients(problem, noiseless=True)
    middle = 0.5 * (path.x[1:] + path.x[:-1])
    if c.varying:
        return divergence(problem, middle, p)
    weight = MidpointJacobian().steps(problem).lagrangian.weights[0]
    return weight.value(middle, path.dt)


def correction(problem: Langevin | Momentum, paths: Sequence[Path], *, samples: int, seed: int) -> Estimate:
    """p(b, t | a) over its Laplace approximation from some critical paths, by weighing antithetic pairs of Gaussian paths.

    For `Momentum` with noise on all velocities the paths are those of positions. Raises NotConvergedError where no critical path is
    reached on coarser steps.
    """
    if isinstance(problem, Momentum):
        return _of_positions(problem, paths, samples, seed)
    functional = Action(problem, FreidlinWentzell())
    fine = [coarse(functional, path, STEPS) for path in paths]
    halves = [coarse(functional, path, path.n // 2) for path in fine]
    levels = [[FixedEnds.of(problem, path) for path in level] for level in (fine, halves)]
    return of_levels(problem, levels[0], levels[1], samples=samples, seed=seed)


def _of_positions(problem: Momentum, paths: Sequence[Path], samples: int, seed: int) -> Estimate:
    functional = of_ends(problem, paths[0].x[0], paths[0].x[-1])
    fine = [coarse(functional, positions(path), STEPS) for path in paths]
    halves = [coarse(functional, path, path.n // 2) for path in fine]
    levels = [[Positions.of(functional, path) for path in level] for level in (fine, halves)]
    found = [
        weighed(lambda x, like=level[0].mean: functional.log_densities(x, like), level, samples, seed)  # type: ignore[misc]
        for level in levels
    ]
    return _with_steps(found, 3.0, levels[0], samples)


def of_levels(
    problem: Langevin | Momentum, fine: Sequence[Component], coarse: Sequence[Component], *, samples: int, seed: int
) -> Estimate:
    """The mean weight on fine steps.

    Its error is the standard error and, added in squares, what half as many steps change (a third of it where the rule is of second order).
    """
    varying = coefficients(problem, noiseless=False).varying
    rule = Midpoint() if varying else MidpointJacobian()
    try:
        found = [
            weighed(Actions(Action(problem, rule), level[0].mean.t).log_density, level, samples, seed)
            for level in (fine, coarse)
        ]
    except (ValueError, np.linalg.LinAlgError) as reason:
        raise NotConvergedError(
            f"paths around the critical ones could not be weighed ({reason}): the next order in T is not known; type a shorter t, a lower T or a larger n"
        ) from reason
    return _with_steps(found, 1.0 if varying else 3.0, fine, samples)


def _with_steps(
    found: Sequence[tuple[float, float, Floats]], share: float, fine: Sequence[Component], samples: int
) -> Estimate:
    """The mean on fine steps with its error; where the weights' tail is heavy the distance from 1 at least, as spreads say nothing then."""
    (value, spread, weights), (other, _, _) = found
    name = f"{len(fine) * 2 * (samples // 2)} weighed paths of {fine[0].mean.n} steps"
    error, k = float(np.hypot(spread, abs(value - other) / share)), tail_index(weights)
    if k <= HEAVY:
        return Estimate(value, error, name, weights)
    note = f"the weights have a heavy tail (index {k:.2g}): soft directions, or other critical paths near those found; type more starts=..."
    return Estimate(value, max(error, abs(value - 1)), name, weights, warnings=(note,))


def tail_index(weights: Floats) -> float:
    """k of the generalised Pareto distribution that fits the largest weights; their variance is infinite from 1/2 on.

    Source: Vehtari, Simpson, Gelman, Yao, Gabry, J. Mach. Learn. Res. 25, 72 (2024), whose means are unreliable above 0.7.
    """
    largest = np.sort(weights)[-min(len(weights) // 5, int(3 * np.sqrt(len(weights)))) - 1 :]
    if np.ptp(largest) <= 1e-9 * largest[-1]:
        return 0.0
    return float(genpareto.fit(largest[1:] - largest[0], floc=0.0)[0])


def weighed(
    density: Callable[[Floats], Floats], components: Sequence[Component], samples: int, seed: int
) -> tuple[float, float, Floats]:
    """The mean weight, its standard error, and the weights of the pairs. density: log rho of paths (count, n + 1, dim)."""
    masses = np.array([one.log_mass for one in components])
    shares, rng = np.exp(masses - logsumexp(masses)), np.random.default_rng(seed)
    # of the mixture of all components, each a stratum of its own
    weights = np.exp([_log_weights(one, components, density, rng, samples // 2) for one in components])
    spread = weights.std(1, ddof=1) / np.sqrt(weights.shape[1])
    return float(shares @ weights.mean(1)), float(np.hypot.reduce(shares * spread)), shares @ weights


def coarse(functional: Functional, path: Path, most: int) -> Path:
    """The critical path on at most so many steps."""
    if isinstance(functional, InertialAction):
        path = critical_path(functional, path, descend=False) or path
    while path.n > most and path.n % 2 == 0:
        coarser = critical_path(functional, path.coarser(), descend=False)
        if coarser is None:
            raise NotConvergedError(f"no critical path was reached with {path.n // 2} steps; type a larger n")
        path = coarser
    return path


def _log_weights(
    one: Component,
    components: Sequence[Component],
    density: Callable[[Floats], Floats],
    rng: np.random.Generator,
    pairs: int,
) -> Floats:
    """log of the mean of rho/sum_j exp(log_mass_j) q_j over each antithetic pair (pairs,)."""
    x = one.pairs(rng, pairs)
    total = logsumexp([other.log_mass + other.log_density(x) for other in components], axis=0)
    ratio = density(x) - total
    return np.asarray(logsumexp(ratio.reshape(2, pairs), axis=0) - np.log(2))
