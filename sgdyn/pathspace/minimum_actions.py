"""Paths of least action whatever the time they take: how a rare fluctuation leads from one point to another."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.errors import NotConvergedError
from sgdyn.estimate import Estimate
from sgdyn.pathspace.coefficients import coefficients, equilibrium
from sgdyn.pathspace.criticality import BAND_LIMIT, by_newton
from sgdyn.pathspace.curves import Curve, Work, relaxed
from sgdyn.pathspace.functional import Action
from sgdyn.pathspace.geometric import Geometric
from sgdyn.pathspace.paths import Path, curve_from, ends
from sgdyn.pathspace.refinements import Refined, refined
from sgdyn.pathspace.strings import string
from sgdyn.printing import Printed
from sgdyn.problem import Langevin
from sgdyn.progress import progress

Floats = NDArray[np.float64]

SAME = 1e-2
"""Two paths that come this close everywhere, relative to their size, are one."""
COARSEST = 8
STARTED = 0.4
"""The starts are taken for so much of the work."""
STRING_TOLERANCE = 1e-3
ROUGH = 1e-4
"""A larger force across the path is noted."""
BENDS = 2
"""Random starts bend with so many half waves."""


@dataclass(frozen=True, eq=False, repr=False)
class MinimumAction(Printed):
    """A path of least action from a to b over all times.

    x (n + 1, dim): images, at equal distances in the metric of D^-1 between the ends and the zeros of the drift on the way (`halts`
    (k, dim)). V (n + 1,): T times the action up to each image; cost: T times that of the whole path, with its error, so that rare
    ways from a to b have probabilities about exp(-cost/T); action: cost/T. momenta (n, dim): grad V on the segments. residual: the largest force across the path,
    relative to |b|/T. `paths`: all distinct ones that were found, the least action first. `complete` is False if Ctrl-C ended it early.
    """

    problem: Langevin
    x: Floats
    V: Floats
    cost: Estimate
    momenta: Floats
    halts: Floats
    residual: float
    complete: bool
    paths: tuple[MinimumAction, ...] = field(default=(), repr=False)

    @property
    def dim(self) -> int:
        return int(self.x.shape[1])

    @property
    def action(self) -> Estimate:
        """cost/T, in the units of `action(problem, path)` and of instantons."""
        return Estimate(
            self.cost.value / self.problem.T,
            self.cost.error / self.problem.T,
            self.cost.method,
            warnings=self.cost.warnings,
        )

    @property
    def path(self) -> Path:
        """The images as a path, from 0 to 1."""
        return Path(self.x, np.linspace(0, 1, len(self.x)))

    @property
    def energy(self) -> Floats:
        """b . p + p' D p on the segments (n,), p = grad V: 0 on a path that may take any time."""
        c = coefficients(self.problem, noiseless=True)
        middle = 0.5 * (self.x[1:] + self.x[:-1])
        b, D = c.drift(middle), c.D(middle)
        return np.asarray(
            np.einsum("ni,ni->n", b, self.momenta) + np.einsum("ni,nij,nj->n", self.momenta, D, self.momenta)
        )

    def plot(self, ax: Any = None) -> Any:
        """The paths found: on the landscape in two dimensions, else V along them (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def minimum_action(
    problem: Langevin, a: ArrayLike, b: ArrayLike, *, n: int = 200, start: Any = None, starts: int = 4, seed: int = 0, shown: bool | None = None
) -> MinimumAction:  # fmt: skip
    """The path of least action from a to b (dim,), whatever its time; its action is the quasipotential where a is an attractor.

        V = inf (1/2) int |b|_{D^-1} |dx|_{D^-1} - <b, dx>_{D^-1}   over curves from a to b

    Images at equal distances (n segments, a multiple of 4) are moved across the curve: up to 24 dimensions by Newton's method, beyond by
    L-BFGS with memory O(n dim), from the straight line and `starts` bent ones, or from `start` (m + 1, dim) alone. Downhill costs
    nothing. Where the path meets a zero of the drift (saddles, minima), at which |b| has a kink, it is divided there, unless the spline
    through the images costs less without. The drift is that of T = 0. The value is extrapolated from n/4, n/2 and n; its error is what two
    levels alone would have been off, and where a kink is left inside a segment, what the spline costs more or less.

    Raises ValueError for a D without full rank, ends of another shape and an n that is no multiple of 4, NotConvergedError where no
    start leads anywhere. Sources: Heymann and Vanden-Eijnden, Commun. Pure Appl. Math. 61, 1052 (2008); Freidlin and Wentzell (1998).
    """
    functional = Action(_checked(problem), Geometric())
    dim = functional.lagrangian.coefficients.dim
    first, last = ends(a, b, dim)
    n = checks.count("n", n, least=4 * COARSEST)
    if n % 4:
        raise ValueError(
            f"got n={n}, expected a multiple of 4: the error comes from n/4 and n/2; type n={4 * (n // 4 + 1)}"
        )
    given = [_start(problem, start, first, last, n // 4)]
    if start is None:
        given += _bent(given[0], checks.count("starts", starts, least=0), seed)
    with progress("path of least action", shown) as bar:
        work = Work(bar)
        curves = _distinct([Curve(functional, x) for x in given], work)
        levels = [refined(curve, work, _part(k, len(curves))) for k, curve in enumerate(curves)]
    found = [_result(one, not work.interrupted) for one in levels]
    found.sort(key=lambda one: float(one.cost))
    return replace(found[0], paths=tuple(found))


def _part(k: int, count: int) -> tuple[float, float]:
    """The share of the whole work in which path k of count is refined."""
    return STARTED + (1 - STARTED) * k / count, STARTED + (1 - STARTED) * (k + 1) / count


def _checked(problem: Any) -> Langevin:
    c = coefficients(problem, noiseless=True)
    if c.degenerate:
        raise ValueError(
            "got a D without full rank, expected one with: curves could leave its range; type sg.instanton(problem, a, b, t=...) with a "
            "long t, which stays in it, or a D with LowRank(V, s, floor=...)"
        )
    assert isinstance(problem, Langevin)
    return problem


def _start(problem: Langevin, start: Any, a: Floats, b: Floats, n: int) -> Floats:
    """The points given; in many dimensions the minimum energy path of a reversible process; else the straight line."""
    line = curve_from(start, a, b, n)
    if start is None and len(a) > BAND_LIMIT and (problem.is_gibbs or equilibrium(problem)) and problem.curl is None:
        with suppress(NotConvergedError):
            return string(problem, a, b, start=line, n=n, climbing=False, tolerance=STRING_TOLERANCE, shown=False).x
    return line


def _bent(x: Floats, count: int, seed: int) -> list[Floats]:
    """The straight line bent to either side, at random."""
    s, dim = np.linspace(0, 1, len(x))[:, None], x.shape[1]
    size, rng, found = np.linalg.norm(x[-1] - x[0]), np.random.default_rng(seed), []
    for _ in range((count + 1) // 2 if dim > 1 else 0):
        sizes = rng.normal(size=(BENDS, dim)) * size / np.sqrt(dim)
        bend = 0.5 * sum(w * np.sin((j + 1) * np.pi * s) / (j + 1) for j, w in enumerate(sizes))
        found += [x + bend, x - bend]
    return found[:count]


def _distinct(curves: list[Curve], work: Work) -> list[Curve]:
    """The curves of least action that different starts lead to, without those that a small displacement makes cheaper."""
    found: list[Curve] = []
    for k, curve in enumerate(curves):
        work.stage(k, len(curves), (0.0, STARTED))
        new = relaxed(curve.spread(), work)
        if np.isfinite(new.value) and not any(_same(new, known) for known in found):
            found.append(new)
        if work.interrupted and found:
            break
    if not found:
        raise NotConvergedError(
            f"no path of finite action was reached from {len(curves)} starts; type start=... nearer to one"
        )
    return [c for c in found if not by_newton(c.functional) or c.stable()] or found[:1]


def _same(one: Curve, other: Curve) -> bool:
    return bool(np.abs(one.x - other.x).max() <= SAME * np.ptp(other.x, axis=0).max())


def _result(found: Refined, complete: bool) -> MinimumAction:
    pieces, functional = found.pieces, found.pieces[0].functional
    T = functional.problem.T
    x = np.concatenate([pieces[0].x[:1], *[piece.x[1:] for piece in pieces]])
    steps = np.concatenate([functional.steps.value(p.x[:-1], p.x[1:], p.path.dt) for p in pieces])
    V = T * np.concatenate([[0.0], np.cumsum(steps)])
    residual = max((piece.residual for piece in pieces if len(piece.x) > 2), default=0.0)
    notes: tuple[str, ...] = () if complete else ("Ctrl-C ended it early: the action is an upper bound at best",)
    if residual > ROUGH:
        notes += (
            f"the force across the path is {residual:.2g} of |b|/T; type a larger n or start=... nearer to the path",
        )
    momenta = T * np.concatenate([functional.momenta(piece.path) for piece in pieces])
    action = found.action()
    cost = Estimate(T * action.value, T * action.error, action.method, warnings=notes)
    assert isinstance(functional.problem, Langevin)
    halts = np.array([piece.x[0] for piece in pieces[1:]]).reshape(-1, x.shape[1])
    return MinimumAction(functional.problem, x, V, cost, momenta, halts, residual, complete)
