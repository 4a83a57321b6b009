"""What pushes a process: a known potential, the rest of the drift, and the diffusion that both meet.

The drift b is read as b = -T D grad Psi + T div D + c. Where Psi is known its differences along edges are exact; c enters through
e.D^+ c along an edge e, and what D cannot reach of it is carried upwind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sgdyn.fields import Affine
from sgdyn.noise import Diagonal, Varying
from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]
Values = Callable[[Floats], Floats]

CERTAIN = 1e-12
GAUSS = np.polynomial.legendre.leggauss(3)


@dataclass(frozen=True)
class Forces:
    """T D(x) = `strength` (..., dim, dim), the potential Psi (None if unknown), the rest c of the drift (None if there is none).

    `divergence` is T div D, `constant` whether D is, `keeps` whether c is known to leave exp(-Psi) as it is.
    """

    dim: int
    strength: Values
    divergence: Values
    constant: bool
    potential: Values | None
    rest: Values | None
    keeps: bool

    def without_rest(self) -> Forces:
        return replace(self, rest=None)

    def lowered(self, x: Floats) -> Forces:
        """The same with Psi = 0 at the lowest of the points x."""
        if self.potential is None:
            return self
        potential, values = self.potential, self.potential(x)
        if not np.all(np.isfinite(values)):
            k = int(np.argmin(np.isfinite(values)))
            raise ValueError(
                f"got the potential {values[k]:g} at {x[k]}, expected finite numbers; type a Grid inside its domain"
            )
        lowest = float(values.min())
        return replace(self, potential=lambda y: potential(y) - lowest)

    def climb(self, x: Floats, dx: Floats) -> Floats:
        """log of the rate back over the rate forth along segments from x (n, dim) to x + dx: the rise of Psi less the work of c."""
        rise = np.zeros(len(x)) if self.potential is None else self.potential(x + dx) - self.potential(x)
        return rise if self.rest is None else rise - self._work(x, dx)

    def _work(self, x: Floats, dx: Floats) -> Floats:
        """The integral of e.(T D)^+ c along segments: three Gauss points, the midpoint alone where D varies in more than one dimension."""
        nodes, weights = GAUSS if self.constant or self.dim == 1 else (np.zeros(1), np.full(1, 2.0))
        place = x + 0.5 * (1 + nodes[:, None, None]) * dx
        push = self._push(place)
        if self.constant:
            mean = self._against(x, np.tensordot(0.5 * weights, push, axes=1))
        else:
            mean = np.tensordot(0.5 * weights, self._against(place, push), axes=1)
        return np.asarray(np.einsum("nd,nd->n", dx, mean))

    def _push(self, x: Floats) -> Floats:
        """c, where Psi is unknown less T div D."""
        assert self.rest is not None
        return self.rest(x) if self.potential is not None else self.rest(x) - self.divergence(x)

    def _against(self, x: Floats, c: Floats) -> Floats:
        """(T D)^+ c."""
        D = self.strength(np.zeros(self.dim) if self.constant else x)
        inverse = np.linalg.pinv(D, rcond=CERTAIN, hermitian=True)
        return np.asarray(c @ inverse if self.constant else np.einsum("...ij,...j->...i", inverse, c))

    def produced(self, x: Floats) -> Floats:
        """c' (T D)^+ c (n,): the entropy that a current velocity c produces per unit time."""
        push = self._push(x)
        return np.asarray(np.einsum("...i,...i->...", push, self._against(x, push)))

    def unreached(self, x: Floats) -> Floats:
        """The part of the push (n, dim) that lies outside the range of D."""
        push = self._push(x)
        inside = np.einsum("...ij,...j->...i", self.strength(x[:1] if self.constant else x), self._against(x, push))
        left = push - inside
        return np.where(np.abs(left) > 1e-10 * np.abs(push).max(axis=-1, keepdims=True), left, 0.0)


def forces(problem: Langevin | Momentum) -> Forces:
    """How the solvers see a process.

    Raises ValueError for `Momentum` with an anisotropic D in one dimension of x (there is none) and TypeError for what is no process.
    """
    if isinstance(problem, Momentum):
        return _kinetic(problem)
    if not isinstance(problem, Langevin):
        raise TypeError(f"got a {type(problem).__name__}, expected a process; type sg.Langevin(U, T=..., D=...)")
    T, D, constant = problem.T, problem.D, not isinstance(problem.D, Varying)
    potential = _potential(problem)
    rest: Values | None = problem.drift if potential is None else problem.curl
    if potential is not None and problem.U is None:
        rest = None
    return Forces(
        problem.dim,
        lambda x: np.asarray(T * D(x)),
        lambda x: np.asarray(T * D.divergence(x)),
        constant,
        potential,
        rest,
        keeps_density(problem, potential),
    )


def _potential(problem: Langevin) -> Values | None:
    """Psi where it is known in closed form: Gibbs processes, isotropic constant D, linear processes in detailed balance."""
    U, T, D = problem.U, problem.T, problem.D
    if U is not None and problem.is_gibbs:
        return lambda x: np.asarray(U(x) / T)
    isotropic = D.isotropic if isinstance(D, Diagonal) else None
    if U is not None and isotropic:
        return lambda x: np.asarray(U(x) / (T * isotropic))
    if isinstance(problem.drift, Affine) and not isinstance(D, Varying):
        return _quadratic(problem, problem.drift)
    return None


def _quadratic(problem: Langevin, drift: Affine) -> Values | None:
    """The potential of a linear process whose D^-1 F is symmetric."""
    matrix = problem.T * problem.D(np.zeros(problem.dim))
    values = np.linalg.eigvalsh(matrix)
    if values[0] <= CERTAIN * values[-1] or (problem.U is not None and problem.curl is not None):
        return None
    slope, offset = -np.linalg.solve(matrix, drift.matrix), -np.linalg.solve(matrix, drift.offset)
    if np.abs(slope - slope.T).max() > CERTAIN * max(np.abs(slope).max(), 1e-300):
        return None
    slope = 0.5 * (slope + slope.T)
    return lambda x: np.asarray(0.5 * np.einsum("...i,ij,...j->...", x, slope, x) + x @ offset)


def keeps_density(problem: Langevin, potential: Values | None) -> bool:
    """Whether div(c exp(-Psi)) = 0, from derivatives at random points: then exp(-Psi) is stationary with c as without it."""
    U, curl = problem.U, problem.curl
    if potential is None or U is None or curl is None:
        return potential is not None
    x = np.random.default_rng(0).normal(size=(200, problem.dim))
    scale = problem.T if problem.is_gibbs else problem.T * float(problem.D(x[:1])[0, 0, 0])
    try:
        spread = np.trace(curl.gradient()(x), axis1=-2, axis2=-1)
    except (ValueError, TypeError):
        return False
    along = np.einsum("nd,nd->n", curl(x), U.grad(x)) / scale
    size = np.linalg.norm(curl.gradient()(x), axis=(-2, -1)) + np.linalg.norm(curl(x), axis=-1) * np.linalg.norm(
        U.grad(x), axis=-1
    )
    return bool(np.all(np.abs(spread - along) <= 1e-8 * size + 1e-300))


def _kinetic(problem: Momentum) -> Forces:
    """(x, v) with the energy (U + v²/2)/(T D) as its potential, friction as its reversible part and Hamilton's equations as the rest."""
    U, d = problem.U, problem.U.dim
    if d != 1:
        raise ValueError(
            f"got a Momentum process of {d} coordinates, expected one: grids have at most 3 axes, (x, v) has {2 * d}; type sg.simulate(...)"
        )
    D = float(problem.D(np.zeros(1))[0, 0])
    heat, friction = problem.T * D, problem.friction

    def energy(y: Floats) -> Floats:
        return np.asarray((U(y[..., :1]) + 0.5 * y[..., 1] ** 2) / heat)

    def hamilton(y: Floats) -> Floats:
        return np.stack([y[..., 1], -U.grad(y[..., :1])[..., 0]], axis=-1)

    matrix = np.diag([0.0, friction * heat])
    return Forces(
        2,
        lambda y: np.broadcast_to(matrix, (*y.shape[:-1], 2, 2)),
        lambda y: np.zeros(y.shape),
        True,
        energy,
        hamilton,
        True,
    )
