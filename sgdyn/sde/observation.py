"""`observe`: averages over ensembles of any size, of which no path is stored."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks, randomness
from sgdyn.problem import Langevin, Momentum
from sgdyn.progress import Progress, progress
from sgdyn.sde import diagnosis
from sgdyn.sde.boundaries import absorbs, check_inside
from sgdyn.sde.engine import SLOTS
from sgdyn.sde.ensemble import checked_process, refuse_unstable, slices, starting_points, temperatures
from sgdyn.sde.methods.choice import check_method
from sgdyn.sde.methods.euler_maruyama import EulerMaruyama
from sgdyn.sde.methods.plan import Method, Plan
from sgdyn.sde.observables import Observable, Setting
from sgdyn.sde.variates import variates
from sgdyn.sde.walkers import WIDTH, Clock, Confinement, Course, Walkers, Workers, thread_pool

Floats = NDArray[np.float64]

GROUPS = 20
"""Groups of paths, or of stretches of time, from which errors are found by leaving out one at a time."""


@dataclass(frozen=True, eq=False)
class Observations:
    """The answers of `observe`, by name: `found["mean"]`. `complete` is False if Ctrl-C ended it after `paths` paths."""

    problem: Langevin | Momentum
    results: dict[str, Any]
    paths: int
    dt: float
    seed: Any
    method: Method
    complete: bool = True

    def __getitem__(self, name: str) -> Any:
        return self.results[name]

    def __str__(self) -> str:
        return "\n".join(f"{name}: {result}" for name, result in self.results.items())


def observe(
    problem: Langevin | Momentum, x0: ArrayLike, observables: Mapping[str, Observable], *, t: float, dt: float, n_paths: int | None = None,
    after: float = 0.0, every: int = 1, method: Method = EulerMaruyama(), noise: str = "double", rng: str = "philox",  # noqa: B008
    temperature: Callable[[float], float] | None = None, boundary: Confinement | None = None,
    seed: int | np.random.SeedSequence | None = None, stream: int = 0, first_path: int = 0,
    threads: int | None = None, show_progress: bool | None = None,
) -> Observations:  # fmt: skip
    """Watch an ensemble of paths from x0 between the times `after` and t, and store none of them.

    observables: names with `sg.Average(f)`, `sg.Covariance()`, `sg.Histogram(grid)`, `sg.Autocovariance(lags)`, `sg.Maximum(f)`,
    `sg.LastExit(region)`, `sg.Splitting(a, b)`; at most six. every: steps between two looks. The other arguments are those of
    `simulate`. Memory does not grow with the number of paths or steps. Errors are found by leaving out one of 20 groups of paths at a
    time (of stretches of time where there are too few paths). Ctrl-C returns what the finished paths say, with `complete=False`.

    Returns `Observations`. Raises ValueError where nothing can be said, and what `simulate` raises.
    """
    process = checked_process(problem)
    steps = checks.steps(t, dt)
    dt = checks.positive("t", t) / steps
    plan = check_method(method).steps_of(problem, dt)
    refuse_unstable(process, dt, method)
    randomness.check_range(steps, plan.normals)
    sequence = checks.seed_sequence(seed)
    clock = Clock(dt, 1, randomness.key(sequence, stream), temperatures(process.T, temperature, steps, dt), variates(noise, rng))
    start = starting_points(x0, process.dim, n_paths)
    first = checks.count("first_path", first_path, least=0)
    walls = boundary or Confinement()
    check_inside(walls, start[:1] if start.strides[0] == 0 else start)
    span = _Span(round(checks.positive("after", after, zero=True) / dt), steps, checks.count("every", every))
    tally = _Tally(process, plan, clock, walls, _named(observables), span, start, first)
    with thread_pool(threads) as workers, progress("observe", show_progress) as tell:
        done = tally.run(workers, tell)
    if done < len(start):
        warnings.warn(f"interrupted: {done} of {len(start)} paths are done", stacklevel=2)
    return Observations(problem, tally.results(done), done, dt, sequence.entropy, method, done == len(start))


def _named(observables: Any) -> dict[str, Observable]:
    if not isinstance(observables, Mapping) or not observables or not all(isinstance(o, Observable) for o in observables.values()):
        raise TypeError(f'got observables={observables!r}, expected names with observables; type {{"mean": sg.Average()}}')
    if len(observables) > SLOTS:
        raise ValueError(f"got {len(observables)} observables, expected at most {SLOTS} in one run; type the others in a second one")
    return dict(observables)


@dataclass(frozen=True)
class _Span:
    """The steps from which, up to which and at which is looked."""

    first: int
    last: int
    every: int

    def stretches(self, count: int) -> list[tuple[int, int]]:
        """(first, count) of equal stretches of steps, each a whole number of looks."""
        begin = -(-self.first // self.every) * self.every
        length = (self.last - begin) // (count * self.every) * self.every
        if length <= 0:
            raise ValueError(
                f"got {max(0, (self.last - begin) // self.every)} looks at each path, expected at least {count}; type a longer t, a smaller `every`, or more paths"
            )
        return [(begin + i * length, length) for i in range(count)]


@dataclass
class _Tally:
    """Sums over groups of paths, filled one unit (a block of paths with fixed numbers) after the other, so that threads change no bit."""

    process: Langevin
    plan: Plan
    clock: Clock
    confinement: Confinement
    observables: dict[str, Observable]
    span: _Span
    start: Floats
    first_path: int

    def __post_init__(self) -> None:
        n = len(self.start)
        widest = Course(self.plan, self.clock).width(self.process.dim, n, 1)
        self.width = max(WIDTH, min(widest, math.ceil(n / GROUPS) // WIDTH * WIDTH))
        units = math.ceil(n / self.width)
        once = any(o.once for o in self.observables.values())
        self.by_path = once and units < GROUPS
        if self.by_path and n < 2:
            raise ValueError("got one path for an observable that is one number for each path, expected at least 2; type a larger n_paths")
        self.stretches = self.span.stretches(1 if units >= GROUPS or self.by_path else math.ceil(GROUPS / units))
        self.groups = n if self.by_path else min(units, GROUPS) * len(self.stretches)
        self.sums: dict[str, Floats] = {}
        self.weights = np.zeros(self.groups)

    def run(self, workers: Workers, tell: Progress) -> int:
        """Walk all units, some at a time; returns how many paths are done."""
        done, n = 0, len(self.start)
        try:
            for begin, end in self._batches(workers.threads):
                self._walk(begin, end, workers)
                done = end
                tell(done / n)
        except KeyboardInterrupt:
            if not done:
                raise
        return done

    def _batches(self, threads: int) -> Iterator[tuple[int, int]]:
        """Paths [begin, end) to walk at once: whole units, and what is left over by itself."""
        n, size = len(self.start), self.width * threads * 2
        whole = n // self.width * self.width
        yield from ((begin, min(begin + size, whole)) for begin in range(0, whole, size))
        if whole < n:
            yield whole, n

    def _setting(self, paths: int) -> Setting:
        every = self.span.every
        return Setting(self.process.dim, self.start[0], every * self.clock.dt, every, paths)

    def _walk(self, begin: int, end: int, workers: Workers) -> None:
        numbers = np.arange(self.first_path + begin, self.first_path + end, dtype=np.uint64)
        setting = self._setting(min(self.width, end - begin))
        watches = tuple(o.watch(setting) for o in self.observables.values())
        start = np.ascontiguousarray(self.start[begin:end])
        moving = Walkers(Course(self.plan, self.clock, (), self.confinement), start, numbers, workers, self.width)
        self._advance(moving, start, numbers, 0, self.stretches[0][0])
        for stretch, (first, count) in enumerate(self.stretches):
            watching = Course(self.plan, self.clock, watches, self.confinement)
            moving = Walkers(watching, moving.points(), numbers, workers, self.width)
            self._advance(moving, start, numbers, first, count)
            self._add(moving, begin, stretch, count // self.span.every, setting)

    def _advance(self, moving: Walkers, start: Floats, numbers: Any, first: int, count: int) -> None:
        for begin, some in slices(count, start.size):
            moving.advance(first + begin, some)
            if not absorbs(self.confinement):
                diagnosis.check_finite(self.process, moving.course, moving.points(), start, numbers, first + begin + some)

    def _add(self, moving: Walkers, begin: int, stretch: int, looks: int, setting: Setting) -> None:
        """Add what was recorded to the groups of its paths."""
        units = len(moving.x)
        for unit in range(units):
            path = begin + unit * self.width
            paths = min(self.width, moving.n - unit * self.width)
            for number, (name, observable) in enumerate(self.observables.items()):
                record = moving.records[number][unit]
                kept = record[:, :paths] if record.shape[1] == self.width else record
                self._to_groups(name, observable.samples(kept, setting, looks), path, paths, stretch)
            self._weigh(path, paths, stretch)

    def _group(self, path: int, stretch: int) -> int:
        kept = self.groups // len(self.stretches)
        return stretch * kept + path // self.width % kept

    def _to_groups(self, name: str, samples: Floats, path: int, paths: int, stretch: int) -> None:
        total = self.sums.setdefault(name, np.zeros((self.groups, samples.shape[1])))
        if self.by_path and len(samples) == paths:
            total[path : path + paths] += samples
        elif self.by_path:
            total[path : path + paths] += samples / paths
        else:
            total[self._group(path, stretch)] += samples.sum(axis=0)

    def _weigh(self, path: int, paths: int, stretch: int) -> None:
        if self.by_path:
            self.weights[path : path + paths] += 1
        else:
            self.weights[self._group(path, stretch)] += paths

    def results(self, done: int) -> dict[str, Any]:
        """The answers with their errors."""
        setting = self._setting(self.width)
        method = f"{done} path{'s' * (done > 1)}, {self.span.first * self.clock.dt:g} <= t <= {self.span.last * self.clock.dt:g}, dt={self.clock.dt:g}"
        return {name: self._result(name, observable, setting, method) for name, observable in self.observables.items()}

    def _result(self, name: str, observable: Observable, setting: Setting, method: str) -> Any:
        used = self.weights > 0
        sums, weights = self.sums[name][used], self.weights[used]
        value = observable.value(sums.sum(axis=0) / weights.sum(), setting)
        if len(weights) < 2:
            return observable.result(value, np.full(np.shape(value), np.nan), setting, f"{method}; too few for an error")
        without = [observable.value((sums.sum(axis=0) - s) / (weights.sum() - w), setting) for s, w in zip(sums, weights, strict=True)]
        spread = np.asarray(without) - np.mean(without, axis=0)
        error = np.sqrt((len(without) - 1) / len(without) * np.sum(spread**2, axis=0))
        return observable.result(value, error, setting, method)
