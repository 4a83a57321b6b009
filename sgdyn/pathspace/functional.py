"""The action of a path, with its derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate
from sgdyn.pathspace.inertia import configuration_action
from sgdyn.pathspace.lagrangians import Lagrangian
from sgdyn.pathspace.paths import Path
from sgdyn.pathspace.rules import FreidlinWentzell, Rule, Steps
from sgdyn.pathspace.tridiagonal import BlockTridiagonal
from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]

CONSTRAINT_TOLERANCE = 1e-6
"""How far x' - b may leave the range of D, relative to |x'| + |b|."""


@dataclass(frozen=True, eq=False)
class Action:
    """The action S of paths of a process, as a sum over their steps: a path has the density exp(-S) times `log_measure`'s.

    p(x_1, ..., x_n | x_0) = exp(-S) prod_k det(4 pi T dt_k D)^{-1/2}. Values are in units of T: uphill in a gradient system, slowly, S is
    the height over T, downhill 0. `gradient` and `hessian` are with respect to the points of the path.
    """

    problem: Langevin | Momentum
    rule: Rule = field(default_factory=FreidlinWentzell)

    def __post_init__(self) -> None:
        if not hasattr(self.rule, "steps") or isinstance(self.rule, type):
            raise TypeError(
                f"got rule={self.rule!r}, expected a discretisation; type rule=sg.Midpoint() or another of how-to-choose"
            )

    @cached_property
    def steps(self) -> Steps:
        return self.rule.steps(self.problem)

    @property
    def dim(self) -> int:
        return self.lagrangian.coefficients.dim

    @property
    def lagrangian(self) -> Lagrangian:
        return self.steps.lagrangian

    def value(self, path: Path) -> float:
        """S; infinite for a path that D does not reach (see `defect`)."""
        if self.lagrangian.coefficients.degenerate and self.defect(path) > CONSTRAINT_TOLERANCE:
            return float("inf")
        x, y, dt = self._parts(path)
        return float(self.steps.value(x, y, dt).sum()) + self.steps.of_ends(path.x[0], path.x[-1])

    def gradient(self, path: Path) -> Floats:
        """dS/dx_k of all points (n + 1, dim)."""
        first, second = self.steps.slope(*self._parts(path))
        found = np.zeros_like(path.x)
        found[:-1] += first
        found[1:] += second
        at_a, at_b = self.steps.slope_of_ends(path.x[0], path.x[-1])
        found[0] += at_a
        found[-1] += at_b
        return found

    def hessian(self, path: Path) -> BlockTridiagonal:
        """d²S/dx_j dx_k of the points between the ends."""
        xx, xy, yy = self.steps.curvature(*self._parts(path))
        return BlockTridiagonal(yy[:-1] + xx[1:], xy[1:-1])

    def springs(self, path: Path) -> BlockTridiagonal:
        """The second derivatives of the kinetic part |x'|²_{D^-1}/4T of the action, D on the path."""
        c = self.lagrangian.coefficients
        middle = self.steps.place(path.x[:-1], path.x[1:])
        stiffness = c.lower_columns(middle, np.broadcast_to(np.eye(c.dim), (path.n, c.dim, c.dim)))
        stiffness = stiffness / (2 * c.T * path.dt[:, None, None])
        return BlockTridiagonal(stiffness[:-1] + stiffness[1:], -stiffness[1:-1])

    def scale(self, path: Path) -> float:
        """The largest momentum |x'|/2TD or |b|/2TD that the gradient is the difference of, and that of a fluctuation, (2TD t)^{-1/2}."""
        c = self.lagrangian.coefficients
        b = c.drift(self.steps.place(path.x[:-1], path.x[1:]))
        found = np.abs(self.momenta(path)).max() + np.abs(c.lower(path.x[:-1], b)).max() / (2 * c.T)
        return float(found + 1 / self.width(path))

    def width(self, path: Path) -> float:
        """How far noise alone spreads paths in its time, (2 T t tr D/dim)^{1/2}."""
        c = self.lagrangian.coefficients
        return float(np.sqrt(2 * c.T * path.duration * np.trace(np.reshape(c.D(path.x[0]), (c.dim, c.dim))) / c.dim))

    def momenta(self, path: Path) -> Floats:
        """p = D^-1 (x' - b)/2T in the middle of each step (n, dim): the gradient of the quasipotential over T along a critical path."""
        x, y, dt = self._parts(path)
        return self.lagrangian.momentum(self.steps.place(x, y), (y - x) / dt[:, None])

    def energies(self, path: Path) -> Floats:
        """(|x'|² - |b|²)_{D^-1}/4T - W of each step (n,), which critical paths conserve up to O(dt²)."""
        x, y, dt = self._parts(path)
        return self.lagrangian.energy(0.5 * (x + y), (y - x) / dt[:, None], dt)

    def log_measure(self, path: Path) -> float:
        """-sum_k log det(4 pi T dt_k D)/2, D where the rule takes it."""
        x, y, dt = self._parts(path)
        c = self.lagrangian.coefficients
        if c.degenerate:
            raise ValueError("got a D without full rank, expected one with: paths have no density for it")
        volume = c.dim * np.log(4 * np.pi * c.T * dt) + c.log_determinant(self.steps.place(x, y))
        return float(-0.5 * volume.sum())

    def log_density(self, path: Path) -> float:
        """log p(x_1, ..., x_n | x_0)."""
        return self.log_measure(path) - self.value(path)

    def defect(self, path: Path) -> float:
        """The largest part of x' - b outside the range of a degenerate D, relative to |x'| + |b|; 0 for D of full rank."""
        c = self.lagrangian.coefficients
        if not c.degenerate:
            return 0.0
        x, y, dt = self._parts(path)
        v, b = (y - x) / dt[:, None], c.drift(self.steps.place(x, y))
        scale = np.abs(v).max() + np.abs(b).max()
        return float(np.abs(c.outside(v - b)).max() / max(scale, 1e-300))

    def _parts(self, path: Path) -> tuple[Floats, Floats, Floats]:
        dim = self.lagrangian.coefficients.dim
        if path.dim != dim:
            raise ValueError(f"got a path in dimension {path.dim}, expected {dim}")
        return path.x[:-1], path.x[1:], path.dt


def action(problem: Langevin | Momentum, path: Path, *, rule: Rule | None = None) -> Estimate:
    """The action of a path: with the default rule Freidlin and Wentzell's ∫ |x' - b|²_{D^-1}/4T dt.

    Its error is what the steps leave: a third of the difference to the path of every other point, where the number of steps is even (the
    points are taken to be exact). rule: `FreidlinWentzell()`, or one of Onsager and Machlup's at finite T: `StaticKernel()`,
    `MidpointJacobian()`, `Midpoint()`, `Prepoint()`. For a D without full rank the action is infinite, and a note says why, where x' - b
    leaves its range. For `Momentum` the path is one in x alone, (n + 1, dim of U), or one of points (x, v).

    Raises ValueError for paths of another dimension. Source: Onsager and Machlup, Phys. Rev. 91, 1505 (1953); Freidlin and Wentzell (1998).
    """
    if not isinstance(path, Path):
        raise TypeError(
            f"got a path of type {type(path).__name__}, expected a Path; type sg.Path(x, t) with points (n + 1, dim) and times"
        )
    if isinstance(problem, Momentum) and path.dim == problem.U.dim:
        return _with_error(lambda p: configuration_action(problem, p), path, "Freidlin-Wentzell, three-point rule")
    functional = Action(problem, FreidlinWentzell() if rule is None else rule)
    defect = functional.defect(path)
    if defect > CONSTRAINT_TOLERANCE:
        note = f"x' - b leaves the range of D by {defect:.2g} of its size: D makes no noise there, so this path has no action"
        return Estimate(float("inf"), 0.0, f"{functional.rule}, {path.n} steps", warnings=(note,))
    return _with_error(functional.value, path, str(functional.rule))


def _with_error(value: Callable[[Path], float], path: Path, name: str) -> Estimate:
    fine = value(path)
    if path.n % 2 or path.n < 4:
        note = "an odd number of steps (or two) leaves no coarser path to compare with: the error is unknown"
        return Estimate(fine, float("nan"), f"{name}, {path.n} steps", warnings=(note,))
    return Estimate(
        fine, abs(fine - value(path.coarser())) / 3, f"{name}, {path.n} steps; error from every other point"
    )
