"""Watchers of rare events: how far paths climb before they return, and how often they set out (`contracts.WATCH_BLOCK`)."""

from __future__ import annotations

import math
from typing import Any

from numba import types

from sgdyn.codegen.contracts import WATCH_SIGNATURE
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, any_of, load
from sgdyn.codegen.views import rows_of

UNDER_WAY, BACK, THERE, STOPPED = 0, 1, 2, 3
"""How a climb ended: not yet, in the region a, in the region b, on the rung at which it was to stop."""
CLIMB_ROWS, TRIP_ROWS = 7, 10
"""Rows of the records of `climbs` and `trips` before the points."""


@exact_helper
def put(x: Any, p: Any, record: Any, row: Any) -> None:
    """record[row : row + dim, p] = x[:, p]."""
    for i in range(x.shape[0]):
        record[row + i, p] = x[i, p]


@exact_helper
def climb(x: Any, p: Any, time: Any, level: Any, psi: Any, record: Any) -> None:
    """What `climbs` does with one path whose climb has not ended."""
    size, dim = len(psi), x.shape[0]
    rungs, goal, rung = int(psi[size - 1]), psi[size - 2], int(record[1, p])
    first = size - 2 - rungs
    there = level[2, p] > 0.0
    if not there and level[1, p] > 0.0:
        record[0, p], record[2, p] = 1.0, time
        return
    while rung < rungs and (there or level[0, p] > psi[first + rung]):
        put(x, p, record, 7 + rung * dim)
        rung += 1
    record[6, p] = psi[first + rung] if rung < rungs else math.inf
    if there:
        put(x, p, record, 7 + rungs * dim)
        record[0, p], rung = 2.0, rungs + 1
    elif rung >= goal:
        record[0, p] = 3.0
    record[1, p], record[2, p] = rung, time


@kernel(*WATCH_SIGNATURE, returns=types.boolean)
def climbs(x: Any, step: Any, dt: Any, field: Any, psi: Any, spare: Any, record: Any) -> Any:
    """Where paths first stood above each rung of a ladder, until they enter a or b or reach the rung `goal`.

    field = (score, level of a, level of b); own parameters: the scores of the rungs, goal, how many rungs there are. record = (how it
    ended, rungs below the highest score, the time of the last event, three rows of room, the score of the next rung; the point (dim) at which each
    rung was passed). b lies above all rungs, and has the last point.
    """
    level, under_way = rows_of(record, 3, 6), False
    field(x, psi, level)
    for p in range(0, x.shape[1], LANES):
        free = load(record, 0, p) == 0.0
        up = (load(level, 0, p) > load(record, 6, p)) | (load(level, 1, p) > 0.0) | (load(level, 2, p) > 0.0)
        if any_of(free & up):
            for q in range(p, p + LANES):
                if record[0, q] == 0.0:
                    climb(x, q, step * dt, level, psi, record)
        under_way = any_of(load(record, 0, p) == 0.0) or under_way
    return under_way


@exact_helper
def set_out(x: Any, p: Any, time: Any, level: Any, psi: Any, record: Any) -> None:
    """What `trips` does with one path that has not made all of its trips."""
    size, dim = len(psi), x.shape[0]
    rung, unseen, trips = psi[size - 3], psi[size - 2], psi[size - 1]
    if level[2, p] > 0.0:
        for i in range(dim):
            x[i, p] = psi[size - 3 - dim + i]
        record[2, p] = 1.0
        record[5, p] += 1.0
    elif level[1, p] > 0.0:
        record[2, p] = 1.0
    elif record[2, p] > 0.0 and level[0, p] > rung:
        record[1, p] += 1.0
        record[2, p] = 0.0
        if record[1, p] == unseen:
            record[3, p] = time
        if record[1, p] == 0.5 * (unseen + trips):
            record[9, p] = time
        if record[1, p] == trips:
            record[0, p], record[4, p] = 3.0, time
            put(x, p, record, 10)


@kernel(*WATCH_SIGNATURE, returns=types.boolean)
def trips(x: Any, step: Any, dt: Any, field: Any, psi: Any, spare: Any, record: Any) -> Any:
    """Passages of the first rung by paths that come from a; those that enter b are put back to the start.

    field as of `climbs`; own parameters: the start (dim), the score of the rung, the passages `unseen` and `trips`, of even difference. record = (how it
    ended, passages, whether a was visited since the last, the times of the passages `unseen` and `trips`, entries into b, three rows of room, the time of the passage
    half way between; the point of the last passage (dim)).
    """
    level, under_way, rung = rows_of(record, 6, 9), False, psi[len(psi) - 3]
    field(x, psi, level)
    for p in range(0, x.shape[1], LANES):
        free, armed = load(record, 0, p) == 0.0, load(record, 2, p) > 0.0
        event = (load(level, 2, p) > 0.0) | (load(level, 1, p) > 0.0) | (armed & (load(level, 0, p) > rung))
        if any_of(free & event):
            for q in range(p, p + LANES):
                if record[0, q] == 0.0:
                    set_out(x, q, step * dt, level, psi, record)
        under_way = any_of(load(record, 0, p) == 0.0) or under_way
    return under_way
