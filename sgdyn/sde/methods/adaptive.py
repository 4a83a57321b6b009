"""Heun's method with steps that divide themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sgdyn import checks
from sgdyn.codegen.contracts import STEP_SIGNATURE
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, absolute, load, select, store
from sgdyn.factors import drift_correction, unwritten
from sgdyn.noise import Varying
from sgdyn.problem import Langevin
from sgdyn.sde.methods.brownian_tree import DEEPEST, KEYS, divide
from sgdyn.sde.methods.plan import Method, Plan, kind_of_noise
from sgdyn.sde.methods.repeated_runge_kutta import corrected_drift

CORRECTED, TOLERANCE, LEVELS, SEATS, VARYING = 2, 3, 4, 5, 6
"""The method's constants."""
FIRST_KEY, NODE, LENGTH, LEVEL, VERDICT, READY, PATH, BOOK = 0, 2, 3, 4, 5, 6, 7, 8
"""Rows of the book: two keys, node (a word), length and level of the interval, verdict, 1 if the drift at x is known, path or -1."""
POINTS = 7
"""Times dim rows: x, y, drift at x, kick from x, drift at y, kick from y, room."""
AT_ONCE = 2 * LANES
"""Seats, on each of which one path walks until its step is done: whoever is done makes room for the next of the block."""
LARGEST = float(np.finfo(np.float64).max)
ODD = np.uint64(1)


@exact_helper
def be_seated(book: Any, x: Any, w: Any, seat: Any, path: Any, block: Any, variates: Any) -> None:
    """The path begins its step on a seat; beyond the last path the seat stays empty."""
    rank, nodes = w.shape[0], book.view(np.uint64)
    book[READY, seat], book[PATH, seat] = 0.0, -1.0
    if path < block.shape[1]:
        book[PATH, seat], book[LENGTH, seat], book[LEVEL, seat], nodes[NODE, seat] = path, 1.0, 0.0, ODD
        book[FIRST_KEY, seat], book[FIRST_KEY + 1, seat] = variates[rank, path], variates[rank + 1, path]
        for i in range(x.shape[0]):
            x[i, seat] = block[i, path]
        for k in range(rank):
            w[k, seat] = variates[k, path]


@exact_helper
def aim(book: Any, x: Any, y: Any, force: Any, kick: Any, dt: Any, scale: Any) -> None:
    """y = Euler's step from x over the interval where the drift at x is known, x elsewhere."""
    for p in range(0, x.shape[1], LANES):
        ready, h = load(book, READY, p) > 0.0, load(book, LENGTH, p) * dt
        for i in range(x.shape[0]):
            here = load(x, i, p)
            there = here + load(force, i, p) * h + load(kick, i, p) * scale
            store(y, i, p, select(ready, there, here))


@exact_helper
def judge(book: Any, x: Any, y: Any, force: Any, kick: Any, slope: Any, push: Any, constants: Any, scale: Any) -> None:
    """Verdicts: 1, and x moves, where Heun's step may be taken; -1 where the interval is to be halved; 0 where slope is the drift at x."""
    for p in range(0, x.shape[1], LANES):
        ready, h = load(book, READY, p) > 0.0, load(book, LENGTH, p) * (0.5 * constants[0])
        good = ready
        lost = (
            load(book, LENGTH, p) <= 0.5 ** constants[LEVELS]
        )  # no smaller steps; nor is it worth while beyond the finite numbers
        for i in range(x.shape[0]):
            here = load(x, i, p)
            change = (load(slope, i, p) - load(force, i, p)) * h + (load(push, i, p) - load(kick, i, p)) * (0.5 * scale)
            good = good & (absolute(change) <= (absolute(here) + 1.0) * constants[TOLERANCE])
            lost = lost | ~(absolute(here) <= LARGEST)
            store(y, i, p, load(y, i, p) + change)
        taken = ready & (good | lost)
        for i in range(x.shape[0]):
            store(x, i, p, select(taken, load(y, i, p), load(x, i, p)))
            store(force, i, p, select(ready, load(force, i, p), load(slope, i, p)))
        store(book, VERDICT, p, select(taken, 1.0, select(ready, -1.0, load(book, VERDICT, p) * 0.0)))


@exact_helper
def go_on(book: Any, w: Any, pending: Any, seat: Any) -> None:
    """To the interval after the one that is done: the second half of the smallest whose first half is done; node 1 if none is left."""
    nodes, rank = book.view(np.uint64), w.shape[0]
    node = nodes[NODE, seat]
    while node & ODD and node > ODD:
        node = node >> ODD
        book[LENGTH, seat] *= 2.0
        book[LEVEL, seat] -= 1.0
    if node > ODD:
        node = node | ODD
        for k in range(rank):
            w[k, seat] = pending[int(book[LEVEL, seat]) * rank + k, seat]
    nodes[NODE, seat], book[READY, seat] = node, 0.0


@exact_helper
def go_down(book: Any, seat: Any) -> None:
    """To the first half of the interval."""
    nodes = book.view(np.uint64)
    nodes[NODE, seat] = nodes[NODE, seat] << ODD
    book[LENGTH, seat] *= 0.5
    book[LEVEL, seat] += 1.0


@exact_helper
def obey(book: Any, x: Any, w: Any, pending: Any, block: Any, variates: Any, waiting: Any) -> Any:
    """Every seat as its verdict says; returns the first path that has not begun, and how many seats are taken."""
    nodes, taken = book.view(np.uint64), 0
    for seat in range(x.shape[1]):
        path, verdict = int(book[PATH, seat]), book[VERDICT, seat]
        if path >= 0 and verdict > 0.0:
            go_on(book, w, pending, seat)
            if nodes[NODE, seat] == ODD:
                for i in range(x.shape[0]):
                    block[i, path] = x[i, seat]
                be_seated(book, x, w, seat, waiting, block, variates)
                waiting += 1
        elif path >= 0 and verdict < 0.0:
            go_down(book, seat)
        elif path >= 0:
            book[READY, seat] = 1.0
        taken += book[PATH, seat] >= 0.0
    return waiting, taken


@kernel(*STEP_SIGNATURE)
def adaptive_step(
    drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, x: Any, variates: Any, work: Any, constants: Any
) -> None:
    """One step, of as many parts as each path wants. Normals: of the increment, and `KEYS` of the tree."""
    dim, n, rank, dt = x.shape[0], x.shape[1], variates.shape[0] - KEYS, constants[0]
    half, scale = 0.5 * constants[CORRECTED] * constants[1] ** 2, constants[1] * math.sqrt(dt)
    seats = min(int(constants[SEATS]), n) if constants[SEATS] > 0.0 else n
    rows = work.shape[0]
    room = work.reshape((work.size,))[: rows * seats].reshape((rows, seats))
    here, there, force, kick = room[:dim], room[dim : 2 * dim], room[2 * dim : 3 * dim], room[3 * dim : 4 * dim]
    slope, push, spare = room[4 * dim : 5 * dim], room[5 * dim : 6 * dim], room[6 * dim : 7 * dim]
    w, book = room[7 * dim : 7 * dim + rank], room[7 * dim + rank : 7 * dim + rank + BOOK]
    pending = room[7 * dim + rank + BOOK :]
    nodes = book.view(np.uint64)
    for seat in range(seats):
        be_seated(book, here, w, seat, seat, x, variates)
    waiting, taken = seats, seats
    while taken:
        noise(here, phi, w, kick)
        aim(book, here, there, force, kick, dt, scale)
        corrected_drift(drift, theta, extra, psi, there, half, slope, spare)
        if constants[VARYING] > 0.0:
            noise(there, phi, w, push)
        judge(book, here, there, force, kick, slope, push if constants[VARYING] > 0.0 else kick, constants, scale)
        divide(
            w,
            pending,
            book[:KEYS],
            nodes[NODE : NODE + 1],
            book[LENGTH : LENGTH + 1],
            book[LEVEL : LEVEL + 1],
            book[VERDICT : VERDICT + 1],
        )
        waiting, taken = obey(book, here, w, pending, x, variates, waiting)


@dataclass(frozen=True)
class Adaptive(Method):
    """Heun's steps, each path halving its own, down to dt/2^levels, until they differ from Euler's by at most tolerance (1 + |x|).

    dt is the largest step, and what is looked at between steps. The Brownian path is there in advance (see `brownian_tree`): a step
    that is rejected is tried again on the same path, so that there is no bias, and another tolerance sees the same path. Steps that
    look ahead on it are why this is Heun's method: Euler-Maruyama's may then have another limit (Gaines and Lyons, SIAM J. Appl. Math. 57,
    1455 (1997); Foster and Jelinčič, arXiv:2311.14201). Of noise that does not commute the difference would miss the areas.

    The stated orders are Heun's, in the length of the parts. Where noise is additive their length goes as tolerance^{2/3}, and so does
    the strong error; with other noise both go as the tolerance. Two points with equal drift look as if nothing had happened between
    them: choose dt so small that a path does not leap from well to well, whatever the tolerance.
    An accepted step costs two drifts, a rejected one one. `refine` repeats no path, as the trees within steps are others; lower the
    tolerance instead.
    """

    tolerance: float = 1e-3
    levels: int = 12

    strong_order: ClassVar[float | None] = 1.0
    strong_order_additive: ClassVar[float | None] = 1.0
    weak_order: ClassVar[float] = 1.0
    interpretation: ClassVar[str] = "Stratonovich"
    needs_normals: ClassVar[bool] = True
    accepts: ClassVar[str] = "commutative"

    def __post_init__(self) -> None:
        checks.positive("tolerance", self.tolerance)
        if checks.count("levels", self.levels, least=0) > DEEPEST:
            raise ValueError(f"got levels={self.levels}, expected at most {DEEPEST}: the smallest step is dt/2^levels")

    @classmethod
    def refusal(cls, problem: Any) -> str | None:
        return unwritten(problem.D)

    def plan(self, problem: Langevin, dt: float) -> Plan:
        noise, correction = problem.D, drift_correction(problem.D, kind_of_noise(problem.D))
        seats = AT_ONCE if _compiled(problem) else 0
        constants = np.array(
            [dt, 0.0, correction is not None, self.tolerance, self.levels, seats, isinstance(noise, Varying)]
        )
        room = POINTS * noise.dim + BOOK + (self.levels + 2) * noise.rank
        return Plan(
            adaptive_step.compiled,
            problem.drift,
            noise,
            noise.rank + KEYS,
            constants,
            extra=correction,
            room=room,
            divisions=2**self.levels,
        )


def _compiled(problem: Langevin) -> bool:
    """Whether no call enters Python, where it pays to evaluate the whole block at once."""
    from sgdyn.sde.opaque import field_block, noise_block

    return field_block(problem.drift)[2] is None and noise_block(problem.D)[2] is None
