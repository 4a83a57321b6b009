"""Symmetric matrices as sums of squares of whole-number vectors: D = sum_k lambda_k e_k e_k', lambda_k >= 0."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ROUNDING = 1e-13


@dataclass(frozen=True)
class Decomposition:
    """offsets (n, m, dim) whole numbers and weights (n, m) >= 0 of n matrices; `added` (n,) is the share of the trace that was added.

    Thin matrices need far offsets: where they would reach beyond the limit, the smallest eigenvalues were raised until they did not.
    """

    offsets: Integers
    weights: Floats
    added: Floats

    def of(self, rows: NDArray[np.intp]) -> Decomposition:
        return Decomposition(self.offsets[rows], self.weights[rows], self.added[rows])


def decomposed(D: Floats, reach: int) -> Decomposition:
    """Selling's decomposition of matrices (n, dim, dim), dim <= 3, with offsets of at most `reach` along each axis.

    Sources: Selling 1874; Fehrenbach and Mirebeau, J. Math. Imaging Vis. 49 (2014).
    """
    offsets, weights, far = _reduced(D, reach)
    added = np.zeros(len(D))
    share = 0.25 / reach**2
    while np.any(far):
        raised = D[far] + share * np.trace(D[far], axis1=1, axis2=2)[:, None, None] * np.eye(D.shape[-1])
        offsets[far], weights[far], still = _reduced(raised, reach)
        added[far] = share * D.shape[-1]
        far[far] = still
        share *= 2
    return Decomposition(offsets, weights, added)


def _reduced(D: Floats, reach: int) -> tuple[Integers, Floats, NDArray[np.bool_]]:
    """Offsets and weights, and which matrices need an offset beyond the reach."""
    n, dim = D.shape[:2]
    if dim == 1:
        return np.ones((n, 1, 1), dtype=np.int64), D[:, :, 0].copy(), np.zeros(n, dtype=bool)
    base, lost = _obtuse(D, 16 * reach)
    pairs = list(combinations(range(dim + 1), 2))
    weights = np.stack([-_product(D, base[:, i], base[:, j]) for i, j in pairs], axis=1)
    offsets = np.stack([_normal(base, [k for k in range(dim + 1) if k not in pair]) for pair in pairs], axis=1)
    tolerance = ROUNDING * np.trace(D, axis1=1, axis2=2)[:, None] * (1 + np.abs(offsets).max(axis=(1, 2))[:, None] ** 2)
    weights = np.where(weights > tolerance, weights, 0.0)
    return offsets, weights, lost | np.any((np.abs(offsets).max(axis=2) > reach) & (weights > 0), axis=1)


def _product(D: Floats, u: Integers, v: Integers) -> Floats:
    return np.asarray(np.einsum("ni,nij,nj->n", u.astype(float), D, v.astype(float)))


def _normal(base: Integers, others: list[int]) -> Integers:
    """The vector that is perpendicular to the others of the superbase."""
    if len(others) == 1:
        v = base[:, others[0]]
        return np.stack([-v[:, 1], v[:, 0]], axis=1)
    return np.asarray(np.cross(base[:, others[0]], base[:, others[1]]))


def _obtuse(D: Floats, limit: int) -> tuple[Integers, NDArray[np.bool_]]:
    """Superbases (n, dim + 1, dim) of the whole numbers that are obtuse in the metric D, and which were given up beyond the limit."""
    n, dim = D.shape[:2]
    base = np.tile(np.vstack([np.eye(dim, dtype=np.int64), -np.ones((1, dim), dtype=np.int64)]), (n, 1, 1))
    scale, active, lost = ROUNDING * np.trace(D, axis1=1, axis2=2), np.arange(n), np.zeros(n, dtype=bool)
    while len(active):
        changed = np.zeros(len(active), dtype=bool)
        for i, j in combinations(range(dim + 1), 2):
            chosen = base[active]
            product = _product(D[active], chosen[:, i], chosen[:, j])
            if not (product > 0).any():
                continue
            acute = product > scale[active] * np.abs(chosen).max(axis=(1, 2)) ** 2
            base[active[acute]] = _turned(chosen[acute], i, j)
            changed |= acute
        lost[active] = np.abs(base[active]).max(axis=(1, 2)) > limit
        active = active[changed & ~lost[active]]
    return base, lost


def _turned(base: Integers, i: int, j: int) -> Integers:
    """The superbase after one step of Selling's algorithm at the acute pair (i, j)."""
    others = [k for k in range(base.shape[1]) if k not in (i, j)]
    turned = base.copy()
    turned[:, others] += (2 // len(others)) * base[:, [i]]
    turned[:, i] = -base[:, i]
    return turned
