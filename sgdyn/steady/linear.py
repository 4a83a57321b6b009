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
REACHES = 1e-10
"""F carries noise into a direction if it does so at this share of its norm."""


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
    def reached(self) -> Floats:
        """An orthonormal basis (dim, r) of the directions that the noise reaches, itself or carried by F: the range of (D, F D, F² D, ...).

        r < dim, and then only, S is singular: in the other directions x rests at the center.
        """
        return controllable(self.F, self.D)

    @cached_property
    def _precision(self) -> Floats:
        """The inverse of S in the directions that the noise reaches, 0 in others."""
        B = self.reached
        inside = B.T @ self.covariance @ B
        values = np.linalg.eigvalsh(inside) if len(inside) else np.ones(1)
        if values[0] <= CERTAIN * values[-1]:
            raise ValueError(
                f"got a stationary covariance with eigenvalues from {values[0]:.3g} to {values[-1]:.3g}: the noise hardly reaches some direction, "
                "and rounding hides how much; type LowRank(V, s, floor=...) with a floor > 0"
            )
        return np.asarray(B @ np.linalg.inv(inside) @ B.T)

    @property
    def precision(self) -> Floats:
        """S^-1; raises ValueError where the noise does not reach every direction."""
        if self.reached.shape[1] < len(self.F):
            direction = linalg.null_space(self.reached.T)[:, 0] if self.reached.size else np.eye(len(self.F))[0]
            raise ValueError(
                f"got noise that reaches {self.reached.shape[1]} of {len(self.F)} directions, not {np.array2string(direction, precision=3)}: the noise does "
                "not reach that direction, so the density has no potential; type LowRank(V, s, floor=...) with a floor > 0"
            )
        return self._precision

    @property
    def potential(self) -> Potential:
        """The quadratic U with stationary density exp(-U/T)."""
        return quadratic(self.T * self.precision, self.center)

    @property
    def current(self) -> Floats:
        """The matrix J (dim, dim) of the current velocity j(x) = J (x - center) = (-F + T D S^-1)(x - center).

        Where the noise does not reach all directions it is that in the subspace that it reaches, where all of the density is.
        """
        return np.asarray((self.T * self.D @ self._precision - self.F) @ (self.reached @ self.reached.T))

    @property
    def entropy_production(self) -> float:
        """E[j' D^+ j]/T per unit time; infinite if the current leaves the range of D.

        Of the subspace that the noise reaches; 0 where there is no noise. Raises ValueError for `Momentum`: its velocities change sign with time, so
        that part of the current is reversible.
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

    def __str__(self) -> str:
        text = np.array2string(self.covariance, precision=6, threshold=64, prefix="  covariance ")
        return f"stationary state of a linear process, {len(self.F)} dimensions, T={self.T:g}\n  covariance {text}"

    __repr__ = __str__

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


def controllable(F: Floats, D: Floats) -> Floats:
    """An orthonormal basis (dim, r) of the smallest subspace that contains the range of D and that F does not leave.

    Built direction by direction, so that no power of F is formed (Kalman's matrix loses its rank to rounding). F is balanced by its size.
    """
    basis, size = linalg.orth(D, rcond=CERTAIN), max(float(np.linalg.norm(F, 2)), 1e-300)
    new = basis
    while new.shape[1] and basis.shape[1] < len(F):
        carried = F @ new / size
        for _ in range(2):  # twice is enough for orthogonality to rounding
            carried = carried - basis @ (basis.T @ carried)
        left, values, _ = np.linalg.svd(carried, full_matrices=False)
        new = left[:, values > REACHES]
        basis = np.concatenate([basis, new], axis=1)
    return np.asarray(basis)


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
