"""The arguments of the compiled walks that do not change from one stretch of steps to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sgdyn.codegen.contracts import CONFINE_BLOCK, LEAN_STEPS, WATCH_BLOCK, address
from sgdyn.codegen.jit import FIELD_BLOCK
from sgdyn.codegen.vector import LANES
from sgdyn.sde import lean
from sgdyn.sde.course import Course, Watch
from sgdyn.sde.engine import FUNCTIONS, SLOTS, walk
from sgdyn.sde.methods.plan import NOTHING, Floats, Plan, no_field, no_noise
from sgdyn.sde.opaque import Callback, field_block, noise_block
from sgdyn.sde.variates import Variates

NO_FIELD = (no_field.compiled, NOTHING, None)


@dataclass(frozen=True)
class Call:
    """A compiled walk, the arguments that come before the records of the watchers, and the Python functions that it calls back."""

    walk: Any
    arguments: tuple[Any, ...]
    callbacks: list[Callback]


def call_of(course: Course, random: Variates, width: int, narrow: bool) -> Call:
    """How to walk a course with these random numbers in blocks of so many paths; narrow: made side by side (see `few`)."""
    addresses, watched, callbacks = _attached(course)
    if lean.suits(course) and not narrow:
        return Call(lean.WALKS[course.precision].compiled, (*_lean(course, addresses), *watched), callbacks)
    fixed, own = _ordinary(course, random, width, addresses)
    return Call(walk.compiled, (*fixed, *watched), own + callbacks)


def _attached(course: Course) -> tuple[list[int], tuple[Any, ...], list[Callback]]:
    """The addresses of the boundary, the watchers and their fields, `engine.ATTACHED` but for the records, and callbacks."""
    confinement, watches = course.confinement, [*course.watches, *[Watch()] * (SLOTS - len(course.watches))]
    levels = [NO_FIELD if watch.quantity is None else field_block(watch.quantity) for watch in watches]
    addresses = [address(confinement.boundary.compiled, CONFINE_BLOCK)]
    addresses += [address(watch.watcher.compiled, WATCH_BLOCK) for watch in watches]
    addresses += [address(level[0], FIELD_BLOCK) for level in levels]
    parameters = tuple(np.concatenate([level[1], watch.psi]) for level, watch in zip(levels, watches, strict=True))
    looks = np.array([watch.every for watch in watches])
    callbacks = [level[2] for level in levels if level[2] is not None]
    return addresses, (confinement.limits, course.clocks, looks, parameters), callbacks


def _lean(course: Course, addresses: list[int]) -> tuple[Any, ...]:
    """The first arguments of a lean walk."""
    plan, precision, (words, normals) = course.plan, course.precision, lean.PASSES[course.clock.random.fill]
    assert plan.lean is not None
    functions = [
        address(plan.lean(precision), LEAN_STEPS[precision]),
        address(words.compiled, lean.WORDS_PASS),
        address(normals.compiled, lean.NORMALS_PASS),
        *addresses,
    ]
    theta = NOTHING if plan.drift is None else plan.drift.theta
    return np.array(functions), theta, plan.psi.astype(precision), plan.constants, plan.room, plan.normals


def _drift(plan: Plan) -> tuple[Any, Floats, Callback | None]:
    """The drift that a step calls: none where the step contains it, but for its parameters."""
    if plan.drift is None:
        return NO_FIELD
    return (no_field.compiled, plan.drift.theta, None) if plan.whole else field_block(plan.drift)


def _step(plan: Plan, width: int) -> Any:
    """The compiled step for blocks of so many paths."""
    if plan.narrow and width == LANES:
        return plan.narrow()
    return plan.whole() if plan.whole else plan.step


def _ordinary(
    course: Course, random: Variates, width: int, addresses: list[int]
) -> tuple[tuple[Any, ...], list[Callback]]:
    """The first arguments of the engine's walk, and the Python functions among them."""
    plan, refine = course.plan, course.clock.refine
    drift = _drift(plan)
    extra = NO_FIELD if plan.extra is None else field_block(plan.extra)
    noise = (no_noise.compiled, NOTHING, None) if plan.noise is None else noise_block(plan.noise)
    own = (_step(plan, width), drift[0], noise[0], extra[0], random.fill.compiled, plan.gather.compiled)
    functions = [address(function, kind) for function, kind in zip(own, FUNCTIONS, strict=True)] + addresses
    alone = refine == 1 and not course.timed and not len(course.confinement.limits) and course.normals == plan.normals
    rows = plan.rows or (plan.normals if refine > 1 else 0)
    fixed = (
        np.array(functions), drift[1], noise[1], np.concatenate([extra[1], plan.psi]), plan.constants, plan.room,
        random.group, course.normals, plan.normals, rows, plan.several and alone and not rows, refine,
    )  # fmt: skip
    return fixed, [part[2] for part in (drift, extra, noise) if part[2] is not None]
