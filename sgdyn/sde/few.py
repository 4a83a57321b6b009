"""Few paths for long: their random numbers for many steps at once, side by side where a block has its paths.

A block of eight paths needs few numbers a step, and what it costs to make them is what a block of many costs. So the lanes of the vectors
take successive groups of steps of one path. The numbers are those of `variates`, to the last bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sgdyn.codegen.jit import Kernel, exact_helper, kernel
from sgdyn.codegen.narrow import store_pairs
from sgdyn.codegen.vector import LANES, load, load_broad, store
from sgdyn.randomness import HALF, box_muller, rounds_from_third
from sgdyn.sde.variates import FILL_SIGNATURE, WIDE, Variates, box_muller32, philox_double, philox_single

if TYPE_CHECKING:
    from sgdyn.sde.course import Course

GROUPS = 64
"""Groups of steps whose numbers are made at once."""
NARROWEST = 2 * LANES
"""Columns of work space that methods may count on if they do not take several steps at once."""
MOST_NORMALS = 64
"""Normals of a step beyond which the buffers are no longer small."""


@exact_helper
def count_up(numbers: Any, first: Any) -> None:
    """A row of numbers: first, first + 1, ..."""
    for i in range(numbers.shape[1]):
        numbers[0, i] = np.uint64(first + i)


@exact_helper
def split_up(numbers: Any, first: Any) -> None:
    """The same, of every sixteen the even ones before the odd ones."""
    for i in range(numbers.shape[1]):
        half, place = i // LANES, i % LANES
        numbers[0, i] = np.uint64(first + (half // 2) * 2 * LANES + 2 * place + half % 2)


@exact_helper
def equals(hoisted: Any, path: Any) -> Any:
    """The end of the columns from `path` on that belong to the same path: the last path fills up its block."""
    end = path + 1
    while end < hoisted.shape[1] and hoisted[0, end] == hoisted[0, path] and hoisted[1, end] == hoisted[1, path]:
        end += 1
    return end


@exact_helper
def repeat(hoisted: Any, path: Any, same: Any) -> None:
    """The column of one path in all lanes."""
    for i in range(3):
        for p in range(NARROWEST):
            same[i, p] = hoisted[i, path]


@exact_helper
def deal(made: Any, z: Any, component: Any, path: Any, end: Any) -> None:
    """z[(group * steps + i) * rank + component, path:end] = made[i, group]."""
    steps, groups = made.shape
    rank = z.shape[0] // (steps * groups)
    for g in range(groups):
        for i in range(steps):
            for p in range(path, end):
                z[(g * steps + i) * rank + component, p] = made[i, g]


@exact_helper
def fill_few(make: Any, z: Any, hoisted: Any, group: Any, drawn: Any, made: Any, k0: Any, k1: Any) -> None:
    """Rows of z path by path: `make` writes the normals of one component for `GROUPS` groups into made (steps, GROUPS)."""
    same, path = np.empty((3, NARROWEST), np.uint64), 0
    while path < z.shape[1]:
        repeat(hoisted, path, same)
        end = equals(hoisted, path)
        for component in range(z.shape[0] // (made.shape[0] * GROUPS)):
            make(same, group, np.uint64(component), drawn, made, k0, k1)
            deal(made, z, component, path, end)
        path = end


@exact_helper
def make_double(same: Any, group: Any, component: Any, drawn: Any, made: Any, k0: Any, k1: Any) -> None:
    """Two normals of double precision of every group."""
    for p in range(0, GROUPS, NARROWEST):
        w0, w1, w2, w3 = rounds_from_third(same, 0, load_broad(group, 0, p), component, k0, k1)
        first, second = box_muller(w0 | (w1 << HALF), w2 | (w3 << HALF))
        store(made, 0, p, first)
        store(made, 1, p, second)


@exact_helper
def make_single(same: Any, group: Any, component: Any, drawn: Any, made: Any, k0: Any, k1: Any) -> None:
    """Four normals of single precision of every group; drawn (4, GROUPS) is room for words."""
    for p in range(0, GROUPS, NARROWEST):
        w0, w1, w2, w3 = rounds_from_third(same, 0, load_broad(group, 0, p), component, k0, k1)
        store_pairs(drawn, 0, p, w0)
        store_pairs(drawn, 1, p, w1)
        store_pairs(drawn, 2, p, w2)
        store_pairs(drawn, 3, p, w3)
    for half in range(0, 4, 2):
        for p in range(0, GROUPS, WIDE):
            first, second = box_muller32(load(drawn, half, p), load(drawn, half + 1, p))
            store(made, half, p, first)
            store(made, half + 1, p, second)


@kernel(*FILL_SIGNATURE)
def few_double(z: Any, words: Any, narrow: Any, hoisted: Any, memory: Any, batch: Any, k0: Any, k1: Any) -> None:
    """`GROUPS` groups of two steps of double precision."""
    group, made = np.empty((1, GROUPS), np.uint64), np.empty((2, GROUPS))
    count_up(group, batch * GROUPS)
    fill_few(make_double, z, hoisted, group, narrow, made, k0, k1)


@kernel(*FILL_SIGNATURE)
def few_single(z: Any, words: Any, narrow: Any, hoisted: Any, memory: Any, batch: Any, k0: Any, k1: Any) -> None:
    """`GROUPS` groups of four steps of single precision."""
    group, made = np.empty((1, GROUPS), np.uint64), np.empty((4, GROUPS), np.float32)
    split_up(group, batch * GROUPS)
    fill_few(make_single, z, hoisted, group, np.empty((4, GROUPS), np.uint32), made, k0, k1)


FEW: dict[Kernel, Variates] = {
    philox_double: Variates(few_double, 2 * GROUPS, False),
    philox_single: Variates(few_single, 4 * GROUPS, False),
}


def way(course: Course, paths: int, threads: int) -> tuple[Variates, int]:
    """How to make the random numbers of so few paths, and the width of their blocks; for more, those of the course and 0."""
    random, share = course.clock.random, -(-paths // threads)
    if share > LANES or course.normals > MOST_NORMALS or course.precision != "float64" or random.fill not in FEW:
        return random, 0
    return FEW[random.fill], LANES if course.plan.several else NARROWEST
