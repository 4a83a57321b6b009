"""What is watched on a CUDA device: the observables in the terms of its kernels, and paths that carry their records along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.codegen import cuda as kernels
from sgdyn.codegen.cuda_looks import Look
from sgdyn.codegen.formula import Formula
from sgdyn.problem import Langevin
from sgdyn.region import Region
from sgdyn.sde.course import Clock, Watch
from sgdyn.sde.cuda_walkers import DeviceWalkers
from sgdyn.sde.observables import (
    Autocovariance,
    Average,
    Covariance,
    Histogram,
    LastExit,
    Maximum,
    Splitting,
)
from sgdyn.sde.setting import Observable, Setting
from sgdyn.sde.watchers import arrivals

Floats = NDArray[np.float64]
Samples = Callable[[Floats, int], Floats]

MOST_ROWS = 1024
"""Numbers of an observable that a thread can hold."""
NOTHING = np.zeros(1)


@dataclass(frozen=True, eq=False)
class DeviceLook:
    """A look with its numbers: parameters of the quantity, its own constants, the record's first rows (rows,) or (rows, paths).

    samples(totals (rows, columns), looks) = the numbers (columns, k) whose averages are wanted, where a column is the record of a path, or
    the sum of the records of some.
    """

    look: Look
    samples: Samples
    values: Floats = field(default_factory=lambda: NOTHING)
    constants: Floats = field(default_factory=lambda: NOTHING)
    record: Floats = field(default_factory=lambda: NOTHING)


def looks_of(observables: dict[str, Observable], setting: Setting, dt: float) -> list[DeviceLook]:
    """The observables for the device; raises ValueError for what it cannot watch."""
    found = []
    for name, observable in observables.items():
        make = _KINDS.get(type(observable))
        if make is None:
            raise ValueError(
                f"got {name!r}: {type(observable).__name__} with device='cuda', expected some of {', '.join(f'sg.{k.__name__}' for k in _KINDS)}; "
                "type device='cpu' for others"
            )
        observable.watch(setting)  # refuses wrong arguments
        look = make(observable, setting, dt)
        _check(name, look)
        found.append(look)
    return found


def _check(name: str, look: DeviceLook) -> None:
    if look.look.state > MOST_ROWS:
        raise ValueError(
            f"got {look.look.state} numbers a path in {name!r} with device='cuda', expected at most {MOST_ROWS}; type device='cpu'"
        )


def _look(kind: str, field: Any, size: int, layout: tuple[int, ...] = ()) -> tuple[Look, Floats]:
    """The look at a quantity, and the quantity's parameters; a field that is no formula is the point itself."""
    if not isinstance(field, Formula):
        return Look(kind, "", None, size, layout), NOTHING
    if field.clocks:
        raise ValueError(
            "got a function of the time t to watch with device='cuda', expected one of x alone; type device='cpu'"
        )
    return Look(kind, field.key, field.make, size, layout), np.append(field.theta, 0.0)


def _average(observable: Any, setting: Setting, dt: float) -> DeviceLook:
    shift = setting.shift(observable.f)
    look, values = _look("products" if observable.products else "sums", setting.quantity(observable.f), len(shift))
    return DeviceLook(look, lambda totals, looks: totals.T / looks, values, shift, np.zeros(look.state))


def _maximum(observable: Any, setting: Setting, dt: float) -> DeviceLook:
    quantity = setting.quantity(observable.f)
    look, values = _look("maxima", quantity, int(np.prod(quantity.shape)))
    return DeviceLook(look, _of_paths, values, record=np.full(look.size, -np.inf))


def _last_exit(observable: Any, setting: Setting, dt: float) -> DeviceLook:
    look, values = _look("last", Region.of(observable.region, setting.dim).level(), 1)
    return DeviceLook(look, _of_paths, values, np.array([dt]), np.zeros(1))


def _splitting(observable: Any, setting: Setting, dt: float) -> DeviceLook:
    both = observable.watch(setting).quantity
    look, values = _look("first", both, 2)
    return DeviceLook(look, _of_paths, values, record=np.array([0.0, 1.0]))


def _of_paths(totals: Floats, looks: int) -> Floats:
    """What is one number for each path."""
    return totals.T


def _autocovariance(observable: Any, setting: Setting, dt: float) -> DeviceLook:
    lags, shift = observable._looks(setting), setting.shift(observable.f)
    m, memory = len(shift), int(lags[-1]) + 1
    look, values = _look("lagged", setting.quantity(observable.f), m, (len(lags), memory))
    return DeviceLook(
        look,
        lambda totals, looks: observable.averages(totals, setting, looks),
        values,
        np.concatenate([shift, lags]),
        np.zeros(m + (memory + len(lags)) * m + len(lags) * m * m),
    )


def _histogram(observable: Any, setting: Setting, dt: float) -> DeviceLook:
    chosen = range(setting.dim) if observable.components is None else observable.components
    axes = list(zip(chosen, observable.grid.axes, strict=True))
    layout = tuple(int(n) for i, (_, _, cells) in axes for n in (i, cells))
    constants = [n for _, (low, high, cells) in axes for n in (low, cells / (high - low))]
    return DeviceLook(
        Look("counts", "", None, 0, layout),
        lambda totals, looks: totals / looks,
        constants=np.array(constants),
        record=np.zeros(0),
    )


_KINDS: dict[type, Callable[[Any, Setting, float], DeviceLook]] = {
    Average: _average, Covariance: _average, Histogram: _histogram, Autocovariance: _autocovariance, Maximum: _maximum,
    LastExit: _last_exit, Splitting: _splitting,
}  # fmt: skip


def arrival_look(watch: Watch, dt: float, start: Floats) -> DeviceLook:
    """What `first_passage` watches for, of paths from the points start (n, dim)."""
    kind, (speed,) = ("arrivals", (0.0,)) if watch.watcher is arrivals else ("bridged", watch.psi)
    look, values = _look(kind, watch.quantity, int(np.prod(watch.quantity.shape)) if watch.quantity else 0)
    record = np.tile(watch.record[:, None], (1, len(start)))
    if watch.begins_at is not None and watch.quantity is not None:
        record[watch.begins_at] = watch.quantity(start)[:, 0]
    return DeviceLook(look, _of_paths, values, np.array([dt, speed * dt]), record)


class DeviceWatchers(DeviceWalkers):
    """Paths (n, dim) on the device that are watched.

    width: paths of a unit. unit: the number of the first. groups: of the units, one after the other; 0 where every path is by itself.
    """

    def __init__(
        self, process: Langevin, clock: Clock, start: Floats, numbers: NDArray[np.uint64], precision: str,
        looks: Sequence[DeviceLook], *, width: int = kernels.THREADS, unit: int = 0, groups: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(process, clock, start, numbers, precision, [look.look for look in looks], not groups)
        to = self.cuda.to_device
        self.looks, self.width, self.groups = looks, width, groups
        self.unit = unit % groups if groups else 0
        self.own = [(to(look.values.astype(self.real)), to(np.asarray(look.constants, np.float64))) for look in looks]
        self.begin()

    def begin(self) -> None:
        """Forget what has been recorded."""
        self.looked = 0
        self.records = [self._first(look) for look in self.looks]

    def _first(self, look: DeviceLook) -> Any:
        if look.look.cells:
            return self.cuda.to_device(np.zeros((self.groups or self.n, look.look.cells), np.int64))
        rows = look.record if look.record.ndim == 2 else np.repeat(look.record[:, None], self.n, axis=1)
        return self.cuda.to_device(rows)

    def watch(self, first: int, last: int, every: int, begin: int = 0) -> None:
        """Take the steps first, ..., last - 1 and look after the steps begin + every, begin + 2 every, ..."""
        own = [
            part
            for (values, constants), record in zip(self.own, self.records, strict=True)
            for part in (values, constants, record)
        ]
        blocks = -(-self.n // self.width) * -(-self.width // kernels.THREADS)
        wait = every - (first - begin) % every
        self.launch(
            self.module.watching, blocks, *self.fixed, first, last, wait, every, self.looked, self.width, self.unit, max(1, self.groups), *own
        )  # fmt: skip
        self.cuda.synchronize()
        self.looked += (last - begin) // every - (first - begin) // every

    def recorded(self, number: int = 0) -> NDArray[Any]:
        """What a look has recorded, (rows, paths) or (rows, groups), and of counters (paths or groups, cells)."""
        record = self.records[number]
        host = record.copy_to_host() if self.looks[number].look.cells or not self.groups else self._grouped(record)
        return np.asarray(host, np.float64)

    def finite(self) -> bool:
        """Whether all points are finite, unless their sum exceeds the largest number."""
        found = self._grouped(self.x) if self.groups else self.x.copy_to_host()
        return bool(np.isfinite(found).all())

    def _grouped(self, record: Any) -> Any:
        out = self.cuda.device_array((record.shape[0], self.groups), np.float64)
        self.launch(self.module.grouping, out.shape, record, self.width, self.unit, self.groups, out)
        return out.copy_to_host()
