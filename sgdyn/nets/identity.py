"""By what a network is known again: its layers, what is fixed in them, and what its loss says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sgdyn.nets.scrutiny import spread
from sgdyn.nets.traceless import digest, undisturbed
from sgdyn.nets.trees import take

if TYPE_CHECKING:
    from sgdyn.nets.network import Network

SAMPLES = 16
DIGITS = {torch.float64: 6}
"""Digits of the losses that are looked at; 2 in lower precision. The number of threads changes only the last ones."""


def identity(network: Network) -> dict[str, str]:
    """Digests of the layers with frozen parameters and buffers ("model") and of some losses at two points ("losses")."""
    model = network.model
    layers = [f"{name} {type(part).__module__}.{type(part).__qualname__}" for name, part in model.named_modules()]
    frozen = list(network.fixed.values())
    names = [name for name, _ in model.named_parameters()]
    return {
        "model": digest(*layers, *names, *frozen, *(part for _, part in network.buffers())),
        "losses": digest(*_losses(network)),
        "dtype": str(network.weights.dtype),
    }


def _losses(network: Network) -> list[str]:
    """Losses of some samples at the weights and at others, which tells functions apart whose layers have one name."""
    rows = spread(network.n, SAMPLES).to(network.weights.device)
    aside = 0.1 * torch.cos(torch.arange(network.dim, dtype=torch.float64)).to(network.weights)
    with torch.no_grad(), undisturbed(network.weights.device):
        return [
            text
            for w in (network.weights, network.weights + aside)
            for text in _rounded(network.losses(w, take(network.x, rows), network.y[rows]))
        ]


def _rounded(losses: Tensor) -> list[str]:
    scale = float(losses.abs().max()) or 1.0
    digits = DIGITS.get(losses.dtype, 2)
    return [f"{scale:.{digits}e}", *(f"{float(loss) / scale:.{digits}f}" for loss in losses)]
