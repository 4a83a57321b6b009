"""Rules that turn the action of a path into a sum over its steps, each a frozen value that states its order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sgdyn.pathspace.coefficients import coefficients, equilibrium, midpoint_drift
from sgdyn.pathspace.lagrangians import FieldWeight, JacobianWeight, Lagrangian
from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]
Blocks = tuple[Floats, Floats, Floats]


class Steps(ABC):
    """The contributions of steps from x to y (n, dim), each of length dt (n,), to the action."""

    lagrangian: Lagrangian

    @abstractmethod
    def value(self, x: Floats, y: Floats, dt: Floats) -> Floats:
        """(n,)"""

    @abstractmethod
    def slope(self, x: Floats, y: Floats, dt: Floats) -> tuple[Floats, Floats]:
        """Derivatives with respect to x and y (n, dim)."""

    @abstractmethod
    def curvature(self, x: Floats, y: Floats, dt: Floats) -> Blocks:
        """Second derivatives xx, xy and yy (n, dim, dim)."""

    @abstractmethod
    def place(self, x: Floats, y: Floats) -> Floats:
        """Where D is taken (n, dim)."""

    def of_ends(self, a: Floats, b: Floats) -> float:
        """What depends on the ends alone."""
        return 0.0

    def slope_of_ends(self, a: Floats, b: Floats) -> tuple[Floats, Floats]:
        """Its derivatives with respect to a and b."""
        return np.zeros_like(a), np.zeros_like(b)


@dataclass(frozen=True, eq=False)
class PointSteps(Steps):
    """dt L(x + share (y - x), (y - x)/dt)."""

    lagrangian: Lagrangian
    share: float

    def place(self, x: Floats, y: Floats) -> Floats:
        return x + self.share * (y - x)

    def value(self, x: Floats, y: Floats, dt: Floats) -> Floats:
        return np.asarray(dt * self.lagrangian.value(self.place(x, y), (y - x) / dt[:, None], dt))

    def slope(self, x: Floats, y: Floats, dt: Floats) -> tuple[Floats, Floats]:
        along, push = self.lagrangian.slope(self.place(x, y), (y - x) / dt[:, None], dt)
        along = along * dt[:, None]
        return (1 - self.share) * along - push, self.share * along + push

    def curvature(self, x: Floats, y: Floats, dt: Floats) -> Blocks:
        mm, vm, vv = self.lagrangian.curvature(self.place(x, y), (y - x) / dt[:, None], dt)
        h, s, mv = dt[:, None, None], self.share, np.swapaxes(vm, -1, -2)
        xx = (1 - s) ** 2 * h * mm - (1 - s) * (vm + mv) + vv / h
        xy = s * (1 - s) * h * mm + (1 - s) * mv - s * vm - vv / h
        return xx, xy, s**2 * h * mm + s * (vm + mv) + vv / h


@dataclass(frozen=True, eq=False)
class VertexSteps(Steps):
    """|y - x|²_{D^-1}/(4T dt) + dt (V(x) + V(y))/2, with (Phi(b) - Phi(a))/2T once for the whole path; V = L(x, 0), b = -D grad Phi."""

    lagrangian: Lagrangian
    potential: FieldWeight

    def place(self, x: Floats, y: Floats) -> Floats:
        return 0.5 * (x + y)

    def _stiffness(self, count: int) -> Floats:
        c = self.lagrangian.coefficients
        one = np.broadcast_to(np.eye(c.dim), (count, c.dim, c.dim))
        return c.lower_columns(np.zeros((count, c.dim)), one) / (2 * c.T)

    def value(self, x: Floats, y: Floats, dt: Floats) -> Floats:
        c, rest = self.lagrangian.coefficients, np.zeros_like(x)
        kinetic = np.einsum("ni,ni->n", y - x, c.lower(x, y - x)) / (4 * c.T * dt)
        ends = self.lagrangian.value(x, rest, dt) + self.lagrangian.value(y, rest, dt)
        return np.asarray(kinetic + 0.5 * dt * ends)

    def slope(self, x: Floats, y: Floats, dt: Floats) -> tuple[Floats, Floats]:
        c, rest, h = self.lagrangian.coefficients, np.zeros_like(x), dt[:, None]
        push = c.lower(x, y - x) / (2 * c.T * h)
        first, second = (0.5 * h * self.lagrangian.slope(z, rest, dt)[0] for z in (x, y))
        return first - push, second + push

    def curvature(self, x: Floats, y: Floats, dt: Floats) -> Blocks:
        rest, h = np.zeros_like(x), dt[:, None, None]
        spring = self._stiffness(len(x)) / h
        first, second = (0.5 * h * self.lagrangian.curvature(z, rest, dt)[0] for z in (x, y))
        return first + spring, -spring, second + spring

    def of_ends(self, a: Floats, b: Floats) -> float:
        none = np.zeros(1)
        return float(self.potential.value(b[None], none)[0] - self.potential.value(a[None], none)[0])

    def slope_of_ends(self, a: Floats, b: Floats) -> tuple[Floats, Floats]:
        none = np.zeros(1)
        return -self.potential.slope(a[None], none)[0], self.potential.slope(b[None], none)[0]


class Rule(Protocol):
    """How the action of a path becomes a sum over its steps. `order`: the power of dt in the error of the transition density."""

    @property
    def order(self) -> int: ...
    def steps(self, problem: Langevin | Momentum) -> Steps: ...


@dataclass(frozen=True)
class FreidlinWentzell:
    """S = ∫ |x' - b|²_{D^-1}/4T dt at the midpoints of the steps: the exponent of leading order in T, without any Jacobian.

    b is the drift for T -> 0. As a quadrature it is of second order in dt.
    """

    order = 2

    def steps(self, problem: Langevin | Momentum) -> Steps:
        return PointSteps(Lagrangian(coefficients(problem, noiseless=True)), 0.5)


@dataclass(frozen=True)
class Prepoint:
    """Itô's rule: |x_{k+1} - x_k - b(x_k) dt|²_{D(x_k)^-1}/(4 T dt), the kernel of Euler-Maruyama, normalised at every dt.

    For any D(x). Transition densities to O(dt).
    """

    order = 1

    def steps(self, problem: Langevin | Momentum) -> Steps:
        return PointSteps(Lagrangian(coefficients(problem, noiseless=False)), 0.0)


@dataclass(frozen=True)
class Midpoint:
    """Onsager and Machlup's function at the midpoints: |x' - b + T div D|²_{D^-1}/4T + div b/2 - T sum_ij d_i d_j D_ij/4.

    For any D(x); with constant D it is |x' - b|²_{D^-1}/4T + div b/2. Transition densities to O(dt). It is Weyl's ordering of the
    Fokker-Planck operator (Langouche, Roekaerts, Tirapegui, Physica A 95, 252 (1979)); in one dimension Lau and Lubensky, Phys. Rev. E
    76, 011123 (2007), whose drift in Stratonovich's sense is A - D'/2.
    """

    order = 1

    def steps(self, problem: Langevin | Momentum) -> Steps:
        c = coefficients(problem, noiseless=False)
        weights: tuple[FieldWeight, ...] = (FieldWeight(c.jacobian.trace(), 0.5),)
        if c.varying:
            weights += (FieldWeight(c.D.divergence.gradient().trace(), -0.25 * c.T),)
        return PointSteps(Lagrangian(midpoint_drift(c), weights), 0.5)


@dataclass(frozen=True)
class MidpointJacobian:
    """|x' - b|²_{D^-1}/4T - log det(I - dt grad b/2)/dt at the midpoints: the midpoint rule with its exact Jacobian.

    For constant D. Transition densities to O(dt²).
    """

    order = 2

    def steps(self, problem: Langevin | Momentum) -> Steps:
        c = coefficients(problem, noiseless=False)
        if c.varying:
            raise ValueError(
                "got a D that depends on x, expected a constant one for MidpointJacobian(); type rule=sg.Midpoint() or sg.Prepoint()"
            )
        return PointSteps(Lagrangian(c, (JacobianWeight(c.jacobian),)), 0.5)


@dataclass(frozen=True)
class StaticKernel:
    """(Phi(b) - Phi(a))/2T + sum |x_{k+1} - x_k|²_{D^-1}/(4T dt) + dt (V_k + V_{k+1})/2, V = |b|²_{D^-1}/4T + div b/2.

    For drifts -D grad Phi with constant D: `Langevin(U, T, c)` with a number c, or `Langevin.gibbs`. The end points are split off
    exactly, the rest is symmetric in time. Transition densities to O(dt²), without a Jacobian (Strang).
    """

    order = 2

    def steps(self, problem: Langevin | Momentum) -> Steps:
        known = equilibrium(problem) if isinstance(problem, Langevin) else None
        if known is None:
            raise ValueError(
                "got a drift that is not -D grad Phi with constant D, expected Langevin(U, T, number) or Langevin.gibbs(U, T, D) for StaticKernel(); "
                "type rule=sg.MidpointJacobian()"
            )
        c = coefficients(problem, noiseless=False)
        weights = (FieldWeight(c.jacobian.trace(), 0.5),)
        return VertexSteps(Lagrangian(c, weights), FieldWeight(known[0], known[1] / (2 * problem.T)))
