"""Curvature and noise of a network in the span of chosen directions, and SGD there as a process."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.nets.network import Network
from sgdyn.nets.vectors import numpy_of
from sgdyn.potentials import quadratic
from sgdyn.printing import Printed
from sgdyn.problem import Langevin, Momentum, sgd
from sgdyn.steady.discrete import DiscreteSGD, discrete_sgd

Floats = NDArray[np.float64]

SADDLE = 1e-3
"""A negative eigenvalue beyond this, relative to the largest of H, is no rounding and no imperfect minimum."""


@dataclass(frozen=True, eq=False, repr=False)
class Subspace(Printed):
    """The affine subspace center + basis x of weight space, x (k,), and what the loss and its noise are on it.

    center (p,), basis (p, k) orthonormal. H = V'(Hessian)V and D = V'(noise)V are (k, k). samples (N, k): V'(g_i - g). leakage (k,):
    |(1 - VV') Hessian v_j|, zero for eigenvectors: then the linear dynamics of x is closed. gradient: |grad U| at the center. lowest: an
    upper bound of the lowest eigenvalue of the whole Hessian there (NaN: not looked for); a negative one means a saddle.
    """

    center: Floats
    basis: Floats
    H: Floats
    D: Floats
    samples: Floats
    leakage: Floats
    gradient: float
    lowest: float = float("nan")

    @property
    def k(self) -> int:
        return int(self.basis.shape[1])

    @property
    def n(self) -> int:
        return len(self.samples)

    def digest(self) -> str:
        """SHA-256 of the basis, H and D, in hexadecimal digits: recordings carry it, to be compared with their own subspace alone."""
        content = hashlib.sha256()
        for part in (self.basis, self.H, self.D):
            content.update(np.ascontiguousarray(part).tobytes())
        return content.hexdigest()

    def project(self, weights: ArrayLike) -> Floats:
        """Coordinates x (..., k) of weights (..., p)."""
        return np.asarray((checks.points(weights, len(self.center), "weights") - self.center) @ self.basis)

    def embed(self, x: ArrayLike) -> Floats:
        """Weights (..., p) at coordinates x (..., k)."""
        return np.asarray(self.center + checks.points(x, self.k) @ self.basis.T)

    def local_model(
        self, *, lr: float, batch: int, momentum: float = 0.0, sampler: str = "replacement"
    ) -> Langevin | Momentum:
        """SGD near the center as a process of x: U = x'Hx/2, constant D, T from the learning rate and the batch size (see `sgd`).

        Raises ValueError if there is no stationary state near the center (H is not positive definite, or the whole Hessian has a negative
        eigenvalue elsewhere) or the sampler is "epoch".
        """
        self._check_well()
        return sgd(quadratic(self.H), self.D, lr=lr, batch=batch, n=self.n, momentum=momentum, sampler=sampler)

    def discrete_model(
        self, *, lr: float, batch: int, momentum: float = 0.0, sampler: str = "replacement"
    ) -> DiscreteSGD:
        """The exact theory of the SGD iteration on the same quadratic (see `discrete_sgd`)."""
        self._check_well()
        return discrete_sgd(self.H, self.D, lr=lr, batch=batch, n=self.n, momentum=momentum, sampler=sampler)

    def _check_well(self) -> None:
        lowest = float(np.linalg.eigvalsh(self.H)[0])
        if lowest <= 0:
            raise ValueError(
                f"got a Hessian with the eigenvalue {lowest:.4g} in the subspace, expected a minimum; type network.minimize() first, or fewer directions"
            )
        if self.lowest < -SADDLE * float(np.linalg.eigvalsh(self.H)[-1]):
            raise ValueError(
                f"got a saddle, where the Hessian has the eigenvalue {self.lowest:.4g} outside the subspace, expected a minimum; type network.minimize() first, which leaves saddles, or some weight_decay; dataclasses.replace(space, lowest=0.0) ignores that direction"
            )


def subspace(network: Network, k: int = 20, *, basis: ArrayLike | None = None, tolerance: float = 1e-8) -> Subspace:
    """H and D of a network in the span of the k top eigenvectors of its Hessian, or of the columns of `basis` (p, k).

    Raises ValueError for a basis that is not of full rank.
    """
    hessian = network.hessian()
    if basis is None:
        spectrum = hessian.top(k, tolerance=tolerance)
        V, lowest = spectrum.vectors, spectrum.lowest
        V = V * np.where(V[np.argmax(np.abs(V), axis=0), range(V.shape[1])] < 0, -1.0, 1.0)  # one sign everywhere
    else:
        V = _orthonormal(checks.finite("basis", basis), network.dim)
        lowest = hessian.lowest()[0]
    HV = hessian.matmat(V)
    H = V.T @ HV
    samples = network.noise().coordinates(V)
    leakage = np.linalg.norm(HV - V @ H, axis=0)
    D = samples.T @ samples / len(samples)
    slope = float(np.linalg.norm(network.gradient()))
    return Subspace(numpy_of(network.weights), V, 0.5 * (H + H.T), D, samples, leakage, slope, lowest)


def _orthonormal(basis: Floats, dim: int) -> Floats:
    if basis.ndim != 2 or len(basis) != dim:
        raise ValueError(f"got a basis of shape {basis.shape}, expected ({dim}, k)")
    Q, R = np.linalg.qr(basis)
    if np.min(np.abs(np.diag(R))) <= 1e-10 * np.max(np.abs(R)):
        raise ValueError("got a basis whose columns are linearly dependent, expected independent directions")
    return np.asarray(Q * np.sign(np.diag(R)))


def local_model(
    model: Any, loss: Any, data: Any, *, k: int = 20, lr: float, batch: int, weight_decay: float = 0.0, **options: Any
) -> Langevin | Momentum:
    """`Network(model, loss, data).local_model(k, lr=..., batch=...)` in one call."""
    return Network(model, loss, data, weight_decay).local_model(k, lr=lr, batch=batch, **options)
