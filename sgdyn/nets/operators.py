"""What all matrices of a network have in common: tensors inside, NumPy outside."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from sgdyn.linalg.operators import SymmetricOperator
from sgdyn.linalg.plans import Cost
from sgdyn.linalg.probes import normals
from sgdyn.linalg.spaces import Space
from sgdyn.nets.derivatives import each
from sgdyn.nets.identity import identity
from sgdyn.nets.network import Network
from sgdyn.nets.prices import measured, scaled
from sgdyn.nets.selection import Filter
from sgdyn.nets.traceless import digest
from sgdyn.nets.trees import leaves
from sgdyn.nets.vectors import TensorSpace, numpy_of

Floats = NDArray[np.float64]

TOGETHER = 32
"""So many columns are multiplied at once by `torch.vmap`."""
BUDGET = 2e9
"""Bytes that an operator may keep to be quicker, unless told otherwise."""


class NetworkOperator(SymmetricOperator, ABC):
    """A symmetric matrix (p, p) of a network, by its products with tensors (`apply`)."""

    def __init__(self, network: Network) -> None:
        self.network = network
        LinearOperator.__init__(self, np.float64, (network.dim, network.dim))

    @property
    def space(self) -> Space:
        """Tensors like the network's weights."""
        return TensorSpace(self.network.weights)

    @abstractmethod
    def apply(self, v: Tensor) -> Tensor:
        """The product (p,) with a tensor v (p,)."""

    def fresh(self, v: Tensor) -> Tensor:
        """The product by what `torch.vmap` can take."""
        return self.apply(v)

    def _matvec(self, v: Floats) -> Floats:
        return numpy_of(self.apply(torch.as_tensor(np.ravel(v)).to(self.network.weights)))

    def _matmat(self, V: Floats) -> Floats:
        columns = torch.as_tensor(np.ascontiguousarray(V.T)).to(self.network.weights)
        together = each(self.fresh, (0,))
        return numpy_of(torch.cat([together(part) for part in columns.split(TOGETHER)]).T)

    def on(self, network: Network) -> Self:
        """The same kind of matrix, with the same settings, of another network."""
        other = copy.copy(self)
        for name in [name for name in vars(self) if isinstance(getattr(type(self), name, None), cached_property)]:
            del other.__dict__[name]
        other.network, other.shape = network, (network.dim, network.dim)
        return other

    def block(self, params: Filter) -> Self:
        """The diagonal block of some parameters, given by patterns of names ("fc1.*") or a function (name, parameter) -> bool."""
        return self.on(self.network.block(params))

    def few(self) -> tuple[Self, float]:
        """The same matrix of one batch, and how many such batches there are."""
        net = self.network
        x, y = next(net.batches())
        return self.on(net.over(x, y)), len(net.y) / len(y)

    def price(self, kind: str) -> Cost:
        """Seconds and operations of a "product" or of one "column" among several, as one batch says, or of dense "algebra"."""
        if kind == "algebra":
            return super().price(kind)
        few, batches = self.few()
        few.prepare()
        device = self.network.weights.device
        if kind == "column":
            V = np.random.default_rng(0).standard_normal((self.network.dim, TOGETHER))
            return scaled(measured(lambda: few._matmat(V), device), batches / TOGETHER)
        v = normals(few.space, np.random.default_rng(0))
        few.apply(v)  # keeps what it keeps
        return scaled(measured(lambda: few.apply(v), device), batches)

    def identity(self) -> dict[str, Any]:
        """By what a checkpoint knows the operator again: kind, weights, data, and what `train` knows a network by."""
        net = self.network
        own = {
            "operator": type(self).__name__,
            "size": net.dim,
            "weights": digest(net.weights),
            "weight_decay": net.weight_decay,
        }
        return own | {"data": digest(*leaves((net.x, net.y)))} | identity(net)

    def notes(self) -> tuple[str, ...]:
        """What makes the products less certain than rounding says."""
        if self.network.derivatives.difference:
            return ("derivatives by differences: about 9 digits in double precision, 4 in single",)
        return ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shape[0]} parameters, {self.network.n} samples)"
