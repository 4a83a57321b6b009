"""Skewness and excess kurtosis of the means of batches, from the samples they are drawn from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def central_moments(c: Floats) -> Floats:
    """The second, third and fourth central moments (3, ...) of samples (N, ...)."""
    d = c - c.mean(0)
    square = d * d
    return np.stack([square.mean(0), (square * d).mean(0), (square * square).mean(0)])


def of_batches(moments: Floats, n: int, batch: int, replacement: bool) -> tuple[Floats, Floats]:
    """(skewness, excess kurtosis) of the mean of a batch drawn from n samples with these central moments (3, ...), exactly.

    With replacement cumulants are those of one sample over B^(r - 1). Without: the moments of means from finite populations. Raises
    ValueError for batches without replacement that hold all samples.
    Source: Isserlis, Proc. R. Soc. A 132 (1931) 586; compared with all batches of 8 samples in `tests/nets/test_noise_tails.py`.
    """
    m2, m3, m4 = moments
    with np.errstate(divide="ignore", invalid="ignore"):  # no noise along a direction: NaN
        if replacement:
            return m3 / m2**1.5 / np.sqrt(batch), (m4 / m2**2 - 3) / batch
        if n < 4 or batch >= n:
            raise ValueError(f"got batch={batch} of n={n} samples without replacement, expected batch < n and n >= 4")
        second = (n - batch) / (n - 1) * m2 / batch
        third = (n - batch) * (n - 2 * batch) / ((n - 1) * (n - 2) * batch**2) * m3
        scale = (n - batch) / (batch**3 * (n - 1) * (n - 2) * (n - 3))
        own = n**2 + n - 6 * n * batch + 6 * batch**2
        fourth = scale * (own * m4 + 3 * n * (n - batch - 1) * (batch - 1) * m2**2)
        return third / second**1.5, fourth / second**2 - 3


def resampled(c: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """Central moments (draws, 3, k) of bootstrap samples of the rows of c (N, k)."""
    n, k = c.shape
    powers = np.concatenate([c**r for r in range(1, 5)], 1)
    raw = np.stack([np.bincount(rng.integers(0, n, n), minlength=n) @ powers for _ in range(draws)]) / n
    a, b, d, e = raw.reshape(draws, 4, k).swapaxes(0, 1)
    second = b - a**2
    return np.stack([second, d - 3 * a * b + 2 * a**3, e - 4 * a * d + 6 * a**2 * b - 3 * a**4], 1)
