"""What the weights are moved by in a step: SGD, SVAG, SGLD, or gradient descent with Gaussian noise of SGD's own covariance."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from sgdyn import checks
from sgdyn.nets.sources import Source
from sgdyn.nets.traceless import digest


class Pull(NamedTuple):
    """g (replica, p): the weights move by -part lr g; losses (replica,). mean: of the samples' gradients (N, k) at another point, what its g
    is beyond the full gradient; kick (replica, p): what g has that no sample has, if any."""

    g: Tensor
    losses: Tensor
    mean: Callable[[Tensor], Tensor]
    kick: Tensor | None = None


class Scheme(Protocol):
    """`part` of lr is the step."""

    @property
    def part(self) -> float: ...

    def pull(self, source: Source, step: int, lr: float, w: Tensor) -> Pull: ...


@dataclass(frozen=True)
class SGD:
    """The gradient of one batch: w' = w - lr g."""

    @property
    def part(self) -> float:
        return 1.0

    def pull(self, source: Source, step: int, lr: float, w: Tensor) -> Pull:
        g, losses, rows = source.batches(step, w)
        return Pull(g, losses, lambda samples: samples[rows].mean(1))


@dataclass(frozen=True)
class SVAG:
    """Stochastic variance amplified gradient: l steps of lr/l for one of SGD, with noise sqrt(l) times as strong; SGD for l = 1, its diffusion for large l.

    g = (1 + r)/2 g_1 + (1 - r)/2 g_2 of two independent batches, r = sqrt(2 l - 1): of covariance l D/batch. `steps` and `every` of a run count
    these small steps; each takes two batches. Source: Li, Malladi, Arora, arXiv:2102.12470.
    """

    amplification: int

    def __post_init__(self) -> None:
        checks.count("amplification", self.amplification)

    @property
    def part(self) -> float:
        return 1.0 / self.amplification

    def pull(self, source: Source, step: int, lr: float, w: Tensor) -> Pull:
        r = math.sqrt(2 * self.amplification - 1)
        a, b = (1 + r) / 2, (1 - r) / 2
        (g, losses, rows), (other, others, drawn) = (source.batches(2 * step + side, w) for side in (0, 1))
        mean: Callable[[Tensor], Tensor] = lambda samples: a * samples[rows].mean(1) + b * samples[drawn].mean(1)  # noqa: E731
        return Pull(a * g + b * other, 0.5 * (losses + others), mean)


@dataclass(frozen=True)
class SGLD:
    """Stochastic gradient Langevin dynamics: w' = w - lr g + sqrt(2 lr T) times normal numbers, g of a batch, whose own noise comes on top of T.

    Source: Welling, Teh, ICML (2011), eq. (4), with epsilon = 2 lr and their U/T.
    """

    T: float

    def __post_init__(self) -> None:
        checks.positive("T", self.T)

    @property
    def part(self) -> float:
        return 1.0

    def pull(self, source: Source, step: int, lr: float, w: Tensor) -> Pull:
        g, losses, rows = source.batches(step, w)
        kick = math.sqrt(2 * self.T / lr) * source.normals(step, w.shape[1])
        return Pull(g + kick, losses, lambda samples: samples[rows].mean(1), kick)


@dataclass(frozen=True, eq=False)
class GaussianNoise:
    """Gradient descent with Gaussian noise of covariance D/batch in place of batches: what then differs from SGD is due to its noise's not being Gaussian.

    factor: (p, r) with D = factor factor', constant; by default the D(w) of each replica's weights as they are, exactly, for a pass over all
    samples: g = sum_i c_i g_i, c_i = 1/N + (z_i - mean z)/(N batch)^{1/2}, z normal. Without
    replacement the noise is weaker by (N - batch)/(N - 1), as that of batches is. Source: Wu et al., arXiv:1906.07405.
    """

    factor: Any = None

    @property
    def part(self) -> float:
        return 1.0

    def __repr__(self) -> str:
        if self.factor is None:
            return "GaussianNoise()"
        return f"GaussianNoise({digest(torch.as_tensor(checks.finite('factor', self.factor)))[:16]})"

    def pull(self, source: Source, step: int, lr: float, w: Tensor) -> Pull:
        n = source.network.n
        if self.factor is not None:
            kick = source.normals(step, self._rank(source)) @ torch.as_tensor(self.factor).to(w).T * source.strength
            g, losses = source.weighted(w, w.new_full((len(w), n), 1 / n))
            return Pull(g + kick, losses, lambda samples: w.new_zeros((len(w), samples.shape[1])), kick)
        z = source.normals(step, n)
        offset = (z - z.mean(1, keepdim=True)) * source.strength / math.sqrt(n)
        g, losses = source.weighted(w, 1 / n + offset)
        return Pull(g, losses, lambda samples: offset @ samples)

    def _rank(self, source: Source) -> int:
        factor = checks.finite("factor", self.factor)
        if factor.ndim != 2 or len(factor) != source.network.dim:
            raise ValueError(
                f"got a factor of shape {factor.shape}, expected ({source.network.dim}, r) with D = factor factor'"
            )
        return int(factor.shape[1])
