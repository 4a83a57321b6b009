"""Systems of escapes that take so long that sparse factors, which subtract, lose the rates out: elimination that only adds."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from sgdyn.codegen.jit import MATRIX, VECTOR, kernel
from sgdyn.density.solvers import refuse

Floats = NDArray[np.float64]


@kernel(MATRIX, VECTOR, VECTOR)
def eliminate(band: Any, exits: Any, total: Any) -> None:
    """Rates `band` (n, 2 w + 1) from cell i to cell i + k - w and `exits` (n,) become those of the process seen in later cells alone.

    Row by row: total (n,) is the rate out of a cell to later ones and to the end; what came to cell k goes on in these shares.
    """
    n, width = band.shape[0], band.shape[1] // 2
    for k in range(n):
        reach = min(width, n - 1 - k)
        out = exits[k]
        for j in range(1, reach + 1):
            out += band[k, width + j]
        total[k] = out
        for i in range(1, reach + 1):
            share = band[k + i, width - i] / out
            if share > 0.0:
                for j in range(1, reach + 1):
                    band[k + i, width + j - i] += share * band[k, width + j]
                exits[k + i] += share * exits[k]


@kernel(MATRIX, VECTOR, VECTOR, types.boolean)
def substitute(band: Any, total: Any, x: Any, transposed: Any) -> None:
    """x (n,), the right side, becomes the solution: sums of what is never negative."""
    n, width = band.shape[0], band.shape[1] // 2
    for k in range(n):
        reach = min(width, n - 1 - k)
        part = x[k] / total[k]
        for i in range(1, reach + 1):
            x[k + i] += part * (band[k, width + i] if transposed else band[k + i, width - i])
    for k in range(n - 1, -1, -1):
        reach = min(width, n - 1 - k)
        for j in range(1, reach + 1):
            x[k] += x[k + j] * (band[k + j, width - j] / total[k + j] if transposed else band[k, width + j])
        if not transposed:
            x[k] /= total[k]
    if transposed:
        for k in range(n):
            x[k] /= total[k]


class Elimination:
    """Solves A x = b and A' x = b for b >= 0 and A = diag(exits + sum_j rates_ij) - rates: every number to nearly all of its digits.

    rates (n, n) between different cells, exits (n,) out of the process; nothing is ever subtracted, however long paths stay.
    `cost` is the number of steps it takes. Source: Grassmann, Taksar, Heyman, Oper. Res. 33, 1107 (1985); Alfa, Xue, Ye, Math. Comp. 71,
    217 (2002).
    """

    def __init__(self, rates: sparse.csr_array, exits: Floats) -> None:
        self.rates, self.exits = rates, exits
        self.order = csgraph.reverse_cuthill_mckee(sparse.csr_array(rates + rates.T), symmetric_mode=True)
        self.place = np.argsort(self.order)
        pairs = rates.tocoo()
        self._row, self._column, self._rates = self.place[pairs.row], self.place[pairs.col], pairs.data
        self.width = int(np.abs(self._row - self._column).max(initial=1))
        self.cost = float(len(exits)) * self.width**2

    @cached_property
    def _factors(self) -> tuple[Floats, Floats]:
        n = len(self.exits)
        refuse(8.0 * n * (2 * self.width + 1), n, None)
        band = np.zeros((n, 2 * self.width + 1))
        band[self._row, self._column - self._row + self.width] = self._rates
        exits, total = self.exits[self.order].copy(), np.empty(n)
        eliminate(band, exits, total)
        return band, total

    def solve(self, b: Floats) -> Floats:
        """x (n,) with A x = b."""
        return self._solve(b, False)

    def solve_transposed(self, b: Floats) -> Floats:
        """x (n,) with A' x = b."""
        return self._solve(b, True)

    def _solve(self, b: Floats, transposed: bool) -> Floats:
        band, total = self._factors
        x = np.ascontiguousarray(b[self.order], dtype=np.float64)
        substitute(band, total, x, transposed)
        return np.asarray(x[self.place])
