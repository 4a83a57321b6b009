"""What the landscape is where a run has been: slope at the center, curvature and noise along the run."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from sgdyn.estimate import Estimate, of_samples
from sgdyn.fit.findings import Finding
from sgdyn.nets.network import Network
from sgdyn.nets.recording import Recording
from sgdyn.nets.subspace import Subspace
from sgdyn.steady.discrete import DiscreteSGD

Floats = NDArray[np.float64]

LEAST = 8
"""Points at which D and the curvature are looked at."""


def slope(network: Network, discrete: DiscreteSGD, space: Subspace, noisy: NDArray[np.bool_]) -> Finding:
    """|grad U| at the center over the slopes (H S H)^{1/2} that noise leads to: along each direction, and beside the subspace over all of them."""
    gradient = network.gradient()
    inside = space.basis.T @ gradient
    squares = np.diag(space.H @ discrete.covariance @ space.H)
    outside = float(np.linalg.norm(gradient - space.basis @ inside)) / float(np.sqrt(squares.sum()))
    within = float(np.max(np.abs(inside[noisy]) / np.sqrt(squares[noisy])))
    size = Estimate(max(within, outside), 0.0, f"exact, |grad U| = {space.gradient:.2g}")
    return Finding(
        "minimum", size, 0.5, "slope at the center over the slopes that noise carries SGD to: the center is no minimum"
    )


def centre(recording: Recording) -> Floats:
    """The mean of x (k,), with the quadratic model as control variate, whose mean is 0."""
    return np.asarray((recording.x - recording.shadow).mean(axis=(0, 1)))


def along(
    network: Network, space: Subspace, recording: Recording, kept: NDArray[np.bool_]
) -> tuple[Estimate, Estimate]:
    """(D, curvature) along the run over those at the center, less 1 (kept,), exactly at the last weights of each replica: no batch has its noise in them.

    Curvature: E[x_i dU/dx_i]/E[x_i²], x_i about its mean, from the slopes at x_i and -x_i: those of Gaussian coordinates, kinks included.
    """
    s = recording.settings
    center = centre(recording)
    count = int(np.clip(s.steps * s.batch * s.replicas // (network.n * (space.k + 3)), LEAST, s.replicas))
    points = [_at(network, space, w, center, np.flatnonzero(kept)) for w in recording.weights[:count]]
    D, turned, squares = (np.array(part)[:, kept] for part in zip(*points, strict=True))
    F = turned.mean(axis=0) / squares.mean(axis=0)
    influence = F + (turned - F * squares) / squares.mean(axis=0)
    method = f"at {count} points of the run"
    exact = np.diag(space.D)[kept], np.diag(space.H)[kept]
    return of_samples(D / exact[0] - 1, method), of_samples(influence / exact[1] - 1, method)


def _at(
    network: Network, space: Subspace, w: torch.Tensor, center: Floats, kept: NDArray[np.int64]
) -> tuple[Floats, Floats, Floats]:
    """Diagonal of D, x (slope at x - slope at -x)/2, and x² (k,) at weights w (p,)."""
    here = network.at(w)
    samples, gradient = here.noise().coordinates(space.basis), here.gradient()
    x = space.project(w.detach().double().cpu().numpy()) - center
    turned = np.zeros_like(x)
    for i in kept:
        v = space.basis[:, i]
        mirrored = network.at(w - 2 * x[i] * torch.as_tensor(v).to(w)).gradient()
        turned[i] = 0.5 * x[i] * float(v @ (gradient - mirrored))
    return np.mean(samples**2, axis=0), turned, x**2
