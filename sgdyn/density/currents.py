"""Probability currents on grids, and the entropy they produce."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.distribution import Density
from sgdyn.density.grid import Grid

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Current:
    """A probability current density: values (*shape, dim) at the cells of the `density` that it belongs to.

    `divergence` (*shape) is that of the flows between cells themselves: minus the change of the density with the time.
    """

    density: Density
    values: Floats
    divergence: Floats

    @property
    def grid(self) -> Grid:
        return self.density.grid

    @property
    def velocity(self) -> Floats:
        """values/density (*shape, dim), 0 where there is no density."""
        rho = self.density.values[..., None]
        return np.divide(self.values, rho, out=np.zeros_like(self.values), where=rho > 0)

    def plot(self, ax: Any = None) -> Any:
        """Streamlines over the density, in two dimensions (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)
