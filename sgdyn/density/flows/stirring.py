"""What a curl does to a density on a grid, by itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sgdyn.density.advection import face_fluxes, face_speeds, neighbours
from sgdyn.density.distribution import Density
from sgdyn.density.exponential import Exponential
from sgdyn.density.generator import fokker_planck
from sgdyn.density.grid import Grid
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]

SHARE = 0.5
"""Of what fills a cell, that may leave it in a substep: with a limited slope faces carry at most twice the cell's own density."""
MOST = 5000
"""Substeps; where exp(-Psi) falls so steeply from cell to cell that there were more, the exponential of the upwind rates takes one."""


@dataclass(frozen=True, eq=False)
class Stirring:
    """d rho/dt = -div(c rho) through the faces of a grid: no mass is lost, none becomes negative, and exp(-Psi) stays as it is where the curl
    keeps it (two dimensions, by the stream function).

    With u = masses/weights, where weights are exp(-Psi) there and volumes elsewhere, a face carries flux times u at the face, from the side it
    comes from with van Leer's slope: second order in the cell width where u is smooth. Substeps by Heun's method, so short that nothing
    becomes negative. Source: van Leer, J. Comput. Phys. 32, 101 (1979); Gottlieb, Shu, Tadmor, SIAM Rev. 43, 89 (2001).
    """

    grid: Grid
    weights: Floats
    fluxes: tuple[Floats, ...]

    @classmethod
    def of(cls, problem: Langevin, grid: Grid) -> Stirring:
        generator = fokker_planck(problem, grid)
        pushed, masses = generator.forces, generator.log_masses
        if pushed.keeps and grid.dim == 2 and masses is not None:
            return cls(grid, np.exp(masses).reshape(grid.shape), face_fluxes(grid, pushed))
        return cls(grid, grid.volumes, tuple(face_speeds(grid, pushed, axis) for axis in range(grid.dim)))

    @cached_property
    def fastest(self) -> float:
        """The largest share of its content that a cell loses in a unit of time."""
        away = sum(
            self._spread(np.maximum(flux, 0), np.maximum(-flux, 0), axis) for axis, flux in enumerate(self.fluxes)
        )
        return float(np.max(self._per_weight(np.asarray(away))))

    def __call__(self, rho: Density, tau: float) -> Density:
        """The density after the time tau."""
        masses, n = rho.masses, int(np.ceil(min(tau * self.fastest / SHARE, MOST + 1)))
        if n > MOST:
            (found,), _ = self.upwind(masses.ravel(), np.array([tau]))
            return Density(rho.grid, found.reshape(rho.grid.shape) / rho.grid.volumes)
        for _ in range(n):
            once = self._moved(masses, tau / n)
            masses = 0.5 * (masses + self._moved(once, tau / n))
        return Density(rho.grid, masses / rho.grid.volumes)

    @cached_property
    def upwind(self) -> Exponential:
        """The same to first order: faces carry the density of the cell that it comes from."""
        n, rates = self.grid.size, sparse.csr_array((self.grid.size,) * 2)
        for axis, flux in enumerate(self.fluxes):
            (i, j), through = neighbours(self.grid, axis), flux.ravel()
            numbers = np.r_[np.maximum(through, 0), np.maximum(-through, 0)]
            rates = sparse.csr_array(rates + sparse.csr_array((numbers, (np.r_[i, j], np.r_[j, i])), shape=(n, n)))
        shares = self._per_weight(np.ones(self.grid.shape)).ravel()
        off = sparse.csr_array(sparse.diags_array(shares) @ rates)
        return Exponential(sparse.csr_array(off - sparse.diags_array(np.asarray(off.sum(axis=1)).ravel())))

    def _moved(self, masses: Floats, dt: float) -> Floats:
        u, lost = self._per_weight(masses), np.zeros_like(masses)
        for axis, flux in enumerate(self.fluxes):
            low, high = self._sides(u, axis)
            carried = flux * np.where(flux > 0, low, high)
            lost += self._spread(carried, -carried, axis)
        return np.asarray(np.maximum(masses - dt * lost, 0.0))  # rounding

    def _per_weight(self, masses: Floats) -> Floats:
        return np.divide(masses, self.weights, out=np.zeros_like(masses), where=self.weights > 0)

    def _sides(self, u: Floats, axis: int) -> tuple[Floats, Floats]:
        """u at the faces across an axis, as seen from the lower and from the upper cell."""
        u = np.moveaxis(u, axis, 0)
        around = self.grid.periodic[axis]
        rise = np.roll(u, -1, axis=0) - u if around else np.diff(u, axis=0)
        ahead, behind = (rise, np.roll(rise, 1, axis=0)) if around else (rise[1:], rise[:-1])
        half = np.zeros_like(u)
        half[slice(None) if around else slice(1, -1)] = _limited(ahead, behind)
        low, high = u + half, u - half
        pair = (low, np.roll(high, -1, axis=0)) if around else (low[:-1], high[1:])
        return np.moveaxis(pair[0], 0, axis), np.moveaxis(pair[1], 0, axis)

    def _spread(self, low: Floats, high: Floats, axis: int) -> Floats:
        """Numbers of faces added up in the cells below and above them."""
        low, high = np.moveaxis(low, axis, 0), np.moveaxis(high, axis, 0)
        if self.grid.periodic[axis]:
            return np.moveaxis(low + np.roll(high, 1, axis=0), 0, axis)
        total = np.zeros((len(low) + 1, *low.shape[1:]))
        total[:-1] += low
        total[1:] += high
        return np.moveaxis(total, 0, axis)


def _limited(ahead: Floats, behind: Floats) -> Floats:
    """Half of the harmonic mean of two rises, 0 at extrema."""
    both = np.sign(ahead) * np.sign(behind) > 0
    total = np.where(both, ahead + behind, 1.0)
    return np.where(both, ahead * (behind / total), 0.0)
