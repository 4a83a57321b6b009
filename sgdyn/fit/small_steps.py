"""From moments of increments over several times to drift and diffusion: the limit of no time between two rows.

At each lag s the process is first taken to be linear near x, which is exact for linear ones: with I + slope of E[dx | x] = exp(J s), the drift is
J (exp(J s) - 1)^-1 E[dx | x], and T D that of the linear process with the covariance that was seen. What curvature adds is a series in s, of which
the lags 1, 2, ... take off one term after the other.
"""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import NDArray

from sgdyn.fit.local_moments import DEGREE, local_fit, symmetric
from sgdyn.fit.transitions import Modes, modes

Floats = NDArray[np.float64]

FASTEST = 0.05
"""A mode that keeps less than this between two rows is taken to keep so much."""


def extrapolation(order: int) -> Floats:
    """Weights (order,) of a quantity at the lags 1, 2, ... whose sum has no terms of degree 1 to order - 1 in the lag."""
    return np.array([(-1.0) ** (j + 1) * comb(order, j) for j in range(1, order + 1)])


def rates_at_lags(
    drift: Floats, noise: Floats, nodes: Floats, dt: float, degree: int = DEGREE, bare: bool = False
) -> tuple[Floats, Floats]:
    """(F (lag, node, k), T D (lag, node, k, k)) of total sums; bare: E[dx]/s and Cov[dx]/2s as they are."""
    k = nodes.shape[1]
    (means, slopes), (moments, _) = local_fit(drift, nodes, degree), local_fit(noise, nodes, degree)
    lags, size = means.shape[1] // k, k * (k + 1) // 2
    first, tilt = means.reshape(-1, lags, k), slopes.reshape(-1, lags, k, k)
    spread = symmetric(moments[:, : lags * size].reshape(-1, lags, size), k)
    found = [_at_lag(first[:, j], tilt[:, j], spread[:, j], (j + 1) * dt, bare) for j in range(lags)]
    return np.array([f for f, _ in found]), np.array([n for _, n in found])


def _at_lag(first: Floats, tilt: Floats, spread: Floats, s: float, bare: bool) -> tuple[Floats, Floats]:
    if bare:
        return first / s, spread / (2 * s)
    local = modes(np.eye(first.shape[1]) + tilt, s, FASTEST)
    return (_inverse_growth(local) @ first[..., None])[..., 0], local.white(spread)


def _inverse_growth(local: Modes) -> Floats:
    """J (exp(J s) - 1)^-1, 1/s where J = 0."""
    gone = local.kept - 1
    small = np.abs(gone) < 1e-8
    return local.function(np.where(small, 1 / local.dt, -local.rates / np.where(small, 1, gone)))


def limit(at_lags: Floats, order: int) -> Floats:
    """The quantity at lag 0 by the polynomial through the first `order` lags (axis 0)."""
    return np.asarray(np.tensordot(extrapolation(order), at_lags[:order], axes=1))
