"""Networks whose samples are spread over processes: every process gets the answer for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sgdyn.nets.identity import identity
from sgdyn.nets.network import Network
from sgdyn.nets.selection import Filter
from sgdyn.nets.shards import Processes, Shards
from sgdyn.nets.traceless import digest
from sgdyn.nets.trees import Tree, shapes

if TYPE_CHECKING:
    from sgdyn.nets.jacobian import Jacobian
    from sgdyn.nets.shared import SharedMean, SharedNoise


def distributed(
    model: nn.Module, loss: Any, data: Any, weight_decay: float = 0.0, *, group: Any = None, **options: Any
) -> ShardedNetwork:
    """U(w) = (1/N) sum_i l_i(w) + weight_decay |w|²/2 over the samples of all processes; to be called in all of them.

    data: this process's own samples, such as (x[rank::count], y[rank::count]); shards may differ in size. N is the number of all samples,
    numbered rank by rank. group: processes of `torch.distributed`, all of them unless told otherwise; options: those of `Network`. A
    `DistributedDataParallel` model stands for the model in it. Sums over samples, matrices times vectors among them, are added up by an
    all-reduce; random vectors are the same everywhere, and inner products are those of the first process, so that iterations do not part.

    Raises ValueError where there is no process group, or weights, buffers, models, losses or kinds of samples differ between processes,
    and in every process an error where the network of one (an empty shard, say) is refused.
    """
    processes = Processes.of(group)
    inner = model.module if isinstance(model, DistributedDataParallel) else model
    shard = processes.together(lambda: Network(inner, loss, data, weight_decay, **options))
    _check_same(processes, shard)
    return ShardedNetwork(shard, Shards.of(processes, len(shard.y)))


def _check_same(processes: Processes, shard: Network) -> None:
    name = getattr(shard.loss, "__qualname__", repr(shard.loss))
    layers = [f"{path} {type(part).__qualname__}" for path, part in shard.model.named_modules()]
    layout = [f"{path} {tuple(part.shape)}" for path, part in shard.model.named_parameters()]
    chosen = f"{list(shard.places().items())} {shard.weights.dtype}"
    kinds = f"{shapes(shard.x)}; {shapes(shard.y)}"
    same = processes.require_same
    same("a model", digest(*layers, *layout, chosen), "build the same model in every process")
    same("a loss or a weight_decay", digest(name, f"{shard.weight_decay}"), "type the same in every process")
    same("samples of another kind", digest(kinds), "type samples of one shape, padded to one length")
    same("weights", digest(shard.weights), _broadcast("parameters"))
    same("buffers or frozen parameters", identity(shard)["model"], _broadcast("buffers"))


def _broadcast(what: str) -> str:
    return f"type for part in model.{what}(): torch.distributed.broadcast(part.data, 0)"


class ShardedNetwork(Network):
    """A network over the samples of all processes, of which this one holds a shard (see `distributed`)."""

    def __init__(self, shard: Network, shards: Shards) -> None:
        self.__dict__.update(vars(shard))
        self.shard, self.shards = shard, shards

    @property
    def n(self) -> int:
        """The number of samples N of all processes."""
        return self.shards.n

    @property
    def own(self) -> slice:
        """Which of all samples this process holds."""
        return self.shards.own

    def gathered(self, part: Tensor) -> Tensor:
        """Rows (N, ...) for all samples from those of this process's samples."""
        return self.shards.gather(part)

    def moved(self, change: Callable[[Network], Network]) -> ShardedNetwork:
        """The same with another shard, such as one at other weights."""
        shard = self.shards.processes.together(lambda: change(self.shard))
        return ShardedNetwork(shard, Shards.of(self.shards.processes, len(shard.y)))

    def at(self, weights: ArrayLike | Tensor) -> ShardedNetwork:
        """The same network at the weights (p,), which must be the same in all processes."""
        other = self.moved(lambda shard: shard.at(weights))
        self.shards.processes.require_same("weights", digest(other.weights), "type the same weights in every process")
        return other

    def now(self) -> ShardedNetwork:
        """The same network with the parameters and buffers that the model has now, which must be the same in all processes."""
        other = self.moved(lambda shard: shard.now())
        _check_same(self.shards.processes, other.shard)
        return other

    def over(self, x: Tree, y: Tensor) -> ShardedNetwork:
        """The same network with other samples of the same kind in this process, unchecked."""
        return self.moved(lambda shard: shard.over(x, y))

    def block(self, params: Filter) -> ShardedNetwork:
        """The same network with only some of its coordinates free (see `Network.block`)."""
        return self.moved(lambda shard: shard.block(params))

    def value(self) -> float:
        """U at the weights."""
        mean = torch.tensor(self.shard.value(), dtype=torch.float64, device=self.weights.device)
        return float(self.shards.mean(mean))

    def mean_gradient(self) -> Tensor:
        """(1/N) sum of the gradients of all samples (p,), without weight decay."""
        return self.shards.mean(self.shard.mean_gradient())

    def push(self, v: Tensor) -> Tensor:
        """The derivatives g_i . v of all samples' losses along v (p,), as (N,)."""
        return self.gathered(self.shard.push(v))

    def pull(self, u: Tensor) -> Tensor:
        """sum_i u_i g_i (p,) for weights u (N,)."""
        return self.shards.processes.sum(self.shard.pull(u[self.own]))

    def noise(self, method: str = "auto", **options: Any) -> SharedNoise:
        """The centred covariance D of the gradients of single samples, as a linear operator (p, p) (see `GradientNoise`)."""
        from sgdyn.nets.shared import SharedNoise

        return SharedNoise(self, method, **options)

    def hessian(self, **options: Any) -> SharedMean:
        """The Hessian of U, weight decay included, as a linear operator (p, p) (see `Hessian`)."""
        from sgdyn.nets.shared import SharedMean

        return SharedMean(self, lambda shard: Network.hessian(shard, **options))

    def gauss_newton(self) -> SharedMean:
        """The Gauss-Newton matrix of U, weight decay included, as a linear operator (p, p)."""
        from sgdyn.nets.shared import SharedMean

        return SharedMean(self, Network.gauss_newton)

    def fisher(self, kind: str = "true", **options: Any) -> Any:
        """The Fisher matrix (p, p), "true", "monte carlo" (options: draws, seed) or "empirical" (see `sgdyn.nets.fisher_of`)."""
        from sgdyn.nets.shared import shared_fisher

        return shared_fisher(self, kind, **options)

    def jacobian(self, output: int | None = None) -> Jacobian:
        """The derivatives of the model's outputs, or of one output of each sample, as a linear operator (N outputs, p)."""
        from sgdyn.nets.shared import SharedJacobian

        return SharedJacobian(self, output)
