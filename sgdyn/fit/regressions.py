"""Least squares within replicas: a constant for each, the same coefficients for all."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FOLDS = 5
ALIKE = 1e-6
"""A term of which the terms before leave so small a part of the variance is no term of its own."""
CONSTANT = 1e-12
"""A term whose variation is so small a part of its size is constant but for rounding."""


@dataclass(frozen=True, eq=False)
class Regression:
    """y (replica, time) = constant of the replica + terms (replica, time, m) . coefficients (m,)."""

    y: Floats
    terms: Floats

    def part(self, *kept: int) -> Regression:
        """With some of the terms alone."""
        return Regression(self.y, self.terms[..., list(kept)])

    def products(self, mean: Regression | None = None) -> Floats:
        """Products (replica, time, 1 + m, 1 + m) of (y, terms) about their means in each replica (or in those of `mean`)."""
        z, about = (np.concatenate([r.y[..., None], r.terms], axis=-1) for r in (self, mean or self))
        z = z - about.mean(axis=1, keepdims=True)
        return np.asarray(z[..., :, None] * z[..., None, :])

    def between(self, first: int, last: int) -> tuple[Regression, Regression]:
        """(the times from first to before last, all others)."""
        inner = slice(first, last)
        return Regression(self.y[:, inner], self.terms[:, inner]), Regression(
            np.delete(self.y, inner, axis=1), np.delete(self.terms, inner, axis=1)
        )


def independent(r: Regression) -> list[int]:
    """The terms that vary, and are not combinations of those before."""
    total = r.products().sum(axis=(0, 1))
    square = np.sum(r.terms**2, axis=(0, 1))
    kept: list[int] = []
    for i in range(1, len(total)):
        others = [j + 1 for j in kept]
        rest = total[i, i] - total[i, others] @ np.linalg.lstsq(total[np.ix_(others, others)], total[others, i])[0]
        if total[i, i] > CONSTANT**2 * square[i - 1] and rest > ALIKE * total[i, i]:
            kept.append(i - 1)
    return kept


def solved(total: Floats) -> Floats:
    """The coefficients (m,) of sums of products (1 + m, 1 + m)."""
    scale = np.sqrt(np.diag(total)[1:])
    normal = total[1:, 1:] / np.outer(scale, scale)
    return np.asarray(np.linalg.solve(normal, total[1:, 0] / scale) / scale)


def explained(total: Floats, coefficients: Floats) -> float:
    """The part of the sum of squares of y, in sums of products, that the coefficients explain."""
    rest = total[0, 0] - 2 * total[0, 1:] @ coefficients + coefficients @ total[1:, 1:] @ coefficients
    return float(1 - rest / total[0, 0]) if total[0, 0] > 0 else 0.0


def memory(y: Floats) -> int:
    """The lag at which the combination of series (replica, time, m) that lasts longest keeps 1/e of itself, within a factor of two; a quarter at most."""
    root = np.sqrt(np.mean(y**2, axis=(0, 1)))
    z = y[..., root > 0] / root[root > 0]
    lag = 1
    while lag < z.shape[1] // 4 and z.shape[2]:
        C = np.tensordot(z[:, lag:], z[:, :-lag], axes=((0, 1), (0, 1))) / (z.shape[0] * (z.shape[1] - lag))
        if np.linalg.eigvalsh((C + C.T) / 2)[-1] < np.exp(-1):
            break
        lag *= 2
    return lag


def scores(r: Regression) -> Floats:
    """What is left of y times each term (replica, time, m), both about their means in each replica: their sum is zero at the fit."""
    z = np.concatenate([r.y[..., None], r.terms], axis=-1)
    z = z - z.mean(axis=1, keepdims=True)
    rest = z[..., 0] - z[..., 1:] @ solved(r.products().sum(axis=(0, 1)))
    return np.asarray(rest[..., None] * z[..., 1:])


def fitted(r: Regression) -> float:
    """R2 of the whole, with as many terms as are independent."""
    total = r.part(*independent(r)).products().sum(axis=(0, 1))
    return explained(total, solved(total))


def outside(r: Regression) -> tuple[float, Floats]:
    """(R2 in fifths of the times that were left out in turn, coefficients of the whole); constants and means too are those of the other fifths."""
    edges = np.linspace(0, r.y.shape[1], FOLDS + 1).astype(int)
    rest = square = 0.0
    for first, last in pairwise(edges.tolist()):
        inner, others = r.between(first, last)
        total = inner.products(others).sum(axis=(0, 1))
        part = explained(total, solved(others.products().sum(axis=(0, 1))))
        rest, square = rest + (1 - part) * float(total[0, 0]), square + float(total[0, 0])
    return (1 - rest / square if square > 0 else 0.0), solved(r.products().sum(axis=(0, 1)))
