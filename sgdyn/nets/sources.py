"""Batches, gradients and random numbers of all replicas of a run, as functions of the step: nothing to store, nothing to restore."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from sgdyn import checks
from sgdyn.nets.losses import logits_of
from sgdyn.nets.network import Network
from sgdyn.nets.sampler import Sampler
from sgdyn.nets.slopes import Slopes, batch_slopes, weighted_slopes
from sgdyn.nets.trees import take

LABELS, NOISE = 1, 2
"""Streams of random numbers beside that of the batches."""


@dataclass(frozen=True)
class LabelNoise:
    """Fresh noise on the targets of every batch: Gaussian of standard deviation `size` on numbers; classes are replaced, with probability
    `size`, by one of the other classes that the model tells apart (its outputs)."""

    size: float

    def __post_init__(self) -> None:
        checks.positive("size", self.size, zero=True)

    def noisy(self, y: Tensor, random: torch.Generator, classes: int) -> Tensor:
        if y.is_floating_point():
            return y + self.size * torch.randn(y.shape, generator=random, dtype=y.dtype, device=y.device)
        flipped = torch.rand(y.shape, generator=random, device=y.device) < self.size
        others = torch.randint(1, classes, y.shape, generator=random, device=y.device)
        return torch.where(flipped, (y + others) % classes, y)

    def classes(self, network: Network) -> int:
        """How many classes labels are drawn from, 0 for numbers: the outputs of the model, and at least those that the targets have.

        Raises ValueError for a probability above 1, a single class, targets that are ignored, and tokens.
        """
        y = network.y
        if y.is_floating_point():
            return 0
        if network.unit == "token" or int(y.min()) < 0:
            raise ValueError(
                f"got LabelNoise for {'tokens' if network.unit == 'token' else f'the target {int(y.min())}'}, expected class numbers of samples; type labels=None"
            )
        classes = max(int(y.max()) + 1, _outputs(network))
        if self.size > 1 or classes < 2:
            raise ValueError(
                f"got LabelNoise({self.size:g}) for {classes} classes, expected a probability and at least 2 classes"
            )
        return classes


def _outputs(network: Network) -> int:
    """How many classes the model tells apart: the second axis of its output, 0 where a loss of the user's may take another one."""
    with torch.no_grad():
        found = logits_of(network.output(network.weights, take(network.x, slice(1))))
    known = network.y.ndim == 1 or isinstance(network.loss, nn.CrossEntropyLoss | nn.NLLLoss)
    fits = isinstance(found, Tensor) and found.ndim == network.y.ndim + 1
    return int(found.shape[1]) if known and fits else 0


@dataclass(frozen=True, eq=False)
class Source:
    """What the steps of a run draw from. strength: of the noise of a batch over that of a single sample. friction: 1 - momentum."""

    network: Network
    sampler: Sampler
    seed: np.random.SeedSequence
    replicas: int
    labels: LabelNoise | None = None
    strength: float = 1.0
    friction: float = 1.0
    classes: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", 0 if self.labels is None else self.labels.classes(self.network))

    @cached_property
    def _of_batches(self) -> Slopes:
        return batch_slopes(self.network)

    @cached_property
    def _of_weighted(self) -> Slopes:
        return weighted_slopes(self.network)

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

    def offsets(self, step: int, n: int) -> Tensor:
        """Weights (replica, n) of n samples, which sum to zero, for a Gaussian gradient with the covariance of a batch."""
        z = self.normals(step, n)
        return (z - z.mean(1, keepdim=True)) * (self.strength / math.sqrt(n))

    def batches(self, draw: int, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(gradients (replica, p), losses (replica,), sample numbers (replica, batch)) of a draw of batches."""
        net = self.network
        rows = torch.as_tensor(self.sampler.indices(draw, np.arange(self.replicas))).to(net.weights.device)
        y = net.y[rows]
        if self.labels is not None:
            y = self.labels.noisy(y, self.generator(LABELS, draw), self.classes)
        g, losses = self._of_batches(w, take(net.x, rows), y)
        return g, losses, rows

    def weighted(self, w: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """(sum_i weights_i g_i (replica, p), U (replica,)), weight decay included, for weights (replica, N)."""
        net = self.network
        g, total = self._of_weighted(w, weights)
        return g + net.weight_decay * w, total / net.n + 0.5 * net.weight_decay * (w * w).sum(1)
