"""The metric D^-1 in which strings fall: that of the reversible process with the density exp(-U/T)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.noise import Diagonal, LowRank, Varying
from sgdyn.pathspace.coefficients import Coefficients, equilibrium
from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Metric:
    """Products with D and D^-1; the identity where there is no D."""

    coefficients: Coefficients | None

    def raised(self, x: Floats, slope: Floats) -> Floats:
        """D(x) g of x (n, dim) and g (n, dim)."""
        if self.coefficients is None:
            return slope
        D = self.coefficients.D
        if isinstance(D, Diagonal):
            return slope * D.values
        if isinstance(D, LowRank):
            return np.asarray((slope @ D.V * D.s) @ D.V.T + D.floor * slope)
        return np.asarray(
            np.einsum("nij,nj->ni", D(x), slope) if isinstance(D, Varying) else slope @ self.coefficients.constant
        )

    def squares(self, x: Floats, way: Floats) -> Floats:
        """|way|² in the metric of D(x)^-1 (n,)."""
        lowered = way if self.coefficients is None else self.coefficients.lower(x, way)
        return np.asarray(np.einsum("ni,ni->n", way, lowered))

    def lengths(self, x: Floats) -> Floats:
        """The lengths of the segments of a polygon (n,)."""
        return np.sqrt(self.squares(0.5 * (x[1:] + x[:-1]), np.diff(x, axis=0)))


def metric_of(given: Any) -> Metric:
    """The metric of a reversible process, the Euclidean one of all else.

    Raises ValueError for processes whose drift is not -D grad U, and for D without full rank.
    """
    if isinstance(given, Momentum):
        raise ValueError(
            "got a Momentum process, whose paths are no minimum energy paths; type string(problem.U, ...) for those of U"
        )
    if not isinstance(given, Langevin):
        return Metric(None)
    assert isinstance(given, Langevin)
    if given.U is None or given.curl is not None or not (given.is_gibbs or equilibrium(given)):
        raise ValueError(
            "got a process whose drift is not -D grad U, expected a reversible one, Langevin(U, T, number) or Langevin.gibbs(U, T, D); "
            "type minimum_action(problem, a, b), or string(problem.U, ...) for the landscape alone"
        )
    c = Coefficients(given.U.grad.negated(), given.D, given.T)
    if c.degenerate:
        raise ValueError(
            "got a D without full rank, expected one with: no string can move across its range; type LowRank(V, s, floor=...) with a floor > 0"
        )
    return Metric(c if given.is_gibbs else None)
