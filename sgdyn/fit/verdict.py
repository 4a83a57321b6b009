"""One line on whether the diffusion describes a run, and if not, why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate, rounded
from sgdyn.fit.comparison import Comparison

Floats = NDArray[np.float64]

TOLERANCE = 0.10
CERTAIN = 5.0
WHITE = 0.15
FAR = 3.0


@dataclass(frozen=True)
class Verdict:
    """`holds`: whether the diffusion's variances agree to `TOLERANCE` (10 %) in every direction.

    `deviation`, `discrete_deviation`: the largest |measured/predicted - 1| of the diffusion and of the exact discrete theory, each with
    the standard error of that direction; `reasons`: what the data show against it; `directions`: how many were looked at.
    """

    holds: bool
    deviation: Estimate
    discrete_deviation: Estimate
    reasons: tuple[str, ...]
    directions: int

    def __str__(self) -> str:
        if self.holds:
            exact = f" (exact discrete theory: {_with_error(self.discrete_deviation)})"
            return f"The diffusion describes this run to {_with_error(self.deviation)} in the top {self.directions} directions{exact}."
        because = "; ".join(self.reasons) or "its variances differ by up to " + _with_error(self.deviation)
        return f"The diffusion does not describe this run, because {because}."


def judge(comparison: Comparison) -> Verdict:
    """The verdict on a comparison; the reasons are looked for in the order of what would explain most."""
    diffusion, discrete = (_largest(comparison, theory) for theory in ("diffusion", "discrete"))
    broken = [reason for check in (_correlated, _escaped) if (reason := check(comparison)) is not None]
    minor: tuple[Callable[[Comparison], str | None], ...] = () if broken else (_unsteady, _coarse, _dressed)
    reasons = (*broken, *(reason for check in minor if (reason := check(comparison)) is not None))
    return Verdict(
        diffusion.value <= TOLERANCE and not broken, diffusion, discrete, reasons, int(comparison.noisy.sum())
    )


def _largest(comparison: Comparison, theory: str) -> Estimate:
    ratio = comparison.ratio(theory)
    i = int(np.nanargmax(np.abs(ratio.value - 1)))
    return Estimate(abs(float(ratio.value[i]) - 1), float(ratio.error[i]), ratio.method)


def _with_error(x: Estimate) -> str:
    return rounded(100 * x.value, 100 * x.error).replace(" ± ", "±") + " %"


def _percent(x: float) -> str:
    return f"{100 * x:.2g} %" if x < 0.1 else f"{100 * x:.0f} %"


def _correlated(c: Comparison) -> str | None:
    """Noise that is not white: what an epoch of steps adds is not what independent batches would add."""
    s = c.recording.settings
    if c.innovation is None:
        return (
            "the epoch sampler goes through the data in turn, so the noise of successive steps is anti-correlated"
            if s.sampler == "epoch"
            else None
        )
    ratio, error = c.innovation.value[c.noisy], c.innovation.error[c.noisy]
    if not np.any(np.abs(ratio - 1) > np.maximum(WHITE, CERTAIN * error)) or abs(np.median(ratio) - 1) < WHITE:
        return None
    cause = (
        "the batches go through the data in turn (epoch sampler)"
        if s.sampler == "epoch"
        else "successive batches are not independent"
    )
    low, high = np.nanmin(c.ratio("discrete").value), np.nanmax(c.ratio("discrete").value)
    return (
        f"{cause}, so the noise of successive steps is anti-correlated: over an epoch it adds up to {_percent(float(np.median(ratio)))} of what "
        f"white noise would, and the variances are {low:.2g} to {high:.2g} times the predicted ones"
    )


def _escaped(c: Comparison) -> str | None:
    far = c.noisy & (np.abs(c.mean.value) > np.maximum(FAR, CERTAIN * c.mean.error))
    if not far.any():
        return None
    i = int(np.argmax(np.where(far, np.abs(c.mean.value), 0)))
    return f"it has left the minimum: along direction {i + 1} its mean lies {abs(c.mean.value[i]):.1f} standard deviations away"


def _unsteady(c: Comparison) -> str | None:
    moving = c.noisy & (np.abs(c.drift.value) > np.maximum(TOLERANCE, CERTAIN * c.drift.error))
    if not moving.any():
        return None
    i = int(np.argmax(np.where(moving, np.abs(c.drift.value), 0)))
    return f"it is not stationary yet: along direction {i + 1} the variance changes by {_percent(abs(c.drift.value[i]))} between the halves of the recording"


def _coarse(c: Comparison) -> str | None:
    """The finite step: where the discrete theory differs from the diffusion."""
    gap = np.where(c.noisy, np.abs(c.discrete / np.where(c.noisy, c.diffusion, 1.0) - 1), 0.0)
    i = int(np.argmax(gap))
    if gap[i] < TOLERANCE / 2:
        return None
    lr_h = c.recording.settings.lr * c.subspace.H[i, i]
    exact = _with_error(_largest(c, "discrete"))
    return (
        f"its steps are not small (lr h = {lr_h:.2g} in direction {i + 1}), which alone changes the variance by {_percent(gap[i])}; "
        f"the exact discrete theory agrees to {exact}"
    )


def _dressed(c: Comparison) -> str | None:
    """The landscape along the run: curvature and noise that differ from those at the minimum."""
    if _largest(c, "discrete").value < TOLERANCE / 2:
        return None
    noise = np.diag(c.dressed.D.value)[c.noisy] / np.diag(c.subspace.D)[c.noisy] - 1
    curvature = np.diag(c.dressed.F.value)[c.noisy] / np.diag(c.subspace.H)[c.noisy] - 1
    return f"along the run D differs from the minimum's by {_signed(noise)} and the curvature by {_signed(curvature)} (least and most over directions)"


def _signed(values: Floats) -> str:
    return f"{100 * values.min():+.0f} to {100 * values.max():+.0f} %"
