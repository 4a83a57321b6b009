"""Ensembles of saved paths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn.density.distribution import Density, histogram
from sgdyn.density.grid import Grid
from sgdyn.estimate import Estimate, of_samples
from sgdyn.printing import Printed
from sgdyn.problem import Langevin, Momentum
from sgdyn.sde.methods.plan import Method

Floats = NDArray[np.float64]

BATCHES = 20
SURVIVORS = "absorbing walls are looked at only every dt: the fraction is too large by O(sqrt(dt)); compare with dt/4"


@dataclass(frozen=True, eq=False, repr=False)
class Ensemble(Printed):
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
        """The fraction of paths that no absorbing wall has taken by a saved time; walls are looked at after every step."""
        alive = np.isfinite(self.x[:, at]).all(axis=-1)
        late = () if alive.all() or isinstance(self.problem, Momentum) else (SURVIVORS,)
        return of_samples(alive, self._describe(at, None), late)

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
        if not len(self.t):
            raise ValueError(
                "got an ensemble that was interrupted before its first saved time, expected one time at least; type a larger save"
            )
        chosen = self.x[:, [at]] if after is None else self.x[:, self.t >= after]
        if chosen.shape[1] == 0:
            raise ValueError(f"got after={after}, expected a time up to {self.t[-1]:g}")
        if np.isnan(chosen).any():
            raise ValueError(
                "got paths that were absorbed at a wall, expected all of them alive; type ensemble.survival(), or pick x[~np.isnan(x)]"
            )
        values = np.asarray(chosen if f is None else f(chosen), dtype=np.float64)
        if values.shape[:2] != chosen.shape[:2]:
            raise ValueError(
                f"got f(x) of shape {values.shape} at points {chosen.shape}, expected {chosen.shape[:2]} first; type lambda x: x[..., 0]"
            )
        return values

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
