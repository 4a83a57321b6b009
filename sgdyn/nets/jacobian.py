"""The Jacobian of a network's outputs as a linear operator."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator
from torch import Tensor
from torch.func import vjp

from sgdyn import checks
from sgdyn.nets.derivatives import Function, each
from sgdyn.nets.gauss_newton import outputs
from sgdyn.nets.network import Network
from sgdyn.nets.operators import NetworkOperator
from sgdyn.nets.selection import Filter
from sgdyn.nets.trees import Tree, take
from sgdyn.nets.vectors import numpy_of

Floats = NDArray[np.float64]


class Jacobian(LinearOperator):  # type: ignore[misc]
    """J (N outputs, p): the derivatives of all outputs of all samples, sample by sample; of one output only, if `output` says which.

    `J @ v`, `J.T @ u`, and `normal()`, J'J/N, which has eigenvalues, trace, density and the like.
    """

    def __init__(self, network: Network, output: int | None = None) -> None:
        with torch.no_grad():
            self.outputs = int(outputs(network, network.weights, take(network.x, slice(1))).numel())
        if output is not None and checks.count("output", output, least=0) >= self.outputs:
            raise ValueError(f"got output={output}, expected one of {self.outputs}, counted from 0")
        self.network, self.output = network, output
        self.width = self.outputs if output is None else 1
        super().__init__(np.float64, (network.n * self.width, network.dim))

    def of_weights(self, w: Tensor, x: Tree) -> Tensor:
        """The outputs (batch, width) of some samples at the weights w."""
        z = outputs(self.network, w, x)
        z = z.reshape(len(z), -1)
        return z if self.output is None else z[:, self.output : self.output + 1]

    def of_samples(self, x: Tree) -> Function:
        """The outputs of some samples as a function of the weights alone."""
        return lambda w: self.of_weights(w, x)

    def push(self, v: Tensor) -> Tensor:
        """J v (N, width) for a tensor v (p,)."""
        net = self.network
        return torch.cat([net.derivatives.along(self.of_samples(x), net.weights, v) for x, _ in net.batches()])

    def pull(self, u: Tensor) -> Tensor:
        """J'u (p,) for a tensor u (N, width)."""
        net = self.network
        total = torch.zeros_like(net.weights)
        for (x, _), part in zip(net.batches(), u.split(net.chunk), strict=True):
            total = (
                total + vjp(self.of_samples(x), net.weights)[1](part)[0]
            )  # not in place: vmap may have added an axis
        return total

    def _matvec(self, v: Floats) -> Floats:
        return numpy_of(self.push(torch.as_tensor(np.ravel(v)).to(self.network.weights)).flatten())

    def _rmatvec(self, u: Floats) -> Floats:
        return numpy_of(self.pull(torch.as_tensor(np.ravel(u)).to(self.network.weights).view(-1, self.width)))

    def dense(self) -> Floats:
        """The whole matrix (N outputs, p)."""
        net = self.network
        return numpy_of(torch.cat([self._rows(x) for x, _ in net.batches()]))

    def _rows(self, x: Tree) -> Tensor:
        """The rows (batch width, p) of some samples."""
        z, pull, *_ = vjp(self.of_samples(x), self.network.weights)
        units = torch.eye(z.numel(), dtype=z.dtype, device=z.device).view(-1, *z.shape)
        found: Tensor = each(lambda u: pull(u)[0], (0,))(units)
        return found

    def tangent_kernel(self) -> Floats:
        """J J' (N outputs, N outputs) of the whole Jacobian."""
        J = self.dense()
        return np.asarray(J @ J.T)

    def block(self, params: Filter) -> Jacobian:
        """The columns of some parameters (see `Network.block`)."""
        return self.network.block(params).jacobian(self.output)

    def normal(self) -> JacobianSquare:
        """J'J/N (p, p)."""
        return JacobianSquare(self)


class JacobianSquare(NetworkOperator):
    """J'J/N (p, p) of a Jacobian."""

    def __init__(self, jacobian: Jacobian) -> None:
        self.jacobian = jacobian
        super().__init__(jacobian.network)

    def on(self, network: Network) -> Self:
        """The same of another network."""
        other = super().on(network)
        other.jacobian = Jacobian(network, self.jacobian.output)
        return other

    def identity(self) -> dict[str, Any]:
        """Which outputs it is of, beside what any matrix of a network is known by."""
        return super().identity() | {"output": self.jacobian.output}

    def apply(self, v: Tensor) -> Tensor:
        """The product (p,) with a tensor v (p,)."""
        return self.jacobian.pull(self.jacobian.push(v)) / self.network.n
