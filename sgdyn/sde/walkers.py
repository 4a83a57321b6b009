"""Ensembles of paths on their way: points, path numbers, and the means to take more steps."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.codegen.blocks import diagonal_noise
from sgdyn.codegen.vector import LANES
from sgdyn.fields import Field
from sgdyn.noise import Diagonal
from sgdyn.problem import Langevin
from sgdyn.randomness import normals_block, padded
from sgdyn.sde.methods import euler_maruyama, euler_maruyama_passage

Floats = NDArray[np.float64]
Numbers = NDArray[np.uint64]

Steps = NDArray[np.int64]
NOTHING: Steps = np.zeros(0, dtype=np.int64)

CACHE_BYTES = 24 * 1024
WIDEST = 384


@dataclass(frozen=True)
class Clock:
    """Step size, fine noise steps to one step, and the key of the random numbers."""

    dt: float
    refine: int
    key: tuple[np.uint64, np.uint64]


class Walkers(Protocol):
    """Paths (n, dim) that can be moved on and read; `arrivals` (n,) are times of arrival in a region, negative while waiting.

    `advance` takes `count` steps from the step `first` and returns the points (n, kept, dim) after each of the `kept` step numbers.
    """

    def advance(self, first: int, count: int, kept: Steps = NOTHING) -> Floats: ...
    def points(self) -> Floats: ...
    def arrivals(self) -> Floats: ...


def block_width(dim: int, rank: int, paths: int, threads: int) -> int:
    """Paths in one block: what the first-level cache holds, and no more than spreads them over the threads."""
    fits = CACHE_BYTES // (8 * (3 * dim + 3 * rank + 5))
    share = math.ceil(paths / threads)
    return max(LANES, min(WIDEST, fits, share + LANES - 1) // LANES * LANES)


def into_blocks(x: Floats, paths: Numbers, width: int) -> tuple[Floats, Numbers]:
    """Points (n, dim) as blocks (blocks, dim, width) and path numbers as (blocks, 1, width); the last path fills up the last block."""
    missing = -len(x) % width
    x, paths = (
        np.concatenate([x, np.repeat(x[-1:], missing, axis=0)]),
        np.concatenate([paths, np.repeat(paths[-1:], missing)]),
    )
    blocks = x.reshape(-1, width, x.shape[1]).transpose(0, 2, 1)
    return np.ascontiguousarray(blocks), np.ascontiguousarray(paths.reshape(-1, 1, width))


@dataclass(frozen=True)
class Workers:
    """Threads that share the blocks of an ensemble."""

    pool: Executor
    threads: int

    def spread(self, task: Callable[..., Any], *arrays: Any) -> None:
        """task(*slices) on equal parts of the first axis of the arrays, one for each thread."""
        bounds = np.linspace(0, len(arrays[0]), min(self.threads, len(arrays[0])) + 1).astype(int)
        futures = [self.pool.submit(task, *(a[i:j] for a in arrays)) for i, j in itertools.pairwise(bounds)]
        for future in futures:
            future.result()


def kernel_arguments(problem: Langevin, clock: Clock) -> tuple[tuple[Any, ...], float]:
    """(drift, theta, noise, phi, isotropic, rank) and the scale of the noise, as the kernels take them."""
    D, scale = problem.D, math.sqrt(2 * problem.T * clock.dt)
    isotropic = D.isotropic if isinstance(D, Diagonal) else None
    if isotropic:
        scale *= math.sqrt(isotropic)
    noise = diagonal_noise.compiled if isotropic else D.block
    return (problem.drift.block, problem.drift.theta, noise, D.theta, bool(isotropic), D.rank), scale


class BlockWalkers:
    """Compiled blocks, spread over threads; no number depends on the blocks or the threads."""

    def __init__(
        self, problem: Langevin, clock: Clock, x0: Floats, paths: Numbers, workers: Workers, level: Field | None
    ) -> None:
        self.problem, self.clock, self.workers, self.level, self.n = problem, clock, workers, level, len(x0)
        self.x, self.paths = into_blocks(x0, paths, block_width(problem.dim, problem.D.rank, len(x0), workers.threads))
        self.times = np.full(self.paths.shape, -1.0)

    def advance(self, first: int, count: int, kept: Steps = NOTHING) -> Floats:
        fixed, scale = kernel_arguments(self.problem, self.clock)
        rest = (first, count, self.clock.dt, scale, self.clock.refine, *self.clock.key)
        blocks, dim, width = self.x.shape
        out = np.empty((blocks, len(kept), dim, width))
        if self.level is None:
            step = euler_maruyama.compiled
            self.workers.spread(lambda x, paths, y: step(*fixed, x, paths, *rest, kept, y), self.x, self.paths, out)
        else:
            gated, gate = euler_maruyama_passage.compiled, (self.level.block, self.level.theta)
            self.workers.spread(lambda x, p, t: gated(*fixed, x, p, *rest, *gate, t), self.x, self.paths, self.times)
        return out.transpose(0, 3, 1, 2).reshape(blocks * width, len(kept), dim)[: self.n]

    def arrivals(self) -> Floats:
        return self.times.reshape(-1)[: self.n]

    def points(self) -> Floats:
        return self.x.transpose(0, 2, 1).reshape(-1, self.problem.dim)[: self.n]


@dataclass
class ArrayWalkers:
    """NumPy steps for drifts or noise that only Python can evaluate; the same random numbers."""

    problem: Langevin
    clock: Clock
    x: Floats
    paths: Numbers
    level: Field | None

    def __post_init__(self) -> None:
        self.row, self.filled = padded(self.paths), -1
        self.times = np.full(len(self.x), -1.0)
        self.z = np.empty((2 * self.problem.D.rank, self.row.shape[1]))

    def _increment(self, step: int) -> Floats:
        refine, rank = self.clock.refine, self.problem.D.rank
        total = np.zeros((rank, len(self.x)))
        for fine in range(step * refine, (step + 1) * refine):
            if fine // 2 != self.filled:
                self.filled = fine // 2
                normals_block(self.z, self.row, np.uint64(self.filled), *self.clock.key)
            total += self.z.reshape(2, rank, -1)[fine % 2, :, : len(self.x)]
        return total.T / math.sqrt(refine)

    def advance(self, first: int, count: int, kept: Steps = NOTHING) -> Floats:
        dt, scale = self.clock.dt, math.sqrt(2 * self.problem.T * self.clock.dt)
        out = np.empty((len(self.x), len(kept), self.problem.dim))
        for step in range(first, first + count):
            kick = self.problem.D.apply(self.x, self._increment(step))
            self.x = self.x + self.problem.drift(self.x) * dt + scale * kick
            out[:, kept == step + 1] = self.x[:, None]
            if self.level is not None:
                self.times[(self.level(self.x)[..., 0] > 0) & (self.times < 0)] = (step + 1) * dt
                if np.all(self.times >= 0):
                    break
        return out

    def points(self) -> Floats:
        return self.x.copy()

    def arrivals(self) -> Floats:
        return self.times.copy()


def walkers(
    problem: Langevin, clock: Clock, x0: Floats, paths: Numbers, workers: Workers, level: Field | None = None
) -> Walkers:
    """The fastest walkers the problem allows: compiled blocks if drift, noise and the level of the region all have them."""
    needed = [problem.drift.block, problem.D.block, *([] if level is None else [level.block])]
    if all(block is not None for block in needed) and problem.D.rank > 0:
        return BlockWalkers(problem, clock, x0, paths, workers, level)
    return ArrayWalkers(problem, clock, x0.copy(), paths, level)


def available_threads(threads: int | None) -> int:
    """The number of threads asked for, or of the cores this process may use."""
    if threads is not None:
        return checks.count("threads", threads)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def thread_pool(threads: int | None) -> Iterator[Workers]:
    """So many threads (default: all cores); when the caller is interrupted they end their current slice."""
    count = available_threads(threads)
    pool = ThreadPoolExecutor(count)
    try:
        yield Workers(pool, count)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
