"""First-passage times by simulation."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks, randomness
from sgdyn.errors import CensoredError
from sgdyn.estimate import Estimate, of_samples
from sgdyn.problem import Langevin, Momentum
from sgdyn.progress import Progress, progress
from sgdyn.region import OVERSHOOT, Region
from sgdyn.sde import diagnosis
from sgdyn.sde.boundaries import absorbs, check_inside, walls_of
from sgdyn.sde.methods.choice import OTHER_PROCESSES, check_method, check_variates
from sgdyn.sde.methods.euler_maruyama import EulerMaruyama
from sgdyn.sde.methods.plan import Method
from sgdyn.sde.portions import Task, portions, spread
from sgdyn.sde.requests import checked_process, refuse_unstable, starting_points
from sgdyn.sde.variates import variates
from sgdyn.sde.walkers import Clock, Confinement, Course, Walkers, Watch, Workers, thread_pool
from sgdyn.sde.watchers import arrivals, bridged_arrivals

Floats = NDArray[np.float64]

FIRST_SLICE, WORK = 64, 2e7
HOPELESS_WORK = 4e10
"""Component-steps without a single arrival after which a region is called unreachable (unless t_max was given)."""
COMPACT_BELOW = 0.7


def first_passage(
    problem: Langevin | Momentum, x0: ArrayLike, region: Callable[[Any], Any] | Region, *, dt: float, n_paths: int | None = None,
    t_max: float | None = None, correction: str = "shift", extrapolate: bool = False, method: Method = EulerMaruyama(),  # noqa: B008
    noise: str = "double", rng: str = "philox", boundary: Confinement | None = None,
    seed: int | np.random.SeedSequence | None = None, stream: int = 0, first_path: int = 0,
    threads: int | None = None, executor: Executor | None = None, show_progress: bool | None = None,
    device: str = "cpu", precision: str = "float64",
) -> Estimate:  # fmt: skip
    """The mean time at which paths from x0 first enter a region, with its standard error; `.samples` (n_paths,) are the times.

    region: a predicate of x (dim,), as `lambda x: x[0] > 0.9`. A path looked at every dt only seems to arrive late, by O(sqrt(dt)).
    correction: "shift" widens the region by 0.5826 standard deviations of a step (Broadie, Glasserman, Kou, Math. Finance 7, 325 (1997);
    Gobet and Menozzi, Stoch. Proc. Appl. 120, 130 (2010)); "bridge" counts the arrivals of the Brownian bridges between looks (Gobet,
    Stoch. Proc. Appl. 87, 167 (2000)); both leave O(dt); None corrects nothing. extrapolate: two times the answer at dt/2 minus that at
    dt, for the same Brownian paths, which removes the term of first order. n_paths: default 1000. boundary: walls (see `sg.box`). device, precision: as of `observe`; not with extrapolate.

    Raises `CensoredError`, with the times that are known, if some paths have not arrived by t_max (their mean would be biased), if none
    arrives for very long, or at Ctrl-C; ValueError if x0 lies in the region; `BlowUpError` if a path is lost.
    """
    process, method = checked_process(problem), check_method(method)
    start = starting_points(x0, process.dim, 1000 if n_paths is None and np.ndim(x0) == 1 else n_paths)
    target = Region.of(region, process.dim)
    dt = checks.positive("dt", dt)
    refuse_unstable(process, dt, method)
    walls = walls_of(boundary, problem)
    check_inside(walls, start)
    if absorbs(walls):
        raise ValueError(
            "got absorbing walls, expected a region to arrive in; type region=lambda x: (x[0] < -1) | (x[0] > 1)"
        )
    if noise == "weak":
        raise ValueError("got noise='weak', whose paths are walks on a lattice, expected noise='double' or 'single'")
    if np.any(target.contains(start)):
        raise ValueError(
            f"got x0={start[np.argmax(target.contains(start))]} inside the region, expected a point outside"
        )
    if isinstance(method, OTHER_PROCESSES) and correction is not None:
        raise ValueError(
            f"got correction={correction!r} with method={method!r}, whose paths are not Brownian between steps; type correction=None"
        )
    first_path = randomness.first_number(first_path, len(start))
    checks.truth("extrapolate", extrapolate)
    if device != "cpu" and (extrapolate or executor is not None):
        what = "extrapolate=True" if extrapolate else "an executor"
        raise ValueError(
            f"got {what} with device={device!r}, expected extrapolate=False and executor=None; type device='cpu'"
        )
    if executor is not None:
        options = {
            "dt": dt, "t_max": t_max, "correction": correction, "extrapolate": extrapolate, "method": method, "noise": noise, "rng": rng,
            "boundary": boundary, "seed": checks.seed_sequence(seed), "stream": stream, "threads": 1, "show_progress": False,
        }  # fmt: skip
        return _by_executor(executor, (problem, region), start, first_path, options, show_progress)
    check_variates(method, noise)
    draw = (randomness.key(checks.seed_sequence(seed), stream), variates(noise, rng))
    fractions = ((1, 2), (2, 1)) if extrapolate else ((1, 1),)
    with thread_pool(threads) as workers, progress("first passage", show_progress) as tell:
        found = []
        for divisor, refine in fractions:
            step = dt / divisor
            limit = randomness.MAX_STEPS // 2 if t_max is None else checks.steps(t_max, step)
            clock = Clock(step, refine, draw[0], np.array([process.T]), draw[1])
            watch, warnings = _watch(process, target, step, correction)
            course = Course(method.steps_of(problem, step), clock, (watch,), walls)
            race = Race(process, course, start, limit, t_max is not None, tell, workers, first_path, precision)
            if (device, precision) != ("cpu", "float64"):
                from sgdyn.sde import cuda
                from sgdyn.sde.cuda_passage import DeviceRace

                cuda.check(device, precision, process, method, course)
                race = DeviceRace(**vars(race))
            found.append(race.run())
    if extrapolate:
        return of_samples(2 * found[1] - found[0], f"{len(start)} paths, dt={dt:g} and {dt / 2:g}, extrapolated")
    return of_samples(found[0], f"{len(start)} paths, dt={dt:g}", warnings)


def _by_executor(
    executor: Executor,
    what: tuple[Any, Any],
    start: Floats,
    first_path: int,
    options: dict[str, Any],
    show_progress: bool | None,
) -> Estimate:
    """The times of portions of the paths, each found where the executor takes it."""
    problem, region = what
    tasks: list[Task] = [
        (_times, (problem, start[begin:end], region), options | {"first_path": first_path + begin})
        for begin, end in portions(len(start))
    ]
    with progress("first passage", show_progress) as tell:
        found = list(spread(executor, tasks, tell))
    if len(found) < len(tasks):
        raise KeyboardInterrupt
    times = np.concatenate([estimate[0] for estimate in found])
    return of_samples(times, f"{len(times)} paths, {found[0][1].split(', ', 1)[1]}", found[0][2])


def _times(problem: Any, x0: Floats, region: Any, **options: Any) -> tuple[Floats, str, tuple[str, ...]]:
    """The arrival times of some paths, how they were found, and what to warn of."""
    twice = np.repeat(x0, 2, axis=0)[: max(2, len(x0))] if len(x0) == 1 else x0  # one time has no error
    estimate = first_passage(problem, twice, region, **options)
    assert estimate.samples is not None
    return estimate.samples[: len(x0)], estimate.method, estimate.warnings


ARRIVAL = np.array([-1.0, 0.0])
"""The record of `watchers.arrivals` before anybody has arrived."""
LATE = ("arrivals are seen only every dt: the mean is too large by O(sqrt(dt)); compare with dt/4",)


def _watch(process: Langevin, target: Region, dt: float, correction: str | None) -> tuple[Watch, tuple[str, ...]]:
    """What looks for arrivals, and what to warn of."""
    if correction not in ("shift", "bridge", None):
        raise ValueError(f"got correction={correction!r}, expected 'shift', 'bridge' or None")
    speed = 2 * process.T
    if correction == "shift":
        level = target.widened_level(process.D.matrix, OVERSHOOT * float(np.sqrt(speed * dt)))
    else:
        level = target.level_and_speed(process.D.matrix) if correction == "bridge" else None
    if level is None:
        return Watch(arrivals, 1, target.level(), record=ARRIVAL), LATE
    if correction == "shift":
        return Watch(arrivals, 1, level, record=ARRIVAL), ()
    return Watch(
        bridged_arrivals, 1, level, np.array([speed]), np.array([-1.0, 0.0, 0.0, 0.0]), spare=2, begins_at=1
    ), ()


@dataclass
class Race:
    """Paths that walk until they arrive; those that have are taken out from time to time."""

    process: Langevin
    course: Course
    start: Floats
    limit: int
    limited: bool
    tell: Progress
    workers: Workers
    first_path: int
    precision: str
    now: int = 0
    work: ClassVar[float] = WORK

    def run(self) -> Floats:
        times = np.full(len(self.start), np.nan)
        waiting = np.arange(len(self.start))
        x = self.start
        try:
            while len(waiting):
                waiting, x = self._lap(times, waiting, x)
                self.tell(1 - len(waiting) / len(times))
        except KeyboardInterrupt as interrupt:
            raise self._censored(times, "at Ctrl-C") from interrupt
        return times

    def _lap(self, times: Floats, waiting: Any, x: Floats) -> tuple[Any, Floats]:
        """Walk the waiting paths until enough have arrived to make it worth while to close the ranks."""
        numbers = waiting.astype(np.uint64) + np.uint64(self.first_path)
        moving = self._walkers(x, numbers)
        arrived = np.zeros(len(waiting), dtype=bool)
        while arrived.mean() <= 1 - COMPACT_BELOW and not arrived.all():
            count = min(self._slice(len(waiting)), self.limit - self.now)
            if count <= 0 or self._hopeless(times):
                raise self._censored(times, f"by t={self.now * self.course.clock.dt:g}")
            moving.advance(self.now, count)
            self.workers.check()
            self.now += count
            found, x = moving.recorded()[:, 0], moving.points()
            arrived = found >= 0
            times[waiting[arrived]] = found[arrived]
            diagnosis.check_arrivals(self.process, self.course, x, self.start[waiting], numbers, found, self.now)
            diagnosis.check_finite(
                self.process, self.course, np.where(arrived[:, None], 0.0, x), self.start[waiting], numbers, self.now
            )
        return waiting[~arrived], x[~arrived]

    def _walkers(self, x: Floats, numbers: NDArray[np.uint64]) -> Any:
        """Paths from the points x that record when they arrive."""
        return Walkers(self.course, x, numbers, self.workers)

    def _slice(self, n: int) -> int:
        return int(max(16, min(max(FIRST_SLICE, self.now // 4), self.work / (n * self.process.dim))))

    def _hopeless(self, times: Floats) -> bool:
        return not self.limited and bool(np.all(np.isnan(times))) and self.now * self.start.size > HOPELESS_WORK

    def _censored(self, times: Floats, when: str) -> CensoredError:
        missing = int(np.isnan(times).sum())
        limit = self.now * self.course.clock.dt
        if missing == len(times):
            message = f"none of {missing} paths had reached the region {when}; check that it can be reached, or type a larger t_max"
        else:
            rate = (np.nansum(times) + missing * limit) / (len(times) - missing)
            message = (
                f"{missing} of {len(times)} paths had not reached the region {when}; the mean of the others would be too small; type a larger "
                f"t_max (if arrivals are a Poisson process, the mean is {rate:.4g})"
            )
        return CensoredError(message, times=times, waiting=missing, limit=limit)
