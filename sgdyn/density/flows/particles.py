"""`Particles`: steps of clouds of points by transport maps, in any dimension."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.density.flows.clouds import Sample, drawn, standard_error
from sgdyn.density.flows.descent import Descent, Whitened, best_affine, best_network
from sgdyn.density.flows.energies import Energy, Entropy
from sgdyn.density.flows.flow import Cloud
from sgdyn.density.flows.maps import identity
from sgdyn.noise import Varying
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]

MAPS = ("affine", "residual")
OFFSETS = np.array([-1.5, -0.5, 0.5, 1.5])
"""Where the units of one direction begin to bend, in standard deviations."""


@dataclass(frozen=True, eq=False)
class ParticleState:
    """Clouds in the coordinates y = L^-1 x, D = L L', in which the cost is |y - y'|². `fitted` is what maps are fitted to, `shown` what they
    move: the same cloud for affine maps, an independent one for networks."""

    base: Energy
    factor: Floats
    clouds: tuple[Sample, ...]
    energy: float
    w2: float = 0.0
    iterations: int = 0
    residual: float = 0.0

    @property
    def density(self) -> Cloud:
        return Cloud(self.clouds[-1].points @ self.factor.T)

    @property
    def error(self) -> float:
        """The standard error of the energy, as of independent points: maps were chosen for other ones."""
        cloud = self.clouds[-1]
        level = float(np.linalg.slogdet(self.factor)[1])
        return standard_error(self.base, cloud.points @ self.factor.T, cloud.log_density - level)

    def arrays(self) -> dict[str, NDArray[Any]]:
        found = {
            f"{name}{k}": getattr(c, name) for k, c in enumerate(self.clouds) for name in ("points", "log_density")
        }
        step = np.array([self.energy, self.w2, self.residual, float(self.iterations)])
        return {**found, "step": step}


@dataclass(frozen=True)
class Particles:
    """`count` points moved by one transport map a step, the minimiser within a family of

        mean of U(T(x)) + T log rho(x) - T log |det DT(x)| + (T(x) - x)' D^-1 (T(x) - x)/(2 tau)

    map: "affine" maps (Gaussians stay Gaussians, exactly: the points of a Gaussian start have its mean and covariance), or "residual": an
    affine map after z + W' (a tanh(W z + beta)), a >= 0, with `units` hidden units, whose log-determinant is exact. Density and energy travel
    along the maps. "residual" maps are fitted to a second cloud of as many points by at most `iterations` of L-BFGS, of which the one is taken
    whose sum is lowest for the points that are shown: fitting more would describe the cloud and not the density. All energies are of the
    points shown, and fall by at least the cost of their way. D must be constant and positive definite. Of a start from points these are taken
    and not `count` (every second for each cloud of "residual": of 2000 points 1000 are shown), and entropies count from theirs, which is not known. Errors: of sampling,
    count^-1/2, as `flow.errors` says; of maps outside the family, energies that fall too slowly (by 2 % in a curved double well with 16 units).
    Sources: Fan et al., arXiv:2112.02424; van den Berg et al., arXiv:1803.05649 (determinants).
    """

    count: int = 4000
    map: str = "residual"
    units: int = 8
    iterations: int = 200

    def __post_init__(self) -> None:
        for name in ("count", "units", "iterations"):
            checks.count(name, getattr(self, name))
        if self.map not in MAPS:
            raise ValueError(f'got map={self.map!r}, expected "affine" or "residual"')

    def start(self, problem: Langevin, rho0: Any, energy: Energy, seed: np.random.SeedSequence) -> ParticleState:
        """The clouds at time 0. Raises ValueError where D varies or leaves directions without noise."""
        copies = 1 if self.map == "affine" else 2
        if isinstance(rho0, Cloud) and not all(isinstance(f, Entropy) for f in energy.internals):
            raise ValueError(
                "got points for an energy other than potential and entropy, expected a start whose density is known; type sg.GaussianState(mean, cov)"
            )
        factor = _factor(problem)
        level = np.linalg.slogdet(factor)[1]
        clouds = tuple(
            Sample(np.asarray(np.linalg.solve(factor, s.points.T).T), s.log_density + level)
            for s in drawn(rho0, self.count, seed, copies)
        )
        return ParticleState(energy, factor, clouds, Whitened(energy, factor).level(clouds[-1]))

    def step(self, state: ParticleState, tau: float) -> ParticleState:
        """The clouds behind the best map. Raises `NotConvergedError` where an affine map is not found."""
        descent = Descent(Whitened(state.base, state.factor), state.clouds[0], tau)
        first = identity(descent.mean, descent.root, *self._units(descent))
        if self.map == "affine":
            best, iterations, residual = best_affine(descent, first)
        else:
            best, iterations, residual = best_network(descent, first, state.clouds[-1], self.iterations)
        clouds = tuple(descent.moved(best, cloud) for cloud in state.clouds)
        far = float(np.sqrt(np.mean(np.sum((clouds[-1].points - state.clouds[-1].points) ** 2, axis=1))))
        level = descent.energy.level(clouds[-1])
        return replace(state, clouds=clouds, energy=level, w2=far, iterations=iterations, residual=residual)

    def restore(self, state: ParticleState, arrays: dict[str, NDArray[Any]]) -> ParticleState:
        """The state whose `arrays()` these are."""
        clouds = tuple(Sample(arrays[f"points{k}"], arrays[f"log_density{k}"]) for k in range(len(state.clouds)))
        energy, w2, residual, iterations = (float(v) for v in arrays["step"])
        return replace(state, clouds=clouds, energy=energy, w2=w2, residual=residual, iterations=int(iterations))

    def _units(self, descent: Descent) -> tuple[Floats, Floats]:
        """(beta, W) to begin with: the directions in which the force is least affine, each at some offsets."""
        if self.map == "affine":
            return np.zeros(0), np.zeros((0, len(descent.mean)))
        axes, number = descent.bending(), np.arange(self.units)
        different = min(len(axes), -(-self.units // len(OFFSETS)))
        return -OFFSETS[(number // different) % len(OFFSETS)], axes[number % different]


def _factor(problem: Langevin) -> Floats:
    """L with D = L L'."""
    if isinstance(problem.D, Varying):
        raise ValueError("got a D that varies with x for Particles, expected a constant one; type method=sg.Graph()")
    D = problem.D(np.zeros(problem.dim))
    values = np.linalg.eigvalsh(D)
    if values[0] <= 1e-12 * values[-1]:
        raise ValueError(
            f"got D with the eigenvalue {values[0]:.3g} (largest {values[-1]:.3g}), expected a positive definite one: nothing is transported without noise; type sg.simulate(...)"
        )
    return np.asarray(np.linalg.cholesky(D))
