"""Gradients of many replicas of a network at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sgdyn.nets.derivatives import each
from sgdyn.nets.network import Network
from sgdyn.nets.trees import Tree, take

Slopes = Callable[..., tuple[Tensor, Tensor]]


def slopes(function: Callable[..., tuple[Tensor, Tensor]], in_dims: Sequence[int | None]) -> Slopes:
    """The gradients (replica, p) in w, and `seen`, of function(w, ...) -> (value, seen), for weights w (replica, p).

    Replicas know nothing of each other, so that the gradient of the sum of their values holds that of each. One alone goes without vmap, in
    half the time; layers then multiply matrices instead of stacks of them, which is the same to rounding.
    """
    together = each(function, tuple(in_dims))

    def alone(point: Tensor, arguments: Sequence[Tree]) -> tuple[Tensor, Tensor]:
        own = (part if axis is None else take(part, 0) for part, axis in zip(arguments, in_dims[1:], strict=True))
        value, seen = function(point[0], *own)
        return value, seen[None]

    def found(w: Tensor, *arguments: Tree) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            point = w.detach().requires_grad_(True)
            value, seen = alone(point, arguments) if len(w) == 1 else together(point, *arguments)
            (g,) = torch.autograd.grad(value.sum(), point)
        return g, seen.detach()

    return found


def batch_slopes(network: Network) -> Slopes:
    """(w (replica, p), x, y of a batch each) -> gradients (replica, p) of their mean losses with weight decay, and these (replica,)."""

    def loss(w: Tensor, x: Tree, y: Tensor) -> tuple[Tensor, Tensor]:
        value = network.losses(w, x, y).mean() + 0.5 * network.weight_decay * (w @ w)
        return value, value

    return slopes(loss, (0, 0, 0))


def weighted_slopes(network: Network) -> Slopes:
    """(w (replica, p), weights (replica, N)) -> sum_i weights_i g_i (replica, p) and the sums of all losses (replica,), without weight decay."""

    def loss(w: Tensor, x: Tree, y: Tensor, part: Tensor) -> tuple[Tensor, Tensor]:
        values = network.losses(w, x, y)
        return values @ part, values.sum()

    of_part = slopes(loss, (0, None, None, 0))

    def found(w: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        g, total = torch.zeros_like(w), w.new_zeros(len(w))
        for (x, y), part in zip(network.batches(), weights.split(network.chunk, dim=1), strict=True):
            slope, summed = of_part(w, x, y, part)
            g, total = g + slope, total + summed
        return g, total

    return found
