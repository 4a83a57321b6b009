"""Matrices that are means over samples, kept by groups of samples, so that groups can be left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sgdyn.linalg.operators import SymmetricOperator
from sgdyn.linalg.spectra import Spectrum, rounding
from sgdyn.nets.moment_plans import DENSE, GRAM
from sgdyn.nets.network import Network
from sgdyn.nets.second_moments import SecondMoments
from sgdyn.nets.trees import take
from sgdyn.nets.vectors import TensorSpace, numpy_of

Floats = NDArray[np.float64]
Groups = NDArray[np.intp]

UNITS = 8.0
"""So many units in the last place a gradient, or an activation, is taken to be wrong by, relative to its length."""


class SampleMean(Protocol):
    """The eigenvalues of a mean over samples, largest first, with a group of samples left out; `size` rows; all of them, if `complete`."""

    @property
    def size(self) -> int: ...

    @property
    def method(self) -> str: ...

    @property
    def complete(self) -> bool: ...

    def eigenvalues(self, without: int | None = None) -> Floats: ...

    def floor(self, values: Floats) -> float:
        """By how much rounding may move the eigenvalues."""
        ...


@dataclass(frozen=True, eq=False)
class ByMatrix:
    """The means (g, w, w) over each group, with those of the rows (g, w) if the whole is centred; counts (g,)."""

    matrices: Floats
    counts: Floats
    eps: float
    means: Floats | None = None
    linear: bool = False
    method: str = "whole matrix"
    complete: bool = True

    @property
    def size(self) -> int:
        return int(self.matrices.shape[1])

    def eigenvalues(self, without: int | None = None) -> Floats:
        kept = np.arange(len(self.counts)) != (-1 if without is None else without)
        shares = self.counts[kept] / self.counts[kept].sum()
        total = np.tensordot(shares, self.matrices[kept], 1)
        if self.means is not None:
            between = self.means[kept] - shares @ self.means[kept]
            total += (between.T * shares) @ between
        return np.asarray(np.linalg.eigvalsh(total)[::-1])

    def floor(self, values: Floats) -> float:
        return rounding(values, self.eps) if self.linear else square_floor(values, self.eps)


@dataclass(frozen=True, eq=False)
class ByGram:
    """The inner products (m, m) of rows, and the groups (m,) of these; the mean over rows has `size` rows itself."""

    gram: Floats
    groups: Groups
    size: int
    eps: float
    centred: bool = False
    method: str = "Gram matrix"
    complete: bool = True

    def eigenvalues(self, without: int | None = None) -> Floats:
        kept = np.flatnonzero(self.groups != (-1 if without is None else without))
        gram = self.gram[np.ix_(kept, kept)]
        if self.centred:
            mean = gram.mean(0)
            gram += mean.mean() - mean - mean[:, None]
        rank = min(self.size, len(kept) - self.centred)
        return np.asarray(np.linalg.eigvalsh(gram)[::-1][:rank] / len(kept))

    def floor(self, values: Floats) -> float:
        return square_floor(values, self.eps)


@dataclass(frozen=True, eq=False)
class ByLanczos:
    """The k largest eigenvalues of an operator that a network has, found anew for each group that is left out."""

    make: Callable[[Network], SymmetricOperator]
    network: Network
    groups: Groups
    k: int
    method: str = "Lanczos"
    complete: bool = False

    @property
    def size(self) -> int:
        return self.network.dim

    def eigenvalues(self, without: int | None = None) -> Floats:
        rest = self.network if without is None else samples(self.network, self.groups != without)
        found: Spectrum = self.make(rest).top(min(self.k, self.size), show_progress=False)
        return found.values

    def floor(self, values: Floats) -> float:
        return max(rounding(values, TensorSpace(self.network.weights).eps), 1e-8 * float(values[0]))


def square_floor(values: Floats, eps: float) -> float:
    """The floor of a second moment R'R/m whose rows are right to `UNITS` eps of their lengths, summed in double precision.

    Singular values move by no more than the norm of what is added to R (Weyl), eigenvalues below its square mean nothing.
    """
    return rounding(values) + (UNITS * eps) ** 2 * float(np.abs(values).sum())


def samples(network: Network, kept: NDArray[np.bool_]) -> Network:
    """The same network with some of its samples."""
    rows = torch.as_tensor(np.flatnonzero(kept)).to(network.y.device)
    return network.over(take(network.x, rows), network.y[rows])


def of_rows(rows: Tensor, groups: Groups, eps: float) -> SampleMean:
    """R'R/N of rows R (N, w). Raises ValueError where both sides are too large."""
    n, width = rows.shape
    if min(n, width) > GRAM:
        raise ValueError(
            f"got {n} samples of width {width}, expected at most {GRAM} of one of them; type Network(model, loss, (x[:{GRAM}], y[:{GRAM}]))"
        )
    R = numpy_of(rows)
    if width > n:
        return ByGram(R @ R.T, groups, width, eps)
    parts = [R[groups == g] for g in range(groups.max() + 1)]
    counts = np.array([len(part) for part in parts], dtype=np.float64)
    return ByMatrix(np.stack([part.T @ part / len(part) for part in parts]), counts, eps)


def of_gradients(
    network: Network, groups: Groups, make: Callable[[Network], SecondMoments]
) -> ByMatrix | ByGram | None:
    """The second moment of the gradients of the samples by the whole matrix or by their inner products; None where both are too large."""
    p, n, eps = network.dim, network.n, TensorSpace(network.weights).eps
    if p <= min(n, DENSE):
        parts = [make(samples(network, groups == g)) for g in range(groups.max() + 1)]
        means = np.stack([numpy_of(part.mean) for part in parts]) if parts[0].centred else None
        counts = np.array([part.network.n for part in parts], dtype=np.float64)
        return ByMatrix(np.stack([part.dense() for part in parts]), counts, eps, means)
    if n > GRAM:
        return None
    whole = make(network)
    return ByGram(whole.gram() * n, groups, p, eps, whole.centred)


def of_operator(network: Network, groups: Groups, make: Callable[[Network], SymmetricOperator]) -> ByMatrix | None:
    """An operator that is a mean over samples by its whole matrix; None where that is too large."""
    if network.dim > DENSE:
        return None
    parts = [samples(network, groups == g) for g in range(groups.max() + 1)]
    counts = np.array([part.n for part in parts], dtype=np.float64)
    eps = TensorSpace(network.weights).eps
    return ByMatrix(np.stack([make(part).dense() for part in parts]), counts, eps, linear=True)
