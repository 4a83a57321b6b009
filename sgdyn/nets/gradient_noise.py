"""D, the centred covariance of the gradients of single samples, as a linear operator."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.linalg import LinearOperator
from torch import Tensor
from torch.func import grad

from sgdyn import checks
from sgdyn.nets.derivatives import each
from sgdyn.nets.network import Network, numpy_of
from sgdyn.nets.spectra import Spectrum, dense_spectrum, lanczos

Floats = NDArray[np.float64]

DENSE = 4096
GRAM = 10_000
ROW_BYTES = 256 * 2**20
NULL = 1e-12
"""Eigenvalues below this, relative to the largest, are rounding: their vectors G'u are noise."""
METHODS = ("auto", "dense", "gram", "lanczos")


class GradientNoise(LinearOperator):  # type: ignore[misc]
    """D = (1/N) sum_i (g_i - g)(g_i - g)' (p, p), g_i the gradient of the loss of sample i, g their mean.

    Weight decay, the same for all samples, drops out. A batch of B drawn with replacement has the gradient covariance D/B, one drawn
    without replacement (N - B)/(N - 1) of that. Products never form a matrix: centring happens in the N-vector of g_i . v.
    """

    def __init__(self, network: Network, method: str = "auto") -> None:
        if method not in METHODS:
            raise ValueError(f"got method={method!r}, expected one of {', '.join(map(repr, METHODS))}")
        self.network, self.method = network, method
        super().__init__(np.float64, (network.dim, network.dim))

    @cached_property
    def mean(self) -> Tensor:
        """g, the mean gradient (p,) without weight decay."""
        return self.network.mean_gradient()

    def rows(self) -> Iterator[Tensor]:
        """The centred gradients g_i - g of single samples, block by block (block, p)."""
        net = self.network

        def loss(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
            return net.losses(w, x[None], y[None])[0]

        single = each(grad(loss), (None, 0, 0))
        size = max(1, min(net.chunk, ROW_BYTES // (8 * net.dim)))
        for x, y in zip(net.x.split(size), net.y.split(size), strict=True):
            yield single(net.weights, x, y) - self.mean

    def apply(self, v: Tensor) -> Tensor:
        """D v (p,) for a tensor v (p,)."""
        u = self.network.push(v)
        return self.network.pull((u - u.double().mean().to(u.dtype)) / self.network.n)

    def _matvec(self, v: Floats) -> Floats:
        return numpy_of(self.apply(torch.as_tensor(np.ravel(v)).to(self.network.weights)))

    def _adjoint(self) -> GradientNoise:
        return self

    def trace(self) -> float:
        """The trace, exactly: the mean squared size of the centred gradients."""
        return sum(float(block.double().square().sum()) for block in self.rows()) / self.network.n

    def dense(self) -> Floats:
        """The whole matrix (p, p)."""
        total = torch.zeros((self.network.dim,) * 2, dtype=torch.float64, device=self.network.weights.device)
        for block in self.rows():
            total += block.double().T @ block.double()
        return numpy_of(total / self.network.n)

    def gram(self) -> Floats:
        """The matrix (g_i - g).(g_j - g)/N (N, N), whose nonzero eigenvalues are those of D."""
        total = torch.empty((self.network.n,) * 2, dtype=torch.float64, device=self.network.weights.device)
        for i, left in self._numbered_rows():
            for j, right in self._numbered_rows():
                total[i : i + len(left), j : j + len(right)] = left.double() @ right.double().T
        return numpy_of(total / self.network.n)

    def _numbered_rows(self) -> Iterator[tuple[int, Tensor]]:
        start = 0
        for block in self.rows():
            yield start, block
            start += len(block)

    def coordinates(self, V: ArrayLike) -> Floats:
        """V'(g_i - g) of all samples (N, k) for directions V (p, k)."""
        columns = torch.as_tensor(np.asarray(V, dtype=np.float64)).to(self.network.weights)
        pushed = torch.stack([self.network.push(column.contiguous()) for column in columns.T], dim=1).double()
        return numpy_of(pushed - pushed.mean(0))

    def projected(self, V: ArrayLike) -> Floats:
        """V' D V (k, k)."""
        coordinates = self.coordinates(V)
        return np.asarray(coordinates.T @ coordinates / self.network.n)

    def top(self, k: int = 10, *, tolerance: float = 1e-8, most: int = 1000, seed: int = 0) -> Spectrum:
        """The k largest eigenvalues with vectors and residuals.

        By the whole matrix for p <= 4096, else by the Gram matrix for N <= 10,000, else by Lanczos, unless `method` was given.
        """
        k = checks.count("k", k)
        if k > min(self.network.dim, self.network.n - 1):
            raise ValueError(
                f"got k={k}, expected at most {min(self.network.dim, self.network.n - 1)}: D has no more nonzero eigenvalues"
            )
        method = self._choice()
        if method == "dense":
            return dense_spectrum(self.dense(), k)
        if method == "gram":
            return self._by_gram(k)
        return lanczos(self.apply, self.network.weights, k, tolerance=tolerance, most=most, seed=seed)

    def _choice(self) -> str:
        if self.method != "auto":
            return self.method
        return "dense" if self.network.dim <= DENSE else "gram" if self.network.n <= GRAM else "lanczos"

    def _by_gram(self, k: int) -> Spectrum:
        """Eigenvectors G'u/sqrt(N value) from those u of the Gram matrix, completed in the null space of D."""
        small = dense_spectrum(self.gram(), k)
        vectors = np.zeros((self.network.dim, k))
        for i, block in self._numbered_rows():
            vectors += numpy_of(block).T @ small.vectors[i : i + len(block)]
        kept = small.values > NULL * small.values[0]
        values, vectors = np.where(kept, small.values, 0.0), _orthonormal(vectors, kept)
        residuals = np.array(
            [np.linalg.norm(self._matvec(v) - value * v) for v, value in zip(vectors.T, values, strict=True)]
        )
        return Spectrum(values, vectors, residuals, "gram", k)

    def __repr__(self) -> str:
        return f"GradientNoise({self.shape[0]} parameters, {self.network.n} samples)"


def _orthonormal(vectors: Floats, kept: NDArray[np.bool_]) -> Floats:
    """The kept columns (p, k), orthonormal in their order; any directions orthogonal to these in place of the others."""
    filling = np.random.default_rng(0).normal(size=vectors.shape)
    columns = np.where(kept, vectors, filling)
    Q, R = np.linalg.qr(columns / np.linalg.norm(columns, axis=0))
    return np.asarray(Q * np.sign(np.diag(R)))
