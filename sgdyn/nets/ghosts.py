"""Products with the gradients of all samples, and their inner products, without these gradients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from sgdyn.nets.capture import Unsupported, capture, owners, pieces
from sgdyn.nets.network import Network
from sgdyn.nets.pieces import Piece
from sgdyn.nets.scrutiny import spread
from sgdyn.nets.traceless import undisturbed
from sgdyn.nets.trees import Tree, take

Owners = dict[str, tuple[nn.Module, list[str]]]

CHECKED = 3


@dataclass(frozen=True, eq=False)
class Ghosts:
    """The pieces of all gradients g_i (N, p) that a network's layers have kept."""

    network: Network
    pieces: list[Piece]

    @classmethod
    def of(cls, network: Network, modules: Owners) -> Ghosts:
        """What these modules see in one pass through the data."""
        whole: list[Piece] = []
        start = 0
        for x, y in network.batches():
            part = _batch(network, modules, x, y)
            if len(y) == network.n:
                return cls(network, part)
            whole = whole or [piece.room(network.n) for piece in part]
            for piece, given in zip(whole, part, strict=True):
                piece.put(start, given)
            start += len(y)
        return cls(network, whole)

    @property
    def bytes(self) -> int:
        """The memory they take."""
        kept = {t.data_ptr(): t.numel() * t.element_size() for piece in self.pieces for t in piece.tensors().values()}
        return sum(kept.values())

    def push(self, v: Tensor) -> Tensor:
        """g_i . v (N,) in double precision for v (p,)."""
        total = torch.zeros(self.network.n, dtype=torch.float64, device=v.device)
        for piece in self.pieces:
            total += piece.push(v[piece.place])
        return total

    def pull(self, u: Tensor) -> Tensor:
        """sum_i u_i g_i (p,) for u (N,)."""
        total = torch.zeros_like(self.network.weights)
        for piece in self.pieces:
            total[piece.place] = piece.pull(u.to(total.dtype))
        return total

    def rows(self, samples: slice) -> Tensor:
        """g_i of some samples (b, p)."""
        count = len(range(*samples.indices(self.network.n)))
        total = self.network.weights.new_zeros(count, self.network.dim)
        for piece in self.pieces:
            total[:, piece.place] = piece.rows(samples)
        return total

    def squares(self) -> Tensor:
        """|g_i|² (N,) in double precision."""
        return torch.stack([piece.squares(self.network.n) for piece in self.pieces]).sum(0)

    def column_squares(self) -> Tensor:
        """sum_i g_i² (p,), component by component, in double precision."""
        total = torch.zeros(self.network.dim, dtype=torch.float64, device=self.network.weights.device)
        for piece in self.pieces:
            total[piece.place] = piece.column_squares(self.network.n)
        return total


def _batch(network: Network, modules: Owners, x: Tree, y: Tensor) -> list[Piece]:
    """The pieces of some samples."""
    seen, here = capture(network, x, y, modules), network.over(x, y)
    return [piece for path, (m, names) in modules.items() for piece in pieces(here, path, m, names, seen.pop(path))]


@dataclass(frozen=True, eq=False)
class GhostSource:
    """Whether and how a network's gradients can be had from its layers: memory for each module (bytes), and why not, if not."""

    network: Network
    modules: Owners
    cost: dict[str, float]
    reason: str = ""

    @classmethod
    def of(cls, network: Network) -> GhostSource:
        """Look at a few samples, where the layers must give what backward passes give."""
        rows = spread(network.n, CHECKED).to(network.weights.device)
        few = network.over(take(network.x, rows), network.y[rows])
        try:
            with undisturbed(network.weights.device):
                modules = owners(network)
                cost = {
                    path: Ghosts.of(few, {path: module}).bytes * network.n / few.n for path, module in modules.items()
                }
                reason = _difference(few, Ghosts.of(few, modules))
        except (Unsupported, RuntimeError) as error:
            return cls(network, {}, {}, (str(error).splitlines() or [type(error).__name__])[0])
        return cls(network, modules, cost, reason)

    @property
    def possible(self) -> bool:
        return not self.reason

    @property
    def bytes(self) -> float:
        """The memory that all pieces take at once."""
        return sum(self.cost.values())

    @cached_property
    def kept(self) -> Ghosts:
        """All pieces at once."""
        return Ghosts.of(self.network, self.modules)

    def groups(self, budget: float) -> Iterator[Ghosts]:
        """All pieces, in as many passes through the data as the memory makes necessary."""
        if "kept" in self.__dict__ or self.bytes <= budget:
            yield self.kept
            return
        group: Owners = {}
        for path, module in self.modules.items():
            if group and sum(self.cost[name] for name in group) + self.cost[path] > budget:
                yield Ghosts.of(self.network, group)
                group = {}
            group[path] = module
        yield Ghosts.of(self.network, group)


def _difference(few: Network, ghosts: Ghosts) -> str:
    """In words, if the layers do not give what backward passes of the whole network give."""
    u = torch.as_tensor(np.cos(np.arange(few.n))).to(few.weights)
    expected, found = few.pull(u), ghosts.pull(u)
    tolerance = 1e3 * float(torch.finfo(u.dtype).eps) ** 0.9
    if float((found - expected).double().norm()) <= tolerance * float(expected.double().norm()):
        return ""
    return "its layers alone do not account for the gradient"
