"""A network whose samples' losses are linear in its outputs: their gradients are rows of the Jacobian, and factors of the Gauss-Newton matrix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sgdyn import checks
from sgdyn.nets.gauss_newton import GaussNewton, of_losses, outputs
from sgdyn.nets.losses import logits_of
from sgdyn.nets.network import Network
from sgdyn.nets.trees import mapped

CONCAVE = 1e-8
"""Negative eigenvalues of a loss's Hessian in the outputs beyond this share of the largest are no rounding."""


def along_outputs(network: Network, directions: Tensor) -> Network:
    """The network with the losses u . output of directions u (m, N, outputs): m N samples, all samples for the first direction first."""
    m = len(directions)
    x = mapped(lambda part: part.repeat(m, *[1] * (part.ndim - 1)), network.x)
    other = network.over(x, directions.flatten(0, 1))

    def losses(output: Any, u: Tensor) -> Tensor:
        found: Tensor = (logits_of(output).flatten(1) * u).sum(1)
        return found

    other.loss_of = losses
    return other


def unit_directions(network: Network, output: int | None = None) -> Tensor:
    """Directions (outputs, N, outputs) whose gradients make J'J/N on average, or (1, N, outputs) for one output.

    Raises ValueError for an output that there is not.
    """
    count = output_count(network)
    if output is not None and checks.count("output", output, least=0) >= count:
        raise ValueError(f"got output={output}, expected one of {count}, counted from 0")
    units = torch.eye(count, dtype=network.weights.dtype, device=network.weights.device)
    chosen = units * count**0.5 if output is None else units[output : output + 1]
    directions: Tensor = chosen[:, None].expand(-1, network.n, -1)
    return directions


def curved_directions(network: Network) -> Tensor:
    """Directions (outputs, N, outputs) whose gradients make the Gauss-Newton matrix on average.

    They are the columns of a square root of the Hessian of each sample's loss in its outputs. Raises ValueError for losses that are not
    convex in the outputs.
    """
    dressed, plain = GaussNewton(network), of_losses(network.derivatives)
    found = []
    for x, y in network.batches():
        with torch.no_grad():
            z = outputs(network, network.weights, x).double()  # roots of what should be zero would be eps^(1/2)
        y = y.double() if y.is_floating_point() else y
        losses = lambda flat, z=z, y=y: network.loss_of(dressed.dressed(flat.view(z.shape)), y)  # noqa: E731
        units = torch.eye(z[0].numel(), dtype=z.dtype, device=z.device)
        columns = [plain.curvature(losses, z.flatten(), unit.expand(len(z), -1).flatten()) for unit in units]
        found.append(_root(torch.stack([column.view(len(z), -1) for column in columns], 2)))
    directions: Tensor = torch.cat(found).permute(2, 0, 1).to(network.weights) * output_count(network) ** 0.5
    return directions


def _root(hessians: Tensor) -> Tensor:
    """V sqrt(l) (b, C, C) of symmetric matrices V l V'."""
    values, vectors = torch.linalg.eigh(hessians)
    if float(values.min()) < -CONCAVE * float(values.abs().max()):
        raise ValueError(
            f"got a loss whose Hessian in the outputs has the eigenvalue {float(values.min()):.3g}, expected a convex one; leave 'Gauss-Newton' out of of="
        )
    root: Tensor = vectors * values.clamp(min=0).sqrt()[:, None]
    return root


def output_count(network: Network) -> int:
    """The number of outputs of a sample."""
    with torch.no_grad():
        x, _ = next(iter(network.batches()))
        return int(outputs(network, network.weights, x)[0].numel())
