"""Ensembles on a CUDA device: Euler-Maruyama steps, one thread a path, with the random numbers of the CPU.

Results equal those of the CPU to rounding. What is summed is summed in an order that depends only on the number of paths.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks, randomness
from sgdyn.codegen import cuda as kernels
from sgdyn.codegen.formula import UNROLLED, Formula
from sgdyn.errors import BlowUpError
from sgdyn.fields import Affine
from sgdyn.noise import Dense, Diagonal, LowRank, Varying
from sgdyn.problem import Langevin, Momentum
from sgdyn.progress import Progress, progress
from sgdyn.sde import diagnosis
from sgdyn.sde.cuda_walkers import DeviceWalkers
from sgdyn.sde.methods.euler_maruyama import EulerMaruyama
from sgdyn.sde.variates import kind_of, variates
from sgdyn.sde.walkers import Clock, Course, Steps

Floats = NDArray[np.float64]
Moments = tuple[int, Floats, Floats]

LARGEST = 32
"""The largest dimension: a thread keeps its point in registers."""
WORK = 1e9
"""Component-steps of one launch: a hundredth of a second or so, after which Ctrl-C is seen."""
ROOM = 2**28
"""Numbers that one launch may store on the device."""
CHUNK = 2**24
"""Paths whose moments are found at once."""


def check(device: str, precision: str, process: Langevin, method: Any, course: Course, checkpoint: Any = None) -> None:
    """Raise RuntimeError if the device cannot be used, and ValueError for names that are unknown and for what it cannot do."""
    _check_device(device, precision)
    _check_supported(process, method, course, checkpoint)


def _check_device(device: str, precision: str) -> None:
    if device not in ("cpu", "cuda"):
        raise ValueError(f"got device={device!r}, expected 'cpu' or 'cuda'")
    if precision not in ("float64", "float32") or (device == "cpu" and precision != "float64"):
        raise ValueError(
            f"got precision={precision!r} on device={device!r}, expected 'float64', or on device='cuda' also 'float32'"
        )
    if device == "cuda" and not _available():
        raise RuntimeError(
            "got device='cuda' and found no CUDA device, expected an NVIDIA GPU with its driver and the package numba-cuda; "
            'type pip install "sgdyn[cuda]", or device="cpu"'
        )


def _available() -> bool:
    try:
        from numba import cuda
    except ImportError:
        return False
    return bool(cuda.is_available())


def _check_supported(process: Langevin, method: Any, course: Course, checkpoint: Any) -> None:
    noise, rng = kind_of(course.clock.random)
    wrong = [
        (f"method={method!r}", not isinstance(method, EulerMaruyama)),
        (f"noise={noise!r}", noise not in kernels.GROUPS),
        (f"rng={rng!r}", rng != "philox"),
        (f"refine={course.clock.refine}", course.clock.refine != 1),
        ("a drift or D with the time t", any(len(places) for places in course.clocks)),
        ("a boundary", len(course.confinement.limits) > 0),
        ("a checkpoint", checkpoint is not None),
        (f"dimension {process.dim}", process.dim > LARGEST),
        (f"{process.D.rank} normals a step", process.D.rank > 2 * LARGEST),
        ("a drift that is no formula", not isinstance(process.drift, Formula | Affine)),
        (f"D of type {type(process.D).__name__} in dimension {process.dim}", not _is_known(process.D)),
    ]
    found = [name for name, refused in wrong if refused]
    if found:
        raise ValueError(
            f"got {', '.join(found)} with device='cuda', expected method=sg.EulerMaruyama(), noise='double' or 'single', rng='philox', refine=1, "
            f"no boundary, no checkpoint, up to {LARGEST} dimensions, a drift and a D that are formulas of x or constant; type device='cpu' for all else"
        )


def _is_known(noise: Any) -> bool:
    small = type(noise) is Varying and isinstance(noise.matrix, Formula) and noise.dim**2 <= UNROLLED
    return small or isinstance(noise, Diagonal | Dense | LowRank)


def simulate_on_device(
    process: Langevin, course: Course, start: Floats, numbers: NDArray[np.uint64], kept: Steps, *, x: Any = None, precision: str = "float64",
    tell: Progress | None = None,
) -> tuple[Any, int]:  # fmt: skip
    """The points x (path, kept, dim) after each of the `kept` step numbers (increasing), and how many of these were reached.

    start (path, dim), numbers (path,): the path numbers, of which the random numbers are a function. x: an array to write to. Ctrl-C
    ends it early. Raises `BlowUpError` if a path leaves the finite numbers.
    """
    x = np.empty((len(start), len(kept), process.dim)) if x is None else x
    done, first, last = int(np.sum(kept == 0)), 0, int(kept[-1])
    x[:, :done] = np.broadcast_to(start[:, None], (len(start), done, process.dim))
    count = _launch_steps(last, start.size, len(kept))
    try:
        moving = DeviceWalkers(process, course.clock, start, numbers, precision)
        while first < last:
            end = min(first + count, last)
            wanted = kept[done:][kept[done:] <= end]
            found = moving.advance(first, end, wanted)
            if len(wanted):
                x[:, done : done + len(wanted)] = found
                _check(process, course, found[:, -1], start, numbers, end, precision)
            done, first = done + len(wanted), end
            if tell is not None:
                tell(end / last)
    except KeyboardInterrupt:
        pass
    return x, done


def moments_on_device(
    process: Langevin, course: Course, start: Floats, numbers: NDArray[np.uint64], *, last: int, begin: int = 0, every: int = 1,
    precision: str = "float64", tell: Progress | None = None,
) -> Moments:  # fmt: skip
    """(count, mean (dim,), second (dim, dim)): averages of x and x x' over all paths and the steps begin + every, begin + 2 every, ... <= last.

    Sums are float64 whatever the precision of the points. Raises `BlowUpError` if a path leaves the finite numbers.
    """
    dim, looks = process.dim, (last - begin) // every
    if looks < 1:
        raise ValueError(
            f"got no step to look at between {begin} and {last} with every={every}; type a smaller `every` or a later end"
        )
    total = np.zeros(dim + dim * (dim + 1) // 2)
    for first in range(0, len(start), CHUNK):
        part = slice(first, first + CHUNK)
        moving = DeviceWalkers(process, course.clock, start[part], numbers[part], precision)
        sums = moving.sums(begin, last, every, _launch_steps(last, start[part].size, 1))
        if not np.all(np.isfinite(sums)):
            _check(process, course, moving.points(), start[part], numbers[part], last, precision)
        total += sums
        if tell is not None:
            tell(min(1.0, (first + CHUNK) / len(start)))
    count = looks * len(start)
    second = np.zeros((dim, dim))
    second[np.tril_indices(dim)] = total[dim:] / count
    return count, total[:dim] / count, second + np.tril(second, -1).T


def observe_moments(
    problem: Langevin | Momentum, x0: ArrayLike, *, t: float, dt: float, n_paths: int | None = None, after: float | None = None,
    every: int = 1, noise: str = "double", precision: str = "float64", temperature: Callable[[float], float] | None = None,
    seed: int | np.random.SeedSequence | None = None, stream: int = 0, first_path: int = 0, show_progress: bool | None = None,
) -> Moments:  # fmt: skip
    """(count, mean (dim,), second (dim, dim)): averages of x and x x' on the device, over paths and over every `every`-th step beyond `after`.

    after: None for the points at the time t alone. The other arguments are those of `simulate`; no path is stored.
    """
    from sgdyn.sde.simulation import checked_process, refuse_unstable, starting_points, temperatures

    process, method = checked_process(problem), EulerMaruyama()
    steps = checks.steps(t, dt)
    dt = checks.positive("t", t) / steps
    plan = method.steps_of(problem, dt)
    randomness.check_range(steps, plan.normals)
    refuse_unstable(process, dt, method)
    key = randomness.key(checks.seed_sequence(seed), stream)
    course = Course(plan, Clock(dt, 1, key, temperatures(process.T, temperature, steps, dt), variates(noise, "philox")))
    check("cuda", precision, process, method, course)
    start = starting_points(x0, process.dim, n_paths)
    numbers = np.arange(len(start), dtype=np.uint64) + np.uint64(checks.count("first_path", first_path, least=0))
    begin = steps - 1 if after is None else round(checks.positive("after", after, zero=True) / dt)
    looks = checks.count("every", every) if after is not None else 1
    with progress("observe", show_progress) as tell:
        return moments_on_device(
            process, course, start, numbers, last=steps, begin=begin, every=looks, precision=precision, tell=tell
        )


def _launch_steps(steps: int, size: int, kept: int) -> int:
    """Steps of one launch: short enough to react, and with room for what is stored."""
    return max(16, int(min(WORK / size, steps * ROOM / (kept * size))))


def _check(
    process: Langevin, course: Course, x: Floats, start: Floats, numbers: Any, step: int, precision: str
) -> None:
    """Raise `BlowUpError` if the points x (path, dim) are not finite; the CPU, which takes the same steps, finds where and why."""
    if precision == "float64":
        diagnosis.check_finite(process, course, x, start, numbers, step)
    lost = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if len(lost):
        path, time = int(numbers[lost[0]]), step * course.clock.dt
        message = f"path {path} ({len(lost)} lost in all) left the finite numbers of float32 before t={time:g}; type precision='float64' to see why"
        raise BlowUpError(message, path=path, time=time, dt=None)
