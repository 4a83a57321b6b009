"""First-passage times by simulation."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks, randomness
from sgdyn.estimate import Estimate, of_samples
from sgdyn.problem import Langevin, Momentum
from sgdyn.progress import Progress, progress
from sgdyn.region import OVERSHOOT, Region
from sgdyn.sde.boundaries import KINDS, absorbs, check_inside, walls_of
from sgdyn.sde.course import Clock, Confinement, Course, Watch
from sgdyn.sde.methods.baoab import BAOAB
from sgdyn.sde.methods.choice import OTHER_PROCESSES, check_method, check_variates
from sgdyn.sde.methods.euler_maruyama import EulerMaruyama
from sgdyn.sde.methods.plan import Method
from sgdyn.sde.portions import Task, portions, spread
from sgdyn.sde.race import Race, censored
from sgdyn.sde.requests import checked_process, refuse_unstable, starting_points
from sgdyn.sde.variates import variates
from sgdyn.sde.walkers import thread_pool
from sgdyn.sde.watchers import arrivals, bridged_arrivals

Floats = NDArray[np.float64]

HOPELESS_WORK = 4e10
"""Component-steps without a single arrival after which a region is called unreachable (unless t_max was given)."""


def first_passage(
    problem: Langevin | Momentum, x0: ArrayLike, region: Callable[[Any], Any] | Region, *, dt: float, n_paths: int | None = None,
    t_max: float | None = None, correction: str = "shift", extrapolate: bool = False, method: Method | None = None,
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
    dt, for the same Brownian paths, which removes the term of first order. method: None stands for `BAOAB()` where the problem is a
    `Momentum` (Euler-Maruyama, which CUDA and single precision leave, heats it), else for `EulerMaruyama()`. n_paths: default 1000. boundary: walls (see `sg.box`). device, precision: as of `observe`; not with extrapolate.

    Raises `CensoredError`, with the times that are known, if some paths have not arrived by t_max (their mean would be biased), if none
    arrives for very long, or at Ctrl-C (with an executor: those of the portions that are done); ValueError if x0 lies in the region; `BlowUpError` if a path is lost.
    """
    process = checked_process(problem)
    method = check_method(_usual(problem, device, precision) if method is None else method)
    start = starting_points(x0, process.dim, 1000 if n_paths is None and np.ndim(x0) == 1 else n_paths)
    if len(start) < 2:
        raise ValueError(f"got n_paths={len(start)}, expected at least 2: one time has no error; type n_paths=1000")
    dt = checks.positive("dt", dt)
    refuse_unstable(process, dt, method)
    _check(start, Region.of(region, process.dim), walls_of(boundary, problem), method, noise, correction)
    first_path = randomness.first_number(first_path, len(start))
    checks.truth("extrapolate", extrapolate)
    if device != "cpu" and (extrapolate or executor is not None):
        what = "extrapolate=True" if extrapolate else "an executor"
        raise ValueError(
            f"got {what} with device={device!r}, expected extrapolate=False and executor=None; type device='cpu'"
        )
    options: dict[str, Any] = {
        "dt": dt, "t_max": t_max, "correction": correction, "extrapolate": extrapolate, "method": method, "noise": noise, "rng": rng,
        "boundary": boundary, "seed": checks.seed_sequence(seed), "stream": stream, "device": device, "precision": precision,
        "patience": np.inf if t_max is not None else HOPELESS_WORK / start.size,
    }  # fmt: skip
    with progress("first passage", show_progress) as tell:
        if executor is None:
            found = _times(problem, start, region, first_path, threads, tell, **options)
        else:
            found = _by_executor(executor, (problem, region), start, first_path, options, tell)
    for times in found.times:
        if np.isnan(times).any():
            raise censored(times, found.limit, "at Ctrl-C" if found.interrupted else f"by t={found.limit:g}")
    hot = HEATED if isinstance(problem, Momentum) and isinstance(method, EulerMaruyama) else ()
    known = hot + _seams(Region.of(region, process.dim), walls_of(boundary, problem), start)
    if extrapolate:
        coarse, fine = found.times
        return of_samples(2 * fine - coarse, f"{len(start)} paths, dt={dt:g} and {dt / 2:g}, extrapolated", known)
    return of_samples(found.times[0], f"{len(start)} paths, dt={dt:g}", (*known, *found.warnings))


def _usual(problem: Langevin | Momentum, device: str, precision: str) -> Method:
    """The method of who names none."""
    return BAOAB() if isinstance(problem, Momentum) and (device, precision) == ("cpu", "float64") else EulerMaruyama()


def _check(
    start: Floats, target: Region, walls: Confinement, method: Method, noise: str, correction: str | None
) -> None:
    """Raise ValueError for what has no first passage."""
    check_inside(walls, start)
    if absorbs(walls):
        raise ValueError(
            "got absorbing walls, expected a region to arrive in; type region=lambda x: (x[0] < -1) | (x[0] > 1)"
        )
    if noise == "weak":
        raise ValueError("got noise='weak', whose paths are walks on a lattice, expected noise='double' or 'single'")
    inside = target.contains(start)
    if np.any(inside):
        raise ValueError(f"got x0={start[np.argmax(inside)]} inside the region, expected a point outside")
    if isinstance(method, OTHER_PROCESSES) and correction is not None:
        raise ValueError(
            f"got correction={correction!r} with method={method!r}, whose paths are not Brownian between steps; type correction=None"
        )
    check_variates(method, noise)


@dataclass
class _Found:
    """The times of some paths with dt (and with dt/2), up to the first with a NaN: such a path still waited at `limit`."""

    times: list[Floats]
    limit: float
    warnings: tuple[str, ...]
    interrupted: bool = False


def _by_executor(
    executor: Executor,
    what: tuple[Any, Any],
    start: Floats,
    first_path: int,
    options: dict[str, Any],
    tell: Progress,
) -> _Found:
    """The times of portions of the paths, each found where the executor takes it."""
    parts = portions(len(start))

    def ask(numbers: list[int], **changes: Any) -> list[_Found]:
        """The first of the answers for these portions, fewer than all at Ctrl-C."""
        tasks: list[Task] = []
        for begin, end in (parts[i] for i in numbers):
            where = (*what[:1], start[begin:end], *what[1:], first_path + begin)
            tasks.append((_times, where, options | changes))
        return list(spread(executor, tasks, tell))

    found = ask(list(range(len(parts))))
    interrupted = len(found) < len(parts)
    found += [_Found([np.full(end - begin, np.nan)], 0.0, ()) for begin, end in parts[len(found) :]]
    silent = [i for i, part in enumerate(found) if np.isnan(part.times[-1]).all()]
    if not interrupted and len(silent) < len(found) and np.isfinite(options["patience"]):
        # The region can be reached, as other portions know, so that no portion need give up.
        again = ask(silent, patience=np.inf)
        interrupted = len(again) < len(silent)
        for i, part in zip(silent, again, strict=False):
            found[i] = part
    stages = min(len(part.times) for part in found)
    times = [np.concatenate([part.times[stage] for part in found]) for stage in range(stages)]
    return _Found(times, min(part.limit for part in found), found[0].warnings, interrupted)


def _times(
    problem: Any,
    start: Floats,
    region: Any,
    first_path: int,
    threads: int | None = 1,
    tell: Progress = lambda _: None,
    *,
    seed: np.random.SeedSequence,
    method: Method,
    **options: Any,
) -> _Found:
    """The arrival times of some paths, whatever their number."""
    process, walls = checked_process(problem), walls_of(options["boundary"], problem)
    target = Region.of(region, process.dim)
    key, kind = randomness.key(seed, options["stream"]), variates(options["noise"], options["rng"])
    device, precision, t_max = options["device"], options["precision"], options["t_max"]
    found = _Found([], np.inf, ())
    with thread_pool(threads) as workers:
        for divisor, refine in ((1, 2), (2, 1)) if options["extrapolate"] else ((1, 1),):
            step = options["dt"] / divisor
            limit = randomness.MAX_STEPS // 2 if t_max is None else checks.steps(t_max, step)
            clock = Clock(step, refine, key, np.array([process.T]), kind)
            watch, found.warnings = _watch(process, target, step, options["correction"])
            course = Course(method.steps_of(problem, step), clock, (watch,), walls)
            race = Race(process, course, start, limit, options["patience"], tell, workers, first_path, precision)
            if (device, precision) != ("cpu", "float64"):
                from sgdyn.sde import cuda
                from sgdyn.sde.cuda_passage import DeviceRace

                cuda.check(device, precision, process, method, course)
                race = DeviceRace(**vars(race))
            found.times.append(race.run())
            if race.over:
                found.limit = race.now * step
                break
    return found


ARRIVAL = np.array([-1.0, 0.0])
"""The record of `watchers.arrivals` before anybody has arrived."""
HEATED = ("Euler-Maruyama heats Momentum: escapes come early, by far more than this error; type method=sg.BAOAB()",)
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
        return Watch(arrivals, 1, target.level(), record=ARRIVAL), () if _smooth(process, target) else LATE
    if correction == "shift":
        return Watch(arrivals, 1, level, record=ARRIVAL), ()
    return Watch(
        bridged_arrivals, 1, level, np.array([speed]), np.array([-1.0, 0.0, 0.0, 0.0]), spare=2, begins_at=1
    ), ()


def _smooth(process: Langevin, target: Region) -> bool:
    """Whether no noise acts across the border (positions of `Momentum`), as seen at 16 points: then looks every dt are late by O(dt) only."""
    level = target.level_and_speed(process.D.matrix)
    return level is not None and not np.any(level(np.random.default_rng(0).normal(size=(16, process.dim)))[..., 1])


def _seams(target: Region, walls: Confinement, start: Floats) -> tuple[str, ...]:
    """A warning if the region ends at a periodic wall, as seen at the two sides of it beside the first points."""
    limits = walls.limits.reshape(-1, 4)
    for i in np.flatnonzero(limits[:, 0] == KINDS["periodic"]):
        low, high = start[:64].copy(), start[:64].copy()
        low[:, i], high[:, i] = limits[i, 1:3]
        if np.any((target.level()(low) >= 0) != (target.level()(high) >= 0)):
            return (
                f"the region ends at the periodic wall of x[{i}], and arrivals across it are seen only every dt: the mean is too large by "
                f"O(sqrt(dt)); type a region that goes on, as lambda x: (x[{i}] > 0.9) | (x[{i}] < {limits[i, 1]:g})",
            )
    return ()
