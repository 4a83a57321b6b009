"""Transition densities by Laplace's method, split into what the ends say and what the roads between them say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from sgdyn import checks
from sgdyn.errors import NotConvergedError
from sgdyn.estimate import Estimate
from sgdyn.fields import Affine
from sgdyn.noise import Diagonal
from sgdyn.pathspace.coefficients import coefficients, equilibrium
from sgdyn.pathspace.corrections import correction
from sgdyn.pathspace.determinants import Fluctuations, fluctuations
from sgdyn.pathspace.instantons import Instanton, instanton
from sgdyn.problem import Langevin, Momentum
from sgdyn.steady.linear import linear_stationary

Floats = NDArray[np.float64]

FAR = 0.5
"""The next order in T, relative, from which Laplace's method is refused."""
KEEPS = 1e-8
"""div(c exp(-U/T)) exp(U/T) relative to |c . grad U|/T + |div c| below which a curl is taken to keep exp(-U/T)."""
ENDLESS = 30.0
"""So many times its size a fluctuation moves a path that a symmetry may turn."""
SMALLEST = -700.0
"""Logarithms of what is a number in double precision."""
NEGLIGIBLE = 40.0
"""Critical paths whose action exceeds the least by so much contribute nothing."""


@dataclass(frozen=True, eq=False)
class TransitionDensity:
    """p(b, t | a) by Laplace's method: `value`, the sum over `critical_paths`, with the next order in T as its error.

    log_value: its logarithm, also where it is no number of double precision. corrected: the same with all orders in T, by weighing Gaussian paths around the critical ones (error: standard error of the mean and of
    the steps); None where there is no need (linear processes) or no density of paths (D without full rank, other than that of `Momentum`).
    """

    problem: Langevin | Momentum
    a: Floats
    b: Floats
    t: float
    value: Estimate
    corrected: Estimate | None
    critical_paths: tuple[Fluctuations, ...]
    log_value: Estimate

    def __float__(self) -> float:
        return float(self.value)

    def __str__(self) -> str:
        return f"p(b, t | a) = {self.value}"

    __repr__ = __str__

    @cached_property
    def static(self) -> Estimate:
        """sqrt(rho(b)/rho(a)) of the stationary density rho: what depends on the ends alone, exp(-(U(b) - U(a))/2T) in a gradient system.

        Where rho is not known in closed form, sqrt(p(b, t | a)/p(a, t | b)), which is the same in detailed balance.
        """
        return _exponential(self._log_static, self._log_static.method)

    @cached_property
    def _log_static(self) -> Estimate:
        known = half_log_ratio(self.problem, self.a, self.b)
        if known is not None:
            return Estimate(known, 0.0, "stationary density")
        back = transition_density(self.problem, self.b, self.a, self.t, n=self.critical_paths[0].instanton.path.n)
        error = 0.5 * float(np.hypot(self.log_value.error, back.log_value.error))
        half = 0.5 * (float(self.log_value) - float(back.log_value))
        return Estimate(half, error, "both directions, by Laplace's method")

    @cached_property
    def reachability(self) -> Estimate:
        """p(b, t | a)/static: what depends on the roads. In detailed balance the same from b to a, of `Momentum` with velocities reversed."""
        half = self._log_static
        log = Estimate(float(self.log_value) - float(half), float(np.hypot(self.log_value.error, half.error)), "")
        return _exponential(log, self.value.method)

    def plot(self, ax: Any = None) -> Any:
        """The critical paths (see `sgdyn.plot`)."""
        return self.critical_paths[0].instanton.plot(ax)


def transition_density(
    problem: Langevin | Momentum, a: ArrayLike, b: ArrayLike, t: float, *, n: int = 400, starts: int = 8, samples: int = 2000, seed: int = 0,
    shown: bool | None = None,
) -> TransitionDensity:  # fmt: skip
    """The density p(b, t | a) (1/length^dim) of paths from a (dim,) to be at b after the time t, to leading order in T:

        p = sum_k (2 pi)^{-d/2} det(-d²S_k/da db)^{1/2} exp(-S_k - ∫ W_k dt)

    over the minima S_k of Freidlin and Wentzell's action that n steps and `starts` starting paths find, W see `fluctuations`. For linear
    processes it is exact, else its error is the next order in T, as weighing `samples` paths around the critical ones finds it (see
    `TransitionDensity.corrected`); where that is no small correction nothing is returned. For `Momentum` points are (x, v), paths those of
    positions; where some velocities feel no noise the error is that of the steps alone.

    Raises NotConvergedError where Laplace's method fails: conjugate points on every critical path, the next order in T above a half, times
    so long that the path may begin its way when it will (a quasi-zero mode); `fokker_planck(...)` and `kramers_time(...)` serve there.
    ValueError for ends of another shape. Sources: see `fluctuations`; Achille, Mbeng, Soatto (2018) for the split, whose constants are not used.
    """
    found = instanton(problem, a, b, t=t, n=n, starts=starts, seed=seed, shown=shown)
    minima = relevant(found)
    paths = tuple(fluctuations(one) for one in minima)
    for one in paths:
        refuse_family(one)
    logs = np.array([float(one.log_density) for one in paths])
    log = float(logsumexp(logs))
    steps = float(sum(np.exp(one - log) * path.log_density.error for one, path in zip(logs, paths, strict=True)))
    first, last, time = found.path.x[0], found.path.x[-1], checks.positive("t", t)
    name = f"Laplace's method, {len(paths)} critical path{'s' if len(paths) > 1 else ''}"

    def answer(
        relative: float, corrected: Estimate | None, how: str, warnings: tuple[str, ...] = ()
    ) -> TransitionDensity:
        plain = Estimate(log, relative, f"logarithm by {name}{how}", warnings=warnings)
        return TransitionDensity(
            problem, first, last, time, _exponential(plain, f"{name}{how}"), corrected, paths, plain
        )

    if is_linear(problem):
        return answer(steps, None, ", exact")
    if paths[0].soft is None:
        return answer(
            steps, None, "; error of the steps alone", ("D has no full rank: the next order in T is not known",)
        )
    ratio = next_order(paths, samples=samples, seed=seed)
    far, value = abs(float(ratio) - 1) + ratio.error, float(np.exp(log))
    weighed = Estimate(
        value * float(ratio), value * (ratio.error + steps), f"{name}, {ratio.method}", ratio.samples, ratio.warnings
    )
    return answer(far + steps, weighed, "; error from the next order in T", ratio.warnings)


def _exponential(log: Estimate, name: str) -> Estimate:
    """exp(log); where that is no number of double precision 0, with a note."""
    value = float(np.exp(float(log)))
    if float(log) > SMALLEST:
        return Estimate(value, value * log.error, name, warnings=log.warnings)
    note = f"exp({float(log):.10g} ± {log.error:.2g}) is below the smallest number of double precision; type .log_value"
    return Estimate(0.0, float(np.exp(SMALLEST)), name, warnings=(*log.warnings, note))


def relevant(found: Instanton) -> tuple[Instanton, ...]:
    """The minima of the action that count. Raises NotConvergedError if there is none, or if a saddle has less action than they."""
    minima = [one for one in found.critical_paths if one.is_minimum]
    if not minima:
        assert found.conjugate_points is not None
        raise NotConvergedError(
            f"every critical path has a conjugate point, the first at t={found.conjugate_points[0]:.4g}: Laplace's method has no minimum of the "
            "action to start from; type more starts=..., a shorter t, or sg.fokker_planck(problem, grid).evolve(a, t)"
        )
    least = min(float(one.action) for one in minima)
    lowest = min(found.critical_paths, key=lambda one: float(one.action))
    if lowest.index and float(lowest.action) < least - lowest.action.error - 1e-6 * abs(least):
        raise NotConvergedError(
            f"a saddle of the action has {float(lowest.action):.6g}, less than the {least:.6g} of the least minimum found: from it the action falls to a path "
            "that is missing; type more starts=... or another seed=..."
        )
    return tuple(one for one in minima if float(one.action) < least + NEGLIGIBLE)


def refuse_family(path: Fluctuations) -> None:
    """Raise NotConvergedError for one of a continuous family of critical paths, whose softest fluctuation knows no bounds."""
    if path.soft is None:
        return
    x = path.instanton.path.x
    reach = np.abs(path.soft.displacement).max()
    if reach > ENDLESS * (np.ptp(x, axis=0).max() + np.abs(x).max()):
        raise NotConvergedError(
            f"the softest fluctuation of a critical path has the size {reach:.2g}: the path is one of a continuous family of equal action, as where the "
            "process is symmetric about the line through both ends; type ends off the axis of symmetry, or sg.fokker_planck(problem, grid).evolve(a, t)"
        )


def next_order(paths: tuple[Fluctuations, ...], *, samples: int, seed: int) -> Estimate:
    """p over its Laplace approximation. Raises NotConvergedError where it is no small correction."""
    first = paths[0].instanton
    ratio = correction(
        first.problem,
        [one.instanton.path for one in paths],
        samples=checks.count("samples", samples, least=100),
        seed=seed,
    )
    if abs(float(ratio) - 1) + ratio.error <= FAR:
        return ratio
    path = paths[0]
    soft = path.soft
    assert soft is not None
    raise NotConvergedError(
        f"the next order in T is {float(ratio) - 1:+.2g} ± {ratio.error:.2g} of the leading one: Laplace's method does not hold. Its softest fluctuation "
        f"shifts the path by {soft.time_shift:.2g} of the time {path.instanton.path.duration:.4g}"
        + (
            ": a quasi-zero mode, as the path may begin its way when it will"
            if soft.is_quasi_zero(path.instanton.path)
            else ""
        )
        + "; type sg.fokker_planck(problem, grid).evolve(a, t), a lower T, or for long times sg.kramers_time(...)"
    )


def is_linear(problem: Langevin | Momentum) -> bool:
    """Whether drift is affine and D constant."""
    c = coefficients(problem, noiseless=False)
    return not c.varying and (isinstance(c.drift, Affine) or type(c.drift).__name__ == "_Quadratic")


def half_log_ratio(problem: Langevin | Momentum, a: Floats, b: Floats) -> float | None:
    """log sqrt(rho(b)/rho(a)) where the stationary density is known in closed form."""
    if isinstance(problem, Momentum) and isinstance(problem.D, Diagonal) and problem.D.isotropic:
        d = problem.U.dim
        rise = problem.U(b[:d]) - problem.U(a[:d]) + 0.5 * (b[d:] @ b[d:] - a[d:] @ a[d:])
        return float(-rise / (2 * problem.T * problem.D.isotropic))
    if isinstance(problem, Langevin):
        U, factor = problem.U, 1.0
        known = equilibrium(problem)
        if known is not None:
            factor = known[1]
        elif U is not None and not problem.is_gibbs and isinstance(problem.D, Diagonal) and problem.D.isotropic:
            factor = 1 / problem.D.isotropic
        elif not problem.is_gibbs:
            U = None
        if U is not None and (known is not None or _keeps_gibbs(problem, a, b, factor)):
            return float(-factor * (U(b) - U(a)) / (2 * problem.T))
    if not is_linear(problem):
        return None
    try:
        state = linear_stationary(problem)
        P = state.precision
    except ValueError:
        return None
    u, v = b - state.center, a - state.center
    return float(-0.25 * (u @ P @ u - v @ P @ v))


def _keeps_gibbs(problem: Langevin, a: Floats, b: Floats, factor: float) -> bool:
    """Whether div(c exp(-factor U/T)) = 0, looked at on the way and beside it."""
    if problem.curl is None:
        return True
    assert problem.U is not None
    rng = np.random.default_rng(0)
    x = (
        a
        + rng.uniform(-0.5, 1.5, size=(32, 1)) * (b - a)
        + 0.2 * (np.linalg.norm(b - a) + np.sqrt(problem.T)) * rng.normal(size=(32, len(a)))
    )
    spread = problem.curl.gradient().trace()(x)
    along = np.einsum("ni,ni->n", problem.curl(x), problem.U.grad(x)) * factor / problem.T
    return bool(np.all(np.abs(spread - along) <= KEEPS * (np.abs(spread) + np.abs(along) + 1e-300) + 1e-12))
