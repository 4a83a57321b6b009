"""Whether a run is a diffusion in its coordinates: no memory, and Gaussian noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from sgdyn.estimate import Estimate
from sgdyn.fit.local_moments import Pieces, Stretch, diagonal
from sgdyn.fit.neighbourhoods import Neighbourhoods
from sgdyn.fit.stretches import jackknife
from sgdyn.printing import Printed

Floats = NDArray[np.float64]

CERTAIN, SIZE = 4.5, 0.03
"""A run is called no diffusion where a number is so many standard errors, and so much, away from a diffusion's."""
PEAKED = 1.15
"""And its noise not Gaussian where the fourth moment is so many times that of Gaussian noise: D(x) alone adds some per cent at coarse steps."""


@dataclass(frozen=True, eq=False, repr=False)
class Independence(Printed):
    """Of the residuals z = (dx - E[dx | x])/sqrt(Var[dx | x]) over one time, each (k,).

    memory: E[z(t + dt) z(t)], exactly 0 for a Markov process at every dt. volatility: the same of z² - 1. peakedness: E z⁴/3, 1 for Gaussian
    noise, and near it for a diffusion at small steps; jumps make it large.
    """

    memory: Estimate
    volatility: Estimate
    peakedness: Estimate

    @property
    def remarks(self) -> tuple[str, ...]:
        """What speaks against a diffusion, each with its size."""
        tests = (
            (self.memory, 0.0, SIZE, "not Markov in these coordinates: residuals remember {:+.2g} of the one before ({:.0f} standard errors)"),
            (self.volatility, 0.0, SIZE, "the size of the noise has a memory of its own: {:+.2g} ({:.0f} standard errors)"),
            (self.peakedness, 1.0, PEAKED - 1, "noise with jumps or heavy tails: E z⁴/3 is away from 1 by {:+.2g} ({:.0f} standard errors)"),
        )  # fmt: skip
        found = []
        for number, expected, size, text in tests:
            away, pulls = np.asarray(number.value) - expected, np.abs(number.pull(expected))
            worst = int(np.argmax(np.where(np.abs(away) > size, pulls, 0.0)))
            if pulls[worst] > CERTAIN and abs(away[worst]) > size:
                found.append(f"coordinate {worst}: " + text.format(away[worst], pulls[worst]))
        return tuple(found)

    @property
    def diffusion(self) -> bool:
        """True if nothing speaks against it."""
        return not self.remarks


def independence(run: Pieces, where: Neighbourhoods) -> Independence:
    """Tests on residuals over one time, from conditional moments at that time: no limit is taken, so they hold at every dt.

    Sources: Friedrich, Peinke, Sahimi, Tabar, Physics Reports 506, 87 (2011), sec. 3 (Markov property, fourth coefficient); Pawula, Phys. Rev. 162,
    186 (1967).
    """
    assert where.axes is not None
    k, shape = run.dim, [len(a) for a in where.axes]
    drift, both = where.moments(where.drift.sum(axis=0), where.noise.sum(axis=0))
    lags = drift.shape[1] // k
    squares = both[:, lags * k :][:, diagonal(k)] - both[:, :k] ** 2
    table = np.concatenate([drift[:, :k], np.sqrt(np.where(squares > 0, squares, np.nan))], axis=1)
    table[~where.known] = np.nan
    at = RegularGridInterpolator(where.axes, table.reshape(*shape, 2 * k), bounds_error=False)
    sums = np.array([_sums(part, at(part.z), k) for part in run.parts])
    method = f"residuals of {sum(len(part.z) for part in run.parts)} transitions, jackknife over {len(sums)} stretches"
    memory, volatility, peakedness = jackknife(sums, _statistics, method)
    return Independence(memory, volatility, peakedness)


def _sums(part: Stretch, fitted: Floats, k: int) -> Floats:
    z = (part.ahead[0] - fitted[:, :k]) / fitted[:, k:]
    follows = np.isclose(part.z[1:], part.z[:-1] + part.ahead[0][:-1], rtol=0, atol=1e-9).all(axis=1)
    good, both = np.isfinite(z), np.isfinite(z[1:]) & np.isfinite(z[:-1]) & follows[:, None]
    z, now, then = np.where(good, z, 0.0), np.where(both, z[1:], 0.0), np.where(both, z[:-1], 0.0)
    size = [good.sum(0), both.sum(0), np.sum(z**2, 0), np.sum(z**4, 0)]
    pairs = [np.sum(now * then, 0), np.sum(np.where(both, (now**2 - 1) * (then**2 - 1), 0.0), 0)]
    return np.array([*size, *pairs], dtype=np.float64)


def _statistics(m: Floats) -> tuple[Floats, ...]:
    variance, fourth = m[2] / m[0], m[3] / m[0]
    return m[4] / m[1] / variance, m[5] / m[1] / (fourth - 2 * variance + 1), fourth / (3 * variance**2)
