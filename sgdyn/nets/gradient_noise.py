"""D, the centred covariance of the gradients of single samples, as a linear operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.nets.network import Network
from sgdyn.nets.operators import BUDGET
from sgdyn.nets.sampler import make_sampler
from sgdyn.nets.second_moments import SecondMoments
from sgdyn.nets.vectors import numpy_of

if TYPE_CHECKING:
    from sgdyn.nets.gaussianity import NoiseTails

Floats = NDArray[np.float64]


class GradientNoise(SecondMoments):
    """D = (1/N) sum_i (g_i - g)(g_i - g)' (p, p), g_i the gradient of the loss of sample i, g their mean.

    Weight decay, the same for all samples, drops out. A batch of B drawn with replacement has the gradient covariance D/B, one drawn
    without replacement (N - B)/(N - 1) of that. Products never form a matrix: centring happens in the N-vector of g_i . v.
    method: how eigenvalues are found, "auto" (see `plan`), "dense", "gram" or "lanczos". ghosts: products from what the layers kept of
    one pass (None: where they allow it, and it fits into `budget` bytes).
    """

    centred = True

    def __init__(
        self, network: Network, method: str = "auto", *, ghosts: bool | None = None, budget: float = BUDGET
    ) -> None:
        super().__init__(network, method, ghosts=ghosts, budget=budget)

    def projected(self, V: ArrayLike) -> Floats:
        """V' D V (k, k)."""
        coordinates = self.coordinates(V)
        return np.asarray(coordinates.T @ coordinates / self.network.n)

    def sample(
        self, n: int, *, batch: int = 1, replacement: bool = True, gaussian: bool = False, directions: ArrayLike | None = None,
        seed: int | np.random.SeedSequence | None = None,
    ) -> Floats:  # fmt: skip
        """n draws (n, p) of a batch's gradient minus the mean gradient: covariance D/batch, without replacement (N - B)/(N - 1) of that.

        gaussian: normal vectors with that covariance instead of batches. directions (p, k): coordinates (n, k) along them instead of
        vectors, by k products in all.
        """
        weights = self._weights(checks.count("n", n), checks.count("batch", batch), replacement, gaussian, seed)
        if directions is not None:
            return np.asarray(weights @ self.coordinates(directions))
        rows = torch.as_tensor(weights).to(self.network.weights)
        return np.stack([numpy_of(self.pull(u)) for u in rows])

    def tails(self, **options: Any) -> NoiseTails:
        """Skewness, kurtosis and tails along the top eigenvectors and random directions, beside Gaussian noise (see `sgdyn.nets.noise_tails`)."""
        from sgdyn.nets.gaussianity import noise_tails

        return noise_tails(self, **options)

    def _weights(self, n: int, batch: int, replacement: bool, gaussian: bool, seed: Any) -> Floats:
        """(n, N): a draw is sum_i u_i g_i, with sum_i u_i = 0."""
        N = self.network.n
        name = "replacement" if checks.truth("replacement", replacement) else "without"
        sampler = make_sampler(name, n=N, batch=batch, seed=seed)
        if gaussian:
            z = np.random.default_rng(checks.seed_sequence(seed)).standard_normal((n, N))
            factor = 1.0 if replacement else (N - batch) / (N - 1)
            return np.asarray((z - z.mean(1, keepdims=True)) * np.sqrt(factor / (batch * N)))
        drawn = sampler.indices(0, np.arange(n))
        counts = np.zeros((n, N))
        np.add.at(counts, (np.arange(n)[:, None], drawn), 1.0)
        return counts / batch - 1.0 / N
