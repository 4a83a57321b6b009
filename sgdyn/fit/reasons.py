"""What the data show against the diffusion: each function returns a sentence, or None where it has nothing to say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sgdyn.estimate import Estimate, rounded
from sgdyn.fit.comparison import Comparison
from sgdyn.fit.significance import CERTAIN, Check, needed
from sgdyn.fit.theories import TOLERANCE

Floats = NDArray[np.float64]

UNSTEADY = 0.02
"""Part of the stationary variance that a run from rest may lack on average."""
TELLING = 0.5
"""A theory wrong by a factor of two must be certain to fail."""
FAR = 3.0
SLOPE = 1e-3
VISIBLE = 0.05
ROUNDING = 1e-9


def unsteady(c: Comparison) -> str | None:
    """A recording that begins too early, or variances that go on changing."""
    lacking = np.where(c.noisy, c.memory, 0.0)
    i = int(np.argmax(lacking))
    if lacking[i] > UNSTEADY:
        first, relaxation = int(c.recording.steps[0]), float(c.correlation_time_discrete[i])
        return (
            f"it is not stationary: recorded from step {first} ({first / relaxation:.2g} correlation times of direction {i + 1}), a run from rest still lacks "
            f"{percent(lacking[i])} of its variance there; type recording.after({int(np.ceil(3 * relaxation))}) of a longer run"
        )
    return _moving(c.resolved)


def _moving(c: Comparison) -> str | None:
    sizes, errors = np.abs(c.drift.value), c.drift.error
    moving = c.noisy & (sizes > TOLERANCE) & (sizes > needed(len(c.recording.x)) * errors)
    if not moving.any():
        return None
    i = int(np.argmax(np.where(moving, sizes, 0)))
    change = with_error(Estimate(float(c.drift.value[i]), float(errors[i]), ""))
    return f"it is not stationary: along direction {i + 1} the variance changes by {change} between the halves of the recording"


def foreign(c: Comparison) -> str | None:
    """The quadratic model driven by the same batches, which must follow the exact theory whatever the network is."""
    failed = [check for check in c.shadow_checks if not check.passed]
    if not failed:
        return None
    return (
        f"even the quadratic model driven by the same batches does not follow its own exact theory ({_sizes(failed)}): the learning rate, batch size, "
        "momentum, H, D or basis of the theory are not those of this run, or it did not begin at the center"
    )


def _sizes(failed: list[Check]) -> str:
    """Each failed check: how much of the predicted there is, and how sure that is."""
    return ", ".join(
        f"{check.name} {plus_minus(check.size)} of the predicted on average"
        if abs(check.size.value - 1) > 2 * check.size.error
        else f"{check.name} off by {check.sigmas:.1f} standard errors"
        for check in failed
    )


def vague(c: Comparison) -> str | None:
    """A run too short to tell a right theory from a wrong one."""
    size = c.checks[0].size
    if size.error * needed(len(c.recording.x)) < TELLING:
        return None
    return f"it is too short to tell: its variances are known to ±{percent(size.error)} over {len(c.recording.x)} replicas; type more replicas or steps"


def differs(c: Comparison) -> str | None:
    """The numbers: measured over predicted."""
    ratio = c.resolved.ratio("diffusion")
    beyond = c.noisy & (np.abs(ratio.value - 1) - 2 * ratio.error > TOLERANCE)
    failed = [check for check in c.checks if not check.passed]
    said = [_range(ratio, c.noisy)] if beyond.any() else []
    said += [f"as measured, without control variate: {_sizes(failed)}"] if failed else []
    return "; ".join(said) or None


def _range(ratio: Estimate, noisy: NDArray[np.bool_]) -> str:
    low, high = _extremes(ratio.value, noisy)
    at = [f"{_at(ratio, i)} (direction {i + 1})" for i in (low, high)]
    return f"its variances are {at[0]} to {at[1]} times the diffusion's"


def correlated(c: Comparison) -> str | None:
    """Batches that go through the data in turn: what an epoch of steps adds is less than what independent batches would."""
    if c.recording.settings.sampler != "epoch":
        return None
    cause = (
        "the batches go through the data in turn (epoch sampler), so the noise of successive steps is anti-correlated"
    )
    if c.innovation is None or c.innovation.samples is None:
        return cause
    added = c.innovation.samples[:, c.noisy].mean(axis=1)
    mean, error = float(added.mean()), float(added.std(ddof=1) / np.sqrt(len(added)))
    if mean + CERTAIN * error > 1:
        return None
    return f"{cause}: over an epoch it adds up to {with_error(Estimate(mean, error, ''))} of what white noise would"


def downhill(c: Comparison) -> str | None:
    """A center that is not a minimum, or a mean that lies far from it."""
    said = (
        [f"the center is not a minimum (|grad U| = {c.subspace.gradient:.2g})"] if c.subspace.gradient > SLOPE else []
    )
    mean = c.resolved.mean
    far = c.noisy & (np.abs(mean.value) > np.maximum(FAR, CERTAIN * mean.error))
    if far.any():
        i = int(np.argmax(np.where(far, np.abs(mean.value), 0)))
        said.append(
            f"it has left the minimum: along direction {i + 1} its mean lies {_at(mean, i)} standard deviations away"
        )
    return "; ".join(said) or None


def coarse(c: Comparison) -> str | None:
    """The finite step: where the discrete theory differs from the diffusion."""
    gap = np.where(c.noisy, np.abs(c.discrete / np.where(c.noisy, c.diffusion, 1.0) - 1), 0.0)
    i = int(np.argmax(gap))
    if gap[i] < TOLERANCE / 2:
        return None
    s = c.recording.settings
    top = s.lr * float(np.linalg.eigvalsh(c.subspace.H)[-1])
    part = top / (2 * (1 + s.momentum))
    if gap[i] > 2 * part / (1 - part):
        return f"the exact discrete theory and the diffusion differ by {percent(gap[i])}, more than steps of lr h = {top:.2g} explain: one of the two is wrong"
    lr_h = s.lr * c.subspace.H[i, i]
    exact = with_error(largest(c.resolved, "discrete"))
    return (
        f"its steps are not small (lr h = {lr_h:.2g} in direction {i + 1}), which alone changes the variance by {percent(gap[i])}; "
        f"the exact discrete theory agrees to {exact}"
    )


def dressed(c: Comparison) -> str | None:
    """The landscape along the run: curvature and noise that differ from those at the minimum."""
    if c.recording.settings.sampler == "epoch" or largest(c.resolved, "discrete").value < TOLERANCE / 2:
        return None
    noise, curvature = (
        _against(found, exact) for found, exact in ((c.dressed.D, c.subspace.D), (c.dressed.F, c.subspace.H))
    )
    said = [
        f"{name} differs from the minimum's by {_signed(change, c.noisy)}"
        for name, change in (("D along the run", noise), ("the curvature along the run", curvature))
        if _seen(change, c.noisy)
    ]
    return " and ".join(said) + " (least and most over directions)" if said else None


def _against(found: Estimate, exact: Floats) -> Estimate:
    unit = np.diag(exact)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Estimate(np.diag(found.value) / unit - 1, np.diag(found.error) / unit, found.method)


def _seen(change: Estimate, noisy: NDArray[np.bool_]) -> bool:
    sizes = np.abs(change.value[noisy])
    return bool(np.any((sizes > VISIBLE) & (sizes > CERTAIN * change.error[noisy])))


def _signed(change: Estimate, noisy: NDArray[np.bool_]) -> str:
    low, high = _extremes(change.value, noisy)
    return f"{_at(change, low, 100)} to {_at(change, high, 100)} %"


def largest(c: Comparison, theory: str) -> Estimate:
    """The largest |measured/predicted variance - 1| with the standard error of its direction."""
    ratio = c.ratio(theory)
    i = int(np.nanargmax(np.abs(ratio.value - 1)))
    return Estimate(abs(float(ratio.value[i]) - 1), float(ratio.error[i]), ratio.method)


def _extremes(values: Floats, noisy: NDArray[np.bool_]) -> tuple[int, int]:
    return int(np.nanargmin(np.where(noisy, values, np.nan))), int(np.nanargmax(np.where(noisy, values, np.nan)))


def _at(estimate: Estimate, i: int, unit: float = 1.0) -> str:
    return plus_minus(Estimate(unit * float(estimate.value[i]), unit * float(estimate.error[i]), ""))


def plus_minus(x: Estimate) -> str:
    """`1.02±0.03`; four digits where the error is below them, 0 for what is rounding alone (all are ratios)."""
    if abs(float(x.value)) < ROUNDING and float(x.error) < ROUNDING:
        return "0"
    if float(x.error) < 1e-4 * abs(float(x.value)) or not float(x.error):
        return f"{float(x.value):.4g}" + (f"±{float(x.error):.1g}" if float(x.error) else "")
    return rounded(x.value, x.error).replace(" ± ", "±")


def with_error(x: Estimate) -> str:
    """`2.1±0.3 %`."""
    return rounded(100 * x.value, 100 * x.error).replace(" ± ", "±") + " %"


def percent(x: float) -> str:
    """Two digits."""
    return f"{100 * x:.2g} %" if x < 0.1 else f"{100 * x:.0f} %"
