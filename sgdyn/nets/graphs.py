"""The graph of the gradient over all samples, kept, so that a Hessian product is one backward pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sgdyn.nets.network import Network
from sgdyn.nets.trees import Tree, take

PROBED = 4
"""So many samples are differentiated to see what a graph keeps."""


@dataclass
class GradientGraph:
    """The gradient (p,) of each batch's summed loss at the weights (p,), differentiable."""

    weights: Tensor
    slopes: list[Tensor]

    @classmethod
    def of(cls, network: Network) -> GradientGraph:
        """The graph for all samples."""
        weights = network.weights.detach().clone().requires_grad_()
        return cls(weights, [_slope(network, weights, x, y) for x, y in network.batches()])

    @classmethod
    def checked(cls, network: Network) -> GradientGraph | None:
        """The graph, or None if a product of some samples is not what the network's other way of differentiation gives."""
        x, y = _hardest(network)
        v = torch.cos(torch.arange(network.dim)).to(network.weights)
        weights = network.weights.detach().clone().requires_grad_()
        try:
            found = torch.autograd.grad(_slope(network, weights, x, y), weights, v)[0]
            expected = network.derivatives.curvature(network.of_weights(x, y), network.weights, v)
            tolerance = 100 * float(torch.finfo(v.dtype).eps) ** (0.5 if network.derivatives.difference else 0.75)
            if float((found - expected).norm()) > tolerance * float(expected.norm()):
                return None
            return cls.of(network)
        except RuntimeError:  # a layer that can be differentiated once only
            return None

    def product(self, v: Tensor) -> Tensor:
        """The Hessian of the summed loss times v."""
        found: Tensor = torch.autograd.grad(self.slopes, self.weights, [v] * len(self.slopes), retain_graph=True)[0]
        return found


def _hardest(network: Network) -> tuple[Tree, Tensor]:
    """The samples of the first batch with the largest losses: where losses vanish, curvature is rounding in single precision."""
    x, y = next(network.batches())
    with torch.no_grad():
        rows = network.losses(network.weights, x, y).topk(min(PROBED, len(y))).indices
    return take(x, rows), y[rows]


def _slope(network: Network, weights: Tensor, x: Tree, y: Tensor) -> Tensor:
    with torch.enable_grad():
        total = network.losses(weights, x, y).sum()
        slope: Tensor = torch.autograd.grad(total, weights, create_graph=True)[0]
    return slope


def graph_bytes(network: Network) -> float:
    """What the graph keeps of the activations of all samples, from a few of them; infinite if the loss cannot be differentiated so."""
    kept: dict[int, int] = {}

    def pack(part: Tensor) -> Tensor:
        storage = part.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return part

    few = min(PROBED, network.n)
    weights = network.weights.detach().clone().requires_grad_()
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda part: part):
            slope = _slope(network, weights, take(network.x, slice(few)), network.y[:few])
    except RuntimeError:
        return math.inf
    kept.pop(weights.untyped_storage().data_ptr(), None)
    size = weights.numel() * weights.element_size()
    each = sum(nbytes for nbytes in kept.values() if nbytes < size) / few
    batches = math.ceil(network.n / network.chunk)
    del slope
    return each * network.n + 2.0 * size * batches
