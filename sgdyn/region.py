"""Regions of space given by a predicate, and how far a point is inside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray
from sympy.logic.boolalg import Boolean

from sgdyn import checks
from sgdyn.codegen.expression import Expression, coordinates
from sgdyn.codegen.formula import Formula, combined, traced
from sgdyn.fields import Field, as_formula

OVERSHOOT = 0.5825971579390106
"""-zeta(1/2)/sqrt(2 pi): the mean overshoot of a random walk over a level, in standard deviations of a step (Chernoff 1965)."""


@dataclass(frozen=True, eq=False)
class Region:
    """The points where a traced predicate holds: comparisons of NumPy expressions joined by & and |."""

    condition: Formula

    @classmethod
    def of(cls, predicate: Any, dim: int) -> Region:
        """Trace `predicate(x)`; raises TypeError if it is no comparison, `BranchError` for `and`, `or`, `if` (type & and |)."""
        if isinstance(predicate, Region):
            return predicate
        if not callable(predicate):
            raise TypeError(f"got region={predicate!r}, expected a predicate; type lambda x: x[0] > 0.9")
        condition = _traced(predicate, dim)
        traced_condition = condition.make().components.item() if condition.shape == () else None
        if isinstance(traced_condition, sp.Piecewise):
            raise TypeError(
                "got a region with np.where, expected comparisons joined by & and |; type (c & a) | (~c & b) for np.where(c, a, b)"
            )
        if not isinstance(traced_condition, Boolean) or isinstance(traced_condition, sp.Symbol):
            raise TypeError("got a region that is no comparison, expected a predicate; type lambda x: x[0] > 0.9")
        return cls(condition)

    def level(self) -> Formula:
        """A field (1,) that is positive inside."""
        return self.condition.derived("level", (1,), lambda e: _map(e, lambda gap, expression: gap))

    def comparisons(self) -> tuple[Formula, ...]:
        """The gaps of all comparisons, scalar fields that are positive where their comparison holds."""
        gaps: list[Any] = []

        def noted(gap: Any) -> Any:
            gaps.append(gap)
            return gap

        _level(self.condition.make().components.item(), noted)

        def gap_of(k: int) -> Formula:
            return self.condition.derived(
                f"gap {k}", (), lambda e: Expression(e.dim, e.count, np.array(gaps[k], dtype=object))
            )

        return tuple(gap_of(k) for k in range(len(gaps)))

    def widened_level(self, D: Field, width: float) -> Formula | None:
        """The level raised by width sqrt(g' D g), g the gradient of each comparison: the region widened by `width` standard deviations.

        None where D is too large to be written down in symbols.
        """
        matrix = as_formula(D)
        if matrix is None:
            return None
        rule: Callable[..., Any] = lambda condition, D, w: [_level(condition.item(), _Widening(condition, D, w))]  # noqa: E731
        return combined("widened", [self.condition, matrix], (1,), rule, [width])

    def level_and_speed(self, D: Field) -> Formula | None:
        """The field (2,) of the level and g' D g, g the level's gradient; None where D is too large to be written down in symbols."""
        matrix = as_formula(D)
        if matrix is None:
            return None
        rule: Callable[..., Any] = lambda condition, D: list(_with_speed(condition.item(), D))  # noqa: E731
        return combined("level and speed", [self.condition, matrix], (2,), rule)

    def contains(self, x: ArrayLike) -> NDArray[np.bool_]:
        """Whether points (..., dim) lie inside."""
        return np.asarray(self.level()(checks.points(x, self.condition.dim))[..., 0] > 0)


def _traced(predicate: Callable[..., Any], dim: int) -> Formula:
    try:
        return traced(predicate, dim, _time(predicate))
    except TypeError as reason:
        if "unsupported operand" not in str(reason):
            raise
        raise TypeError(
            f"got a region that does arithmetic with comparisons ({reason}), expected them joined by & and |; type (x[0] > 0) & (x[0] < 1) for a product"
        ) from reason


def _time(predicate: Callable[..., Any]) -> dict[str, Any]:
    """The parameter t, if there is one: the only one of a region that is no constant."""
    given = signature(predicate).parameters.get("t")
    return {} if given is None or given.default is Parameter.empty else {"t": np.asarray(float(given.default))}


def _with_speed(condition: Any, D: Any) -> tuple[Any, Any]:
    """The level of a condition and g' D g, g the gradient of that comparison which decides."""
    if isinstance(condition, sp.Not):
        return _with_speed(sp.to_nnf(condition), D)
    if not isinstance(condition, sp.And | sp.Or):
        gap = _level(condition, lambda gap: gap)
        slope = np.array([sp.diff(gap, x) for x in coordinates(len(D))], dtype=object)
        return gap, slope @ D @ slope
    level, speed = _with_speed(condition.args[0], D)
    for other in condition.args[1:]:
        gap, rate = _with_speed(other, D)
        decides = gap < level if isinstance(condition, sp.And) else gap > level
        level, speed = (sp.Piecewise((new, decides), (old, True)) for new, old in ((gap, level), (rate, speed)))
    return level, speed


@dataclass(frozen=True)
class _Widening:
    condition: Any
    D: Any
    width: Any

    def __call__(self, gap: Any) -> Any:
        slope = np.array([sp.diff(gap, x) for x in coordinates(len(self.D))], dtype=object)
        return gap + self.width * sp.sqrt(slope @ self.D @ slope)


def _map(e: Expression, rule: Callable[[Any, Expression], Any]) -> Expression:
    return Expression(e.dim, e.count, np.array([_level(e.components.item(), lambda gap: rule(gap, e))], dtype=object))


def _level(condition: Any, change: Callable[[Any], Any]) -> Any:
    """A number that is positive where the condition holds, with `change` applied to the gap of each comparison."""
    if condition in (sp.true, sp.false):
        return sp.Integer(1 if condition is sp.true else -1)
    if isinstance(condition, sp.Not):
        return _level(sp.to_nnf(condition), change)
    if isinstance(condition, sp.And | sp.Or):
        gaps = [_level(c, change) for c in condition.args]
        return (sp.Min if isinstance(condition, sp.And) else sp.Max)(*gaps, evaluate=False)
    if isinstance(condition, sp.Gt | sp.Ge):
        return change(condition.lhs - condition.rhs)
    if isinstance(condition, sp.Lt | sp.Le):
        return change(condition.rhs - condition.lhs)
    raise TypeError(
        f"got the condition {condition} in a region, expected comparisons by <, <=, > and >= joined by & and |"
    )
