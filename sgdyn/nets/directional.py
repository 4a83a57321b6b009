"""Derivatives of single samples' losses along a few directions, at many weights at once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from sgdyn.linalg.spaces import BLOCK
from sgdyn.nets.derivatives import Derivatives, Function, slope_of
from sgdyn.nets.network import Network
from sgdyn.nets.trees import Tree, take

CHECKED = 4
"""So many samples decide how to differentiate."""


def first(derivatives: Derivatives, function: Function, w: Tensor, basis: Tensor) -> Tensor:
    """v_i . grad of function (p,) -> (m,) at w for the rows v_i of basis (k, p), as (m, k)."""
    return torch.stack([derivatives.along(function, w, v) for v in basis], -1)


def second(derivatives: Derivatives, function: Function, w: Tensor, basis: Tensor) -> Tensor:
    """v_i' Hessian v_j of function (p,) -> (m,) at w, as (m, k, k)."""
    k = len(basis)
    found: dict[tuple[int, int], Tensor] = {}
    for i in range(k):
        slope: Function = lambda u, i=i: derivatives.along(function, u, basis[i])  # type: ignore[misc]  # noqa: E731
        for j in range(i, k):
            found[i, j] = found[j, i] = derivatives.along(slope, w, basis[j])
    return torch.stack([torch.stack([found[i, j] for j in range(k)], -1) for i in range(k)], -2)


def third(derivatives: Derivatives, function: Function, w: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """The third derivative of the sum of function (p,) -> (m,) at w, contracted with u and v, as (p,).

    Raises ValueError where torch has first derivatives only.
    """
    if derivatives.difference:
        raise ValueError(
            "got a model whose layers torch differentiates once only, expected third derivatives; type cubic=False, or loss='exact'"
        )
    if derivatives.forward:
        return derivatives.along(lambda a: derivatives.curvature(function, a, u), w, v)
    return slope_of(lambda a: derivatives.curvature(function, a, u) @ v)(w)


def projected(vectors: Tensor, basis: Tensor) -> Tensor:
    """vectors (..., p) times the rows of basis (k, p), as (..., k) in double precision, blocks of long sums at a time."""
    total = torch.zeros((*vectors.shape[:-1], len(basis)), dtype=torch.float64, device=vectors.device)
    for start in range(0, basis.shape[1], BLOCK):
        part = slice(start, start + BLOCK)
        total += vectors[..., part].double() @ basis[:, part].double().T
    return total


class Together:
    """A function of one weight vector (p,), at many (n, p): by `torch.vmap` where it then gives what it gives alone, else one by one.

    vmap refuses some layers (LSTM, for one), and in torch 2.13 is silently wrong for forward over reverse mode through layer norm: the first
    two weight vectors are therefore evaluated both ways.
    """

    def __init__(self) -> None:
        self._trusted: dict[str, bool] = {}

    def __call__(self, name: str, function: Callable[[Tensor], Any], W: Tensor) -> Tensor:
        """The function at the rows of W; `name` stands for it from call to call."""
        if len(W) > 1 and name not in self._trusted:
            self._trusted[name] = _agrees(function, W[:2])
        if len(W) > 1 and self._trusted[name]:
            together: Tensor = vmap(function)(W)
            return together
        return torch.stack([function(w) for w in W])


def _agrees(function: Callable[[Tensor], Tensor], W: Tensor) -> bool:
    alone = torch.stack([function(w) for w in W])
    try:
        together = vmap(function)(W)
    except RuntimeError:
        return False
    tolerance = 100 * float(torch.finfo(W.dtype).eps) ** 0.75
    finite = alone[torch.isfinite(alone)]
    return (
        bool(torch.allclose(together, alone, rtol=0.0, atol=tolerance * float(finite.abs().max()), equal_nan=True))
        if finite.numel()
        else False
    )


def with_second(network: Network, basis: Tensor) -> Network:
    """The network with such ways of differentiation that `second`, summed over samples, is the projected Hessian.

    Raises ValueError if there are none. In torch 2.13 forward over forward mode is wrong for fused layer norm.
    """

    def agrees(other: Network, x: Tree, y: Tensor) -> bool:
        found = second(other.derivatives, other.of_weights(x, y), other.weights, basis).sum(0)
        return _close(found, _hessian(network, x, y, basis), 0.75)

    return _with(network, agrees, "second derivatives of single samples")


def with_third(network: Network, basis: Tensor) -> Network:
    """The network with such ways of differentiation that `third` is the difference of products with Hessians.

    Raises ValueError if there are none. Where the loss has kinks (ReLU), short steps that meet none decide.
    """

    def agrees(other: Network, x: Tree, y: Tensor) -> bool:
        v, w = basis[0], other.weights
        products = network.of_weights(x, y)
        found = third(other.derivatives, other.of_weights(x, y), w, v, v)
        for step in STEPS:
            h = step * float(torch.finfo(w.dtype).eps) ** (1 / 3)
            ends = (network.derivatives.curvature(products, w + sign * h * v, v) for sign in (1, -1))
            rough = next(ends).double() - next(ends).double()
            noise = float(torch.finfo(w.dtype).eps) * float(network.derivatives.curvature(products, w, v).norm())
            if float((2 * h * found - rough).norm()) <= 0.02 * float(rough.norm()) + 10 * noise:
                return True
        return False

    return _with(network, agrees, "third derivatives")


STEPS = (1.0, 10.0, 0.1)
"""Lengths of the steps of differences, in units of eps^(1/3)."""


def _with(network: Network, agrees: Callable[[Network, Tree, Tensor], bool], what: str) -> Network:
    d = network.derivatives
    x, y = take(network.x, slice(CHECKED)), network.y[:CHECKED]
    for ways in (d, replace(d, plain_norms=True), replace(d, forward=False, plain_norms=True)):
        other = copy.copy(network)
        other.derivatives = ways
        try:
            if agrees(other, x, y):
                return other
        except RuntimeError:
            continue
    raise ValueError(
        f"got a model whose {what} torch gets wrong or has not, expected layers that can be differentiated so often; type noise='exact' and loss='exact', which need fewer"
    )


def _hessian(network: Network, x: Tree, y: Tensor, basis: Tensor) -> Tensor:
    """V' H V of the sum of these samples' losses, by products with the Hessian."""
    losses = network.of_weights(x, y)
    return projected(torch.stack([network.derivatives.curvature(losses, network.weights, v) for v in basis]), basis)


def _close(found: Tensor, expected: Tensor, power: float) -> bool:
    tolerance = 100 * float(torch.finfo(found.dtype).eps) ** power
    return bool((found - expected).abs().max() <= tolerance * expected.abs().max())
