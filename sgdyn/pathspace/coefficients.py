"""What actions need of a process: drift and diffusion with their derivatives, and the metric D^-1."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from sgdyn.fields import Affine, Field, multiple, product, total
from sgdyn.noise import Diagonal, Noise, Varying
from sgdyn.pathspace.differences import differenced
from sgdyn.problem import STRATONOVICH, Langevin, Momentum

Floats = NDArray[np.float64]

TENSORS = 64
"""Up to so many dimensions derivatives of the drift are formed as matrices; beyond, only their products with vectors."""
RANK_TOLERANCE = 1e-12
"""Eigenvalues of D below this share of the largest count as zero."""


@dataclass(frozen=True, eq=False)
class Coefficients:
    """A drift b(x) and T D(x), with D^-1 as a metric; the index of differentiation stands last.

    `gradient_like` says that the matrix of derivatives of b is symmetric, so that its products with vectors are differences of b; for
    b = -D grad U with constant D they are those of `slope`, -grad U, along D p.
    """

    drift: Field
    D: Noise
    T: float
    gradient_like: bool = False
    slope: Field | None = None

    @property
    def dim(self) -> int:
        return self.D.dim

    @property
    def varying(self) -> bool:
        return isinstance(self.D, Varying)

    @cached_property
    def jacobian(self) -> Field:
        return self.drift.gradient()

    @cached_property
    def smooth(self) -> bool:
        """Whether second derivatives of the drift are known."""
        try:
            return self.second is not None
        except (TypeError, ValueError):
            return False

    @cached_property
    def second(self) -> Field:
        return self.jacobian.gradient()

    @cached_property
    def slope_of_D(self) -> Field:
        return self.D.matrix.gradient()

    @cached_property
    def second_of_D(self) -> Field:
        return self.slope_of_D.gradient()

    @cached_property
    def constant(self) -> Floats:
        """A constant D as (dim,) if it is diagonal, else (dim, dim)."""
        return self.D.values if isinstance(self.D, Diagonal) else self.D(np.zeros(self.dim))

    @cached_property
    def degenerate(self) -> bool:
        """Whether a constant D leaves some direction without noise."""
        if self.varying:
            return False
        sizes = self.constant if self.constant.ndim == 1 else np.linalg.eigvalsh(self.constant)
        return bool(sizes.min() <= RANK_TOLERANCE * sizes.max())

    @cached_property
    def _solver(self) -> Any:
        """Products with the (pseudo-)inverse of a constant D."""
        D = self.constant
        if D.ndim == 1:
            inverse = np.where(RANK_TOLERANCE * D.max() < D, 1 / np.where(D > 0, D, 1.0), 0.0)
            return lambda u: u * inverse
        if self.degenerate:
            pseudo = np.linalg.pinv(D, rcond=RANK_TOLERANCE, hermitian=True)
            return lambda u: u @ pseudo
        factor = cho_factor(D)
        return lambda u: cho_solve(factor, u.reshape(-1, self.dim).T).T.reshape(u.shape)

    def lower(self, x: Floats, u: Floats) -> Floats:
        """D(x)^-1 u of x (n, dim) and u (n, dim); the pseudo-inverse where a constant D is degenerate."""
        if not self.varying:
            return np.asarray(self._solver(u))
        return np.asarray(np.linalg.solve(self.D(x), u[..., None])[..., 0])

    def lower_columns(self, x: Floats, columns: Floats) -> Floats:
        """D(x)^-1 M of matrices M (n, dim, k)."""
        if self.varying:
            return np.asarray(np.linalg.solve(self.D(x), columns))
        return np.asarray(np.swapaxes(self._solver(np.swapaxes(columns, -1, -2)), -1, -2))

    def outside(self, u: Floats) -> Floats:
        """What of u (n, dim) lies outside the range of a constant D."""
        inside = self._solver(u)
        return np.asarray(u - (inside * self.constant if self.constant.ndim == 1 else inside @ self.constant))

    def log_determinant(self, x: Floats) -> Floats:
        """log det D at points (n, dim), as (n,)."""
        if self.varying:
            return np.asarray(np.linalg.slogdet(self.D(x))[1])
        D = self.constant
        value = np.log(D).sum() if D.ndim == 1 else np.linalg.slogdet(D)[1]
        return np.full(len(x), value)

    def pull(self, x: Floats, p: Floats) -> Floats:
        """The transposed derivative of the drift times p: grad (b . p) of x (n, dim) and p (n, dim), p held fixed."""
        if isinstance(self.drift, Affine):
            return np.asarray(p @ self.drift.matrix)
        if self.dim > TENSORS or not self.smooth:
            if self.gradient_like:
                return directional(self.drift, x, p)
            if self.slope is not None:
                return directional(self.slope, x, p * self.constant if self.constant.ndim == 1 else p @ self.constant)
        if self.dim <= TENSORS:
            return np.asarray(np.einsum("nik,ni->nk", self.jacobian(x), p))
        return np.concatenate([p[k : k + 1] @ self.jacobian(x[k]) for k in range(len(x))])

    def regular(self, share: float) -> Coefficients:
        """The same with share times the mean eigenvalue of D added to its diagonal."""
        D = self.constant if self.constant.ndim == 2 else np.diag(self.constant)
        mended = Langevin(None, self.T, D + share * np.trace(D) / self.dim * np.eye(self.dim), self.drift)
        return replace(self, D=mended.D, slope=None)


def directional(field: Field, x: Floats, p: Floats) -> Floats:
    """The derivative of a vector field along p by central differences of fourth order, relative error about 1e-11."""
    size = np.linalg.norm(p, axis=-1, keepdims=True)
    h = 1e-3 * (1 + np.abs(x).max(axis=-1, keepdims=True))
    e = h * p / np.where(size > 0, size, 1.0)
    near, far = field(x + e) - field(x - e), field(x + 2 * e) - field(x - 2 * e)
    return np.asarray((8 * near - far) * (size / (12 * h)))


def coefficients(problem: Langevin | Momentum, *, noiseless: bool) -> Coefficients:
    """Drift and diffusion of a process; `noiseless`: without the parts of the drift that vanish with T (see `noiseless_drift`).

    Raises TypeError for what is no process and ValueError where the drift depends on time.
    """
    if isinstance(problem, Momentum):
        problem = problem.phase_space
    if not isinstance(problem, Langevin):
        raise TypeError(f"got a problem of type {type(problem).__name__}, expected Langevin or Momentum")
    drift = noiseless_drift(problem) if noiseless else problem.drift
    if getattr(drift, "clocks", ()) or getattr(problem.D, "clocks", ()):
        raise ValueError(
            "got a problem that depends on the time t, expected one that does not; type U.replace(t=...) and rename t"
        )
    reversible = problem.U is not None and problem.curl is None and problem.origin != STRATONOVICH
    symmetric = reversible and (not problem.is_gibbs or _isotropic(problem.D) is not None)
    slope = None
    if reversible and problem.is_gibbs and not isinstance(problem.D, Varying):
        assert problem.U is not None
        slope = problem.U.grad.negated()
    return Coefficients(differenced(drift), problem.D, problem.T, symmetric, slope)


def noiseless_drift(problem: Langevin) -> Field:
    """The limit of the drift for T -> 0: without T div D of a Gibbs process with D(x), and without Stratonovich's T c."""
    if problem.origin == STRATONOVICH:
        from sgdyn.factors import drift_correction
        from sgdyn.sde.methods.plan import kind_of_noise

        correction = drift_correction(problem.D, kind_of_noise(problem.D))
        assert correction is not None
        return total(problem.drift, multiple(-problem.T, correction))
    if problem.is_gibbs and isinstance(problem.D, Varying):
        assert problem.U is not None
        force = product(problem.D.matrix, problem.U.grad).negated()
        return force if problem.curl is None else total(force, problem.curl)
    return problem.drift


def equilibrium(problem: Langevin) -> tuple[Field, float] | None:
    """Phi and c with b = -D grad Phi, Phi = c U, for constant D; None where the drift is not of that kind."""
    if problem.U is None or problem.curl is not None or isinstance(problem.D, Varying):
        return None
    if problem.is_gibbs:
        return problem.U.value, 1.0
    value = _isotropic(problem.D)
    return (problem.U.value, 1.0 / value) if value else None


def _isotropic(D: Noise) -> float | None:
    return D.isotropic if isinstance(D, Diagonal) else None


def midpoint_drift(c: Coefficients) -> Coefficients:
    """The drift b - T div D of the midpoint rule."""
    if not c.varying:
        return c
    return replace(c, drift=total(c.drift, multiple(-c.T, c.D.divergence)), gradient_like=False)
