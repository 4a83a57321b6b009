"""The Maas metric of a grid: cells joined by edges, along which mass flows at a rate that depends on the density at both ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg

from sgdyn.density.generator import Generator
from sgdyn.density.lattice import bernoulli

Floats = NDArray[np.float64]
Map = Callable[[Floats], Floats]

SMALL = 0.1


@dataclass(frozen=True, eq=False)
class Network:
    """The edges of a `Generator` in detailed balance with reference masses pi. With u = p/pi the edge (i, j) of conductance K = pi_i q_ij has
    the mobility K theta(u_i, u_j), theta the logarithmic mean (a - b)/log(a/b): then the generator's flow is steepest descent of sum p log u.

    Matrices have the pattern of the edges; those called scaled are divided by sqrt(p_i p_j) and hold no number that could overflow.
    Sources: Maas, J. Funct. Anal. 261 (2011); Mielke, Nonlinearity 24 (2011).
    """

    generator: Generator

    @cached_property
    def size(self) -> int:
        return self.generator.grid.size

    @cached_property
    def i(self) -> NDArray[np.intp]:
        return self.generator.lattice.edges.i

    @cached_property
    def j(self) -> NDArray[np.intp]:
        return self.generator.lattice.edges.j

    @cached_property
    def log_masses(self) -> Floats:
        assert self.generator.log_masses is not None
        return self.generator.log_masses

    @cached_property
    def coupling(self) -> Floats:
        """K/sqrt(pi_i pi_j), (edges,)."""
        g = self.generator
        means = np.sqrt(bernoulli(g.climb) * bernoulli(-g.climb))
        return np.asarray(g.lattice.edges.strength * means / np.sqrt(g.volumes[self.i] * g.volumes[self.j]))

    @cached_property
    def _order(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """Where the diagonal, the (i, j) and the (j, i) elements stand in compressed rows."""
        cells = np.arange(self.size)
        places = (np.r_[cells, self.i, self.j], np.r_[cells, self.j, self.i])
        numbered = sparse.csr_array((np.arange(len(places[0])), places), shape=(self.size,) * 2)
        numbered.sort_indices()
        return numbered.data, numbered.indices, numbered.indptr

    def matrix(self, diagonal: Floats, upper: Floats, lower: Floats) -> sparse.csr_array:
        """The matrix with these elements at (i, i), (i, j) and (j, i)."""
        order, indices, pointers = self._order
        values = np.concatenate([diagonal, upper, lower])[order]
        return sparse.csr_array((values, indices, pointers), shape=(self.size,) * 2)

    def gather(self, at_i: Floats, at_j: Floats) -> Floats:
        """Sums over the edges that begin and end in each cell, (cells,)."""
        sums = np.bincount(self.i, at_i, self.size) + np.bincount(self.j, at_j, self.size)
        return np.asarray(sums, dtype=np.float64)

    def rise(self, x: Floats) -> Floats:
        """x_i - x_j along the edges."""
        return np.asarray(x[self.i] - x[self.j])

    def laplacian(self, weights: Floats, scale: Floats | None = None, shift: Floats | float = 0.0) -> sparse.csr_array:
        """shift + sum of weights (e_i - e_j)(e_i - e_j)', both sides divided by `scale`."""
        s = np.ones(self.size) if scale is None else scale
        off = -weights / (s[self.i] * s[self.j])
        return self.matrix(shift + self.gather(weights, weights) / s**2, off, off)


def logarithmic(x: Floats) -> tuple[Floats, Floats, Floats]:
    """S = sinh(x/2)/(x/2), its derivative S' and 2 S'/x: sqrt(u_i u_j) S(log u_i - log u_j) is the logarithmic mean of u_i and u_j."""
    near, square = np.abs(x) < SMALL, x * x
    y = np.where(near, 1.0, x)
    S = np.where(near, 1 + square / 24 * (1 + square / 80 * (1 + square / 168)), np.sinh(y / 2) / (y / 2))
    series = (1 + square / 40 * (1 + square / 112 * (1 + square / 216))) / 6
    slope = np.where(near, series, 2 * (np.cosh(y / 2) - S) / (y * y))
    return S, 0.5 * x * slope, slope


def conjugate_gradients(A: Map, b: Floats, inverse: Map, tolerance: float, most: int = 200) -> tuple[Floats, int]:
    """x with A x = b, A symmetric and positive, and the number of iterations; `tolerance` is relative, in the norm of `inverse`, which is near
    to that of A."""
    x, r = np.zeros_like(b), b
    z = inverse(r)
    p, size = z, float(r @ z)
    goal = tolerance**2 * size
    for k in range(most):
        if size <= goal:
            return x, k
        q = A(p)
        step = size / float(p @ q)
        x, r = x + step * p, r - step * q
        z = inverse(r)
        before, size = size, float(r @ z)
        p = z + size / before * p
    return x, most


def factors(matrix: sparse.csr_array) -> Any:
    """The factors of a symmetric positive definite matrix."""
    options = {"SymmetricMode": True, "DiagPivotThresh": 0.0}
    return linalg.splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", options=options)
