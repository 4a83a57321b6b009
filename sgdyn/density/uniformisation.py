"""Masses after whole numbers of jumps of the fastest cell: products with 1 + Q'/fastest, without the overhead of one call each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray
from scipy import sparse

from sgdyn.codegen.jit import VECTOR, kernel

Floats = NDArray[np.float64]

NUMBERS = types.int32[::1]


@kernel(NUMBERS, NUMBERS, VECTOR, VECTOR, VECTOR, VECTOR, VECTOR)
def add_jumps(begin: Any, column: Any, share: Any, weights: Any, now: Any, later: Any, total: Any) -> None:
    """total (n,) becomes the sum over k of weights[k] P^k now, P = 1 + the sparse rows (begin, column, share); none below zero."""
    for i in range(len(now)):
        total[i] = weights[0] * now[i]
    for k in range(1, len(weights)):
        for i in range(len(now)):
            flow = 0.0
            for position in range(begin[i], begin[i + 1]):
                flow += share[position] * now[column[position]]
            later[i] = max(now[i] + flow, 0.0)
            total[i] += weights[k] * later[i]
        now, later = later, now


def after_jumps(rates: sparse.csr_array, masses: Floats, weights: Floats) -> Floats:
    """sum_k weights_k P'^k masses, P = 1 + Q/fastest, for rates Q (n, n)."""
    fastest = max(float(-rates.diagonal().min()), 1e-300)
    into = rates.T.tocsr()
    begin, column = (numbers.astype(np.int32) for numbers in (into.indptr, into.indices))
    now, total = np.array(masses, dtype=np.float64), np.empty(len(masses))
    add_jumps(begin, column, into.data / fastest, np.ascontiguousarray(weights), now, np.empty_like(now), total)
    return total
