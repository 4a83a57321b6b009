"""From the linear map of one transition to the process in between: its rates and its white noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Modes:
    """x(t + dt) = A x(t) + noise by its modes: A = V diag(kept) V^-1, any number of matrices (..., k, k) at once."""

    kept: NDArray[Any]
    V: NDArray[Any]
    W: NDArray[Any]
    dt: float

    @property
    def rates(self) -> NDArray[np.complex128]:
        """Of decay, exp(-rate dt) = kept."""
        return np.asarray(-np.log(self.kept.astype(complex)) / self.dt)

    def function(self, values: NDArray[Any]) -> Floats:
        """The matrix with these modes that takes the values (..., k) in place of `kept`."""
        return np.asarray((self.V @ (values[..., :, None] * self.W)).real)

    def white(self, Sigma: Floats) -> Floats:
        """T D of which Sigma = 2 T ∫_0^dt exp(-F s) D exp(-F' s) ds is the covariance of a transition: modes decay at the sums of two rates."""
        rates = self.rates
        pairs = rates[..., :, None] + rates.conj()[..., None, :]
        with np.errstate(invalid="ignore", divide="ignore"):
            strength = np.where(np.abs(pairs * self.dt) > 1e-12, pairs / -np.expm1(-pairs * self.dt), 1 / self.dt)
        V, W = self.V, self.W
        return np.asarray((V @ (W @ Sigma @ _adjoint(W) * strength) @ _adjoint(V)).real / 2)


def modes(A: Floats, dt: float, least: float | None = None) -> Modes:
    """The modes of A; with `least`, those that keep less than it of themselves are taken to keep so much."""
    kept, V = np.linalg.eig(A)
    if least is not None:
        kept = np.where(kept.real < least, least + 1j * kept.imag, kept)
    return Modes(kept, V, np.linalg.inv(V), dt)


def _adjoint(M: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.swapaxes(M.conj(), -1, -2))
