"""How alike two symmetric matrices and two subspaces are, beside what chance gives."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate
from sgdyn.linalg.operators import SymmetricOperator
from sgdyn.linalg.spectra import Spectrum

Floats = NDArray[np.float64]


def leading(operator: SymmetricOperator, k: int, limit: int) -> Spectrum:
    """k eigenpairs and one more, by whose distance the subspace of the k is known. Raises ValueError if there are not k + 1."""
    if k + 1 > limit:
        raise ValueError(
            f"got k={k}, expected at most {limit - 1}: a subspace is told by the gap to the next eigenvalue"
        )
    return operator.top(k + 1)


def subspace_error(spectrum: Spectrum, k: int, eps: float) -> float:
    """A bound of |P - P'|_F for the projector on the k leading eigenvectors: sqrt(2) |residuals|/gap (Davis and Kahan 1970), and rounding.

    Infinite where the gap to the next eigenvalue is within the residuals.
    """
    errors = spectrum.residuals + spectrum.floor
    gap = float(spectrum.values[k - 1] - spectrum.values[k] - errors[k - 1] - errors[k])
    return math.sqrt(2) * float(np.linalg.norm(errors[:k])) / gap + k * eps if gap > 0 else math.inf


def subspace_overlap(first: Spectrum, second: Spectrum, k: int, eps: float) -> Estimate:
    """|V'W|_F²/k of the k leading eigenvectors of two matrices: 1 for the same subspace, k/p on average for random ones.

    The error is a bound from the residuals and the gaps to the next eigenvalues (`subspace_error`).
    """
    value = float(np.square(first.vectors[:, :k].T @ second.vectors[:, :k]).sum() / k)
    size = sum(subspace_error(spectrum, k, eps) for spectrum in (first, second)) / math.sqrt(k)
    said = f"{k} leading eigenvectors, bound by residuals and gaps"
    if size < 1:
        return Estimate(min(value, 1.0), size, said)
    note = f"the eigenvalues {k} and {k + 1} are not apart: these subspaces are not defined; take another k"
    return Estimate(min(value, 1.0), 1.0, said, warnings=(note,))


def chance(traces: tuple[float, float], squares: tuple[float, float], p: int) -> tuple[float, float]:
    """Mean and standard deviation of tr(A O B O') over random rotations O, from the traces of A, B and of their squares.

    Traceless symmetric matrices are one irreducible representation of O(p), of dimension (p - 1)(p + 2)/2, so that the square of their inner
    product has the mean tr(A²) tr(B²) over that dimension (Schur's lemma).
    """
    mean = traces[0] * traces[1] / p
    first, second = (max(square - trace**2 / p, 0.0) for trace, square in zip(traces, squares, strict=True))
    dimension = (p - 1) * (p + 2) / 2
    return mean, math.sqrt(first * second / dimension) if dimension else 0.0


def overlap_by_chance(k: int, p: int) -> Estimate:
    """The overlap of two random subspaces of k of p dimensions: k/p, with its standard deviation as the error."""
    mean, spread = chance((float(k), float(k)), (float(k), float(k)), p)
    return Estimate(mean / k, spread / k, "random subspaces, standard deviation")
