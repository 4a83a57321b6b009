"""What a flow starts from, and where that lies."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.density.distribution import Density
from sgdyn.density.flows.energies import Energy
from sgdyn.density.flows.flow import Cloud, GaussianState
from sgdyn.noise import Varying
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]

LEVELS = np.linspace(0.005, 0.995, 199)
WIDE = 3.0
"""Standard deviations within which a normal start is looked at."""


def begun(rho0: Any, dim: int) -> Any:
    """A density on a grid of mass one, a normal density, a cloud, or something with quantiles."""
    if isinstance(rho0, Density | GaussianState | Cloud) or (dim == 1 and hasattr(rho0, "ppf")):
        start = rho0
    elif isinstance(rho0, np.ndarray | list | tuple):
        start = Cloud(checks.points(cast(ArrayLike, rho0), dim, "rho0"))
    else:
        raise TypeError(
            f"got rho0 of type {type(rho0).__name__}, expected a Density, a GaussianState or points (n, {dim}); type sg.GaussianState(mean, cov)"
        )
    size = _size(start, dim)
    if size != dim:
        raise ValueError(f"got rho0 in dimension {size} for a process in dimension {dim}, expected the same")
    if isinstance(start, Cloud):
        checks.points(start.points, dim, "rho0")
    if isinstance(start, Density) and (start.values.min() < 0 or not np.all(np.isfinite(start.values))):
        raise ValueError(f"got rho0 with densities from {start.values.min():g}, expected finite numbers >= 0")
    return start.normalised if isinstance(start, Density) else start


def _size(start: Any, dim: int) -> int:
    if isinstance(start, Density):
        return start.grid.dim
    if isinstance(start, GaussianState):
        return len(start.mean)
    return int(np.shape(start.points)[-1]) if isinstance(start, Cloud) else dim


def places(start: Any) -> Floats:
    """Points (n, dim) where the start lies: cells, points, quantiles."""
    if isinstance(start, Density):
        return start.grid.centers.reshape(-1, start.grid.dim)
    if isinstance(start, Cloud):
        return np.asarray(start.points)
    if isinstance(start, GaussianState):
        values, axes = np.linalg.eigh(start.covariance)
        z = np.random.default_rng(0).uniform(-WIDE, WIDE, (256, len(start.mean)))
        return np.asarray(start.mean + (z * np.sqrt(np.maximum(values, 0))) @ axes.T)
    found = np.asarray(start.ppf(LEVELS), dtype=np.float64)
    return found[np.isfinite(found)][:, None]


def check_there(problem: Langevin, energy: Energy, points: Floats) -> None:
    """Raise ValueError where the energy or D is no number at points of the start, or D has negative eigenvalues."""
    for name, values in (("the potential of the energy", energy.potential(points)), ("D", _lowest(problem, points))):
        wrong = ~np.isfinite(values)
        if wrong.any():
            raise ValueError(
                f"got {name} of {values[wrong][0]:g} at x={points[wrong][0]}, expected numbers wherever rho0 lies: tables end with their grid; "
                "type a start inside, such as sg.gaussian(grid, mean, cov), or a table on a larger grid"
            )
    low = _lowest(problem, points)
    if low.min(initial=0.0) < 0:
        raise ValueError(
            f"got D with the eigenvalue {low.min():.3g} at x={points[np.argmin(low)]}, expected none below 0; type another D"
        )


def _lowest(problem: Langevin, points: Floats) -> Floats:
    """The least eigenvalue of a D that varies, up to rounding; 0 where it does not: then it is known to be positive definite."""
    if not isinstance(problem.D, Varying):
        return np.zeros(len(points))
    D = problem.D(points)
    if not np.all(np.isfinite(D)):
        return np.asarray(np.where(np.isfinite(D).all(axis=(-2, -1)), 0.0, np.nan))
    values = np.linalg.eigvalsh(D)
    return np.asarray(np.where(values[:, 0] < -1e-12 * np.abs(values).max(axis=1), values[:, 0], 0.0))


def checked_energy(value: float, k: int) -> None:
    """Raise ValueError for an energy after k steps that is no number; that of a point at the start is infinite."""
    if np.isfinite(value) or (k == 0 and value == np.inf):
        return
    raise ValueError(
        f"got an energy of {value:g} {'at the start' if k == 0 else f'after step {k}'}, expected a number: the potential, the internal energy "
        "or D is NaN or infinite somewhere in rho; type energies that are finite there, such as a table on a larger grid"
    )
