"""Minimum energy paths by the string method, with their saddles."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.errors import NotConvergedError
from sgdyn.escape.following import Climb, softest
from sgdyn.escape.surfaces import Surface, surface
from sgdyn.estimate import Estimate
from sgdyn.pathspace.metrics import Metric, metric_of
from sgdyn.pathspace.paths import Path, at_equal_distances, curve_from, ends
from sgdyn.pathspace.restarts import Restarts
from sgdyn.pathspace.ridges import across_ridge, pushed
from sgdyn.pathspace.steepness import steepest
from sgdyn.printing import Printed
from sgdyn.progress import progress

Floats = NDArray[np.float64]

STEPS = 20_000
SADDLE_TOLERANCE = 1e-10
CLIMBS = 200
"""Steps that summits climb at most before Newton's method takes over."""
COARSE = 30.0
"""Saddles are looked for once the images move by no more than so many times the tolerance."""
RIDGE = "the highest image lies on a ridge, where U falls across the string too: the barrier may be far lower; type start=..."
PUSHES = 4
"""Strings are pushed off ridges so often at most."""
FLAT = 1e-6
"""An image counts as a summit if it stands higher than its neighbours by this share of the string's heights."""


@dataclass(frozen=True, eq=False, repr=False)
class StringPath(Printed):
    """A minimum energy path from a to b: D grad U is parallel to it everywhere.

    x (n + 1, dim): images, at equal distances (in the metric of D^-1) between the ends and the saddles; U (n + 1,) on them; saddles
    (k, dim), in order; barrier: the height of the highest above a, its error what the slope that is left there may hide. residual: how
    far the images still move in a step, times the largest curvature, relative to the steepest slope of the string. `complete` is False
    if Ctrl-C or `most` ended it early.
    """

    surface: Surface = field(repr=False)
    x: Floats
    U: Floats
    saddles: Floats
    barrier: Estimate
    residual: float
    complete: bool

    @property
    def dim(self) -> int:
        return int(self.x.shape[1])

    @property
    def path(self) -> Path:
        """The images as a path, from 0 to 1."""
        return Path(self.x, np.linspace(0, 1, len(self.x)))

    @property
    def barrier_back(self) -> float:
        """The height of the highest point above b."""
        return float(self.barrier) + float(self.U[0] - self.U[-1])

    def plot(self, ax: Any = None) -> Any:
        """U along the string, saddles marked (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def string(
    U: Any, a: ArrayLike, b: ArrayLike, *, n: int = 32, start: Any = None, climbing: bool = True, tolerance: float = 1e-4,
    most: int | None = None, shown: bool | None = None,
) -> StringPath:  # fmt: skip
    """The minimum energy path from a to b (dim,), minima as a rule, by the simplified string method with climbing images.

        dx/dt = -D grad U(x), images spread at equal distances in the metric of D^-1 after each step

    U: a `Potential` (also from torch functions), a `nets.Network`, a landscape, or a reversible process, whose D is the metric. n: the
    number of segments. start (m + 1, dim): points of the first string, by default the straight line. A string keeps to a path that is
    as symmetric as it is; where U falls at its top across it too (a ridge, no saddle), it is pushed off and relaxes anew. Steps are one over the largest curvature met, accelerated (Nesterov), until images move by less than `tolerance` of the steepest slope
    over that curvature. most: steps after which the string is returned as it is, `complete` False, its highest point then an upper bound of
    the barrier. climbing: each image that is a summit climbs to the saddle next to it, where it stays. Memory O(n dim).

    Raises ValueError for ends of another shape and processes that are not reversible (`minimum_action` takes those), NotConvergedError
    where the images do not come to rest. Sources: E, Ren, Vanden-Eijnden, J. Chem. Phys. 126, 164103 (2007); Henkelman, Uberuaga and
    Jónsson, J. Chem. Phys. 113, 9901 (2000).
    """
    metric, given = metric_of(U), surface(U)
    first, last = ends(a, b, given.dim)
    x = curve_from(start, first, last, checks.count("n", n, least=4))
    tolerance = checks.positive("tolerance", tolerance)
    chain = _Chain(given, metric, steepest(given, metric, x), x)
    limit = None if most is None else checks.count("most", most)
    at_first = _State(x, x, 0, np.inf)
    state, complete = at_first, True
    with progress("string", shown) as tell:
        try:
            for k, state in enumerate(chain.found(at_first, tolerance, checks.truth("climbing", climbing))):
                tell(min(1.0, np.log(max(state.moved, tolerance)) / np.log(tolerance)))
                if limit is not None and k + 1 >= limit and state.moved > tolerance:
                    complete = False
                    break
                if k >= STEPS:
                    raise _stuck(state.moved, tolerance)
        except KeyboardInterrupt:
            complete = False
    return _result(chain, state, complete)


def _stuck(moved: float, tolerance: float) -> NotConvergedError:
    return NotConvergedError(
        f"the string still moves by {moved:.2g} of the steepest slope after {STEPS} steps, expected {tolerance:g}; type tolerance={2 * moved:.1g}, or start=... nearer to the path"
    )


@dataclass(frozen=True, eq=False)
class _State:
    """Images now and before, steps since the last restart, how far they moved, which of them climb, and which are held at saddles."""

    x: Floats
    before: Floats
    age: int
    moved: float
    climbing: tuple[int, ...] = ()
    held: tuple[int, ...] = ()


@dataclass(eq=False)
class _Chain:
    surface: Surface
    metric: Metric
    steepness: float
    """The largest eigenvalue of D Hess U that was met."""
    first: Floats
    restarts: Restarts = field(default_factory=Restarts)
    accelerated: bool = True
    """False after acceleration made the string swing ever wider, as where it goes through a narrow gate: it then begins anew with plain steps."""

    def found(self, state: _State, tolerance: float, climbing: bool) -> Iterator[_State]:
        """States of the string; from ridges it is pushed off, and relaxes anew."""
        for push in range(PUSHES + 1):
            for one in self.relaxing(state, tolerance, climbing):
                state = one
                yield state
            direction = across_ridge(self.surface, state.x) if climbing and push < PUSHES else None
            if direction is None:
                return
            self.first = self.spread(pushed(self.surface, state.x, direction), _State(state.x, state.x, 0, np.inf))
            state = _State(self.first, self.first, 0, np.inf)

    def relaxing(self, state: _State, tolerance: float, climbing: bool) -> Iterator[_State]:
        """States of the string, until it is at rest; summits climb as soon as it moves little, and are held at the saddles they come to."""
        state = yield from self.falling(state, COARSE * tolerance)
        if climbing and (high := summits(self.surface.value(state.x))):
            state = yield from self.climbed(replace(state, climbing=high), tolerance)
        state = yield from self.falling(state, tolerance)
        yield from self.falling(state, tolerance, exact=True)

    def falling(self, state: _State, goal: float, *, exact: bool = False) -> Generator[_State, None, _State]:
        """States of the string from rest on, until it moves by no more than the goal."""
        state = replace(state, before=state.x, age=0, moved=np.inf)
        while state.moved > goal:
            state = self.step(state, exact=exact)
            yield state
        return state

    def climbed(self, state: _State, tolerance: float) -> Generator[_State, None, _State]:
        """States while summits climb; at last that with them at the saddles, or where they were if they ran away."""
        rested = state = replace(state, before=state.x, age=0, moved=np.inf)
        for _ in range(CLIMBS):
            state = self.step(state)
            if runaway(state, rested):
                state = rested
            yield state
            if state is rested or state.moved < tolerance:
                break
        return self.at_saddles(state)

    def step(self, state: _State, *, exact: bool = False) -> _State:
        """An accelerated step down, with a new start where it would lead uphill (O'Donoghue and Candès 2015)."""
        y = state.x + state.age / (state.age + 3.0) * (state.x - state.before)
        with np.errstate(over="ignore", invalid="ignore"):
            push = self.push(y, state)
            push = self.flow(y, push, state) if exact else push
        largest = np.sqrt(self.metric.squares(y[1:-1], push).max())
        if not np.isfinite(largest):
            return self.anew(state)
        new = y.copy()
        new[1:-1] -= push
        stepped = (new - state.x)[1:-1]
        new = self.spread(new, state)
        moved = np.sqrt(self.metric.squares(y[1:-1], (new - y)[1:-1]).max())
        moved = float(moved / max(largest, 1e-300))
        if not np.isfinite(moved):
            return self.anew(state)
        early = not (exact or state.climbing or state.held)
        against = not self.accelerated or self.restarts.due(
            push, y, stepped if early else None, (new - state.x)[1:-1], moved
        )
        return replace(state, x=new, before=state.x, age=0 if against else state.age + 1, moved=moved)

    def anew(self, state: _State) -> _State:
        """The first string without acceleration, where a string has left the finite numbers."""
        if not self.accelerated or state.held:
            raise NotConvergedError("the string left the finite numbers; type start=... with points nearer to the path")
        self.accelerated = False
        return _State(self.first, self.first, 0, 1.0, ())

    def flow(self, y: Floats, first: Floats, state: _State) -> Floats:
        """The way down in the same time by the classical Runge-Kutta method.

        Straight steps leave a bent path by half the square of their length times its curvature, which no number of images mends.
        """

        def after(share: float, push: Floats) -> Floats:
            z = y.copy()
            z[1:-1] -= share * push
            return self.push(z, state)

        second = after(0.5, first)
        third = after(0.5, second)
        return (first + 2 * second + 2 * third + after(1.0, third)) / 6

    def push(self, y: Floats, state: _State) -> Floats:
        """D grad U over the largest curvature at the inner images (n - 1, dim), turned round along the string for those that climb."""
        slope = self.surface.gradient(y[1:-1])
        push = self.metric.raised(y[1:-1], slope)
        for k in state.climbing:
            t = y[k + 1] - y[k - 1]
            t = t / np.sqrt(self.metric.squares(y[k : k + 1], t[None])[0])
            push[k - 1] -= 2 * t * float(t @ slope[k - 1])
        push[np.array(state.held, int) - 1] = 0.0
        return push / self.steepness

    def spread(self, x: Floats, state: _State) -> Floats:
        """Images at equal distances between those that climb or are held."""
        new, pins = x.copy(), sorted((0, *state.climbing, *state.held, len(x) - 1))
        for i, j in pairwise(pins):
            new[i : j + 1] = at_equal_distances(x[i : j + 1], metric=self.metric.lengths(x[i : j + 1]))
        return new

    def at_saddles(self, state: _State) -> _State:
        """The same with the images that climbed at the saddles next to them, where Newton's method finds one."""
        x, held = state.x.copy(), []
        for k in state.climbing:
            reach = 0.5 * float(np.linalg.norm(x[k + 1] - x[k - 1]))
            saddle = Climb(self.surface, reach, SADDLE_TOLERANCE).polished(x[k])
            if saddle is not None and np.linalg.norm(saddle - x[k]) < reach:
                x[k] = saddle
                held.append(k)
        return _State(x, x, 0, np.inf, (), tuple(held))


def runaway(state: _State, rested: _State) -> bool:
    """Whether an image that climbs has gone further than two segments' length from where it began."""
    k = np.array(rested.climbing, int)
    gone = np.linalg.norm(state.x[k] - rested.x[k], axis=1)
    return bool(np.any(gone > np.linalg.norm(rested.x[k + 1] - rested.x[k - 1], axis=1)))


def summits(U: Floats) -> tuple[int, ...]:
    """The inner images that stand higher than both neighbours."""
    slack = FLAT * float(np.ptp(U))
    higher = (U[1:-1] > U[:-2] + slack) & (U[1:-1] > U[2:] + slack)
    return tuple(int(k) + 1 for k in np.flatnonzero(higher))


def _result(chain: _Chain, state: _State, complete: bool) -> StringPath:
    given, x = chain.surface, state.x
    U = given.value(x)
    top = int(np.argmax(U))
    held = list(state.held)
    height, notes = float(U[top] - U[0]), []
    if not complete:
        notes.append(f"Ctrl-C or most= ended it while the images moved by {state.moved:.2g} of the steepest slope")
    if complete and across_ridge(given, x) is not None:
        notes.append(RIDGE)
    if top in held:
        g, curvature = given.gradient(x[top : top + 1])[0], softest(given.product(x[top]), 1)[0][0]
        error, name = float(g @ g / abs(curvature)) + 1e-14 * float(np.abs(U).max()), "at the saddle"
    else:
        neighbours = U[max(top - 1, 0) : top + 2]
        error, name = float(np.ptp(neighbours)), "at the highest image"
        if 0 < top < len(U) - 1 and RIDGE not in notes:
            notes.append(
                "no saddle was found next to the highest image, whose height is a lower bound of this path's; others may be lower"
            )
    barrier = Estimate(height, error, f"string of {len(x) - 1} segments, {name}", warnings=tuple(notes))
    return StringPath(given, x, U, x[held], barrier, state.moved, complete)
