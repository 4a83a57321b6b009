"""What a comparison rests on, in words: what was measured against the exact theory, and whether the control variate may be used."""

from __future__ import annotations

import numpy as np

from sgdyn.fit.comparison import Comparison
from sgdyn.fit.reasons import plus_minus
from sgdyn.fit.significance import CERTAIN, Check, needed

STANDS_OUT = 4.0


def evidence(c: Comparison) -> tuple[str, ...]:
    """The lines below a table: measured sizes, circulation, control variate, directions without noise."""
    silent = int((~c.noisy).sum())
    lines = [
        f"as measured, over exact discrete theory, on average over directions: {_sizes(c.checks)}",
        circulation(c),
        control(c),
    ]
    if silent:
        lines.append(
            f"no noise reaches {silent} of the directions: a symmetry of the network (as two equal hidden units) protects them; they are left out"
        )
    return tuple(lines)


def _sizes(checks: tuple[Check, ...]) -> str:
    return ", ".join(f"{check.name} {plus_minus(check.size)} (chi²/dof {check.chi2:.2f})" for check in checks)


def circulation(c: Comparison) -> str:
    """How many elements of the measured Q stand out of their measured errors, and what that says of its sign."""
    kept = np.flatnonzero(c.noisy)
    rows, columns = (kept[side] for side in np.triu_indices(len(kept), 1))
    out = int(np.sum(np.abs(c.Q.value[rows, columns]) > STANDS_OUT * c.Q.error[rows, columns]))
    count = f"{out} of {len(rows)} elements stand" if out else f"none of {len(rows)} elements stands"
    return f"circulation Q as measured: {count} out by more than {STANDS_OUT:g} standard errors; {_sign(c)}"


def _sign(c: Comparison) -> str:
    size = c.checks[-1].size
    if len(c.checks) < 3 or not np.isfinite(size.value):
        return "theory predicts none"
    if abs(size.value) < needed(len(c.recording.x)) * size.error:
        return "all together do not tell it from zero either"
    sense = "as predicted" if size.value > 0 else "opposite to the prediction"
    return f"all together have the sense {sense} ({abs(size.value) / size.error:.0f} standard errors from none)"


def control(c: Comparison) -> str:
    """Whether the control variate is used, and why."""
    if not c.shadow_checks:
        return "controlled: not available, " + (
            "no exact theory for the epoch sampler"
            if c.recording.settings.sampler == "epoch"
            else "the recording has no quadratic model beside it"
        )
    worst = max(check.sigmas for check in c.shadow_checks)
    if c.controlled is None:
        return f"controlled: refused, the quadratic model driven by the same batches is off its own exact theory by {worst:.1f} standard errors"
    return (
        f"controlled: measured - quadratic model driven by the same batches + its exact expectation; that model alone, over exact theory: {_sizes(c.shadow_checks)}, "
        f"{worst:.1f} standard errors jointly (limit {CERTAIN:g})"
    )
