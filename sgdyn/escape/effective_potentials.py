"""The potential of one coordinate when the others are integrated out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.codegen.formula import Formula, traced
from sgdyn.estimate import Estimate
from sgdyn.fields import Opaque
from sgdyn.noise import Diagonal
from sgdyn.printing import Printed
from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class EffectivePotential(Printed):
    """-T log of the stationary density of a coordinate: values (n,) at u (n,), zero where they are lowest, with errors of the difference from there.

    `warnings` say what the error does not cover. As a potential, `sg.tabulated` takes the values; with D of the coordinate in
    `Langevin.gibbs` it has the same density.
    """

    u: Floats
    values: Floats
    error: Floats
    T: float
    method: str
    warnings: tuple[str, ...] = ()

    def at(self, u: float) -> Estimate:
        """The value at u, cubic between the points."""
        from scipy.interpolate import CubicSpline

        place = checks.number("u", u)
        if not self.u[0] <= place <= self.u[-1]:
            raise ValueError(f"got u={place:g}, expected a number between {self.u[0]:g} and {self.u[-1]:g}")
        error = float(np.interp(place, self.u, self.error))
        return Estimate(float(CubicSpline(self.u, self.values)(place)), error, self.method, warnings=self.warnings)

    def between(self, start: float, end: float) -> Estimate:
        """The rise from one u to another; the errors of both are added in squares."""
        a, b = self.at(start), self.at(end)
        return Estimate(b.value - a.value, float(np.hypot(a.error, b.error)), self.method, warnings=self.warnings)

    def plot(self, ax: Any = None) -> Any:
        """The curve with its error (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


class EffectiveMethod(Protocol):
    """A way to find an effective potential."""

    def effective(self, problem: Langevin | Momentum, along: Any, at: Floats | None) -> EffectivePotential: ...


def effective_potential(
    problem: Langevin | Momentum,
    *,
    along: int | Callable[[Any], Any] | ArrayLike,
    method: EffectiveMethod,
    at: ArrayLike | None = None,
) -> EffectivePotential:
    """The effective potential F(u) = -T log rho(u) of a coordinate u, up to a constant.

    along: the number of a coordinate; a function of x (dim,), whose density then includes the volume of its level sets; or a path, points (n, dim),
    along which u is the arc length. at: the values u (n,), increasing. method:

    `Adiabatic()`: U at the bottom of the valley + (T/2) log det of the transverse Hessian (coordinates and paths);
    `MarginalQuadrature()`: the integral itself (coordinates; up to three others);
    `DensityMarginal(density or generator)`, `EnsembleHistogram(ensemble)`: from what was solved or simulated, for any process;
    `UmbrellaSampling(...)`: simulations held at each u in turn (coordinates, functions, paths).

    The first two and the last take exp(-U/T) for the stationary density, with T times the D of isotropic noise for T; they raise ValueError for
    processes that have another one. For those, and for D(x) read in Itô's sense, F is -T log of the marginal that was found: a static
    potential, which says nothing of how fast u moves. Raises TypeError for other methods.
    """
    if not hasattr(method, "effective"):
        raise TypeError(f"got method={method!r}, expected one such as sg.Adiabatic(); type method=sg.Adiabatic()")
    return method.effective(problem, along, None if at is None else places(at))


def places(at: ArrayLike) -> Floats:
    """Increasing finite numbers (n,)."""
    u = checks.finite("at", at)
    if u.ndim != 1 or len(u) < 2 or np.any(np.diff(u) <= 0):
        raise ValueError(f"got at of shape {u.shape}, expected increasing numbers (n,); type at=np.linspace(-1, 1, 41)")
    return u


def wanted(at: Floats | None) -> Floats:
    """The values of u, which the method needs."""
    if at is None:
        raise ValueError("got no at=..., expected the values of the coordinate; type at=np.linspace(-1, 1, 41)")
    return at


def from_lowest(
    u: Floats, values: Floats, error: Floats, T: float, method: str, warnings: tuple[str, ...] = ()
) -> EffectivePotential:
    """The result with its zero at the lowest value."""
    return EffectivePotential(u, values - values.min(), error, T, method, warnings)


def gibbs_temperature(problem: Langevin | Momentum) -> float:
    """The temperature at which exp(-U/T) is stationary; raises ValueError where there is none."""
    if problem.U is None or (isinstance(problem, Langevin) and problem.curl is not None):
        raise ValueError(_other(problem, "a drift that is no gradient"))
    if isinstance(problem, Langevin) and problem.is_gibbs:
        return problem.T
    noise = problem.D
    strength = noise.isotropic if isinstance(noise, Diagonal) else None
    if strength is None:
        raise ValueError(_other(problem, "noise that is not isotropic"))
    return float(problem.T * strength)


def _other(problem: Any, what: str) -> str:
    return (
        f"got a {type(problem).__name__} process with {what}, whose stationary density is not exp(-U/T); type "
        "method=sg.DensityMarginal(sg.fokker_planck(problem, grid)) or sg.EnsembleHistogram(sg.simulate(...))"
    )


def coordinate(along: Any, dim: int) -> int:
    """The number of a coordinate; raises TypeError or ValueError for what is none."""
    if callable(along) or np.ndim(along):
        raise TypeError(f"got along={along!r}, expected the number of a coordinate for this method; type along=0")
    number = checks.count("along", along, least=0)
    if number >= dim:
        raise ValueError(f"got along={number}, expected a coordinate from 0 to {dim - 1}")
    return number


def variable(along: Any, dim: int) -> Formula | Opaque:
    """The coordinate, function or arc length as a field on points (..., dim)."""
    if callable(along):
        found = traced(along, dim)
        if found.shape != ():
            raise ValueError(f"got along(x) of shape {found.shape}, expected a number; type lambda x: x[0]")
        return found
    if np.ndim(along):
        return path_variable(path_points(along, dim))
    number = coordinate(along, dim)
    return traced(lambda x: x[number] + 0.0, dim)


def path_points(path: Any, dim: int) -> Floats:
    """The points (n, dim) of a path, no two successive ones equal."""
    points = checks.points(checks.finite("along", path), dim, "along")
    if points.ndim != 2 or len(points) < 3 or np.any(np.linalg.norm(np.diff(points, axis=0), axis=1) == 0):
        raise ValueError(f"got a path of shape {points.shape}, expected at least 3 different points (n, {dim})")
    return points


def arc_length(points: Floats) -> Floats:
    """The length of the path up to each point (n,)."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])


def path_variable(points: Floats) -> Opaque:
    """s(x) = sum_i s_i e^{-|x - x_i|²/l²}/sum_i e^{-|x - x_i|²/l²}, l² the mean squared gap: the arc length s of the nearest points.

    Source: Branduardi, Gervasio, Parrinello, J. Chem. Phys. 126, 054103 (2007), eq. 5.
    """
    lengths = arc_length(points)
    scale = 1 / float(np.mean(np.diff(lengths) ** 2))

    def weights(x: Floats) -> Floats:
        log = -scale * np.sum((x[..., None, :] - points) ** 2, axis=-1)
        shares = np.exp(log - log.max(axis=-1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=-1, keepdims=True))

    def slope(x: Floats) -> Floats:
        shares = weights(x)
        apart = shares * (lengths - (shares @ lengths)[..., None])
        return np.asarray(2 * scale * apart @ points)  # the parts with x itself cancel

    dim = points.shape[1]
    gradient = Opaque(slope, dim, (dim,), name="the gradient of the arc length")
    return Opaque(lambda x: weights(x) @ lengths, dim, (), gradient, name="the arc length")
