"""Eigenpairs of symmetric operators on torch vectors, with their residuals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sgdyn.errors import NotConvergedError

Floats = NDArray[np.float64]

BLOCK = 4096
LOOKS = 40
"""Products spent on looking for a negative eigenvalue."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Top eigenvalues (k,), largest first, with eigenvectors (p, k) and residuals |A v - value v| (k,).

    `method` says how they were found ("dense", "gram", "lanczos"), `products` how many operator-vector products that took. lowest: an
    upper bound of the lowest eigenvalue of all, exact if dense.
    """

    values: Floats
    vectors: Floats
    residuals: Floats
    method: str
    products: int
    lowest: float = float("nan")

    def plot(self, ax: Any = None) -> Any:
        """Eigenvalues against rank (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def dot(rows: Tensor, vector: Tensor) -> Tensor:
    """rows (m, p) times vector (p,), summed in double precision block by block: single precision loses digits over long vectors."""
    total = torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
    for start in range(0, rows.shape[1], BLOCK * 16):
        part = slice(start, start + BLOCK * 16)
        total += rows[:, part].double() @ vector[part].double()
    return total


def dense_spectrum(matrix: Floats, k: int) -> Spectrum:
    """The k top eigenpairs of a symmetric matrix (p, p)."""
    values, vectors = np.linalg.eigh(matrix)
    lowest = float(values[0])
    values, vectors = values[::-1][:k], vectors[:, ::-1][:, :k]
    residuals = np.linalg.norm(matrix @ vectors - vectors * values, axis=0)
    return Spectrum(values.copy(), vectors.copy(), residuals, "dense", len(matrix), lowest)


def lanczos(
    apply: Callable[[Tensor], Tensor], like: Tensor, k: int, *, tolerance: float, most: int, seed: int = 0
) -> Spectrum:
    """The k algebraically largest eigenpairs by the Lanczos method with full reorthogonalisation.

    `apply` maps (p,) to (p,), in the precision and on the device of `like` (p,). Stops when k residuals are below tolerance (in single
    precision at least 1e-6) times the largest |Ritz value|. The one random starting vector finds one vector of each degenerate
    eigenspace. Raises NotConvergedError after `most` products. Source: Parlett, The Symmetric Eigenvalue Problem, ch. 13.
    """
    tolerance = max(tolerance, 1e-6) if like.dtype != torch.float64 else tolerance
    space = _Krylov.begin(apply, like, min(most, len(like)), seed)
    for j in range(len(space.basis)):
        space.grow()
        ritz, rotation = space.ritz()
        scale = float(np.abs(ritz).max())
        residuals = space.off[-1] * np.abs(rotation[-1, :k])
        exhausted = space.off[-1] <= 1e-14 * scale
        if j + 1 >= k and (exhausted or residuals.max() <= tolerance * scale):
            return Spectrum(ritz[:k], space.vectors(rotation[:, :k]), residuals, "lanczos", j + 1, float(ritz[-1]))
        if exhausted:
            raise NotConvergedError(
                f"the Krylov space ended after {j + 1} products, before {k} eigenvalues; type a smaller k (the operator has few distinct eigenvalues)"
            )
    raise NotConvergedError(
        f"residual {residuals.max():.2g} after {most} products, expected {tolerance * scale:.2g}; type a larger most= or tolerance="
    )


def lowest_pair(
    apply: Callable[[Tensor], Tensor], like: Tensor, *, products: int = LOOKS, seed: int = 0
) -> tuple[float, Floats, float]:
    """(value, vector (p,), scale): the lowest Ritz value of some Lanczos steps with its vector, and the largest |Ritz value|.

    The value is an upper bound of the lowest eigenvalue, good for eigenvalues that stand out by a percent of the scale or so.
    """
    space = _Krylov.begin(apply, like, min(products, len(like)), seed)
    for _ in range(len(space.basis)):
        space.grow()
        values, rotation = space.ritz()
        if space.off[-1] <= 1e-14 * np.abs(values).max():
            break
    return float(values[-1]), space.vectors(rotation[:, -1:])[:, 0], float(np.abs(values).max())


@dataclass
class _Krylov:
    """A growing Lanczos basis: rows of `basis` (most, p), the tridiagonal matrix, and what is left of the last product."""

    apply: Callable[[Tensor], Tensor]
    basis: Tensor
    rest: Tensor
    diagonal: list[float] = field(default_factory=list)
    off: list[float] = field(default_factory=list)

    @classmethod
    def begin(cls, apply: Callable[[Tensor], Tensor], like: Tensor, most: int, seed: int) -> _Krylov:
        start = torch.randn(len(like), generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(like)
        return cls(apply, torch.empty((most, len(start)), dtype=start.dtype, device=start.device), start)

    def grow(self) -> None:
        """One product more, orthogonalised twice against all vectors before."""
        j = len(self.diagonal)
        self.basis[j] = self.rest / self.rest.norm()
        w = self.apply(self.basis[j])
        self.diagonal.append(float(dot(self.basis[j : j + 1], w)))
        for _ in range(2):
            w = w - (dot(self.basis[: j + 1], w).to(w.dtype) @ self.basis[: j + 1])
        self.off.append(float(w.double().norm()))
        self.rest = w

    def ritz(self) -> tuple[Floats, Floats]:
        """Ritz values, largest first, with their coordinates."""
        matrix = np.diag(self.diagonal) + np.diag(self.off[:-1], 1) + np.diag(self.off[:-1], -1)
        values, vectors = np.linalg.eigh(matrix)
        return values[::-1].copy(), vectors[:, ::-1]

    def vectors(self, rotation: Floats) -> Floats:
        """Vectors (p, m) of coordinates (steps, m)."""
        turned = torch.as_tensor(rotation.T.copy(), dtype=self.basis.dtype, device=self.basis.device)
        return np.asarray((turned @ self.basis[: len(self.diagonal)]).T.double().cpu().numpy())
