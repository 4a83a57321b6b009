"""Ensembles on a CUDA device: Euler-Maruyama steps, one thread a path, with the random numbers of the CPU.

Results equal those of the CPU to rounding. What is summed is summed in an order that depends only on the number of paths.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.codegen import cuda as kernels
from sgdyn.codegen.formula import UNROLLED, Formula
from sgdyn.errors import BlowUpError
from sgdyn.fields import Affine
from sgdyn.noise import Dense, Diagonal, LowRank, Varying
from sgdyn.problem import Langevin
from sgdyn.progress import Progress
from sgdyn.sde import diagnosis
from sgdyn.sde.course import Course
from sgdyn.sde.cuda_walkers import DeviceWalkers
from sgdyn.sde.methods.euler_maruyama import EulerMaruyama
from sgdyn.sde.variates import kind_of
from sgdyn.sde.walkers import Steps

Floats = NDArray[np.float64]

LARGEST = 32
"""The largest dimension: a thread keeps its point in registers."""
WORK = 1e9
"""Component-steps of one launch: a hundredth of a second or so, after which Ctrl-C is seen."""
ROOM = 2**28
"""Numbers that may be stored on the device at once."""
CHUNK = 2**24
"""Paths that are watched at once."""


def check(device: str, precision: str, process: Langevin, method: Any, course: Course, checkpoint: Any = None) -> None:
    """Raise RuntimeError if the device cannot be used, and ValueError for names that are unknown and for what it cannot do."""
    _check_device(device, precision)
    _check_supported(process, method, course, checkpoint)


def _check_device(device: str, precision: str) -> None:
    if device not in ("cpu", "cuda"):
        raise ValueError(f"got device={device!r}, expected 'cpu' or 'cuda'")
    if precision not in ("float64", "float32"):
        raise ValueError(f"got precision={precision!r}, expected 'float64' or 'float32'; type precision='float64'")
    if device == "cpu" and precision != "float64":
        raise ValueError(
            f"got precision={precision!r} on device={device!r}, expected 'float64', or here on device='cuda' also 'float32'; "
            "type precision='float64'"
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
        ("a drift, D or region with the time t", any(len(places) for places in course.clocks)),
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
    count = launch_steps(last, start.size, len(kept))
    try:
        moving = DeviceWalkers(process, course.clock, start, numbers, precision)
        while first < last:
            end = min(first + count, last)
            wanted = kept[done:][kept[done:] <= end]
            found = moving.advance(first, end, wanted)
            if len(wanted):
                x[:, done : done + len(wanted)] = found
                check_points(process, course, found[:, -1], start, numbers, end, precision)
            done, first = done + len(wanted), end
            if tell is not None:
                tell(end / last)
    except KeyboardInterrupt:
        pass
    return x, done


def launch_steps(steps: int, size: int, kept: int) -> int:
    """Steps of one launch: short enough to react, and with room for what is stored."""
    return max(16, int(min(WORK / size, steps * ROOM / (kept * size))))


def check_points(
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
