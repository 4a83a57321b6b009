"""Samples that several processes hold between them, and what these tell each other: sums, rows and agreement."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from sgdyn.linalg.spaces import Floats
from sgdyn.nets.vectors import TensorSpace, numpy_of

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Processes:
    """A group of `torch.distributed` and the place in it of this process."""

    group: Any
    rank: int
    count: int
    device: torch.device

    @classmethod
    def of(cls, group: Any = None) -> Processes:
        """The group, or all processes. Raises ValueError where there is none."""
        if not (dist.is_available() and dist.is_initialized()):
            raise ValueError(
                "got no process group, expected torch.distributed to be initialised; type torch.distributed.init_process_group('gloo') in every process first"
            )
        group = dist.group.WORLD if group is None else group
        rank = dist.get_rank(group)
        if rank < 0:
            raise ValueError("got a group that this process is not in, expected one of its own")
        there = "cuda" if "nccl" in dist.get_backend(group) else "cpu"
        return cls(group, rank, dist.get_world_size(group), torch.device(there))

    def sum(self, part: Tensor) -> Tensor:
        """The sum of every process's tensor, the same everywhere."""
        total = part.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=self.group)
        return total

    def from_(self, rank: int, part: Tensor) -> Tensor:
        """The tensor of one process; elsewhere `part` has its shape."""
        there = part.detach().contiguous() if rank == self.rank else torch.empty_like(part).contiguous()
        dist.broadcast(there, src=dist.get_global_rank(self.group, rank), group=self.group)
        return there

    def numbers(self, number: int) -> list[int]:
        """The whole number of every process, by rank."""
        all_of_them = torch.zeros(self.count, dtype=torch.int64, device=self.device)
        all_of_them[self.rank] = number
        return [int(part) for part in self.sum(all_of_them)]

    def agreed(self, values: Floats) -> Floats:
        """The numbers of the first process, bit for bit: loops that depend on them do not part."""
        return numpy_of(self.from_(0, torch.as_tensor(values, dtype=torch.float64).to(self.device)))

    def together(self, attempt: Callable[[], Result]) -> Result:
        """What every process tries on its own; where one fails, all of them raise, so that none waits for ever."""
        found, error = None, None
        try:
            found = attempt()
        except Exception as failure:
            error = failure
        failed = [rank for rank, flag in enumerate(self.numbers(int(error is not None))) if flag]
        if error is not None:
            raise error
        if failed:
            raise RuntimeError(
                f"got an error in process {', '.join(map(str, failed))} of {self.count}, expected none; its own message says which"
            )
        return found  # type: ignore[return-value]

    def require_same(self, what: str, key: str, advice: str) -> None:
        """Raise ValueError, everywhere, unless all processes have the same hexadecimal digest of something."""
        numbers = self.numbers(int(key[:15], 16))
        others = [rank for rank, number in enumerate(numbers) if number != numbers[0]]
        if others:
            raise ValueError(
                f"got {what} of process {', '.join(map(str, others))} other than those of process 0, expected the same in all {self.count}; {advice}"
            )


@dataclass(frozen=True, eq=False)
class Shards:
    """How many samples each process holds; sample numbers go through the processes in the order of their ranks."""

    processes: Processes
    counts: tuple[int, ...]

    @classmethod
    def of(cls, processes: Processes, count: int) -> Shards:
        return cls(processes, tuple(processes.numbers(count)))

    @property
    def n(self) -> int:
        return sum(self.counts)

    @property
    def own(self) -> slice:
        """The numbers of this process's samples among all."""
        return self.places[self.processes.rank]

    @property
    def places(self) -> list[slice]:
        """The sample numbers of each process."""
        ends = [sum(self.counts[:rank]) for rank in range(len(self.counts) + 1)]
        return [slice(a, b) for a, b in itertools.pairwise(ends)]

    def mean(self, part: Tensor) -> Tensor:
        """The mean over all samples of what is a mean over the samples of each process."""
        return self.processes.sum(part * (self.counts[self.processes.rank] / self.n))

    def visitor(self, part: Tensor, rank: int) -> Tensor:
        """The rows (samples, ...) of one process."""
        like = part if rank == self.processes.rank else part.new_empty((self.counts[rank], *part.shape[1:]))
        return self.processes.from_(rank, like)

    def gather(self, part: Tensor) -> Tensor:
        """The rows (samples, ...) of all processes."""
        return torch.cat([self.visitor(part, rank) for rank in range(len(self.counts))])

    def blocks(self, own: Callable[[], Iterable[Tensor]], like: Tensor) -> Iterator[Tensor]:
        """The blocks (block, p) of one process after the other; like: a row (p,)."""
        for rank in range(len(self.counts)):
            mine = iter(own()) if rank == self.processes.rank else iter(())
            while True:
                block = next(mine, like.new_empty((0, len(like))))
                size = self.processes.numbers(len(block) if rank == self.processes.rank else 0)[rank]
                if not size:
                    break
                yield self.processes.from_(rank, block if len(block) else like.new_empty((size, len(like))))


class SharedSpace(TensorSpace):
    """Tensors whose inner products are those of the first process in all of them."""

    def __init__(self, like: Tensor, processes: Processes) -> None:
        super().__init__(like)
        self.processes = processes

    def dots(self, rows: Tensor, vector: Tensor) -> Floats:
        return self.processes.agreed(super().dots(rows, vector))
