"""The noise of labels that are drawn anew at every step, and where it drives SGD."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import vjp

from sgdyn import checks
from sgdyn.estimate import Estimate
from sgdyn.nets.dependence import data_loss
from sgdyn.nets.gauss_newton import GaussNewton, outputs
from sgdyn.nets.network import Network
from sgdyn.nets.trees import Tree, take


class LabelNoiseCovariance(GaussNewton):
    """D_label = (1/N) sum_i J_i' C_i J_i (p, p): what random labels add to the covariance D of single samples' gradients.

    C_i is the covariance of the slope of the loss in the outputs. Square loss, targets y + sigma z: C = (2 sigma/m)² for the mean over m
    outputs, so that D_label = (2 sigma²/m) G, G the Gauss-Newton matrix, the Hessian at interpolation (sigma² H for losses of half the
    squares). Cross-entropy, labels replaced by one of the others with probability q: C = diag(pi) - pi pi', pi = 1 - q for the label and
    q/(classes - 1) for the others. Labels are drawn anew for every use; the covariance of a batch is (c D + D_label)/B, c as ever, D of the
    gradients averaged over labels.
    """

    def __init__(self, network: Network, *, sigma: float | None = None, flips: float | None = None) -> None:
        bare = network.at(network.weights)
        bare.weight_decay = 0.0
        super().__init__(bare)
        with torch.no_grad():
            z = outputs(bare, bare.weights, take(bare.x, slice(1)))
        self.sigma, self.flips = _admitted(bare, z, sigma, flips)
        self.outputs = z[0].numel()

    def _batch(self, x: Tree, y: Tensor, v: Tensor) -> Tensor:
        net = self.network
        _, pull, *_ = vjp(lambda w: outputs(net, w, x), net.weights)
        along = net.derivatives.along(lambda w: outputs(net, w, x), net.weights, v)
        found: Tensor = pull(self._spread(along, y))[0]
        return found

    def _spread(self, along: Tensor, y: Tensor) -> Tensor:
        """C_i times the change of the outputs of each sample."""
        if self.sigma is not None:
            return (2 * self.sigma / self.outputs) ** 2 * along
        assert self.flips is not None
        other = self.flips / (self.outputs - 1)
        labelled = y[:, None] == torch.arange(self.outputs, device=y.device)
        pi = other + (1 - self.flips - other) * labelled.to(along.dtype)
        return pi * along - pi * (pi * along).sum(1, keepdim=True)

    def regulariser(self, *, lr: float, batch: int, **options: Any) -> Estimate:
        """What SGD with this label noise minimises besides the loss, on the set of interpolating weights (options: those of `density`).

            R = -(s/2B) tr log(1 - lr G/2),   s = 2 sigma²/m;   (lr s/4B) tr H to leading order in lr

        SGD that fluctuates about the manifold L = 0 moves along it by -lr grad R a step. Square loss only. The error is that of the sum over
        eigenvalues; a note where the loss is not small against the noise of the labels, so that G is not the Hessian. Raises ValueError
        for lr beyond stability, 2/h_max. Sources: Blanc, Gupta, Valiant, Valiant, arXiv:1904.09080 (tr H); Damian, Ma, Lee,
        arXiv:2106.06530 (this form, for losses of half the squares with lambda = lr sigma²/B); derived in docs/theory.md.
        """
        if self.sigma is None:
            raise ValueError(
                "got flipped labels, expected square loss: for cross-entropy D_label is not proportional to H; type sigma= with nn.MSELoss"
            )
        lr, batch = checks.positive("lr", lr), checks.count("batch", batch)
        s = 2 * self.sigma**2 / self.outputs
        density = self.density(**options)
        if lr * density.highest >= 2 * s:
            raise ValueError(
                f"got lr={lr:g}, expected lr < 2/h_max = {2 * s / density.highest:.4g}: SGD itself diverges"
            )
        found = density.sum(lambda v: -s / (2 * batch) * np.log1p(-0.5 * lr * np.minimum(v / s, 2 / lr * (1 - 1e-12))))
        loss = data_loss(self.network)
        far = (
            f"the loss {loss:.3g} is not small against the variance {self.sigma**2:.3g} of the labels: no interpolation"
        )
        return Estimate(found.value, found.error, found.method, warnings=(far,) if loss > 0.1 * self.sigma**2 else ())


def label_noise(network: Network, *, sigma: float | None = None, flips: float | None = None) -> LabelNoiseCovariance:
    """The covariance that random labels add to the gradients, as a linear operator (p, p): one of

    sigma: the standard deviation of normal (or any independent) noise on the targets, for `nn.MSELoss`. flips: the probability in (0, 1) that a
    label is replaced by one of the other classes, all alike, for `nn.CrossEntropyLoss` with class numbers.

    Raises ValueError for other losses, for both or none, and for label smoothing.
    """
    return LabelNoiseCovariance(network, sigma=sigma, flips=flips)


def _admitted(network: Network, z: Tensor, sigma: Any, flips: Any) -> tuple[float | None, float | None]:
    if (sigma is None) == (flips is None):
        raise ValueError(
            "got both or none of sigma and flips, expected one; type sigma=0.1 for square loss, flips=0.1 for cross-entropy"
        )
    kind = nn.MSELoss if flips is None else nn.CrossEntropyLoss
    if not isinstance(network.loss, kind) or getattr(network.loss, "label_smoothing", False):
        raise ValueError(
            f"got {network.loss if isinstance(network.loss, nn.Module) else 'a function'} as loss, expected {kind.__name__}() for {'sigma' if flips is None else 'flips'}"
        )
    if flips is None:
        return checks.positive("sigma", sigma), None
    share = checks.positive("flips", flips)
    if share >= 1 or z.ndim != 2 or network.y.is_floating_point():
        raise ValueError(
            f"got flips={share:g}, outputs of shape {tuple(z.shape)} and targets of type {network.y.dtype}, expected a number in (0, 1), outputs (batch, classes) and class numbers"
        )
    return None, share
