"""What a walk is told besides its points: the clock, the plan, the walls, and who looks on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sgdyn.codegen.formula import UNROLLED
from sgdyn.codegen.jit import Kernel
from sgdyn.codegen.vector import LANES
from sgdyn.fields import Field
from sgdyn.sde import lean
from sgdyn.sde.engine import SLOTS, unconfined, unwatched
from sgdyn.sde.methods.plan import NOTHING, Plan
from sgdyn.sde.variates import Variates, variates

Floats = NDArray[np.float64]

CACHE_BYTES = 64 * 1024
LEAN_CACHE_BYTES = 256 * 1024
WIDTH = 4 * LANES
WIDEST, WIDEST_LEAN = 384, 768
CALLS = 8
"""Paths that cost as much as the calls for a block do."""


@dataclass(frozen=True)
class Clock:
    """Step size, fine noise steps to one step, the key of the random numbers and how they are made, and T of every step (or one)."""

    dt: float
    refine: int
    key: tuple[np.uint64, np.uint64]
    temperatures: Floats
    random: Variates = field(default_factory=lambda: variates("double", "philox"))

    def between(self, first: int, count: int) -> Floats:
        """T of the steps first, ..., first + count - 1."""
        return self.temperatures if len(self.temperatures) == 1 else self.temperatures[first : first + count]


@dataclass(frozen=True)
class Watch:
    """Something that is looked at on the way: the compiled watcher, how often, the field it asks for, its own parameters, and its first record.

    record: rows that every path of a block begins with, or an array (rows, columns) that the paths of a block share. spare: normals of
    every step that it wants for itself. begins_at: a row that begins with the first component of `quantity` at the first points.
    """

    watcher: Kernel = unwatched
    every: int = 0
    quantity: Field | None = None
    psi: Floats = field(default_factory=lambda: NOTHING)
    record: Floats = field(default_factory=lambda: NOTHING)
    spare: int = 0
    begins_at: int | None = None


@dataclass(frozen=True)
class Confinement:
    """Where paths may go: a compiled boundary with its limits."""

    boundary: Kernel = unconfined
    limits: Floats = field(default_factory=lambda: NOTHING)


@dataclass(frozen=True)
class Course:
    """Everything that a walk needs besides its points: plan, clock, watches (at most `engine.SLOTS`), confinement, and their precision.

    precision: "float32" only where `lean.suits`.
    """

    plan: Plan
    clock: Clock
    watches: tuple[Watch, ...] = ()
    confinement: Confinement = field(default_factory=Confinement)
    precision: str = "float64"

    @property
    def clocks(self) -> tuple[NDArray[np.int64], ...]:
        """Where drift, noise, extra field and what is watched have the time among their parameters."""
        watched = [watch.quantity for watch in self.watches]
        parts = [self.plan.drift, self.plan.noise, self.plan.extra, *watched, *[None] * (SLOTS - len(watched))]
        return tuple(np.array(getattr(part, "clocks", ()), dtype=np.int64) for part in parts)

    @property
    def timed(self) -> bool:
        """Whether anything depends on the time."""
        return len(self.clock.temperatures) > 1 or any(len(places) for places in self.clocks)

    @property
    def normals(self) -> int:
        """Normals that a fine step draws: the method's, and those that watches want."""
        return self.plan.normals + max((watch.spare for watch in self.watches), default=0)

    def width(self, dim: int, paths: int, threads: int) -> int:
        """Paths in one block: what the first-level cache holds, no more than spreads them over the threads, and so that few are added."""
        plan, group = self.plan, self.clock.random.group
        unit = WIDTH if self.clock.random.split or lean.suits(self) else WIDTH // 2
        rows = dim + plan.room + plan.rows + (group + 2) * self.normals + 5
        share = math.ceil(paths / threads)
        room, most = (LEAN_CACHE_BYTES, WIDEST_LEAN) if lean.suits(self) else (CACHE_BYTES, WIDEST)
        fits = room // (8 * rows) if dim <= UNROLLED else most  # beyond, steps are matrix products: many columns
        widest = max(unit, min(most, fits, share + unit - 1) // unit * unit)
        widths = range(widest, 3 * widest // 4 - 1, -unit)
        return min(widths, key=lambda width: math.ceil(share / width) * (width + CALLS))  # the last block is filled up
