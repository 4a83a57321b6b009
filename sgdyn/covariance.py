"""Covariance matrices: their semidefinite root, and whether a function of x gives symmetric ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn.codegen.jit import PIVOT_TOLERANCE
from sgdyn.fields import Field

Floats = NDArray[np.float64]


def semidefinite_cholesky(D: ArrayLike) -> Floats:
    """Lower triangular L (..., dim, dim) with L L' = D, exact for singular D: a zero pivot gives a zero column, a negative one NaN."""
    rest = np.array(D, dtype=np.float64)
    scale = np.abs(np.diagonal(rest, axis1=-2, axis2=-1)) * PIVOT_TOLERANCE
    L = np.zeros_like(rest)
    for j in range(rest.shape[-1]):
        pivot = rest[..., j, j]
        positive = pivot > scale[..., j]
        root = np.sqrt(np.where(positive, pivot, 1.0))
        column = np.where(positive[..., None], rest[..., j:, j] / root[..., None], 0.0)
        column[..., 0] = np.where(pivot < -scale[..., j], np.nan, column[..., 0])
        L[..., j:, j] = column
        rest[..., j:, j:] -= column[..., :, None] * column[..., None, :]
    return L


def check_symmetric(matrix: Field) -> None:
    """Compare D with its transpose at random points near and far."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, matrix.dim)) * np.geomspace(0.1, 10, 16)[:, None]
    with np.errstate(all="ignore"):
        values = matrix(x)
        difference = np.abs(values - np.swapaxes(values, -1, -2))
        wrong = difference > 1e-9 * np.abs(values).max(axis=(-1, -2), keepdims=True)
    if np.any(wrong):
        n, i, j = (int(k) for k in np.argwhere(wrong)[0])
        raise ValueError(
            f"got D[{i},{j}] = {values[n, i, j]:.6g} and D[{j},{i}] = {values[n, j, i]:.6g} at x = {np.array2string(x[n], threshold=6)}, "
            "expected a symmetric matrix; type (D + D.T)/2 if that is meant"
        )
