"""Gaussian fluctuations around critical paths: their determinant, twice, and the prefactor of the transition density.

    p(b, t | a) = (2 pi)^{-d/2} det(-d²S/da db)^{1/2} exp(-S - ∫ W dt) (1 + O(T)),

S Freidlin and Wentzell's action at its critical path, p = dL/dv, and W what Onsager and Machlup's function has beyond it to order T^0,

    W = div b_0/2 + p . (T div D - (b - b_0)),

b_0 the drift for T -> 0. The determinant is Van Vleck's. With J = (dx(t)/dp(0)) (2 T D(a))^-1, J(0) = 0 and J'(0) = 1, it is 1/det(2 T D(a) J(t)):
Gelfand and Yaglom's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.errors import NotConvergedError
from sgdyn.estimate import Estimate
from sgdyn.pathspace.coefficients import coefficients
from sgdyn.pathspace.criticality import BAND_LIMIT, Functional, critical_path
from sgdyn.pathspace.functional import Action
from sgdyn.pathspace.hamiltonian import flow_from
from sgdyn.pathspace.inertia import InertialAction, forces, of_ends, positions
from sgdyn.pathspace.instantons import Instanton
from sgdyn.pathspace.paths import Path
from sgdyn.pathspace.rules import FreidlinWentzell
from sgdyn.pathspace.soft_modes import SoftMode, soft_mode
from sgdyn.printing import Printed
from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]

ROUNDING = 1e-16
"""Third differences of positions lose so much, times the cube of their number."""
CERTAIN = 4e-16
"""Rounding of extrapolated logarithms, relative to their size, and of each of the n pivots, which have lost n^{1/2} times as much."""


@dataclass(frozen=True, eq=False, repr=False)
class Fluctuations(Printed):
    """Gaussian fluctuations around a critical path of the action.

    log_van_vleck: log det(-d²S/da db); log_divergence: -∫ W dt; determinant: det J(t) of the Jacobi fields J(0) = 0, J'(0) = 1 in the
    metric of D (a Brownian path has t^dim). soft: the softest mode, where it was looked at. Errors are those of the steps.
    """

    instanton: Instanton
    log_van_vleck: Estimate
    log_divergence: Estimate
    determinant: Estimate
    soft: SoftMode | None = None

    def plot(self, ax: Any = None) -> Any:
        """The path, and what one standard deviation of its softest mode makes of it (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)

    @property
    def log_prefactor(self) -> Estimate:
        """The logarithm of what multiplies exp(-S)."""
        dim = self.instanton.path.dim
        value = -0.5 * dim * np.log(2 * np.pi) + 0.5 * float(self.log_van_vleck) + float(self.log_divergence)
        error = 0.5 * self.log_van_vleck.error + self.log_divergence.error
        return Estimate(value, error, self.log_van_vleck.method)

    @property
    def log_density(self) -> Estimate:
        """log p(b, t | a) of this path alone, to leading order in T."""
        S = self.instanton.action
        return Estimate(float(self.log_prefactor) - float(S), self.log_prefactor.error + S.error, S.method)


def fluctuations(found: Instanton, *, method: str = "pivots") -> Fluctuations:
    """The Gaussian fluctuations around a critical path of Freidlin and Wentzell's action, and with them the prefactor exp(-S) has.

    method: "pivots", the determinant of the discrete action's second derivatives by elimination, at n/4, n/2 and n steps extrapolated; or
    "flow", Hamilton's equations with their linearisation, shot from a (for D without full rank, other than that of `Momentum`, the only one;
    for times so long that paths from a cannot be aimed at b it raises NotConvergedError). They share nothing but the path. Up to 24 dimensions.

    Raises ValueError behind a conjugate point, where the path is a saddle of the action, and for other rules than `FreidlinWentzell()`.
    Sources: Gelfand and Yaglom, J. Math. Phys. 1, 48 (1960); Van Vleck, PNAS 14, 178 (1928); Grafke, Schäfer, Vanden-Eijnden, Commun. Pure
    Appl. Math. 77, 2268 (2024), whose forward Riccati equation is not used because it blows up where det J does not vanish.
    """
    refuse_saddle(found)
    degenerate = coefficients(found.problem, noiseless=True).degenerate
    if method == "pivots" and has_positions(found.problem):
        return _by_positions(found)
    if method == "flow" or (degenerate and method == "pivots"):
        return _by_flow(found)
    if method != "pivots":
        raise ValueError(f'got method={method!r}, expected "pivots" or "flow"')
    return _by_pivots(found)


def refuse_saddle(found: Instanton) -> None:
    """Raise ValueError for a path that has no Gaussian fluctuations of Freidlin and Wentzell's action."""
    if not isinstance(found, Instanton):
        raise TypeError(f"got a {type(found).__name__}, expected an Instanton; type sg.instanton(problem, a, b, t=...)")
    if not isinstance(found.rule, FreidlinWentzell):
        raise ValueError(
            f"got a path of the rule {found.rule}, expected FreidlinWentzell(): only its path gives the leading order in T with one prefactor; "
            "type sg.instanton(problem, a, b, t=...)"
        )
    if not found.is_minimum:
        assert found.conjugate_points is not None
        raise ValueError(
            f"got a path with a conjugate point at t={found.conjugate_points[0]:.4g}: behind it the path is a saddle of the action, and Gaussian "
            "fluctuations diverge; type another of .critical_paths, one with .is_minimum"
        )
    if found.path.dim > BAND_LIMIT:
        raise ValueError(f"got a path in dimension {found.path.dim}, expected at most {BAND_LIMIT} for determinants")


def _by_pivots(found: Instanton) -> Fluctuations:
    functional = Action(found.problem, found.rule)
    values = np.array([_level(functional, path) for path in _levels(functional, found.path)])
    vleck, weight = (_extrapolated(column, found.path.n, "pivots") for column in values.T)
    return _result(found, vleck, weight, soft_mode(functional, found.path))


def has_positions(problem: Langevin | Momentum) -> bool:
    """Whether it is a `Momentum` whose velocities all feel noise: the action of positions has second derivatives."""
    return isinstance(problem, Momentum) and not forces(problem).degenerate


def _by_positions(found: Instanton) -> Fluctuations:
    """For `Momentum`: from the second derivatives of the action of positions, whose steps have a density of their own."""
    problem, path = found.problem, found.path
    assert isinstance(problem, Momentum)
    functional = of_ends(problem, path.x[0], path.x[-1])
    weight = 0.25 * problem.friction * path.dim * path.duration  # -∫ div b/2 dt
    values = []
    levels = _levels(functional, positions(path))
    for level in levels:
        prefactor = functional.leading_log_density(level) + functional.value(level)
        values.append(2 * (prefactor - weight) + path.dim * np.log(2 * np.pi))
    vleck = _extrapolated(np.array(values), path.n, "pivots of positions")
    vleck = replace(vleck, error=vleck.error + ROUNDING * path.n**3)
    return _result(found, vleck, Estimate(weight, 0.0, "div b is constant"), soft_mode(functional, levels[-1]))


def _levels(functional: Functional, path: Path) -> list[Path]:
    """The critical path at n/4, n/2 and n steps."""
    levels = [path]
    if isinstance(functional, InertialAction):  # the path is that of another discretisation
        own = critical_path(functional, path, descend=False)
        levels = [path if own is None else own]
    for _ in range(2):
        coarser = critical_path(functional, levels[0].coarser(), descend=False)
        if coarser is None:
            raise NotConvergedError(
                f"no critical path was reached with {levels[0].n // 2} steps; type a larger n in instanton(...)"
            )
        levels.insert(0, coarser)
    return levels


def _level(functional: Action, path: Path) -> tuple[float, float]:
    """log det(-d²S_n/da db) = sum log det(-d²S_k/dx dy) - log det H, exactly that of the discrete action, and -∫ W dt."""
    _, across, _ = functional.steps.curvature(path.x[:-1], path.x[1:], path.dt)
    logarithm = np.linalg.slogdet(across)[1].sum() - functional.hessian(path).log_determinant
    middle, p = 0.5 * (path.x[1:] + path.x[:-1]), functional.momenta(path)
    return float(logarithm), -float(path.dt @ divergence(functional.problem, middle, p))


def divergence(problem: Langevin | Momentum, x: Floats, p: Floats) -> Floats:
    """W = div b_0/2 + p . (T div D - (b - b_0)) at points x (n, dim) with momenta p (n, dim)."""
    bare, full = coefficients(problem, noiseless=True), coefficients(problem, noiseless=False)
    found = 0.5 * bare.jacobian.trace()(x)
    if bare.varying:
        warm = bare.T * bare.D.divergence(x) - (full.drift(x) - bare.drift(x))
        found = found + np.einsum("ni,ni->n", p, warm)
    return np.asarray(found)


def _by_flow(found: Instanton) -> Fluctuations:
    c = coefficients(found.problem, noiseless=True)
    path, p = found.path, found.momenta
    flow = flow_from(c, lambda x, p: divergence(found.problem, x[None], p[None])[0], path, 1.5 * p[0] - 0.5 * p[1])
    sign, logarithm = np.linalg.slogdet(flow.spread)
    if sign <= 0:
        raise ValueError(
            f"got det J(t) <= 0 at t={path.duration:.4g}: a conjugate point lies on the path, a saddle of the action; type a shorter t"
        )
    vleck = Estimate(-float(logarithm), flow.error * path.dim, "linear Hamiltonian flow")
    return _result(found, vleck, Estimate(-flow.weight, flow.error, "linear Hamiltonian flow"), None)


def _result(found: Instanton, vleck: Estimate, weight: Estimate, soft: SoftMode | None) -> Fluctuations:
    c = coefficients(found.problem, noiseless=True)
    start = found.path.x[:1]
    if c.degenerate:
        value = Estimate(
            float("nan"), float("nan"), vleck.method, warnings=("D has no full rank: J has no unit slope",)
        )
        return Fluctuations(found, vleck, weight, value, soft)
    unit = c.dim * np.log(2 * c.T) + c.log_determinant(start)[0]
    determinant = float(np.exp(-float(vleck) - unit))
    return Fluctuations(found, vleck, weight, Estimate(determinant, determinant * vleck.error, vleck.method), soft)


def _extrapolated(values: Any, n: int, name: str) -> Estimate:
    """Richardson's extrapolation of errors dt², dt⁴ from steps in the ratio 4:2:1."""
    first, second = ((4 * fine - coarse) / 3 for coarse, fine in pairwise(values))
    value = float((16 * second - first) / 15)
    rounding = CERTAIN * (n**1.5 + abs(value))
    return Estimate(value, abs(value - float(second)) + rounding, f"{name}, n={n}")
