"""Whether the diffusion may be trusted for a network or a run: every assumption of it with a size, and one verdict."""

from __future__ import annotations

import inspect
from typing import Any

from sgdyn import checks
from sgdyn.fit.findings import Validity
from sgdyn.fit.ladders import Experiment, affordable, assumptions, unstable
from sgdyn.fit.run_assumptions import of_run
from sgdyn.nets.network import Network
from sgdyn.nets.recording import Recording


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
    SME-2 and the Hessian-aware diffusion. Run: residuals of a fitted linear process (their own past, what they add up to, kurtosis), sharpness against 2/lr
    or a mode that alternates, confinement, halves of the run against each other, balance, and what batches that go through the data in turn do.

    With momentum SVAG(l) takes steps of lr/l² with 1 - mu over l, which keeps friction and temperature. max_batches: a replica's in all runs.
    Raises ValueError as `Subspace.local_model` and `train` do, for runs of more than max_batches, for options that have no effect, and for coordinates of a
    run that are constant or combinations of others. At or beyond the edge of stability only that is said. Source of the ladder: Li, Malladi, Arora,
    arXiv:2102.12470.
    """
    _refuse_unused(dict(locals()))
    if not isinstance(source, Network):
        return of_run(source, dt, seed)
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


def _refuse_unused(given: dict[str, Any]) -> None:
    """Raises ValueError for options that have no effect on this kind of source."""
    of_network = isinstance(given["source"], Network)
    without = {"dt"} if of_network else set(given) - {"source", "dt", "seed", "show_progress"}
    defaults = {name: each.default for name, each in inspect.signature(validity).parameters.items()}
    unused = [name for name in given if name in without and given[name] is not defaults[name] and given[name] != defaults[name]]  # fmt: skip
    if unused:
        kind = "Network, whose time is lr for each step" if of_network else "run that is there already"
        raise ValueError(f"got {', '.join(f'{name}=' for name in unused)} with a {kind}, expected none; leave it out")
