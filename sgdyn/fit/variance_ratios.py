"""Whether residuals add up as white noise does: the variance of their sums over windows of all lengths."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate
from sgdyn.fit.findings import CERTAIN, Finding
from sgdyn.fit.stretches import BLOCKS, jackknife

Floats = NDArray[np.float64]

LIMIT = 0.2
LONGEST = 4
"""Windows of at most a fourth of the run."""
EPOCHS = (1, 2, 4)
"""Windows of so many epochs, where one is known. The noise of any window of j epochs, wherever it begins, is 1/(3 j) of independent batches'."""
PIECES = 8
"""Windows that a piece of a replica must hold, and pieces that there must be, for an error from leaving pieces out."""


def white(e: Floats, epoch: float | None) -> Finding:
    """Var(sum of w residuals)/(w Var(residual)) - 1, averaged over coordinates, of residuals e (replica, time, k).

    At the window w where it is for certain farthest from 0; if at none, at the longest at which it is known well enough to hold.
    Source: Lo, MacKinlay, Rev. Financial Studies 1, 41 (1988).
    """
    windows = _windows(e.shape[1], epoch)
    found = [_ratio(e, w) for w in windows]
    certain = [abs(r.value) - CERTAIN * r.error for r in found]
    known = [i for i, r in enumerate(found) if 4 * r.error <= LIMIT]
    i = int(np.argmax(certain)) if max(certain) > 0 else (known or [0])[-1]
    meaning = (
        f"what residuals add up to over {windows[i]} recorded times, over what independent ones do, less 1: "
        "-1 over an epoch that goes through the data in turn"
    )
    return Finding("white noise", found[i], LIMIT, meaning)


def _windows(times: int, epoch: float | None) -> list[int]:
    longest = max(2, times // LONGEST)
    powers = [2**i for i in range(1, longest.bit_length()) if 2**i <= longest]
    epochs = [round(j * epoch) for j in EPOCHS] if epoch else []
    return sorted({*powers, longest, *(w for w in epochs if 2 <= w <= longest)})


def _ratio(e: Floats, w: int) -> Estimate:
    """With the larger of two errors: by leaving out pieces, and that of white noise."""
    replicas, times, _ = e.shape
    each = max(1, min(-(-BLOCKS // replicas), times // (PIECES * w)))
    pieces = np.array([_sums(part, w) for x in e for part in np.array_split(x, each)])
    left_out = replicas * each
    method = f"{left_out} pieces of windows of {w} recorded times"
    value, error = float(_mean_ratio(pieces.sum(axis=0), w)[0]), 0.0
    if left_out >= PIECES:
        (found,) = jackknife(pieces, lambda total: _mean_ratio(total, w), method)
        value, error = float(found.value), float(found.error)
    return Estimate(value, max(error, _chi_squared_error(value, _fair_error(e, w))), method)


def _chi_squared_error(value: float, fair: float) -> float:
    """The distance from the limit over the deviation of a normal variable with the same chance, were the ratio at the limit.

    A mean of squares with the relative error `fair` goes as chi² with 2/fair² degrees of freedom, whose cube root is nearly normal: far below
    its mean it is much rarer than a normal variable. Source: Wilson, Hilferty, PNAS 17, 684 (1931).
    """
    limit = 1 + np.copysign(LIMIT, value)
    over = max(1 + value, 0.0) / limit
    unit = fair**2 / 9
    deviation = (over ** (1 / 3) - (1 - unit)) / np.sqrt(unit)
    return float(limit * (over - 1) / deviation) if abs(over - 1) > fair else limit * fair


def _sums(e: Floats, w: int) -> list[Floats]:
    """(count, sum of squared sums over windows that overlap, count of residuals, sum of squares), each (k,)."""
    total = np.cumsum(np.vstack([np.zeros((1, e.shape[1])), e]), axis=0)
    windowed = total[w:] - total[:-w]
    ones = np.ones(e.shape[1])
    return [ones * len(windowed) * w, np.sum(windowed**2, axis=0), ones * len(e), np.sum(e**2, axis=0)]


def _mean_ratio(m: Floats, w: int) -> tuple[Floats]:
    """Of sums m (4, k); residuals of a fit add up to zero in all, which takes w/count from the ratio."""
    kept = 1 - w / m[2]
    return (np.mean(m[1] / m[0] / kept / (m[3] / m[2]) - 1, axis=0),)


def _fair_error(e: Floats, w: int) -> float:
    """Lo and MacKinlay's sqrt(2 (2w - 1)(w - 1)/(3 w n)) for each coordinate; the covariance of two ratios goes with the square of the correlation."""
    replicas, times, k = e.shape
    n = replicas * (times - w + 1)
    correlation = np.corrcoef(e.reshape(-1, k), rowvar=False).reshape(k, k)
    return float(np.sqrt(2 * (2 * w - 1) * (w - 1) / (3 * w * n) * np.sum(correlation**2)) / k)
