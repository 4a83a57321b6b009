"""Models that were left in train mode, as the fixed functions that they are told to be, without touching them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sgdyn import checks

Told = str | int | None


class FixedDropout(nn.Module):
    """Dropout with one mask for all samples, drawn with a seed: a thinned network, the same at every call.

    The mask is that of torch's layers: single elements, or whole channels for the layers of one to three dimensions.
    """

    def __init__(self, share: float, channels: bool, seed: list[int]) -> None:
        super().__init__()
        self.share, self.channels, self.seed = share, channels, seed

    def forward(self, x: Tensor) -> Tensor:
        shape = (x.shape[1], *[1] * (x.ndim - 2)) if self.channels else x.shape[1:]
        kept = np.random.default_rng(self.seed).random(tuple(shape)) >= self.share
        mask = torch.as_tensor(kept / (1 - self.share) if self.share < 1 else 0.0 * kept)
        return x * mask.to(dtype=x.dtype, device=x.device)


def told(model: nn.Module, bn: Told, dropout: Told) -> nn.Module:
    """The model, or a copy that shares its tensors and has other modes.

    bn: None, or "eval" for batch norm with frozen statistics. dropout: None, "eval" for none, or a seed for one mask a layer.
    """
    if bn not in (None, "eval"):
        raise ValueError(f"got bn={bn!r}, expected None or 'eval'")
    if isinstance(dropout, str) and dropout != "eval":
        raise ValueError(f"got dropout={dropout!r}, expected None, 'eval' or a seed")
    if bn is None and dropout is None:
        return model
    shared: dict[int, Any] = {id(part): part for part in [*model.parameters(), *model.buffers()]}
    other = copy.deepcopy(model, shared)
    if dropout == "eval":
        kept = [m for m in other.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
        other.eval()
        for module in kept:
            module.training = True
    elif dropout is not None:
        _fix(other, checks.count("dropout", dropout, least=0))
    for part in other.modules():
        if bn == "eval" and isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()
    return other


def _fix(model: nn.Module, seed: int) -> None:
    """Put fixed masks in place of the layers that draw."""
    found = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.modules.dropout._DropoutNd) and child.training
    ]
    for number, (parent, name, child) in enumerate(found):
        if isinstance(child, nn.AlphaDropout | nn.FeatureAlphaDropout):
            raise ValueError(
                f"got {type(child).__name__} at {name}, expected plain dropout for a fixed mask; type dropout='eval'"
            )
        channels = type(child) is not nn.Dropout
        setattr(parent, name, FixedDropout(child.p, channels, [seed, number]))
