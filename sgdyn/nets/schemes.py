"""What the weights are moved by in a step: SGD, SVAG, SGLD, or gradient descent with Gaussian noise of SGD's own covariance."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sgdyn import checks
from sgdyn.nets.gradient_noise import GradientNoise
from sgdyn.nets.identity import identity
from sgdyn.nets.sampler import Epoch
from sgdyn.nets.slopes import Slopes, weighted_slopes
from sgdyn.nets.sources import Source
from sgdyn.nets.traceless import digest
from sgdyn.nets.trees import leaves


class Pull(NamedTuple):
    """g (replica, p): the weights move by -part lr g; losses (replica,). mean: of the samples' gradients (N, k) at another point, what its g
    is beyond the full gradient; kick (replica, p): what g has that no sample has, if any."""

    g: Tensor
    losses: Tensor
    mean: Callable[[Tensor], Tensor]
    kick: Tensor | None = None


class Scheme(ABC):
    """A step of the weights."""

    @property
    def part(self) -> float:
        """The step as a part of lr."""
        return 1.0

    def require(self, source: Source) -> None:
        """Raises ValueError where the scheme would not do what it says."""
        return

    @abstractmethod
    def pull(self, source: Source, step: int, lr: float, w: Tensor) -> Pull:
        """What moves weights w (replica, p) in a step."""


@dataclass(frozen=True)
class SGD(Scheme):
    """The gradient of one batch: w' = w - lr g."""

    def pull(self, source: Source, step: int, lr: float, w: Tensor) -> Pull:
        g, losses, rows = source.batches(step, w)
        return Pull(g, losses, lambda samples: samples[rows].mean(1))


@dataclass(frozen=True)
class SVAG(Scheme):
    """Stochastic variance amplified gradient: l steps of lr/l for one of SGD, with noise sqrt(l) times as strong; SGD for l = 1, its diffusion for large l.

    g = (1 + r)/2 g_1 + (1 - r)/2 g_2 of two independent batches, r = sqrt(2 l - 1): of covariance l D/batch. `steps` and `every` of a run count
    these small steps; each takes two batches, which must be independent of all others: with sampler="epoch" it is refused. Source: Li, Malladi, Arora, arXiv:2102.12470.
    """

    amplification: int

    def __post_init__(self) -> None:
        checks.count("amplification", self.amplification)

    @property
    def part(self) -> float:
        return 1.0 / self.amplification

    def require(self, source: Source) -> None:
        if isinstance(source.sampler, Epoch):
            raise ValueError(
                "got SVAG with sampler='epoch', whose batches depend on each other, expected independent ones; type sampler='without'"
            )

    def pull(self, source: Source, step: int, lr: float, w: Tensor) -> Pull:
        r = math.sqrt(2 * self.amplification - 1)
        a, b = (1 + r) / 2, (1 - r) / 2
        (g, losses, rows), (other, others, drawn) = (source.batches(2 * step + side, w) for side in (0, 1))
        mean: Callable[[Tensor], Tensor] = lambda samples: a * samples[rows].mean(1) + b * samples[drawn].mean(1)  # noqa: E731
        return Pull(a * g + b * other, 0.5 * (losses + others), mean)


@dataclass(frozen=True)
class SGLD(Scheme):
    """Stochastic gradient Langevin dynamics: w' = w - lr g + sqrt(2 lr T) times normal numbers, g of a batch, whose own noise comes on top of T.

    With momentum mu the velocity is kicked by sqrt(2 (1 - mu) T/lr) times normal numbers: again the temperature T for small lr, since v adds up
    1/(1 - mu) of its kicks. Source: Welling, Teh, ICML (2011), eq. (4), with epsilon = 2 lr and their U/T.
    """

    T: float

    def __post_init__(self) -> None:
        checks.positive("T", self.T)

    def pull(self, source: Source, step: int, lr: float, w: Tensor) -> Pull:
        g, losses, rows = source.batches(step, w)
        kick = math.sqrt(2 * source.friction * self.T / lr) * source.normals(step, w.shape[1])
        return Pull(g + kick, losses, lambda samples: samples[rows].mean(1), kick)


@dataclass(frozen=True, eq=False)
class GaussianNoise(Scheme):
    """Gradient descent with Gaussian noise of covariance D/batch in place of batches: what then differs from SGD is due to its noise's not being Gaussian.

    factor: (p, r) with D = factor factor', constant; or `network.noise()`, the D of one point, constant, for one more pass over all samples a
    step; by default the D(w) of each replica's weights as they are, exactly: g = sum_i c_i g_i,
    c_i = 1/N + (z_i - mean z)/(N batch)^{1/2}, z normal. Each step takes a pass over all samples. Without
    replacement the noise is weaker by (N - batch)/(N - 1), as that of batches is. Noisy labels are refused: they have a noise of their own,
    whose D belongs into `factor`. Source: Wu et al., arXiv:1906.07405.
    """

    factor: Any = None

    def __post_init__(self) -> None:
        if self.factor is not None and not isinstance(self.factor, GradientNoise):
            expected = "an array (p, r) with D = factor factor', or network.noise()"
            if checks.real("factor", self.factor, expected).ndim != 2:
                raise ValueError(
                    f"got a factor of shape {checks.real('factor', self.factor).shape}, expected {expected}"
                )
            checks.finite("factor", self.factor)

    def __repr__(self) -> str:
        if self.factor is None:
            return "GaussianNoise()"
        if isinstance(self.factor, GradientNoise):
            net = self.factor.network
            return f"GaussianNoise({digest(net.weights, *leaves(net.x), net.y, *identity(net).values())})"
        return f"GaussianNoise({digest(self._root)})"

    def require(self, source: Source) -> None:
        if source.labels is not None:
            raise ValueError(
                f"got GaussianNoise with {source.labels}, whose noise is not in it, expected one of them; type labels=None, for targets with noise scheme=GaussianNoise(factor) with factor factor' = D + D_label (nets.label_noise)"
            )
        rows = None if self.factor is None else self.factor.shape[0] if self._extracted else len(self.factor)
        if rows not in (None, source.network.dim):
            raise ValueError(
                f"got a factor of {rows} rows, expected ({source.network.dim}, r) with D = factor factor', or network.noise()"
            )
        if self._extracted and self.factor.network.own != slice(0, self.factor.network.n):
            raise ValueError(
                "got the noise of a network whose samples are spread over processes, expected one process's"
            )

    @property
    def _extracted(self) -> bool:
        """Whether D is that of a network at one point."""
        return isinstance(self.factor, GradientNoise)

    def pull(self, source: Source, step: int, lr: float, w: Tensor) -> Pull:
        n = source.network.n
        if self.factor is None:
            offsets = source.offsets(step, n)
            g, losses = source.weighted(w, 1 / n + offsets)
            return Pull(g, losses, lambda samples: offsets @ samples)
        kick = self._kick(source, step, w)
        g, losses = source.weighted(w, w.new_full((len(w), n), 1 / n))
        return Pull(g + kick, losses, lambda samples: w.new_zeros((len(w), samples.shape[1])), kick)

    def _kick(self, source: Source, step: int, w: Tensor) -> Tensor:
        if self._extracted:
            net = self.factor.network
            return self._slopes(net.weights.expand(len(w), -1), source.offsets(step, net.n))[0]
        root = self._root.to(w)
        return source.normals(step, root.shape[1]) @ root.T * source.strength

    @cached_property
    def _root(self) -> Tensor:
        return torch.as_tensor(checks.finite("factor", self.factor))

    @cached_property
    def _slopes(self) -> Slopes:
        return weighted_slopes(self.factor.network)
