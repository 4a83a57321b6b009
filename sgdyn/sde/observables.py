"""What `observe` can watch without storing paths: frozen values, each with the compiled watcher that serves it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.codegen.formula import Formula, combined, traced
from sgdyn.density.distribution import Density
from sgdyn.density.grid import Grid
from sgdyn.estimate import Estimate
from sgdyn.region import Region
from sgdyn.sde import watchers
from sgdyn.sde.course import Watch
from sgdyn.sde.setting import Observable, Setting

Floats = NDArray[np.float64]


def _shape(f: Callable[..., Any] | None, dim: int) -> tuple[int, ...]:
    """The shape of f(x), of x itself where f is None."""
    return (dim,) if f is None else traced(f, dim).shape


def _between(setting: Setting, wrong: str) -> str:
    """What is not seen between two looks."""
    apart = f"{setting.interval:g}"
    return f"what happens between looks, {apart} apart, is not seen: {wrong} by O(sqrt({apart})); compare with a fourth"


@dataclass(frozen=True)
class Average(Observable):
    """The average of f(x) over paths and times; f is a NumPy function of x (dim,) that returns a number or an array, x itself by default."""

    f: Callable[..., Any] | None = None
    products: bool = field(default=False, init=False)

    def watch(self, setting: Setting) -> Watch:
        quantity, shift = setting.quantity(self.f), setting.shift(self.f)
        m = len(shift)
        rows = 2 * m + (m * (m + 1) // 2 if self.products else 0)
        psi = np.concatenate([shift, [float(self.f is None), float(self.products), m]])
        return Watch(watchers.sums, setting.every, None if self.f is None else quantity, psi, np.zeros(rows))

    def samples(self, record: Floats, setting: Setting, looks: int) -> Floats:
        m = len(setting.shift(self.f))
        return record[m:].T / looks

    def value(self, mean: Floats, setting: Setting) -> Floats:
        return np.reshape(mean + setting.shift(self.f), _shape(self.f, setting.dim))


@dataclass(frozen=True)
class Covariance(Average):
    """The covariance matrix of f(x) (of x itself by default) over paths and times."""

    products: bool = field(default=True, init=False)

    def value(self, mean: Floats, setting: Setting) -> Floats:
        m = len(setting.shift(self.f))
        second = np.zeros((m, m))
        second[np.tril_indices(m)] = mean[m:]
        return second + np.tril(second, -1).T - np.outer(mean[:m], mean[:m])


@dataclass(frozen=True)
class Maximum(Observable):
    """The mean over paths of the largest value of f(x) (of every component of x by default)."""

    f: Callable[..., Any] | None = None
    once = True

    def watch(self, setting: Setting) -> Watch:
        quantity = setting.quantity(self.f)
        m = int(np.prod(quantity.shape))
        return Watch(watchers.maxima, setting.every, quantity, record=np.full(2 * m, -np.inf))

    def samples(self, record: Floats, setting: Setting, looks: int) -> Floats:
        return record[: len(record) // 2].T

    def value(self, mean: Floats, setting: Setting) -> Floats:
        return np.reshape(mean, _shape(self.f, setting.dim))

    def notes(self, setting: Setting) -> tuple[str, ...]:
        return (_between(setting, "the mean of the largest values is too small"),)


@dataclass(frozen=True)
class LastExit(Observable):
    """The mean time at which paths were last seen in a region (0 where they never were)."""

    region: Any
    once = True

    def watch(self, setting: Setting) -> Watch:
        return Watch(
            watchers.last_visits, setting.every, Region.of(self.region, setting.dim).level(), record=np.zeros(2)
        )

    def samples(self, record: Floats, setting: Setting, looks: int) -> Floats:
        return record[:1].T

    def value(self, mean: Floats, setting: Setting) -> Floats:
        return np.asarray(mean[0])

    def notes(self, setting: Setting) -> tuple[str, ...]:
        return (_between(setting, "the mean time is too small"),)


@dataclass(frozen=True)
class Splitting(Observable):
    """The probability to reach the region a before the region b; a warning says how many paths reached neither in time."""

    a: Any
    b: Any
    once = True

    def watch(self, setting: Setting) -> Watch:
        first, second = (Region.of(region, setting.dim).level() for region in (self.a, self.b))
        both: Formula = combined("both", [first, second], (2,), lambda f, g: np.concatenate([f, g]))
        return Watch(watchers.first_of_two, setting.every, both, record=np.zeros(3))

    def samples(self, record: Floats, setting: Setting, looks: int) -> Floats:
        return np.stack([record[0] == 1, record[0] == 0], axis=1).astype(float)

    def value(self, mean: Floats, setting: Setting) -> Floats:
        return np.array([mean[0] / (1 - mean[1]) if mean[1] < 1 else np.nan, mean[1]])

    def result(self, value: Floats, error: Floats, setting: Setting, method: str) -> Estimate:
        left = (f"{value[1]:.2%} of the paths reached neither region: type a larger t",) if value[1] > 0 else ()
        return Estimate(float(value[0]), float(error[0]), method, warnings=(*left, *self.notes(setting)))

    def notes(self, setting: Setting) -> tuple[str, ...]:
        return (_between(setting, "the probability is off"),)


@dataclass(frozen=True)
class Autocovariance(Observable):
    """C(lag)_ij = E[f_i(t + lag) f_j(t)] - E[f_i(t + lag)] E[f_j(t)] at some lags, as an Estimate (lags, m, m); f is x itself by default.

    Its antisymmetric part vanishes in equilibrium. The memory of the last lag is kept for every path of a block.
    """

    lags: ArrayLike
    f: Callable[..., Any] | None = None

    def _looks(self, setting: Setting) -> NDArray[np.int64]:
        lags = np.atleast_1d(checks.finite("lags", self.lags))
        looks = np.round(lags / setting.interval).astype(np.int64)
        if not len(lags) or np.any(np.abs(lags / setting.interval - looks) > 1e-6):
            raise ValueError(
                f"got lags={lags}, expected some multiples of the time between looks, {setting.interval:g}"
            )
        if np.any(lags < 0) or np.any(np.diff(looks) <= 0):
            raise ValueError(
                f"got lags={lags}, expected increasing times >= 0, apart by at least {setting.interval:g}; type a smaller `every`"
            )
        return looks

    def watch(self, setting: Setting) -> Watch:
        quantity, lags, shift = setting.quantity(self.f), self._looks(setting), setting.shift(self.f)
        m = len(shift)
        rows = 1 + m + (int(lags[-1]) + 1 + len(lags)) * m + len(lags) * m * m
        return Watch(
            watchers.lagged_products,
            setting.every,
            quantity,
            np.concatenate([shift, lags, [m, len(lags)]]),
            np.zeros(rows),
        )

    def samples(self, record: Floats, setting: Setting, looks: int) -> Floats:
        return self.averages(record[1:], setting, looks)

    def averages(self, record: Floats, setting: Setting, looks: int) -> Floats:
        """Averages (n, lags m (2 + m)) over pairs: of the late values, of the early ones, of products.

        Each pair's own: what all values average to differs from it at the ends, and products about a distant shift would show it.
        """
        lags, m, n = self._looks(setting), len(setting.shift(self.f)), record.shape[1]
        if lags[-1] >= looks:
            raise ValueError(f"got a lag of {lags[-1]} looks of {looks}, expected fewer; type a longer t")
        memory, count = int(lags[-1]) + 1, len(lags)
        total, ring, heads, products = np.split(record, np.cumsum([m, memory * m, count * m]))
        places, ring = np.arange(looks - 1, looks - memory, -1) % memory, ring.reshape(memory, m, n)
        tails = [ring[places[begin:end]].sum(axis=0) for begin, end in pairwise([0, *lags])]
        late, early = total - heads.reshape(count, m, n), total - np.cumsum(tails, axis=0)
        sums = np.concatenate([late, early, products.reshape(count, m * m, n)], axis=1)
        return (sums / (looks - lags)[:, None, None]).reshape(-1, n).T

    def value(self, mean: Floats, setting: Setting) -> Floats:
        m = len(setting.shift(self.f))
        late, early, products = np.split(mean.reshape(-1, m * (2 + m)), [m, 2 * m], axis=1)
        return products.reshape(-1, m, m) - late[:, :, None] * early[:, None, :]


@dataclass(frozen=True)
class Histogram(Observable):
    """The density of x, or of some of its components, over paths and times, by counting in the cells of a grid (1 to 3 axes)."""

    grid: Grid
    components: Sequence[int] | None = None
    shared = True

    def __post_init__(self) -> None:
        if not isinstance(self.grid, Grid):
            raise TypeError(f"got grid={self.grid!r}, expected a grid; type sg.Histogram(sg.Grid([(-2, 2, 40)]))")
        if not all(self.grid.uniform):
            raise ValueError(
                "got a grid with unequal cells, expected equal ones; type (low, high, count) for each axis"
            )

    def watch(self, setting: Setting) -> Watch:
        chosen = list(range(setting.dim)) if self.components is None else list(self.components)
        if len(chosen) != self.grid.dim or not set(chosen) <= set(range(setting.dim)):
            raise ValueError(
                f"got a grid in dimension {self.grid.dim} for the components {chosen} of {setting.dim}, expected as many; type components=[...]"
            )
        axes = [
            (i, low, cells / (high - low), cells) for i, (low, high, cells) in zip(chosen, self.grid.axes, strict=True)
        ]
        psi = np.concatenate([np.ravel(axes), [setting.paths, len(axes)]])
        rows, cells = setting.paths if setting.by_path else 1, int(np.prod(self.grid.shape))
        return Watch(watchers.counts, setting.every, None, psi, np.zeros((rows, cells + 1)))

    def samples(self, record: Floats, setting: Setting, looks: int) -> Floats:
        return record / looks

    def value(self, mean: Floats, setting: Setting) -> Floats:
        return np.asarray(mean / mean.sum())

    def result(self, value: Floats, error: Floats, setting: Setting, method: str) -> Density:
        shape, volumes = self.grid.shape, self.grid.volumes
        return Density(
            self.grid, value[:-1].reshape(shape) / volumes, error[:-1].reshape(shape) / volumes, float(value[-1])
        )
