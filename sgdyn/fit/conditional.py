"""Drift and diffusion at points with their errors, and bounds on what the corrections leave."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate
from sgdyn.fit.local_moments import DEGREE, Pieces, diagonal, local_fit
from sgdyn.fit.neighbourhoods import Neighbourhoods
from sgdyn.fit.small_steps import limit, rates_at_lags
from sgdyn.fit.stretches import combined, left_out

Floats = NDArray[np.float64]

MOVED = 2.0
"""Standard errors (rms over the points) that the last order of the limit of small steps may move the drift without a remark."""
HALF = 0.5
"""The relative error of T D from which on the outer points of a run are not known."""


@dataclass(frozen=True, eq=False)
class Rates:
    """At all points, NaN where not known: see `KramersMoyal`."""

    known: NDArray[np.bool_]
    drift: Estimate
    noise: Estimate
    pawula: Estimate
    drift_bias: Floats
    noise_bias: Floats
    remarks: tuple[str, ...]
    replicates: tuple[Floats, Floats]

    def resolved(self) -> NDArray[np.bool_]:
        """Where T D along each axis has an error below half of itself, or of what it is at the usual point (node,)."""
        sizes, errors = (np.einsum("nii->ni", part) for part in (self.noise.value, self.noise.error))
        usual = np.median(sizes[self.known], axis=0)
        with np.errstate(invalid="ignore"):
            return np.asarray(self.known & np.all(errors < HALF * np.maximum(sizes, usual), axis=1))

    def cut(self, known: NDArray[np.bool_], which: NDArray[np.bool_]) -> Rates:
        """Some of the points, of which fewer are known."""

        def kept(part: Floats) -> Floats:
            return np.where(known.reshape(-1, *[1] * (part.ndim - 1)), part, np.nan)[which]

        def estimate(part: Estimate) -> Estimate:
            return replace(part, value=kept(part.value), error=kept(part.error))

        drift, noise = ([kept(part) for part in parts] for parts in self.replicates)
        return Rates(
            known[which], estimate(self.drift), estimate(self.noise), estimate(self.pawula), kept(self.drift_bias), kept(self.noise_bias),
            self.remarks, (np.array(drift), np.array(noise)),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Local:
    """What total sums of drift (the first `split` rows) and noise say at the nodes, in the run's own units."""

    nodes: Floats
    split: int
    unit: Floats
    dt: float

    def __call__(self, total: Floats, lags: int, degree: int = DEGREE) -> tuple[Floats, Floats]:
        drift, noise = rates_at_lags(
            total[: self.split], total[self.split :], self.nodes, self.dt, degree, bare=lags == 0
        )
        unit = self.unit
        return limit(drift, max(lags, 1)) * unit, limit(noise, max(lags - 1, 1)) * unit[:, None] * unit

    def pawula(self, total: Floats) -> Floats:
        """E dx⁴/3 (E dx²)² over one time, of residuals (node, k)."""
        moments, k = local_fit(total[self.split :], self.nodes, DEGREE)[0], self.nodes.shape[1]
        return np.asarray(moments[:, -k:] / (3 * moments[:, diagonal(k)] ** 2))


def conditional_rates(whole: Pieces, drift: Neighbourhoods, noise: Neighbourhoods, lags: int) -> Rates:
    """Raises ValueError where none of the points is known."""
    known = drift.known & noise.known
    if not known.any():
        raise ValueError(
            "got points with too few of the run near any of them, expected points within it; leave out points= for the run's own grid"
        )
    near = [part.sums[..., known] for part in (drift, noise)]
    sums, at = np.concatenate(near, axis=1), _Local(drift.nodes[known], near[0].shape[1], whole.scale, whole.dt)
    method = f"local polynomials, {lags} lags, {whole.count} transitions, jackknife over {len(sums)} stretches"
    central, parts = left_out(sums, lambda total: (*at(total, lags), at.pawula(total)))
    force, strength, pawula = (combined(v, p, len(sums), method) for v, p in zip(central, parts, strict=True))
    total = sums.sum(axis=0)
    best, straight, shorter = at(total, lags), at(total, lags, 1), at(total, lags - 1 if lags > 1 else 2)
    bias = [np.abs(b - s) + np.abs(b - o) for b, s, o in zip(best, straight, shorter, strict=True)]
    force, strength, pawula = (_everywhere(known, part) for part in (force, strength, pawula))
    drift_bias, noise_bias = (_spread(known, part) for part in bias)
    remarks = _moved(best[0] - shorter[0], force.error[known], best[0])
    replicates = (_replicates(known, parts[0]), _replicates(known, parts[1]))
    return Rates(known, force, strength, pawula, drift_bias, noise_bias, remarks, replicates)


def _moved(step: Floats, error: Floats, drift: Floats) -> tuple[str, ...]:
    pulls, size = (float(np.sqrt(np.mean(part))) for part in ((step / error) ** 2, step**2 / np.mean(drift**2)))
    text = f"the last order of the limit of small steps moved the drift by {100 * size:.2g} % ({pulls:.1f} standard errors); record more often"
    return (text,) if pulls > MOVED else ()


def _replicates(known: NDArray[np.bool_], parts: Floats) -> Floats:
    """Values without each stretch (stretch, point, ...)."""
    return np.moveaxis(_spread(known, np.moveaxis(parts, 0, 1)), 1, 0)


def _everywhere(known: NDArray[np.bool_], part: Estimate) -> Estimate:
    return Estimate(_spread(known, part.value), _spread(known, part.error), part.method)


def _spread(known: NDArray[np.bool_], values: Floats) -> Floats:
    out = np.full((len(known), *values.shape[1:]), np.nan)
    out[known] = values
    return out
