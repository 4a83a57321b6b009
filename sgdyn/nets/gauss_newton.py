"""The Gauss-Newton matrix of a network's loss as a linear operator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.func import vjp

from sgdyn.nets.derivatives import Derivatives
from sgdyn.nets.losses import logits_of
from sgdyn.nets.network import Network
from sgdyn.nets.operators import NetworkOperator
from sgdyn.nets.trees import Tree, take


def outputs(network: Network, w: Tensor, x: Tree) -> Tensor:
    """The output tensor of the model, of which the loss is a function. Raises TypeError for outputs of several parts."""
    found = logits_of(network.output(w, x))
    if not isinstance(found, Tensor):
        raise TypeError(
            f"got a {type(found).__name__} from the model, expected one tensor, or `logits`; type a model that returns them"
        )
    return found


class Named(dict[str, Tensor]):
    """Outputs with a name, as models of transformers give them: `output.logits` and `output["logits"]`."""

    @property
    def logits(self) -> Tensor:
        return self["logits"]


class GaussNewton(NetworkOperator):
    """G = (1/N) sum_i J_i' L_i J_i + weight_decay (p, p): J_i the Jacobian of the outputs of sample i, L_i the Hessian of its loss in them.

    Positive semidefinite for losses that are convex in the outputs. For a function as loss, the outputs are those of the model.
    Source: Schraudolph, Neural Comput. 14 (2002) 1723.
    """

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        with torch.no_grad():
            outputs(network, network.weights, take(network.x, slice(1)))
            self._named = not isinstance(network.output(network.weights, take(network.x, slice(1))), Tensor)

    def dressed(self, z: Tensor) -> Any:
        """The outputs as the loss knows them."""
        return Named(logits=z) if self._named else z

    def apply(self, v: Tensor) -> Tensor:
        """G v (p,) for a tensor v (p,)."""
        net = self.network
        total = torch.zeros_like(v)
        for x, y in net.batches():
            total += self._batch(x, y, v)
        return total / net.n + net.weight_decay * v

    def _batch(self, x: Tree, y: Tensor, v: Tensor) -> Tensor:
        net = self.network
        z, pull, *_ = vjp(lambda w: outputs(net, w, x), net.weights)
        along = net.derivatives.along(lambda w: outputs(net, w, x), net.weights, v)
        losses = lambda flat: net.loss_of(self.dressed(flat.view(z.shape)), y)  # noqa: E731 - of the flat outputs
        bent = of_losses(net.derivatives).curvature(losses, z.flatten(), along.flatten())
        found: Tensor = pull(bent.view(z.shape))[0]
        return found


def of_losses(ways: Derivatives) -> Derivatives:
    """The loss by itself has no attention; differences are for it too, where they are for the model."""
    return Derivatives(forward=ways.forward, difference=ways.difference, missing=ways.missing)
