"""Losses of single samples from the losses of torch, which are means over batches."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

PerSample = Callable[[Any, Tensor], Tensor]

ELEMENTWISE = (
    nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.BCELoss, nn.BCEWithLogitsLoss, nn.KLDivLoss, nn.PoissonNLLLoss,
    nn.SoftMarginLoss,
)  # fmt: skip
"""Losses that compare outputs and targets element by element, and would broadcast them."""

REDUCTIONS = ("mean", "none", "batchmean")


def per_sample(loss: Any) -> PerSample:
    """One loss for each sample, whose mean over a batch is the loss that was given; a function is taken as it is.

    Raises TypeError for what cannot be called, ValueError for sums and weighted means, which are no means over samples.
    """
    if not callable(loss):
        raise TypeError(f"got loss={loss!r}, expected an nn loss or a function (output, target) -> (batch,)")
    if not isinstance(loss, nn.Module):
        plain: PerSample = loss
        return plain
    reduction = getattr(loss, "reduction", "none")
    _check_module(loss, reduction)
    single = copy.copy(loss)
    if reduction != "none":
        single.reduction = "none"  # type: ignore[assignment]

    def losses(output: Tensor, target: Tensor) -> Tensor:
        found: Tensor = single(logits_of(output), target)
        if found.ndim < 2:  # one number a batch is told apart, and refused, by the network
            return found
        rest = found.reshape(len(found), -1)
        return rest.sum(1) if reduction == "batchmean" else rest.mean(1)

    return losses


def logits_of(output: Any) -> Any:
    """The output that an nn loss is of: itself, or the `logits` of an output with a name for each part."""
    return getattr(output, "logits", output)


def _check_module(loss: nn.Module, reduction: str) -> None:
    name = type(loss).__name__
    if reduction not in REDUCTIONS:
        raise ValueError(f"got {name}(reduction={reduction!r}), expected the mean; type {name}()")
    if getattr(loss, "weight", None) is not None:
        raise ValueError(
            f"got {name} with class weights, whose mean is not a mean over samples; type loss=lambda output, y: w[y] * F.cross_entropy(output, y, reduction='none')"
        )


def check_shapes(loss: Any, output: Any, target: Tensor) -> None:
    """Raise ValueError for outputs and targets that a loss would broadcast, mixing the samples."""
    if isinstance(loss, ELEMENTWISE) and isinstance(output, Tensor) and output.shape != target.shape:
        fits = output.numel() == target.numel()
        advice = (
            f"y.reshape({', '.join(map(str, (-1, *output.shape[1:])))})" if fits else "targets of the output's shape"
        )
        raise ValueError(
            f"got outputs of shape {tuple(output.shape)} and targets of shape {tuple(target.shape)}, which {type(loss).__name__} would broadcast against each other, expected equal shapes; type {advice}"
        )


def refuse_ignored(loss: Any, y: Tensor) -> None:
    """A mean over the targets that are not ignored is not a mean over samples."""
    ignored = getattr(loss, "ignore_index", None) if getattr(loss, "reduction", "none") == "mean" else None
    count = 0 if ignored is None or y.is_floating_point() else int((y == ignored).sum())
    if count:
        raise ValueError(
            f"got {count} targets equal to ignore_index={ignored}, expected a loss for every sample; type data without those samples"
        )
