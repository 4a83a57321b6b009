"""Normalising layers by plain arithmetic.

In torch 2.13 the fused layer norm and group norm have right first derivatives and right products with Hessians, but forward over forward mode and
all third derivatives through them are silently wrong: the saved mean and deviation are taken for constants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


def _normalised(x: Tensor, axes: Sequence[int], eps: float) -> Tensor:
    centred = x - x.mean(tuple(axes), keepdim=True)
    return centred / (centred.square().mean(tuple(axes), keepdim=True) + eps).sqrt()


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:  # fmt: skip
    """`torch.nn.functional.layer_norm`."""
    return _scaled(_normalised(input, range(-len(normalized_shape), 0), eps), weight, bias)


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """`torch.nn.functional.group_norm`."""
    groups = input.reshape(len(input), num_groups, -1)
    shape = (-1, *[1] * (input.ndim - 2))
    wide = (None if part is None else part.view(shape) for part in (weight, bias))
    return _scaled(_normalised(groups, (-1,), eps).view_as(input), *wide)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """`torch.nn.functional.rms_norm`."""
    axes = tuple(range(-len(normalized_shape), 0))
    floor = torch.finfo(input.dtype).eps if eps is None else eps
    return _scaled(input / (input.square().mean(axes, keepdim=True) + floor).sqrt(), weight, None)


def batch_norm(
    input: Tensor, running_mean: Tensor, running_var: Tensor, weight: Tensor | None = None, bias: Tensor | None = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """`torch.nn.functional.batch_norm` with running statistics."""
    if training:
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    wide = [
        None if part is None else part.view(-1, *[1] * (input.ndim - 2))
        for part in (running_mean, running_var, weight, bias)
    ]
    assert wide[0] is not None and wide[1] is not None
    return _scaled((input - wide[0]) / (wide[1] + eps).sqrt(), wide[2], wide[3])


PLAIN: dict[Any, Callable[..., Tensor]] = {
    F.layer_norm: layer_norm, F.group_norm: group_norm, F.rms_norm: rms_norm, F.batch_norm: batch_norm
}  # fmt: skip


class PlainNorms(TorchFunctionMode):
    """Within it, normalising layers are evaluated by plain arithmetic, in this thread alone."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return PLAIN.get(func, func)(*args, **(kwargs or {}))
