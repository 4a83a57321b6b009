"""Functions on a grid that solve a boundary value problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.density.cuts import Cut
from sgdyn.density.generator import Generator
from sgdyn.density.grid import Grid
from sgdyn.density.interpolation import Interpolation
from sgdyn.density.notes import noted
from sgdyn.density.refinement import refined
from sgdyn.density.steps import NOWHERE
from sgdyn.estimate import Estimate
from sgdyn.printing import Printed

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Solution(Printed):
    """A function of the starting point on the cells of a grid: values (*shape), or (*shape, m) for m functions.

    `name` says what it is; `bounds` are those of its values. Cells from which no region is reached hold NaN, or infinity for a time.
    """

    name: str
    values: Floats
    bounds: tuple[float, float]
    cut: Cut
    ends: Floats
    again: Callable[[Generator], Solution]

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs; the same on other grids is solved there again."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @property
    def grid(self) -> Grid:
        return self.cut.grid

    @cached_property
    def _elsewhere(self) -> dict[Generator, Solution]:
        return {}

    def _on(self, generator: Generator) -> Solution:
        """The same on another grid, solved once."""
        if generator is self.cut.generator:
            return self
        if generator not in self._elsewhere:
            self._elsewhere[generator] = self.again(generator)
        return self._elsewhere[generator]

    def at(self, x: ArrayLike) -> Estimate:
        """The values (...) or (..., m) at points (..., dim), cubic between cells, with errors from two grids.

        Raises ValueError for points beyond the box.
        """
        points = checks.points(checks.finite("x", x), self.grid.dim)
        if any(np.any(i < 0) for i in self.grid.index(points)):
            low, high = (np.array([e[end] for e in self.grid.edges]) for end in (0, -1))
            raise ValueError(f"got points beyond the box from {low} to {high}, expected x inside; type a larger Grid")
        found = refined(self.cut.generator, lambda g: self._on(g).interpolated(points), irregular=True)
        value = np.clip(found.value, *self.bounds)
        found = replace(found, value=value if np.ndim(value) else float(value))
        return noted(found, self.cut.generator, self.cut.owner != NOWHERE)

    def interpolated(self, x: Floats) -> Floats:
        """The values of this grid alone at points (..., dim)."""
        dim, tail = self.grid.dim, self.values.shape[self.grid.dim :]
        found = self._interpolation(x.reshape(-1, dim))
        return np.asarray(found.reshape((*x.shape[:-1], *tail)))

    @cached_property
    def _interpolation(self) -> Interpolation:
        return Interpolation(
            self.cut,
            self.values.reshape(self.grid.size, -1),
            self.ends.reshape(len(self.ends), int(np.prod(self.values.shape[self.grid.dim :]))),
        )

    def component(self, k: int) -> Solution:
        """One of several functions."""
        if self.values.ndim == self.grid.dim:
            raise ValueError(f"got component({k}) of one function, expected a solution that holds several")
        again = partial(_component, self.again, k)
        return replace(self, values=self.values[..., k], ends=self.ends[..., k], again=again)

    def plot(self, ax: Any = None) -> Any:
        """Curves in one dimension, a map with contours in two (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def _component(again: Callable[[Generator], Solution], k: int, generator: Generator) -> Solution:
    return again(generator).component(k)


def start(x0: ArrayLike, cut: Cut) -> Floats:
    """Starting points (..., dim) outside the regions. Raises ValueError for others."""
    points = checks.points(checks.finite("x0", x0), cut.grid.dim, "x0")
    for region in cut.regions:
        if np.any(region.contains(points)):
            raise ValueError(f"got x0={np.asarray(x0).tolist()} inside the region, expected a start outside")
    return points
