"""Spectra of second moments from the inner products of the gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh
from torch import Tensor

from sgdyn.linalg.densities import SpectralDensity
from sgdyn.linalg.spaces import orthonormal
from sgdyn.linalg.spectra import Spectrum, rounding
from sgdyn.nets.vectors import numpy_of
from sgdyn.storage import Folder

if TYPE_CHECKING:
    from sgdyn.nets.second_moments import SecondMoments

Floats = NDArray[np.float64]

NULL = 1e-12
"""Eigenvalues below this, relative to the largest, are rounding: their vectors G'u are noise."""


def whole_gram(operator: SecondMoments, checkpoint: str | Path | None = None) -> Tensor:
    """g_i . g_j (N, N), of centred gradients if they are had one by one; what is there of it is written into a folder from time to time."""
    folder = Folder(checkpoint, lambda: operator.identity() | {"question": "gram"}, "question", "files")
    like = operator.network.weights
    total = torch.zeros((operator.network.n,) * 2, dtype=torch.float64, device=like.device)
    index = folder.index()
    done = 0
    if index is not None:
        done, key = index["files"]
        total = torch.as_tensor(folder.load(f"gram-{done}.npz", key)["total"]).to(like.device)
    for number, add in enumerate(_parts(operator, total), 1):
        if number > done:
            add()
            if folder.due():
                _save(folder, number, total)
    if operator.source.possible:
        total.tril_()
        total += total.tril(-1).T
    return total


def _save(folder: Folder, number: int, total: Tensor) -> None:
    """Write the matrix under a new name, and remove the old one when the index names the new."""
    old = [part for part in folder.path.glob("gram-*.npz") if part.name != f"gram-{number}.npz"]
    folder.save_index({"files": [number, folder.save(f"gram-{number}.npz", {"total": numpy_of(total)})]})
    for part in old:
        part.unlink(missing_ok=True)


def _parts(operator: SecondMoments, total: Tensor) -> Iterator[Callable[[], None]]:
    """What is to be added, one after the other: layers, into the lower triangle, or else blocks of rows."""
    if operator.source.possible:
        for group in operator.source.groups(operator.budget):
            for piece in group.pieces:
                yield partial(piece.add_gram, total)
        return
    i = 0
    for left in operator.rows():
        yield partial(_fill, operator, left, total[i : i + len(left)])
        i += len(left)


def _fill(operator: SecondMoments, left: Tensor, rows: Tensor) -> None:
    j = 0
    for right in operator.rows():
        rows[:, j : j + len(right)] = left.double() @ right.double().T
        j += len(right)


def by_gram(operator: SecondMoments, k: int, checkpoint: str | Path | None = None) -> Spectrum:
    """Eigenvectors G'u/sqrt(N value) from those u of the Gram matrix, completed in the null space."""
    gram = operator.gram_tensor(checkpoint)
    values, u = _largest(gram, k)
    small = np.linalg.norm(numpy_of(gram @ torch.as_tensor(u).to(gram)) - u * values, axis=0)
    del gram
    kept = values > NULL * values[0]
    values = np.where(kept, values, 0.0)
    filling = torch.Generator().manual_seed(0)
    columns = (_vector(operator, u[:, j] if kept[j] else None, filling) for j in range(k))
    rows, _ = orthonormal(operator.space, columns, k)
    residuals = np.maximum(small, _residual(operator, rows, values))
    floor = rounding(values, operator.space.eps)
    return Spectrum(values, numpy_of(rows).T, residuals, "gram", k, floor=floor, warnings=operator.notes())


def _largest(gram: Tensor, k: int) -> tuple[Floats, Floats]:
    """The k largest eigenvalues, largest first, with vectors (N, k), where the matrix is."""
    if gram.is_cuda:
        values, u = (numpy_of(part) for part in torch.linalg.eigh(gram))
    else:
        n = len(gram)
        values, u = eigh(numpy_of(gram), subset_by_index=[n - k, n - 1], driver="evr")
    return values[::-1][:k].copy(), u[:, ::-1][:, :k].copy()


def _vector(operator: SecondMoments, u: Floats | None, filling: torch.Generator) -> Tensor:
    like = operator.network.weights
    if u is None:
        return torch.randn(len(like), generator=filling, dtype=torch.float64).to(like)
    centred = u - u.mean() if operator.centred else u
    return operator.pull(torch.as_tensor(centred.copy()).to(like))


def _residual(operator: SecondMoments, rows: Tensor, values: Floats) -> float:
    """The typical residual, by one product with a sum of the vectors with random signs."""
    signs = 2.0 * np.random.default_rng(0).integers(0, 2, len(values)) - 1.0
    space = operator.space
    mixed = space.combine(np.stack([signs, signs * values]), rows)
    return float((operator.apply(mixed[0]) - mixed[1]).double().norm()) / math.sqrt(len(values))


def gram_density(operator: SecondMoments, checkpoint: str | Path | None = None) -> SpectralDensity:
    """All eigenvalues, those of the Gram matrix and zeros."""
    values = np.maximum(numpy_of(torch.linalg.eigvalsh(operator.gram_tensor(checkpoint)).flip(0))[: operator.rank], 0.0)
    floor = rounding(values, operator.space.eps)
    rest = operator.network.dim - len(values)
    return SpectralDensity.exact(values, rest, "all eigenvalues by the Gram matrix, rounding", floor)
