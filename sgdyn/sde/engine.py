"""The loop over blocks and steps, compiled once for all problems, methods and observables."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types

from sgdyn.codegen.jit import VECTOR, exact_helper, kernel
from sgdyn.codegen.vector import LANES, load, store
from sgdyn.randomness import hoist
from sgdyn.codegen.contracts import CONFINE_BLOCK, CONFINE_SIGNATURE, FIELDS, GATHER_BLOCK, GATHER_SIGNATURE, STEP_BLOCK, WATCH_BLOCK, WATCH_SIGNATURE
from sgdyn.sde.variates import FILL_BLOCK

CUBE, PATHS, SNAPSHOTS, STEPS = types.float64[:, :, ::1], types.uint64[:, :, ::1], types.float64[:, :, :, ::1], types.int64[::1]


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
def unwatched(x: Any, step: Any, dt: Any, field: Any, psi: Any, record: Any) -> Any:
    """Nothing is recorded."""
    return True


@kernel(*CONFINE_SIGNATURE)
def unconfined(x: Any, limits: Any) -> None:
    """All of space."""


@kernel(STEP_BLOCK, *FIELDS, VECTOR, types.int64, FILL_BLOCK, types.int64, types.int64, types.int64, types.boolean, GATHER_BLOCK, CONFINE_BLOCK, VECTOR,
        WATCH_BLOCK, types.int64, FIELDS[0], VECTOR, CUBE,
        CUBE, PATHS, types.int64, types.int64, VECTOR, types.int64, types.uint64, types.uint64, STEPS, SNAPSHOTS)  # fmt: skip
def walk(
    step_block: Any, drift: Any, theta: Any, noise: Any, phi: Any, extra: Any, psi: Any, constants: Any, room: Any,
    fill: Any, group: Any, normals: Any, rows: Any, several: Any, gather: Any, confine: Any, limits: Any,
    watch: Any, every: Any, level: Any, level_theta: Any, records: Any,
    x: Any, paths: Any, first: Any, count: Any, temperatures: Any, refine: Any, k0: Any, k1: Any, kept: Any, out: Any,
) -> None:  # fmt: skip
    """Steps first, ..., first + count - 1 of the blocks x[block, dim, n], in place.

    room: rows of work space. normals: rows of normals a fine step needs. rows: rows of variates gathered from them for a step, 0 where
    the step takes the normals as they are. several: the step takes those of a whole group at once. temperatures: T at every step, or one T. records[block] (or
    records[0] for all) is what `watch` writes after every `every` steps (0: never); out[block, j] = x after kept[j] steps, kept increasing.
    """
    n = x.shape[2]
    work, z, sums = np.empty((max(room, 1), n)), np.empty((group * normals, n)), np.empty((rows, n))
    hoisted, words, memory = np.empty((3, n), np.uint64), np.empty((2 * normals + 2, n), np.uint64), np.empty(2, np.int64)
    own = constants.copy()
    for b in range(x.shape[0]):
        hoist(paths[b], k0, k1, hoisted)
        memory[0], filled, saved = -1, -1, 0
        block, record = x[b], records[b] if records.shape[0] > 1 else records[0]
        step = first
        while step < first + count:
            own[1] = math.sqrt(2.0 * temperatures[step - first if len(temperatures) > 1 else 0])
            ahead = kept[saved] - step if saved < len(kept) else group
            if several and step % group == 0 and step + group <= first + count and ahead >= group:
                fill(z, words, hoisted, memory, step // group, k0, k1)
                step_block(drift, theta, noise, phi, extra, psi, block, z, work, own)
                step += group
            else:
                for i in range(refine):
                    fine = step * refine + i
                    if fine // group != filled:
                        filled = fine // group
                        fill(z, words, hoisted, memory, filled, k0, k1)
                    fresh = z[(fine % group) * normals : (fine % group + 1) * normals]
                    if rows:
                        gather(fresh, sums, i, refine)
                step_block(drift, theta, noise, phi, extra, psi, block, sums if rows else fresh, work, own)
                step += 1
            if len(limits):
                confine(block, limits)
            if every and step % every == 0 and not watch(block, step, own[0], level, level_theta, record):
                break
            while saved < len(kept) and kept[saved] == step:
                copy_rows(block, out[b, saved])
                saved += 1
