"""First passage on a CUDA device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sgdyn.sde import cuda
from sgdyn.sde.cuda_watchers import DeviceWatchers, arrival_look
from sgdyn.sde.race import Race

Floats = NDArray[np.float64]


@dataclass
class DeviceRace(Race):
    """A `Race` on the device, where a thread ends with the arrival of its path."""

    work: ClassVar[float] = 1e10

    def _walkers(self, x: Floats, numbers: NDArray[np.uint64]) -> Any:
        return _Racers(self, x, numbers)


class _Racers:
    """Paths from the points x (n, dim) that record when they arrive; read as `Walkers` are."""

    def __init__(self, race: Race, x: Floats, numbers: NDArray[np.uint64]) -> None:
        clock, look = race.course.clock, arrival_look(race.course.watches[0], race.course.clock.dt, x)
        self.race, self.x, self.numbers, self.now = race, x, numbers, 0
        self.moving = DeviceWatchers(race.process, clock, x, numbers, race.precision, [look])

    def advance(self, first: int, count: int) -> None:
        """Take `count` steps from the step `first`."""
        self.now, longest = first + count, cuda.launch_steps(count, self.x.size, 1)
        for begin in range(first, self.now, longest):
            self.moving.watch(begin, min(begin + longest, self.now), 1)

    def recorded(self) -> Floats:
        """What has been recorded of every path (n, rows)."""
        return self.moving.recorded().T

    def points(self) -> Floats:
        """The points (n, dim) now, or where a path arrived; raises `BlowUpError` where float32 did not suffice."""
        points, race = self.moving.points(), self.race
        if race.precision == "float32":
            on_the_way = np.where(self.recorded()[:, :1] < 0, points, 0.0)
            cuda.check_points(race.process, race.course, on_the_way, self.x, self.numbers, self.now, race.precision)
        return points
