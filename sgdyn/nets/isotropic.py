"""Data without structure for a network: the same second moment in all directions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sgdyn.nets.fisher import drawn_labels
from sgdyn.nets.network import Network

KINDS = ("gaussian", "whitened")
NULL = 1e-10
"""Directions of the data with less than this share of the largest second moment are left out of whitening."""


def isotropic_network(network: Network, kind: str = "gaussian", seed: int = 0) -> Network:
    """The same network on isotropic inputs: normal ones, whose second moment is (tr/d) times the unit matrix on average, or the data whitened.

    Whitened: x S^{-1/2} for the second moment S (no mean is subtracted), with the trace of S. Labels are drawn from the model itself; those
    of the data stay where the loss is no likelihood. Raises ValueError for inputs that are not one tensor of numbers.
    """
    if kind not in KINDS:
        raise ValueError(f"got null={kind!r}, expected {', '.join(map(repr, KINDS))} or None")
    if not isinstance(network.x, Tensor) or not network.x.is_floating_point():
        raise ValueError("got inputs that are not one tensor of numbers, which have no isotropic form; type null=None")
    flat = network.x.flatten(1)
    rng = np.random.default_rng([seed, 2])
    x = _gaussian(flat, rng) if kind == "gaussian" else _whitened(flat)
    other = network.over(x.to(network.x.dtype).view_as(network.x), network.y)
    try:
        return other.over(other.x, drawn_labels(other, rng))
    except ValueError:
        return other


def _gaussian(x: Tensor, rng: np.random.Generator) -> Tensor:
    scale = float(x.double().square().mean().sqrt())
    return torch.as_tensor(scale * rng.standard_normal(tuple(x.shape))).to(x.device)


def _whitened(x: Tensor) -> Tensor:
    """sqrt(tr S/rank) U V' of the data U s V'."""
    u, s, v = torch.linalg.svd(x.double(), full_matrices=False)
    kept = s.square() > NULL * s.square().max()
    white: Tensor = (u[:, kept] @ v[kept]) * (s.square().sum() / kept.sum()).sqrt()
    return white
