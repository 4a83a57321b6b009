"""Exact mean first-passage times in one dimension: the oracle of everything else.

The time from x0 is the integral over [x0, target] of g(y) = e^{Psi(y)} ∫_{wall}^y dz e^{-Psi(z)}/(T D(z)), and g solves
g' = Psi' g + 1/(T D). Panels are halved where what is unresolved of g matters for the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.errors import NotConvergedError
from sgdyn.escape.collocation import CLIMB, Panels, Solution, halved, panels, solution
from sgdyn.estimate import Estimate
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]

DEPTH = 700.0
"""A barrier of so many T on the far side of x0 is a wall: e^-700 is about the smallest float."""
FURTHEST = 115.0
"""Without a wall the far side is followed to e^115 = 10^50 times the distance to the target."""
ROUGHEST = 0.1
"""Psi must be known this well before anything is concluded from it."""
TOLERANCE, LARGEST_ERROR, MOST_PANELS = 1e-11, 1e-3, 200_000
EPSILON = float(np.finfo(np.float64).eps)


def mean_first_passage_1d(problem: Langevin, x0: float, target: float, *, wall: float | None = None) -> Estimate:
    """The exact mean time of a one-dimensional process from x0 to `target`, with a reflecting wall at the other end or at infinity.

        tau = ∫_{x0}^{target} dy e^{Psi(y)} ∫_{wall}^y dz e^{-Psi(z)}/(T D(z)),   Psi' = -b/(T D),

    b the Itô drift, mirrored for a target below x0. The error is the difference between two resolutions, with what may lie beyond the
    part of the far side that was looked at. A barrier of more than 700 T on the far side counts as a wall. Raises ValueError if the
    process is not one-dimensional, D vanishes on the way, or the tail does not confine (then give `wall`), and `NotConvergedError` if
    the error is above 1e-3 of the value or the time above 1e308. Source: Gardiner, Stochastic Methods (4th ed.), 5.5.2.
    """
    if not isinstance(problem, Langevin) or problem.dim != 1:
        raise ValueError(f"got {_describe(problem)}, expected a Langevin process in dimension 1")
    start, end = checks.number("x0", x0), checks.number("target", target)
    if start == end:
        raise ValueError(f"got x0 = target = {start:g}, expected two points")
    line = _Line(problem, start, end)
    lowest = -FURTHEST if wall is None else line.coordinate(checks.number("wall", wall))
    return _Quadrature(line, lowest, wall is not None).time()


def _describe(problem: Any) -> str:
    return (
        f"a {type(problem).__name__} in dimension {problem.dim}"
        if isinstance(problem, Langevin)
        else f"a {type(problem).__name__}"
    )


@dataclass(frozen=True)
class _Line:
    """The process in a coordinate t: x0 at 0, the target at 1, linear between them, logarithmic on the far side (t < 0)."""

    problem: Langevin
    start: float
    end: float

    def point(self, t: Floats) -> Floats:
        """x(t): x0 + (target - x0) t between, x0 - (target - x0)(e^-t - 1) on the far side."""
        return self.start + (self.end - self.start) * np.where(t < 0, -np.expm1(-np.minimum(t, 0.0)), t)

    def coordinate(self, wall: float) -> float:
        """t of a point on the far side."""
        behind = (self.start - wall) / (self.end - self.start)
        if behind < 0:
            raise ValueError(f"got wall={wall:g}, expected it on the far side of x0={self.start:g} from the target")
        return -float(np.log1p(behind))

    def equation(self, t: Floats) -> tuple[Floats, Floats]:
        """dPsi/dt and (target - x0) dx/dt /(T D), NaN where D is not positive."""
        x, span = self.point(t)[..., None], self.end - self.start
        speed = span * np.exp(-np.minimum(t, 0.0))
        with np.errstate(all="ignore"):
            strength = np.asarray(self.problem.T * self.problem.D(x)[..., 0, 0])
            strength = np.where(strength > 0, strength, np.nan)
            return -self.problem.drift(x)[..., 0] / strength * speed, span * speed / strength

    def refusal(self, left: float, right: float) -> ValueError:
        """What to say of a panel where the equation is not finite."""
        x = self.point(left + (right - left) * np.linspace(0, 1, 50))
        D, drift = self.problem.D(x[:, None])[:, 0, 0], self.problem.drift(x[:, None])[:, 0]
        hint = "type wall=... to put a reflecting wall before it" if left < 0 else "type a target before it"
        if np.any(~(D > 0)):
            k = int(np.argmin(D > 0))
            return ValueError(f"got D = {D[k]:g} at x = {x[k]:g}, expected D > 0 on the way; {hint}")
        k = int(np.argmin(np.isfinite(drift)))
        return ValueError(f"got the drift {drift[k]:g} at x = {x[k]:g}, expected finite numbers on the way; {hint}")


@dataclass(frozen=True)
class _Quadrature:
    """Panels from `lowest` (a wall, or far out) to the target, and what they give."""

    line: _Line
    lowest: float
    walled: bool

    def time(self) -> Estimate:
        given, rest = self._refined()
        fine = halved(given, self.line.equation)
        value = self._solved(fine).value
        with np.errstate(invalid="ignore"):
            beyond = value - solution(fine, 0.0, fine.left >= 0).value
            error = float(abs(value - self._solved(given).value) + abs(beyond) + (1e-13 + rest) * value)
        _check(value, error)
        return Estimate(value, error, "exact quadrature")

    def _refined(self) -> tuple[Panels, float]:
        """Panels on which the time is resolved, and the relative error of those that could not be halved."""
        whole = self._first()
        self._check_tail(whole)
        while True:
            first = _outermost(whole)
            used = whole[first:]
            found = self._solved(used)
            coarse = np.zeros(len(whole), dtype=bool)
            coarse[first:] = _unresolved(used, found)
            coarse[first - 1 : first] = True if first and not _finite(whole)[first - 1] else coarse[first - 1 : first]
            coarse &= self._wide(whole)
            if not np.any(coarse) or len(whole) + np.sum(coarse) > MOST_PANELS:
                break
            whole = whole[~coarse].joined(halved(whole[coarse], self.line.equation))
        self._check_finite(whole)
        self._check_tail(whole)
        return used, float(np.sum(found.error[found.error > TOLERANCE]))

    def _first(self) -> Panels:
        """Fine on the way and within some thousand of its lengths behind x0, coarse beyond."""
        near = max(self.lowest, -8.0)
        far = np.arange(self.lowest, near, 0.1)
        behind = np.linspace(near, 0.0, 800 + int(-200 * near) if near else 0, endpoint=False)
        edges = np.concatenate([far, behind, np.linspace(0, 1, 801)])
        return panels(edges[:-1], edges[1:], self.line.equation)

    def _wide(self, whole: Panels) -> NDArray[np.bool_]:
        """Panels that floats can still halve."""
        x, y = self.line.point(whole.left), self.line.point(whole.right)
        wide_in_x = np.abs(y - x) > 32 * EPSILON * np.maximum(np.abs(x), np.abs(y))
        return np.asarray(wide_in_x & (whole.half > 16 * EPSILON * np.abs(whole.left)))

    def _solved(self, used: Panels) -> Solution:
        return solution(used, 0.0 if self.walled else _beyond(used), used.left >= 0)

    def _check_finite(self, whole: Panels) -> None:
        """Raise where D or the drift ends the way, or ends the far side so that nothing can be said of what lies beyond."""
        finite = _finite(whole)
        first = _outermost(whole)
        bad = np.flatnonzero(~finite[first:])
        if len(bad):
            raise self._refusal(whole, first + int(bad[-1]))
        if first and not finite[first - 1]:
            refusal = self._refusal(whole, first - 1)
            if "D > 0" in str(refusal) or _exponent(whole[first:]) <= 1:
                raise refusal

    def _refusal(self, whole: Panels, k: int) -> ValueError:
        return self.line.refusal(float(whole.left[k]), float(whole.right[k]))

    def _check_tail(self, whole: Panels) -> None:
        if not self.walled and _outermost(whole) == 0 and _exponent(whole) <= 1:
            raise ValueError(
                "got a potential that does not confine the paths on the far side of x0; type wall=... to put a reflecting wall there"
            )


def _finite(whole: Panels) -> NDArray[np.bool_]:
    return np.asarray(np.all(np.isfinite(whole.slope) & np.isfinite(whole.source), axis=1))


def _outermost(whole: Panels) -> int:
    """The number of the first panel that counts: where Psi has risen by `DEPTH`, or the last before the equation is not finite."""
    behind = int(np.searchsorted(whole.left, 0.0))
    psi = np.cumsum(-whole.rise[:behind][::-1])
    with np.errstate(invalid="ignore"):
        shallow = psi - np.minimum(np.minimum.accumulate(psi), 0.0) <= DEPTH
    if np.all(shallow):
        return 0
    first = behind - 1 - int(np.argmin(shallow))
    return first if _finite(whole)[first] else first + 1


def _exponent(used: Panels) -> float:
    """m at the outer end, where e^-Psi dx falls as e^{-(m - 1)|t|}."""
    return float(-used.slope[0, 0] / used.half[0])


def _beyond(used: Panels) -> float:
    """g at the outer end if the density goes on with the same power of the distance."""
    return float(used.source[0, 0] / used.half[0] / (_exponent(used) - 1)) if _exponent(used) > 1 else 0.0


def _unresolved(used: Panels, found: Solution) -> NDArray[np.bool_]:
    """Panels that alias the slope, in which g grows too much, or whose g matters and is no polynomial."""
    with np.errstate(invalid="ignore"):
        aliased, steep = ~(used.roughness <= ROUGHEST), found.reached & ~(used.climb <= CLIMB)
        matters = ~(found.error <= TOLERANCE) if np.isfinite(found.value) else False
        return np.asarray(aliased | steep | matters)


def _check(value: float, error: float) -> None:
    if not np.isfinite(value):
        raise NotConvergedError(
            "got a mean time above 1e308, expected a smaller one; type a larger T or a nearer target"
        )
    if not error <= LARGEST_ERROR * value:
        raise NotConvergedError(
            f"got the mean time {value:.6g} ± {error:.2g} from {MOST_PANELS} panels at most, expected an error below {LARGEST_ERROR:g} of it; "
            "type wall=... where the far side is not needed, or a smoother potential"
        )
