"""Noise given by its factor sigma(x), D = sigma sigma', and what the factor alone decides: Stratonovich's drift, commuting noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.codegen.formula import Formula, combined, traced
from sgdyn.fields import Field, as_formula, multiple, total
from sgdyn.noise import Noise, Varying
from sgdyn.problem import STRATONOVICH, Langevin

Floats = NDArray[np.float64]
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Factor(Varying):
    """D(x) = sigma(x) sigma(x)' with a factor sigma (dim, rank), which need be neither square nor triangular."""

    sigma: Formula

    @property
    def rank(self) -> int:
        return self.sigma.shape[1]

    @property
    def theta(self) -> Floats:
        return self.sigma.theta

    @property
    def clocks(self) -> tuple[int, ...]:
        return self.sigma.clocks

    @property
    def block(self) -> Any:
        return self.sigma.factor_block

    def apply(self, x: Floats, z: Floats) -> Floats:
        return np.asarray(np.einsum("...ij,...j->...i", self.sigma(x), z))

    @cached_property
    def kind(self) -> str:
        """ "additive", "diagonal", "scalar", "commutative" or "general": by what is written down; commuting at 48 points of three sizes."""
        depends = self.sigma.dependence
        if not depends.any():
            return "additive"
        if self.rank == self.dim and self._is_diagonal(depends):
            return "diagonal"
        if self.rank == 1:
            return "scalar"
        points = np.random.default_rng(0).normal(size=(48, self.dim)) * np.repeat([1.0, 10.0, 100.0], 16)[:, None]
        products = np.einsum("nij,nlki->nljk", self.sigma(points), self.sigma.gradient()(points))
        products = products[np.isfinite(products).all(axis=(1, 2, 3))]
        rest = np.abs(products - products.swapaxes(-1, -2)).max(initial=0.0)
        return "commutative" if rest <= ROUNDING * np.abs(products).max(initial=0.0) else "general"

    def _is_diagonal(self, depends: Any) -> bool:
        """Whether sigma_ij = 0 for i != j and sigma_ii contains x_i alone."""
        others = ~np.eye(self.dim, dtype=bool)
        off = self.sigma.make().components[others]
        return not np.any(off != 0) and not np.any(depends[np.arange(self.dim), np.arange(self.dim)][others])


def factor(function: Callable[..., Any], *, dim: int) -> Factor:
    """Noise by its factor: a NumPy function of x (dim,) that returns sigma(x) as (dim, rank), or (dim,) for one Wiener process.

    `Langevin(U, T, D=sg.factor(lambda x: np.array([[1.0, 0.0], [x[0], 1.0]]), dim=2))` is dX = ... + sqrt(2 T) sigma(X) dW. Where D alone
    is given, sigma is its lower triangular Cholesky factor. Raises ValueError for other shapes.
    """
    given = traced(function, dim)
    sigma = combined("column", [given], (dim, 1), lambda s: s[:, None]) if given.shape == (dim,) else given
    if len(sigma.shape) != 2 or sigma.shape[0] != dim:
        raise ValueError(f"got sigma(x) of shape {given.shape}, expected ({dim},) or ({dim}, rank)")
    matrix = combined("square", [sigma], (dim, dim), lambda s: s @ s.T)
    return Factor(matrix, matrix.gradient().trace(), sigma)


def unwritten(noise: Noise) -> str | None:
    """What is wrong with noise whose factor is not known in symbols; None if nothing."""
    written = not isinstance(noise, Varying) or isinstance(noise, Factor) or as_formula(noise.matrix) is not None
    return None if written else "a D in Python, without its derivative (see sg.factor)"


def factor_of(noise: Varying) -> Formula:
    """sigma(x) in symbols: as given, or the Cholesky factor of D(x); raises TypeError where D is known to Python only."""
    if isinstance(noise, Factor):
        return noise.sigma
    matrix = as_formula(noise.matrix)
    if matrix is None:
        raise TypeError(f"got {unwritten(noise)}, expected a formula; type D=sg.factor(lambda x: ..., dim=...)")
    return combined("Cholesky factor", [matrix], matrix.shape, _cholesky)


def _cholesky(D: Any) -> Any:
    """The lower triangular factor of a matrix of symbols."""
    import sympy as sp  # only for those who write something down

    L = np.full(D.shape, sp.Integer(0), dtype=object)
    for j in range(len(D)):
        L[j, j] = sp.sqrt(D[j, j] - sum(L[j, :j] ** 2))
        for i in range(j + 1, len(D)):
            L[i, j] = (D[i, j] - sum(L[i, :j] * L[j, :j])) / L[j, j]
    return L


def drift_correction(noise: Noise, kind: str) -> Field | None:
    """c_i = sum_jk sigma_jk d_j sigma_ik, so that sqrt(2T) sigma dW (Stratonovich) = sqrt(2T) sigma dW (Itô) + T c dt; None where it is zero.

    Of diagonal noise c_i = d_i D_ii / 2, which is right where D vanishes as well. Kloeden and Platen (1992), eq. 4.9.11.
    """
    if not isinstance(noise, Varying) or kind == "additive":
        return None
    if kind == "diagonal" and as_formula(noise.matrix) is not None:
        return multiple(0.5, diagonal_derivative(noise))
    sigma = factor_of(noise)
    return combined(
        "drift correction",
        [sigma, sigma.gradient()],
        (noise.dim,),
        lambda s, slope: np.array([np.sum(s * slope[i].T) for i in range(len(s))]),
    )


def diagonal_derivative(noise: Varying) -> Formula:
    """d_i D_ii (dim,)."""
    slope = as_formula(noise.matrix.gradient())
    assert slope is not None
    return combined(
        "diagonal derivative", [slope], (noise.dim,), lambda s: np.array([s[i, i, i] for i in range(len(s))])
    )


def stratonovich(problem: Langevin) -> Langevin:
    """The Itô process whose paths solve dX = b dt + sqrt(2 T) sigma(X) o dW in the sense of Stratonovich, b the drift of `problem`.

    Its drift is b + T c, c_i = sum_jk sigma_jk d_j sigma_ik. The same process comes back where D is constant.
    """
    from sgdyn.sde.methods.plan import kind_of_noise

    if not isinstance(problem, Langevin):
        raise TypeError(f"got a problem of type {type(problem).__name__}, expected Langevin")
    correction = drift_correction(problem.D, kind_of_noise(problem.D))
    if correction is None:
        return problem
    return Langevin(
        None, problem.T, problem.D, total(problem.drift, multiple(problem.T, correction)), origin=STRATONOVICH
    )
