"""Stationary densities of generators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sgdyn.density.distribution import Density
from sgdyn.density.solvers import Solver

if TYPE_CHECKING:
    from sgdyn.density.generator import Generator

Floats = NDArray[np.float64]


def stationary(generator: Generator) -> Density:
    """The density with Q' m = 0, of mass one."""
    grid = generator.grid
    if generator.log_masses is not None:
        masses = np.exp(generator.log_masses - generator.log_masses.max())
    else:
        masses = _pinned(generator.rates, int(np.argmax(_pinned(generator.rates, grid.size // 2))))
    return Density(grid, (masses / masses.sum() / generator.volumes).reshape(grid.shape))


def _pinned(rates: sparse.csr_array, cell: int) -> Floats:
    rest = np.delete(np.arange(rates.shape[0]), cell)
    source = rates[[cell]].toarray().ravel()[rest]
    return np.insert(Solver(sparse.csr_array(-rates[rest][:, rest])).solve_transposed(source), cell, 1.0)
