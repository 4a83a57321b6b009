"""Gaussian paths around one that ends on a boundary: ends spread along the boundary, points between follow them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import null_space

from sgdyn.pathspace.boundaries import Arrival
from sgdyn.pathspace.coefficients import coefficients
from sgdyn.pathspace.corrections import leading_log_density
from sgdyn.pathspace.ensembles import GaussianPaths
from sgdyn.pathspace.paths import Path
from sgdyn.pathspace.scaled_paths import ScaledPaths

Floats = NDArray[np.float64]

PROJECTIONS = 8
SAME_END = 1e-6


@dataclass(frozen=True, eq=False)
class FreeEnd:
    """A Gaussian component (see `corrections.Component`) on paths whose last point lies on the boundary; densities are per its area.

    b = b_0 + B y + normal h(y), y Gaussian with the curvature of the action along the boundary; x = x_0 + R (b - b_0) + u, u Gaussian with
    the second derivatives at fixed ends, R the response of the points between to the end. The velocity of arrival counts in its mass.
    """

    arrival: Arrival
    halvings: int = 0

    @property
    def mean(self) -> Path:
        return self.arrival.path

    @cached_property
    def _inner(self) -> GaussianPaths:
        return GaussianPaths(self.mean, self.arrival.functional.hessian(self.mean))

    @cached_property
    def _tangents(self) -> Floats:
        return np.asarray(null_space(self.arrival.slope[None]))

    @cached_property
    def _response(self) -> Floats:
        """R (n - 1, dim, dim)."""
        coupling = self.arrival.extended.upper[-1]
        d, m = self.mean.dim, self.mean.n - 1
        columns = []
        for k in range(d):
            pulled = np.zeros((m, d))
            pulled[-1] = -coupling[:, k]
            columns.append(self._inner.precision.solve(pulled))
        return np.stack(columns, -1)

    @cached_property
    def _spread(self) -> Floats:
        """The precision of y (dim - 1, dim - 1)."""
        return np.asarray(0.5 * (self.arrival.along + self.arrival.along.T))

    @cached_property
    def log_mass(self) -> float:
        m = self.mean.n * self.mean.dim - 1
        volume = m * np.log(2 * np.pi) - self._inner.precision.log_determinant - np.linalg.slogdet(self._spread)[1]
        return float(leading_log_density(self.arrival.functional, self.mean) + 0.5 * volume)

    @cached_property
    def _scaled(self) -> ScaledPaths | None:
        """The paths for D(x)."""
        c = coefficients(self.arrival.functional.problem, noiseless=False)
        M = self.arrival.functional.hessian(self.mean)
        return ScaledPaths(c, self.mean, M, self.halvings) if c.varying else None

    def _means(self, shift: Floats) -> Floats:
        """The mean paths (count, n + 1, dim) to ends shifted by so much."""
        x = np.tile(self.mean.x, (len(shift), 1, 1))
        x[:, 1:-1] += np.einsum("nij,cj->cni", self._response, shift)
        x[:, -1] += shift
        return x

    def pairs(self, rng: np.random.Generator, count: int) -> Floats:
        z = self._scaled.normals(rng, count) if self._scaled else self._inner.fluctuations(rng, count)
        root = np.linalg.cholesky(np.linalg.inv(self._spread)) if self.mean.dim > 1 else np.zeros((0, 0))
        y = rng.standard_normal((count, self.mean.dim - 1)) @ root.T
        shift = self._on_boundary(np.concatenate([y, -y])) - self.mean.x[-1]
        x = self._means(shift)
        if self._scaled:
            return self._scaled.walked(np.concatenate([z, -z], 1), x)
        x[:, 1:-1] += np.concatenate([z, -z])
        return x

    def _on_boundary(self, y: Floats) -> Floats:
        gap, n = self.arrival.gap, self.arrival.normal
        b = self.mean.x[-1] + y @ self._tangents.T
        for _ in range(PROJECTIONS):
            rise = np.asarray(gap.gradient()(b)) @ n
            b = b - (np.asarray(gap(b)) / np.where(np.abs(rise) > 1e-12, rise, np.inf))[:, None] * n
        return np.asarray(b)

    def log_density(self, x: Floats) -> Floats:
        shift = x[:, -1] - self.mean.x[-1]
        y = shift @ self._tangents
        # ends on another piece of the boundary are none that this component draws
        own = np.abs(self._on_boundary(y) - x[:, -1]).max(1) <= SAME_END * (1e-300 + np.abs(x).max((1, 2)))
        means = self._means(shift)
        if self._scaled:
            inner = self._scaled.log_density(x, means)
        else:
            inner = self._inner.log_density((x - means)[:, 1:-1])
        slope = np.asarray(self.arrival.gap.gradient()(x[:, -1]))
        tilt = np.abs(slope @ self.arrival.normal) / np.linalg.norm(slope, axis=-1)  # dy over the area
        ends = 0.5 * np.linalg.slogdet(self._spread)[1] - 0.5 * y.shape[1] * np.log(2 * np.pi)
        ends = ends - 0.5 * np.einsum("ci,ij,cj->c", y, self._spread, y)
        found = ends + np.log(np.maximum(tilt, 1e-300)) + inner
        return np.where(own, found, -np.inf)
