"""What the layers of a network are given, and what comes back to them, for all samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap

from sgdyn.nets.network import Network
from sgdyn.nets.pieces import Lookup, Outer, Piece, Rows
from sgdyn.nets.positions import Convolved, Sums, patches
from sgdyn.nets.trees import Tree


@dataclass
class Seen:
    """The calls of one module: inputs (batch, ...) and slopes at the outputs, one list each."""

    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    slopes: list[Tensor] = field(default_factory=list)


class Unsupported(Exception):
    """A network whose layers do not tell their gradients."""


def owners(network: Network) -> dict[str, tuple[nn.Module, list[str]]]:
    """The modules by name that own coordinates, with the names of these. Raises `Unsupported` for shared parameters."""
    names = {id(part): name for name, part in network.model.named_parameters() if name in network.places()}
    found: dict[str, tuple[nn.Module, list[str]]] = {}
    taken: set[str] = set()
    for path, module in network.model.named_modules():
        own = [names[id(part)] for part in module._parameters.values() if part is not None and id(part) in names]
        if taken & set(own) or len(set(own)) < len(own):
            raise Unsupported(f"{own[0]} belongs to several layers")
        taken.update(own)
        if own:
            found[path] = (module, own)
    return found


def capture(network: Network, x: Tree, y: Tensor, paths: dict[str, tuple[nn.Module, list[str]]]) -> dict[str, Seen]:
    """What the modules see in one batch. Raises `Unsupported` for modules whose inputs and outputs are not one tensor of samples each."""
    seen = {path: Seen() for path in paths}
    with torch.enable_grad(), _watched({path: module for path, (module, _) in paths.items()}, seen, len(y)):
        total = network.losses(network.weights, x, y).sum()
    outputs = [part for path in paths for part in seen[path].outputs]
    slopes = iter(torch.autograd.grad(total, outputs, allow_unused=True, materialize_grads=True) if outputs else [])
    for calls in seen.values():
        calls.slopes = [next(slopes).detach() for _ in calls.outputs]
        calls.outputs = []
    return seen


@contextmanager
def _watched(modules: dict[str, nn.Module], seen: dict[str, Seen], count: int) -> Iterator[None]:
    """Hooks that note inputs, and hand on a copy of the output, so that no layer changes it in place."""

    def hook(calls: Seen) -> Callable[..., Tensor]:
        def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor:
            if len(inputs) == 1 and isinstance(output, Tensor) and isinstance(inputs[0], Tensor):
                inputs, output = (_everyone(inputs[0], count),), _everyone(output, count)
            parts = [*inputs, output]
            if len(inputs) != 1 or not all(isinstance(p, Tensor) and p.ndim and len(p) == count for p in parts):
                raise Unsupported(f"{type(module).__name__} takes or gives other than one tensor of samples")
            if not output.requires_grad:
                output = output.detach().requires_grad_()
            calls.inputs.append(inputs[0].detach())
            calls.outputs.append(output)
            handed: Tensor = output.clone()
            return handed

        return note

    handles = [module.register_forward_hook(hook(seen[path])) for path, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _everyone(part: Tensor, count: int) -> Tensor:
    """What a layer made once for all samples (embeddings of positions), for each of them."""
    return part.expand(count, *part.shape[1:]) if part.ndim > 1 and len(part) == 1 else part


def pieces(network: Network, path: str, module: nn.Module, names: list[str], seen: Seen) -> list[Piece]:
    """The gradients with respect to the parameters of one module."""
    places = network.places()
    ends = {name.rpartition(".")[2]: places[name] for name in names}
    if not seen.inputs:
        return [
            Rows(place, network.weights.new_zeros(len(network.y), place.stop - place.start)) for place in ends.values()
        ]
    made = _known(module, ends, seen)
    return _by_rows(network, path, module, ends, seen) if made is None else made


def _known(module: nn.Module, ends: dict[str, slice], seen: Seen) -> list[Piece] | None:
    """Closed forms for linear layers, convolutions and embeddings as torch defines them."""
    kind = type(module)
    if kind is nn.Linear:
        a, d = (_positions([part.flatten(1, -2) if part.ndim > 2 else part[:, None] for part in side]) for side in (seen.inputs, seen.slopes))  # fmt: skip
        return _linear(ends, a, d)
    if isinstance(module, nn.Conv1d | nn.Conv2d) and kind in (nn.Conv1d, nn.Conv2d) and _plain(module):
        return _convolution(module, ends, seen)
    if isinstance(module, nn.Embedding) and kind is nn.Embedding and module.max_norm is None:
        return _embedding(module, ends, seen)
    return None


def _linear(ends: dict[str, slice], a: Tensor, d: Tensor) -> list[Piece]:
    """A linear layer with inputs a (N, T, inputs) and slopes d (N, T, outputs)."""
    found: list[Piece] = []
    if "weight" in ends:
        once = a.shape[1] == 1
        found.append(Outer(ends["weight"], a[:, 0], d[:, 0]) if once else Sums(ends["weight"], d, a))
    if "bias" in ends:
        found.append(Rows(ends["bias"], d.sum(1)))
    return found


def _convolution(module: nn.Conv1d | nn.Conv2d, ends: dict[str, slice], seen: Seen) -> list[Piece]:
    """Images as they are for a convolution used once; what its kernel meets at each position for one that is used again."""
    settings: Any = (module.stride, module.padding, module.dilation)
    if len(seen.inputs) > 1:
        a = _positions([patches(part, module.kernel_size, *settings) for part in seen.inputs])
        return _linear(ends, a, _positions([part.flatten(2).transpose(1, 2) for part in seen.slopes]))
    found: list[Piece] = []
    d = seen.slopes[0]
    if "weight" in ends:
        found.append(Convolved(ends["weight"], d, seen.inputs[0], tuple(module.weight.shape), settings))
    if "bias" in ends:
        found.append(Rows(ends["bias"], d.flatten(2).sum(2)))
    return found


def _positions(parts: list[Tensor]) -> Tensor:
    """Calls of one layer side by side, as positions (N, T, width)."""
    return torch.cat(parts, 1) if len(parts) > 1 else parts[0]


def _plain(module: nn.Conv1d | nn.Conv2d) -> bool:
    return module.groups == 1 and module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _embedding(module: nn.Embedding, ends: dict[str, slice], seen: Seen) -> list[Piece] | None:
    if module.scale_grad_by_freq or module.sparse:
        return None
    numbers = torch.cat([part.flatten(1) for part in seen.inputs], 1)
    d = torch.cat([part.flatten(1, -2) if part.ndim > 2 else part[:, None] for part in seen.slopes], 1)
    if module.padding_idx is not None:
        d = d * (numbers != module.padding_idx)[..., None]
    return [Lookup(ends["weight"], numbers, d)]


def _by_rows(network: Network, path: str, module: nn.Module, ends: dict[str, slice], seen: Seen) -> list[Piece]:
    """Any module: its own backward pass for each sample."""
    prefix = f"{path}." if path else ""
    state = {
        name.removeprefix(prefix): part
        for name, part in network.state(network.weights).items()
        if name.startswith(prefix)
    }
    own = {name: state[name] for name in ends}

    def one(a: Tensor, d: Tensor) -> Any:
        return vjp(lambda q: functional_call(module, state | q, (a[None],))[0], own)[1](d)[0]

    try:
        calls = [vmap(one)(a, d) for a, d in zip(seen.inputs, seen.slopes, strict=True)]
    except RuntimeError as error:
        raise Unsupported(
            f"{type(module).__name__} has no gradients by sample ({str(error).splitlines()[0]})"
        ) from error
    return [
        Rows(place, torch.stack([call[name].reshape(len(call[name]), -1) for call in calls]).sum(0))
        for name, place in ends.items()
    ]
