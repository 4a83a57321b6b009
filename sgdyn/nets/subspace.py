"""Curvature and noise of a network in the span of chosen directions, and SGD there as a process."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.nets.expansion import Cubic, linear_noise, third_derivatives
from sgdyn.nets.network import Network
from sgdyn.nets.processes import process, restriction
from sgdyn.nets.vectors import numpy_of
from sgdyn.noise import Noise, as_noise
from sgdyn.potentials import Potential
from sgdyn.printing import Printed
from sgdyn.problem import Langevin, Momentum
from sgdyn.steady.discrete import DiscreteSGD, discrete_sgd

Floats = NDArray[np.float64]

DIRECTIONS = ("hessian", "noise")
SADDLE = 1e-3
"""A negative eigenvalue beyond this, relative to the largest of H, is no rounding and no imperfect minimum."""


@dataclass(frozen=True, eq=False, repr=False)
class Subspace(Printed):
    """The affine subspace center + basis x of weight space, x (k,), and what the loss and its noise are on it.

    center (p,), basis (p, k) orthonormal. H = V'(Hessian)V and D = V'(noise)V are (k, k). samples (N, k): V'(g_i - g). leakage (k,):
    |(1 - VV') Hessian v_j|, zero for eigenvectors: then the linear dynamics of x is closed. gradient: |grad U| at the center. lowest: an
    upper bound of the lowest eigenvalue of the whole Hessian there (NaN: not looked for); a negative one means a saddle. saddles: whether
    models are made all the same. network: the one it was made of, at the center.

    Whatever is asked of a subspace holds for SGD whose other weights stay at the center: what they do, and what their motion does to x
    (through leakage, and through third derivatives beside the subspace), is dropped.
    """

    center: Floats
    basis: Floats
    H: Floats
    D: Floats
    samples: Floats
    leakage: Floats
    gradient: float
    lowest: float = float("nan")
    network: Network | None = field(default=None, repr=False)
    saddles: bool = False

    @property
    def is_saddle(self) -> bool:
        """Whether the whole Hessian was seen to have a negative eigenvalue."""
        return self.lowest < -SADDLE * float(np.linalg.eigvalsh(self.H)[-1])

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

    def potential(self, *, samples: int | ArrayLike | None = None, seed: int = 0) -> Potential:
        """The loss of the network itself, weight decay included, on the subspace: U(center + V x) with gradient V' grad U, Hessian V' H V.

        samples: evaluate it on so many samples only, drawn once by `seed`, or on those with the given numbers. Many points at once go through
        `torch.vmap` where the model allows it, on its device and in its precision: minima and barriers finer than single precision need
        model.double(). Raises ValueError for a subspace without its network.
        """
        return restriction(self, samples, seed).potential()

    def noise(self, kind: str = "exact", *, samples: int | ArrayLike | None = None, seed: int = 0) -> Noise:
        """D on the subspace: "exact" V' D(w) V at w = center + V x, "linear" (each sample's gradient to first order in x, see
        `sgdyn.nets.expansion.linear_noise`; positive semidefinite everywhere), or "constant".

        Raises ValueError for other names, and where torch has no second derivatives of single samples that "linear" and the divergence need.
        """  # fmt: skip
        if kind == "constant":
            return as_noise(self.D, self.k)
        if kind not in ("exact", "linear"):
            raise ValueError(f"got kind={kind!r}, expected 'constant', 'linear' or 'exact'")
        here = restriction(self, samples, seed)
        return here.noise() if kind == "exact" else linear_noise(here)

    def cubic(self, *, samples: int | ArrayLike | None = None, seed: int = 0) -> Cubic:
        """The loss near the center to third order, with the radius within which that makes sense (see `sgdyn.nets.expansion.Cubic`).

        Raises ValueError if the center is no minimum, and for layers whose third derivatives torch has not or gets wrong.
        """
        self.check_well()
        return Cubic(self.H, *third_derivatives(restriction(self, samples, seed)))

    def process(
        self, *, lr: float, batch: int, momentum: float = 0.0, sampler: str = "replacement", loss: str = "quadratic",
        noise: str = "constant", samples: int | ArrayLike | None = None, seed: int = 0,
    ) -> Langevin | Momentum:  # fmt: skip
        """SGD on the subspace as a process of x, T from the learning rate and the batch size (see `sgd`).

        loss: "quadratic" x'Hx/2, "cubic" (NaN where it is not certain to be convex), "confined cubic" (see `Cubic.potential`), or "exact", the
        network itself. noise: "constant" V'DV at the center, "linear" or "exact" (see `noise`). samples, seed: those of `potential`.

        Raises ValueError for the sampler "epoch", if the center is no minimum (unless loss="exact"), for a cubic whose region three standard
        deviations leave, and for noise that is not constant beside momentum.
        """
        return process(
            self, lr=lr, batch=batch, momentum=momentum, sampler=sampler, loss=loss, noise=noise, samples=samples, seed=seed
        )  # fmt: skip

    def local_model(
        self, *, lr: float, batch: int, momentum: float = 0.0, sampler: str = "replacement", cubic: bool = False, noise: str = "constant"
    ) -> Langevin | Momentum:  # fmt: skip
        """SGD near the center: `process` with U = x'Hx/2, or with its third-order terms (`cubic`), and noise "constant" or "linear".

        Raises ValueError if there is no stationary state near the center (H is not positive definite, or the whole Hessian has a negative
        eigenvalue elsewhere) or the sampler is "epoch".
        """
        loss = "cubic" if checks.truth("cubic", cubic) else "quadratic"
        return self.process(lr=lr, batch=batch, momentum=momentum, sampler=sampler, loss=loss, noise=noise)

    def discrete_model(
        self, *, lr: float, batch: int, momentum: float = 0.0, sampler: str = "replacement"
    ) -> DiscreteSGD:
        """The exact theory of the SGD iteration on the same quadratic (see `discrete_sgd`)."""
        self.check_well()
        return discrete_sgd(self.H, self.D, lr=lr, batch=batch, n=self.n, momentum=momentum, sampler=sampler)

    def check_well(self) -> None:
        """Raise ValueError where the center is no minimum."""
        lowest = float(np.linalg.eigvalsh(self.H)[0])
        if lowest <= 0:
            raise ValueError(
                f"got a Hessian with the eigenvalue {lowest:.4g} in the subspace, expected a minimum; type network.minimize() first, or fewer directions"
            )
        if self.is_saddle and not self.saddles:
            raise ValueError(
                f"got a saddle, where the Hessian has the eigenvalue {self.lowest:.4g} outside the subspace, expected a minimum; type network.minimize() first, which leaves saddles, or some weight_decay; network.subspace(k, saddles=True) leaves that direction to itself"
            )


def subspace(
    network: Network, k: int = 20, *, directions: str | ArrayLike = "hessian", basis: ArrayLike | None = None, tolerance: float = 1e-8,
    saddles: bool = False,
) -> Subspace:  # fmt: skip
    """H and D of a network in the span of chosen directions.

    directions: "hessian" or "noise", the k top eigenvectors of the Hessian or of D, or columns (p, k) to be made orthonormal (also as `basis`).
    saddles: whether `discrete_model` and its kin are made where the Hessian has a negative eigenvalue beside the subspace.
    Raises ValueError for other names, and for columns that are not of full rank.
    """
    given = directions if basis is None else basis
    if isinstance(given, str):
        V, lowest = directions_of(network, k, given, tolerance)
    else:
        V, lowest = _orthonormal(checks.finite("basis", given), network.dim), float("nan")
    hessian = network.hessian()
    lowest = hessian.lowest()[0] if np.isnan(lowest) else lowest
    HV = hessian.matmat(V)
    H = V.T @ HV
    samples = network.noise().coordinates(V)
    leakage = np.linalg.norm(HV - V @ H, axis=0)
    D = samples.T @ samples / len(samples)
    slope = float(np.linalg.norm(network.gradient()))
    return Subspace(
        numpy_of(network.weights),
        V,
        0.5 * (H + H.T),
        D,
        samples,
        leakage,
        slope,
        lowest,
        network,
        checks.truth("saddles", saddles),
    )


def directions_of(network: Network, k: int, name: str, tolerance: float = 1e-8) -> tuple[Floats, float]:
    """The k top eigenvectors (p, k) of the Hessian or of D, and the lowest eigenvalue of the Hessian that was seen (NaN: none)."""
    if name not in DIRECTIONS:
        raise ValueError(f"got directions={name!r}, expected {' or '.join(map(repr, DIRECTIONS))}, or an array (p, k)")
    spectrum = (network.hessian() if name == "hessian" else network.noise()).top(k, tolerance=tolerance)
    V = spectrum.vectors
    V = V * np.where(V[np.argmax(np.abs(V), axis=0), range(V.shape[1])] < 0, -1.0, 1.0)  # one sign everywhere
    return V, spectrum.lowest if name == "hessian" else float("nan")


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
