"""From conditional moments of increments over several times to drift and diffusion: the limit of no time between two rows."""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import NDArray

from sgdyn.fit.local_moments import symmetric

Floats = NDArray[np.float64]


def extrapolation(order: int) -> Floats:
    """Weights (order,) of a quantity at the lags 1, 2, ... whose sum has no terms of degree 1 to order - 1 in the lag."""
    return np.array([(-1.0) ** (j + 1) * comb(order, j) for j in range(1, order + 1)])


def drifts(moments: Floats, dim: int, dt: float, lags: int) -> Floats:
    """E[x(t + j dt) - x(t) | x(t)]/(j dt) at each lag j: (lag, node, k)."""
    first = moments[:, : lags * dim].reshape(len(moments), lags, dim)
    return np.asarray(np.moveaxis(first, 1, 0) / (dt * np.arange(1, lags + 1))[:, None, None])


def noises(moments: Floats, dim: int, dt: float, lags: int) -> Floats:
    """Cov[x(t + j dt) | x(t)]/(2 j dt) at each lag j: (lag, node, k, k)."""
    first = moments[:, : lags * dim].reshape(len(moments), lags, dim)
    size = dim * (dim + 1) // 2
    second = symmetric(moments[:, lags * dim : lags * (dim + size)].reshape(len(moments), lags, size), dim)
    spread = second - first[..., :, None] * first[..., None, :]
    return np.asarray(np.moveaxis(spread, 1, 0) / (2 * dt * np.arange(1, lags + 1))[:, None, None, None])


def limit(at_lags: Floats, order: int) -> Floats:
    """The quantity at lag 0 by the polynomial through the first `order` lags (axis 0)."""
    return np.asarray(np.tensordot(extrapolation(order), at_lags[:order], axes=1))
