"""Inputs of models: a tensor, or a dict or tuple of tensors with the samples in the first axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_leaves, tree_map

Tree = Any
"""Tensors in dicts and tuples."""


def plain(tree: Any) -> Tree:
    """The same with plain dicts (a batch of transformers is a mapping of its own), and everything else as tensors."""
    if isinstance(tree, Mapping):
        return {str(key): plain(part) for key, part in tree.items()}
    if isinstance(tree, tuple):
        return tuple(plain(part) for part in tree)
    return torch.as_tensor(tree)


def mapped(function: Callable[[Tensor], Any], tree: Tree) -> Tree:
    """The function of every tensor."""
    return tree_map(function, tree)


def leaves(tree: Tree) -> list[Tensor]:
    """All tensors."""
    found: list[Tensor] = tree_leaves(tree)
    return found


def take(tree: Tree, rows: Any) -> Tree:
    """Samples by number or slice."""
    return tree_map(lambda part: part[rows], tree)


def count(tree: Tree) -> int:
    """The number of samples."""
    return len(leaves(tree)[0])


def split(tree: Tree, size: int) -> list[Tree]:
    """Batches of so many samples, the last one may be short."""
    return [take(tree, slice(start, start + size)) for start in range(0, count(tree), size)]


def shapes(tree: Tree) -> str:
    """What one sample looks like, in words."""
    if isinstance(tree, dict):
        return ", ".join(f"{key} {shapes(part)}" for key, part in tree.items())
    if isinstance(tree, tuple):
        return ", ".join(map(shapes, tree))
    return f"{tuple(tree.shape[1:])} {tree.dtype}"


def called(model: nn.Module, state: Mapping[str, Tensor], x: Tree) -> Any:
    """The output of a model with these parameters and buffers, a shared one under each of its names: dicts are its named arguments, tuples its arguments."""
    if isinstance(x, dict):
        return functional_call(model, dict(state), (), x, tie_weights=False)
    return functional_call(model, dict(state), x if isinstance(x, tuple) else (x,), tie_weights=False)
