"""The loss of a network and its noise on an affine subspace of weight space, evaluated on the network itself."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sgdyn import checks
from sgdyn.fields import Opaque
from sgdyn.nets.derivatives import slope_of
from sgdyn.nets.directional import Together, first, projected, second, third, with_second, with_third
from sgdyn.nets.graphs import graph_bytes
from sgdyn.nets.network import Network
from sgdyn.nets.second_moments import ROW_BYTES
from sgdyn.nets.trees import take
from sgdyn.nets.vectors import numpy_of
from sgdyn.noise import Varying, noise_from_functions
from sgdyn.potentials import Potential

Floats = NDArray[np.float64]

ALONE = threading.RLock()
"""Held while torch differentiates: levels of its forward mode belong to the process, and the engine's threads would enter each other's."""


class Restriction:
    """U(center + V x) of a network and V' D V there, with derivatives in x, at points x (..., k).

    network: at the center. basis (p, k): V, orthonormal columns. budget: bytes that the points evaluated at once may take. Everything runs on
    the device and in the precision of the model, sums over samples and over weights in double precision.
    """

    def __init__(self, network: Network, basis: Floats, *, budget: float = ROW_BYTES) -> None:
        self.network, self.budget, self.together = network, budget, Together()
        self.basis = torch.as_tensor(np.ascontiguousarray(basis.T)).to(network.weights)
        center = network.weights.double()
        self._decay = float(center @ center), numpy_of(projected(center, self.basis)), basis.T @ basis

    @property
    def dim(self) -> int:
        return len(self.basis)

    @cached_property
    def _bytes(self) -> float:
        """What one point takes: its weights and gradient, and what a chunk of samples leaves behind on the way back."""
        x, y = next(self.network.batches())
        return graph_bytes(self.network.over(x, y)) + 4.0 * self.network.dim * self.network.weights.element_size()

    @cached_property
    def _thrice(self) -> Network:
        """The network, differentiated so that third derivatives are right."""
        return with_third(self.network, self.basis)

    @cached_property
    def _twice(self) -> Network:
        """The network, differentiated so that second derivatives of single samples are right."""
        return with_second(self.network, self.basis)

    def _blocks(self, x: Floats, columns: float = 0.0) -> Iterator[Tensor]:
        """Weights (m, p) of as many points as fit, `columns` numbers beside each point."""
        size = self._bytes + 8.0 * columns
        count = max(1, int(self.budget / size)) if np.isfinite(size) else 1
        for start in range(0, len(x), count):
            part = torch.as_tensor(x[start : start + count]).to(self.network.weights)
            yield self.network.weights + part @ self.basis

    def _summed(
        self, name: str, x: ArrayLike, of: Callable[[Any], Callable[[Tensor], Tensor]], columns: float = 0.0, network: Network | None = None
    ) -> Floats:  # fmt: skip
        """The mean over samples of a function of weights (p,) that `of` makes of the losses of a batch, at points x (n, k)."""
        found, net = [], network or self.network
        with ALONE:
            for W in self._blocks(np.asarray(x), columns):
                parts = [self.together(name, of(net.of_weights(a, b)), W) for a, b in net.batches()]
                found.append(torch.stack([self._reduced(part) for part in parts]).sum(0) / self.network.n)
        return numpy_of(torch.cat(found))

    def _reduced(self, part: Tensor) -> Tensor:
        """Numbers as they are; vectors of weight space by their coordinates."""
        return projected(part, self.basis) if part.ndim > 1 else part

    def value(self, x: ArrayLike) -> Floats:
        """U (...) at points x (..., k)."""
        points = checks.points(x, self.dim)
        flat = points.reshape(-1, self.dim)
        with torch.no_grad():
            mean = self._summed("value", flat, lambda losses: lambda w: losses(w).sum(dtype=torch.float64))
        size, along, metric = self._decay
        square = size + 2 * flat @ along + np.einsum("ni,ij,nj->n", flat, metric, flat)
        return np.asarray((mean + 0.5 * self.network.weight_decay * square).reshape(points.shape[:-1]))

    def gradient(self, x: ArrayLike) -> Floats:
        """V' grad U (..., k) at points x (..., k)."""
        points = checks.points(x, self.dim)
        flat = points.reshape(-1, self.dim)
        mean = self._summed("gradient", flat, slope_of)
        _, along, metric = self._decay
        return np.asarray((mean + self.network.weight_decay * (along + flat @ metric)).reshape(points.shape))

    def hessian(self, x: ArrayLike) -> Floats:
        """V' (Hessian of U) V (..., k, k) at points x (..., k), by k products with the Hessian at each."""
        points, ways = checks.points(x, self.dim), self.network.derivatives

        def products(losses: Any) -> Callable[[Tensor], Tensor]:
            return lambda w: torch.stack([ways.curvature(losses, w, v) for v in self.basis])

        columns = 2.0 * self.dim * self.network.dim
        mean = self._summed("hessian", points.reshape(-1, self.dim), products, columns)
        H = 0.5 * (mean + np.swapaxes(mean, -1, -2)) + self.network.weight_decay * self._decay[2]
        return np.asarray(H.reshape((*points.shape, self.dim)))

    def third(self, x: ArrayLike) -> Floats:
        """d³U/dx_i dx_j dx_l (..., k, k, k) at points x (..., k), symmetric to rounding; weight decay has none.

        By automatic differentiation, forward twice over reverse mode: one pass for each pair of directions. Raises ValueError for layers whose
        third derivatives torch has not or gets wrong.
        """
        points, net, k = checks.points(x, self.dim), self._thrice, self.dim

        def contracted(losses: Any) -> Callable[[Tensor], Tensor]:
            return lambda w: torch.stack(
                [third(net.derivatives, losses, w, self.basis[i], self.basis[j]) for i, j in pairs]
            )

        pairs = list(itertools.combinations_with_replacement(range(k), 2))
        found = self._summed("third", points.reshape(-1, k), contracted, 2.0 * len(pairs) * net.dim, net)
        C = np.empty((len(found), k, k, k))
        for (i, j), part in zip(pairs, found.swapaxes(0, 1), strict=True):
            C[:, i, j] = C[:, j, i] = part
        return C.reshape((*points.shape, k, k))

    def slopes(self, x: ArrayLike, order: int = 1) -> Iterator[tuple[Tensor, ...]]:
        """For blocks of points, a_i = v_i . g_s (m, N, k) of all samples s and, for order 2, its derivatives da_i/dx_j (m, N, k, k)."""
        net = self.network if order == 1 else self._twice
        ways, width = net.derivatives, sum(self.dim**o for o in range(1, order + 1))
        rules = {"slopes": first, "curvatures": second}
        for W in self._blocks(np.asarray(x).reshape(-1, self.dim), 2.0 * self.network.n * width):
            yield tuple(
                torch.cat([
                    self.together(name, lambda w, f=f, rule=rule: rule(ways, f, w, self.basis), W)  # type: ignore[misc]
                    for f in (net.of_weights(a, b) for a, b in net.batches())
                ], 1).double()
                for name, rule in list(rules.items())[:order]
            )  # fmt: skip

    def covariance(self, x: ArrayLike) -> Floats:
        """V' D V (..., k, k), D the centred covariance of the gradients of single samples, at points x (..., k)."""
        points = checks.points(x, self.dim)
        with ALONE:
            found = torch.cat([_covariance(a, a) for (a,) in self.slopes(points)])
        return numpy_of(found).reshape((*points.shape, self.dim))

    def divergence(self, x: ArrayLike) -> Floats:
        """sum_j d/dx_j (V' D V)_ij (..., k) at points x (..., k), exactly, by second derivatives of every sample's loss."""
        points = checks.points(x, self.dim)
        with ALONE:
            found = torch.cat([_divergence(a, b) for a, b in self.slopes(points, 2)])
        return numpy_of(found).reshape(points.shape)

    def potential(self) -> Potential:
        """The loss on the subspace as a potential of x."""

        def loss(x: Floats) -> Floats:
            return self.value(x)

        U, k = Potential.from_functions(loss, self.gradient, self.hessian, dim=self.dim, check=False), self.dim
        hess = replace(U.hess, derivative=Opaque(self.third, k, (k, k, k), name="the third derivatives of the loss"))  # type: ignore[type-var]
        grad = replace(U.grad, derivative=hess)  # type: ignore[type-var]
        slope = Opaque(
            lambda x: np.einsum("...iij->...j", self.third(x)), k, (k,), name="the slope of the Laplacian of the loss"
        )
        return replace(U, value=replace(U.value, derivative=grad), grad=grad, hess=hess, laplacian_grad=slope)  # type: ignore[type-var]

    def noise(self) -> Varying:
        """The noise on the subspace as D(x)."""
        return noise_from_functions(self.covariance, self.divergence, dim=self.dim, check=False)


def _covariance(a: Tensor, b: Tensor) -> Tensor:
    """Covariances (m, i, j) over samples of a (m, N, i) and b (m, N, j)."""
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return torch.einsum("mni,mnj->mij", a, b) / a.shape[1]


def _divergence(a: Tensor, b: Tensor) -> Tensor:
    """sum_j [Cov(b_ij, a_j) + Cov(a_i, b_jj)] (m, i) of a (m, N, i) and its derivatives b (m, N, i, j)."""
    trace = torch.diagonal(b, dim1=-2, dim2=-1).sum(-1, keepdim=True)
    mixed = torch.einsum("mnij,mnj->mi", b, a - a.mean(1, keepdim=True)) / a.shape[1]
    return mixed + _covariance(a, trace)[..., 0]


def subsample(network: Network, samples: int | ArrayLike | None, seed: int = 0) -> Network:
    """The network with so many of its samples, drawn once without replacement, or with those that are numbered; all for None.

    Raises ValueError for fewer than two samples, and for numbers that are not theirs or come twice.
    """
    if samples is None:
        return network
    if np.ndim(samples) == 0:
        count = checks.count("samples", samples, least=2)
        if count > network.n:
            raise ValueError(f"got samples={count}, expected at most {network.n}, the samples of the network")
        rows = np.sort(np.random.default_rng(checks.seed_sequence(seed)).choice(network.n, count, replace=False))
    else:
        rows = np.asarray(samples)
        if (
            rows.ndim != 1
            or rows.dtype.kind not in "iu"
            or len(np.unique(rows)) < max(2, len(rows))
            or rows.min() < 0
            or rows.max() >= network.n
        ):
            raise ValueError(
                f"got samples of shape {rows.shape} and type {rows.dtype}, expected at least two different numbers from 0 to {network.n - 1}"
            )
    index = torch.as_tensor(rows, device=network.weights.device).long()
    return network.over(take(network.x, index), network.y[index])
