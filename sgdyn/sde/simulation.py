"""`simulate`: ensembles of paths, saved at chosen times."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks, randomness
from sgdyn.problem import Langevin, Momentum
from sgdyn.progress import Progress, progress
from sgdyn.sde import diagnosis, lean
from sgdyn.sde.boundaries import absorbs, check_inside, walls_of
from sgdyn.sde.checkpoint import Checkpoint
from sgdyn.sde.course import Clock, Confinement, Course
from sgdyn.sde.ensemble import Ensemble
from sgdyn.sde.methods.choice import check_method, check_variates
from sgdyn.sde.methods.euler_maruyama import EulerMaruyama
from sgdyn.sde.methods.plan import Method
from sgdyn.sde.portions import Task, portions, spread
from sgdyn.sde.requests import (
    check_schedule,
    checked_process,
    refuse_unstable,
    saved_steps,
    starting_points,
    temperatures,
)
from sgdyn.sde.variates import variates
from sgdyn.sde.walkers import Steps, Walkers, thread_pool
from sgdyn.storage import described, digest

Floats = NDArray[np.float64]

SLICE_WORK, SLICE_NUMBERS = 1e8, 4e6
"""Component-steps between two looks at the clock, at Ctrl-C and at NaN: a tenth of a second."""


def simulate(
    problem: Langevin | Momentum, x0: ArrayLike, *, t: float, dt: float, n_paths: int | None = None, save: int | ArrayLike = 1,
    method: Method = EulerMaruyama(), noise: str = "double", rng: str = "philox", temperature: Callable[[float], float] | None = None,  # noqa: B008
    seed: int | np.random.SeedSequence | None = None, stream: int = 0, refine: int = 1, first_path: int = 0,
    boundary: Confinement | None = None, threads: int | None = None, show_progress: bool | None = None,
    device: str = "cpu", precision: str = "float64", executor: Executor | None = None, checkpoint: str | Path | None = None, into: Any = None,
) -> Ensemble:  # fmt: skip
    """Simulate paths from x0 up to the time t.

    x0: one point (dim,) for all `n_paths` (default 1), or points (n_paths, dim). dt: the largest step; t is cut into whole steps.
    save: the number of equally spaced times to keep (1: the last; more: from 0 to t), or the times themselves, moved to the nearest step.
    method: how to step (see `sgdyn.sde.methods`). noise: normals of "double" or "single" precision, or "weak": signs, of which only
    averages of smooth functions are right. rng: "philox", or "fast" (xoshiro128++ keyed by Philox). temperature: T at the time t, in
    place of the problem's constant one. boundary: walls, as `sg.box([(-1, 1), None])` makes them.
    seed, stream: the random numbers, which are a function of (seed, stream, path, step, component): adding paths, threads or times
    changes no number. refine: each step's increment is the sum of this many finer ones, so that runs with equal dt/refine see the same
    Brownian path. first_path: the number of the first path. Ctrl-C returns the times that are done, with `complete=False`.
    device: "cuda" for Euler-Maruyama steps on a GPU, equal to the CPU's to rounding (see `sgdyn.sde.cuda`). precision: "float32" for
    points that are rounded to float32 after every step, about twice as fast where drifts are costly; on the CPU for noise="single" or "weak" and
    Euler-Maruyama, SRA1, SRA3 and ShARK steps of formulas with constant diagonal D, and Euler-Maruyama's of linear processes up to dimension 16. The points come back as float64.
    executor: any `concurrent.futures` executor (threads, processes, Dask's), over which portions of the paths are spread. checkpoint: a
    folder in which the run is kept, to go on from there to the identical result. into: an array (path, time, component) to write to,
    such as a NumPy memmap or a zarr array, for more than fits into memory.

    Returns an `Ensemble` with x (path, time, component). Raises ValueError for wrong shapes or an unstable step, and `BlowUpError`
    (path, time, stable step) if a path leaves the finite numbers.
    """
    method = check_method(method)
    process = checked_process(problem)
    check_schedule(process, temperature)
    start = starting_points(x0, process.dim, n_paths)
    steps = checks.steps(t, dt)
    dt = checks.positive("t", t) / steps
    refine = checks.count("refine", refine)
    plan = method.steps_of(problem, dt)
    randomness.check_range(steps * refine, plan.normals)
    refuse_unstable(process, dt, method)
    sequence = checks.seed_sequence(seed)
    kept = saved_steps(save, steps, dt)
    walls = walls_of(boundary, problem)
    check_inside(walls, start)
    check_variates(method, noise)
    clock = Clock(
        dt,
        refine,
        randomness.key(sequence, stream),
        temperatures(process.T, temperature, steps, dt),
        variates(noise, rng),
    )
    walk = _Walk(
        problem,
        process,
        method,
        Course(plan, clock, (), walls),
        start,
        kept,
        randomness.first_number(first_path, len(start)),
    )
    x = _room(into, (len(start), len(kept), process.dim))
    with progress("simulate", show_progress) as tell:
        if executor is None:
            x, done = walk.here(x, checkpoint, threads, device, precision, tell)
        else:
            again = {
                "t": t, "dt": dt, "save": kept * dt, "method": method, "noise": noise, "rng": rng, "temperature": temperature, "seed": sequence,
                "stream": stream, "refine": refine, "boundary": boundary, "device": device, "precision": precision,
            }  # fmt: skip
            x, done = walk.elsewhere(executor, again, x, checkpoint, tell)
    return walk.ensemble(x, done, sequence.entropy)


def _room(into: Any, shape: tuple[int, ...]) -> Any:
    """The array to write the paths into."""
    if into is None:
        return np.empty(shape)
    if tuple(getattr(into, "shape", ())) != shape or np.dtype(into.dtype).kind != "f":
        what = (
            f"shape {tuple(into.shape)} and type {into.dtype}"
            if hasattr(into, "dtype")
            else f"type {type(into).__name__}"
        )
        raise ValueError(
            f"got into of {what}, expected an array (path, time, component) = {shape} of floats; type np.empty({shape})"
        )
    return into


@dataclass(frozen=True, eq=False)
class _Walk:
    """What is to be simulated: paths from the points start (path, dim) by the steps of a course, kept after the steps `kept`."""

    problem: Langevin | Momentum
    process: Langevin
    method: Method
    course: Course
    start: Floats
    kept: Steps
    first_path: int

    @property
    def numbers(self) -> NDArray[np.uint64]:
        """The numbers of the paths."""
        return np.arange(len(self.start), dtype=np.uint64) + np.uint64(self.first_path)

    def here(
        self, x: Any, checkpoint: Any, threads: int | None, device: str, precision: str, tell: Progress
    ) -> tuple[Any, int]:
        """Walk on this machine, writing into x (path, kept, dim); returns the points and how many saved times are done."""
        if device == "cpu" and precision in lean.WALKS:
            return x, replace(self, course=replace(self.course, precision=precision)).by_threads(
                x, checkpoint, threads, tell
            )
        from sgdyn.sde import cuda

        cuda.check(device, precision, self.process, self.method, self.course, checkpoint)
        return cuda.simulate_on_device(
            self.process, self.course, self.start, self.numbers, self.kept, x=x, precision=precision, tell=tell
        )

    def by_threads(self, x: Any, checkpoint: Any, threads: int | None, tell: Progress) -> int:
        """Walk on the cores of this machine; returns how many saved times are done."""
        lean.check(self.course, self.method)
        with thread_pool(threads) as workers:
            moving = Walkers(self.course, self.start, self.numbers, workers)
            return self.advance(moving, x, Checkpoint(checkpoint, self.identity), tell)

    def advance(self, moving: Walkers, x: Any, checkpoint: Checkpoint, tell: Progress) -> int:
        """Advance through all kept steps, writing them into x; returns how many were reached. Ctrl-C ends it between two slices."""
        start, kept = self.start, self.kept
        done = int(np.sum(kept == 0))
        x[:, :done] = np.broadcast_to(start[:, None], (len(start), done, self.process.dim))
        now, done = checkpoint.resume(moving, x, done)
        whole = True
        try:
            while now < kept[-1]:
                first, count = now, self._stretch(now, done)
                wanted = kept[done:][kept[done:] <= first + count]
                whole = False
                moving.write(moving.advance(first, count, wanted), x, done)
                if not (absorbs(self.course.confinement) or moving.finite()):
                    diagnosis.check_finite(
                        self.process, self.course, moving.points(), start, self.numbers, first + count
                    )
                now, done, whole = first + count, done + len(wanted), True
                moving.workers.check()
                checkpoint.keep(moving, x, now, done)
                tell(now / kept[-1])
        except KeyboardInterrupt:
            pass
        if whole:
            checkpoint.keep(moving, x, now, done, always=True)
        return done

    def _stretch(self, now: int, done: int) -> int:
        """Steps that are short enough to react between them, and keep no more points than fit into little memory."""
        size = max(self.start.size, 1)
        longest = max(16, int(SLICE_WORK / size))
        following = self.kept[done : done + max(1, int(SLICE_NUMBERS / size))]
        return int(min(longest, following[-1] - now))

    def elsewhere(
        self, executor: Executor, options: dict[str, Any], x: Any, checkpoint: Any, tell: Progress
    ) -> tuple[Any, int]:
        """Walk portions of the paths by an executor, writing into x; returns the paths that are done, and their saved times."""
        tasks: list[Task] = []
        parts = portions(len(self.start))
        for number, (begin, end) in enumerate(parts):
            folder = None if checkpoint is None else Path(checkpoint) / f"portion-{number:03d}"
            own = {"first_path": self.first_path + begin, "threads": 1, "show_progress": False, "checkpoint": folder}
            tasks.append((simulate, (self.problem, self.start[begin:end]), options | own))
        done = 0
        for (begin, end), found in zip(parts, spread(executor, tasks, tell), strict=False):
            x[begin:end], done = found.x, end
        return x[:done], len(self.kept)

    def identity(self) -> dict[str, Any]:
        """What makes a run this run and no other."""
        process, course, clock, random = self.process, self.course, self.course.clock, self.course.clock.random
        points = self.start[:1] + np.random.default_rng(0).normal(size=(16, process.dim))
        noise = (getattr(process.D, "matrix", None), getattr(process.D, "sigma", None))
        return {
            "problem": digest(process.drift(points), process.D(points), process.drift.theta, process.D.theta, clock.temperatures),
            "formulas": [getattr(part, "key", "") for part in (process.drift, *noise)],
            "x0": digest(self.start), "kept": digest(self.kept), "dt": clock.dt, "refine": clock.refine, "key": [int(k) for k in clock.key],
            "random": f"{random.fill.__doc__} {random.group}", "method": described(self.method), "precision": course.precision,
            "walls": course.confinement.limits.tolist(), "first_path": self.first_path,
        }  # fmt: skip

    def ensemble(self, x: Any, done: int, seed: Any) -> Ensemble:
        """The ensemble of what is done."""
        n, kept, dt = len(self.start), self.kept, self.course.clock.dt
        complete = done == len(kept) and x.shape[0] == n
        if not complete:
            message = f"interrupted: {done} of {len(kept)} saved times of {x.shape[0]} of {n} paths are done"
            warnings.warn(message, stacklevel=3)
        times = np.asarray(kept[:done] * dt, dtype=np.float64)
        return Ensemble(self.problem, times, x if complete else x[:, :done], dt, seed, self.method, complete)


def slices(steps: int, size: int, start: int = 0) -> Iterator[tuple[int, int]]:
    """(first, count) of stretches of steps short enough to react between them."""
    longest = max(16, int(SLICE_WORK / max(size, 1)))
    return ((first, min(longest, steps - first)) for first in range(start, steps, longest))
