"""SGD on a quadratic, exactly, and the ladder of approximations to it.

The iteration is w <- w - lr (H w + xi), xi independent with mean 0 and covariance c D/batch (with heavy-ball momentum
v <- mu v + H w + xi, w <- w - lr v). Everything here is about its stationary state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from sgdyn import checks
from sgdyn.noise import as_noise
from sgdyn.potentials import quadratic
from sgdyn.printing import Printed
from sgdyn.problem import Langevin, Momentum, finite_sample_factor
from sgdyn.steady.linear import linear_stationary

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class DiscreteSGD(Printed):
    """The stationary state of SGD with constant step on the quadratic loss w'Hw/2.

    H (dim, dim) symmetric, D (dim, dim) the centred covariance of one sample's gradient. `covariance` is exact for the iteration;
    `lagged_covariance(k)` is E[w_{t+k} w_t'].
    """

    H: Floats
    D: Floats
    lr: float
    batch: int
    momentum: float
    factor: float

    @property
    def dim(self) -> int:
        return len(self.H)

    @property
    def noise(self) -> Floats:
        """Covariance c D/batch of a batch gradient (dim, dim)."""
        return self.factor * self.D / self.batch

    @cached_property
    def transition(self) -> Floats:
        """The matrix of one step: I - lr H, or of (w, v) with momentum."""
        return transition(self.H, self.lr, self.momentum)

    @cached_property
    def _state_covariance(self) -> Floats:
        E = entrance(self.dim, self.lr, self.momentum)
        found = linalg.solve_discrete_lyapunov(self.transition, E @ self.noise @ E.T)
        return np.asarray(0.5 * (found + found.T))

    @property
    def covariance(self) -> Floats:
        """Stationary covariance of w (dim, dim): S = M S M' + lr² c D/batch, M = I - lr H."""
        return self._state_covariance[: self.dim, : self.dim]

    def lagged_covariance(self, lag: int) -> Floats:
        """E[w_{t+lag} w_t'] (dim, dim) for a lag in steps."""
        power = np.linalg.matrix_power(self.transition, checks.count("lag", lag, least=0))
        return np.asarray((power @ self._state_covariance)[: self.dim, : self.dim])

    def innovation_covariance(self, lag: int) -> Floats:
        """Covariance of w_{t+lag} - E[w_{t+lag} | state at t] (dim, dim): what the noise of `lag` steps adds."""
        power = np.linalg.matrix_power(self.transition, checks.count("lag", lag))
        explained = power @ self._state_covariance @ power.T
        return np.asarray((self._state_covariance - explained)[: self.dim, : self.dim])

    def correlation_times(self) -> Floats:
        """-lr / log|eigenvalue of the step| for each eigenvector of H, in units of time lr * steps (dim,).

        With momentum the slower one of the two eigenvalues m of each mode, m² - (1 + mu - lr h) m + mu = 0.
        """
        h = np.linalg.eigvalsh(self.H)[::-1]
        middle = 0.5 * (1 + self.momentum - self.lr * h)
        split = np.sqrt(middle.astype(np.complex128) ** 2 - self.momentum)
        slowest = np.maximum(np.abs(middle + split), np.abs(middle - split))
        with np.errstate(divide="ignore"):  # at lr h = 1 without momentum the next step has forgotten everything
            return np.asarray(-self.lr / np.log(slowest))

    def plot(self, ax: Any = None) -> Any:
        """The autocorrelations of eigenvectors of H against steps (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def discrete_sgd(
    H: ArrayLike,
    D: ArrayLike,
    *,
    lr: float,
    batch: int,
    n: int | None = None,
    sampler: str | None = None,
    momentum: float = 0.0,
) -> DiscreteSGD:
    """The exact stationary theory of SGD on w'Hw/2 with gradient-noise covariance D.

    Without replacement (the default where n is given, as in `sgd`) the noise of a batch is c D/batch, c = (n - batch)/(n - 1). Raises ValueError if H is not positive definite, D not
    positive semidefinite, lr at or beyond the limit of stability 2 (1 + momentum)/h_max, and for the epoch sampler (type `epoch_sgd`).
    Source: Mandt, Hoffman, Blei, JMLR 18 (2017); Liu, Ziyin, Ueda, arXiv:2012.03636.
    """
    if sampler == "epoch":
        raise ValueError(
            "got sampler='epoch', whose batches are not independent; type sg.epoch_sgd(H, D, lr=..., batch=..., n=...)"
        )
    hessian, noise, lr, momentum = admitted(H, D, lr, momentum)
    sampler = sampler or ("replacement" if n is None else "without")
    return DiscreteSGD(
        hessian, noise, lr, checks.count("batch", batch), momentum, finite_sample_factor(batch, n, sampler)
    )


def admitted(H: ArrayLike, D: ArrayLike, lr: float, momentum: float) -> tuple[Floats, Floats, float, float]:
    """(H, D, lr, momentum) if SGD with them has a stationary state."""
    hessian = checks.symmetric("H", H)
    h = np.linalg.eigvalsh(hessian)
    if h[0] <= 0:
        raise ValueError(
            f"got H with the eigenvalue {h[0]:.4g}, expected a positive definite matrix: there is no stationary state along a flat or falling direction"
        )
    lr, momentum = checks.positive("lr", lr), checks.positive("momentum", momentum, zero=True)
    limit = 2 * (1 + momentum) / h[-1]
    if not (momentum < 1 and lr < limit):
        raise ValueError(
            f"got lr={lr:g}, momentum={momentum:g}, expected lr < 2(1 + momentum)/h_max = {limit:.4g} and momentum < 1: SGD itself diverges"
        )
    return hessian, checks.positive_semidefinite("D", D, len(hessian)), lr, momentum


def transition(H: Floats, lr: float, momentum: float) -> Floats:
    """The matrix of one step of w, or of (w, v) with momentum."""
    identity = np.eye(len(H))
    if momentum == 0:
        return np.asarray(identity - lr * H)
    return np.block([[identity - lr * H, -lr * momentum * identity], [H, momentum * identity]])


def entrance(dim: int, lr: float, momentum: float) -> Floats:
    """What a batch gradient's noise is multiplied with when it enters w (dim, dim), or (w, v) (2 dim, dim)."""
    step = -lr * np.eye(dim)
    return np.concatenate([step, np.eye(dim)]) if momentum else step


@dataclass(frozen=True, eq=False)
class Rung:
    """One approximation: its name and the stationary covariance it predicts (dim, dim), or None where it does not exist."""

    name: str
    covariance: Floats | None

    def relative_error(self, exact: Floats) -> float:
        """Largest relative error of a variance along the eigenvectors of the exact covariance."""
        if self.covariance is None:
            return float("nan")
        values, vectors = np.linalg.eigh(exact)
        kept = values > 1e-12 * values[-1]
        found = np.einsum("ij,jk,ki->i", vectors.T, self.covariance, vectors)
        return float(np.max(np.abs(found[kept] / values[kept] - 1)))


def ladder(sgd: DiscreteSGD, amplification: int = 4) -> tuple[Rung, ...]:
    """SGD and the processes that approximate it on a quadratic, from the exact iteration to the first-order diffusion.

    SGD: F S + S F - lr F S F = lr c D/batch. SVAG(l): the same with lr F S F/l (Li, Malladi, Arora, arXiv:2102.12470). SME-1:
    F S + S F = lr c D/batch (the `Langevin` process). SME-2: F -> F + lr F²/2 (Li, Tai, E, JMLR 20 (2019)); for the stationary covariance
    it is worse than SME-1. Hessian-aware: drift -log(I - lr F)/lr with matched noise; exact, and undefined for lr h >= 1.
    With momentum mu: heavy ball; the `Momentum` process; the overdamped one, F S + S F = lr c D/(batch (1 - mu)).
    """
    if sgd.momentum:
        return _with_momentum(sgd)
    h, V = np.linalg.eigh(sgd.H)
    source = V.T @ (sgd.lr * sgd.noise) @ V
    rotated: Callable[[Floats], Floats] = lambda S: np.asarray(V @ S @ V.T)  # noqa: E731
    pairs, products = h[:, None] + h, h[:, None] * h
    second = h + 0.5 * sgd.lr * h**2
    return (
        Rung("SGD (exact)", rotated(source / (pairs - sgd.lr * products))),
        Rung(f"SVAG({amplification})", rotated(source / (pairs - sgd.lr / amplification * products))),
        Rung("SME-1 (the diffusion)", rotated(source / pairs)),
        Rung("SME-2", rotated(source / (second[:, None] + second))),
        Rung("Hessian-aware diffusion", _hessian_aware(h, source, sgd.lr, rotated)),
    )


def _hessian_aware(h: Floats, source: Floats, lr: float, rotated: Callable[[Floats], Floats]) -> Floats | None:
    """The covariance of dX = -A X dt + N^{1/2} dW with e^{-A lr} = I - lr H and N such that one step's noise is lr² c D/batch."""
    if lr * h[-1] >= 1:
        return None
    a = -np.log1p(-lr * h) / lr
    rates = a[:, None] + a
    noise = lr * source * rates / -np.expm1(-lr * rates)
    return rotated(noise / rates)


def _with_momentum(sgd: DiscreteSGD) -> tuple[Rung, ...]:
    slow, d = sgd.lr / (2 * (1 - sgd.momentum)), sgd.dim
    U, friction = quadratic(sgd.H), (1 - sgd.momentum) / float(np.sqrt(sgd.lr))
    noise = as_noise(sgd.noise, d)
    under = linear_stationary(Momentum(U, slow, friction, noise)).covariance[:d, :d]
    return (
        Rung("SGD with momentum (exact)", sgd.covariance),
        Rung("underdamped diffusion", under),
        Rung("overdamped diffusion", linear_stationary(Langevin(U, slow, noise)).covariance),
    )
