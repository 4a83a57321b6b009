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
MOST = 16
"""Points at which D and the curvature are looked at, at least, and the curvature at most."""


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
    network: Network, space: Subspace, recording: Recording, variances: Estimate, kept: NDArray[np.bool_]
) -> tuple[Estimate, Estimate]:
    """(D, curvature) along the run over those at the center, less 1 (kept,), exactly at the last weights of replicas: no batch has its noise in them.

    Curvature: E[x_i dU/dx_i]/E[x_i²] of Gaussian coordinates of these variances, by Gauss and Hermite's three points for x_i; kinks are seen.
    """
    s, method = recording.settings, "at the last weights of {} replicas"
    count = int(np.clip(s.steps * s.batch * s.replicas // network.n, LEAST, s.replicas))
    center = centre(recording)
    D = [_noise(network, space, w, center) for w in recording.weights[:count]]
    noise = of_samples(np.array(D)[:, kept] / np.diag(space.D)[kept] - 1, method.format(count))
    fewer = int(np.clip(count // (2 * space.k), LEAST, min(MOST, s.replicas)))
    reach = np.sqrt(3 * np.maximum(variances.value, 0))
    H = [_curvatures(network, space, w, center, reach, np.flatnonzero(kept)) for w in recording.weights[:fewer]]
    found = of_samples(np.array(H) / np.diag(space.H)[kept] - 1, method.format(fewer))
    unsure = np.asarray(found.value) * (variances.error / np.where(kept, variances.value, 1.0))[kept]  # grows with x²
    return noise, Estimate(found.value, np.hypot(found.error, unsure), found.method)


def _noise(network: Network, space: Subspace, w: torch.Tensor, center: Floats) -> Floats:
    """Diagonal of D (k,), mean of that at weights w (p,) and at their mirror image about the center, which takes off what is odd and has no mean."""
    x = space.project(w.detach().double().cpu().numpy()) - center
    mirrored = w - torch.as_tensor(2 * space.basis @ x).to(w)
    squares = [network.at(each).noise().coordinates(space.basis) ** 2 for each in (w, mirrored)]
    return np.asarray(np.mean(squares, axis=(0, 1)))


def _curvatures(
    network: Network, space: Subspace, w: torch.Tensor, center: Floats, reach: Floats, kept: NDArray[np.int64]
) -> Floats:
    """(dU/dx_i at center + reach - that at center - reach)/(2 reach) (kept,), the other coordinates as at weights w (p,)."""
    x = space.project(w.detach().double().cpu().numpy()) - center

    def slope_at(i: int, to: float) -> float:
        v = space.basis[:, i]
        return float(v @ network.at(w + torch.as_tensor((to - x[i]) * v).to(w)).gradient())

    return np.array([(slope_at(i, reach[i]) - slope_at(i, -reach[i])) / (2 * reach[i]) for i in kept])
