"""Stochastic processes: what every theory of the package takes first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sgdyn import checks
from sgdyn.fields import Affine, Field, Opaque, as_formula, is_field, multiple, product, total, vector_field
from sgdyn.noise import Diagonal, Noise, Varying, as_noise
from sgdyn.potentials import Potential


@dataclass(frozen=True)
class Sampling:
    """The SGD run that a process stands for: `time_per_step` is the process time of one step."""

    lr: float
    batch: int
    n: int | None
    momentum: float
    sampler: str
    time_per_step: float


STRATONOVICH = "Stratonovich"
"""The origin of a process that was converted from Stratonovich's sense."""


@dataclass(frozen=True, eq=False)
class Langevin:
    """The diffusion dX = (-grad U + c) dt + sqrt(2 T) sigma(X) dW in the sense of Itô, sigma sigma' = D.

    U: a `Potential`. T: temperature > 0. D: a number, (dim,), (dim, dim), `LowRank`, or a function of x. curl: the field c, a function
    of x that returns (dim,). Only T D enters any result. `drift` is the whole drift as a field, `D` the diffusion matrix.

    Raises ValueError for T <= 0, a D that is not positive semidefinite, and shapes that do not fit.
    Source: Chaudhari and Soatto, arXiv:1710.11029, eq. 3, with T = eta/2B.
    """

    U: Potential | None
    T: float = 1.0
    D: Noise = 1.0  # type: ignore[assignment]
    curl: Field | None = None
    is_gibbs: bool = False
    origin: Any = None

    def __post_init__(self) -> None:
        if self.U is not None and not isinstance(self.U, Potential):
            raise TypeError(
                f"got U of type {type(self.U).__name__}, expected a Potential; type @sg.potential(dim=...) above the function"
            )
        if self.U is None and not is_field(self.curl):
            raise TypeError(
                "got neither a potential nor a drift, expected Langevin(U, ...) or Langevin.from_drift(b, dim=..., ...)"
            )
        dim = self.U.dim if self.U is not None else self.curl.dim  # type: ignore[union-attr]
        object.__setattr__(self, "T", checks.positive("T", self.T))
        object.__setattr__(self, "D", as_noise(self.D, dim))
        object.__setattr__(self, "curl", None if self.curl is None else vector_field("curl", self.curl, dim))

    @property
    def dim(self) -> int:
        return self.D.dim

    @cached_property
    def drift(self) -> Field:
        """-grad U + c, or -D grad U + T div D + c where the process was made by `Langevin.gibbs`."""
        if self.U is None:
            assert self.curl is not None
            return self.curl
        force = self._gibbs_force() if self.is_gibbs else self.U.grad.negated()
        return force if self.curl is None else total(force, self.curl)

    @property
    def drift_has_temperature(self) -> bool:
        """Whether T stands in the drift: of Gibbs processes with D(x), and of those that were read in Stratonovich's sense."""
        return (self.is_gibbs and isinstance(self.D, Varying)) or self.origin == STRATONOVICH

    def _gibbs_force(self) -> Field:
        assert self.U is not None
        force = product(self.D.matrix, self.U.grad).negated()
        return total(force, multiple(self.T, self.D.divergence)) if isinstance(self.D, Varying) else force

    @classmethod
    def gibbs(cls, U: Potential, T: float = 1.0, D: Any = 1.0, curl: Any = None) -> Langevin:
        """The process with drift -D grad U + T div D (+ curl), whose stationary density is exp(-U/T) whatever D.

        A curl keeps that density only if div(c exp(-U/T)) = 0.
        """
        return cls(U, T, D, curl, is_gibbs=True)

    @classmethod
    def linear(cls, F: ArrayLike, T: float = 1.0, D: Any = 1.0, center: ArrayLike = 0.0) -> Langevin:
        """The process dX = -F (X - center) dt + sqrt(2 T D) dW; F (dim, dim) need not be symmetric."""
        matrix = checks.square("F", F)
        return cls(None, T, D, Affine(-matrix, matrix @ checks.vector("center", center, len(matrix))))

    @classmethod
    def from_drift(cls, b: Any, T: float = 1.0, D: Any = 1.0, *, dim: int) -> Langevin:
        """The process dX = b(X) dt + sqrt(2 T) sigma dW for a drift that is no gradient: a NumPy function of x that returns (dim,)."""
        return cls(None, T, D, vector_field("b", b, checks.count("dim", dim)))


@dataclass(frozen=True, eq=False)
class Momentum:
    """The underdamped process dX = V dt, dV = (-grad U - friction V) dt + sqrt(2 friction T) sigma(X) dW; points are (x, v), 2 dim.

    For D = 1 its stationary density is exp(-(U + v²/2)/T). SGD with momentum mu follows it with friction (1 - mu)/sqrt(eta),
    T = eta/(2 B (1 - mu)) and sqrt(eta) of time a step.

    Raises ValueError for T <= 0, friction <= 0 and a D that is not a constant positive semidefinite matrix.
    """

    U: Potential
    T: float = 1.0
    friction: float = 1.0
    D: Noise = 1.0  # type: ignore[assignment]
    origin: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.U, Potential):
            raise TypeError(
                f"got U of type {type(self.U).__name__}, expected a Potential; type @sg.potential(dim=...) above the function"
            )
        object.__setattr__(self, "T", checks.positive("T", self.T))
        object.__setattr__(self, "friction", checks.positive("friction", self.friction))
        object.__setattr__(self, "D", as_noise(self.D, self.U.dim))
        if isinstance(self.D, Varying):
            raise ValueError(
                "got a D that depends on x, expected a constant one for Momentum; type D=D(x) to freeze it at x"
            )

    @property
    def dim(self) -> int:
        """The dimension of phase space."""
        return 2 * self.U.dim

    @cached_property
    def phase_space(self) -> Langevin:
        """The same process as a `Langevin` process of the points (x, v): degenerate noise, drift that is no gradient."""
        return Langevin(None, self.T, self._noise(), self._drift(), origin=self.origin)

    def _noise(self) -> Any:
        d = self.U.dim
        if isinstance(self.D, Diagonal):
            return np.concatenate([np.zeros(d), self.friction * self.D.values])
        padded = np.zeros((2 * d, 2 * d))
        padded[d:, d:] = self.friction * self.D(np.zeros(d))
        return padded

    def _drift(self) -> Field:
        grad, d, friction = self.U.grad, self.U.dim, self.friction
        if isinstance(grad, Affine):
            matrix = np.block([[np.zeros((d, d)), np.eye(d)], [-grad.matrix, -friction * np.eye(d)]])
            return Affine(matrix, np.concatenate([np.zeros(d), -grad.offset]))
        formula = as_formula(grad)
        if formula is not None:
            return formula.in_phase_space(friction)
        return Opaque(
            lambda y: np.concatenate([y[..., d:], -grad(y[..., :d]) - friction * y[..., d:]], -1),
            2 * d,
            (2 * d,),
            name="the drift",
        )


def sgd(
    U: Potential, covariance: Any, *, lr: float, batch: int, n: int | None = None, momentum: float = 0.0, sampler: str | None = None,
) -> Langevin | Momentum:  # fmt: skip
    """The diffusion that approximates SGD on the loss U with gradient-noise covariance D = `covariance` (centred, per sample).

    Without momentum: `Langevin(U, T, D)`, T = c lr/(2 batch), and one step takes the time lr. With momentum mu (v = mu v + g,
    x = x - lr v): `Momentum`, T = c lr/(2 batch (1 - mu)), friction (1 - mu)/sqrt(lr), and one step takes the time sqrt(lr).
    c = (n - batch)/(n - 1) for batches drawn without replacement from n samples (the default where n is given), 1 with replacement.

    Raises ValueError for lr <= 0, batch > n, momentum outside [0, 1), a full batch (no noise), and for `sampler="epoch"`, whose noise is
    not white. Sources: Mandt, Hoffman, Blei, JMLR 18 (2017); Kunin et al., arXiv:2107.09133.
    """
    lr, batch = checks.positive("lr", lr), checks.count("batch", batch)
    momentum = checks.positive("momentum", momentum, zero=True)
    if momentum >= 1:
        raise ValueError(f"got momentum={momentum:g}, expected a number in [0, 1)")
    sampler = sampler or ("replacement" if n is None else "without")
    T = lr / (2 * batch * (1 - momentum)) * finite_sample_factor(batch, n, sampler)
    if momentum == 0:
        return Langevin(U, T, covariance, origin=Sampling(lr, batch, n, 0.0, sampler, lr))
    origin = Sampling(lr, batch, n, momentum, sampler, float(np.sqrt(lr)))
    return Momentum(U, T, (1 - momentum) / float(np.sqrt(lr)), covariance, origin=origin)


def finite_sample_factor(batch: int, n: int | None, sampler: str) -> float:
    """c in Cov(g_B) = c D/batch: 1 with replacement, (n - batch)/(n - 1) without.

    Raises ValueError for the epoch sampler, whose noise is correlated in time (arXiv:2306.05300), and for full batches.
    """
    if sampler == "epoch":
        raise ValueError(
            "got sampler='epoch': sampling without replacement over an epoch makes the noise of successive steps anti-correlated, so no "
            "temperature describes it; expected 'replacement' or 'without'"
        )
    if sampler not in ("replacement", "without"):
        raise ValueError(f"got sampler={sampler!r}, expected 'replacement', 'without' or 'epoch'")
    samples = None if n is None else checks.count("n", n)
    if sampler == "replacement":
        return 1.0
    if samples is None:
        raise ValueError("got sampler='without' and no n, expected the number of samples; type n=len(data)")
    if batch >= samples:
        raise ValueError(f"got batch={batch} of n={samples} samples, expected batch < n: a full batch has no noise")
    return (samples - batch) / (samples - 1)
