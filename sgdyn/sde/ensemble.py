"""`simulate` and the ensembles it returns."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks, randomness
from sgdyn.density.grid import Density, Grid, histogram
from sgdyn.estimate import Estimate, of_samples
from sgdyn.fields import Affine
from sgdyn.problem import Langevin, Momentum
from sgdyn.progress import Progress, progress
from sgdyn.sde import diagnosis
from sgdyn.sde.boundaries import absorbs, check_inside
from sgdyn.sde.methods.choice import check_method
from sgdyn.sde.methods.euler_maruyama import EulerMaruyama
from sgdyn.sde.methods.plan import Method
from sgdyn.sde.variates import variates
from sgdyn.sde.walkers import Clock, Confinement, Course, Steps, Walkers, thread_pool

Floats = NDArray[np.float64]

SLICE_WORK = 2e7
"""Component-steps between two looks at the clock, at Ctrl-C and at NaN: a tenth of a second."""
BATCHES = 20


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Saved paths: x (path, time, component) at the times t (time,).

    `dt` is the step that was taken, `seed` the entropy that repeats the run, `complete` False if Ctrl-C ended it early.
    """

    problem: Langevin | Momentum
    t: Floats
    x: Floats
    dt: float
    seed: Any
    method: Method
    complete: bool = True

    def mean(
        self, f: Callable[[Floats], ArrayLike] | None = None, *, at: int = -1, after: float | None = None
    ) -> Estimate:
        """The average of f(x) (or of x) over paths at one saved time, or over all times >= `after` as well.

        f takes points (..., dim) to (...) or (..., k). The standard error comes from the paths, which are independent; of a single
        path, from 20 stretches of time. Raises ValueError if there is neither.
        """
        values = self._values(f, at, after)
        return of_samples(self._independent(values), self._describe(at, after))

    def cov(self, *, at: int = -1, after: float | None = None) -> Estimate:
        """The covariance matrix (dim, dim) with standard errors, at one saved time or over all times >= `after`."""
        values = self._values(None, at, after)
        centred = values - values.mean(axis=(0, 1))
        products = self._independent(centred[..., :, None] * centred[..., None, :])
        n = values.shape[0] * values.shape[1]
        found = of_samples(products, self._describe(at, after))
        return Estimate(found.value * n / (n - 1), found.error, found.method, found.samples)

    def survival(self, *, at: int = -1) -> Estimate:
        """The fraction of paths that no absorbing wall has taken by a saved time."""
        return of_samples(np.isfinite(self.x[:, at]).all(axis=-1), self._describe(at, None))

    def histogram(self, grid: Grid, *, at: int = -1, after: float | None = None) -> Density:
        """The density by counting in the cells of a grid."""
        values = self._values(None, at, after)
        if grid.dim != values.shape[-1]:
            raise ValueError(
                f"got a grid in dimension {grid.dim}, expected {values.shape[-1]}; type ensemble.component(...) for some coordinates"
            )
        return histogram(values.reshape(-1, grid.dim), grid)

    def component(self, *numbers: int) -> Ensemble:
        """The same paths with only some of the coordinates."""
        return Ensemble(
            self.problem, self.t, self.x[..., list(numbers)], self.dt, self.seed, self.method, self.complete
        )

    def to_xarray(self) -> Any:
        """The paths as an xarray.DataArray with the dimensions path, time, component (needs the extra `xarray`)."""
        import xarray

        return xarray.DataArray(
            self.x,
            dims=("path", "time", "component"),
            coords={"time": self.t},
            attrs={"dt": self.dt, "seed": str(self.seed)},
        )

    def plot(self, ax: Any = None) -> Any:
        """Paths against time, or in the plane (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)

    def _values(self, f: Callable[[Floats], ArrayLike] | None, at: int, after: float | None) -> Floats:
        chosen = self.x[:, [at]] if after is None else self.x[:, self.t >= after]
        if chosen.shape[1] == 0:
            raise ValueError(f"got after={after}, expected a time up to {self.t[-1]:g}")
        if np.isnan(chosen).any():
            raise ValueError("got paths that were absorbed at a wall, expected all of them alive; type ensemble.survival(), or pick x[~np.isnan(x)]")
        return np.asarray(chosen if f is None else f(chosen), dtype=np.float64)

    @staticmethod
    def _independent(values: Floats) -> Floats:
        """Path averages (path, ...), or averages over stretches of one path."""
        if len(values) > 1:
            return np.asarray(values.mean(axis=1))
        stretches = [part.mean(axis=0) for part in np.array_split(values[0], BATCHES) if len(part)]
        return np.stack(stretches) if len(stretches) == BATCHES else values.mean(axis=1)

    def _describe(self, at: int, after: float | None) -> str:
        when = f"t={self.t[at]:g}" if after is None else f"t>={after:g}"
        return f"{len(self.x)} path{'s' * (len(self.x) > 1)}, {when}, dt={self.dt:g}"


def simulate(
    problem: Langevin | Momentum, x0: ArrayLike, *, t: float, dt: float, n_paths: int | None = None, save: int | ArrayLike = 1,
    method: Method = EulerMaruyama(), noise: str = "double", rng: str = "philox", temperature: Callable[[float], float] | None = None,  # noqa: B008
    seed: int | np.random.SeedSequence | None = None, stream: int = 0, refine: int = 1, first_path: int = 0,
    boundary: Confinement | None = None, threads: int | None = None, show_progress: bool | None = None,
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

    Returns an `Ensemble` with x (path, time, component). Raises ValueError for wrong shapes or an unstable step, and `BlowUpError`
    (path, time, stable step) if a path leaves the finite numbers.
    """
    method = check_method(method)
    process = checked_process(problem)
    start = starting_points(x0, process.dim, n_paths)
    steps = checks.steps(t, dt)
    dt = checks.positive("t", t) / steps
    refine = checks.count("refine", refine)
    plan = method.steps_of(problem, dt)
    randomness.check_range(steps * refine, plan.normals)
    refuse_unstable(process, dt, method)
    sequence = checks.seed_sequence(seed)
    kept = saved_steps(save, steps, dt)
    walls = boundary or Confinement()
    check_inside(walls, start)
    clock = Clock(dt, refine, randomness.key(sequence, stream), temperatures(process.T, temperature, steps, dt), variates(noise, rng))
    numbers = np.arange(len(start), dtype=np.uint64) + np.uint64(checks.count("first_path", first_path, least=0))
    with thread_pool(threads) as workers, progress("simulate", show_progress) as tell:
        x, done = _run(process, Walkers(Course(plan, clock, (), walls), start, numbers, workers), start, numbers, kept, tell)
    if done < len(kept):
        warnings.warn(f"interrupted: {done} of {len(kept)} saved times are done", stacklevel=2)
    return Ensemble(problem, kept[:done] * dt, x[:, :done], dt, sequence.entropy, method, done == len(kept))


def _run(process: Langevin, moving: Walkers, start: Floats, numbers: Any, kept: Steps, tell: Progress) -> tuple[Floats, int]:
    """Advance through all kept steps; returns the points and how many kept steps were reached."""
    x = np.empty((len(start), len(kept), process.dim))
    done = int(np.sum(kept == 0))
    x[:, :done] = start[:, None]
    try:
        for first, count in slices(int(kept[-1]), start.size):
            wanted = kept[done:][kept[done:] <= first + count]
            x[:, done : done + len(wanted)] = moving.advance(first, count, wanted)
            if not absorbs(moving.course.confinement):
                diagnosis.check_finite(process, moving.course, moving.points(), start, numbers, first + count)
            done += len(wanted)
            tell((first + count) / kept[-1])
    except KeyboardInterrupt:
        pass
    return x, done


def temperatures(T: float, schedule: Callable[[float], float] | None, steps: int, dt: float) -> Floats:
    """T, or T at the beginning of every step."""
    if schedule is None:
        return np.array([T])
    values = np.array([float(schedule(step * dt)) for step in range(steps)])
    if not np.all(np.isfinite(values)) or values.min() < 0:
        wrong = int(np.argmax(~np.isfinite(values) | (values < 0)))
        raise ValueError(f"got temperature({wrong * dt:g}) = {values[wrong]:g}, expected finite numbers >= 0")
    return values


def slices(steps: int, size: int) -> Iterator[tuple[int, int]]:
    """(first, count) of stretches of steps short enough to react between them."""
    longest = max(16, int(SLICE_WORK / max(size, 1)))
    return ((first, min(longest, steps - first)) for first in range(0, steps, longest))


def checked_process(problem: Any) -> Langevin:
    """The Itô process to integrate."""
    if isinstance(problem, Momentum):
        return problem.phase_space
    if not isinstance(problem, Langevin):
        raise TypeError(
            f"got a problem of type {type(problem).__name__}, expected Langevin or Momentum; type sg.Langevin(U, T=..., D=...)"
        )
    return problem


def starting_points(x0: ArrayLike, dim: int, n_paths: int | None) -> Floats:
    """Points (n_paths, dim) from x0."""
    points = checks.points(checks.finite("x0", x0), dim, "x0")
    if points.ndim == 1:
        return np.broadcast_to(points, (1 if n_paths is None else checks.count("n_paths", n_paths), dim))
    if points.ndim > 2 or (n_paths is not None and len(points) != n_paths) or not len(points):
        raise ValueError(f"got x0 of shape {points.shape} and n_paths={n_paths}, expected ({dim},) or (n_paths, {dim})")
    return points


def saved_steps(save: int | ArrayLike, steps: int, dt: float) -> Steps:
    """The step numbers to keep."""
    if np.ndim(save) == 0:
        wanted = checks.count("save", save)
        if wanted > steps + 1:
            raise ValueError(
                f"got save={wanted} times of {steps} steps, expected at most {steps + 1}; type a smaller dt or save"
            )
        return np.array([steps]) if wanted == 1 else np.round(np.linspace(0, steps, wanted)).astype(np.int64)
    times = checks.finite("save", save)
    if (
        times.ndim != 1
        or not len(times)
        or times.min() < 0
        or times.max() > (steps + 0.5) * dt
        or np.any(np.diff(times) <= 0)
    ):
        raise ValueError(f"got save={times}, expected increasing times between 0 and {steps * dt:g}")
    return np.round(times / dt).astype(np.int64)


def refuse_unstable(process: Langevin, dt: float, method: Method) -> None:
    """Refuse steps at which a stable linear process would explode: |1 + dt lambda| > 1 for an eigenvalue of its drift."""
    if isinstance(method, EulerMaruyama) and isinstance(process.drift, Affine) and process.dim <= 2000:
        eigenvalues = np.linalg.eigvals(process.drift.matrix)
        growth = np.abs(1 + dt * eigenvalues)
        decaying = eigenvalues.real < 0
        if np.any(decaying & (growth > 1 + 1e-12)):
            limit = float(np.min(-2 * eigenvalues.real[decaying] / np.abs(eigenvalues[decaying]) ** 2))
            raise ValueError(
                f"got dt={dt:g}, expected dt < {limit:.4g}: beyond, the steps of this linear process grow without bound; type dt={limit / 20:.2g}"
            )
