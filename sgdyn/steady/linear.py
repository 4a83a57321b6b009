"""The linear process in closed form: stationary covariance, potential, circulation, entropy production."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from sgdyn.fields import Affine
from sgdyn.noise import Varying
from sgdyn.potentials import Potential, quadratic
from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]

CERTAIN = 1e-12


@dataclass(frozen=True, eq=False)
class LinearStationary:
    """The stationary state of dX = -F (X - center) dt + sqrt(2 T D) dW.

    covariance (dim, dim) solves F S + S F' = 2 T D. With F = (D + Q) H_U: `Q` antisymmetric, `potential` the quadratic with Hessian
    T S^-1, `entropy_production` per unit time (0 iff F D = D F'). `error` is the relative residual of the Lyapunov equation.
    """

    problem: Langevin | Momentum
    F: Floats
    D: Floats
    T: float
    center: Floats
    covariance: Floats
    error: float

    @cached_property
    def Q(self) -> Floats:
        """The antisymmetric part of F S / T (dim, dim): F S / T = D + Q."""
        flux = self.F @ self.covariance / self.T
        return np.asarray(0.5 * (flux - flux.T))

    @cached_property
    def precision(self) -> Floats:
        """S^-1; raises ValueError where the noise does not reach every direction."""
        values, vectors = np.linalg.eigh(self.covariance)
        if values[0] <= CERTAIN * values[-1]:
            raise ValueError(
                f"got a stationary covariance with the eigenvalue {values[0]:.3g} along {np.array2string(vectors[:, 0], precision=3)}: the noise does "
                "not reach that direction, so the density has no potential; type LowRank(V, s, floor=...) with a floor > 0"
            )
        return np.asarray((vectors / values) @ vectors.T)

    @property
    def potential(self) -> Potential:
        """The quadratic U with stationary density exp(-U/T)."""
        return quadratic(self.T * self.precision, self.center)

    @property
    def current(self) -> Floats:
        """The matrix J (dim, dim) of the current velocity j(x) = J (x - center) = (-F + T D S^-1)(x - center)."""
        return np.asarray(self.T * self.D @ self.precision - self.F)

    @property
    def entropy_production(self) -> float:
        """E[j' D^+ j]/T per unit time; infinite if the current leaves the range of D.

        Raises ValueError for `Momentum`: its velocities change sign with time, so that part of the current is reversible.
        """
        if isinstance(self.problem, Momentum):
            raise ValueError(
                "got a Momentum process, expected a Langevin process: velocities change sign when time is reversed, so the whole current of "
                "phase space does not count; type sg.Langevin(U, T, D) for the overdamped limit"
            )
        values, vectors = np.linalg.eigh(self.D)
        noisy = values > CERTAIN * values[-1]
        flow = vectors.T @ self.current
        size = np.linalg.norm(self.current) + np.linalg.norm(self.F)
        if np.linalg.norm(flow[~noisy]) > 1e-9 * size:
            return float("inf")
        spread = np.einsum("ij,jk,ik->i", flow[noisy], self.covariance, flow[noisy])
        return float(np.sum(spread / values[noisy]) / self.T)

    def lagged_covariance(self, lag: float) -> Floats:
        """E[x(t + lag) x(t)'] = exp(-F lag) S, (dim, dim)."""
        return np.asarray(linalg.expm(-self.F * lag) @ self.covariance)

    def plot(self, ax: Any = None) -> Any:
        """The one-standard-deviation ellipse and the current in two coordinates (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def linear_stationary(problem: Langevin | Momentum) -> LinearStationary:
    """The stationary state of a linear process (affine drift, constant D), exactly.

    Raises ValueError if the drift is not affine or D not constant, and if some mode does not decay (no stationary state), TypeError
    for what is no process.
    Source: Kwon, Ao, Thouless, PNAS 102, 13029 (2005); Lyapunov equation by Bartels-Stewart (SciPy).
    """
    if not isinstance(problem, Langevin | Momentum):
        raise TypeError(
            f"got a {type(problem).__name__}, expected a process; type sg.Langevin(U, ...), sg.Langevin.linear(F, ...) or sg.Momentum(U, ...)"
        )
    process = problem.phase_space if isinstance(problem, Momentum) else problem
    F, D, center = linear_parts(process)
    rates = np.linalg.eigvals(F)
    slowest = rates[np.argmin(rates.real)]
    if slowest.real <= CERTAIN * np.abs(rates).max():
        raise ValueError(
            f"got a drift matrix F with the eigenvalue {slowest:.4g}, expected positive real parts: that mode does not decay, so there is no stationary state"
        )
    source = 2 * process.T * D
    covariance = linalg.solve_continuous_lyapunov(F, source)
    covariance = 0.5 * (covariance + covariance.T)
    residual, size = np.linalg.norm(F @ covariance + covariance @ F.T - source), np.linalg.norm(source)
    return LinearStationary(problem, F, D, process.T, center, covariance, float(residual / size) if size else 0.0)


def linear_parts(process: Langevin) -> tuple[Floats, Floats, Floats]:
    """(F, D, center) of a process with affine drift -F (x - center) and constant D."""
    if not isinstance(process.drift, Affine):
        raise ValueError(
            "got a drift that is not linear, expected a quadratic potential or Langevin.linear(F, ...); type sg.quadratic(U.hess(x), x) to linearise at x"
        )
    origin = np.zeros(process.dim)
    if isinstance(process.D, Varying):
        raise ValueError("got a D that depends on x, expected a constant one; type D=problem.D(x) to freeze it at x")
    F = -process.drift.matrix
    try:
        center = np.linalg.solve(F, process.drift.offset)
    except np.linalg.LinAlgError:
        center = np.full(process.dim, np.nan)
    return F, process.D(origin), np.asarray(center, dtype=np.float64)
