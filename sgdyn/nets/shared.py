"""Matrices of networks whose samples are spread over processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sgdyn.estimate import Estimate
from sgdyn.linalg.journals import Journal
from sgdyn.linalg.plans import Cost, Plan
from sgdyn.nets.exchanges import across, visitor
from sgdyn.nets.fisher import KINDS, EmpiricalFisher, MonteCarloFisher, TrueFisher
from sgdyn.nets.ghosts import GhostSource
from sgdyn.nets.gradient_noise import GradientNoise
from sgdyn.nets.jacobian import Jacobian
from sgdyn.nets.network import Network
from sgdyn.nets.operators import BUDGET, NetworkOperator
from sgdyn.nets.pieces import Piece
from sgdyn.nets.second_moments import SecondMoments
from sgdyn.nets.sharded import ShardedNetwork
from sgdyn.nets.shards import SharedSpace
from sgdyn.nets.vectors import numpy_of

Floats = NDArray[np.float64]


class Shared(NetworkOperator):
    """A matrix (p, p) of which each process has a part, `own`."""

    network: ShardedNetwork
    own: NetworkOperator

    @property
    def space(self) -> SharedSpace:
        """Tensors like the network's weights, with the same inner products in all processes."""
        return SharedSpace(self.network.weights, self.network.shards.processes)

    def prepare(self) -> None:
        """Get ready for many products."""
        self.own.prepare()

    def on(self, network: Network) -> Self:
        """The same kind of matrix, with the same settings, of another network that is spread likewise."""
        other = super().on(network)
        other.own = self.own.on(other.network.shard)
        return other

    def price(self, kind: str) -> Cost:
        """Seconds and operations in this process alone, without what the processes tell each other."""
        return self.own.price(kind)

    def identity(self) -> dict[str, Any]:
        """By what a checkpoint knows this process's part again."""
        shards = self.network.shards
        return self.own.identity() | {
            "operator": type(self).__name__,
            "process": shards.processes.rank,
            "counts": list(shards.counts),
        }

    def journal(self, place: str | Path, question: dict[str, Any]) -> Journal:
        """The products of this operator, in a folder for each process; as many are taken for known as all of them have."""
        processes = self.network.shards.processes
        own = Path(place) / f"process-{processes.rank}"
        found = processes.together(lambda: Journal(self, own, question))
        found.shorten(min(processes.numbers(found.stored)))
        return found

    def __repr__(self) -> str:
        shards = self.network.shards
        return f"{type(self.own).__name__}({self.shape[0]} parameters, {shards.n} samples in {len(shards.counts)} processes)"


class SharedMean(Shared):
    """A matrix that is a mean over samples: the mean of those of the processes."""

    def __init__(self, network: ShardedNetwork, make: Callable[[Network], NetworkOperator]) -> None:
        super().__init__(network)
        self.own = network.shards.processes.together(lambda: make(network.shard))

    def apply(self, v: Tensor) -> Tensor:
        """The product (p,) with a tensor v (p,)."""
        return self.network.shards.mean(self.own.apply(v))

    def _matmat(self, V: Floats) -> Floats:
        own = torch.as_tensor(self.own._matmat(V)).to(self.network.weights)
        return numpy_of(self.network.shards.mean(own))

    def ways(self) -> Plan:
        """The ways to the top eigenvalues, with their memory in this process."""
        return self.own.ways()


class SharedMoments(Shared, SecondMoments):
    """(1/N) sum_i g_i g_i' (p, p) over the samples of all processes, minus the mean of all gradients if `centred`."""

    def __init__(
        self, network: ShardedNetwork, method: str = "auto", *, ghosts: bool | None = None, budget: float = BUDGET
    ) -> None:
        super().__init__(network, method, ghosts=ghosts, budget=budget)
        self.own: EmpiricalFisher = EmpiricalFisher(network.shard, method, ghosts=ghosts, budget=budget)

    @cached_property
    def source(self) -> GhostSource:
        """Whether the layers give the gradients in all processes, and what that costs at most in one of them."""
        processes = self.network.shards.processes
        own = processes.together(lambda: self.own.source)
        if not all(processes.numbers(own.possible)):
            return GhostSource(self.network.shard, {}, {}, own.reason or "layers do not tell in another process")
        costs = {path: float(max(processes.numbers(int(cost)))) for path, cost in own.cost.items()}
        return GhostSource(self.network.shard, own.modules, costs)

    @cached_property
    def mean(self) -> Tensor:
        """g, the mean gradient (p,) without weight decay."""
        return self.network.shards.mean(self.own.mean)

    @cached_property
    def ghosts(self) -> None:
        """What the layers kept is each process's own."""
        return

    def push(self, v: Tensor) -> Tensor:
        """g_i . v (N,), centred if the operator is, for v (p,)."""
        u = self.network.gathered(self.own.push(v))
        return u - u.mean() if self.centred else u

    def pull(self, u: Tensor) -> Tensor:
        """sum_i u_i g_i (p,) for u (N,)."""
        return self.network.shards.processes.sum(self.own.pull(u[self.network.own]))

    def apply(self, v: Tensor) -> Tensor:
        """The product (p,) with a tensor v (p,)."""
        u, shards = self.own.push(v), self.network.shards
        if self.centred:
            u = u - shards.processes.sum(u.sum()) / shards.n
        return shards.processes.sum(self.own.pull(u / shards.n))

    def rows(self) -> Iterator[Tensor]:
        """The gradients g_i of all samples, minus g if centred, block by block (block, p)."""
        blocks = self.network.shards.blocks(self.own.rows, self.network.weights)
        return (block - self.mean for block in blocks) if self.centred else blocks

    def _own_rows(self) -> Iterator[Tensor]:
        return (block - self.mean for block in self.own.rows()) if self.centred else self.own.rows()

    def _from_raw(self, name: str) -> tuple[Floats, Floats]:
        """The mean of (1/n) sum g_i² in some form over all processes, and that of the mean gradient."""
        raw = torch.as_tensor(np.asarray(getattr(self.own, name)().value), dtype=torch.float64)
        mean = numpy_of(self.mean) ** 2 if self.centred else np.zeros(1)
        return numpy_of(self.network.shards.mean(raw.to(self.network.weights.device))), mean

    def trace(self, *, method: str = "auto", **options: Any) -> Estimate:
        """The trace, exactly: the mean squared size of the gradients; the error is rounding. Other methods: see `SymmetricOperator`."""
        if method != "auto":
            return super().trace(method=method, **options)
        raw, mean = self._from_raw("trace")
        return Estimate(float(raw - mean.sum()), self._rounding(float(raw)), "all gradients, rounding")

    def diag(self, **options: Any) -> Estimate:
        """The diagonal (p,), exactly: the mean squares of the gradients' components; the errors are rounding."""
        raw, mean = self._from_raw("diag")
        return Estimate(np.maximum(raw - mean, 0.0), self.space.eps * raw, "all gradients, rounding")

    def dense(self) -> Floats:
        """The whole matrix (p, p)."""
        total = torch.zeros((self.network.dim,) * 2, dtype=torch.float64, device=self.network.weights.device)
        for block in self._own_rows():
            total += block.double().T @ block.double()
        return numpy_of(self.network.shards.processes.sum(total) / self.network.n)

    def gram_tensor(self, checkpoint: str | Path | None = None) -> Tensor:
        """Each process makes rows of its own samples; every pair of processes is served by one of the two."""
        if checkpoint is not None:
            raise ValueError(
                "got a checkpoint for the Gram matrix of several processes, expected none; type method='lanczos' for products that are kept"
            )
        shards, device = self.network.shards, self.network.weights.device
        mine = torch.zeros((len(self.network.y), shards.n), dtype=torch.float64, device=device)
        if not self.source.possible:
            self._fill(mine)
            return shards.gather(mine) / shards.n
        for group in self.own.source.groups(self.budget):
            for piece in group.pieces:
                self._add(mine, piece)
        once = shards.gather(mine)
        total = once + once.T - torch.diag(once.diag())
        if self.centred:
            mean = total.mean(0)
            total += mean.mean() - mean - mean[:, None]
        return total / shards.n

    def _add(self, mine: Tensor, piece: Piece) -> None:
        """Inner products of one piece with itself, below the diagonal, and with those of the processes that are this one's to serve."""
        shards = self.network.shards
        rank, count = shards.processes.rank, shards.processes.count
        for other, place in enumerate(shards.places):
            guest = visitor(piece, shards, other)  # every process takes part, the one whose piece it is too
            apart = (rank - other) % count
            if other == rank:
                piece.add_gram(mine[:, place])
                mine[:, place] = torch.tril(mine[:, place])
            elif 2 * apart < count or (2 * apart == count and rank > other):
                across(piece, guest, mine[:, place])

    def _fill(self, mine: Tensor) -> None:
        """Inner products of the gradients themselves."""
        j = 0
        for right in self.rows():
            i = 0
            for left in self._own_rows():
                mine[i : i + len(left), j : j + len(right)] = left.double() @ right.double().T
                i += len(left)
            j += len(right)


class SharedNoise(GradientNoise, SharedMoments):
    """D over the samples of all processes (see `GradientNoise`)."""

    network: ShardedNetwork


class SharedEmpirical(EmpiricalFisher, SharedMoments):
    """The Fisher matrix with the labels of the data of all processes (see `EmpiricalFisher`)."""

    network: ShardedNetwork


class SharedMonteCarlo(MonteCarloFisher, SharedMoments):
    """The Fisher matrix with labels drawn for the samples of all processes (see `MonteCarloFisher`); `labels` are those of this process."""

    network: ShardedNetwork


def shared_fisher(network: ShardedNetwork, kind: str, **options: Any) -> Shared:
    """The Fisher matrix of that kind over the samples of all processes (see `sgdyn.nets.fisher_of`)."""
    if kind not in KINDS:
        raise ValueError(f"got kind={kind!r}, expected {', '.join(map(repr, KINDS))}")
    if kind == "true":
        return SharedMean(network, lambda shard: TrueFisher(shard, **options))
    return SharedEmpirical(network, **options) if kind == "empirical" else SharedMonteCarlo(network, **options)


class SharedJacobian(Jacobian):
    """J (N outputs, p) over the samples of all processes, rank by rank (see `Jacobian`)."""

    network: ShardedNetwork

    def __init__(self, network: ShardedNetwork, output: int | None = None) -> None:
        super().__init__(network, output)
        self.own = Jacobian(network.shard, output)

    def push(self, v: Tensor) -> Tensor:
        """J v (N, width) for a tensor v (p,)."""
        return self.network.gathered(self.own.push(v))

    def pull(self, u: Tensor) -> Tensor:
        """J'u (p,) for a tensor u (N, width)."""
        return self.network.shards.processes.sum(self.own.pull(u[self.network.own]))

    def dense(self) -> Floats:
        """The whole matrix (N outputs, p)."""
        rows = torch.as_tensor(self.own.dense()).view(len(self.network.y), -1).to(self.network.weights)
        return numpy_of(self.network.gathered(rows)).reshape(-1, self.network.dim)

    def normal(self) -> SharedMean:
        """J'J/N (p, p)."""
        return SharedMean(self.network, lambda shard: Jacobian(shard, self.output).normal())
