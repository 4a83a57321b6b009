"""Paths: points in order, at times."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline

from sgdyn import checks
from sgdyn.printing import Printed

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Path(Printed):
    """Points x_0, ..., x_n (n + 1, dim) at increasing times t_0, ..., t_n (n + 1,).

    Raises ValueError for fewer than two points, points that are not finite, and times that do not increase.
    """

    x: Floats
    t: Floats

    def __post_init__(self) -> None:
        x, t = checks.finite("the points of the path", self.x), checks.finite("the times of the path", self.t)
        if x.ndim != 2 or len(x) < 2:
            raise ValueError(f"got points of shape {x.shape}, expected (n + 1, dim) with n >= 1{_hint(x)}")
        if t.shape != (len(x),) or not np.all(np.diff(t) > 0):
            raise ValueError(
                f"got times of shape {t.shape}, expected {len(x)} increasing numbers; type Path(x, np.linspace(0, t, {len(x)}))"
            )
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "t", t)

    @property
    def n(self) -> int:
        """The number of steps."""
        return len(self.t) - 1

    @property
    def dim(self) -> int:
        return int(self.x.shape[1])

    @property
    def duration(self) -> float:
        return float(self.t[-1] - self.t[0])

    @cached_property
    def dt(self) -> Floats:
        """The lengths of the steps in time (n,)."""
        return np.diff(self.t)

    @cached_property
    def length(self) -> float:
        """The length of the polygon through the points."""
        return float(np.linalg.norm(np.diff(self.x, axis=0), axis=1).sum())

    def at(self, t: ArrayLike) -> Floats:
        """Points at other times (...,), as (..., dim): a cubic spline through the points, straight lines where there are fewer than four.

        Raises ValueError for times outside the path's.
        """
        times = checks.finite("t", t)
        slack = 1e-12 * self.duration
        if times.size and (times.min() < self.t[0] - slack or times.max() > self.t[-1] + slack):
            raise ValueError(
                f"got a time in [{times.min():g}, {times.max():g}], expected one in [{self.t[0]:g}, {self.t[-1]:g}]"
            )
        if len(self.t) < 4:
            return np.stack([np.interp(times, self.t, column) for column in self.x.T], -1)
        return np.asarray(CubicSpline(self.t, self.x)(times))

    def finer(self) -> Path:
        """The same curve with each step halved."""
        t = np.insert(self.t, np.arange(1, len(self.t)), 0.5 * (self.t[:-1] + self.t[1:]))
        x = self.at(t)
        x[::2] = self.x
        return Path(x, t)

    def coarser(self) -> Path:
        """Every other point; raises ValueError for an odd number of steps."""
        if self.n % 2:
            raise ValueError(f"got a path of {self.n} steps, expected an even number to leave out every other point")
        return Path(self.x[::2], self.t[::2])

    def reversed(self) -> Path:
        """The path backwards in time."""
        return Path(self.x[::-1].copy(), self.t[-1] - self.t[::-1])

    def plot(self, ax: Any = None) -> Any:
        """The path against time, or on the plane in two dimensions (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def _hint(x: Floats) -> str:
    return "; type x[:, None] for a path in one dimension" if x.ndim == 1 else ""


def straight(a: ArrayLike, b: ArrayLike, *, t: float, n: int) -> Path:
    """The path from a to b (dim,) at constant velocity in the time t, in n steps."""
    start, end = np.atleast_1d(checks.finite("a", a)), np.atleast_1d(checks.finite("b", b))
    share = np.linspace(0, 1, checks.count("n", n) + 1)
    points = (1 - share)[:, None] * start + share[:, None] * end
    return Path(points, share * checks.positive("t", t))


def ends(a: ArrayLike, b: ArrayLike, dim: int) -> tuple[Floats, Floats]:
    """Two different end points (dim,); raises ValueError with what is wrong with them."""
    found = []
    for name, value in (("a", a), ("b", b)):
        point = np.atleast_1d(checks.finite(name, value))
        if point.shape != (dim,):
            raise ValueError(f"got {name} of shape {point.shape}, expected ({dim},)")
        found.append(point)
    return found[0], found[1]


def at_equal_distances(x: Floats, n: int | None = None, *, metric: Floats | None = None) -> Floats:
    """Points (n + 1, dim) at equal distances along the cubic spline through the points x (m + 1, dim), with the same ends.

    metric: the lengths of the segments (m,), Euclidean by default. Source: E, Ren, Vanden-Eijnden, J. Chem. Phys. 126, 164103 (2007).
    """
    lengths = np.linalg.norm(np.diff(x, axis=0), axis=1) if metric is None else metric
    s = np.concatenate([[0.0], np.cumsum(np.maximum(lengths, 1e-12 * lengths.max()))])
    new = np.linspace(0, s[-1], len(x) if n is None else n + 1)
    wide = x.shape[1] > len(x)  # the interpolation is linear in the points
    moved = CubicSpline(s, np.eye(len(x)))(new) @ x if wide else CubicSpline(s, x)(new)
    moved[0], moved[-1] = x[0], x[-1]
    return np.asarray(moved)


def curve_from(start: Any, a: Floats, b: Floats, n: int) -> Floats:
    """Points (n + 1, dim) at equal distances from a to b: along a start (m + 1, dim), an array or a `Path`, whose ends they replace; else straight.

    Raises ValueError for a start of another shape, and where a and b are the same point.
    """
    if not np.any(a != b):
        raise ValueError(f"got a = b = {a.tolist()}, expected two different points")
    if start is None:
        return straight(a, b, t=1.0, n=n).x
    x = np.array(start.x if isinstance(start, Path) else checks.finite("start", start))
    if x.ndim != 2 or len(x) < 2 or x.shape[1] != len(a):
        raise ValueError(f"got start of shape {x.shape}, expected (m + 1, {len(a)}) points from a to b")
    x[0], x[-1] = a, b
    return at_equal_distances(x, n)
