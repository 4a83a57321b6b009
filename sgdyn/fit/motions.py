"""What the law of kinetic energy is about, along a path: v²/2, U and S between recorded times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import interpolate

from sgdyn import checks
from sgdyn.fit.regressions import Regression
from sgdyn.fit.stretches import Series
from sgdyn.potentials import Potential

Floats = NDArray[np.float64]

AT_ONCE = 20_000
SPLINE, COARSER = 5, 3
INNER = slice(4, -4)
"""Times at which the ends of a spline no longer matter."""


@dataclass(frozen=True, eq=False)
class Motion:
    """U: a potential, or numbers (replica, time); S likewise (None: of the potential's Hessian, see `entropy`)."""

    run: Series
    U: Potential | Floats
    S: Floats | None
    c: float | None
    velocity: Floats | None

    @classmethod
    def of(cls, run: Series, U: Any, S: Any, c: float | None, velocity: ArrayLike | None) -> Motion:
        """Everything checked."""
        shape = run.x.shape[:2]
        if isinstance(U, Potential):
            if run.dim != U.dim:
                raise ValueError(f"got U in dimension {U.dim} and a run in {run.dim}, expected the same coordinates")
        else:
            U = _numbers("U", U, shape)
            if S is None:
                raise ValueError("got U as numbers and no S, expected both; type kinetic_energy(run, U, S, dt=...), or a Potential for U")  # fmt: skip
        if c is not None and S is not None:
            raise ValueError("got S and c, expected one of them: c is for S = log det(1 + c H)/k")
        numbers = None if S is None else _numbers("S", S, shape)
        v = None if velocity is None else _numbers("velocity", velocity, run.x.shape)
        return cls(run, U, numbers, None if c is None else checks.positive("c", c), v)

    def regression(self, x: Floats | None = None, order: int = SPLINE) -> Regression:
        """v²/2 on -(U, S), so that the coefficients are (a, b); of another path x where U and S can be had there. order: of the splines."""
        own, path = x is None, self.run.x if x is None else x
        U = self.U(path) if isinstance(self.U, Potential) else self.U
        S = self.S if self.S is not None else entropy(self.U, path, self.c)
        if own and self.velocity is not None:
            return Regression(np.sum(self.velocity**2, axis=-1) / 2, -np.stack([U, S], axis=-1))
        return Regression(kinetic(path, self.run.dt, order), -np.stack([U, S], axis=-1)[:, INNER])

    def halved(self) -> tuple[Regression, Regression]:
        """The law at every second row, by the spline through all and through these alone."""
        law = self.regression()
        y = kinetic(self.run.x[:, ::2], 2 * self.run.dt)
        rows = slice(INNER.start, INNER.start + 2 * y.shape[1], 2)
        return Regression(law.y[:, rows], law.terms[:, rows]), Regression(y, law.terms[:, rows])

    def descent(self) -> Regression | None:
        """v²/2 on |grad U|²/2, where there is a gradient."""
        if not isinstance(self.U, Potential):
            return None
        slope = np.sum(np.asarray(self.U.grad(self.run.x)) ** 2, axis=-1, keepdims=True) / 2
        return Regression(self.regression().y, slope if self.velocity is not None else slope[:, INNER])


def _numbers(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Floats:
    array = checks.finite(name, value)
    array = array[None] if array.ndim == len(shape) - 1 and shape[0] == 1 else array
    if array.shape != shape:
        raise ValueError(f"got {name} of shape {array.shape}, expected {shape}: a number for each replica and time")
    return array


def kinetic(x: Floats, dt: float, order: int = SPLINE) -> Floats:
    """v²/2 at the inner times of x, v the derivative of the spline of this order through the path: for smooth paths right to dt^(order + 1)."""
    times = np.arange(x.shape[1], dtype=np.float64)
    slopes = interpolate.make_interp_spline(times, x, k=order, axis=1).derivative()(times)
    return np.asarray(np.sum(slopes[:, INNER] ** 2, axis=-1) / (2 * dt**2))


def entropy(U: Any, x: Floats, c: float | None) -> Floats:
    """S = log|det H|/k of the Hessian at points (..., k), or log det(1 + c H)/k. Raises ValueError where that is not finite or det(1 + c H) <= 0."""
    points = x.reshape(-1, x.shape[-1])
    found = [_entropy(np.asarray(U.hess(part)), c) for part in np.array_split(points, -(-len(points) // AT_ONCE))]
    S = np.concatenate(found).reshape(x.shape[:-1])
    if np.all(np.isfinite(S)):
        return S
    hint = (
        "type a smaller c, below 1/|lowest eigenvalue|" if c is not None else "type c=..., for S = log det(1 + c H)/k"
    )
    raise ValueError(f"got a Hessian whose entropy is not finite at {int(np.sum(~np.isfinite(S)))} of {S.size} points, expected one that is; {hint}")  # fmt: skip


def _entropy(H: Floats, c: float | None) -> Floats:
    k = H.shape[-1]
    sign, size = np.linalg.slogdet(H if c is None else np.eye(k) + c * H)
    return np.asarray((size if c is None else np.where(sign > 0, size, np.nan)) / k)
