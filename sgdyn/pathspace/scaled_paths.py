"""Paths around a mean path that step like Gaussian ones, but with the noise of D(x) where they are.

A Gaussian path with the inverse covariance M steps by u_k = -P_k^-1 B_{k-1}' u_{k-1} + P_k^{-1/2} z_k, P_k the pivots of M from its end. Here the
noise is S P_k^{-1/2} z_k with S = L(x_{k-1}) L(mean_{k-1})^-1, D = L L': weights against the density of the process keep a variance as dt -> 0, which
Gaussian paths, whose quadratic variation is another one, do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sgdyn.pathspace.coefficients import Coefficients
from sgdyn.pathspace.paths import Path
from sgdyn.pathspace.tridiagonal import BlockTridiagonal

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScaledPaths:
    """Paths with fixed ends around the mean; `halvings`: how often its steps are as long as those of the finest of several levels, as a power of 2.

    The same generator draws the same noise on all levels.
    """

    coefficients: Coefficients
    mean: Path
    precision: BlockTridiagonal
    halvings: int = 0

    @cached_property
    def _pivots(self) -> Floats:
        """P_k (m, d, d)."""
        M = self.precision
        found = M.diagonal.copy()
        for k in range(len(found) - 2, -1, -1):
            found[k] -= M.upper[k] @ np.linalg.solve(found[k + 1], M.upper[k].T)
        return np.asarray(0.5 * (found + np.swapaxes(found, 1, 2)))

    @cached_property
    def _pull(self) -> Floats:
        """-P_k^-1 B_{k-1}' (m - 1, d, d)."""
        return np.asarray(-np.linalg.solve(self._pivots[1:], np.swapaxes(self.precision.upper, 1, 2)))

    @cached_property
    def _noise(self) -> Floats:
        """A root of P_k^-1, with L(mean_{k-1})^-1 before it (m, d, d)."""
        roots = np.linalg.cholesky(np.linalg.inv(self._pivots))
        return np.asarray(np.linalg.solve(self._root(self.mean.x[:-2]), roots))

    def _root(self, x: Floats) -> Floats:
        """L of D = L L' at points (..., d)."""
        d = x.shape[-1]
        return np.asarray(np.linalg.cholesky(np.reshape(self.coefficients.D(x.reshape(-1, d)), (*x.shape, d))))

    def normals(self, rng: np.random.Generator, count: int) -> Floats:
        """(n, count, d)"""
        z = rng.standard_normal((self.mean.n * 2**self.halvings, count, self.mean.dim))
        for _ in range(self.halvings):
            z = (z[::2] + z[1::2]) / np.sqrt(2)
        return z

    def walked(self, z: Floats, means: Floats) -> Floats:
        """Paths (count, n + 1, d) around means (count, n + 1, d), from normals."""
        x = means.copy()
        u = np.zeros_like(x[:, 0])
        for k in range(self.mean.n - 1):
            noise = np.einsum("cij,jl,cl->ci", self._root(x[:, k]), self._noise[k], z[k])
            u = noise + (u @ self._pull[k - 1].T if k else 0.0)
            x[:, k + 1] += u
        return x

    def log_density(self, x: Floats, means: Floats) -> Floats:
        """(count,)"""
        u = (x - means)[:, 1:-1]
        residual = u.copy()
        residual[:, 1:] -= np.einsum("kij,ckj->cki", self._pull, u[:, :-1])
        roots = self._root(x[:, :-2])
        spread = roots @ self._noise
        z = np.linalg.solve(spread, residual[..., None])[..., 0]
        volume = np.log(np.abs(np.einsum("ckii->cki", roots))).sum((1, 2)) + np.linalg.slogdet(self._noise)[1].sum()
        return np.asarray(-0.5 * (z * z).sum((1, 2)) - volume - 0.5 * residual[0].size * np.log(2 * np.pi))
