"""The random numbers of the engine, to look at or to feed to other programs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.codegen.jit import MATRIX, kernel
from sgdyn.codegen.vector import LANES
from sgdyn.randomness import WORDS, Words, check_range, hoist, key
from sgdyn.sde.variates import FILL_BLOCK, MEMORY, Variates, variates

Floats = NDArray[np.float64]


@kernel(FILL_BLOCK, WORDS, types.int64, types.uint64, types.uint64, MATRIX, WORDS, MEMORY)
def fill_group(fill: Any, paths: Any, group: Any, k0: Any, k1: Any, z: Any, words: Any, memory: Any) -> None:
    """The random numbers of one group of steps for a row of paths."""
    hoisted = np.empty((3, z.shape[1]), np.uint64)
    hoist(paths, k0, k1, hoisted)
    narrow = words.view(np.uint32)
    fill(z, words, narrow, hoisted, memory, group, k0, k1)


def normals(
    seed: int | np.random.SeedSequence | None, *, paths: int | ArrayLike, steps: int | range, components: int = 1, stream: int = 0,
    noise: str = "double", rng: str = "philox",
) -> Floats:  # fmt: skip
    """The random numbers that drive the engine, as (path, step, component): those of `simulate` with the same seed, stream, noise and rng.

    `paths` and `steps` are a count or the numbers wanted. Raises ValueError beyond 2^41 steps or 2^23 components.
    """
    numbers = np.arange(checks.count("paths", paths)) if np.ndim(paths) == 0 else np.asarray(paths)
    if (
        numbers.dtype.kind not in "iu"
        or numbers.ndim != 1
        or (numbers.dtype.kind == "i" and numbers.min(initial=0) < 0)
    ):
        raise TypeError(f"got paths={paths!r}, expected a count, or whole numbers >= 0 in one row; type paths=[0, 5]")
    wanted = steps if isinstance(steps, range) else range(checks.count("steps", steps))
    if min(wanted, default=0) < 0:
        raise ValueError(f"got steps={wanted}, expected step numbers >= 0; type range(0, {max(1, wanted.stop)})")
    check_range(max(wanted, default=0) + 1, components)
    groups = _Groups(variates(noise, rng), numbers, components, key(seed, stream))
    out = np.empty((len(numbers), len(wanted), components))
    for i, step in enumerate(wanted):
        out[:, i] = groups.of_step(step)
    return out


class _Groups:
    """The random numbers of a group of steps, kept until another group is asked for."""

    def __init__(
        self, random: Variates, numbers: NDArray[Any], components: int, key: tuple[np.uint64, np.uint64]
    ) -> None:
        self.random, self.key, self.n, self.held = random, key, len(numbers), -1
        self.row = padded(numbers, random.split)
        width = self.row.shape[1]
        self.z = np.empty((random.group * components, width))
        self.words, self.memory = np.empty((2 * components + 2, width), dtype=np.uint64), np.full(2, -1)

    def of_step(self, step: int) -> Floats:
        group, place = divmod(step, self.random.group)
        if group != self.held:
            self.held = group
            fill_group(self.random.fill.compiled, self.row, group, *self.key, self.z, self.words, self.memory)
        chosen: Floats = self.z.reshape(self.random.group, -1, self.row.shape[1])[place, :, : self.n].T
        return chosen


def padded(paths: ArrayLike, split: bool) -> Words:
    """Path numbers as a row (1, n) with n a multiple of 4 `LANES`; the last number is repeated. split: see `variates`."""
    numbers = np.asarray(paths, dtype=np.uint64).ravel()
    whole = np.pad(numbers, (0, -len(numbers) % (4 * LANES)), mode="edge")
    return np.ascontiguousarray(whole.reshape(-1, LANES, 2).transpose(0, 2, 1).reshape(1, -1) if split else whole[None])
