"""Effective ranks: how many eigenvalues matter, by several rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.estimate import Estimate
from sgdyn.linalg.densities import SpectralDensity

Floats = NDArray[np.float64]

FLOAT32 = float(np.finfo(np.float32).eps)


def _entropy(v: Floats) -> Floats:
    """-v log v, zero where v is not positive."""
    positive = np.where(v > 0, v, 1.0)
    return np.asarray(-positive * np.log(positive))


def _positive(v: Floats) -> Floats:
    return np.maximum(v, 0.0)


def _participation(density: SpectralDensity) -> Estimate:
    return density.statistic(lambda s: s[0] ** 2 / s[1], lambda v: v, np.square)


def _intrinsic(density: SpectralDensity) -> Estimate:
    return density.statistic(lambda s: s[0] / density.highest, lambda v: v)


def _stable(density: SpectralDensity) -> Estimate:
    scale = max(density.highest, -density.lowest)
    return density.statistic(lambda s: s[0] / scale**2, np.square)


def _by_entropy(density: SpectralDensity) -> Estimate:
    return density.statistic(lambda s: np.exp(s[0] / s[1] + np.log(s[1])), _entropy, _positive)


def _float32(density: SpectralDensity) -> Estimate:
    """Above p eps lambda_1 in single precision: what a rank of the matrix by NumPy's or torch's rule would be there."""
    size = len(density.known) + density.rest
    return density.count(size * FLOAT32 * density.highest)


RULES: dict[str, Callable[[SpectralDensity], Estimate]] = {
    "participation": _participation, "intrinsic": _intrinsic, "stable": _stable, "entropy": _by_entropy, "float32": _float32,
}  # fmt: skip


def effective_rank(density: SpectralDensity, rule: Any) -> Estimate:
    """The effective rank by a rule of `RULES`, or the number of eigenvalues above a threshold."""
    if isinstance(rule, str):
        if rule not in RULES:
            raise ValueError(f"got rule={rule!r}, expected {', '.join(map(repr, RULES))} or a threshold")
        if max(abs(density.highest), abs(density.lowest)) == 0:
            return Estimate(0.0, 0.0, density.method, warnings=("all eigenvalues are zero",))
        return RULES[rule](density)
    threshold = checks.positive("rule", rule)
    if len(density.errors) and threshold < density.errors.max():
        raise ValueError(
            f"got the threshold {threshold:.3g}, expected more than the numerical floor {density.errors.max():.3g} of the eigenvalues; type a larger one"
        )
    return density.count(threshold)
