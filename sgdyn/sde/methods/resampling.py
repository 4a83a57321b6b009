"""Rows of a table drawn at random with replacement: the noise of a batch of samples, and the marks of jumps.

A step's normals seed SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), whose words choose the rows: one word a draw in place of one
normal. Like everything random it is a function of (seed, stream, path, step).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.codegen.jit import MATRIX, VECTOR, exact_helper, kernel
from sgdyn.codegen.vector import LANES, any_of, bits, lane, load
from sgdyn.noise import Dense

Floats = NDArray[np.float64]

SEEDS = 2
"""Rows of normals that seed the draws of a step."""
GAMMA, MIX_0, MIX_1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
SHIFT_0, SHIFT_1, SHIFT_2, HALF = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)


@exact_helper
def mixed(word: Any) -> Any:
    """The finalizer of SplitMix64: every bit of the word in every bit of the result."""
    word = (word ^ (word >> SHIFT_0)) * MIX_0
    word = (word ^ (word >> SHIFT_1)) * MIX_1
    return word ^ (word >> SHIFT_2)


@exact_helper
def seeds(z: Any, row: Any, p: Any) -> Any:
    """A word for each of eight paths from its two normals at the rows `row` and `row` + 1."""
    return mixed(bits(load(z, row, p))) + bits(load(z, row + 1, p))


@exact_helper
def add_drawn_rows(table: Any, draws: Any, words: Any, out: Any, p: Any) -> None:
    """out[:, path] += the sum of draws[path] rows of the table, for eight paths from p on.

    A row's number is the high half of a word times the number of rows, < 2^32: equally likely to 2^-32.
    """
    done = draws * 0.0
    while any_of(done < draws):
        words, done = words + GAMMA, done + 1.0
        rows = ((mixed(words) >> HALF) * np.uint64(table.shape[0])) >> HALF
        for i in range(LANES):
            if lane(done, i) <= lane(draws, i):
                row = np.int64(lane(rows, i))
                for j in range(table.shape[1]):
                    out[j, p + i] += table[row, j]


@kernel(MATRIX, VECTOR, MATRIX, MATRIX)
def resampled_noise(x: Any, theta: Any, z: Any, out: Any) -> None:
    """out = the sum of a batch of rows; theta = (batch, table (samples, dim))."""
    dim = out.shape[0]
    table = theta[1:].reshape(((len(theta) - 1) // dim, dim))
    out[:] = 0.0
    for p in range(0, out.shape[1], LANES):
        add_drawn_rows(table, load(z, 0, p) * 0.0 + theta[0], seeds(z, 0, p), out, p)


@dataclass(frozen=True, eq=False)
class Resampled(Dense):
    """sqrt(batch) times the mean of `batch` rows of a centred table, drawn with replacement; factor = table'/sqrt(rows).

    Its covariance is that of one row, D = factor factor'; its cumulants of order k are those of one row times batch^(1 - k/2).
    """

    batch: int = 1

    @property
    def rank(self) -> int:
        """The normals of a step; they seed the draws."""
        return SEEDS

    @property
    def theta(self) -> Floats:
        table = self.factor.T * np.sqrt(self.factor.shape[1] / self.batch)
        return np.concatenate([[self.batch], table.ravel()])

    @property
    def block(self) -> Any:
        return resampled_noise.compiled

    def apply(self, x: Floats, z: Floats) -> Floats:
        """What compiled steps see, for points (n, dim) and z (n, 2)."""
        width = -len(z) % LANES
        out = np.empty((self.dim, len(z) + width))
        resampled_noise(np.zeros_like(out), self.theta, np.ascontiguousarray(np.pad(z, ((0, width), (0, 0))).T), out)
        return out.T[: len(z)]
