"""What observables have in common, and what they need to know."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.codegen.formula import combined, traced
from sgdyn.estimate import Estimate
from sgdyn.fields import Affine, Field
from sgdyn.sde.course import Watch

Floats = NDArray[np.float64]


UNDEFINED = (
    "f(x) is no number at some of the points that were met; check its roots, logarithms and divisions, or type np.where(condition, f, 0.0)",
)


@dataclass(frozen=True)
class Setting:
    """What an observable needs to know: the dimension, a typical point, the time between looks, how many paths a block counts."""

    dim: int
    point: Floats
    interval: float
    every: int
    paths: int
    by_path: bool
    quantities: dict[Any, Field]
    shifts: dict[Any, Floats]

    def quantity(self, f: Callable[..., Any] | None) -> Field:
        """f as a field (m,), or the point itself; comparisons are 1 or 0."""
        if id(f) not in self.quantities:
            self.quantities[id(f)] = _quantity(f, self.dim)
        return self.quantities[id(f)]

    def shift(self, f: Callable[..., Any] | None) -> Floats:
        """f at a typical point, near which sums keep their digits; 0 where it is not finite."""
        if id(f) not in self.shifts:
            value = np.atleast_1d(self.quantity(f)(self.point))
            self.shifts[id(f)] = np.where(np.isfinite(value), value, 0.0)
        return self.shifts[id(f)]


class Observable(ABC):
    """Something that is accumulated along every path.

    `once`: it needs the whole time at one go, so that only paths, and not stretches of time, are independent samples of it. `shared`:
    its record has no column for every path.
    """

    once = False
    shared = False

    @abstractmethod
    def watch(self, setting: Setting) -> Watch:
        """The compiled watcher with its parameters and its first record."""

    @abstractmethod
    def samples(self, record: Floats, setting: Setting, looks: int) -> Floats:
        """Of the record (rows, n) after so many looks: numbers (n, k) of every path whose averages are wanted."""

    @abstractmethod
    def value(self, mean: Floats, setting: Setting) -> Floats:
        """The answer as a function of the averages (k,)."""

    def result(self, value: Floats, error: Floats, setting: Setting, method: str) -> Any:
        """The answer as the user gets it."""
        notes = (*(UNDEFINED if np.any(np.isnan(value)) else ()), *self.notes(setting))
        if np.ndim(value):
            return Estimate(value, error, method, warnings=notes)
        return Estimate(float(value), float(error), method, warnings=notes)

    def notes(self, setting: Setting) -> tuple[str, ...]:
        """What the error does not cover."""
        return ()


def _quantity(f: Callable[..., Any] | None, dim: int) -> Field:
    if f is None:
        return Affine(np.eye(dim), np.zeros(dim))
    if not callable(f):
        raise TypeError(f"got f={f!r}, expected a NumPy function of x ({dim},); type lambda x: x[0] ** 2")
    found = traced(f, dim)
    return combined("numbers", [found], (int(np.prod(found.shape)),), _numbers)


def _numbers(values: Any) -> Any:
    """Comparisons as 1 or 0, everything in one row."""
    import sympy as sp
    from sympy.logic.boolalg import Boolean

    def number(e: Any) -> Any:
        return sp.Piecewise((sp.Float(1), e), (sp.Float(0), True)) if isinstance(e, Boolean) and not e.is_Symbol else e

    return np.array([number(e) for e in np.ravel(values)], dtype=object)
