"""Whether the gradient noise of minibatches is Gaussian, direction by direction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.estimate import Estimate
from sgdyn.nets.cumulants import central_moments, of_batches, resampled
from sgdyn.nets.gradient_noise import GradientNoise
from sgdyn.nets.network import Network
from sgdyn.nets.tails import exceedance, gaussian_controls, hill_index, shape_error, tail_shape
from sgdyn.printing import Printed

Floats = NDArray[np.float64]

LEAST = 40
LEVEL = 0.01
DOMINATED = 0.5


@dataclass(frozen=True, eq=False, repr=False)
class NoiseTails(Printed):
    """How far from Gaussian the noise of batches is along directions (m,), the first `leading` of them the top eigenvectors of D.

    skewness, kurtosis (excess) of one sample; of_batch: the same of the mean of a batch, (2, m), exact for these samples. shape: the extreme-value
    index xi of |v'(g_i - g)| over the `largest` ones, 0 for Gaussian and exponential tails, 1/alpha for P(> x) ~ x^-alpha; hill: alpha on
    the assumption that the tail is a power. A batch mean has the same xi, farther out. Errors: bootstrap over samples as draws from many
    (cumulants), asymptotic (shape, hill).

    p_skewness, p_kurtosis (two-sided), p_tail (xi too large), (m,): among Gaussian samples of the same number. They are exact, for fixed
    directions and for the eigenvectors of D as well: for normal g_i of any covariance the vector of v'(g_i - g) over i has a uniform direction.
    """

    skewness: Estimate
    kurtosis: Estimate
    of_batch: Estimate
    shape: Estimate
    hill: Estimate
    p_skewness: Floats
    p_kurtosis: Floats
    p_tail: Floats
    batch: int
    n: int
    largest: int
    leading: int

    @property
    def gaussian(self) -> bool:
        """True if no skewness and no kurtosis is beyond Gaussian ones at the level 0.01, all directions together (Bonferroni)."""
        p = np.minimum(self.p_skewness, self.p_kurtosis)
        return bool(p.min() * 2 * len(p) > LEVEL)

    @property
    def heavy(self) -> NDArray[np.bool_]:
        """(m,): directions whose tail is heavier than those of Gaussian samples, at the level 0.01 all together (Bonferroni)."""
        return np.asarray(self.p_tail * len(self.p_tail) <= LEVEL)

    @property
    def infinite_variance(self) -> NDArray[np.bool_]:
        """(m,): heavy, and xi beyond 1/2 by 2.3 standard errors: there the noise has no temperature, and D grows with the number of samples."""
        return np.asarray(self.heavy & (self.shape.value - 2.33 * self.shape.error > 0.5))

    def plot(self, ax: Any = None) -> Any:
        """Excess kurtosis of a batch and tail shape of each direction (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def noise_tails(
    source: Network | GradientNoise | ArrayLike, *, batch: int = 1, k: int = 5, directions: int = 5, replacement: bool = True,
    largest: int | None = None, controls: int | None = None, bootstrap: int = 200, seed: int | np.random.SeedSequence | None = 0,
) -> NoiseTails:  # fmt: skip
    """Skewness, kurtosis and tails of gradient noise along the k top eigenvectors of D and random directions, beside Gaussian samples.

    source: a network or its noise, or coordinates v'g_i (N, m) of anything. batch: B of the batches whose cumulants are wanted, drawn with or without
    replacement. largest: how many moduli count as the tail, by default 2 sqrt(N). controls: Gaussian samples behind each p-value, which
    is at least 1/(controls + 1); by default so many that the level 0.01 can be reached (400 m). Raises ValueError for fewer than 40 samples and directions without noise.
    """
    sequences = checks.seed_sequence(seed).spawn(3)
    rngs = [np.random.default_rng(sequence) for sequence in sequences]
    c, leading = _coordinates(
        source, checks.count("k", k, least=0), checks.count("directions", directions, least=0), rngs[0]
    )
    n, batch = len(c), checks.count("batch", batch)
    size = 2 * math.isqrt(n) if largest is None else checks.count("largest", largest, least=5)
    if n < LEAST or size >= n // 2 or not np.all(np.ptp(c, axis=0) > 0):
        raise ValueError(
            f"got {n} samples{' and directions without noise' * (not np.all(np.ptp(c, axis=0) > 0))}, {size} of them as the tail, expected {LEAST} and more, fewer than half as the tail, and noise along each"
        )
    c = c / c.std(0)
    many = round(4 * c.shape[1] / LEVEL) if controls is None else checks.count("controls", controls, least=99)
    null = gaussian_controls(lambda z: _statistics(z, size), n, many, rngs[1])
    seen = _statistics(c, size)
    skewness, kurtosis, of_batch = _cumulants(
        c, batch, replacement, checks.count("bootstrap", bootstrap, least=20), rngs[2]
    )
    alpha = hill_index(c, size)
    said = f"{size} largest of {n}"
    return NoiseTails(
        skewness,
        kurtosis,
        of_batch,
        Estimate(seen[2], shape_error(seen[2], size), f"moment estimator, {said}"),
        Estimate(alpha, alpha / math.sqrt(size), f"Hill, {said}", warnings=_notes(seen[2], size)),
        exceedance(np.abs(seen[0]), np.abs(null[0])),
        np.minimum(1.0, 2 * np.minimum(exceedance(seen[1], null[1]), exceedance(-seen[1], -null[1]))),
        exceedance(seen[2], null[2]),
        batch,
        n,
        size,
        leading,
    )


def _coordinates(source: Any, k: int, directions: int, rng: np.random.Generator) -> tuple[Floats, int]:
    """v'g_i (N, m), and how many of the directions are eigenvectors of D."""
    noise = source.noise() if isinstance(source, Network) else source
    if not isinstance(noise, GradientNoise):
        array = checks.finite("source", source)
        if array.ndim not in (1, 2):
            raise ValueError(f"got coordinates of shape {array.shape}, expected (N, m)")
        return array.reshape(len(array), -1), 0
    if k + directions == 0:
        raise ValueError("got k=0 and directions=0, expected some directions")
    parts = [noise.coordinates(noise.top(k).vectors)] if k else []
    if directions:
        V = rng.standard_normal((noise.shape[0], directions))
        parts.append(noise.coordinates(V / np.linalg.norm(V, axis=0)))
    return np.concatenate(parts, axis=1), k


def _statistics(c: Floats, largest: int) -> Floats:
    """Skewness, excess kurtosis and tail shape (3, k) of samples (n, k)."""
    m2, m3, m4 = central_moments(c)
    return np.stack([m3 / m2**1.5, m4 / m2**2 - 3, tail_shape(c, largest)])


def _cumulants(
    c: Floats, batch: int, replacement: bool, draws: int, rng: np.random.Generator
) -> tuple[Estimate, Estimate, Estimate]:
    """Skewness and kurtosis of one sample and of a batch, with bootstrap errors."""
    n = len(c)
    moments, spread = central_moments(c), resampled(c, draws, rng)
    one, many = of_batches(moments, n, 1, True), of_batches(moments, n, batch, replacement)
    errors = [np.std(part, axis=0) for part in of_batches(spread.swapaxes(0, 1), n, 1, True)]
    batches = np.stack([np.std(part, axis=0) for part in of_batches(spread.swapaxes(0, 1), n, batch, replacement)])
    share = (np.abs(c - c.mean(0)).max(0) ** 4 / n / moments[2]).max()
    notes = (
        (f"one sample makes {share:.0%} of a fourth moment: the kurtosis there and its error mean little",)
        if share > DOMINATED
        else ()
    )
    said = f"bootstrap over {n} samples"
    how = f"batches of {batch} {'with' if replacement else 'without'} replacement, {said}"
    return Estimate(one[0], errors[0], said), Estimate(one[1], errors[1], said, warnings=notes), Estimate(np.stack(many), batches, how, warnings=notes)  # fmt: skip


def _notes(xi: Floats, largest: int) -> tuple[str, ...]:
    """Where Hill's index means nothing."""
    none = xi - 2 * shape_error(xi, largest) <= 0
    return (f"{int(none.sum())} of {len(xi)} directions show no power tail (xi within 2 errors of 0 or below): alpha there is only a number",) if none.any() else ()  # fmt: skip
