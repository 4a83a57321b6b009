"""Networks of which some parameters are coordinates and the others stay where they are: the diagonal blocks of their matrices."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from sgdyn.nets.selection import Filter, chosen

if TYPE_CHECKING:
    from sgdyn.nets.network import Network


def restricted(network: Network, params: Filter) -> Network:
    """The same network with only the chosen of its coordinates free, the others at their present values."""
    state = {name: part.detach() for name, part in network.state(network.weights).items()}
    free = chosen({name: state[name] for name in network.places()}, params)
    other: Any = copy.copy(network)
    other.weights = torch.cat([network.weights[place] for name, place in network.places().items() if name in free])
    other.fixed = network.fixed | {name: state[name].clone() for name in network.places() if name not in free}
    other._layout = [entry for entry in network._layout if entry[0] in free]
    other._padding = {name: part for name, part in network._padding.items() if network._aliases.get(name, name) in free}
    return other  # type: ignore[no-any-return]


def layers(network: Network) -> dict[str, list[str]]:
    """The names of the coordinates of each layer, by the layer's name."""
    found: dict[str, list[str]] = {}
    for name in network.places():
        found.setdefault(name.rpartition(".")[0] or name, []).append(name)
    return found
