"""Whether a run is a diffusion in its coordinates: no memory, and Gaussian noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate
from sgdyn.fit.local_moments import Pieces, Stretch, diagonal
from sgdyn.fit.neighbourhoods import Neighbourhoods
from sgdyn.fit.stretches import jackknife
from sgdyn.printing import Printed

Floats = NDArray[np.float64]

CERTAIN, SIZE, PEAKED = 4.5, 0.03, 0.1
"""A run is called no diffusion where a number is so many standard errors, and so much, away from a diffusion's; the third is for the fourth moment."""


@dataclass(frozen=True, eq=False, repr=False)
class Independence(Printed):
    """Of the residuals z = (dx - E[dx | x])/sqrt(Var[dx | x]), each (k,).

    memory: E[z(t + dt) z(t)], exactly 0 for a Markov process at every dt. volatility: the same of z² - 1. peakedness: E z⁴/3, 1 for Gaussian
    noise. tails: how much more it is over one time than over two; negative for a diffusion, whose peakedness comes with the time, positive
    for jumps and heavy tails, which wear off.
    """

    memory: Estimate
    volatility: Estimate
    peakedness: Estimate
    tails: Estimate

    @property
    def remarks(self) -> tuple[str, ...]:
        """What speaks against a diffusion, each with its size."""
        tests = (
            (np.abs(self.memory.value), self.memory, SIZE, "not Markov in these coordinates: residuals remember {:+.2g} of the one before"),
            (np.abs(self.volatility.value), self.volatility, SIZE, "the size of the noise has a memory of its own: {:+.2g}"),
            (self.tails.value, self.tails, 0.3 * PEAKED, "noise with jumps or heavy tails: E z⁴/3 is more over one time than over two by {:+.2g}"),
        )  # fmt: skip
        found = []
        for away, number, size, text in tests:
            pulls = np.where(np.asarray(away) > size, np.abs(number.pull(0.0)), 0.0)
            worst = int(np.argmax(pulls))
            if pulls[worst] > CERTAIN:
                found.append(
                    f"coordinate {worst}: {text.format(number.value[worst])} ({pulls[worst]:.0f} standard errors)"
                )
        return tuple(found)

    @property
    def diffusion(self) -> bool:
        """True if nothing speaks against it."""
        return not self.remarks


def independence(run: Pieces, where: Neighbourhoods) -> Independence:
    """Tests on residuals over one time and two, from conditional moments at those times: no limit is taken, so they hold at every dt.

    Sources: Friedrich, Peinke, Sahimi, Tabar, Physics Reports 506, 87 (2011), sec. 3 (Markov property, fourth coefficient); Lehnertz, Zabawa, Tabar,
    New J. Phys. 20, 113043 (2018) (jumps by how moments go with the time).
    """
    k = run.dim
    at, low, high = where.table(), [a[0] for a in where.axes or ()], [a[-1] for a in where.axes or ()]
    columns = np.concatenate([diagonal(k), diagonal(k) + k * (k + 1) // 2])
    sums = np.array([_sums(part, at(np.clip(part.z, low, high))[:, columns]) for part in run.parts])
    method = f"residuals of {run.count} transitions, jackknife over {len(sums)} stretches"
    return Independence(*jackknife(sums, _statistics, method))


def _sums(part: Stretch, variance: Floats) -> Floats:
    """variance (n, 2k): over one time and over two."""
    assert part.rest is not None
    k = part.z.shape[1]
    good = (variance[:, :k] > 0) & (variance[:, k:] > 0)
    z, twice = (part.rest[j] / np.sqrt(np.where(good, variance[:, j * k : (j + 1) * k], 1.0)) for j in (0, 1))
    follows = np.isclose(part.z[1:], part.z[:-1] + part.ahead[0][:-1], rtol=0, atol=1e-9).all(axis=1)
    both = good[1:] & good[:-1] & follows[:, None]
    products = (np.where(both, y[1:] * y[:-1], 0.0) for y in (z, z**2 - 1))
    powers = (np.where(good, y**p, 0.0) for y in (z, twice) for p in (2, 4))
    return np.array([np.sum(y, axis=0, dtype=np.float64) for y in (good, both, *powers, *products)])


def _statistics(m: Floats) -> tuple[Floats, ...]:
    variance, fourth = m[2] / m[0], m[3] / m[0]
    peaked, later = fourth / (3 * variance**2), m[5] * m[0] / (3 * m[4] ** 2)
    return m[6] / m[1] / variance, m[7] / m[1] / (fourth - 2 * variance + 1), peaked, peaked - later
