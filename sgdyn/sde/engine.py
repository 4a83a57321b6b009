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
def look(
    watchers: Any,
    clocks: Any,
    every: Any,
    fields: Any,
    parameters: Any,
    records: Any,
    b: Any,
    x: Any,
    step: Any,
    dt: Any,
    spare: Any,
) -> Any:
    """Let every watcher look that is due; False if none wants to see more."""
    wanted = False
    for k in range(SLOTS):
        if every[k] and step % every[k] == 0:
            for place in clocks[3 + k]:
                parameters[k][place] = step * dt
            record = records[k][b if records[k].shape[0] > 1 else 0]
            wanted = watchers[k](x, step, dt, fields[k], parameters[k], spare, record) or wanted
        elif every[k]:
            wanted = True
    return wanted


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
    variates gathered from them for a step, 0 where the step takes the normals as they are. several: the step takes those of a whole
    group at once. clocks: where theta, phi, psi and the parameters of the watchers hold the time. temperatures: T at every step, or one T. records[k][block] (or records[k][0] for all) is what the k-th watcher writes
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
    watchers = (to_watch(w[0]), to_watch(w[1]), to_watch(w[2]), to_watch(w[3]), to_watch(w[4]), to_watch(w[5]))
    fields = (to_field(f[0]), to_field(f[1]), to_field(f[2]), to_field(f[3]), to_field(f[4]), to_field(f[5]))
    work, z, sums = np.empty((max(room, 1), n)), np.empty((group * normals, n)), np.empty((rows, n))
    hoisted, words, memory = (
        np.empty((3, n), np.uint64),
        np.empty((2 * normals + 2, n), np.uint64),
        np.empty(2, np.int64),
    )
    narrow = words.view(np.uint32)
    own, spare = constants.copy(), z[:0]
    timed = (theta.copy(), phi.copy(), psi.copy())
    theta, phi, psi = timed
    a, b_, c, d, e, f_ = parameters
    own_parameters = (a.copy(), b_.copy(), c.copy(), d.copy(), e.copy(), f_.copy())
    for b in range(x.shape[0]):
        hoist(paths[b], k0, k1, hoisted)
        memory[0], filled, saved, block = -1, -1, 0, x[b]
        step = first
        while step < first + count:
            own[1] = math.sqrt(2.0 * temperatures[step - first if len(temperatures) > 1 else 0])
            set_clocks(timed, clocks, step * own[0])
            ahead = kept[saved] - step if saved < len(kept) else group
            if several and step % group == 0 and step + group <= first + count and ahead >= group:
                fill(z, words, narrow, hoisted, memory, step // group, k0, k1)
                step_block(drift, theta, noise, phi, extra, psi, block, z, work, own)
                step += group
            else:
                for i in range(refine):
                    fine = step * refine + i
                    if fine // group != filled:
                        filled = fine // group
                        fill(z, words, narrow, hoisted, memory, filled, k0, k1)
                    begin = (fine % group) * normals
                    fresh, spare = z[begin : begin + used], z[begin + used : begin + normals]
                    if rows:
                        gather(fresh, sums, i, refine)
                step_block(drift, theta, noise, phi, extra, psi, block, sums if rows else fresh, work, own)
                step += 1
            if len(limits):
                confine(block, limits)
            if watched and not look(
                watchers, clocks, every, fields, own_parameters, records, b, block, step, own[0], spare
            ):
                break
            while saved < len(kept) and kept[saved] == step:
                copy_rows(block, out[b, saved])
                saved += 1
