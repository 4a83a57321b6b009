"""The linear equation g' = slope g + source by Radau collocation on adaptive panels, and the integral of its solution.

Collocation at Radau points is L-stable: where the slope is steep and negative a panel may be much wider than 1/|slope|, and where it is
positive the solution grows by a known factor a panel. Nothing is exponentiated, so nothing underflows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NODES = 12
CLIMB = 4.0
"""A solution that grows by more than e^4 in a panel is not a polynomial of degree 12."""


@dataclass(frozen=True)
class Rule:
    """Radau points on [-1, 1] (the right end is one), integrals from -1 to each of them, Legendre coefficients from values."""

    nodes: Floats
    partial: Floats
    modal: Floats

    @property
    def weights(self) -> Floats:
        return np.asarray(self.partial[-1])


@cache
def radau() -> Rule:
    """The rule of `NODES` points: the zeros of P_n - P_{n-1}."""
    legendre = np.polynomial.legendre
    series = np.zeros(NODES + 1)
    series[-2:] = -1.0, 1.0
    nodes = np.sort(legendre.legroots(series).real)
    nodes -= legendre.legval(nodes, series) / legendre.legval(nodes, legendre.legder(series))
    nodes[-1] = 1.0
    modal = np.asarray(np.linalg.inv(legendre.legvander(nodes, NODES - 1)), dtype=np.float64)
    integrals = np.stack([legendre.legval(nodes, legendre.legint(row, lbnd=-1)) for row in np.eye(NODES)], axis=1)
    return Rule(np.asarray(nodes, dtype=np.float64), integrals @ modal, modal)


@dataclass(frozen=True)
class Panels:
    """Neighbouring panels [left, right] with slope and source times the half width at their nodes (panel, node).

    The solution in a panel is `carried` g(left) + `made`, both (panel, node); `climb` is the growth of its logarithm. `gap` (panel,) is
    what slope and source do between the left end and the first node that the other nodes do not see, relative to them.
    """

    left: Floats
    right: Floats
    slope: Floats
    source: Floats
    carried: Floats
    made: Floats
    gap: Floats

    @property
    def half(self) -> Floats:
        return 0.5 * (self.right - self.left)

    @property
    def rise(self) -> Floats:
        """The integral of the slope over each panel."""
        return np.asarray(self.slope @ radau().weights)

    @property
    def climb(self) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.asarray(np.max(self.slope @ radau().partial.T, axis=1))

    @property
    def roughness(self) -> Floats:
        """What the nodes do not resolve of the integral of the slope."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.max(np.abs((self.slope @ radau().modal.T)[:, -2:]), axis=1))

    def __len__(self) -> int:
        return len(self.left)

    def __getitem__(self, index: NDArray[np.bool_] | slice) -> Panels:
        return Panels(*(getattr(self, f.name)[index] for f in fields(self)))

    def joined(self, other: Panels) -> Panels:
        """The panels of both, from left to right."""
        parts = [np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)]
        order = np.argsort(parts[0], kind="stable")
        return Panels(*(part[order] for part in parts))


Equation = Callable[[Floats], tuple[Floats, Floats]]
"""(slope, source) at points of any shape."""


def panels(left: Floats, right: Floats, equation: Equation) -> Panels:
    """Collocate the equation on panels; where it is not finite neither is the solution."""
    half = 0.5 * (right - left)
    places = left[:, None] + half[:, None] * (np.append(radau().nodes, -1.0) + 1)
    # At a kink or a pole on an edge both end points must see their own side.
    nudge = 4 * np.finfo(np.float64).eps * (np.abs(right) + half)
    places[:, -2] -= nudge
    places[:, -1] += nudge
    slope, source = (half[:, None] * values for values in equation(places))
    gap = np.maximum(_gap(slope, 1.0), _gap(source, 0.0))
    slope, source = slope[:, :-1], source[:, :-1]
    return Panels(left, right, slope, source, *_collocated(slope, source), gap)


def _gap(values: Floats, least: float) -> Floats:
    """The last value, at the left end, against its extrapolation from the nodes, times the distance to the first node."""
    with np.errstate(invalid="ignore"):
        signs = (-1.0) ** np.arange(NODES)
        expected = values[:, :-1] @ radau().modal.T @ signs
        size = least + np.max(np.abs(values[:, :-1]), axis=1)
        return np.asarray((radau().nodes[0] + 1) * np.abs(values[:, -1] - expected) / size)


def _collocated(slope: Floats, source: Floats) -> tuple[Floats, Floats]:
    """Solve g_i = g(left) + sum_j P_ij (slope_j g_j + source_j) in every panel."""
    partial, finite = radau().partial, np.all(np.isfinite(slope) & np.isfinite(source), axis=1)
    carried, made = np.full((2, *slope.shape), np.nan)
    matrices = np.eye(NODES) - partial * slope[finite, None, :]
    sides = np.stack([np.ones_like(slope[finite]), source[finite] @ partial.T], axis=-1)
    solved = np.linalg.solve(matrices, sides)
    carried[finite], made[finite] = solved[..., 0], solved[..., 1]
    steep = finite & (np.max(np.where(finite[:, None], slope, 0.0) @ partial.T, axis=1) > CLIMB)
    # Too wide to be collocated; until it is halved it grows as it should.
    with np.errstate(over="ignore"):
        growth = np.exp(slope[steep] @ partial.T)
        carried[steep], made[steep] = growth, growth * np.sum(source[steep], axis=1, keepdims=True)
    return carried, made


def halved(given: Panels, equation: Equation) -> Panels:
    """Every panel cut in two."""
    middle = 0.5 * (given.left + given.right)
    left = np.stack([given.left, middle], axis=1).ravel()
    return panels(left, np.stack([middle, given.right], axis=1).ravel(), equation)


@dataclass(frozen=True)
class Solution:
    """The integral of g where counted, given g at the left end.

    For each panel `error` is the unresolved part of g there times its influence on the value, relative to the value, and `reached`
    whether g is finite before it.
    """

    value: float
    error: Floats
    reached: NDArray[np.bool_]


def solution(given: Panels, start: float, counted: NDArray[np.bool_]) -> Solution:
    """March from left to right, then the influences from right to left."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        incoming = _march(start, given.carried[:, -1], given.made[:, -1])
        g = given.carried * incoming[:, None] + given.made
        widths = given.half * counted
        value = float(np.sum(widths * (g @ radau().weights)))
        own = widths * np.abs(given.carried @ radau().weights)
        outgoing = _march(0.0, np.abs(given.carried[::-1, -1]), own[::-1])[::-1]
        rough = np.max(np.abs((g @ radau().modal.T)[:, -2:]), axis=1) + given.gap * np.max(np.abs(g), axis=1)
        return Solution(value, rough * (outgoing + widths) / abs(value), np.isfinite(incoming))


def _march(start: float, factors: Floats, terms: Floats) -> Floats:
    """The values g_0 = start, g_{k+1} = factor_k g_k + term_k before each step."""
    values, g = [], start
    for factor, term in zip(factors.tolist(), terms.tolist(), strict=True):
        values.append(g)
        g = factor * g + term
    return np.array(values)
