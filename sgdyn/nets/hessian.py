"""The Hessian of a network's loss as a linear operator."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from sgdyn import checks
from sgdyn.nets.derivatives import each
from sgdyn.nets.network import Network, numpy_of
from sgdyn.nets.spectra import Spectrum, dense_spectrum, lanczos, lowest_pair

Floats = NDArray[np.float64]

DENSE = 512
"""Up to this many parameters the whole matrix is cheaper than iterating."""


class Hessian(LinearOperator):  # type: ignore[misc]
    """The second derivative of U (p, p), weight decay included, by forward-over-reverse differentiation where torch has it."""

    def __init__(self, network: Network) -> None:
        self.network = network
        super().__init__(np.float64, (network.dim, network.dim))

    def apply(self, v: Tensor) -> Tensor:
        """H v (p,) for a tensor v (p,)."""
        net = self.network
        total = torch.zeros_like(v)
        for x, y in net.batches():
            total += net.derivatives.curvature(net.of_weights(x, y), net.weights, v)
        return total / net.n + net.weight_decay * v

    def _matvec(self, v: Floats) -> Floats:
        return numpy_of(self.apply(torch.as_tensor(np.ravel(v)).to(self.network.weights)))

    def _matmat(self, V: Floats) -> Floats:
        columns = torch.as_tensor(np.ascontiguousarray(V.T)).to(self.network.weights)
        together = each(self.apply, (0,))
        return numpy_of(torch.cat([together(part) for part in columns.split(32)]).T)

    def _adjoint(self) -> Hessian:
        return self

    def dense(self) -> Floats:
        """The whole matrix (p, p)."""
        matrix = self._matmat(np.eye(self.network.dim))
        return np.asarray(0.5 * (matrix + matrix.T))

    def top(
        self, k: int = 10, *, tolerance: float = 1e-8, most: int = 1000, seed: int = 0, method: str = "auto"
    ) -> Spectrum:
        """The k largest eigenvalues with vectors and residuals; method "auto" (dense up to 512 parameters), "dense" or "lanczos".

        tolerance: residual relative to the largest eigenvalue (raised to what single precision allows). Raises `NotConvergedError`.
        """
        k = checks.count("k", k)
        if k > self.network.dim:
            raise ValueError(f"got k={k}, expected at most {self.network.dim}, the number of parameters")
        if method not in ("auto", "dense", "lanczos"):
            raise ValueError(f"got method={method!r}, expected 'auto', 'dense' or 'lanczos'")
        if method == "dense" or (method == "auto" and (self.network.dim <= DENSE or k > self.network.dim // 4)):
            return dense_spectrum(self.dense(), k)
        return lanczos(self.apply, self.network.weights, k, tolerance=tolerance, most=most, seed=seed)

    def lowest(self) -> tuple[float, Floats, float]:
        """(value, vector (p,), scale): an upper bound of the lowest eigenvalue with its vector, and the largest |eigenvalue|.

        Exact up to 512 parameters; beyond, from 40 products, good if it stands out by about a percent of the scale.
        """
        if self.network.dim > DENSE:
            return lowest_pair(self.apply, self.network.weights)
        values, vectors = np.linalg.eigh(self.dense())
        return float(values[0]), np.asarray(vectors[:, 0]), float(np.abs(values).max())

    def __repr__(self) -> str:
        return f"Hessian({self.shape[0]} parameters, {self.network.n} samples)"
