"""Linear systems of generators: direct where they fit in memory."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg

Floats = NDArray[np.float64]


class Solver:
    """Solves A x = b and A' x = b for A = shift - Q, whose off-diagonal elements are never positive."""

    def __init__(self, matrix: sparse.csr_array, masses: Floats | None = None) -> None:
        self.matrix, self.masses = matrix, masses

    @cached_property
    def _factors(self) -> Any:
        # rows dominate: no pivots are needed, and the ordering of a symmetric matrix fills in least
        options = {"SymmetricMode": True, "DiagPivotThresh": 0.0}
        return linalg.splu(self.matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", options=options)

    def solve(self, b: Floats) -> Floats:
        return np.asarray(self._factors.solve(b))

    def solve_transposed(self, b: Floats) -> Floats:
        return np.asarray(self._factors.solve(b, trans="T"))
