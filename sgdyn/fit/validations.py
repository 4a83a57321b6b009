"""Whether the diffusion may be trusted for a network or a run: every assumption of it with a size, and one verdict."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.estimate import Estimate
from sgdyn.fit import residuals
from sgdyn.fit.autoregression import linear
from sgdyn.fit.drifts import drifting
from sgdyn.fit.findings import Finding, Validity
from sgdyn.fit.ladders import Experiment, assumptions
from sgdyn.fit.stretches import Series, series
from sgdyn.fit.wandering import confinement
from sgdyn.nets.network import Network
from sgdyn.nets.recording import Recording

Floats = NDArray[np.float64]


def validity(
    source: Network | Recording | Any, *, lr: float | None = None, batch: int | None = None, momentum: float = 0.0,
    sampler: str = "replacement", k: int = 10, replicas: int = 32, relaxations: float = 10.0, amplification: int = 4, gaussian: bool = False,
    dt: float | None = None, seed: int = 0, show_progress: bool | None = None,
) -> Validity:  # fmt: skip
    """Whether SGD near a minimum is the diffusion dX = -grad U dt + sqrt(2 T) sigma dW, assumption by assumption, each with its size.

    source: a `Network` at a minimum, with lr= and batch=, on which SGD, SVAG(amplification) and, with gaussian=True, gradient descent with Gaussian
    noise of the same covariance are run (which costs a pass over all data a step); or a run alone, a `Recording` or an array with dt=, of which
    only what a run can show is asked. Network: sharpness against 2/lr; the finite step (exact on the quadratic); variances against the diffusion and
    against exact discrete theory; D and curvature along the run; what noise adds up to; the balance of a stationary run; kurtosis of the noise;
    variances of SGD over SVAG's and over those with Gaussian noise. Run: residuals of a fitted linear process, stationarity, confinement.

    Raises ValueError as `Subspace.local_model`, `train`, `linear` do. Source of the ladder: Li, Malladi, Arora, arXiv:2102.12470.
    """
    if not isinstance(source, Network):
        return _of_run(source, dt, seed)
    if lr is None or batch is None:
        raise ValueError(
            "got a Network alone, expected lr= and batch= too; type sgdyn.fit.validity(network, lr=0.1, batch=32)"
        )
    checks.positive("relaxations", relaxations)
    space = source.subspace(min(checks.count("k", k), source.dim))
    experiment = Experiment.plan(
        source, space, lr, batch, momentum, sampler, replicas, relaxations, seed, show_progress
    )
    return assumptions(experiment, checks.count("amplification", amplification, least=2), gaussian)


def _of_run(source: Any, dt: float | None, seed: int) -> Validity:
    run = series(source, dt)
    found = [*residuals.findings(run, linear(source, dt=dt)), _confined(run, seed)]
    if isinstance(source, Recording) and source.gradients.shape == source.x.shape:
        found.append(residuals.balanced(source))
    notes = drifting(run)
    if isinstance(source, Recording) and source.settings.sampler == "epoch":
        notes = (*notes, "the sampler goes through the data in turn (epoch): batches are not independent")
    return Validity(tuple(found), notes=notes)


def _confined(run: Series, seed: int) -> Finding:
    """The share of coordinates that may be random walks."""
    found = confinement(run.x, dt=run.dt, seed=seed)
    share = Estimate(float(np.mean(~found.confined)), 0.0, f"of {len(found.confined)} coordinates")
    return Finding(
        "confined", share, 0.05, "share of coordinates that are not seen to come back: they have no stationary state"
    )
