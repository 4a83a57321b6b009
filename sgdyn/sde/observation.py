"""`observe`: averages over ensembles of any size, of which no path is stored."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks, randomness
from sgdyn.problem import Langevin, Momentum
from sgdyn.progress import progress
from sgdyn.sde.boundaries import absorbs, check_inside, walls_of
from sgdyn.sde.course import Clock, Confinement, Course
from sgdyn.sde.engine import SLOTS
from sgdyn.sde.methods.choice import check_method, check_variates
from sgdyn.sde.methods.euler_maruyama import EulerMaruyama
from sgdyn.sde.methods.plan import Method
from sgdyn.sde.portions import Task, portions, spread
from sgdyn.sde.requests import check_schedule, checked_process, refuse_unstable, starting_points, temperatures
from sgdyn.sde.setting import Observable
from sgdyn.sde.tally import Span, Sums, Tally
from sgdyn.sde.variates import variates
from sgdyn.sde.walkers import thread_pool

Floats = NDArray[np.float64]


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

    def plot(self) -> Any:
        """The answers side by side (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.panels(self.results)

    def __str__(self) -> str:
        return "\n".join(f"{name}: {result}" for name, result in self.results.items())


def observe(
    problem: Langevin | Momentum, x0: ArrayLike, observables: Mapping[str, Observable], *, t: float, dt: float, n_paths: int | None = None,
    after: float = 0.0, every: int = 1, method: Method = EulerMaruyama(), noise: str = "double", rng: str = "philox",  # noqa: B008
    temperature: Callable[[float], float] | None = None, boundary: Confinement | None = None,
    seed: int | np.random.SeedSequence | None = None, stream: int = 0, first_path: int = 0,
    threads: int | None = None, executor: Executor | None = None, show_progress: bool | None = None,
    device: str = "cpu", precision: str = "float64",
) -> Observations:  # fmt: skip
    """Watch an ensemble of paths from x0 between the times `after` and t, and store none of them.

    observables: names with `sg.Average(f)`, `sg.Covariance()`, `sg.Histogram(grid)`, `sg.Autocovariance(lags)`, `sg.Maximum(f)`,
    `sg.LastExit(region)`, `sg.Splitting(a, b)`; at most six. every: steps between two looks. The other arguments are those of
    `simulate`; device="cuda" walks, looks and adds up on a GPU, without an executor. Memory does not grow with the number of paths or steps. Errors are found by leaving out one of 20 groups of paths at a
    time (of stretches of time where there are too few paths). Ctrl-C returns what the finished paths say, with `complete=False`.

    Returns `Observations`. Raises ValueError where nothing can be said, and what `simulate` raises.
    """
    sequence = checks.seed_sequence(seed)
    if executor is not None and device != "cpu":
        raise ValueError(f"got an executor with device={device!r}, expected one of the two; type executor=None")
    options = _Options(
        t, dt, n_paths, after, every, method, noise, rng, temperature, boundary, sequence, stream, first_path,
        device, precision,
    )  # fmt: skip
    tally = _tally(problem, x0, observables, options)
    n = len(tally.start)
    with progress("observe", show_progress) as tell:
        if executor is None:
            with thread_pool(threads) as workers:
                sums = tally.run(workers, tell)
        else:
            tasks: list[Task] = [
                (_portion, (problem, x0, observables, options, part), {}) for part in portions(n, tally.width)
            ]
            sums = Sums.total(spread(executor, tasks, tell))
    if sums.done < n:
        warnings.warn(f"interrupted: {sums.done} of {n} paths are done", stacklevel=2)
    return Observations(
        problem, tally.results(sums), sums.done, tally.clock.dt, sequence.entropy, method, sums.done == n
    )


@dataclass(frozen=True)
class _Options:
    t: float
    dt: float
    n_paths: int | None
    after: float
    every: int
    method: Method
    noise: str
    rng: str
    temperature: Callable[[float], float] | None
    boundary: Confinement | None
    seed: np.random.SeedSequence
    stream: int
    first_path: int
    device: str
    precision: str


def _tally(problem: Any, x0: ArrayLike, observables: Any, o: _Options) -> Tally:
    process, method = checked_process(problem), check_method(o.method)
    check_schedule(process, o.temperature)
    steps = checks.steps(o.t, o.dt)
    dt = checks.positive("t", o.t) / steps
    plan = method.steps_of(problem, dt)
    refuse_unstable(process, dt, method)
    randomness.check_range(steps, plan.normals)
    check_variates(method, o.noise)
    schedule = temperatures(process.T, o.temperature, steps, dt)
    clock = Clock(dt, 1, randomness.key(o.seed, o.stream), schedule, variates(o.noise, o.rng))
    start = starting_points(x0, process.dim, o.n_paths)
    walls = walls_of(o.boundary, problem)
    if absorbs(walls):
        raise ValueError("got absorbing walls, whose paths end, expected others; type sg.simulate(...).survival()")
    check_inside(walls, start[:1] if start.strides[0] == 0 else start)
    span = Span(round(checks.positive("after", o.after, zero=True) / dt), steps, checks.count("every", o.every))
    first_path = randomness.first_number(o.first_path, len(start))
    settings = (process, plan, clock, walls, _named(observables), span, start, first_path)
    if (o.device, o.precision) == ("cpu", "float64"):
        return Tally(*settings)
    from sgdyn.sde import cuda
    from sgdyn.sde.cuda_tally import DeviceTally

    cuda.check(o.device, o.precision, process, method, Course(plan, clock, (), walls))
    return DeviceTally(*settings, precision=o.precision)


def _portion(problem: Any, x0: ArrayLike, observables: Any, options: _Options, part: tuple[int, int]) -> Sums:
    """The sums over a portion of the paths, for an executor."""
    tally = _tally(problem, x0, observables, options)
    with thread_pool(1) as workers:
        return tally.portion(*part, workers, lambda fraction: None)


def _named(observables: Any) -> dict[str, Observable]:
    if (
        not isinstance(observables, Mapping)
        or not observables
        or not all(isinstance(o, Observable) for o in observables.values())
    ):
        raise TypeError(
            f'got observables={observables!r}, expected names with observables; type {{"mean": sg.Average()}}'
        )
    if len(observables) > SLOTS:
        raise ValueError(
            f"got {len(observables)} observables, expected at most {SLOTS} in one run; type the others in a second one"
        )
    return dict(observables)
