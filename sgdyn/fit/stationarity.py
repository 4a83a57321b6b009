"""Whether a run is stationary: the balance of what gradients take in and noise gives back, direction by direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sgdyn.estimate import Estimate
from sgdyn.fit.stretches import jackknife, series
from sgdyn.nets.recording import Recording

Floats = NDArray[np.float64]

CERTAIN = 4.5
"""Standard deviations of the largest pull, all directions together, beyond which a run is not stationary."""


@dataclass(frozen=True, eq=False)
class Balance:
    """temperature (k,) = E[(x_i - mean) g_i], what equipartition would make equal in all directions; injected (k,) = (lr/2) E[g_i²].

    excess (k,) = temperature - injected: 0 in each direction of a stationary run. sigmas: how certainly it is not, all together.
    """

    temperature: Estimate
    injected: Estimate
    excess: Estimate
    sigmas: float

    @property
    def stationary(self) -> bool:
        """True if nothing speaks against it."""
        return self.sigmas < CERTAIN

    def __str__(self) -> str:
        verdict = "consistent with a stationary run" if self.stationary else "not a stationary run"
        return f"{verdict}: E[x g] and (lr/2) E[g²] differ by {self.sigmas:.1f} standard deviations in {len(self.excess.value)} directions"

    def plot(self, ax: Any = None) -> Any:
        """Temperature and injected noise of each direction (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def balance(recording: Recording) -> Balance:
    """The fluctuation-dissipation relation of SGD without momentum, E[(x_i - mean) g_i] = (lr/2) E[g_i²], exact for every loss and noise at stationarity.

    From E|w'|² = E|w|² with w' = w - lr g, in each direction i of the recording; g is the gradient of the batch, weight decay included.
    Raises TypeError for what is no `Recording`, ValueError for one with momentum or without a subspace. Source: Yaida, arXiv:1810.00004, eq. (FDR1).
    """
    if not isinstance(recording, Recording):
        raise TypeError(f"got a {type(recording).__name__}, expected the Recording of nets.train(..., record=subspace)")
    run = series(recording)
    if recording.gradients.shape != recording.x.shape:
        raise ValueError("got a recording without gradients, expected one with; type nets.train(..., record=subspace)")
    lr, x, g = recording.settings.dt, recording.x, recording.gradients
    parts = [(x[r, a:b], g[r, a:b]) for r, a, b in run.stretches()]
    sums = np.array(
        [[np.full(run.dim, float(len(y))), y.sum(0), h.sum(0), (y * h).sum(0), (h * h).sum(0)] for y, h in parts]
    )
    method = f"{x.shape[0]} replicas x {x.shape[1]} times, jackknife over {len(sums)} stretches"
    temperature, injected, excess = jackknife(sums, lambda m: _balanced(m, lr), method)
    return Balance(temperature, injected, excess, _sigmas(excess, len(sums)))


def _balanced(m: Floats, lr: float) -> tuple[Floats, Floats, Floats]:
    taken, given = m[3] / m[0] - m[1] * m[2] / m[0] ** 2, lr / 2 * m[4] / m[0]
    return taken, given, taken - given


def _sigmas(excess: Estimate, stretches: int) -> float:
    """Of the largest pull, by Student's t over stretches, times the number of directions, as the deviation of a normal variable."""
    chance = 2 * stats.t.sf(float(np.max(np.abs(excess.pull(0.0)))), stretches - 1) * len(excess.value)
    return float(stats.norm.isf(min(1.0, chance) / 2)) if chance > 0 else float("inf")
