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
from sgdyn.pathspace.rules import FreidlinWentzell, MidpointJacobian, Prepoint
from sgdyn.pathspace.scaled_paths import ScaledPaths
from sgdyn.pathspace.tridiagonal import BlockTridiagonal
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
        H = functional.hessian(path)
        return cls(GaussianPaths(path, H), _log_mass(functional, path, H))

    @classmethod
    def of_positions(cls, functional: InertialAction, path: Path) -> FixedEnds:
        """Of an underdamped process between two points of phase space, in positions alone."""
        return cls(GaussianPaths(path, functional.hessian(path)), functional.leading_log_density(path))

    @property
    def mean(self) -> Path:
        return self.gaussian.mean

    def pairs(self, rng: np.random.Generator, count: int) -> Floats:
        return _antithetic(self.gaussian, rng, count)

    def log_density(self, x: Floats) -> Floats:
        return self.gaussian.log_density((x - self.mean.x)[:, 1:-1])


@dataclass(frozen=True, eq=False)
class ScaledEnds:
    """The same for D(x)."""

    scaled: ScaledPaths
    log_mass: float

    @classmethod
    def of(cls, problem: Langevin | Momentum, path: Path, halvings: int) -> ScaledEnds:
        functional = Action(problem, FreidlinWentzell())
        H = functional.hessian(path)
        scaled = ScaledPaths(coefficients(problem, noiseless=False), path, H, halvings)
        return cls(scaled, _log_mass(functional, path, H))

    @property
    def mean(self) -> Path:
        return self.scaled.mean

    def pairs(self, rng: np.random.Generator, count: int) -> Floats:
        z = self.scaled.normals(rng, count)
        return self.scaled.walked(np.concatenate([z, -z], 1), np.tile(self.mean.x, (2 * count, 1, 1)))

    def log_density(self, x: Floats) -> Floats:
        return self.scaled.log_density(x, np.broadcast_to(self.mean.x, x.shape))


def _log_mass(functional: Action, path: Path, H: BlockTridiagonal) -> float:
    """log of Laplace's contribution on the steps of the path, H the second derivatives."""
    m = (path.n - 1) * path.dim
    return float(leading_log_density(functional, path) + 0.5 * m * np.log(2 * np.pi) - 0.5 * H.log_determinant)


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
    steps = fine_steps(paths[0].n, depth(problem))
    by_level = [[coarse(functional, path, steps) for path in paths]]
    while len(by_level) < depth(problem):
        by_level.append([coarse(functional, path, path.n // 2) for path in by_level[-1]])
    if coefficients(problem, noiseless=False).varying:
        scaled = [[ScaledEnds.of(problem, path, k) for path in level] for k, level in enumerate(by_level)]
        return of_levels(problem, scaled, samples=samples, seed=seed)
    levels = [[FixedEnds.of(problem, path) for path in level] for level in by_level]
    return of_levels(problem, levels, samples=samples, seed=seed)


def fine_steps(n: int, levels: int) -> int:
    """At most `STEPS`, or the least number to which n can be halved and still be halved to so many levels."""
    while n > STEPS and n % 2**levels == 0:
        n //= 2
    return n


def depth(problem: Langevin | Momentum) -> int:
    """On so many levels of steps, each twice as long as those before, paths are weighed."""
    return 3 if coefficients(problem, noiseless=False).varying else 2


def _of_positions(problem: Momentum, paths: Sequence[Path], samples: int, seed: int) -> Estimate:
    functional = of_ends(problem, paths[0].x[0], paths[0].x[-1])
    fine = [coarse(functional, positions(path), fine_steps(paths[0].n, 2)) for path in paths]
    halves = [coarse(functional, path, path.n // 2) for path in fine]
    levels = [[FixedEnds.of_positions(functional, path) for path in level] for level in (fine, halves)]
    found = [
        weighed(lambda x, like=level[0].mean: functional.log_densities(x, like), level, samples, seed)  # type: ignore[misc]
        for level in levels
    ]
    return _with_steps(found, 3.0, levels[0], samples)


def of_levels(
    problem: Langevin | Momentum, levels: Sequence[Sequence[Component]], *, samples: int, seed: int
) -> Estimate:
    """The mean weight on the finest steps, with constant D; else extrapolated from three levels of Euler-Maruyama's steps with the same noise.

    Its error is the standard error and, added in squares, what half as many steps change (a third of it for constant D, where the rule is
    of second order), or half of what the third level changes.
    """
    varying = coefficients(problem, noiseless=False).varying
    rule = Prepoint() if varying else MidpointJacobian()
    try:
        strata = [
            weights_of_pairs(Actions(Action(problem, rule), level[0].mean.t).log_density, level, samples, seed)
            for level in levels
        ]
    except (ValueError, np.linalg.LinAlgError) as reason:
        raise NotConvergedError(
            f"paths around the critical ones could not be weighed ({reason}): the next order in T is not known; type a shorter t, a lower T or a larger n"
        ) from reason
    if not varying:
        return _with_steps([_mean(one) for one in strata], 3.0, levels[0], samples)
    fine, half, quarter = strata
    value, spread, _ = _mean((8 * fine - 6 * half + quarter) / 3)  # Romberg's for errors dt, dt²
    return _with_steps([(value, spread, fine.sum(0)), _mean(2 * fine - half)], 2.0, levels[0], samples)


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
    return _mean(weights_of_pairs(density, components, samples, seed))


def weights_of_pairs(
    density: Callable[[Floats], Floats], components: Sequence[Component], samples: int, seed: int
) -> Floats:
    """Of the mixture of all components, each a stratum of its own: mean weights of antithetic pairs times its share (component, pair)."""
    masses = np.array([one.log_mass for one in components])
    shares, rng = np.exp(masses - logsumexp(masses)), np.random.default_rng(seed)
    return np.asarray(
        shares[:, None] * np.exp([_log_weights(one, components, density, rng, samples // 2) for one in components])
    )


def _mean(strata: Floats) -> tuple[float, float, Floats]:
    """The sum of the strata's means, its standard error, and the sums."""
    spread = strata.std(1, ddof=1) / np.sqrt(strata.shape[1])
    return float(strata.mean(1).sum()), float(np.hypot.reduce(spread)), strata.sum(0)


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
