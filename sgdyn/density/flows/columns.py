"""Cells of fixed masses on a line, their energy and its derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special
from scipy.linalg import lapack

from sgdyn.density.distribution import Density
from sgdyn.density.flows.energies import Energy
from sgdyn.density.flows.flow import GaussianState
from sgdyn.noise import Noise, Varying

Floats = NDArray[np.float64]

SMALLEST = 1e-11
"""The mass of a cell, so that its width is more than rounding."""
GRADING = 4
GAUSS = np.polynomial.legendre.leggauss(10)


def graded(points: int) -> Floats:
    """Masses (points,) of cells that grow as the cube of their number from either end: X is then smooth in that number at fronts
    rho ~ d^k as well as in Gaussian tails."""
    half = special.betainc(GRADING, GRADING, np.arange(points // 2 + 1) / points)
    masses = np.maximum(np.diff(half), SMALLEST)
    middle = [] if points % 2 == 0 else [max(1 - 2 * float(masses.sum()), SMALLEST)]
    both = np.concatenate([masses, middle, masses[::-1]])
    return np.asarray(both / both.sum())


def quantiles(rho0: Any, masses: Floats) -> Floats:
    """Where a density on a grid, a normal density or something with `ppf` has these masses between them, (points + 1,).

    Raises TypeError for other starts and ValueError where quantiles coincide.
    """
    below = np.concatenate([[0.0], np.cumsum(masses)])
    above = np.concatenate([np.cumsum(masses[::-1])[::-1], [0.0]])
    lower, upper = below[: len(below) // 2 + 1], above[len(below) // 2 + 1 :]
    if isinstance(rho0, Density):
        X = _from_cells(rho0, lower, upper)
    elif isinstance(rho0, GaussianState):
        unit = np.concatenate([special.ndtri(_finite(lower)), -special.ndtri(_finite(upper))])
        X = rho0.mean[0] + np.sqrt(rho0.covariance[0, 0]) * unit
    elif hasattr(rho0, "ppf"):
        X = np.concatenate(
            [_bounded(rho0.ppf, lower), _bounded(getattr(rho0, "isf", lambda u: rho0.ppf(1 - u)), upper)]
        )
    else:
        raise TypeError(
            f"got rho0 of type {type(rho0).__name__} for Quantile, expected a Density, a GaussianState or a distribution with ppf; "
            "type sg.Cloud for method=sg.Particles(...)"
        )
    if not np.all(np.diff(X) > 0):
        raise ValueError(
            "got quantiles of rho0 that coincide, expected a density; type sg.gaussian(grid, mean, cov) for a narrow start"
        )
    return np.asarray(X, dtype=np.float64)


def _finite(u: Floats) -> Floats:
    """Levels with the outermost inside: the tail beyond is the outermost cell's."""
    return np.where(u == 0, 0.125 * u[u > 0].min(), u)


def _bounded(quantile: Any, u: Floats) -> Floats:
    exact = np.asarray(quantile(u), dtype=np.float64)
    return exact if np.all(np.isfinite(exact)) else np.asarray(quantile(_finite(u)), dtype=np.float64)


def _from_cells(rho: Density, lower: Floats, upper: Floats) -> Floats:
    """Quantiles counted from the nearer end, so that both tails are known to rounding."""
    masses, edges = rho.masses / rho.masses.sum(), rho.grid.edges[0]
    some = np.flatnonzero(masses > 0)
    masses, edges = masses[some[0] : some[-1] + 1], edges[some[0] : some[-1] + 2]
    kept = np.concatenate([[True], masses > 0])
    below = np.concatenate([[0.0], np.cumsum(masses)])
    above = np.concatenate([np.cumsum(masses[::-1])[::-1], [0.0]])
    kept_above = np.concatenate([masses > 0, [True]])
    left = np.interp(lower, below[kept], edges[kept])
    right = np.interp(upper, above[kept_above][::-1], edges[kept_above][::-1])
    return np.concatenate([left, right])


@dataclass(frozen=True, eq=False)
class Column:
    """Cells of these masses (n,) between quantiles X (n + 1,): densities are constant in cells, walls (low, high) enclose all.

    Distances in the metric D^-1 are int dx/sqrt(D), taken as linear in each cell; potentials by Simpson's rule.
    """

    energy_of: Energy
    D: Noise
    masses: Floats
    walls: tuple[float, float]

    def inside(self, X: Floats) -> Floats:
        """X with the ends moved to the walls where they are beyond."""
        if X[0] >= self.walls[0] and X[-1] <= self.walls[1]:
            return X
        return np.clip(X, *self.walls)

    def energy(self, X: Floats) -> float:
        w, widths, middle = self.masses, np.diff(X), 0.5 * (X[1:] + X[:-1])
        if widths.min() <= 0:
            return np.inf
        V = self.energy_of.potential
        at, mid = V(X[:, None]), V(middle[:, None])
        total = float(w @ (at[1:] + at[:-1] + 4 * mid)) / 6 + float(widths @ self.energy_of.per_volume(w / widths))
        for W in self.energy_of.interactions:
            total += 0.5 * float(w @ W(self._apart(middle)) @ w)
        return total

    @staticmethod
    def _apart(middle: Floats) -> Floats:
        return np.asarray((middle[:, None] - middle)[..., None])

    @cached_property
    def _constant(self) -> float | None:
        return None if isinstance(self.D, Varying) else float(self.D(np.zeros(1))[0, 0]) ** -0.5

    def distance(self, X: Floats, Y: Floats) -> tuple[Floats, Floats, Floats]:
        """int dx/sqrt(D) from X to Y, its first derivative with respect to Y and about its second: the first is that of the sum over Gauss points, so
        that the objective falls along its slope however long the way is."""
        if self._constant is not None:
            return self._constant * (Y - X), np.full(len(X), self._constant), np.zeros(len(X))
        total, first, half = np.zeros(len(X)), np.zeros(len(X)), 0.5 * (Y - X)
        for node, weight in zip(*GAUSS, strict=True):
            slowness, bend = self._slowness(X + (1 + node) * half)
            total += weight * half * slowness
            first += 0.5 * weight * (slowness + (1 + node) * half * bend)
        return total, first, self._slowness(Y)[1]

    def _slowness(self, x: Floats) -> tuple[Floats, Floats]:
        """D^-1/2 and its derivative."""
        D = self.D(x[:, None])[:, 0, 0]
        return D**-0.5, -0.5 * self.D.divergence(x[:, None])[:, 0] * D**-1.5

    def square(self, e: Floats) -> float:
        """int e² over the masses, e linear in cells."""
        return float(self.masses @ (e[1:] ** 2 + e[1:] * e[:-1] + e[:-1] ** 2)) / 3

    def objective(self, Y: Floats, X: Floats, ahead: Floats, tau: float) -> float:
        """F(Y) + |distance(X, Y) - ahead|²/(2 tau)."""
        return self.energy(Y) + self.square(self.distance(X, Y)[0] - ahead) / (2 * tau)

    def newton(self, Y: Floats, X: Floats, ahead: Floats, tau: float) -> Floats:
        """The Newton step of the objective; where its Hessian is indefinite, without the concave part of the potentials and of the distance."""
        slope, diagonal, beside, bend = self._cost(Y, X, ahead, tau)
        force, stiff, between = self._internal(Y)
        slope, diagonal, beside = slope + force, diagonal + stiff, beside + between
        push, *hessian = self._external(Y, np.asarray)
        slope = slope + push
        pairs = self._pairs(Y) if self.energy_of.interactions else None
        if pairs is not None:
            slope = slope + pairs[0]
        held = self._held(Y, slope)
        way = _solved(
            diagonal + bend + hessian[0], beside + hessian[1], None if pairs is None else pairs[1], slope, held
        )
        if way is None:
            _, *hessian = self._external(Y, lambda second: np.maximum(second, 0.0))
            way = _solved(diagonal + np.maximum(bend, 0.0) + hessian[0], beside + hessian[1], None, slope, held)
        if way is None:
            raise np.linalg.LinAlgError("a Hessian of convex energies is not positive definite")
        return way

    def _cost(self, Y: Floats, X: Floats, ahead: Floats, tau: float) -> tuple[Floats, Floats, Floats, Floats]:
        """Gradient, diagonal and off-diagonal of the cost of transport, and what the bend of the metric adds to the diagonal."""
        w, (e, first, second) = self.masses, self.distance(X, Y)
        e = e - ahead
        weighed = np.zeros(len(Y))
        weighed[:-1] += w * (2 * e[:-1] + e[1:])
        weighed[1:] += w * (2 * e[1:] + e[:-1])
        total = np.zeros(len(Y))
        total[:-1] += 2 * w
        total[1:] += 2 * w
        scale = 1 / (6 * tau)
        return (
            scale * weighed * first,
            scale * total * first**2,
            scale * w * first[1:] * first[:-1],
            scale * weighed * second,
        )

    def _internal(self, Y: Floats) -> tuple[Floats, Floats, Floats]:
        """The energy of a cell is width f(mass/width): its pressure rho f' - f drives the ends apart."""
        widths = np.diff(Y)
        rho = self.masses / widths
        pressure = rho * self.energy_of.slope(rho) - self.energy_of.per_volume(rho)
        stiff = rho**2 * self.energy_of.curvature(rho) / widths
        force, diagonal = np.zeros(len(Y)), np.zeros(len(Y))
        force[:-1] += pressure
        force[1:] -= pressure
        diagonal[:-1] += stiff
        diagonal[1:] += stiff
        return force, diagonal, -stiff

    def _external(self, Y: Floats, bent: Any) -> tuple[Floats, Floats, Floats]:
        w, middle, energy = self.masses / 6, 0.5 * (Y[1:] + Y[:-1]), self.energy_of
        force, diagonal = np.zeros(len(Y)), np.zeros(len(Y))
        at, mid = energy.grad(Y[:, None])[:, 0], energy.grad(middle[:, None])[:, 0]
        force[:-1] += w * (at[:-1] + 2 * mid)
        force[1:] += w * (at[1:] + 2 * mid)
        at, mid = bent(energy.hess(Y[:, None])[:, 0, 0]), bent(energy.hess(middle[:, None])[:, 0, 0])
        diagonal[:-1] += w * (at[:-1] + mid)
        diagonal[1:] += w * (at[1:] + mid)
        return force, diagonal, w * mid

    def _pairs(self, Y: Floats) -> tuple[Floats, Floats]:
        """Gradient and Hessian (n + 1, n + 1) of the interactions of cells at their centres."""
        w, apart = self.masses, self._apart(0.5 * (Y[1:] + Y[:-1]))
        force, hessian = np.zeros(len(w)), np.zeros((len(w), len(w)))
        for W in self.energy_of.interactions:
            force += w * (W.grad(apart)[..., 0] @ w)
            bend = w[:, None] * W.hess(apart)[..., 0, 0] * w
            hessian += np.diag(bend.sum(axis=1)) - bend
        ends, full = np.zeros(len(Y)), np.zeros((len(Y), len(Y)))
        ends[:-1] += 0.5 * force
        ends[1:] += 0.5 * force
        for a in (slice(None, -1), slice(1, None)):
            for b in (slice(None, -1), slice(1, None)):
                full[a, b] += 0.25 * hessian
        return ends, full

    def _held(self, Y: Floats, slope: Floats) -> list[int]:
        """Ends that are pressed against a wall."""
        low, high = Y[0] <= self.walls[0] and slope[0] > 0, Y[-1] >= self.walls[1] and slope[-1] < 0
        return [k for k, pressed in ((0, low), (len(Y) - 1, high)) if pressed]


def _solved(diagonal: Floats, beside: Floats, full: Floats | None, slope: Floats, held: list[int]) -> Floats | None:
    """-H^-1 slope with H tridiagonal (plus a full matrix), ends that are held left where they are; None if H is not positive definite."""
    diagonal, beside, right = diagonal.copy(), beside.copy(), -slope
    for k in held:
        diagonal[k], right[k], beside[min(k, len(beside) - 1)] = 1.0, 0.0, 0.0
    if full is None:
        _, _, way, failed = lapack.dptsv(diagonal, beside, right)
        return None if failed else np.asarray(way)
    whole = full + np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    for k in held:
        whole[k, :], whole[:, k], whole[k, k] = 0.0, 0.0, 1.0
    try:
        return np.asarray(linalg.cho_solve(linalg.cho_factor(whole), right))
    except linalg.LinAlgError:
        return None
