"""The Fisher matrix of a network in three forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sgdyn import checks
from sgdyn.nets.gauss_newton import GaussNewton, outputs
from sgdyn.nets.network import Network
from sgdyn.nets.operators import BUDGET
from sgdyn.nets.second_moments import SecondMoments
from sgdyn.nets.trees import mapped, take

KINDS = ("true", "monte carlo", "empirical")
LIKELIHOODS = "CrossEntropyLoss, BCEWithLogitsLoss, MSELoss or PoissonNLLLoss"


class EmpiricalFisher(SecondMoments):
    """(1/N) sum_i g_i g_i' (p, p) with the labels of the data: D plus g g'; not the Fisher matrix, except where the model is true."""


class MonteCarloFisher(SecondMoments):
    """(1/NM) sum g g' (p, p) over M draws of a label for each sample from the model itself: the Fisher matrix on average.

    labels: those that were drawn, sample by sample, M in turn.
    """

    def __init__(
        self, network: Network, *, draws: int = 1, seed: int | np.random.SeedSequence | None = 0, **options: Any
    ) -> None:
        _refuse_other_losses(network)
        checks.count("draws", draws)
        rng = np.random.default_rng(checks.seed_sequence(seed))
        self.labels = torch.cat([drawn_labels(network, rng) for _ in range(draws)])
        x = mapped(lambda part: part.repeat(draws, *[1] * (part.ndim - 1)), network.x)
        super().__init__(network.over(x, self.labels), **options)


class TrueFisher(GaussNewton):
    """E g g' (p, p) over labels from the model itself, exactly.

    For losses that are negative log-likelihoods in their natural parameters it is the Gauss-Newton matrix, over M where the loss of a sample is the
    mean over M labels, each drawn by itself (squares: their variance M/2 makes the mean a log-likelihood). Weight decay is left out.
    Source: Martens, arXiv:1412.1193, section 9.2.
    """

    def __init__(self, network: Network) -> None:
        _refuse_other_losses(network)
        bare = network.at(network.weights)
        bare.weight_decay = 0.0
        super().__init__(bare)
        self.labels = _labels_of_a_sample(network)

    def apply(self, v: Tensor) -> Tensor:
        """The product (p,) with a tensor v (p,)."""
        return super().apply(v) / self.labels


def fisher_of(network: Network, kind: str = "true", **options: Any) -> TrueFisher | MonteCarloFisher | EmpiricalFisher:
    """The Fisher matrix of that kind: "true", "monte carlo" (options: draws, seed) or "empirical"."""
    if kind == "true":
        return TrueFisher(network, **options)
    if kind == "monte carlo":
        return MonteCarloFisher(network, **options)
    if kind == "empirical":
        return EmpiricalFisher(network, **{"budget": BUDGET, **options})
    raise ValueError(f"got kind={kind!r}, expected {', '.join(map(repr, KINDS))}")


def _labels_of_a_sample(network: Network) -> int:
    """How many labels the loss of a sample is the mean of; 1 for squares."""
    if isinstance(network.loss, nn.MSELoss):
        return 1
    with torch.no_grad():
        z = outputs(network, network.weights, take(network.x, slice(1)))
    return int(z.numel() // (z.shape[1] if isinstance(network.loss, nn.CrossEntropyLoss) else 1))


def _refuse_other_losses(network: Network) -> None:
    """Only losses whose likelihood is known."""
    loss = network.loss
    known = isinstance(loss, nn.CrossEntropyLoss | nn.BCEWithLogitsLoss | nn.MSELoss | nn.PoissonNLLLoss)
    if not known:
        name = type(loss).__name__ if isinstance(loss, nn.Module) else "a function"
        raise ValueError(
            f"got {name} as loss, expected one whose likelihood is known ({LIKELIHOODS}); type kind='empirical', or gauss_newton()"
        )
    if (
        getattr(loss, "label_smoothing", 0.0)
        or not getattr(loss, "log_input", True)
        or getattr(loss, "pos_weight", None) is not None
    ):
        raise ValueError(
            f"got {loss}, which is no negative log-likelihood, expected it without label smoothing and weights and with log_input; type gauss_newton()"
        )
    if isinstance(loss, nn.CrossEntropyLoss) and network.y.is_floating_point():
        raise ValueError("got class probabilities as targets, expected class numbers; type gauss_newton()")


def drawn_labels(network: Network, rng: np.random.Generator) -> Tensor:
    """One label for each sample from the model's own distribution."""
    with torch.no_grad():
        z = network.gathered(torch.cat([outputs(network, network.weights, x) for x, _ in network.batches()]))
    numbers = _labels(network.loss, z.double().cpu(), rng)[network.own]
    return torch.as_tensor(numbers).to(device=z.device, dtype=network.y.dtype)


def _labels(loss: Any, z: Tensor, rng: np.random.Generator) -> Any:
    if isinstance(loss, nn.CrossEntropyLoss):
        steps = torch.softmax(z, 1).cumsum(1).numpy()
        u = rng.random((len(z), 1, *z.shape[2:]))
        return np.minimum((u > steps).sum(1), z.shape[1] - 1)
    if isinstance(loss, nn.BCEWithLogitsLoss):
        return (rng.random(z.shape) < torch.sigmoid(z).numpy()).astype(float)
    if isinstance(loss, nn.PoissonNLLLoss):
        return rng.poisson(torch.exp(z).numpy()).astype(float)
    count = z[0].numel()  # the loss of a sample is the mean over its outputs, so their variance is half their number
    return z.numpy() + np.sqrt(count / 2) * rng.standard_normal(z.shape)
