"""What a run alone can show of the assumptions of the diffusion."""

from __future__ import annotations

from typing import Any

import numpy as np

from sgdyn.estimate import Estimate
from sgdyn.fit import edges, halves, residuals, turns
from sgdyn.fit.drifts import drifting
from sgdyn.fit.findings import Finding, Validity
from sgdyn.fit.scales import standardised
from sgdyn.fit.stretches import Series, series
from sgdyn.fit.wandering import confinement
from sgdyn.nets.recording import Recording


def of_run(source: Any, dt: float | None, seed: int) -> Validity:
    """All findings on a `Recording`, or on an array with its `dt`."""
    run = standardised(series(source, dt))
    notes = drifting(run)
    common = (_confined(run, seed), halves.steady(run))
    if not isinstance(source, Recording):
        return Validity((*residuals.findings(run), edges.alternation(run), *common), notes=notes)
    steps = turns.steps_in_epoch(source)
    found = [*residuals.findings(run, steps and steps / source.settings.every), *common]
    if source.gradients.shape == source.x.shape:
        found += [*edges.sharpness(source, steps), residuals.balanced(source)]
    else:
        found.append(edges.alternation(run))
    sampler = turns.in_turn(source)
    if sampler is not None:
        found.append(sampler)
    elif steps is not None:
        notes = (*notes, "the sampler goes through the data in turn (epoch): batches are not independent")
    return Validity(tuple(found), notes=notes)


def _confined(run: Series, seed: int) -> Finding:
    """The share of coordinates that may be random walks."""
    found = confinement(run.x, dt=run.dt, seed=seed)
    share = Estimate(float(np.mean(~found.confined)), 0.0, f"of {len(found.confined)} coordinates")
    return Finding(
        "confined", share, 0.05, "share of coordinates that are not seen to come back: they have no stationary state"
    )
