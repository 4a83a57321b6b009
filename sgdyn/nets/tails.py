"""How heavy the tails of samples are: estimators, and what Gaussian samples of the same number give."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.estimate import Estimate

Floats = NDArray[np.float64]

CHUNK = 2_000_000
"""So many normal numbers are held at once."""


def log_excesses(c: Floats, largest: int) -> tuple[Floats, Floats]:
    """Mean and mean square of log(|c|_(i)/|c|_(m+1)) over the m largest moduli, along the first axis."""
    ordered = np.partition(np.abs(c), len(c) - largest - 1, axis=0)
    threshold = np.maximum(ordered[-largest - 1], 1e-300)
    logs = np.log(np.maximum(ordered[-largest:], 1e-300) / threshold)
    return logs.mean(0), np.square(logs).mean(0)


def hill_index(c: Floats, largest: int) -> Floats:
    """alpha = 1/mean log excess, for tails P(|c| > x) ~ x^-alpha; relative error 1/sqrt(m). Source: Hill, Ann. Stat. 3 (1975) 1163."""
    return np.asarray(1 / np.maximum(log_excesses(c, largest)[0], 1e-300))


def tail_shape(c: Floats, largest: int) -> Floats:
    """xi = M1 + 1 - 1/(2(1 - M1²/M2)), the extreme-value index: 1/alpha for power tails, 0 for Gaussian and exponential, < 0 for bounded.

    Source: Dekkers, Einmahl and de Haan, Ann. Stat. 17 (1989) 1833.
    """
    first, second = log_excesses(c, largest)
    rest = 1 - first**2 / np.maximum(second, 1e-300)
    return np.asarray(first + 1 - 0.5 / np.maximum(rest, 1e-300))


def shape_error(xi: ArrayLike, largest: int) -> Floats:
    """The asymptotic standard error of `tail_shape` (Dekkers, Einmahl and de Haan 1989), without its bias."""
    x = np.asarray(xi, dtype=np.float64)
    low = np.minimum(x, 0.0)
    a, b, d = 1 - 2 * low, 1 - 3 * low, 1 - 4 * low
    below = (1 - low) ** 2 * a * (4 - 8 * a / b + (5 - 11 * low) * a / (b * d))
    return np.sqrt(np.where(x >= 0, 1 + np.maximum(x, 0) ** 2, below) / largest)


def gaussian_controls(statistics: Callable[[Floats], Floats], n: int, count: int, rng: np.random.Generator) -> Floats:
    """statistics((n, some)) -> (s, some) of `count` samples of n normal numbers, centred: (s, count)."""
    width = max(1, CHUNK // n)
    parts = []
    for start in range(0, count, width):
        z = rng.standard_normal((n, min(width, count - start)))
        parts.append(statistics(z - z.mean(0)))
    return np.concatenate(parts, axis=1)


def exceedance(values: Floats, controls: Floats) -> Floats:
    """The p-value of values (k,) among controls (count,), one-sided from above: (1 + number as large)/(1 + count), valid at every count."""
    ordered = np.sort(controls)
    above = len(ordered) - np.searchsorted(ordered, values, side="left")
    return np.asarray((1 + above) / (1 + len(ordered)))


def simsekli_index(samples: ArrayLike, block: int | None = None) -> Estimate:
    """The index of stability alpha as Simsekli et al. estimate it, which assumes that the numbers are independent, alike and stable.

        1/alpha = (mean log|sums of `block`| - mean log|samples|)/log block

    For reference only. It tests nothing: normal numbers of different variances (the components of any gradient noise), Laplace or
    Student's t all give alpha < 2, though none is stable; so see `noise_tails`. samples: any shape, taken in order; block: by default about sqrt(n).
    The error is the jackknife's over stretches. Sources: Mohammadi, Mohammadpour, Ogata, Metrika 78 (2015) 549; Simsekli, Sagun,
    Gurbuzbalaban, arXiv:1901.06053; the flaw: Xie, Sato, Sugiyama, arXiv:2002.03495; Panigrahi et al., arXiv:1910.09626.
    """
    x = np.ravel(checks.finite("samples", samples))
    size = max(2, math.isqrt(len(x))) if block is None else checks.count("block", block, least=2)
    if len(x) // size < 20 or not np.all(x):
        raise ValueError(
            f"got {len(x)} numbers{' with zeros among them' * (not np.all(x))} and block={size}, expected 20 blocks at least, and no zeros"
        )
    blocks = x[: len(x) // size * size].reshape(-1, size)
    gains = (np.log(np.abs(blocks.sum(1))) - np.log(np.abs(blocks)).mean(1)) / math.log(size)
    left = 1 / ((gains.sum() - gains) / (len(gains) - 1))
    error = math.sqrt((len(gains) - 1) * float(left.var()))
    note = "assumes that the numbers are stable and alike: normal ones of different variances give less than 2 as well"
    return Estimate(float(1 / gains.mean()), error, f"Simsekli 2019, blocks of {size}", warnings=(note,))
