"""Paths at which the action is stationary: descent, then Newton's method."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky_banded, solve_banded
from scipy.optimize import minimize

from sgdyn.errors import NotConvergedError
from sgdyn.pathspace.coefficients import TENSORS
from sgdyn.pathspace.functional import Action
from sgdyn.pathspace.paths import Path

Floats = NDArray[np.float64]

DESCENT_STEPS, NEWTON_STEPS = 60, 40
ROUNDING, ACCEPTED = 1e-13, 1e-8
"""The gradient relative to the momenta at which Newton's method stops, and below which a path counts as critical."""
BENT = 0.2
BAND_LIMIT = 24
"""Up to so many dimensions steps are made with the banded matrix of second derivatives, beyond with L-BFGS."""


class Functional(Protocol):
    """An action with its derivatives; the second ones as a matrix of `tridiagonal`."""

    @property
    def dim(self) -> int: ...
    def value(self, path: Path) -> float: ...
    def gradient(self, path: Path) -> Floats: ...
    def hessian(self, path: Path) -> Any: ...
    def springs(self, path: Path) -> Any: ...
    def scale(self, path: Path) -> float: ...


def moved(path: Path, inner: Floats) -> Path:
    """The path with other points between its ends."""
    x = path.x.copy()
    x[1:-1] = inner
    return Path(x, path.t)


def deflected(path: Path, mode: Floats) -> list[Path]:
    """The path bent along a displacement of its points between the ends to both sides, by a fifth of its size."""
    size = BENT * float(np.ptp(path.x, axis=0).max()) / np.abs(mode).max()
    return [moved(path, path.x[1:-1] + sign * size * mode) for sign in (1, -1)]


def relative_gradient(functional: Functional, path: Path) -> float:
    """The largest dS/dx_k between the ends, relative to the largest terms it is the sum of."""
    return float(np.abs(functional.gradient(path)[1:-1]).max() / max(functional.scale(path), 1e-300))


def by_newton(functional: Action) -> bool:
    """Whether there are second derivatives, in few enough dimensions."""
    return functional.dim <= BAND_LIMIT and functional.lagrangian.coefficients.smooth


def critical_path(functional: Functional, start: Path, *, descend: bool) -> Path | None:
    """A critical path near the start, by descent to a minimum or by Newton's method alone (saddles too); None where none is reached."""
    try:
        if isinstance(functional, Action) and not by_newton(functional):
            path = quasi_newton(functional, start)
        else:
            path = newton(functional, descent(functional, start) if descend else start)
    except (np.linalg.LinAlgError, FloatingPointError, ValueError):
        return None
    return path if relative_gradient(functional, path) <= ACCEPTED else None


def descent(functional: Functional, path: Path) -> Path:
    """Newton steps made to descend by adding the kinetic part of the action, until the Hessian is positive and the gradient small."""
    spring = functional.springs(path)
    shift, value = 0.0, functional.value(path)
    for _ in range(DESCENT_STEPS):
        gradient, H = functional.gradient(path)[1:-1], functional.hessian(path)
        while not (shifted := H.shifted(spring, shift)).is_positive():
            shift = max(4 * shift, 1e-3)
            if shift > 1e12:
                raise np.linalg.LinAlgError("D is not positive definite on the path")
        step = shifted.solve(gradient)
        if shift == 0 and np.abs(step).max() < 1e-3 * (1 + np.abs(path.x).max()):
            break
        tried = moved(path, path.x[1:-1] - step)
        if (new := _value(functional, tried)) <= value:
            path, value, shift = tried, new, (shift / 4 if shift > 1e-3 else 0.0)
        else:
            shift = max(4 * shift, 1e-2)
            if shift > 1e8:
                break
    return path


def _value(functional: Functional, path: Path) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        found = functional.value(path)
    return found if np.isfinite(found) else np.inf


def newton(functional: Functional, path: Path) -> Path:
    """Newton's method on the gradient, with steps halved until its norm falls; stops where rounding stops it."""
    best = np.linalg.norm(functional.gradient(path)[1:-1])
    for _ in range(NEWTON_STEPS):
        step = functional.hessian(path).solve(functional.gradient(path)[1:-1])
        for share in 0.5 ** np.arange(8):
            tried = moved(path, path.x[1:-1] - share * step)
            size = np.linalg.norm(functional.gradient(tried)[1:-1])
            if size < best:
                break
        else:
            return path
        path, best = tried, size
        if relative_gradient(functional, path) <= ROUNDING:
            return path
    return path


def quasi_newton(functional: Action, path: Path, tolerance: float = 1e-9, most: int = 2000) -> Path:
    """L-BFGS in the variables in which the kinetic part of the action, for D = 1, is half the square: memory O(n dim), no second derivatives."""
    c = functional.lagrangian.coefficients
    spring = 1 / (2 * c.T * path.dt)
    band = np.zeros((2, path.n - 1))
    band[1], band[0, 1:] = spring[:-1] + spring[1:], -spring[1:-1]
    factor = cholesky_banded(band)  # springs = R'R with R upper bidiagonal
    transposed = np.stack([factor[1], np.append(factor[0, 1:], 0.0)])

    def points(y: Floats) -> Path:
        return moved(path, path.x[1:-1] + solve_banded((0, 1), factor, y.reshape(path.n - 1, -1)))

    def value_and_gradient(y: Floats) -> tuple[float, Floats]:
        here = points(y)
        return functional.value(here), solve_banded((1, 0), transposed, functional.gradient(here)[1:-1]).ravel()

    options = {"maxiter": most, "maxfun": 2 * most, "maxcor": 20, "gtol": 0.0, "ftol": tolerance**2}
    found = minimize(
        value_and_gradient, np.zeros((path.n - 1) * path.dim), jac=True, method="L-BFGS-B", options=options
    )
    return points(found.x)


def refuse(functional: Action, starts: int) -> NotConvergedError:
    """What is said where no start has led to a critical path."""
    large = functional.lagrangian.coefficients.dim > TENSORS
    advice = "a larger n" if large else "a larger n or more starts=..."
    if not by_newton(functional) and not large:
        advice = f"a larger n, or the potential in NumPy for @sg.potential, whose second derivatives are then known in {functional.dim} dimensions"
    return NotConvergedError(f"no critical path was reached from {starts} starts; type {advice}")
