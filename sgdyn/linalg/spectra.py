"""Eigenpairs with their residuals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate
from sgdyn.printing import Printed

Floats = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False, repr=False)
class Spectrum(Printed):
    """Top eigenvalues (k,), largest first, with eigenvectors (p, k) and residuals |A v - value v| (k,).

    `method` says how they were found ("dense", "gram", "lanczos"), `products` how many operator-vector products that took. lowest: an
    upper bound of the lowest eigenvalue of all, exact if dense. floor: the size of rounding in the products; no eigenvalue below it means
    anything. `warnings`: what the residuals do not say.
    """

    values: Floats
    vectors: Floats
    residuals: Floats
    method: str
    products: int
    lowest: float = float("nan")
    floor: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def eigenvalues(self) -> Estimate:
        """The values with error bounds: within residual + floor of each there is an eigenvalue (Parlett, theorem 4.5.1)."""
        said = f"{self.method}, {self.products} products, bound by residual and rounding"
        return Estimate(self.values, self.residuals + self.floor, said, warnings=self.warnings)

    def plot(self, ax: Any = None) -> Any:
        """Eigenvalues against rank (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def dense_spectrum(matrix: Floats, k: int, eps: float = EPS) -> Spectrum:
    """The k top eigenpairs of a symmetric matrix (p, p) whose products have the relative rounding eps."""
    values, vectors = np.linalg.eigh(matrix)
    lowest, floor = float(values[0]), rounding(values, eps)
    values, vectors = values[::-1][:k], vectors[:, ::-1][:, :k]
    residuals = np.linalg.norm(matrix @ vectors - vectors * values, axis=0)
    residuals = np.maximum(residuals, floor) if eps > EPS else residuals
    return Spectrum(values.copy(), vectors.copy(), residuals, "dense", len(matrix), lowest, floor)


def rounding(values: Floats, eps: float = EPS) -> float:
    """By how much rounding moves the eigenvalues of a matrix that has them, typically: sqrt(p) eps times the largest."""
    return float(np.sqrt(len(values)) * eps * np.abs(values).max(initial=0.0))
