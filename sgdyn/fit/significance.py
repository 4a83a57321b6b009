"""Many measured numbers against as many exact ones, as one number of standard deviations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sgdyn.estimate import Estimate

Floats = NDArray[np.float64]

CERTAIN = 4.5
"""Standard deviations beyond which measured and exact numbers differ for certain (a chance of 7e-6)."""
FARTHEST = 38.0


@dataclass(frozen=True)
class Check:
    """`size`: the exact numbers' share in the measured ones (1 if they agree, -1 if all are reversed; NaN if the exact ones are all zero).

    `sigmas`: how significantly they differ, jointly, as the deviation of a normal variable with the same chance. `chi2`: mean square
    of the pulls. `count`: how many numbers.
    """

    name: str
    size: Estimate
    sigmas: float
    chi2: float
    count: int

    @property
    def passed(self) -> bool:
        return self.sigmas < CERTAIN


def check(
    name: str,
    measured: Estimate,
    exact: Floats,
    unit: Floats,
    allowed: float = 0.0,
    slack: Any = 0.0,
    spread: Any = 1.0,
) -> Check:
    """Whether measured numbers (m,), with their independent samples (replica, m), are the exact ones (m,).

    Two tests share the risk: the size (sum s e / sum e², numbers in their units) against 1, and the largest pull; both by Student's t
    over replicas, so that no independence of the m numbers is needed. unit (m,): the scale of each one's noise. allowed: deviation of
    the size that is not counted; slack (m,): of each number. spread (m,): how much larger the errors would be if theory were right:
    squares that came out small have small errors too, so that without it low values would seem certain.
    """
    assert measured.samples is not None
    size = _size(measured.samples, exact, 1 / unit**2, measured.method)
    away, error = np.abs(np.asarray(measured.value) - exact), np.asarray(measured.error)
    farthest = float(np.max(np.maximum(away - slack, 0.0) / (error * np.maximum(1.0, spread))))
    dof = len(measured.samples) - 1
    fair = Estimate(size.value, size.error * max(1.0, float(np.mean(spread))), size.method)
    chance = min(_two_sided(farthest, dof) * len(exact), _chance(fair, allowed, dof))
    return Check(name, size, _sigmas(min(1.0, 2 * chance)), float(np.mean((away / error) ** 2)), len(exact))


def _size(samples: Floats, exact: Floats, weights: Floats, method: str) -> Estimate:
    total = float(np.sum(weights * exact**2))
    if total == 0:
        return Estimate(np.nan, np.nan, method)
    shares = samples @ (weights * exact) / total
    return Estimate(float(shares.mean()), float(shares.std(ddof=1) / np.sqrt(len(shares))), method)


def _chance(size: Estimate, allowed: float, dof: int) -> float:
    if not np.isfinite(size.value):
        return 1.0
    return _two_sided(max(0.0, abs(size.value - 1) - allowed) / size.error, dof)


def _two_sided(pull: float, dof: int) -> float:
    return float(2 * stats.t.sf(pull, dof))


def _sigmas(chance: float) -> float:
    return float(min(stats.norm.isf(chance / 2), FARTHEST)) if chance > 0 else FARTHEST


def needed(replicas: int) -> float:
    """Standard errors over so many replicas that are as certain as `CERTAIN` standard deviations."""
    return float(stats.t.isf(stats.norm.sf(CERTAIN), replicas - 1))
