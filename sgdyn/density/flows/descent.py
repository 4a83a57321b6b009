"""One step of a cloud of points: the map that lowers energy and cost of transport together, and how it is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.flows.clouds import Sample, mean_energy
from sgdyn.density.flows.energies import Energy
from sgdyn.density.flows.maps import Parameters, Pushed
from sgdyn.errors import NotConvergedError

Floats = NDArray[np.float64]

MEMORY = 20
TOLERANCE, LIMIT, ACCEPTED = 1e-9, 2000, 1e-6
"""Of affine maps, in units of the force."""
PATIENCE = 10
"""Iterations without a lower sum for the points that are not fitted to."""
SHIFT = 1e-4


@dataclass(frozen=True, eq=False)
class Whitened:
    """The energy of clouds in the coordinates y = L^-1 x, D = L L', in which the cost is |y - y'|²; densities are per volume of y."""

    energy: Energy
    factor: Floats

    def __call__(self, y: Floats, log_density: Floats) -> tuple[float, Floats, Floats]:
        level = log_density - np.linalg.slogdet(self.factor)[1]
        value, pull, by_log = mean_energy(self.energy, y @ self.factor.T, level)
        return value, pull @ self.factor, by_log

    def level(self, cloud: Sample) -> float:
        return self(cloud.points, cloud.log_density)[0]


class Descent:
    """Energy and cost of a step as a function of the map's parameters; z are the points in units of their own mean and covariance.

    Raises ValueError where the points do not fill their dimensions.
    """

    def __init__(self, energy: Whitened, cloud: Sample, tau: float) -> None:
        self.energy, self.cloud, self.tau = energy, cloud, tau
        self.mean = cloud.points.mean(axis=0)
        centred = cloud.points - self.mean
        values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
        if values[0] <= 1e-12 * values[-1]:
            raise ValueError(
                f"got {len(centred)} points that do not fill their {len(values)} dimensions, expected more; type Particles(count={100 * len(values)})"
            )
        self.root = (vectors * np.sqrt(values)) @ vectors.T
        self.inverse = (vectors / np.sqrt(values)) @ vectors.T
        self.z = centred @ self.inverse
        self.pull = energy(cloud.points, cloud.log_density)[1] @ self.root

    def __call__(self, theta: Floats, units: int = 0) -> tuple[float, Floats]:
        n, pushed = len(self.z), Pushed(Parameters.unflat(theta, self.z.shape[1], units), self.z)
        value, pull, by_log = self.energy(pushed.y, self._level(self.cloud) - pushed.log_det)
        way = pushed.y - self.cloud.points
        value += float(np.mean(np.sum(way**2, axis=1))) / (2 * self.tau)
        return value, pushed.pulled((pull + way / self.tau) / n, -by_log / n).flat()

    def moved(self, p: Parameters, cloud: Sample) -> Sample:
        """Any cloud behind the map."""
        pushed = Pushed(p, (cloud.points - self.mean) @ self.inverse)
        return Sample(pushed.y, self._level(cloud) - pushed.log_det)

    def total(self, p: Parameters, cloud: Sample) -> float:
        """Energy and cost for any cloud."""
        there = self.moved(p, cloud)
        return self.energy.level(there) + float(np.mean(np.sum((there.points - cloud.points) ** 2, axis=1))) / (
            2 * self.tau
        )

    def bending(self) -> Floats:
        """Directions (dim, dim), one a row, in which the force differs from an affine one, most first."""
        pull = self.pull - self.pull.mean(axis=0)
        rest = pull - self.z @ (self.z.T @ pull / len(pull))
        return np.asarray(np.linalg.eigh(rest.T @ rest)[1].T[::-1])

    def _level(self, cloud: Sample) -> Floats:
        """The log density in units of z."""
        return np.asarray(cloud.log_density + np.linalg.slogdet(self.root)[1])


def best_affine(descent: Descent, first: Parameters) -> tuple[Parameters, int, float]:
    """(map, iterations, largest slope left) by L-BFGS and Newton steps, which get below the rounding of the energy.

    Raises `NotConvergedError`.
    """
    from scipy.optimize import minimize  # slow to import

    options = {"maxiter": LIMIT, "maxfun": 10 * LIMIT, "maxcor": MEMORY, "ftol": 0.0, "gtol": TOLERANCE}
    found = minimize(descent, first.flat(), jac=True, method="L-BFGS-B", options=options)
    theta = _newton(descent, found.x) if np.isfinite(found.fun) else found.x
    residual = float(np.abs(descent(theta)[1]).max())
    limit = ACCEPTED * (1 + float(np.abs(descent.pull).max()))
    if not residual <= limit:
        raise NotConvergedError(
            f"got a slope of {residual:.3g} after {found.nit} iterations of an affine step ({found.message}), expected {limit:.3g}; type a smaller tau"
        )
    return Parameters.unflat(theta, len(first.b), 0), int(found.nit), residual


def _newton(descent: Descent, theta: Floats) -> Floats:
    """Two Newton steps by conjugate gradients on differences of slopes; what does not lower the slope is not taken."""
    from scipy.sparse.linalg import LinearOperator, cg

    n, slope = len(theta), descent(theta)[1]
    for _ in range(2):

        def curvature(v: Floats, at: Floats = theta) -> Any:
            h = SHIFT / max(float(np.linalg.norm(v)), 1e-300)
            return (descent(at + h * v)[1] - descent(at - h * v)[1]) / (2 * h)

        step, _ = cg(LinearOperator((n, n), matvec=curvature, dtype=np.float64), -slope, rtol=1e-3, maxiter=50)
        after = descent(theta + step)[1]
        if not np.abs(after).max() < np.abs(slope).max():
            break
        theta, slope = theta + step, after
    return theta


def best_network(
    descent: Descent, first: Parameters, witnesses: Sample, iterations: int
) -> tuple[Parameters, int, float]:
    """(map, iterations, largest slope left) by L-BFGS, stopped where the sum no longer falls for points that are not fitted to.

    Of all iterates, and the identity, the best one for those points is taken: their energy falls by at least the cost of their way.
    """
    from scipy.optimize import minimize  # slow to import

    units = len(first.a)
    kept = _Kept(first.flat(), descent.total(first, witnesses))

    def look(theta: Floats) -> None:
        kept.number += 1
        kept.offer(theta, descent.total(Parameters.unflat(theta, len(first.b), units), witnesses))
        if kept.number - kept.best > PATIENCE:
            raise StopIteration

    options = {"maxiter": iterations, "maxfun": 10 * iterations, "maxcor": MEMORY, "ftol": 1e-12, "gtol": TOLERANCE}
    minimize(
        lambda theta: descent(theta, units),
        kept.theta,
        jac=True,
        method="L-BFGS-B",
        bounds=first.bounds(),
        options=options,
        callback=look,
    )
    slope = descent(kept.theta, units)[1]
    bounded = np.array([low is not None for low, _ in first.bounds()]) & (kept.theta <= 0)
    residual = float(np.abs(np.where(bounded, np.minimum(slope, 0.0), slope)).max())
    return Parameters.unflat(kept.theta, len(first.b), units), kept.best, residual


@dataclass
class _Kept:
    """The best parameters so far, the iteration they came from, and the number of the present one."""

    theta: Floats
    value: float
    best: int = 0
    number: int = 0

    def offer(self, theta: Floats, value: float) -> None:
        if value < self.value:
            self.theta, self.value, self.best = theta.copy(), value, self.number
