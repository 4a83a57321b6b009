"""The minimum of an energy of masses and their transport, by a primal-dual interior-point method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg

from sgdyn.density.flows.linearised import precision
from sgdyn.density.flows.network import Network, factors
from sgdyn.errors import NotConvergedError

Floats = NDArray[np.float64]

ITERATIONS = 500
EMPTY = 1e-8
"""The start has at least this share of the mean mass in every cell."""
BACK = 0.995
"""Of the way to the nearest bound."""
PRECISE = 1e-12
ROUNDING = 0.01
"""Energies are known to PRECISE in units of their differences from cell to cell, and of this share of themselves."""


Bend = tuple[Floats, Floats]
Solver = Callable[[Floats, Floats], tuple[Floats, Floats]]


class Energy(Protocol):
    """F of masses p >= 0 (cells,): dF/dp, the diagonal part of its second derivatives, and the product of the rest with p, None where there is none."""

    def slope(self, p: Floats) -> Floats: ...
    def curvature(self, p: Floats) -> Floats: ...
    @property
    def pairs(self) -> Callable[[Floats], Floats] | None: ...


class Metric(Protocol):
    """|.|² = sum m²/mobility(p) over flows m, the mobilities linear in p or constant; `lifted`: v(psi) = psi + grad_p sum mobility(p) (rise of psi)²/2
    and, where that is not psi itself, its derivatives at both ends of the edges by the rise of psi."""

    def lifted(self, psi: Floats) -> tuple[Floats, Bend | None]: ...
    def mobility(self, p: Floats) -> Floats: ...


@dataclass(frozen=True, eq=False)
class Point:
    """Masses p > 0, the potential psi of the flow, and the multipliers s > 0 of p >= 0."""

    p: Floats
    psi: Floats
    s: Floats

    def moved(self, change: Point) -> Point:
        """The point in this direction, short of where a mass or a multiplier vanishes."""
        share = 1.0
        for z, dz in ((self.p, change.p), (self.s, change.s)):
            down = dz < 0
            share = min(share, BACK * float(np.min(-z[down] / dz[down], initial=np.inf)))
        return Point(self.p + share * change.p, self.psi + share * change.psi, self.s + share * change.s)


def minimum(
    network: Network, energy: Energy, metric: Metric, target: Floats, start: Floats
) -> tuple[Point, int, float]:
    """p >= 0 that minimises F(p) + |p - target|²/2, with the iterations and the L1 norm of what is left of

        v(psi) - dF/dp + s = 0,   v'(psi)'p - target = 0,   p s = mu

    by Newton's method for all three while mu goes to 0, where s = 0 or p = 0 in each cell: densities may touch zero, where the dual of the
    problem has a kink. Raises `NotConvergedError`. Source: Natale, Todeschi, J. Sci. Comput. 82 (2020).
    """
    total = float(target.sum())
    point, scale = _first(energy, start, total)
    for k in range(ITERATIONS):
        at = _Residuals(network, energy, metric, target, point)
        gap = float(point.p @ point.s)
        off = max(at.flow / total, at.potential / (scale * total))
        allowed = precision(network, at.mobility, point.psi, PRECISE / 1e-13 * total)
        if at.flow <= allowed and max(at.potential, gap) <= PRECISE * scale * total:
            return point, k, at.flow
        central = 0.03 if off * scale * total < 3 * gap else 0.3 if off < 0.3 else 1.0
        mu = max(central * gap, 0.1 * PRECISE * scale * total) / network.size
        point = point.moved(at.direction(mu))
    raise NotConvergedError(
        f"got a residual of {at.flow:.2g} after {ITERATIONS} iterations, expected {allowed:.2g}; type a smaller tau"
    )


def _first(energy: Energy, start: Floats, total: float) -> tuple[Point, float]:
    """A point inside, and the energy that mass differs by from cell to cell."""
    p = np.maximum(start, EMPTY * total / len(start))
    p = p * (total / p.sum())
    psi = energy.slope(p)
    above = psi - psi.min()
    scale = float(p @ (above + ROUNDING * np.abs(psi))) / total
    return Point(p, psi, np.minimum(scale * total / len(p) / p, 10 * scale + above)), scale


class _Residuals:
    """What is left of the equations at a point, and the Newton step from there."""

    def __init__(self, network: Network, energy: Energy, metric: Metric, target: Floats, point: Point) -> None:
        p, psi, s = point.p, point.psi, point.s
        v, self.bend = metric.lifted(psi)
        self.network, self.energy, self.point, self.mobility = network, energy, point, metric.mobility(p)
        self.left = v - energy.slope(p) + s
        self.rest = self._transposed(p) - target
        if self.bend is None:
            self.rest = self.rest + self._outflow(psi)
        self.flow, self.potential = float(np.abs(self.rest).sum()), float(p @ np.abs(self.left))

    def _outflow(self, psi: Floats) -> Floats:
        flow = self.mobility * self.network.rise(psi)
        return self.network.gather(flow, -flow)

    def _bent(self, x: Floats) -> Floats:
        """B x, B = dv/dpsi."""
        if self.bend is None:
            return x
        rise = self.network.rise(x)
        return x + self.network.gather(self.bend[0] * rise, self.bend[1] * rise)

    def _transposed(self, x: Floats) -> Floats:
        """B' x."""
        if self.bend is None:
            return x
        flow = self.bend[0] * x[self.network.i] + self.bend[1] * x[self.network.j]
        return x + self.network.gather(flow, -flow)

    def direction(self, mu: float) -> Point:
        p, s, pairs = self.point.p, self.point.s, self.energy.pairs
        h = self.energy.curvature(p) + s / p
        left = self.left + (mu - p * s) / p
        solve = self._without_pairs(h)
        if pairs is None:
            dp, dpsi = solve(-left, -self.rest)
        else:
            dp, dpsi = self._with_pairs(pairs, h, solve, (-left, -self.rest))
        return Point(dp, dpsi, (mu - p * s - s * dp) / p)

    def _without_pairs(self, h: Floats) -> Solver:
        """The solution of [-h, B; B', L] (dp, dpsi) = (a, b)."""
        root, inverse = self._factored(h)

        def solve(a: Floats, b: Floats) -> tuple[Floats, Floats]:
            dpsi = root * inverse.solve(root * (b + self._transposed(a / h)))
            return np.asarray((self._bent(dpsi) - a) / h), np.asarray(dpsi)

        return solve

    def _factored(self, h: Floats) -> tuple[Floats, Any]:
        """B'B/h + L, with both sides multiplied by a vector that makes its diagonal one."""
        net = self.network
        if self.bend is None:
            root = 1 / np.sqrt(1 / h + net.gather(self.mobility, self.mobility))
            return root, factors(net.laplacian(self.mobility, 1 / root, root**2 / h))
        at_i, at_j = self.bend
        r = 1 / np.sqrt(h)
        half = net.matrix(r * (1 + net.gather(at_i, -at_j)), -r[net.i] * at_i, r[net.j] * at_j)
        hessian = sparse.csr_array(half.T @ half + net.laplacian(self.mobility))
        root = 1 / np.sqrt(hessian.diagonal())
        hessian.data *= root[hessian.indices] * np.repeat(root, np.diff(hessian.indptr))
        return root, factors(hessian)

    def _with_pairs(
        self, pairs: Callable[[Floats], Floats], h: Floats, solve: Solver, right: tuple[Floats, Floats]
    ) -> tuple[Floats, Floats]:
        """The same with the product of `pairs` beside h, by GMRES."""

        def product(x: Floats) -> Floats:
            dp, _ = np.split(x, 2)
            return x + np.concatenate(solve(-pairs(dp), np.zeros_like(dp)))

        begin = np.concatenate(solve(*right))
        A = linalg.LinearOperator((len(begin),) * 2, matvec=product, dtype=np.float64)
        found, _ = linalg.gmres(A, begin, rtol=1e-8, atol=0.0, restart=60, maxiter=1)
        dp, dpsi = np.split(found, 2)
        return dp, dpsi
