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
from sgdyn.codegen.views import borrowed, keep, rows_of
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
    parameters: Any,
    every: Any,
    places: Any,
    record: Any,
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
    return watcher(x, step, dt, field, parameters, spare, record)


@exact_helper
def record_of(records: Any, b: Any) -> Any:
    """What is written of the block b: a record of its own, or the one of all."""
    return records[b if records.shape[0] > 1 else 0]


@exact_helper
def next_look(every: Any, step: Any, end: Any) -> Any:
    """The first step after `step` at which a watcher looks, at most `end`."""
    for each in every:
        if each > 0:
            end = min(end, (step // each + 1) * each)
    return end


@exact_helper
def set_clocks(parameters: Any, clocks: Any, time: Any) -> None:
    """Write the time to its places among the parameters."""
    for k in range(3):
        for place in clocks[k]:
            parameters[k][place] = time


FUNCTIONS = (STEP_BLOCK, FIELD_BLOCK, NOISE_BLOCK, FIELD_BLOCK, FILL_BLOCK, GATHER_BLOCK, CONFINE_BLOCK)
"""The functions that `walk` is handed, by their addresses; then `SLOTS` watchers and their fields."""
to_step, to_field, to_noise, to_fill, to_gather, to_confine, to_watch = (
    function_at(kind)
    for kind in (STEP_BLOCK, FIELD_BLOCK, NOISE_BLOCK, FILL_BLOCK, GATHER_BLOCK, CONFINE_BLOCK, WATCH_BLOCK)
)


@kernel(STEPS, VECTOR, VECTOR, VECTOR, VECTOR, types.int64, types.int64, types.int64, types.int64, types.int64, types.boolean,
        VECTOR, types.UniTuple(STEPS, 3 + SLOTS), STEPS, types.UniTuple(VECTOR, SLOTS), types.UniTuple(CUBE, SLOTS),
        CUBE, PATHS, types.int64, types.int64, VECTOR, types.int64, types.uint64, types.uint64, STEPS, SNAPSHOTS)  # fmt: skip
def walk(
    functions: Any, theta: Any, phi: Any, psi: Any, constants: Any, room: Any,
    group: Any, normals: Any, used: Any, rows: Any, several: Any, limits: Any, clocks: Any, every: Any, parameters: Any, records: Any,
    x: Any, paths: Any, first: Any, count: Any, temperatures: Any, refine: Any, k0: Any, k1: Any, kept: Any, out: Any,
) -> None:  # fmt: skip
    """Steps first, ..., first + count - 1 of the blocks x[block, dim, n], in place.

    functions: the addresses of the step, its drift, noise and extra field, the filler, the gatherer, the boundary, `SLOTS` watchers and
    their fields. room: rows of work space. normals: rows of normals that a fine step draws, of which the method has the first `used`. rows: rows of
    variates gathered from them for a step, 0 where the step takes the normals as they are. several: the step takes those of
    several steps at once. clocks: where theta, phi, psi and the parameters of the watchers hold the time. temperatures: T at every step, or one T. records[k][block] (or records[k][0] for all) is what the k-th watcher writes
    after every every[k] steps (0: never); out[block, j] = x after kept[j] steps, kept increasing.
    """
    n, watched = x.shape[2], np.any(every > 0)
    step_block, drift, noise, extra = (
        to_step(functions[0]),
        to_field(functions[1]),
        to_noise(functions[2]),
        to_field(functions[3]),
    )
    fill, gather, confine = to_fill(functions[4]), to_gather(functions[5]), to_confine(functions[6])
    w, f = functions[7:], functions[7 + SLOTS :]
    w0, w1, w2, w3, w4, w5 = to_watch(w[0]), to_watch(w[1]), to_watch(w[2]), to_watch(w[3]), to_watch(w[4]), to_watch(w[5])  # fmt: skip
    f0, f1, f2, f3, f4, f5 = to_field(f[0]), to_field(f[1]), to_field(f[2]), to_field(f[3]), to_field(f[4]), to_field(f[5])  # fmt: skip
    a, words = parameters, np.empty((2 * normals + 2, n), np.uint64)
    owners = (
        np.empty((max(room, 1), n)), np.empty((group * normals, n)), np.empty((rows, n)), np.empty((3, n), np.uint64), words, words.view(np.uint32),
        np.empty(2, np.int64), constants.copy(), theta.copy(), phi.copy(), psi.copy(), limits,
        a[0].copy(), a[1].copy(), a[2].copy(), a[3].copy(), a[4].copy(), a[5].copy(),
    )  # fmt: skip
    work, z, sums, hoisted, words, narrow, memory, own, theta, phi, psi, limits, p0, p1, p2, p3, p4, p5 = borrowed(owners)  # fmt: skip
    t0, t1, t2, t3, t4, t5 = clocks[3], clocks[4], clocks[5], clocks[6], clocks[7], clocks[8]
    e0, e1, e2, e3, e4, e5 = every[0], every[1], every[2], every[3], every[4], every[5]
    ticking, confined = len(clocks[0]) + len(clocks[1]) + len(clocks[2]) > 0, len(limits) > 0
    own[1] = math.sqrt(2.0 * temperatures[0])
    for b in range(x.shape[0]):
        hoist(paths[b], k0, k1, hoisted)
        memory[0], filled, saved, step = -1, -1, 0, first
        (block,) = borrowed((x[b],))
        c0, c1, c2 = record_of(records[0], b), record_of(records[1], b), record_of(records[2], b)
        c3, c4, c5 = record_of(records[3], b), record_of(records[4], b), record_of(records[5], b)
        r0, r1, r2, r3, r4, r5 = borrowed((c0, c1, c2, c3, c4, c5))
        while step < first + count:
            if len(temperatures) > 1:
                own[1] = math.sqrt(2.0 * temperatures[step - first])
            if ticking:
                set_clocks((theta, phi, psi), clocks, step * own[0])
            end = step + 1
            for fine in range(step * refine, end * refine):
                if fine // group != filled:
                    filled = fine // group
                    fill(z, words, narrow, hoisted, memory, filled, k0, k1)
                begin = (fine - filled * group) * normals
                if rows:
                    gather(rows_of(z, begin, begin + used), sums, fine - step * refine, refine)
            if several:
                end = min((filled + 1) * group, first + count)
                end = min(end, kept[saved]) if saved < len(kept) else end
                end = next_look(every, step, end) if watched else end
            fresh = rows_of(sums, 0, rows) if rows else rows_of(z, begin, begin + (end - step - 1) * normals + used)
            step_block(drift, theta, noise, phi, extra, psi, block, fresh, work, own)
            step = end
            if confined:
                confine(block, limits)
            if watched:
                spare = rows_of(z, begin + used, begin + normals)
                wanted = see(w0, f0, p0, e0, t0, r0, block, step, own[0], spare)
                wanted = see(w1, f1, p1, e1, t1, r1, block, step, own[0], spare) or wanted
                wanted = see(w2, f2, p2, e2, t2, r2, block, step, own[0], spare) or wanted
                wanted = see(w3, f3, p3, e3, t3, r3, block, step, own[0], spare) or wanted
                wanted = see(w4, f4, p4, e4, t4, r4, block, step, own[0], spare) or wanted
                wanted = see(w5, f5, p5, e5, t5, r5, block, step, own[0], spare) or wanted
                if not wanted:
                    break
            while saved < len(kept) and kept[saved] == step:
                copy_rows(block, out[b, saved])
                saved += 1
    keep(owners)
