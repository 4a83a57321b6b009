"""Eigenpairs of symmetric operators on torch vectors, with their residuals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sgdyn.errors import NotConvergedError

Floats = NDArray[np.float64]

BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Top eigenvalues (k,), largest first, with eigenvectors (p, k) and residuals |A v - value v| (k,).

    `method` says how they were found ("dense", "gram", "lanczos"), `products` how many operator-vector products that took.
    """

    values: Floats
    vectors: Floats
    residuals: Floats
    method: str
    products: int

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
    values, vectors = values[::-1][:k], vectors[:, ::-1][:, :k]
    residuals = np.linalg.norm(matrix @ vectors - vectors * values, axis=0)
    return Spectrum(values.copy(), vectors.copy(), residuals, "dense", len(matrix))


def lanczos(
    apply: Callable[[Tensor], Tensor], like: Tensor, k: int, *, tolerance: float, most: int, seed: int = 0
) -> Spectrum:
    """The k algebraically largest eigenpairs by the Lanczos method with full reorthogonalisation.

    `apply` maps (p,) to (p,), in the precision and on the device of `like` (p,). Stops when k residuals are below tolerance (in single
    precision at least 1e-6) times the largest |Ritz value|. The one random starting vector finds one vector of each degenerate
    eigenspace. Raises NotConvergedError after `most` products. Source: Parlett, The Symmetric Eigenvalue Problem, ch. 13.
    """
    start = torch.randn(len(like), generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(like)
    tolerance = max(tolerance, 1e-6) if like.dtype != torch.float64 else tolerance
    basis = torch.empty((min(most, len(start)), len(start)), dtype=start.dtype, device=start.device)
    diagonal: list[float] = []
    off: list[float] = []
    q = start / start.norm()
    for j in range(len(basis)):
        basis[j] = q
        w = apply(q)
        diagonal.append(float(dot(basis[j : j + 1], w)))
        for _ in range(2):
            w = w - (dot(basis[: j + 1], w).to(w.dtype) @ basis[: j + 1])
        off.append(float(w.double().norm()))
        ritz, rotation, scale = _ritz(diagonal, off)
        residuals = off[-1] * np.abs(rotation[-1, :k])
        exhausted = off[-1] <= 1e-14 * scale
        if j + 1 >= k and (exhausted or residuals.max() <= tolerance * scale):
            vectors = (
                torch.as_tensor(rotation[:, :k].T.copy(), dtype=start.dtype, device=start.device) @ basis[: j + 1]
            ).T
            return Spectrum(ritz[:k], vectors.double().cpu().numpy(), residuals, "lanczos", j + 1)
        if exhausted:
            raise NotConvergedError(
                f"the Krylov space ended after {j + 1} products, before {k} eigenvalues; type a smaller k (the operator has few distinct eigenvalues)"
            )
        q = w / w.norm()
    raise NotConvergedError(
        f"residual {residuals.max():.2g} after {most} products, expected {tolerance * scale:.2g}; type a larger most= or tolerance="
    )


def _ritz(diagonal: list[float], off: list[float]) -> tuple[Floats, Floats, float]:
    """Ritz values, largest first, with their coordinates, and the largest size."""
    matrix = np.diag(diagonal) + np.diag(off[:-1], 1) + np.diag(off[:-1], -1)
    values, vectors = np.linalg.eigh(matrix)
    return values[::-1].copy(), vectors[:, ::-1], float(np.abs(values).max())
