"""SGD's own iteration with the noise of real samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.noise import Noise
from sgdyn.problem import Langevin, Momentum, Sampling
from sgdyn.sde.methods.euler_maruyama import EulerMaruyama, euler_step
from sgdyn.sde.methods.plan import Method, Plan
from sgdyn.sde.methods.resampling import SEEDS, Resampled
from sgdyn.sde.methods.sgd_map import sampling_of
from sgdyn.sde.methods.stochastic_heavy_ball import StochasticHeavyBall

Floats = NDArray[np.float64]
TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class ResampledSGDMap(Method):
    """`SGDMap` with batches of given samples: xi is the mean of `batch` rows of `gradients` (samples, dim), drawn with replacement.

    gradients: of single samples, at one point; their mean is taken off, and their covariance must be the problem's D. The noise has
    the skewness and the tails of a batch of so many samples, and is the same everywhere.
    """

    gradients: ArrayLike

    strong_order: ClassVar[float | None] = None
    strong_order_additive: ClassVar[float | None] = None
    weak_order: ClassVar[float] = EulerMaruyama.weak_order
    accepts: ClassVar[str] = "additive"
    problems: ClassVar[tuple[type, ...]] = (Langevin, Momentum)
    needs_normals: ClassVar[bool] = True

    def plan(self, problem: Langevin | Momentum, dt: float) -> Plan:
        """Raises ValueError for batches drawn without replacement, and for a D that is not the covariance of the gradients."""
        origin = sampling_of(problem, dt)
        noise = self._noise(problem.D, origin)
        if isinstance(problem, Momentum):
            return replace(StochasticHeavyBall().plan(problem, dt), noise=noise, normals=SEEDS)
        return Plan(euler_step.compiled, problem.drift, noise, SEEDS, np.array([dt, 0.0]), room=2 * noise.dim)

    def _noise(self, D: Noise, origin: Sampling) -> Resampled:
        if origin.sampler != "replacement":
            raise ValueError(
                f"got sampler={origin.sampler!r}, expected 'replacement': rows are drawn with replacement; type sgd(..., sampler='replacement')"
            )
        samples = checks.finite("gradients", self.gradients)
        if samples.ndim != 2 or samples.shape[1] != D.dim or not len(samples):
            raise ValueError(f"got gradients of shape {samples.shape}, expected (samples, {D.dim})")
        noise = Resampled(
            (samples.mean(axis=0) - samples).T / np.sqrt(len(samples)), origin.batch
        )  # x moves against gradients
        _check_covariance(noise(np.zeros(D.dim)), D(np.zeros(D.dim)))
        return noise


def _check_covariance(found: Floats, D: Floats) -> None:
    """Raise ValueError if the samples' covariance is not D."""
    difference = float(np.abs(found - D).max())
    if difference > TOLERANCE * np.abs(D).max():
        raise ValueError(
            f"got gradients whose covariance differs from D by up to {difference:.3g} (trace {np.trace(found):.4g}, that of D {np.trace(D):.4g}), "
            "expected the same matrix; type np.cov(gradients.T, bias=True) for D in sgd(U, D, ...)"
        )
