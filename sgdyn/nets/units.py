"""What counts as one draw of the noise: a sample, or each of its labels (the tokens of a sequence)."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from sgdyn.nets.losses import PerSample, logits_of
from sgdyn.nets.trees import Tree, mapped

UNITS = ("sample", "token")


def by_unit(unit: str, loss: Any, loss_of: PerSample, x: Tree, y: Tensor) -> tuple[PerSample, Tree, Tensor]:
    """(losses, inputs, targets) whose samples are the units. For tokens each label (sample, place) that the loss does not ignore is one.

    The targets (tokens, 1 + places) then say first which place is meant. A token costs as much as its whole sequence. Raises ValueError
    for other units, and for tokens of targets without places.
    """
    if unit not in UNITS:
        raise ValueError(f"got unit={unit!r}, expected {', '.join(map(repr, UNITS))}")
    if unit == "sample":
        return loss_of, x, y
    if y.ndim != 2 or y.is_floating_point():
        raise ValueError(
            f"got unit='token' for targets of shape {tuple(y.shape)} of {y.dtype}, expected class numbers (samples, places)"
        )
    sample, place = torch.nonzero(y != getattr(loss, "ignore_index", -100), as_tuple=True)
    each = _places(loss)

    def losses(output: Any, target: Tensor) -> Tensor:
        found = each(logits_of(output), target[:, 1:])
        return torch.as_tensor(found.gather(1, target[:, :1])[:, 0])

    return losses, mapped(lambda part: part[sample], x), torch.cat([place[:, None], y[sample]], 1)


def _places(loss: Any) -> PerSample:
    """The loss at each place (batch, places)."""
    single = copy.copy(loss)
    if hasattr(single, "reduction"):
        single.reduction = "none"

    def at(output: Tensor, target: Tensor) -> Tensor:
        found: Tensor = single(output, target)
        if found.shape != target.shape:
            raise ValueError(
                f"got losses of shape {tuple(found.shape)} for targets {tuple(target.shape)}, expected one a place; type a loss with reduction='none', as loss=lambda output, y: F.cross_entropy(output.transpose(1, 2), y, reduction='none')"
            )
        return found

    return at
