"""Random vectors, one after the other, until they are enough or somebody presses Ctrl-C."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from sgdyn.linalg.spaces import Space
from sgdyn.progress import progress

Result = TypeVar("Result")


def probed(one: Callable[[], Result], count: int, title: str, shown: bool | None = None) -> list[Result]:
    """`one()` so many times; after Ctrl-C what is done, if that is two or more."""
    done: list[Result] = []
    with progress(title, shown) as tell:
        try:
            for i in range(count):
                done.append(one())
                tell((i + 1) / count)
        except KeyboardInterrupt:
            if len(done) < 2:
                raise
            warnings.warn(f"interrupted after {len(done)} of {count} random vectors", stacklevel=2)
    return done


def signs(space: Space, rng: np.random.Generator) -> Any:
    """A vector of random signs."""
    return space.vector(np.asarray(2.0 * rng.integers(0, 2, space.dim) - 1.0, dtype=np.float64))


def normals(space: Space, rng: np.random.Generator) -> Any:
    """A vector of standard normal numbers."""
    return space.vector(rng.standard_normal(space.dim))
