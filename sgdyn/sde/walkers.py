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
from sgdyn.codegen.contracts import WATCH_BLOCK, address
from sgdyn.codegen.formula import UNROLLED
from sgdyn.codegen.jit import FIELD_BLOCK, Kernel
from sgdyn.codegen.vector import LANES
from sgdyn.fields import Field
from sgdyn.sde import few, lean
from sgdyn.sde.engine import FUNCTIONS, SLOTS, unconfined, unwatched, walk
from sgdyn.sde.methods.plan import NOTHING, Plan, no_field, no_noise
from sgdyn.sde.opaque import Callback, field_block, noise_block
from sgdyn.sde.variates import Variates, variates

Floats = NDArray[np.float64]
Numbers = NDArray[np.uint64]
Steps = NDArray[np.int64]

NO_STEPS: Steps = np.zeros(0, dtype=np.int64)
NO_RECORDS = np.zeros((1, 0, 0))

CACHE_BYTES = 64 * 1024
LEAN_CACHE_BYTES = 256 * 1024
WIDTH = 4 * LANES
WIDEST, WIDEST_LEAN = 384, 768
CALLS = 8
"""Paths that cost as much as the calls for a block do."""


@dataclass(frozen=True)
class Clock:
    """Step size, fine noise steps to one step, the key of the random numbers and how they are made, and T of every step (or one)."""

    dt: float
    refine: int
    key: tuple[np.uint64, np.uint64]
    temperatures: Floats
    random: Variates = field(default_factory=lambda: variates("double", "philox"))

    def between(self, first: int, count: int) -> Floats:
        """T of the steps first, ..., first + count - 1."""
        return self.temperatures if len(self.temperatures) == 1 else self.temperatures[first : first + count]


@dataclass(frozen=True)
class Watch:
    """Something that is looked at on the way: the compiled watcher, how often, the field it asks for, its own parameters, and its first record.

    record: rows that every path of a block begins with, or an array (rows, columns) that the paths of a block share. spare: normals of
    every step that it wants for itself. begins_at: a row that begins with the first component of `quantity` at the first points.
    """

    watcher: Kernel = unwatched
    every: int = 0
    quantity: Field | None = None
    psi: Floats = field(default_factory=lambda: NOTHING)
    record: Floats = field(default_factory=lambda: NOTHING)
    spare: int = 0
    begins_at: int | None = None


@dataclass(frozen=True)
class Confinement:
    """Where paths may go: a compiled boundary with its limits."""

    boundary: Kernel = unconfined
    limits: Floats = field(default_factory=lambda: NOTHING)


@dataclass(frozen=True)
class Course:
    """Everything that a walk needs besides its points: plan, clock, watches (at most `engine.SLOTS`), confinement, and their precision.

    precision: "float32" only where `lean.suits`.
    """

    plan: Plan
    clock: Clock
    watches: tuple[Watch, ...] = ()
    confinement: Confinement = field(default_factory=Confinement)
    precision: str = "float64"

    @property
    def clocks(self) -> tuple[NDArray[np.int64], ...]:
        """Where drift, noise, extra field and what is watched have the time among their parameters."""
        watched = [watch.quantity for watch in self.watches]
        parts = [self.plan.drift, self.plan.noise, self.plan.extra, *watched, *[None] * (SLOTS - len(watched))]
        return tuple(np.array(getattr(part, "clocks", ()), dtype=np.int64) for part in parts)

    @property
    def timed(self) -> bool:
        """Whether anything depends on the time."""
        return len(self.clock.temperatures) > 1 or any(len(places) for places in self.clocks)

    @property
    def normals(self) -> int:
        """Normals that a fine step draws: the method's, and those that watches want."""
        return self.plan.normals + max((watch.spare for watch in self.watches), default=0)

    def width(self, dim: int, paths: int, threads: int) -> int:
        """Paths in one block: what the first-level cache holds, no more than spreads them over the threads, and so that few are added."""
        plan, group = self.plan, self.clock.random.group
        unit = WIDTH if self.clock.random.split or lean.suits(self) else WIDTH // 2
        rows = dim + plan.room + plan.rows + (group + 2) * self.normals + 5
        share = math.ceil(paths / threads)
        room, most = (LEAN_CACHE_BYTES, WIDEST_LEAN) if lean.suits(self) else (CACHE_BYTES, WIDEST)
        fits = room // (8 * rows) if dim <= UNROLLED else most  # beyond, steps are matrix products: many columns
        widest = max(unit, min(most, fits, share + unit - 1) // unit * unit)
        widths = range(widest, 3 * widest // 4 - 1, -unit)
        return min(widths, key=lambda width: math.ceil(share / width) * (width + CALLS))  # the last block is filled up


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
        self.lean = lean.suits(course) and width != narrow
        self._fixed, self._callbacks = (lean.arguments(course), []) if self.lean else _arguments(course, random, width)

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
        now, rest = (first, count, clock.between(first, count)), (*clock.key, kept)
        if self.lean:
            plain = lean.WALKS[self.course.precision].compiled
            self.workers.spread(
                lambda x, paths, y: plain(*self._fixed, x, paths, *now, *rest, y), self.x, self.paths, room
            )
        else:
            engine, unused = walk.compiled, (NO_RECORDS,) * (SLOTS - len(self.records))
            self.workers.spread(
                lambda x, paths, y, *records: engine(*self._fixed, (*records, *unused), x, paths, *now, clock.refine, *rest, y),
                self.x, self.paths, room, *self.records,
            )  # fmt: skip
        for callback in self._callbacks:
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


def _arguments(course: Course, random: Variates, width: int) -> tuple[tuple[Any, ...], list[Callback]]:
    """The engine's arguments that do not change, and the Python functions among them."""
    plan, clock, limits = course.plan, course.clock, course.confinement.limits
    nothing = (no_field.compiled, NOTHING, None)
    drift = nothing if plan.drift is None else field_block(plan.drift)
    extra = nothing if plan.extra is None else field_block(plan.extra)
    noise = (no_noise.compiled, NOTHING, None) if plan.noise is None else noise_block(plan.noise)
    watches = [*course.watches, *[Watch()] * (SLOTS - len(course.watches))]
    levels = [nothing if watch.quantity is None else field_block(watch.quantity) for watch in watches]
    alone = clock.refine == 1 and not course.timed and not len(limits) and course.normals == plan.normals
    rows = plan.rows or (plan.normals if clock.refine > 1 else 0)
    own = (
        plan.narrow() if plan.narrow and width == LANES else plan.step,
        drift[0],
        noise[0],
        extra[0],
        random.fill.compiled,
        plan.gather.compiled,
        course.confinement.boundary.compiled,
    )
    functions = [address(function, kind) for function, kind in zip(own, FUNCTIONS, strict=True)]
    functions += [address(watch.watcher.compiled, WATCH_BLOCK) for watch in watches]
    functions += [address(level[0], FIELD_BLOCK) for level in levels]
    arguments = (
        np.array(functions), drift[1], noise[1], np.concatenate([extra[1], plan.psi]), plan.constants, plan.room,
        random.group, course.normals, plan.normals, rows, plan.several and alone and not rows, limits, course.clocks, np.array([watch.every for watch in watches]),
        tuple(np.concatenate([level[1], watch.psi]) for level, watch in zip(levels, watches, strict=True)),
    )  # fmt: skip
    return arguments, [part[2] for part in (drift, extra, noise, *levels) if part[2] is not None]


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
