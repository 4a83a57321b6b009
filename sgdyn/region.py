"""Regions of space given by a predicate, and how far a point is inside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
        condition = traced(predicate, dim, {})
        traced_condition = condition.make().components.item() if condition.shape == () else None
        if not isinstance(traced_condition, Boolean) or isinstance(traced_condition, sp.Symbol):
            raise TypeError("got a region that is no comparison, expected a predicate; type lambda x: x[0] > 0.9")
        return cls(condition)

    def level(self) -> Formula:
        """A field (1,) that is positive inside."""
        return self.condition.derived("level", (1,), lambda e: _map(e, lambda gap, expression: gap))

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
        return combined("level and speed", [self.level(), self.level().gradient(), matrix], (2,), _with_speed)

    def contains(self, x: ArrayLike) -> NDArray[np.bool_]:
        """Whether points (..., dim) lie inside."""
        return np.asarray(self.level()(checks.points(x, self.condition.dim))[..., 0] > 0)


def _with_speed(level: Any, slope: Any, D: Any) -> Any:
    return np.array([level[0], slope[0] @ D @ slope[0]], dtype=object)


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
