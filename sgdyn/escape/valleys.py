"""Effective potentials of valleys: Laplace's approximation to the integral over the transverse directions, and the integral."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.errors import NotConvergedError
from sgdyn.escape.effective_potentials import (
    EffectivePotential,
    arc_length,
    coordinate,
    from_lowest,
    gibbs_temperature,
    path_points,
    wanted,
)
from sgdyn.potentials import Potential
from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]

STEP = 0.05
"""Of differences of the Hessian, in standard deviations of the transverse coordinate."""
FAINT, WIDEST, MOST_POINTS, TOLERANCE = 1e-13, 200.0, 4_000_000, 1e-10


@dataclass(frozen=True)
class Section:
    """The transverse plane x + B y (B orthonormal, (dim, m)) at a point of a valley, with U, its gradient g and Hessian b in the plane."""

    U: Potential
    x: Floats
    B: Floats

    @property
    def hessian(self) -> Floats:
        return np.asarray(self.B.T @ self.U.hess(self.x) @ self.B)

    def widths(self, T: float) -> Floats:
        """E (dim, m): a step by E y is |y| standard deviations. Raises ValueError where there is no valley."""
        values, vectors = np.linalg.eigh(self.hessian)
        if values[0] <= 0:
            raise ValueError(
                f"got the transverse curvature {values[0]:.4g} at x={np.array2string(self.x, precision=4)}, expected a valley, curved upwards "
                "across; type another range of `at`, a start in the valley, or sg.UmbrellaSampling(...)"
            )
        return np.asarray(self.B @ (vectors * np.sqrt(T / values)))

    def adiabatic(self, T: float) -> tuple[float, float]:
        """a - g'b^-1 g/2 + (T/2) log det b, and the next order in T."""
        E = self.widths(T)
        slope = E.T @ self.U.grad(self.x) / T
        log_det = -2 * np.linalg.slogdet(np.linalg.qr(E, mode="r"))[1] + E.shape[1] * np.log(T)
        value = float(self.U(self.x)) - 0.5 * T * slope @ slope + 0.5 * T * log_det
        return float(value), T * self._next_order(E, T)

    def _next_order(self, E: Floats, T: float) -> float:
        """W_iikk/8 - (W_iik)²/8 - (W_ijk)²/12 of W = U/T in units of the widths: what -log of the integral has beyond the Gaussian."""
        h, middle = STEP, E.T @ self.U.hess(self.x) @ E / T
        ahead, behind = (
            np.array([E.T @ H @ E / T for H in self.U.hess(self.x + sign * h * E.T)]) for sign in (1.0, -1.0)
        )
        third, fourth = (ahead - behind) / (2 * h), (ahead + behind - 2 * middle) / h**2
        slope = np.einsum("kii->k", third)
        return float(np.einsum("kii->", fourth) / 8 - slope @ slope / 8 - np.sum(third**2) / 12)

    def integral(self, T: float) -> tuple[float, float]:
        """-T log of the integral of exp(-U/T) over the plane, by the trapezoidal rule, and the change from half as many points."""
        E, reach, count = self.widths(T), 8.0, 12
        scale = 0.5 * np.linalg.slogdet(E.T @ E)[1]
        lowest = float(self.U(self.x))
        while self._edge(E, T, reach, lowest) > FAINT:
            reach *= 1.5
            if reach > WIDEST:
                raise ValueError(
                    f"got exp(-U/T) that does not fall off across u at x={self.x}, expected a confining potential"
                )
        before = self._sum(E, T, reach, count, lowest)
        while True:
            count *= 2
            now = self._sum(E, T, reach, count, lowest)
            if abs(now - before) < TOLERANCE or (2 * count) ** E.shape[1] > MOST_POINTS:
                return lowest - T * (now + scale), T * abs(now - before)
            before = now

    def _log_weights(self, E: Floats, T: float, y: Floats, lowest: float) -> Floats:
        return np.asarray(-(self.U(self.x + y @ E.T) - lowest) / T)

    def _edge(self, E: Floats, T: float, reach: float, lowest: float) -> float:
        """The largest weight on the border of the box [-reach, reach]^m, relative to the largest inside."""
        m, side = E.shape[1], np.linspace(-reach, reach, 41)
        y = np.stack(np.meshgrid(*[side] * m, indexing="ij"), -1).reshape(-1, m)
        weights = self._log_weights(E, T, y, lowest)
        border = np.any(np.abs(y) == reach, axis=-1)
        return float(np.exp(weights[border].max() - weights.max()))

    def _sum(self, E: Floats, T: float, reach: float, count: int, lowest: float) -> float:
        m, side = E.shape[1], np.linspace(-reach, reach, 2 * count + 1)
        y = np.stack(np.meshgrid(*[side] * m, indexing="ij"), -1).reshape(-1, m)
        weights = self._log_weights(E, T, y, lowest)
        top = weights.max()
        return float(top + np.log(np.exp(weights - top).sum()) + m * np.log(side[1] - side[0]))


def sections(U: Potential, along: int, u: Floats, start: Any) -> list[Section]:
    """The lowest points of the planes x[along] = u, followed from plane to plane, beginning at that nearest to `start`."""
    first = np.zeros(U.dim) if start is None else checks.vector("start", start, U.dim)
    others = [i for i in range(U.dim) if i != along]
    begin = int(np.argmin(np.abs(u - first[along])))
    found: dict[int, Floats] = {}
    for order in (range(begin, len(u)), range(begin - 1, -1, -1)):
        x = found.get(begin, first)
        for i in order:
            x = found[i] = _lowest(U, along, others, u[i], x)
    B = np.eye(U.dim)[:, others]
    return [Section(U, found[i], B) for i in range(len(u))]


def _lowest(U: Potential, along: int, others: list[int], u: float, x: Floats) -> Floats:
    """The minimum of U in the plane x[along] = u, from the last one."""
    from scipy.optimize import minimize

    def whole(v: Floats) -> Floats:
        point = np.empty(U.dim)
        point[along], point[others] = u, v
        return point

    found = minimize(
        lambda v: float(U(whole(v))), x[others], jac=lambda v: U.grad(whole(v))[others],
        hess=lambda v: U.hess(whole(v))[np.ix_(others, others)], method="trust-exact", options={"gtol": 1e-9},
    )  # fmt: skip
    if not (found.success or np.linalg.norm(found.jac) < 1e-6):
        raise NotConvergedError(
            f"the bottom of the valley at u={u:g} was not found ({found.message}); type start=... in the valley"
        )
    return whole(found.x)


def along_path(U: Potential, points: Floats, at: Floats | None) -> tuple[Floats, list[Section]]:
    """Arc lengths and the planes across a path there."""
    from scipy.interpolate import CubicSpline
    from scipy.linalg import null_space

    s = arc_length(points)
    u = s if at is None else at
    if u[0] < 0 or u[-1] > s[-1] * (1 + 1e-12):
        raise ValueError(f"got at from {u[0]:g} to {u[-1]:g}, expected arc lengths between 0 and {s[-1]:g}")
    curve = CubicSpline(s, points)
    return u, [Section(U, x, null_space(t[None])) for x, t in zip(curve(u), curve(u, 1), strict=True)]


@dataclass(frozen=True)
class Adiabatic:
    """F(u) = a(u) + (T/2) log det b(u): U at the bottom of the valley and its transverse Hessian, Laplace's approximation.

    Along a path the planes are those across it. The error is the next order, of relative size T/(transverse energy scale), computed from
    differences of the Hessian. start (dim,): where the valley is. Source: the Gaussian integral; the factor is T/2, not T as in
    Achille, Mbeng, Soatto, arXiv:1810.02440, sec. 3.4.
    """

    start: Any = None

    def effective(self, problem: Langevin | Momentum, along: Any, at: Floats | None) -> EffectivePotential:
        T, U = gibbs_temperature(problem), problem.U
        assert U is not None
        if np.ndim(along):
            u, planes = along_path(U, path_points(along, U.dim), at)
        else:
            u = wanted(at)
            planes = sections(U, _transverse(along, U), u, self.start)
        values, corrections = np.array([plane.adiabatic(T) for plane in planes]).T
        error = np.abs(corrections - corrections[np.argmin(values)])
        return from_lowest(u, values, error, T, "adiabatic")


@dataclass(frozen=True)
class MarginalQuadrature:
    """F(u) = -T log of the integral of exp(-U/T) over the other coordinates (at most three), around the bottom of the valley.

    The error is the change from half as many points. A second valley beyond a barrier of more than 30 T is not seen.
    """

    start: Any = None

    def effective(self, problem: Langevin | Momentum, along: Any, at: Floats | None) -> EffectivePotential:
        T, U = gibbs_temperature(problem), problem.U
        assert U is not None
        if not 2 <= U.dim <= 4:
            raise ValueError(f"got a potential in dimension {U.dim}, expected 2 to 4; type sg.UmbrellaSampling(...)")
        u = wanted(at)
        found = [plane.integral(T) for plane in sections(U, _transverse(along, U), u, self.start)]
        values, changes = np.array(found).T
        return from_lowest(u, values, changes + changes[np.argmin(values)], T, "marginal by quadrature")


def _transverse(along: Any, U: Potential) -> int:
    if U.dim < 2:
        raise ValueError(
            "got a potential in dimension 1, expected other coordinates to integrate over; U is its own effective potential"
        )
    return coordinate(along, U.dim)
