"""How near a run is to the edge of stability: a mode that overshoots alternates, which no diffusion does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from sgdyn.estimate import Estimate
from sgdyn.fit.findings import Finding
from sgdyn.fit.stretches import Series, jackknife, series
from sgdyn.nets.recording import Recording

Floats = NDArray[np.float64]

NAME, LIMIT, SMALL = "edge of stability", 0.5, 0.1


def alternation(run: Series) -> Finding:
    """(1 - kept)/2 of the mode that keeps least of itself between two recorded times, if it does not turn: beyond 1/2 it alternates."""
    size = _fastest(run, [(run.x[r, a:b], run.x[r, a + 1 : b + 1]) for r, a, b in run.stretches()], _lost)
    return Finding(NAME, size, LIMIT, "half of what the fastest mode loses between two recorded times: beyond 1/2 it alternates, at 1 it does not come back")  # fmt: skip


def sharpness(recording: Recording, epoch: int | None) -> tuple[Finding, Finding]:
    """lr h/2, beside the edge of stability and as the error of the diffusion's variance there, with h the largest eigenvalue of F in gradient = F x + noise, by least squares.

    epoch: steps in an epoch of batches that go through the data in turn. What is left of one knows what was there, and so x, which looks like
    a curvature of at most lr h = 1/(steps that are left): only the first half of each epoch counts.
    """
    run, lr = series(recording), recording.settings.dt
    fresh = np.ones(len(recording.steps), bool) if epoch is None else recording.steps % epoch < epoch / 2
    parts = [(run.x[r, a:b][fresh[a:b]], lr * recording.gradients[r, a:b][fresh[a:b]]) for r, a, b in run.stretches()]
    size = _fastest(run, parts, lambda M: float(np.max(linalg.eigvals(M).real)) / 2, bias=0 if epoch is None else 1 / epoch)  # fmt: skip
    return (
        Finding(NAME, size, LIMIT, "sharpness along the run over 2/lr: beyond 1/2 the sharpest mode overshoots, at 1 SGD leaves the minimum"),
        Finding("small steps", size, SMALL, "lr h/2 of the sharpest mode: by so much the diffusion's variance is too small there, on the quadratic"),
    )  # fmt: skip


def _lost(A: Floats) -> float:
    kept = linalg.eigvals(A)
    straight = np.abs(kept.imag) <= np.abs(kept.real)
    return float((1 - np.min(np.where(straight, kept.real, np.abs(kept)))) / 2)


def _fastest(
    run: Series, parts: list[tuple[Floats, Floats]], size: Callable[[Floats], float], bias: float = 0.0
) -> Estimate:
    """A function of the matrix M of ahead = offset + M past + noise, with what k eigenvalues of noise alone would reach in its error."""
    sums = np.array([_sums(past, ahead) for past, ahead in parts])
    method = f"least squares, jackknife over {len(sums)} stretches"
    (found,) = jackknife(sums, lambda total: (np.array(size(_matrix(total))),), method)
    reach = np.sqrt(run.dim / sums[:, 0, 0].sum()) / 2
    return Estimate(float(found.value), float(np.hypot(found.error, reach) + bias), method)


def _sums(past: Floats, ahead: Floats) -> Floats:
    """Sums of products of (1, past, ahead) (1 + 2k, 1 + 2k)."""
    z = np.concatenate([np.ones((len(past), 1)), past, ahead], axis=1)
    return np.asarray(z.T @ z)


def _matrix(total: Floats) -> Floats:
    k = len(total) // 2
    return np.asarray(linalg.solve(total[: 1 + k, : 1 + k], total[: 1 + k, 1 + k :], assume_a="pos")[1:].T)
