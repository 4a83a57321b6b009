"""Walks pushed along critical paths into a region, weighed by Girsanov's theorem.

A walk takes steps of Euler-Maruyama with the drift b + 2 T D p_k(s), p_k the momentum of critical path k. With l_k = log dQ_k/dP of the steps so far,

    l_k = sum p_k . (dx - b dt) - T p_k' D p_k dt,       P(reached by t) = E[ sum_m S_{m-1} c_m / sum_k alpha_k exp(l_k) ],

c_m the probability that the Brownian bridge of step m enters the region, S the probability that none before has: nothing is overlooked between steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from sgdyn.estimate import Estimate
from sgdyn.pathspace.coefficients import coefficients
from sgdyn.pathspace.paths import Path
from sgdyn.problem import Langevin
from sgdyn.progress import progress
from sgdyn.region import Region

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Guide:
    """A path with its momenta p (n, dim) in the middle of the steps, and its share among the walks."""

    path: Path
    momenta: Floats
    share: float

    def push(self, times: Floats) -> Floats:
        """p at times (m,), as (m, dim); 0 after the path's end."""
        middle = 0.5 * (self.path.t[1:] + self.path.t[:-1])
        found = np.stack([np.interp(times, middle, column) for column in self.momenta.T], -1)
        return np.where((times <= self.path.t[-1])[:, None], found, 0.0)


def guided_reach(
    problem: Langevin, x0: Floats, region: Region, guides: Sequence[Guide], *, t: float, steps: int = 400, walks: int = 4000, seed: int = 0
) -> Estimate:  # fmt: skip
    """The probability to have reached the region by the time t, from walks along the guides with 2 x steps and with steps, extrapolated.

    Its error is the standard error of the mean and, added in squares, what half as many steps change. `.samples` are the walks' weights.
    """
    rng = np.random.default_rng(seed)
    c = coefficients(problem, noiseless=False)
    z = rng.standard_normal((2 * steps, walks, c.D.rank))
    with progress("guided walks", False) as bar:
        fine = _weights(problem, x0, region, guides, t, z, lambda done: bar(0.67 * done))
        half = (z[::2] + z[1::2]) / np.sqrt(2)
        coarse = _weights(problem, x0, region, guides, t, half, lambda done: bar(0.67 + 0.33 * done))
    samples = 2 * fine - coarse
    change = abs(fine.mean() - coarse.mean())
    error = float(np.hypot(samples.std(ddof=1) / np.sqrt(walks), 0.5 * change))
    name = f"{walks} guided walks, dt={t / (2 * steps):.3g} and {t / steps:.3g}, extrapolated; {effective(fine):.0f} effective"
    return Estimate(float(samples.mean()), error, name, samples)


def effective(weights: Floats) -> float:
    """(sum w)²/sum w²: as many equal weights."""
    return float(weights.sum() ** 2 / max(float((weights**2).sum()), 1e-300))


def _weights(problem: Langevin, x0: Floats, region: Region, guides: Sequence[Guide], t: float, z: Floats, tell: Callable[[float], None]) -> Floats:  # fmt: skip
    """One weight a walk, of normals z (steps, walks, rank)."""
    c, (count, walks, _) = coefficients(problem, noiseless=False), z.shape
    dt, level = t / count, _Crossing(problem, region, t / count)
    pushes = np.array([guide.push((np.arange(count) + 0.5) * dt) for guide in guides])
    shares = np.log([guide.share for guide in guides])
    owner = np.searchsorted(np.cumsum(np.exp(shares)), (np.arange(walks) + 0.5) / walks * (1 - 1e-12))
    x, logs = np.tile(x0, (walks, 1)), np.zeros((len(guides), walks))
    alive, found = np.ones(walks), np.zeros(walks)
    before = level(x)
    for m in range(count):
        tell(m / count)
        b, p = c.drift(x), pushes[:, m]
        Dp = np.einsum("nij,kj->kni", c.D(x), p)
        noise = np.sqrt(2 * c.T * dt) * c.D.apply(x, z[m])
        free = 2 * c.T * dt * Dp[owner, np.arange(walks)] + noise  # dx - b dt
        logs += p @ free.T - c.T * dt * np.einsum("ki,kni->kn", p, Dp)
        new = x + b * dt + free
        after = level(new)
        entered = level.probability(x, before, after)
        found += alive * entered * np.exp(-logsumexp(shares[:, None] + logs, axis=0))
        alive, x, before = alive * (1 - entered), new, after
        if not alive.any():
            break
    return found


class _Crossing:
    """The level of a region and the probability that a Brownian bridge of one step enters it."""

    def __init__(self, problem: Langevin, region: Region, dt: float) -> None:
        self.region, self.rate = region.level_and_speed(problem.D.matrix), 2 * problem.T * dt
        self.plain = region.level()

    def __call__(self, x: Floats) -> Floats:
        return np.asarray(self.plain(x)[:, 0])

    def probability(self, x: Floats, before: Floats, after: Floats) -> Floats:
        """exp(-2 g g'/(2 T dt grad g' D grad g)) for levels g, g' < 0, else 1."""
        if self.region is None:
            return np.asarray(after > 0, dtype=float)
        variance = self.rate * np.asarray(self.region(x)[:, 1])
        both = np.where((before < 0) & (after < 0), before * after, 0.0)
        return np.asarray(np.exp(-2 * both / np.where(variance > 0, variance, 1e-300)))
