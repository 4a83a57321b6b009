"""Bandwidths by cross-validation over blocks, which serial correlation does not mislead."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from sgdyn.fit.local_moments import Pieces, Stretch, kernel_sums, local_fit
from sgdyn.progress import Progress

Floats = NDArray[np.float64]

CELLS = (64, 20, 9)
"""Nodes along each axis on which bandwidths are compared, in one, two and three dimensions."""
FOLDS, TRIED, WIDEST, MOST = 5, 8, 1.5, 40_000
NEAR = 10.0
"""Where the weights of the others add up to less, a held-out point is not judged."""


def mesh(axes: tuple[Floats, ...]) -> Floats:
    """All nodes (node, k)."""
    return np.stack([m.ravel() for m in np.meshgrid(*axes, indexing="ij")], axis=1)


def cross_validated(run: Pieces, responses: Callable[[Stretch], Floats], tick: Progress) -> Floats:
    """The bandwidth (k,), in standard deviations, whose local linear fit to four fifths of the run predicts the responses in the remaining fifth best: the
    widest that does so but for a standard error, since increments are noise for the most part, and the narrow ones win by chance.

    Each fifth is a contiguous part, so that almost no held-out point has neighbours in time among the others. All candidates are judged at
    the points at which the narrowest is defined. Of more than 40,000 transitions one in so many is taken, and the bandwidth corrected by the
    law that the best one follows, count^(-1/(4 + k)). Source: Racine, Journal of Econometrics 99, 39 (2000), blocks left out;
    Breiman, Friedman, Olshen, Stone, Classification and Regression Trees (1984), section 3.4.3, one standard error.
    """
    every, count = -(-run.count // MOST), CELLS[run.dim - 1]
    run = run.thinned(every)
    z = np.concatenate([part.z for part in run.parts])
    low, high = np.quantile(z, [0.005, 0.995], axis=0)
    axes = tuple(np.linspace(a, b, count) for a, b in zip(low, high, strict=True))
    tried = np.geomspace(float(np.max((high - low) / (count - 1))), WIDEST, TRIED)
    scores, judged = [], None
    for step, h in enumerate(tried):
        misses, here = _misses(run, responses, axes, float(h))
        judged = here if judged is None else judged & here
        scores.append(misses)
        tick((step + 1) / TRIED)
    if judged is None or not judged.any():
        raise ValueError(
            f"got {len(z)} transitions, too few to choose a bandwidth; expected more of them near each other; record longer, or type bandwidth=..."
        )
    part = np.repeat(np.arange(len(run.parts)), [len(p.z) for p in run.parts])
    best = float(tried[_widest(np.array(scores)[:, judged], part[judged])])
    return np.full(run.dim, best * float(every) ** (-1 / (4 + run.dim)))


def _widest(scores: Floats, part: NDArray[np.int64]) -> int:
    """The number of the widest bandwidth that predicts no worse than the best one but for what chance gives, a standard error over the parts."""
    best = int(np.argmin(scores.mean(axis=1)))
    counts = np.bincount(part)
    worse = np.array([np.bincount(part, row) for row in scores - scores[best]])[:, counts > 0]
    error = np.sqrt(np.sum((worse - worse.mean(axis=1, keepdims=True)) ** 2, axis=1))
    return int(np.flatnonzero(worse.sum(axis=1) <= error)[-1])


def _misses(
    run: Pieces, responses: Callable[[Stretch], Floats], axes: tuple[Floats, ...], h: float
) -> tuple[Floats, NDArray[np.bool_]]:
    """Squared errors of prediction (point,), each response in units of its own variance, and where they mean something."""
    nodes, shape = mesh(axes), tuple(len(a) for a in axes)
    sums = kernel_sums(run, nodes, np.full(run.dim, h), responses, degree=1)
    total, fold = sums.sum(axis=0), np.arange(len(run.parts)) * FOLDS // len(run.parts)
    misses = []
    for f in range(FOLDS):
        rest = total - sums[fold == f].sum(axis=0)
        fitted = np.where(rest[:1].T < NEAR, np.nan, local_fit(rest, nodes, 1, summed=1)[0])
        table = RegularGridInterpolator(axes, fitted.reshape(*shape, -1), bounds_error=False)
        misses += [responses(part) - table(part.z) for part, g in zip(run.parts, fold, strict=True) if g == f]
    error = np.concatenate(misses)
    spread = np.concatenate([responses(part) for part in run.parts]).var(axis=0)
    return np.asarray(np.sum(error**2 / spread, axis=1)), np.isfinite(error).all(axis=1)
