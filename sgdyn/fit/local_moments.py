"""Moments of a run's increments around points: kernel sums over stretches, and the local polynomials that they determine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.fit.stretches import BLOCKS, Series

Floats = NDArray[np.float64]

DEGREE = 2
"""Of the local polynomials: the fit of degree 2 is the local linear one with its bias taken off."""
ROWS = 4096
"""Start points whose weights are held at once."""


@dataclass(frozen=True, eq=False)
class Stretch:
    """z (n, k): start points, standardised; ahead (lags, n, k): their increments over 1, 2, ... times, in the same units.

    rest (lags, n, k): what of them is left without the mean increment at z, once that is known.
    """

    z: Floats
    ahead: Floats
    rest: Floats | None = None

    def thinned(self, every: int) -> Stretch:
        """One start point in `every`."""
        return Stretch(self.z[::every], self.ahead[:, ::every], None if self.rest is None else self.rest[:, ::every])


@dataclass(frozen=True, eq=False)
class Pieces:
    """A run in parts that the jackknife leaves out; x = center + scale z."""

    parts: tuple[Stretch, ...]
    center: Floats
    scale: Floats
    dt: float

    @property
    def dim(self) -> int:
        return len(self.center)

    @property
    def count(self) -> int:
        """Of transitions."""
        return sum(len(part.z) for part in self.parts)

    def thinned(self, every: int) -> Pieces:
        return replace(self, parts=tuple(part.thinned(every) for part in self.parts))

    def standard(self, x: Floats) -> Floats:
        return np.asarray((x - self.center) / self.scale)


def pieces(run: Series, lags: int) -> Pieces:
    """The increments of a run over up to `lags` times, in some 60 parts. Raises ValueError for a coordinate that never moves."""
    center, scale = run.x.mean(axis=(0, 1)), run.x.std(axis=(0, 1))
    if np.any(still := scale <= 1e-12 * np.abs(center)):
        raise ValueError(
            f"got coordinate {int(np.argmax(still))} that never moves, expected ones that do; leave it out of the recording"
        )
    y = (run.x - center) / scale
    found = [_stretch(y[r], a, min(b, y.shape[1] - lags), lags) for r, a, b in run.stretches()]
    gathered = [
        _joined([found[i] for i in part]) for part in np.array_split(np.arange(len(found)), BLOCKS) if len(part)
    ]
    return Pieces(tuple(gathered), center, scale, run.dt)


def _stretch(y: Floats, first: int, last: int, lags: int) -> Stretch:
    return Stretch(y[first:last], np.stack([y[first + j : last + j] - y[first:last] for j in range(1, lags + 1)]))


def _joined(parts: Sequence[Stretch]) -> Stretch:
    return Stretch(np.concatenate([p.z for p in parts]), np.concatenate([p.ahead for p in parts], axis=1))


def monomials(z: Floats, degree: int) -> Floats:
    """Products of up to `degree` coordinates (n, count), in order of their degree."""
    return np.stack([np.prod(z[:, list(c)], axis=1) for c in exponents(z.shape[1], degree)], axis=1)


def exponents(dim: int, degree: int) -> list[tuple[int, ...]]:
    """The coordinates of which each monomial is the product."""
    return [c for d in range(degree + 1) for c in combinations_with_replacement(range(dim), d)]


def _slopes(z: Floats, degree: int) -> Floats:
    """Derivatives of the monomials (n, count, k)."""
    rows = [[_power(z, c, a) for a in range(z.shape[1])] for c in exponents(z.shape[1], degree)]
    return np.asarray(np.moveaxis(np.array(rows), -1, 0))


def _power(z: Floats, c: tuple[int, ...], axis: int) -> Floats:
    """The derivative of one monomial along one axis (n,)."""
    if axis not in c:
        return np.zeros(len(z))
    rest = list(c)
    rest.remove(axis)
    return np.asarray(c.count(axis) * np.prod(z[:, rest], axis=1))


def _weights(z: Floats, nodes: Floats, h: Floats) -> Floats:
    """Gaussian kernels (n, node), 1 at the node; nodes on a grid share their factors."""
    total = np.ones((len(z), len(nodes)))
    for a in range(z.shape[1]):
        places, which = np.unique(nodes[:, a], return_inverse=True)
        total *= np.exp(-0.5 * ((z[:, a, None] - places) / h[a]) ** 2)[:, which]
    return total


def kernel_sums(
    run: Pieces, nodes: Floats, h: Floats, responses: Callable[[Stretch], Floats], degree: int = DEGREE
) -> Floats:
    """Weighted sums (part, row, node): of monomials up to twice the degree, then of (monomial up to the degree) times (response)."""
    return np.stack([_part(part, nodes, h, responses(part), degree) for part in run.parts])


def _part(part: Stretch, nodes: Floats, h: Floats, values: Floats, degree: int) -> Floats:
    basis, products = len(exponents(part.z.shape[1], degree)), monomials(part.z, 2 * degree)
    loads = products[:, :basis, None] * values[:, None, :]
    rows = np.concatenate([products, loads.reshape(len(loads), -1)], axis=1)
    cuts = range(0, len(rows), ROWS)
    return np.asarray(sum(rows[i : i + ROWS].T @ _weights(part.z[i : i + ROWS], nodes, h) for i in cuts))


def local_fit(total: Floats, nodes: Floats, degree: int, summed: int = DEGREE) -> tuple[Floats, Floats]:
    """(values (node, response), slopes (node, response, k)) at the nodes, by the polynomials of least weighted squares.

    summed: the degree that the sums were made for. Source: Fan and Gijbels, Local Polynomial Modelling (1996), ch. 3.
    """
    matrix, count = _gram(total, nodes.shape[1], degree, summed)
    loads = total[count:].reshape(len(exponents(nodes.shape[1], summed)), -1, len(nodes))[: matrix.shape[1]]
    found = np.linalg.solve(matrix, np.moveaxis(loads, -1, 0))
    at, along = monomials(nodes, degree), _slopes(nodes, degree)
    return np.einsum("pb,pbr->pr", at, found), np.einsum("pbk,pbr->prk", along, found)


def support(total: Floats, nodes: Floats, degree: int = DEGREE) -> Floats:
    """How many transitions that start at a node would give its values as well as those around it do, at least (node,)."""
    at, matrix = monomials(nodes, degree), _gram(total, nodes.shape[1], degree, DEGREE)[0]
    leverage = np.einsum("pb,pb->p", at, np.linalg.solve(matrix, at[..., None])[..., 0])
    return np.where((leverage > 0) & (total[0] > 1.0), 1 / np.maximum(leverage, 1e-300), 0.0)


def _gram(total: Floats, dim: int, degree: int, summed: int) -> tuple[Floats, int]:
    """Weighted sums of products of monomials (node, count, count), and in how many rows of the total they stand."""
    rows, used = exponents(dim, 2 * summed), exponents(dim, degree)
    places = {c: i for i, c in enumerate(rows)}
    which = np.array([[places[tuple(sorted(a + b))] for b in used] for a in used])
    return _ridged(np.moveaxis(total[which], -1, 0)), len(rows)


def _ridged(matrix: Floats) -> Floats:
    """Where nothing is near, anything may come out, but no exception."""
    diagonal = np.einsum("pii->pi", matrix)
    return np.asarray(matrix + np.eye(matrix.shape[-1]) * (1e-12 * diagonal + 1e-280)[:, None, :])


def increments(part: Stretch) -> Floats:
    """Responses for the drift: increments over each lag (n, lags k)."""
    return np.asarray(np.moveaxis(part.ahead, 0, 1).reshape(len(part.z), -1))


def squares(part: Stretch) -> Floats:
    """Responses for the noise: products of residual increments over each lag, and their fourth powers over the first (n, lags pairs + k)."""
    assert part.rest is not None
    i, j = pairs(part.z.shape[1])
    products = np.moveaxis(part.rest[..., i] * part.rest[..., j], 0, 1).reshape(len(part.z), -1)
    return np.concatenate([products, part.rest[0] ** 4], axis=1)


def pairs(dim: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The elements of a symmetric matrix that are kept."""
    return np.triu_indices(dim)


def diagonal(dim: int) -> NDArray[np.intp]:
    """Where the squares stand among the pairs."""
    i, j = pairs(dim)
    return np.flatnonzero(i == j)


def symmetric(values: Floats, dim: int) -> Floats:
    """(..., pair) -> (..., k, k)."""
    i, j = pairs(dim)
    out = np.empty((*values.shape[:-1], dim, dim))
    out[..., i, j] = values
    out[..., j, i] = values
    return out
