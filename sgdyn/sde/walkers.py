"""Ensembles of paths on their way: points, path numbers, and the means to take more steps."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.codegen.vector import LANES
from sgdyn.sde import few
from sgdyn.sde.arguments import call_of
from sgdyn.sde.course import Course
from sgdyn.sde.engine import SLOTS

Floats = NDArray[np.float64]
Numbers = NDArray[np.uint64]
Steps = NDArray[np.int64]

NO_STEPS: Steps = np.zeros(0, dtype=np.int64)
NO_RECORDS = np.zeros((1, 0, 0))


def into_blocks(
    x: Floats, paths: Numbers, width: int, split: bool, precision: str = "float64"
) -> tuple[NDArray[Any], Numbers]:
    """Points (n, dim) as blocks (blocks, dim, width) and path numbers as (blocks, 1, width); the last path fills up the last block.

    split: even before odd path numbers in every sixteen, as some fillers want them.
    """
    n, dim, full = len(x), x.shape[1], len(x) // width
    blocks = aligned((-(-n // width), dim, width), precision)
    blocks[:full] = x[: full * width].reshape(full, width, dim).transpose(0, 2, 1)
    if full < len(blocks):
        rest = n - full * width
        blocks[full, :, :rest], blocks[full, :, rest:] = x[full * width :].T, x[-1][:, None]
        paths = np.concatenate([paths, np.repeat(paths[-1:], width - rest)])
    ordered = paths.reshape(-1, LANES, 2).transpose(0, 2, 1) if split else paths
    return blocks, np.ascontiguousarray(ordered.reshape(-1, 1, width))


def aligned(shape: tuple[int, ...], precision: str = "float64") -> NDArray[Any]:
    """An array that begins with a cache line: vectors across two lines cost twice."""
    size = np.dtype(precision).itemsize * math.prod(shape)
    room = np.empty(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(precision).reshape(shape)


@dataclass(frozen=True)
class Workers:
    """Threads that share the blocks of an ensemble."""

    pool: Executor
    threads: int
    interrupted: Event = field(default_factory=Event)

    def spread(self, task: Callable[..., Any], *arrays: Any) -> None:
        """task(*slices) on equal parts of the first axis of the arrays, one for each thread; Ctrl-C waits until all are done."""
        bounds = np.linspace(0, len(arrays[0]), min(self.threads, len(arrays[0])) + 1).astype(int)
        futures = [self.pool.submit(task, *(a[i:j] for a in arrays)) for i, j in itertools.pairwise(bounds)]
        try:
            wait(futures)
        except KeyboardInterrupt:  # the points would be those of no step
            wait(futures)
            self.interrupted.set()
        for future in futures:
            future.result()

    def check(self) -> None:
        """Raise KeyboardInterrupt if there was one while the threads were at work."""
        if self.interrupted.is_set():
            self.interrupted.clear()
            raise KeyboardInterrupt


class Walkers:
    """Paths (n, dim) that can be moved on and read; no number depends on the blocks or the threads."""

    def __init__(self, course: Course, x0: Floats, paths: Numbers, workers: Workers, width: int = 0) -> None:
        """width: paths to a block; 0 for what suits the cache and the threads."""
        self.course, self.workers, self.n, self.dim = course, workers, len(x0), x0.shape[1]
        random, narrow = few.way(course, len(x0), workers.threads)
        width = width or narrow or course.width(self.dim, len(x0), workers.threads)
        random = random if width == narrow else course.clock.random
        self.x, self.paths = into_blocks(x0, paths, width, random.split, course.precision)
        self.records = [_record(watch.record, len(self.x), width) for watch in course.watches]
        for record, watch in zip(self.records, course.watches, strict=True):
            if watch.begins_at is not None and watch.quantity is not None:
                record[:, watch.begins_at] = watch.quantity(self.x.transpose(0, 2, 1))[..., 0]
        self.call = call_of(course, random, width, width == narrow)

    def advance(self, first: int, count: int, kept: Steps = NO_STEPS) -> NDArray[Any]:
        """Take `count` steps from the step `first`; returns the points (blocks, kept, dim, width) after each of the `kept` step numbers.

        If only the last step is kept, they are the points of the walkers themselves, which the next step moves.
        """
        blocks, dim, width = self.x.shape
        last = len(kept) == 1 and kept[0] == first + count
        kept = NO_STEPS if last else kept
        room = np.empty((blocks, len(kept), dim, width), self.x.dtype)
        out = self.x[:, None] if last else room
        clock = self.course.clock
        call, unused = self.call, (NO_RECORDS,) * (SLOTS - len(self.records))
        now, rest = (first, count, clock.between(first, count)), (*clock.key, kept)
        self.workers.spread(
            lambda x, paths, y, *records: call.walk(*call.arguments, (*records, *unused), x, paths, *now, *rest, y),
            self.x, self.paths, room, *self.records,
        )  # fmt: skip
        for callback in call.callbacks:
            callback.check()
        return out

    def write(self, blocks: NDArray[Any], x: Any, done: int) -> None:
        """Put points (blocks, kept, dim, width) into x (n, saved, dim) from the saved time `done` on."""
        kept, width = slice(done, done + blocks.shape[1]), blocks.shape[3]
        if not isinstance(x, np.ndarray):  # one write for each chunk of an array on disk
            paths = blocks.transpose(0, 3, 1, 2)
            x[:, kept] = paths.reshape(-1, *paths.shape[2:])[: self.n]
            return
        for number, block in enumerate(blocks):
            place = slice(number * width, min((number + 1) * width, self.n))
            x[place, kept] = block[:, :, : place.stop - place.start].transpose(2, 0, 1)

    def finite(self) -> bool:
        """Whether all points are finite numbers, as far as a sum can tell."""
        return bool(np.isfinite(self.x.sum()))

    def set_points(self, points: Floats) -> None:
        """Put the paths at points (n, dim)."""
        self.x[:] = into_blocks(points, np.zeros(len(points), dtype=np.uint64), self.x.shape[2], False)[0]

    def points(self) -> Floats:
        """The points (n, dim) now."""
        return self.x.transpose(0, 2, 1).reshape(-1, self.dim)[: self.n].astype(np.float64, copy=False)

    def recorded(self, number: int = 0) -> Floats:
        """What a watch has recorded of every path (n, rows)."""
        record = self.records[number]
        return record.transpose(0, 2, 1).reshape(self.x.shape[0] * self.x.shape[2], -1)[: self.n]


def _record(rows: Floats, blocks: int, width: int) -> Floats:
    """The records of all blocks (blocks, rows, width) at first; shared tables (1, rows, columns) are repeated for every block."""
    return np.tile(rows[None, :, None], (blocks, 1, width)) if rows.ndim == 1 else np.tile(rows[None], (blocks, 1, 1))


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
