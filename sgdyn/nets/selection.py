"""Which parameters are coordinates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

Filter = str | Sequence[str] | Callable[[str, Tensor], bool] | None


def selected(model: nn.Module, params: Filter) -> dict[str, Tensor]:
    """The parameters by name that require gradients and that the filter lets through.

    params: None for all, patterns of names ("head.*", ["*lora_A*", "*lora_B*"]), or a function (name, parameter) -> bool. Raises
    ValueError if nothing is left, or for a pattern that fits no name.
    """
    trainable = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    if not trainable:
        raise ValueError("got a model without trainable parameters, expected some with requires_grad=True")
    complex_ones = [name for name, part in trainable.items() if part.is_complex()]
    if complex_ones:
        raise ValueError(
            f"got complex parameters ({', '.join(complex_ones[:4])}), expected real ones: D and H are matrices of real coordinates; type torch.view_as_complex of a real parameter in the model"
        )
    return chosen(trainable, params)


def chosen(parts: dict[str, Tensor], params: Filter) -> dict[str, Tensor]:
    """Those of the named parameters that a filter lets through. Raises ValueError as `selected` does."""
    if params is None:
        return parts
    kept = {name: part for name, part in parts.items() if _wanted(params)(name, part)}
    for pattern in [] if callable(params) else _patterns(params):
        if not any(fnmatchcase(name, pattern) for name in parts):
            raise ValueError(f"got params={pattern!r}, which fits none of the names {', '.join(list(parts)[:8])}")
    if not kept:
        raise ValueError(
            f"got params that choose none of {', '.join(list(parts)[:8])}, expected some; type other patterns"
        )
    return kept


def _patterns(params: Any) -> list[str]:
    patterns = [params] if isinstance(params, str) else list(params)
    if not all(isinstance(pattern, str) for pattern in patterns):
        raise TypeError(f"got params={params!r}, expected patterns of names or a function (name, parameter) -> bool")
    return patterns


def _wanted(params: Any) -> Callable[[str, Tensor], bool]:
    if callable(params):
        return lambda name, part: bool(params(name, part))
    patterns = _patterns(params)
    return lambda name, part: any(fnmatchcase(name, pattern) for pattern in patterns)


def aliases(model: nn.Module) -> dict[str, str]:
    """The further names of parameters that several modules share, each with the first one."""
    first = {id(part): name for name, part in model.named_parameters()}
    everywhere = model.named_parameters(remove_duplicate=False)
    return {name: first[id(part)] for name, part in everywhere if name != first[id(part)]}


def padding_rows(
    model: nn.Module, coordinates: dict[str, Tensor], device: torch.device
) -> dict[str, tuple[Tensor, Tensor]]:
    """For each embedding with a padding index, by the name of its weight there: which rows that is (rows,), and the weight."""
    names = {id(part) for name, part in model.named_parameters() if name in coordinates}
    found = {}
    for path, module in model.named_modules():
        if isinstance(module, nn.Embedding) and module.padding_idx is not None and id(module.weight) in names:
            weight = module.weight.detach().to(device, copy=True)
            rows = torch.arange(len(weight), device=device) == module.padding_idx
            found[f"{path}.weight" if path else "weight"] = rows, weight
    return found
