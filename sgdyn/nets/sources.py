"""Batches, gradients and random numbers of all replicas of a run, as functions of the step: nothing to store, nothing to restore."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import grad_and_value

from sgdyn import checks
from sgdyn.nets.derivatives import each
from sgdyn.nets.network import Network
from sgdyn.nets.sampler import Sampler
from sgdyn.nets.trees import Tree, take

LABELS, NOISE = 1, 2
"""Streams of random numbers beside that of the batches."""


@dataclass(frozen=True)
class LabelNoise:
    """Fresh noise on the targets of every batch: Gaussian of standard deviation `size` on numbers; classes are replaced, with probability
    `size`, by one of the others."""

    size: float

    def __post_init__(self) -> None:
        checks.positive("size", self.size, zero=True)

    def noisy(self, y: Tensor, random: torch.Generator, classes: int) -> Tensor:
        if y.is_floating_point():
            return y + self.size * torch.randn(y.shape, generator=random, dtype=y.dtype, device=y.device)
        flipped = torch.rand(y.shape, generator=random, device=y.device) < self.size
        others = torch.randint(1, classes, y.shape, generator=random, device=y.device)
        return torch.where(flipped, (y + others) % classes, y)

    def check(self, y: Tensor) -> int:
        """The number of classes; raises ValueError for a probability above 1 and for a single class."""
        if y.is_floating_point():
            return 0
        classes = int(y.max()) + 1
        if self.size > 1 or classes < 2:
            raise ValueError(
                f"got LabelNoise({self.size:g}) for {classes} classes, expected a probability and at least 2 classes"
            )
        return classes


@dataclass(frozen=True, eq=False)
class Source:
    """What the steps of a run draw from. strength: of the noise of a batch over that of a single sample."""

    network: Network
    sampler: Sampler
    seed: np.random.SeedSequence
    replicas: int
    labels: LabelNoise | None = None
    strength: float = 1.0
    slopes: Callable[..., Any] = field(init=False)
    classes: int = field(init=False)

    def __post_init__(self) -> None:
        net = self.network

        def loss(w: Tensor, x: Tree, y: Tensor) -> Tensor:
            return net.losses(w, x, y).mean() + 0.5 * net.weight_decay * (w @ w)

        object.__setattr__(self, "slopes", each(grad_and_value(loss), (0, 0, 0)))
        object.__setattr__(self, "classes", 0 if self.labels is None else self.labels.check(net.y))

    def generator(self, stream: int, step: int) -> torch.Generator:
        """Random numbers of a step, the same whether the run was interrupted or not."""
        words = np.random.SeedSequence(self.seed.entropy, spawn_key=(*self.seed.spawn_key, stream, step))
        return torch.Generator(self.network.weights.device).manual_seed(int(words.generate_state(1, np.uint64)[0] >> 1))

    def normals(self, step: int, count: int) -> Tensor:
        """(replica, count) independent normal numbers of a step."""
        like = self.network.weights
        return torch.randn(
            (self.replicas, count), generator=self.generator(NOISE, step), dtype=like.dtype, device=like.device
        )

    def batches(self, draw: int, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(gradients (replica, p), losses (replica,), sample numbers (replica, batch)) of a draw of batches."""
        net = self.network
        rows = torch.as_tensor(self.sampler.indices(draw, np.arange(self.replicas))).to(net.weights.device)
        y = net.y[rows]
        if self.labels is not None:
            y = self.labels.noisy(y, self.generator(LABELS, draw), self.classes)
        g, losses = self.slopes(w, take(net.x, rows), y)
        return g, losses, rows

    def weighted(self, w: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """(sum_i weights_i g_i (replica, p), U (replica,)), weight decay included, for weights (replica, N)."""
        net = self.network

        def loss(point: Tensor, x: Tree, y: Tensor, part: Tensor) -> tuple[Tensor, Tensor]:
            values = net.losses(point, x, y)
            return values @ part, values.sum()

        def slope(*arguments: Any) -> tuple[Tensor, Tensor]:
            found, (_, summed) = grad_and_value(loss, has_aux=True)(*arguments)
            return found, summed

        slopes = each(slope, (0, None, None, 0))
        g, total = net.weight_decay * w, w.new_zeros(len(w))
        for (x, y), part in zip(net.batches(), weights.split(net.chunk, dim=1), strict=True):
            found, summed = slopes(w, x, y, part)
            g, total = g + found, total + summed
        return g, total / net.n + 0.5 * net.weight_decay * (w * w).sum(1)
