"""Increments of Brownian motion with their integrals over time: what methods of strong order 1.5 need."""

from __future__ import annotations

import math
from typing import Any

from sgdyn.codegen.contracts import GATHER_SIGNATURE
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, load, store

TIME_INTEGRAL = 1.0 / (2.0 * math.sqrt(3.0))
"""The standard deviation of int W ds / h^{3/2} given the increment: W is sqrt(h) xi, its integral h^{3/2} (xi/2 + eta/(2 sqrt 3))."""


@exact_helper
def accumulate(variates: Any, row: Any, p: Any, part: Any, i: Any) -> None:
    """variates[row] += part, the first part being stored."""
    store(variates, row, p, part if i == 0 else load(variates, row, p) + part)


@kernel(*GATHER_SIGNATURE)
def gather_integrals(fresh: Any, variates: Any, i: Any, refine: Any) -> None:
    """Rows xi and eta of a step from those of the finer ones: int W ds = sum_i h (W_i + xi_i sqrt(h)/2) + h^{3/2} eta_i/(2 sqrt 3)."""
    rank = variates.shape[0] // 2
    root = 1.0 / math.sqrt(refine)
    own, lag = root / refine, math.sqrt(3.0) * (refine - 1 - 2 * i) * root / refine
    for k in range(rank):
        for p in range(0, variates.shape[1], LANES):
            xi = load(fresh, k, p)
            accumulate(variates, k, p, xi * root, i)
            accumulate(variates, rank + k, p, xi * lag + load(fresh, rank + k, p) * own, i)
