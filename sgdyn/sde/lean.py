"""Steps of methods that keep up with the random numbers: float32 normals, the drift independent of the time.

The normals of a group of steps stay in the precision that they have, in a buffer half as large, and the step widens them in registers.
The results are those of `engine.walk` to the last bit. With precision="float32" the points are float32, too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import types

from sgdyn.codegen.contracts import LEAN_STEPS, function_at
from sgdyn.codegen.jit import MATRIX32, VECTOR, VECTOR32, Kernel, exact_helper, kernel
from sgdyn.codegen.narrow import from_bits32, store_low
from sgdyn.codegen.vector import LANES, load, store
from sgdyn.codegen.views import borrowed, keep, plane_of, rows_of
from sgdyn.randomness import WORDS, hoist, rounds_from_third
from sgdyn.sde.engine import ATTACHED, CUBE, PATHS, SNAPSHOTS, STEPS, attachment, attend, next_stop, save_points
from sgdyn.sde.variates import (
    BIT,
    MEMORY,
    NARROW,
    TOP_BIT,
    WIDE,
    box_muller32,
    fast_single,
    fast_words,
    fill_narrow_words,
    kind_of,
    philox_signs,
    philox_single,
)

if TYPE_CHECKING:
    from sgdyn.sde.course import Course

GROUP = 4
"""Steps whose normals are made at once."""
SIGN_GROUPS = 32
"""Groups that share the words of one Philox call where they want signs only."""
TWO_BITS, THREE_BITS, ONE_BITS32 = np.uint32(2), np.uint32(3), np.uint32(0x3F800000)

WORDS_SIGNATURE = (NARROW, WORDS, MEMORY, types.int64, types.int64, types.uint64, types.uint64)
WORDS_PASS = types.FunctionType(types.void(*WORDS_SIGNATURE))
"""`words(narrow, hoisted, memory, group, component, k0, k1)`: the words of one component of a group, in the first two rows of narrow."""

NORMALS_SIGNATURE = (NARROW, MATRIX32, types.int64, types.int64)
NORMALS_PASS = types.FunctionType(types.void(*NORMALS_SIGNATURE))
"""`normals(narrow, z, group, component)`: four rows of z from those words.

The two passes are functions of their own: inlined into one they would share too few registers (.96 for .86 ns a normal).
"""

CUBE32, SNAPSHOTS32 = types.float32[:, :, ::1], types.float32[:, :, :, ::1]


@kernel(*WORDS_SIGNATURE)
def philox_words(narrow: Any, hoisted: Any, memory: Any, group: Any, component: Any, k0: Any, k1: Any) -> None:
    """Philox4x32-10."""
    fill_narrow_words(narrow, 0, hoisted, np.uint64(group), np.uint64(component), k0, k1)


@kernel(*WORDS_SIGNATURE)
def xoshiro_words(narrow: Any, hoisted: Any, memory: Any, group: Any, component: Any, k0: Any, k1: Any) -> None:
    """Xoshiro128++ keyed by Philox."""
    fast_words(narrow, hoisted, memory, group, component, k0, k1)


@kernel(*WORDS_SIGNATURE)
def sign_words(narrow: Any, hoisted: Any, memory: Any, group: Any, component: Any, k0: Any, k1: Any) -> None:
    """Philox words for 128 steps, in rows that each component has for itself, in the order in which `philox_signs` takes their bits."""
    if memory[0] == group and group % SIGN_GROUPS != 0:
        return
    row, n = 2 + 2 * component, hoisted.shape[1]
    for p in range(0, n, 2 * LANES):
        w0, w1, w2, w3 = rounds_from_third(hoisted, p, np.uint64(group // SIGN_GROUPS), np.uint64(component), k0, k1)
        store_low(narrow, row, p, w1)
        store_low(narrow, row, n + p, w0)
        store_low(narrow, row + 1, p, w3)
        store_low(narrow, row + 1, n + p, w2)


@kernel(*NORMALS_SIGNATURE)
def single_normals(narrow: Any, z: Any, group: Any, component: Any) -> None:
    """The normals of four steps, as `variates.single_from` makes them."""
    n, rank = z.shape[1], z.shape[0] // GROUP
    for half in range(2):
        for p in range(0, n, WIDE):
            first, second = box_muller32(load(narrow, half, p), load(narrow, half, n + p))
            store(z, 2 * half * rank + component, p, first)
            store(z, (2 * half + 1) * rank + component, p, second)


@kernel(*NORMALS_SIGNATURE)
def single_signs(narrow: Any, z: Any, group: Any, component: Any) -> None:
    """The signs of four steps, those of `variates.philox_signs`."""
    n, rank = z.shape[1], z.shape[0] // GROUP
    quarter, shift = (group % SIGN_GROUPS) // 8, np.uint32(GROUP * (group % 8))
    row, begin = 2 + 2 * component + quarter // 2, quarter % 2 * n
    for p in range(0, n, WIDE):
        word = load(narrow, row, begin + p) << shift
        store(z, component, p, from_bits32((word & TOP_BIT) | ONE_BITS32))
        store(z, rank + component, p, from_bits32(((word << BIT) & TOP_BIT) | ONE_BITS32))
        store(z, 2 * rank + component, p, from_bits32(((word << TWO_BITS) & TOP_BIT) | ONE_BITS32))
        store(z, 3 * rank + component, p, from_bits32(((word << THREE_BITS) & TOP_BIT) | ONE_BITS32))


@exact_helper
def draw(words: Any, fill: Any, buffers: Any, normals: Any, group: Any, k0: Any, k1: Any) -> None:
    """Make the normals of a group of steps."""
    z, hoisted, narrow, memory = buffers
    for component in range(normals):
        words(narrow, hoisted, memory, group, component, k0, k1)
        fill(narrow, z, group, component)
    memory[0] = group + 1


@exact_helper
def unattended(attached: Any, x: Any, b: Any, step: Any, dt: Any, spare: Any) -> Any:
    """Nobody looks at float32 points."""
    return True


@exact_helper
def no_stop(attached: Any, step: Any, end: Any) -> Any:
    """Nor is there a wall."""
    return end


@exact_helper
def _walk(
    steps: Any, words: Any, fill: Any, attend: Any, next_stop: Any, attached: Any, theta: Any, psi: Any, constants: Any, room: Any, normals: Any,
    spare: Any, x: Any, paths: Any, first: Any, count: Any, temperatures: Any, k0: Any, k1: Any, kept: Any, out: Any,
) -> None:  # fmt: skip
    n = x.shape[2]
    owners = (
        np.empty((max(room, 1), n), x.dtype), np.empty((GROUP * normals, n), np.float32), np.empty((3, n), np.uint64),
        np.empty((2 * normals + 2, 2 * n), np.uint32), np.empty(2, np.int64), constants.copy(), theta, psi, temperatures, kept, out, paths, x,
    )  # fmt: skip
    work, z, hoisted, narrow, memory, own, theta, psi, temperatures, kept, out, paths, x = borrowed(owners)
    buffers = (z, hoisted, narrow, memory)
    for b in range(x.shape[0]):
        hoist(plane_of(paths, b), k0, k1, hoisted)
        memory[0], filled, saved, step, block = -1, -1, 0, first, plane_of(x, b)
        while step < first + count:
            own[1] = math.sqrt(2.0 * temperatures[step - first if len(temperatures) > 1 else 0])
            if step // GROUP != filled:
                filled = step // GROUP
                draw(words, fill, buffers, normals, filled, k0, k1)
            end = min((filled + 1) * GROUP if len(temperatures) == 1 else step + 1, first + count)
            end = next_stop(attached, step, min(end, kept[saved]) if saved < len(kept) else end)
            begin = (step - filled * GROUP) * normals
            steps(theta, psi, block, rows_of(z, begin, begin + (end - step) * normals), work, own)
            step = end
            if not attend(attached, block, b, step, own[0], spare):
                break
            saved = save_points(block, b, kept, saved, step, out)
    keep(owners)


to_words, to_normals = function_at(WORDS_PASS), function_at(NORMALS_PASS)
to_steps, to_steps32 = function_at(LEAN_STEPS["float64"]), function_at(LEAN_STEPS["float32"])


@kernel(STEPS, VECTOR, VECTOR, VECTOR, types.int64, types.int64, *ATTACHED, CUBE, PATHS, types.int64, types.int64, VECTOR,
        types.uint64, types.uint64, STEPS, SNAPSHOTS)  # fmt: skip
def walk_lean(
    functions: Any, theta: Any, psi: Any, constants: Any, room: Any, normals: Any, limits: Any, clocks: Any, every: Any, parameters: Any, records: Any,
    x: Any, paths: Any, first: Any, count: Any, temperatures: Any, k0: Any, k1: Any, kept: Any, out: Any,
) -> None:  # fmt: skip
    """`engine.walk` for the addresses of lean steps and the two passes that make their normals."""
    nothing, clocks = np.empty((0, x.shape[2])), borrowed(clocks)
    attached = attachment(functions[3:], limits, clocks, every, parameters, records)
    _walk(
        to_steps(functions[0]), to_words(functions[1]), to_normals(functions[2]), attend, next_stop, attached, theta, psi, constants, room, normals,
        borrowed((nothing,))[0], x, paths, first, count, temperatures, k0, k1, kept, out,
    )  # fmt: skip
    keep((nothing, parameters, records, limits, every))


@kernel(STEPS, VECTOR, VECTOR32, VECTOR, types.int64, types.int64, *ATTACHED, CUBE32, PATHS, types.int64, types.int64, VECTOR,
        types.uint64, types.uint64, STEPS, SNAPSHOTS32)  # fmt: skip
def walk_lean32(
    functions: Any, theta: Any, psi: Any, constants: Any, room: Any, normals: Any, limits: Any, clocks: Any, every: Any, parameters: Any, records: Any,
    x: Any, paths: Any, first: Any, count: Any, temperatures: Any, k0: Any, k1: Any, kept: Any, out: Any,
) -> None:  # fmt: skip
    """The same for float32 points, which have no walls and are not looked at."""
    _walk(
        to_steps32(functions[0]), to_words(functions[1]), to_normals(functions[2]), unattended, no_stop, None, theta, psi, constants, room, normals,
        None, x, paths, first, count, temperatures, k0, k1, kept, out,
    )  # fmt: skip


PASSES: dict[Kernel, tuple[Kernel, Kernel]] = {
    philox_single: (philox_words, single_normals),
    fast_single: (xoshiro_words, single_normals),
    philox_signs: (sign_words, single_signs),
}
"""The two passes of the fillers whose normals fit into float32."""

WALKS = {"float64": walk_lean, "float32": walk_lean32}


def suits(course: Course) -> bool:
    """Whether a walk can go the lean way."""
    plain = (
        course.clock.refine == 1
        and course.normals == course.plan.normals
        and not any(len(places) for places in course.clocks)
    )
    bare = not course.watches and not len(course.confinement.limits)
    plain = plain and (bare or course.precision == "float64")
    return plain and course.plan.lean is not None and course.clock.random.fill in PASSES


def check(course: Course, method: Any) -> None:
    """Raise ValueError for what precision="float32" cannot do on this machine's processor."""
    if course.precision == "float64":
        return
    wrong = [
        (f"method={method!r} on this problem", course.plan.lean is None),
        (f"noise={kind_of(course.clock.random)[0]!r}", course.clock.random.fill not in PASSES),
        (f"refine={course.clock.refine}", course.clock.refine != 1),
        ("a boundary", len(course.confinement.limits) > 0),
        ("a drift that depends on the time", any(len(places) for places in course.clocks)),
    ]
    found = [name for name, refused in wrong if refused]
    if found:
        raise ValueError(
            f"got precision='float32' with {', '.join(found)}, expected noise='single' or 'weak', refine=1, no boundary, and method=sg.EulerMaruyama() on a "
            "drift that is a formula of x alone with constant diagonal D, or a linear drift with any constant D up to dimension 16; type "
            "precision='float64' for all else"
        )
