"""The loop over blocks and steps, compiled once for all problems, methods and observables."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types

from sgdyn.codegen.contracts import (
    CONFINE_BLOCK,
    CONFINE_SIGNATURE,
    GATHER_BLOCK,
    GATHER_SIGNATURE,
    STEP_BLOCK,
    WATCH_BLOCK,
    WATCH_SIGNATURE,
    function_at,
)
from sgdyn.codegen.jit import FIELD_BLOCK, NOISE_BLOCK, VECTOR, exact_helper, kernel
from sgdyn.codegen.vector import LANES, load, store
from sgdyn.codegen.views import borrowed, keep, plane_of, rows_of
from sgdyn.randomness import hoist
from sgdyn.sde.variates import FILL_BLOCK

SLOTS = 6
"""Watchers that one walk can have."""

CUBE, PATHS, SNAPSHOTS, STEPS = (
    types.float64[:, :, ::1],
    types.uint64[:, :, ::1],
    types.float64[:, :, :, ::1],
    types.int64[::1],
)


@exact_helper
def copy_rows(source: Any, target: Any) -> None:
    """target[:] = source; Numba's own assignment would bring seconds of compiling its error messages."""
    for i in range(source.shape[0]):
        for p in range(source.shape[1]):
            target[i, p] = source[i, p]


@exact_helper
def own_parameters(p: Any) -> Any:
    """Copies of the parameters of the watchers: every thread writes its time into them."""
    return p[0].copy(), p[1].copy(), p[2].copy(), p[3].copy(), p[4].copy(), p[5].copy()


@kernel(*GATHER_SIGNATURE)
def sum_increments(fresh: Any, variates: Any, i: Any, refine: Any) -> None:
    """The increment of a step is the sum of the finer ones, in units of the root of its length."""
    scale = 1.0 / math.sqrt(refine)
    for row in range(variates.shape[0]):
        for p in range(0, variates.shape[1], LANES):
            part = load(fresh, row, p) * scale
            store(variates, row, p, part if i == 0 else load(variates, row, p) + part)


@kernel(*WATCH_SIGNATURE, returns=types.boolean)
def unwatched(x: Any, step: Any, dt: Any, field: Any, psi: Any, spare: Any, record: Any) -> Any:
    """Nothing is recorded."""
    return False


@kernel(*CONFINE_SIGNATURE)
def unconfined(x: Any, limits: Any) -> None:
    """All of space."""


@exact_helper
def see(
    watcher: Any,
    field: Any,
    every: Any,
    parameters: Any,
    places: Any,
    records: Any,
    b: Any,
    x: Any,
    step: Any,
    dt: Any,
    spare: Any,
) -> Any:
    """Let a watcher look if it is due; False if there is none or it does not want to see more."""
    if every == 0:
        return False
    if step % every != 0:
        return True
    for place in places:
        parameters[place] = step * dt
    record = plane_of(records, b if records.shape[0] > 1 else 0)  # of the block, or the one of all
    return watcher(x, step, dt, field, parameters, spare, record)


@exact_helper
def watching(functions: Any) -> Any:
    """The watchers and their fields, whose addresses these are."""
    w, f = functions[:SLOTS], functions[SLOTS:]
    return (
        (to_watch(w[0]), to_watch(w[1]), to_watch(w[2]), to_watch(w[3]), to_watch(w[4]), to_watch(w[5])),
        (to_field(f[0]), to_field(f[1]), to_field(f[2]), to_field(f[3]), to_field(f[4]), to_field(f[5])),
    )


@exact_helper
def attachment(functions: Any, limits: Any, clocks: Any, every: Any, parameters: Any, records: Any) -> Any:
    """The boundary and the watchers as `attend` wants them."""
    watched, boundary = bool(np.any(every > 0)), to_confine(functions[0])
    limits, every = borrowed((limits, every))
    return (
        boundary,
        limits,
        watching(functions[1:]),
        watched,
        every,
        borrowed(parameters),
        clocks[3:],
        borrowed(records),
    )


@exact_helper
def attend(attached: Any, x: Any, b: Any, step: Any, dt: Any, spare: Any) -> Any:
    """Send back what has left and let the watchers look at the block b; False if nobody wants to see more."""
    confine, limits, (w, f), watched, every, p, t, r = attached
    if len(limits) > 0:
        confine(x, limits)
    if not watched:
        return True
    wanted = see(w[0], f[0], every[0], p[0], t[0], r[0], b, x, step, dt, spare)
    wanted = see(w[1], f[1], every[1], p[1], t[1], r[1], b, x, step, dt, spare) or wanted
    wanted = see(w[2], f[2], every[2], p[2], t[2], r[2], b, x, step, dt, spare) or wanted
    wanted = see(w[3], f[3], every[3], p[3], t[3], r[3], b, x, step, dt, spare) or wanted
    wanted = see(w[4], f[4], every[4], p[4], t[4], r[4], b, x, step, dt, spare) or wanted
    return see(w[5], f[5], every[5], p[5], t[5], r[5], b, x, step, dt, spare) or wanted


@exact_helper
def next_stop(attached: Any, step: Any, end: Any) -> Any:
    """The first step after `step`, at most `end`, after which there is a wall or a look."""
    _, limits, _, _, every, _, _, _ = attached
    if len(limits) > 0:
        return step + 1
    for each in every:
        if each > 0:
            end = min(end, (step // each + 1) * each)
    return end


@exact_helper
def save_points(x: Any, b: Any, kept: Any, saved: Any, step: Any, out: Any) -> Any:
    """Copy the block b to its saved points if they are those after this step; how many are saved."""
    while saved < len(kept) and kept[saved] == step:
        copy_rows(x, out[b, saved])
        saved += 1
    return saved


@exact_helper
def set_time(step: Any, first: Any, own: Any, temperatures: Any, parameters: Any, clocks: Any) -> None:
    """Write sqrt(2 T) and the time of a step to their places among the constants and the parameters."""
    if len(temperatures) > 1:
        own[1] = math.sqrt(2.0 * temperatures[step - first])
    for k in range(3):
        for place in clocks[k]:
            parameters[k][place] = step * own[0]


@exact_helper
def draw(fill: Any, gather: Any, buffers: Any, sizes: Any, filled: Any, step: Any, k0: Any, k1: Any) -> Any:
    """Make the normals of a step and gather its variates; the group that has been filled, and the row where the step's normals begin."""
    z, sums, hoisted, words, narrow, memory = buffers
    group, normals, used, rows, refine = sizes
    begin = 0
    for fine in range(step * refine, (step + 1) * refine):
        if fine // group != filled:
            filled = fine // group
            fill(z, words, narrow, hoisted, memory, filled, k0, k1)
        begin = (fine - filled * group) * normals
        if rows:
            gather(rows_of(z, begin, begin + used), sums, fine - step * refine, refine)
    return filled, begin


FUNCTIONS = (STEP_BLOCK, FIELD_BLOCK, NOISE_BLOCK, FIELD_BLOCK, FILL_BLOCK, GATHER_BLOCK)
"""The functions that `walk` is handed, by their addresses; then the boundary, `SLOTS` watchers and their fields."""
to_step, to_field, to_noise, to_fill, to_gather, to_confine, to_watch = (
    function_at(kind)
    for kind in (STEP_BLOCK, FIELD_BLOCK, NOISE_BLOCK, FILL_BLOCK, GATHER_BLOCK, CONFINE_BLOCK, WATCH_BLOCK)
)
PLACES = types.UniTuple(STEPS, 3 + SLOTS)
ATTACHED = (VECTOR, PLACES, STEPS, types.UniTuple(VECTOR, SLOTS), types.UniTuple(CUBE, SLOTS))
"""Limits of the boundary, where parameters hold the time, steps between looks, parameters and records of the watchers."""


@kernel(STEPS, VECTOR, VECTOR, VECTOR, VECTOR, types.int64, types.int64, types.int64, types.int64, types.int64, types.boolean, types.int64,
        *ATTACHED, CUBE, PATHS, types.int64, types.int64, VECTOR, types.uint64, types.uint64, STEPS, SNAPSHOTS)  # fmt: skip
def walk(
    functions: Any, theta: Any, phi: Any, psi: Any, constants: Any, room: Any,
    group: Any, normals: Any, used: Any, rows: Any, several: Any, refine: Any, limits: Any, clocks: Any, every: Any, parameters: Any, records: Any,
    x: Any, paths: Any, first: Any, count: Any, temperatures: Any, k0: Any, k1: Any, kept: Any, out: Any,
) -> None:  # fmt: skip
    """Steps first, ..., first + count - 1 of the blocks x[block, dim, n], in place.

    functions: the addresses of the step, its drift, noise and extra field, the filler, the gatherer, the boundary, `SLOTS` watchers and
    their fields. room: rows of work space. normals: rows of normals that a fine step draws, of which the method has the first `used`. rows: rows of
    variates gathered from them for a step, 0 where the step takes the normals as they are. several: the step takes those of
    several steps at once. clocks: where theta, phi, psi and the parameters of the watchers hold the time. temperatures: T at every step, or one T. records[k][block] (or records[k][0] for all) is what the k-th watcher writes
    after every every[k] steps (0: never); out[block, j] = x after kept[j] steps, kept increasing.
    """
    n, words, sizes = (
        x.shape[2],
        np.empty((2 * normals + 2, x.shape[2]), np.uint64),
        (group, normals, used, rows, refine),
    )
    step_block, drift, noise = to_step(functions[0]), to_field(functions[1]), to_noise(functions[2])
    extra, fill, gather = to_field(functions[3]), to_fill(functions[4]), to_gather(functions[5])
    owners = (
        np.empty((max(room, 1), n)), np.empty((group * normals, n)), np.empty((rows, n)), np.empty((3, n), np.uint64), words, words.view(np.uint32),
        np.empty(2, np.int64), constants.copy(), theta.copy(), phi.copy(), psi.copy(),
    )  # fmt: skip
    work, z, sums, hoisted, words, narrow, memory, own, theta, phi, psi = borrowed(owners)
    temperatures, kept, out, paths, x = borrowed((temperatures, kept, out, paths, x))
    buffers, clocks, copies = (z, sums, hoisted, words, narrow, memory), borrowed(clocks), own_parameters(parameters)
    attached = attachment(functions[6:], limits, clocks, every, copies, records)
    own[1] = math.sqrt(2.0 * temperatures[0])
    for b in range(x.shape[0]):
        hoist(plane_of(paths, b), k0, k1, hoisted)
        memory[0], filled, saved, step, block = -1, -1, 0, first, plane_of(x, b)
        while step < first + count:
            set_time(step, first, own, temperatures, (theta, phi, psi), clocks)
            filled, begin = draw(fill, gather, buffers, sizes, filled, step, k0, k1)
            end = step + 1
            if several:
                end = min((filled + 1) * group, first + count)
                end = next_stop(attached, step, min(end, kept[saved]) if saved < len(kept) else end)
            fresh = rows_of(sums, 0, rows) if rows else rows_of(z, begin, begin + (end - step - 1) * normals + used)
            step_block(drift, theta, noise, phi, extra, psi, block, fresh, work, own)
            step = end
            if not attend(attached, block, b, step, own[0], rows_of(z, begin + used, begin + normals)):
                break
            saved = save_points(block, b, kept, saved, step, out)
    keep(owners)
    keep(copies)
