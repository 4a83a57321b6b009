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
from sgdyn.fit.ladders import Experiment, affordable, assumptions, unstable
from sgdyn.fit.stretches import Series, series
from sgdyn.fit.wandering import confinement
from sgdyn.nets.network import Network
from sgdyn.nets.recording import Recording

Floats = NDArray[np.float64]


def validity(
    source: Network | Recording | Any, *, lr: float | None = None, batch: int | None = None, momentum: float = 0.0,
    sampler: str = "replacement", k: int = 10, replicas: int = 32, relaxations: float = 10.0, amplification: int = 4, gaussian: bool = False,
    max_batches: float = 1e6, dt: float | None = None, seed: int = 0, show_progress: bool | None = None,
) -> Validity:  # fmt: skip
    """Whether SGD near a minimum is the diffusion dX = -grad U dt + sqrt(2 T) sigma dW, assumption by assumption, each with its size.

    source: a `Network` at a minimum, with lr= and batch=, on which SGD, SVAG(amplification) and, with gaussian=True, gradient descent with Gaussian
    noise of the same covariance are run (which costs a pass over all data a step); or a run alone, a `Recording` or an array with dt=, of which
    only what a run can show is asked. Network: whether the center is a minimum; sharpness against 2/lr; the finite step and the epoch sampler (exact
    on the quadratic); variances against the diffusion and against exact discrete theory; stationarity; D and curvature along the run; kurtosis of
    the noise; variances of SGD over SVAG's and over those with Gaussian noise, both with independent batches. `ladder`: the table of all of them with SME-1,
    SME-2 and the Hessian-aware diffusion. Run: residuals of a fitted linear process, stationarity, confinement.

    With momentum SVAG(l) takes steps of lr/l² with 1 - mu over l, which keeps friction and temperature. max_batches: a replica's in all runs.
    Raises ValueError as `Subspace.local_model`, `train`, `linear` do, and for runs of more than max_batches. At or beyond the edge of stability only that is said. Source of
    the ladder: Li, Malladi, Arora, arXiv:2102.12470.
    """
    if not isinstance(source, Network):
        return _of_run(source, dt, seed)
    if lr is None or batch is None:
        raise ValueError(
            "got a Network alone, expected lr= and batch= too; type sgdyn.fit.validity(network, lr=0.1, batch=32)"
        )
    checks.positive("relaxations", relaxations)
    space = source.subspace(min(checks.count("k", k), source.dim))
    space.check_well()
    beyond = unstable(space, checks.positive("lr", lr), checks.positive("momentum", momentum, zero=True))
    if beyond is not None:
        return beyond
    experiment = Experiment.plan(
        source, space, lr, batch, momentum, sampler, replicas, relaxations, checks.count("amplification", amplification, least=2), seed, show_progress
    )  # fmt: skip
    affordable(experiment, gaussian, checks.positive("max_batches", max_batches))
    return assumptions(experiment, gaussian)


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
