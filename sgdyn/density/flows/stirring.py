"""What a curl does to a density on a grid, by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sgdyn.density.advection import circulation, upwinded
from sgdyn.density.distribution import Density
from sgdyn.density.exponential import Exponential
from sgdyn.density.generator import fokker_planck
from sgdyn.density.grid import Grid
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Stirring:
    """d rho/dt = -div(c rho) through the faces of a grid, upwind: no mass is lost, none becomes negative, and exp(-Psi) stays as it is where
    the curl keeps it (two dimensions, by the stream function). First order in the cell width."""

    flow: Exponential

    @classmethod
    def of(cls, problem: Langevin, grid: Grid) -> Stirring:
        generator, n = fokker_planck(problem, grid), grid.size
        pushed, masses = generator.forces, generator.log_masses
        if pushed.keeps and grid.dim == 2 and masses is not None:
            faces = circulation(grid, pushed, np.exp(masses), sparse.csr_array((n, n)))
        else:
            still = replace(
                pushed, strength=lambda x: np.zeros((*x.shape, grid.dim)), potential=lambda x: np.zeros(x.shape[:-1])
            )
            found = upwinded(grid, still)
            assert found is not None
            faces = found
        off = sparse.csr_array(
            (np.r_[faces.forth, faces.back], (np.r_[faces.i, faces.j], np.r_[faces.j, faces.i])), shape=(n, n)
        )
        return cls(Exponential(sparse.csr_array(off - sparse.diags_array(np.asarray(off.sum(axis=1)).ravel()))))

    def __call__(self, rho: Density, tau: float) -> Density:
        """The density after the time tau."""
        (masses,), _ = self.flow(rho.masses.ravel(), np.array([tau]))
        return Density(rho.grid, masses.reshape(rho.grid.shape) / rho.grid.volumes)
