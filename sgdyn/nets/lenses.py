"""What a run is seen through: coordinates, and the quadratic model there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from sgdyn import checks
from sgdyn.nets.network import Network
from sgdyn.nets.schemes import Pull
from sgdyn.nets.subspace import Subspace


@dataclass(frozen=True, eq=False)
class Lens:
    """What a run is seen through: coordinates V'(w - center), and the quadratic model there."""

    center: Tensor
    basis: Tensor
    H: Tensor
    samples: Tensor
    subspace: str = ""

    @classmethod
    def of(cls, network: Network, record: Subspace | ArrayLike | None) -> Lens:
        like = network.weights
        if isinstance(record, Subspace):
            parts = [torch.as_tensor(part).to(like) for part in (record.center, record.basis, record.H, record.samples)]
            return cls(parts[0], parts[1], parts[2], parts[3], record.digest())
        basis = np.zeros((network.dim, 0)) if record is None else checks.finite("record", record)
        if basis.ndim != 2 or len(basis) != network.dim:
            raise ValueError(f"got record of shape {basis.shape}, expected a Subspace or a basis ({network.dim}, k)")
        return cls(
            like, torch.as_tensor(basis).to(like), torch.zeros((0, 0)).to(like), torch.zeros((network.n, 0)).to(like)
        )

    @cached_property
    def _rows(self) -> Tensor:
        return self.basis.T.contiguous()

    def seen(self, v: Tensor) -> Tensor:
        """V'v of vectors (replica, p). Products from this side take a fifth of the time of v @ V on a CPU."""
        return (self._rows @ v.T).T

    def coordinates(self, w: Tensor) -> Tensor:
        return self.seen(w - self.center)

    def shadow_gradient(self, y: Tensor, pull: Pull) -> Tensor:
        """What the quadratic model at y (replica, k) is moved by, with the noise of a pull."""
        if not len(self.H):
            return y
        slope = y @ self.H + pull.mean(self.samples)
        return slope if pull.kick is None else slope + self.seen(pull.kick)
