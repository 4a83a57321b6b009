"""Gradients that are sums over positions: layers that meet a sample many times, sequences and convolutions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sgdyn.nets.pieces import Piece, lower, pairs_side

PANEL_BYTES = 32 * 2**20
"""The memory of a part of all rows; 16 times as much on a GPU, which would wait for many small ones."""
TOGETHER = 128
"""Samples whose convolutions are taken at once: what they make stays in the cache of a processor."""


@dataclass(frozen=True, eq=False)
class Positions(Piece):
    """g_i = sum_t d_it a_it' for inputs a (N, T, inputs) and slopes d (N, T, outputs); inputs come in units that are cut together."""

    d: Tensor

    @property
    @abstractmethod
    def units(self) -> tuple[int, int]:
        """How many units the inputs have, and how wide each is."""

    @abstractmethod
    def inputs(self, samples: slice, units: slice = slice(None)) -> Tensor:
        """a (b, T, inputs) of some samples and some units."""

    @abstractmethod
    def slopes(self, samples: slice) -> Tensor:
        """d (b, T, outputs) of some samples."""

    def rows(self, samples: slice) -> Tensor:
        return (self.slopes(samples).transpose(1, 2) @ self.inputs(samples)).flatten(1)

    def panels(self, n: int) -> Iterator[Tensor]:
        """All rows (N, some components), part by part: each part holds some units and some outputs."""
        count, width = self.units
        room = max(1, PANEL_BYTES * (16 if self.d.is_cuda else 1) // (8 * n * width))
        outputs = self.size // (count * width)
        for outs in _cut(outputs, room):
            for units in _cut(count, max(1, room // outputs)):
                yield self._panel(n, outs, units)

    def _panel(self, n: int, outs: slice, units: slice) -> Tensor:
        sums = [self.slopes(s)[..., outs].transpose(1, 2) @ self.inputs(s, units) for s in _cut(n, TOGETHER)]
        return torch.cat(sums).flatten(1)

    @property
    def by_pairs(self) -> bool:
        """True if there are fewer pairs of positions than parameters."""
        (count, width), T = self.units, self.slopes(slice(1)).shape[1]
        return T * T * (count * width + self.size // (count * width)) < self.size

    def gram(self, i: slice, j: slice) -> Tensor:
        """g_i . g_j (b, c) in double precision by pairs of positions."""
        inputs, slopes = ([f(s).double() for s in (i, j)] for f in (self.inputs, self.slopes))
        pairs = _products(*inputs) * _products(*slopes)
        T = inputs[0].shape[1]
        return pairs.view(len(inputs[0]), T, -1, T).sum((1, 3))

    def add_gram(self, total: Tensor) -> None:
        """By pairs of positions where they are fewer than the parameters, else by panels of the rows."""
        n = len(total)
        if self.by_pairs:
            for i, j in lower(n, pairs_side(self.slopes(slice(1)).shape[1])):
                total[i, j] += self.gram(i, j)
            return
        for panel in self.panels(n):
            wide = panel.double()
            for i in _cut(n, TOGETHER * 2):
                total[i, : i.stop] += wide[i] @ wide[: i.stop].T

    def squares(self, n: int) -> Tensor:
        total = torch.zeros(n, dtype=torch.float64, device=self.d.device)
        for panel in self.panels(n):
            total += panel.square().sum(1)
        return total


def _cut(n: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def _products(one: Tensor, other: Tensor) -> Tensor:
    return one.flatten(0, 1) @ other.flatten(0, 1).T


@dataclass(frozen=True, eq=False)
class Sums(Positions):
    """A linear layer on sequences: inputs a (N, T, inputs) and slopes d (N, T, outputs) as they are."""

    a: Tensor

    @property
    def units(self) -> tuple[int, int]:
        return self.a.shape[2], 1

    def inputs(self, samples: slice, units: slice = slice(None)) -> Tensor:
        return self.a[samples, :, units]

    def slopes(self, samples: slice) -> Tensor:
        return self.d[samples]

    def push(self, v: Tensor) -> Tensor:
        return ((self.a @ v.view(self.d.shape[2], -1).T) * self.d).flatten(1).sum(1).double()

    def pull(self, u: Tensor) -> Tensor:
        slopes = self.d * u[:, None, None]
        return (slopes.flatten(0, 1).T @ self.a.flatten(0, 1)).flatten()


@dataclass(frozen=True, eq=False)
class Convolved(Positions):
    """A convolution: images x (N, channels, ...) and slopes d (N, outputs, ...); what a kernel meets is unfolded only where rows are needed.

    kernel: the shape of the weight. settings: stride, padding and dilation.
    """

    x: Tensor
    kernel: tuple[int, ...]
    settings: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    @property
    def units(self) -> tuple[int, int]:
        return self.kernel[1], self.size // (self.kernel[0] * self.kernel[1])

    def inputs(self, samples: slice, units: slice = slice(None)) -> Tensor:
        return patches(self.x[samples, units], self.kernel[2:], *self.settings)

    def slopes(self, samples: slice) -> Tensor:
        return self.d[samples].flatten(2).transpose(1, 2)

    def push(self, v: Tensor) -> Tensor:
        weight = v.view(self.kernel)
        made = [(self._convolution(s, weight) * self.d[s]).flatten(1).sum(1) for s in _cut(len(self.x), TOGETHER)]
        return torch.cat(made).double()

    def _convolution(self, samples: slice, weight: Tensor) -> Tensor:
        return torch.convolution(self.x[samples], weight, None, *self.settings, False, [0] * len(self.kernel[2:]), 1)

    def pull(self, u: Tensor) -> Tensor:
        total = torch.zeros(self.kernel, dtype=self.x.dtype, device=self.x.device)
        for s in _cut(len(self.x), TOGETHER):
            slopes = self.d[s] * u[s].view(-1, *[1] * (self.d.ndim - 1))
            total += self._slope_of_weight(s, slopes, total)
        return total.flatten()

    def _slope_of_weight(self, samples: slice, slopes: Tensor, weight: Tensor) -> Tensor:
        around: Any = (*self.settings, False, [0] * len(self.kernel[2:]), 1, [False, True, False])
        found: Tensor = torch.ops.aten.convolution_backward(slopes, self.x[samples], weight, None, *around)[1]
        return found


def patches(
    x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...]
) -> Tensor:
    """What the kernel of a convolution in one or two dimensions meets at each position (N, T, channels kernel)."""
    if len(kernel) == 1:
        x, kernel, stride, padding, dilation = x[:, :, None], (1, *kernel), (1, *stride), (0, *padding), (1, *dilation)
    return F.unfold(x, kernel, dilation, padding, stride).transpose(1, 2)
