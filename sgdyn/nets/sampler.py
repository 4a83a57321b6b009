"""Which samples a step of SGD sees, as a function of (seed, replica, step): nothing to store, nothing to restore."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numba import types
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.randomness import WORDS, key, uniform_words

Indices = NDArray[np.int64]
Key = tuple[np.uint64, np.uint64]

INDICES = types.int64[:, ::1]
SHIFT, TO_UNIT = np.uint64(11), 2.0**-53


@exact_helper
def _below(word: Any, n: Any) -> Any:
    """A number in range(n) from the upper 53 bits of a word."""
    return np.int64((word >> SHIFT) * TO_UNIT * n)


class Sampler(Protocol):
    """`indices(step, replicas)`: sample numbers (replica, batch) of one step."""

    def indices(self, step: int, replicas: Indices) -> Indices: ...


@kernel(WORDS, types.int64, INDICES)
def _draw(words: Any, n: Any, out: Any) -> None:
    """Uniform numbers below n, with replacement (to 2^-53)."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = _below(words[i, j], n)


@kernel(WORDS, types.int64, INDICES)
def _draw_distinct(words: Any, n: Any, out: Any) -> None:
    """Uniform subsets of range(n) by Floyd's algorithm, in random order of no meaning."""
    taken = np.zeros(n, np.bool_)
    batch = out.shape[1]
    for i in range(out.shape[0]):
        for j in range(batch):
            top = n - batch + j
            pick = _below(words[i, j], top + 1)
            out[i, j] = top if taken[pick] else pick
            taken[out[i, j]] = True
        for j in range(batch):
            taken[out[i, j]] = False


class Replacement:
    """Every sample of every batch is drawn independently from all n."""

    def __init__(self, n: int, batch: int, key: Key) -> None:
        self.n, self.batch, self.key = n, batch, key

    def indices(self, step: int, replicas: Indices) -> Indices:
        out = np.empty((len(replicas), self.batch), dtype=np.int64)
        _draw(uniform_words(self.key, paths=replicas.astype(np.uint64), step=step, count=self.batch), self.n, out)
        return out


class Without:
    """Every batch is a uniform subset of the n samples, independent of the other batches."""

    def __init__(self, n: int, batch: int, key: Key) -> None:
        self.n, self.batch, self.key = n, batch, key

    def indices(self, step: int, replicas: Indices) -> Indices:
        out = np.empty((len(replicas), self.batch), dtype=np.int64)
        _draw_distinct(
            uniform_words(self.key, paths=replicas.astype(np.uint64), step=step, count=self.batch), self.n, out
        )
        return out


class Epoch:
    """Each epoch goes through all n samples once, in a new random order (as DataLoader(shuffle=True) does); its last batch may be short."""

    def __init__(self, n: int, batch: int, key: Key) -> None:
        self.n, self.batch, self.key = n, batch, key
        self.length = math.ceil(n / batch)
        self._epoch: tuple[int, bytes] = (-1, b"")
        self._order = np.zeros((0, n), dtype=np.int64)

    def indices(self, step: int, replicas: Indices) -> Indices:
        epoch, position = divmod(step, self.length)
        if self._epoch != (epoch, replicas.tobytes()):
            words = uniform_words(self.key, paths=replicas.astype(np.uint64), step=epoch, count=self.n)
            self._order = np.argsort(words, axis=1)
            self._epoch = epoch, replicas.tobytes()
        return self._order[:, position * self.batch : (position + 1) * self.batch]


SAMPLERS = {"replacement": Replacement, "without": Without, "epoch": Epoch}


def make_sampler(
    name: str, *, n: int, batch: int, seed: int | np.random.SeedSequence | None, stream: int = 0
) -> Sampler:
    """The sampler of that name. Raises ValueError for other names, and for batches larger than the data set."""
    if name not in SAMPLERS:
        raise ValueError(f"got sampler={name!r}, expected {', '.join(map(repr, SAMPLERS))}")
    if checks.count("batch", batch) > n and name != "replacement":
        raise ValueError(f"got batch={batch} of n={n} samples, expected batch <= n for sampler={name!r}")
    chosen: Sampler = SAMPLERS[name](n, batch, key(seed, stream))  # type: ignore[assignment]
    return chosen
