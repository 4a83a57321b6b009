"""Hidden units of one network put into the order of another's: the same function, nearer by."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from torch import nn

from sgdyn import checks
from sgdyn.nets.network import Network

Floats = NDArray[np.float64]

POINTWISE = (
    nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign, nn.Tanh, nn.Sigmoid, nn.LogSigmoid,
    nn.Hardtanh, nn.ReLU6, nn.Hardswish, nn.Identity, nn.Flatten,
)  # fmt: skip
"""Layers through which a permutation of units goes unchanged (Flatten: as the first layer)."""
SWEEPS = 100


def aligned(network: Network, weights_a: ArrayLike, weights_b: ArrayLike) -> Floats:
    """The weights b (p,) with their hidden units permuted so that they lie as near to the weights a (p,) as sweeps of assignments bring them.

        P_l = argmax sum_ij P_ij <in_a(i), P_{l-1} in_b(j)> + <out_a(i), P_{l+1} out_b(j)>   layer by layer until no P_l changes

    in: a unit's incoming weights and bias, out: its outgoing weights. The network computes the same function at both, so that the loss is
    the same. With one hidden layer the permutation is the best of all; with more it is a local optimum. Signs, which tanh lets go over too, stay.

    Raises TypeError for models other than `nn.Sequential` of `nn.Linear` and pointwise nonlinearities, all of them trainable, ValueError for weights of
    another shape. Sources: Kuhn, Nav. Res. Logist. Q. 2, 83 (1955); Ainsworth, Hayase, Srinivasa, arXiv:2209.04836, algorithm 1.
    """
    layers = _linear_layers(network)
    a, b = (
        _blocks(layers, checks.vector(name, w, network.dim))
        for name, w in (("weights_a", weights_a), ("weights_b", weights_b))
    )
    moved = True
    for _ in range(SWEEPS):
        moved = False
        for k in range(len(layers) - 1):
            moved |= _assign(a, b, k)
        if not moved:
            break
    return np.concatenate([part.ravel() for block in b for part in _split(block)])


def _linear_layers(network: Network) -> list[nn.Linear]:
    """The linear layers in order. Raises TypeError for what the permutation cannot go through."""
    model = network.model
    if not isinstance(model, nn.Sequential):
        raise TypeError(
            f"got a model of type {type(model).__name__}, expected nn.Sequential of nn.Linear and pointwise nonlinearities"
        )
    for k, part in enumerate(model):
        if not isinstance(part, (nn.Linear, *POINTWISE)) or (isinstance(part, nn.Flatten) and k > 0):
            raise TypeError(
                f"got the layer {k}, {part}, expected nn.Linear or a pointwise nonlinearity such as nn.ReLU(): hidden units of others cannot be put into another order"
            )
    layers = [part for part in model if isinstance(part, nn.Linear)]
    if (
        not all(p.requires_grad for p in model.parameters())
        or sum(p.numel() for p in model.parameters()) != network.dim
    ):
        raise TypeError("got layers that are frozen or shared, expected one trainable set of weights for each")
    return layers


def _blocks(layers: list[nn.Linear], flat: Floats) -> list[tuple[Floats, Floats | None]]:
    """Weights (out, in) and biases (out,) of each layer, copied out of the flat vector."""
    found: list[tuple[Floats, Floats | None]] = []
    at = 0
    for layer in layers:
        shape = (layer.out_features, layer.in_features)
        W = flat[at : at + shape[0] * shape[1]].reshape(shape).copy()
        at += W.size
        bias = None if layer.bias is None else flat[at : at + shape[0]].copy()
        at += 0 if bias is None else shape[0]
        found.append((W, bias))
    return found


def _split(block: tuple[Floats, Floats | None]) -> list[Floats]:
    return [part for part in block if part is not None]


def _assign(a: list[tuple[Floats, Floats | None]], b: list[tuple[Floats, Floats | None]], k: int) -> bool:
    """Permute the units between the layers k and k + 1 of b in the best way for all others as they are; whether any moved."""
    (W, bias), (V, after) = b[k], b[k + 1]
    likeness = a[k][0] @ W.T + a[k + 1][0].T @ V
    own = a[k][1]
    if bias is not None and own is not None:
        likeness = likeness + np.outer(own, bias)
    order = linear_sum_assignment(likeness, maximize=True)[1]
    gain = likeness[np.arange(len(order)), order].sum() - np.trace(likeness)
    if gain <= 1e-12 * np.abs(likeness).sum():
        return False
    b[k], b[k + 1] = (W[order], None if bias is None else bias[order]), (V[:, order], after)
    return True
