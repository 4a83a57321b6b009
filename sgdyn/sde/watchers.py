"""What can be looked at on the way, in compiled code (`contracts.WATCH_BLOCK`)."""

from __future__ import annotations

from typing import Any

from numba import types

from sgdyn.codegen.contracts import WATCH_SIGNATURE
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, any_of, load, select, store
from sgdyn.codegen.views import rows_of
from sgdyn.sde.engine import copy_rows


@exact_helper
def add_to(record: Any, row: Any, p: Any, value: Any) -> None:
    """record[row, p : p + LANES] += value."""
    store(record, row, p, load(record, row, p) + value)


SILENCE = 16
"""Steps after which a block in which nobody arrives is asked whether anybody is still waiting."""


@exact_helper
def any_positive(values: Any) -> Any:
    """Whether a number of the first row is positive; NaN is not."""
    n = values.shape[1]
    first = load(values, 0, 0) * 0.0
    most = other = select(first == 0.0, first, 0.0)
    for p in range(0, n - LANES, 2 * LANES):
        a, b = load(values, 0, p), load(values, 0, p + LANES)
        most, other = select(a > most, a, most), select(b > other, b, other)
    last = load(values, 0, n - LANES)
    return any_of((most > 0.0) | (other > 0.0) | (last > 0.0))


@kernel(*WATCH_SIGNATURE, returns=types.boolean)
def arrivals(x: Any, step: Any, dt: Any, field: Any, psi: Any, spare: Any, record: Any) -> Any:
    """record[0] = the time where it was negative and the field is positive; False once none is negative. record[1] is room.

    Paths that have arrived walk on unobserved until their whole block has.
    """
    level = rows_of(record, 1, 2)
    field(x, psi, level)
    if not any_positive(level) and step % SILENCE != 0:
        return True
    earliest = load(record, 0, 0)
    for p in range(0, x.shape[1], LANES):
        t = load(record, 0, p)
        t = select((load(level, 0, p) > 0.0) & (t < 0.0), step * dt, t)
        store(record, 0, p, t)
        earliest = select(t < earliest, t, earliest)
    return any_of(earliest < 0.0)


@kernel(*WATCH_SIGNATURE, returns=types.boolean)
def bridged_arrivals(x: Any, step: Any, dt: Any, field: Any, psi: Any, spare: Any, record: Any) -> Any:
    """The same, counting those that touched the region between two looks: with probability exp(-2 a b/(s² dt)) for a Brownian bridge.

    field = (level, g' D g) and the own parameter 2 T give s², the squared speed of the level's noise; record = (time, the level before,
    and two rows of room). The sum of two squared spare normals is twice an exponential variable: it exceeds 4 a b/(s² dt) with that
    probability.
    """
    scale = psi[len(psi) - 1] * dt
    level, earliest = rows_of(record, 2, 4), load(record, 0, 0)
    field(x, psi, level)
    for p in range(0, x.shape[1], LANES):
        t, before, now = load(record, 0, p), load(record, 1, p), load(level, 0, p)
        z0, z1 = load(spare, 0, p), load(spare, 1, p)
        touched = (z0 * z0 + z1 * z1) * (load(level, 1, p) * scale) > 4.0 * before * now
        t = select(((now > 0.0) | (touched & (before < 0.0))) & (t < 0.0), step * dt, t)
        store(record, 0, p, t)
        store(record, 1, p, now)
        earliest = select(t < earliest, t, earliest)
    return any_of(earliest < 0.0)


@kernel(*WATCH_SIGNATURE, returns=types.boolean)
def sums(x: Any, step: Any, dt: Any, field: Any, psi: Any, spare: Any, record: Any) -> Any:
    """Sums of f - shift and, if wanted, of its products; own parameters (shift (m,), x itself?, products?, m), record (f, sums, products)."""
    size, n = len(psi), x.shape[1]
    m, products, itself = int(psi[size - 1]), psi[size - 2] > 0.0, psi[size - 3] > 0.0
    first = size - 3 - m
    if not itself:
        field(x, psi, rows_of(record, 0, m))
    values = x if itself else record
    for i in range(m):
        shift, row = psi[first + i], 2 * m + i * (i + 1) // 2
        if products:
            for p in range(0, n, LANES):
                a = load(values, i, p) - shift
                add_to(record, m + i, p, a)
                add_to(record, row + i, p, a * a)
            for j in range(i):
                other = psi[first + j]
                for p in range(0, n, LANES):
                    add_to(record, row + j, p, (load(values, i, p) - shift) * (load(values, j, p) - other))
        else:
            for p in range(0, n, LANES):
                add_to(record, m + i, p, load(values, i, p) - shift)
    return True


@kernel(*WATCH_SIGNATURE, returns=types.boolean)
def maxima(x: Any, step: Any, dt: Any, field: Any, psi: Any, spare: Any, record: Any) -> Any:
    """record[i] = the largest f_i so far; the second half of the rows is room."""
    m = record.shape[0] // 2
    values = record[m:]
    field(x, psi, values)
    for i in range(m):
        for p in range(0, x.shape[1], LANES):
            value, best = load(values, i, p), load(record, i, p)
            store(record, i, p, select(value > best, value, best))
    return True


@kernel(*WATCH_SIGNATURE, returns=types.boolean)
def last_visits(x: Any, step: Any, dt: Any, field: Any, psi: Any, spare: Any, record: Any) -> Any:
    """record[0] = the last time at which the field was positive; record[1] is room."""
    field(x, psi, record[1:])
    for p in range(0, x.shape[1], LANES):
        store(record, 0, p, select(load(record, 1, p) > 0.0, step * dt, load(record, 0, p)))
    return True


@kernel(*WATCH_SIGNATURE, returns=types.boolean)
def first_of_two(x: Any, step: Any, dt: Any, field: Any, psi: Any, spare: Any, record: Any) -> Any:
    """record[0] = 1 or 2, the first of the two fields to be positive, 0 before; the rows below are room."""
    undecided = False
    field(x, psi, record[1:])
    for p in range(0, x.shape[1], LANES):
        chosen = load(record, 0, p)
        here = select(load(record, 1, p) > 0.0, 1.0, select(load(record, 2, p) > 0.0, 2.0, 0.0))
        chosen = select(chosen == 0.0, here, chosen)
        store(record, 0, p, chosen)
        undecided = any_of(chosen == 0.0) or undecided
    return undecided


@kernel(*WATCH_SIGNATURE, returns=types.boolean)
def counts(x: Any, step: Any, dt: Any, field: Any, psi: Any, spare: Any, record: Any) -> Any:
    """record[0, cell] += 1 (or record[path, cell]) for every path in the cell; the last cell is outside. Own parameters: (row, low, 1/width, cells) of each axis.

    The number of axes is the last parameter, how many of the paths count the one before it.
    """
    size = len(psi)
    axes, paths = int(psi[size - 1]), int(psi[size - 2])
    table = psi[size - 2 - 4 * axes :]
    outside = record.shape[1] - 1
    for p in range(min(paths, x.shape[1])):
        cell = 0
        for k in range(axes):
            place = (x[int(table[4 * k]), p] - table[4 * k + 1]) * table[4 * k + 2]
            inside = (place >= 0.0) and (place < table[4 * k + 3]) and cell >= 0
            cell = cell * int(table[4 * k + 3]) + int(place) if inside else -1
        record[p if record.shape[0] > 1 else 0, cell if cell >= 0 else outside] += 1.0
    return True


@kernel(*WATCH_SIGNATURE, returns=types.boolean)
def lagged_products(x: Any, step: Any, dt: Any, field: Any, psi: Any, spare: Any, record: Any) -> Any:
    """Sums of f_i(t) f_j(t - lag). Own parameters: (shift (m,), lags (l,), m, l); lags in looks, increasing, of which the last sets the memory.

    record: (looks so far; sums (m); the ring of values (last lag + 1, m); sums of the first `lag` values (l, m); products (l, m, m)).
    """
    size = len(psi)
    m, lags = int(psi[size - 2]), int(psi[size - 1])
    shift, lag = psi[size - 2 - lags - m :], psi[size - 2 - lags :]
    memory, looks = int(lag[lags - 1]) + 1, int(record[0, 0])
    ring = record[1 + m : 1 + m + memory * m]
    now = ring[(looks % memory) * m : (looks % memory + 1) * m]
    field(x, psi, now)
    for i in range(m):
        for p in range(0, x.shape[1], LANES):
            value = load(now, i, p) - shift[i]
            store(now, i, p, value)
            add_to(record, 1 + i, p, value)
    heads = 1 + m + memory * m
    for k in range(lags):
        if looks + 1 == int(lag[k]):
            copy_rows(rows_of(record, 1, 1 + m), rows_of(record, heads + k * m, heads + (k + 1) * m))
        if looks >= int(lag[k]):
            past = ring[((looks - int(lag[k])) % memory) * m :]
            first = heads + lags * m + k * m * m
            for i in range(m):
                for j in range(m):
                    for p in range(0, x.shape[1], LANES):
                        add_to(record, first + i * m + j, p, load(now, i, p) * load(past, j, p))
    for p in range(0, x.shape[1], LANES):
        store(record, 0, p, looks + 1.0)
    return True
