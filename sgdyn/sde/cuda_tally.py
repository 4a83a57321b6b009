"""Sums over the paths of an ensemble, found on a CUDA device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sgdyn.progress import Progress
from sgdyn.sde import cuda
from sgdyn.sde.course import Course
from sgdyn.sde.cuda_watchers import DeviceLook, DeviceWatchers, looks_of
from sgdyn.sde.tally import Sums, Tally
from sgdyn.sde.walkers import Workers


@dataclass
class DeviceTally(Tally):
    """A `Tally` whose paths are walked, looked at and added up on the device; its groups of paths are those of the CPU."""

    precision: str = "float64"

    def run(self, workers: Workers, tell: Progress) -> Sums:
        """The sums over all paths; Ctrl-C ends them early."""
        looks = looks_of(self.observables, self._setting(self.width), self.clock.dt)
        sums, n = Sums(np.zeros(self.groups)), len(self.start)
        size = self._paths_at_once(looks)
        try:
            for begin in range(0, n, size):
                self._watch(begin, min(begin + size, n), looks, sums)
                sums.done = min(begin + size, n)
                tell(sums.done / n)
        except KeyboardInterrupt:
            sums.interrupted = True
        return Sums.total([sums])

    def _paths_at_once(self, looks: list[DeviceLook]) -> int:
        """Whole units of paths, as many as have room for their records."""
        floats = 2 * self.process.dim + sum(len(look.record) + self.by_path * look.look.cells for look in looks)
        return max(1, min(cuda.CHUNK, cuda.ROOM // floats) // self.width) * self.width

    def _watch(self, begin: int, end: int, looks: list[DeviceLook], sums: Sums) -> None:
        start, numbers = self.start[begin:end], np.arange(begin, end, dtype=np.uint64) + np.uint64(self.first_path)
        moving = DeviceWatchers(
            self.process, self.clock, start, numbers, self.precision, looks, width=self.width, unit=begin // self.width,
            groups=0 if self.by_path else self.groups,
        )  # fmt: skip
        longest, every = cuda.launch_steps(self.span.last, start.size, 1), self.span.every
        for first in range(0, self.stretches[0][0], longest):
            moving.advance(first, min(first + longest, self.stretches[0][0]))
        for stretch, (first, count) in enumerate(self.stretches):
            moving.begin()
            for now in range(first, first + count, longest):
                moving.watch(now, min(now + longest, first + count), every, first)
            if not moving.finite():
                course = Course(self.plan, self.clock)
                cuda.check_points(self.process, course, moving.points(), start, numbers, first + count, self.precision)
            self._collect(sums, moving, begin, stretch, count // every)

    def _collect(self, sums: Sums, moving: DeviceWatchers, begin: int, stretch: int, looks: int) -> None:
        """Add what was recorded to the groups of its paths."""
        first = stretch * len(self.start) + begin
        groups = slice(first, first + moving.n) if self.by_path else slice(None)
        for number, (name, look) in enumerate(zip(self.observables, moving.looks, strict=True)):
            samples = look.samples(moving.recorded(number), looks)
            total = sums.sums.setdefault(name, np.zeros((self.groups, samples.shape[1])))
            total[groups] += looks * samples
        units = np.arange(begin, begin + moving.n) // self.width % self.groups
        sums.weights[groups] += looks if self.by_path else looks * np.bincount(units, minlength=self.groups)
