"""A lower bound of the entropy production by a current that it must pay for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate
from sgdyn.fit.stretches import jackknife

Floats = NDArray[np.float64]
Stretches = list[tuple[int, int, int]]


def least_entropy_production(
    y: Floats, stretches: Stretches, swept: Floats, lags: NDArray[np.int64], dt: float
) -> Estimate:
    """ln(1 + 2 E[J]²/Var J)/lag per unit time, of the current J = y(t)' W y(t + lag) that changes its sign backwards in time (W antisymmetric, if no y is odd).

    y (replica, time, k): coordinates; swept (stretch, m, k, k): the antisymmetric lagged covariances of the stretches. W and the lag are taken
    from one half of the stretches and J from the other, and the two results averaged, so that the choice makes nothing out of chance.
    """
    halves = [np.arange(side, len(stretches), 2) for side in (0, 1)]
    found = [
        _bound(y, [stretches[i] for i in mine], *_choice(y, [stretches[i] for i in other], swept[other], lags, dt), dt)
        for mine, other in (halves, halves[::-1])
    ]
    value = float(np.mean([part.value for part in found]))
    error = float(np.hypot(found[0].error, found[1].error) / 2)
    return Estimate(value, error, "area swept in one lag, thermodynamic uncertainty relation, jackknife")


def _choice(y: Floats, stretches: Stretches, swept: Floats, lags: NDArray[np.int64], dt: float) -> tuple[Floats, int]:
    """(W, lag) of the largest bound on these stretches."""
    planes = np.swapaxes(swept.mean(axis=0), 1, 2)
    bounds = [float(_bound(y, stretches, W, int(lag), dt).value) for W, lag in zip(planes, lags, strict=True)]
    best = int(np.argmax(bounds))
    return planes[best], int(lags[best])


def _bound(y: Floats, stretches: Stretches, W: Floats, lag: int, dt: float) -> Estimate:
    sums = []
    for r, a, b in stretches:
        J = np.einsum("ti,ij,tj->t", y[r, a : b + 1 - lag], W, y[r, a + lag : b + 1], optimize=True)
        sums.append([float(len(J)), J.sum(), (J**2).sum()])
    (found,) = jackknife(np.array(sums), lambda m: (np.array(_paid(m, lag * dt)),), "")
    return found


def _paid(m: Floats, time: float) -> float:
    mean = m[1] / m[0]
    spread = m[2] / m[0] - mean**2
    return float(np.log1p(2 * mean**2 / spread) / time) if spread > 0 else 0.0
