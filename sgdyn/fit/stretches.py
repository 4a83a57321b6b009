"""Coordinates of a run at equal times, and statistics of stretches of it that can be left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.estimate import Estimate
from sgdyn.nets.recording import Recording

Floats = NDArray[np.float64]

BLOCKS = 60
"""Stretches that the jackknife leaves out: errors are then known to about a tenth."""
SHORTEST = 4


@dataclass(frozen=True, eq=False)
class Series:
    """x (replica, time, k): coordinates at times `dt` apart, of replicas that are independent."""

    x: Floats
    dt: float

    @property
    def dim(self) -> int:
        return int(self.x.shape[2])

    @property
    def length(self) -> float:
        """The time that all replicas together last."""
        return float(self.dt * len(self.x) * (self.x.shape[1] - 1))

    def stretches(self, count: int = BLOCKS) -> list[tuple[int, int, int]]:
        """(replica, first, last) of about `count` stretches of equal length that together are the whole: transitions from times first..last - 1."""
        replicas, times = self.x.shape[0], self.x.shape[1] - 1
        each = max(1, min(-(-count // replicas), times // SHORTEST))
        edges = np.linspace(0, times, each + 1).astype(int).tolist()
        return [(r, a, b) for r in range(replicas) for a, b in pairwise(edges)]


def series(recording: Recording | Any, dt: float | None = None, *, momentum: bool = False) -> Series:
    """A recording of `nets.train`, with time lr for each step (sqrt(lr) with momentum, as `sgd` has it), or an array (replica, time, k) or (time, k) with its `dt`.

    momentum: whether a recording with momentum will do, whose coordinates alone are no Markov process. Raises ValueError for fewer than 20 times, numbers that are not finite, a `dt` that is missing or not positive, TypeError for complex numbers.
    """
    x, step = _coordinates(recording, dt, momentum)
    if x.ndim == 2:
        x = x[None]
    if x.ndim != 3 or x.shape[1] < 20 or not x.shape[2]:
        raise ValueError(
            f"got a run of shape {x.shape}, expected (replica, time, k) or (time, k) with at least 20 times and k >= 1"
        )
    if not np.all(np.isfinite(x)):
        replica, time = np.argwhere(~np.isfinite(x).all(axis=2))[0]
        raise ValueError(f"got a run that is not finite at time {time} of replica {replica}; leave that replica out")
    return Series(x, step)


def _coordinates(recording: Recording | Any, dt: float | None, momentum: bool) -> tuple[Floats, float]:
    if isinstance(recording, Recording):
        if dt is not None:
            raise ValueError("got a Recording and dt=, expected one of them: a Recording has the time of its steps")
        settings = recording.settings
        if settings.momentum and not momentum:
            raise ValueError(
                f"got a run with momentum {settings.momentum}, expected one without: its coordinates alone are no Markov process; "
                "type sgdyn.fit.linear(array, dt=...) with positions and velocities as coordinates"
            )
        return recording.x, settings.dt * settings.every
    if dt is None or not np.isfinite(dt) or dt <= 0:
        raise ValueError(f"got dt={dt}, expected the time between two rows, positive; type dt=...")
    return checks.real("recording", recording, "coordinates of a run, real numbers"), float(dt)


def jackknife(whole: Floats, statistic: Callable[[Floats], tuple[Floats, ...]], method: str) -> tuple[Estimate, ...]:
    """Functions of sums over stretches (stretch, ...), with the bias of order 1/n taken off and errors by leaving out each stretch.

    Source: Künsch, Annals of Statistics 17, 1217 (1989), of blocks of a stationary process; Efron, Stein, ibid. 9, 586 (1981).
    """
    central, parts = left_out(whole, statistic)
    return tuple(combined(value, part, len(whole), method) for value, part in zip(central, parts, strict=True))


def left_out(
    whole: Floats, statistic: Callable[[Floats], tuple[Floats, ...]]
) -> tuple[tuple[Floats, ...], tuple[Floats, ...]]:
    """The functions of the sums over all stretches, and of the sums without each stretch (stretch, ...)."""
    total = whole.sum(axis=0)
    parts = list(zip(*(statistic(total - stretch) for stretch in whole), strict=True))
    return statistic(total), tuple(np.array(part) for part in parts)


def combined(value: Floats, parts: Floats, count: int, method: str) -> Estimate:
    """A value with its jackknife error, from its values without each of `count` parts."""
    mean = parts.mean(axis=0)
    error = np.sqrt((count - 1) * np.mean((parts - mean) ** 2, axis=0))
    return Estimate(value - (count - 1) * (mean - value), error, method)
