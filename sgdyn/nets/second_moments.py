"""Averages of g_i g_i' over the gradients of single samples, centred or not, as linear operators."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.func import grad

from sgdyn.estimate import Estimate
from sgdyn.linalg.densities import SpectralDensity
from sgdyn.linalg.plans import Cost
from sgdyn.linalg.spectra import Spectrum, dense_spectrum
from sgdyn.nets.derivatives import each
from sgdyn.nets.ghosts import Ghosts, GhostSource
from sgdyn.nets.gram import by_gram, gram_density, whole_gram
from sgdyn.nets.moment_plans import METHODS, moment_plan, moment_price
from sgdyn.nets.network import Network
from sgdyn.nets.operators import BUDGET, NetworkOperator
from sgdyn.nets.trees import Tree, mapped, take
from sgdyn.nets.vectors import numpy_of

Floats = NDArray[np.float64]

ROW_BYTES = 256 * 2**20


class SecondMoments(NetworkOperator):
    """(1/N) sum_i g_i g_i' (p, p), g_i the gradient of the loss of sample i, minus their mean if `centred`."""

    centred = False

    def __init__(
        self, network: Network, method: str = "auto", *, ghosts: bool | None = None, budget: float = BUDGET
    ) -> None:
        if method not in METHODS:
            raise ValueError(f"got method={method!r}, expected one of {', '.join(map(repr, METHODS))}")
        super().__init__(network)
        self.method, self.budget, self._wanted = method, budget, ghosts
        self._by_gram: SpectralDensity | None = None

    @cached_property
    def source(self) -> GhostSource:
        """Whether the layers give the gradients, and at what cost."""
        if self._wanted is False:
            return GhostSource(self.network, {}, {}, "ghosts=False")
        found = GhostSource.of(self.network)
        if self._wanted and not found.possible:
            raise ValueError(f"got ghosts=True for a network where {found.reason}; type ghosts=None")
        return found

    @cached_property
    def ghosts(self) -> Ghosts | None:
        """What the layers kept of one pass, if it is to be had and fits."""
        fits = self._wanted or self.source.bytes <= self.budget
        return self.source.kept if self.source.possible and fits else None

    @cached_property
    def mean(self) -> Tensor:
        """g, the mean gradient (p,) without weight decay."""
        if self.ghosts is None:
            return self.network.mean_gradient()
        return self.ghosts.pull(torch.ones_like(self.network.weights[:1]).expand(self.network.n)) / self.network.n

    @property
    def rank(self) -> int:
        """More nonzero eigenvalues there cannot be."""
        return min(self.network.dim, self.network.n - self.centred)

    def push(self, v: Tensor) -> Tensor:
        """g_i . v (N,), centred if the operator is, for v (p,)."""
        u = (self.network.push(v) if self.ghosts is None else self.ghosts.push(v)).double()
        return u - u.mean() if self.centred else u

    def pull(self, u: Tensor) -> Tensor:
        """sum_i u_i g_i (p,) for u (N,)."""
        return self.network.pull(u.to(self.network.weights)) if self.ghosts is None else self.ghosts.pull(u)

    def apply(self, v: Tensor) -> Tensor:
        """The product (p,) with a tensor v (p,)."""
        return self.pull(self.push(v) / self.network.n)

    def _matmat(self, V: Floats) -> Floats:
        columns = torch.as_tensor(np.ascontiguousarray(V.T)).to(self.network.weights)
        return numpy_of(torch.stack([self.apply(column) for column in columns], 1))

    def rows(self) -> Iterator[Tensor]:
        """The gradients g_i of single samples, minus g if centred, block by block (block, p)."""
        net = self.network
        size = max(1, min(net.chunk, ROW_BYTES // (8 * net.dim)))
        parts = (slice(start, start + size) for start in range(0, net.n, size))
        for part in parts:
            block = self._singles(part) if self.ghosts is None else self.ghosts.rows(part)
            yield block - self.mean if self.centred else block

    def _singles(self, part: slice) -> Tensor:
        """g_i of some samples by a backward pass each."""
        net = self.network

        def loss(w: Tensor, x: Tree, y: Tensor) -> Tensor:
            return net.losses(w, mapped(lambda a: a[None], x), y[None])[0]

        found: Tensor = each(grad(loss), (None, 0, 0))(net.weights, take(net.x, part), net.y[part])
        return found

    def coordinates(self, V: ArrayLike) -> Floats:
        """V' g_i, centred if the operator is, of all samples (N, k) for directions V (p, k)."""
        columns = torch.as_tensor(np.asarray(V, dtype=np.float64)).to(self.network.weights)
        return numpy_of(torch.stack([self.push(column.contiguous()) for column in columns.T], dim=1))

    def trace(self, *, method: str = "auto", **options: Any) -> Estimate:
        """The trace, exactly: the mean squared size of the gradients; the error is rounding. Other methods: see `SymmetricOperator`."""
        if method != "auto":
            return super().trace(method=method, **options)
        if self.ghosts is None:
            total = sum(float(block.double().square().sum()) for block in self.rows()) / self.network.n
            lost = float(self.mean.double().square().sum()) if self.centred else 0.0
            return Estimate(total, self._rounding(_of_differences(total, lost)), "all gradients, rounding")
        raw = float(self.ghosts.squares().mean())
        mean = float(self.mean.double().square().sum()) if self.centred else 0.0
        return Estimate(raw - mean, self._rounding(raw), "all gradients, rounding")

    def diag(self, **options: Any) -> Estimate:
        """The diagonal (p,), exactly: the mean squares of the gradients' components; the errors are rounding."""
        if self.ghosts is None:
            raw = sum(numpy_of(block.double().square().sum(0)) for block in self.rows()) / self.network.n
            lost = numpy_of(self.mean) ** 2 if self.centred else 0.0
            return Estimate(raw, self.space.eps * _of_differences(raw, lost), "all gradients, rounding")
        raw = numpy_of(self.ghosts.column_squares()) / self.network.n
        mean = numpy_of(self.mean) ** 2 if self.centred else 0.0
        return Estimate(np.maximum(raw - mean, 0.0), 4 * self.space.eps * raw, "all gradients, rounding")

    def dense(self) -> Floats:
        """The whole matrix (p, p)."""
        total = torch.zeros((self.network.dim,) * 2, dtype=torch.float64, device=self.network.weights.device)
        for block in self.rows():
            total += block.double().T @ block.double()
        return numpy_of(total / self.network.n)

    def gram(self, checkpoint: str | Path | None = None) -> Floats:
        """The matrix g_i . g_j/N (N, N), of centred gradients if the operator is; its nonzero eigenvalues are those of the operator.

        checkpoint: a folder for what is there of it, from which the same question goes on after a crash.
        """
        return numpy_of(self.gram_tensor(checkpoint))

    def gram_tensor(self, checkpoint: str | Path | None = None) -> Tensor:
        """`gram()` where the network is."""
        total = whole_gram(self, checkpoint)
        if self.centred and self.source.possible:
            mean = total.mean(0)
            total -= mean - mean.mean()
            total -= mean[:, None]
        total /= self.network.n
        return total

    def _method(self, method: str, k: int = 1) -> str:
        if method not in METHODS:
            raise ValueError(f"got method={method!r}, expected one of {', '.join(map(repr, METHODS))}")
        if method == "auto":
            method = self.method
        return self.ways().chosen if method == "auto" else method

    ways = moment_plan

    def price(self, kind: str) -> Cost:
        """Seconds and operations of a "product", of dense "algebra", and of what `moment_price` knows."""
        return super().price(kind) if kind in ("product", "algebra") else moment_price(self, kind)

    def on(self, network: Network) -> Self:
        """The same kind of matrix, with the same settings, of another network."""
        other = super().on(network)
        other._by_gram = None
        return other

    def _count(self, k: int) -> int:
        if super()._count(k) > self.rank:
            raise ValueError(f"got k={k}, expected at most {self.rank}: there are no more nonzero eigenvalues")
        return k

    def top(
        self, k: int = 10, *, method: str = "auto", checkpoint: str | Path | None = None, **options: Any
    ) -> Spectrum:
        """The k largest eigenvalues with vectors and residuals (options: those of `SymmetricOperator.top`).

        method: as given to the operator, or "dense", "gram" (all at once, from the inner products of the gradients) or "lanczos".
        """
        k, chosen = self._count(k), self._method(method)
        if chosen == "dense":
            return dense_spectrum(self.dense(), k, self.space.eps)
        if chosen == "gram":
            return by_gram(self, k, checkpoint)
        return super().top(k, method="lanczos", checkpoint=checkpoint, **options)

    def _exact(self, method: str, checkpoint: str | Path | None = None) -> SpectralDensity | None:
        chosen = self._method(method)
        if chosen == "lanczos":
            return None
        if chosen == "dense" and self.network.n >= self.network.dim:
            return self._all
        if self._by_gram is None:
            self._by_gram = gram_density(self, checkpoint)
        return self._by_gram


def _of_differences(square: Any, mean: Any) -> Any:
    """What rounding is relative to in a mean square of differences: gradients that were rounded before their mean was taken off."""
    return square + 2 * np.sqrt(square * (square + mean))
