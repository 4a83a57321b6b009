"""The largest curvature along a string, which sets how far a step may go."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sgdyn.escape.surfaces import Surface
from sgdyn.pathspace.metrics import Metric

Floats = NDArray[np.float64]

LOOKED_AT, CHEAP = 7, 64
"""The largest curvature is looked for at so many images; up to so many dimensions at all of them, as gates between images may be narrow."""
STEEPEST_PRODUCTS = 12
"""So many products with the Hessian give the largest curvature along the string, which sets the step."""
MARGIN = 1.3


def steepest(given: Surface, metric: Metric, x: Floats) -> float:
    """The largest eigenvalue of D Hess U along the string, by powers at its images, in many dimensions at some of them."""
    rng, found = np.random.default_rng(0), 0.0
    for k in np.unique(np.linspace(0, len(x) - 1, len(x) if given.dim <= CHEAP else LOOKED_AT).astype(int)):
        H, v = given.product(x[k]), rng.normal(size=x.shape[1])
        for _ in range(STEEPEST_PRODUCTS):
            v = metric.raised(x[k : k + 1], (H @ (v / np.linalg.norm(v)))[None])[0]
        found = max(found, float(np.linalg.norm(v)))
    return MARGIN * max(found, 1e-300)
