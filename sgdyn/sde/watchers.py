"""What can be looked at on the way, in compiled code."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from sgdyn.codegen.contracts import WATCH_SIGNATURE
from sgdyn.codegen.jit import kernel
from sgdyn.codegen.vector import LANES, any_of, load, select, store


@kernel(*WATCH_SIGNATURE, returns=types.boolean)
def arrivals(x: Any, step: Any, dt: Any, field: Any, psi: Any, spare: Any, record: Any) -> Any:
    """record[0] = the time where it was negative and the field is positive; False once none is negative.

    Paths that have arrived walk on unobserved until their whole block has.
    """
    n = x.shape[1]
    level, waiting = np.empty((1, n)), False
    field(x, psi, level)
    for p in range(0, n, LANES):
        t = load(record, 0, p)
        t = select((load(level, 0, p) > 0.0) & (t < 0.0), step * dt, t)
        store(record, 0, p, t)
        waiting = any_of(t < 0.0) or waiting
    return waiting
