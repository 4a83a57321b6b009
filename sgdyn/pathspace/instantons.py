"""Paths of least action between two points in a fixed time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.estimate import Estimate
from sgdyn.pathspace.coefficients import coefficients
from sgdyn.pathspace.constrained import hamiltonian_path
from sgdyn.pathspace.criticality import BAND_LIMIT, by_newton, critical_path, deflected, refuse, relative_gradient
from sgdyn.pathspace.functional import Action
from sgdyn.pathspace.inertia import InertialAction, forces, of_ends, positions, with_velocities
from sgdyn.pathspace.paths import Path, ends, straight
from sgdyn.pathspace.rules import FreidlinWentzell, Rule
from sgdyn.pathspace.starts import bent_starts, mirrored, same_path
from sgdyn.printing import Printed
from sgdyn.problem import Langevin, Momentum
from sgdyn.progress import progress

Floats = NDArray[np.float64]

MOST = 20
"""From so many paths other ones are looked for beside them."""


@dataclass(frozen=True, eq=False, repr=False)
class Instanton(Printed):
    """A critical path of the action in a fixed time.

    path; action (in units of T; its error: two against three levels of Richardson's extrapolation from n/4, n/2 and n steps); momenta
    (n, dim) in the middle of the steps; energy (p . x' - L, its error the largest deviation along the path); residual: the largest
    dS/dx_k relative to the momenta. index: the number of directions in which the action falls, that is of conjugate points between the
    ends (Morse), and `conjugate_points` their times; None where second derivatives were not formed. `critical_paths`: all that were
    found, the least action first. The path to a point beyond a conjugate one is a saddle of the action, not a most probable path.
    """

    problem: Langevin | Momentum
    rule: Rule
    path: Path
    action: Estimate
    momenta: Floats
    energy: Estimate
    residual: float
    index: int | None
    conjugate_points: Floats | None
    critical_paths: tuple[Instanton, ...] = field(default=(), repr=False)

    @property
    def is_minimum(self) -> bool:
        """Whether no conjugate point lies between the ends; assumed where that was not computed (the path was reached by descent)."""
        return not self.index

    def plot(self, ax: Any = None) -> Any:
        """The critical paths: on the landscape in two dimensions, else against time (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def instanton(
    problem: Langevin | Momentum, a: ArrayLike, b: ArrayLike, *, t: float, n: int = 400, rule: Rule | None = None, starts: int = 8, seed: int = 0,
    shown: bool | None = None,
) -> Instanton:  # fmt: skip
    """The path of least action from a to b (dim,) in the time t, among all critical paths found from several starts.

    The action is discretised first (n steps, a multiple of 4), then made stationary: Newton's method with the banded second derivatives,
    from a straight path by descent and from `starts` bent ones with and without; above 24 dimensions, and above 8 where second derivatives of the drift are not known,
    L-BFGS preconditioned by the kinetic part. rule: `FreidlinWentzell()`, whose critical path does not know T, or one of Onsager and Machlup's. For a D without full
    rank Hamilton's equations are solved, so that the path keeps x' - b in the range of D; for `Momentum` (points (x, v)) from a critical
    path of the positions, found in the same way.

    Raises NotConvergedError where no start leads anywhere, ValueError for ends of another shape and an n that is no multiple of 4.
    Sources: Freidlin and Wentzell (1998); E, Ren, Vanden-Eijnden, Commun. Pure Appl. Math. 57, 637 (2004).
    """
    functional = Action(problem, FreidlinWentzell() if rule is None else rule)
    dim = functional.lagrangian.coefficients.dim
    first, last = ends(a, b, dim)
    n = checks.count("n", n, least=16)
    if n % 4:
        raise ValueError(
            f"got n={n}, expected a multiple of 4: the error comes from n/4 and n/2 steps; type n={4 * (n // 4 + 1)}"
        )
    coarse = straight(first, last, t=t, n=n // 4)
    finder, width = _finder(functional), functional.width(coarse)
    seen: list[Path] = []
    found: list[list[Path]] = []
    plan = list(bent_starts(coarse, checks.count("starts", starts, least=0), seed, dim, width, finder.newton))
    with progress("critical paths", shown) as bar:
        for k, (start, descend) in enumerate(plan):
            bar(k / len(plan))
            path = finder.critical(start, descend)
            if path is not None and not any(same_path(path, known, width) for known in seen):
                seen.append(path)
                if len(seen) < MOST:  # a continuous family has no end of others
                    plan += [(other, True) for other in [*mirrored(path, width), *finder.beside(path)]]
                levels = finder.refined(path)
                if levels is not None and not any(same_path(levels[-1], known[-1], width) for known in found):
                    found.append(levels)
    if not found:
        raise refuse(functional, len(plan))
    return _sorted([finder.result(levels) for levels in found])


def _finder(functional: Action) -> _Free:
    problem = functional.problem
    if not functional.lagrangian.coefficients.degenerate:
        return _Free(functional)
    if isinstance(problem, Momentum) and not forces(problem).degenerate and problem.dim <= BAND_LIMIT:
        return _Inertial(functional)
    return _Constrained(functional)


def _sorted(results: list[Instanton]) -> Instanton:
    results.sort(key=lambda one: float(one.action))
    return replace(results[0], critical_paths=tuple(results))


@dataclass(frozen=True, eq=False)
class _Free:
    """Critical paths for D of full rank."""

    functional: Action

    @property
    def newton(self) -> bool:
        """Whether saddles of the action can be found, by Newton's method."""
        return by_newton(self.functional)

    def critical(self, start: Path, descend: bool) -> Path | None:
        return critical_path(self.functional, start, descend=descend)

    def refined(self, path: Path) -> list[Path] | None:
        """The critical path at n/4, n/2 and n steps."""
        levels = [path]
        for _ in range(2):
            finer = self.critical(levels[-1].finer(), False)
            if finer is None:
                return None
            levels.append(finer)
        return levels

    def beside(self, path: Path) -> list[Path]:
        """On both sides of a path that is no minimum, in the direction in which its action falls most."""
        if path.dim > BAND_LIMIT or not self.newton:
            return []
        H = self.functional.hessian(path)
        return deflected(path, H.lowest()) if H.negative.any() else []

    def value(self, path: Path) -> float:
        return self.functional.value(path)

    def momenta(self, path: Path) -> Floats:
        return self.functional.momenta(path)

    def residual(self, path: Path) -> float:
        return relative_gradient(self.functional, path)

    def energies(self, path: Path) -> Floats:
        return self.functional.energies(path)

    def conjugate_points(self, path: Path) -> Floats | None:
        if not by_newton(self.functional):
            return None
        return np.repeat(path.t[2:], self.functional.hessian(path).negative)

    def result(self, levels: list[Path]) -> Instanton:
        path, rule = levels[-1], self.functional.rule
        energies, conjugate = self.energies(path), self.conjugate_points(path)
        energy = Estimate(float(energies.mean()), float(np.abs(energies - energies.mean()).max()), "largest deviation")
        return Instanton(
            self.functional.problem, rule, path, _extrapolated([self.value(p) for p in levels], f"{rule}, n={path.n}"),
            self.momenta(path), energy, self.residual(path), None if conjugate is None else len(conjugate), conjugate,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Constrained(_Free):
    """Critical paths for D without full rank, whose momenta are unknowns of their own."""

    known: dict[Path, Floats] = field(default_factory=dict)

    @property
    def newton(self) -> bool:
        return self.functional.dim <= BAND_LIMIT

    def _solved(self, start: Path, p: Floats | None = None) -> Path | None:
        found = hamiltonian_path(coefficients(self.functional.problem, noiseless=True), start, p)
        if found is None:
            return None
        self.known[found[0]] = found[1]
        return found[0]

    def critical(self, start: Path, descend: bool) -> Path | None:
        return None if descend else self._solved(start)

    def beside(self, path: Path) -> list[Path]:
        return []

    def momenta(self, path: Path) -> Floats:
        return self.known[path]

    def value(self, path: Path) -> float:
        c, p = self.functional.lagrangian.coefficients, self.momenta(path)
        D = c.constant if c.constant.ndim == 2 else np.diag(c.constant)
        return float(c.T * np.einsum("n,ni,ij,nj->", path.dt, p, D, p))

    def residual(self, path: Path) -> float:
        return self.functional.defect(path)

    def energies(self, path: Path) -> Floats:
        c, p = self.functional.lagrangian.coefficients, self.momenta(path)
        D = c.constant if c.constant.ndim == 2 else np.diag(c.constant)
        b = c.drift(0.5 * (path.x[1:] + path.x[:-1]))
        return np.asarray(np.einsum("ni,ni->n", p, b) + c.T * np.einsum("ni,ij,nj->n", p, D, p))

    def conjugate_points(self, path: Path) -> Floats | None:
        return None


@dataclass(frozen=True, eq=False)
class _Inertial(_Constrained):
    """The same for `Momentum`, from critical paths of positions, whose action can be made to descend."""

    def critical(self, start: Path, descend: bool) -> Path | None:
        functional = self._of(start)
        found = critical_path(functional, with_velocities(start), descend=descend)
        if found is None:
            return None if descend else self._solved(start)
        return self._solved(functional.phase_space(found), functional.momenta_in_phase_space(found))

    def refined(self, path: Path) -> list[Path] | None:
        """The critical path at n/4, n/2 and n steps; finer ones start from positions, as velocities at steps may swing."""
        levels = [path]
        for _ in range(2):
            finer = positions(levels[-1]).finer()
            functional = self._of(path)
            place = critical_path(functional, finer, descend=False)
            if place is None:
                return None
            found = self._solved(functional.phase_space(place), functional.momenta_in_phase_space(place))
            if found is None:
                return None
            levels.append(found)
        return levels

    def conjugate_points(self, path: Path) -> Floats | None:
        functional = self._of(path)
        place = critical_path(functional, positions(path), descend=False)
        if place is None:
            return None
        negative = functional.hessian(place).negative
        return np.repeat(path.t[np.minimum(2 * np.arange(len(negative)) + 3, path.n)], negative)

    def _of(self, path: Path) -> InertialAction:
        assert isinstance(self.functional.problem, Momentum)
        return of_ends(self.functional.problem, path.x[0], path.x[-1])


def _extrapolated(values: list[float], name: str) -> Estimate:
    """Richardson's extrapolation of errors dt², dt⁴ from steps in the ratio 4:2:1."""
    first, second = ((4 * fine - coarse) / 3 for coarse, fine in pairwise(values))
    value = (16 * second - first) / 15
    return Estimate(value, abs(value - second) + 1e-14 * abs(value), f"{name}; extrapolated from n/4, n/2, n")
