"""Adam and RMSprop near a minimum: heavy-ball SGD in coordinates that their preconditioner scales."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sgdyn import checks
from sgdyn.errors import NotConvergedError
from sgdyn.estimate import Estimate
from sgdyn.nets.hessian import Hessian
from sgdyn.nets.network import Network
from sgdyn.nets.operators import NetworkOperator
from sgdyn.potentials import quadratic
from sgdyn.printing import Printed
from sgdyn.problem import Langevin, Momentum, finite_sample_factor, sgd
from sgdyn.steady.discrete import DiscreteSGD, discrete_sgd

Floats = NDArray[np.float64]

LOOSE = 0.2
LARGEST = 10_000
"""So many weights have a covariance that can be written down."""
SWEEPS = 200
SETTLED = 1e-12


@dataclass(frozen=True, eq=False, repr=False)
class AdaptiveRule(Printed):
    """Hyperparameters of Adam as PyTorch has them: lr, betas, eps and the batch size."""

    lr: float
    batch: int
    betas: tuple[float, float]
    eps: float

    def scaled(self, batch: int) -> AdaptiveRule:
        """The rule with the same stochastic differential equation at another batch size: square-root scaling.

            kappa = batch/B:   lr sqrt(kappa),   1 - beta -> kappa (1 - beta),   eps/sqrt(kappa)

        For noise that outweighs the mean gradient, lr far below stability; beta = 0 stays 0. Raises ValueError where some beta would fall below 0. Source: Malladi et al., arXiv:2205.10287.
        """
        kappa = checks.count("batch", batch) / self.batch
        betas = tuple(1 - kappa * (1 - beta) for beta in self.betas)
        kept = [new if old else 0.0 for new, old in zip(betas, self.betas, strict=True)]
        if min(kept) < 0:
            raise ValueError(
                f"got batch={batch}, at which betas={self.betas} become {betas}, expected numbers >= 0; type a smaller batch"
            )
        return AdaptiveRule(self.lr * math.sqrt(kappa), batch, (kept[0], kept[1]), self.eps / math.sqrt(kappa))


@dataclass(frozen=True, eq=False, repr=False)
class AdaptiveProcess(Printed):
    """Adam (RMSprop for beta_1 = 0) at a minimum, its preconditioner at rest: P = diag(sqrt(E g_B²) + eps).

        dX = -P^-1 grad U dt + sqrt(2 T) P^-1 sigma dW,   T = c lr/2B,   time lr a step

    In y = P^{1/2} (w - center) it is heavy-ball SGD with Hessian P^-1/2 H P^-1/2, noise P^-1/2 D P^-1/2, momentum beta_1 and learning rate
    lr (1 - beta_1). P (p,); basis (p, k): w - center = basis x for x (k,) in those coordinates; H, D (k, k) there. `neglected`: the relative
    size of what the fluctuations of P change: of order 1 - beta_2, and the share of the moving mean gradient in E g_B².
    """

    rule: AdaptiveRule
    P: Floats
    basis: Floats
    H: Floats
    D: Floats
    factor: float
    neglected: float
    n: int | None = None
    sampler: str | None = None

    @property
    def temperature(self) -> float:
        """T = c lr/2B, the same with and without momentum."""
        return self.factor * self.rule.lr / (2 * self.rule.batch)

    @cached_property
    def _settings(self) -> dict[str, Any]:
        momentum = self.rule.betas[0]
        return {
            "lr": self.rule.lr * (1 - momentum),
            "batch": self.rule.batch,
            "momentum": momentum,
            "n": self.n,
            "sampler": self.sampler,
        }

    @cached_property
    def process(self) -> Langevin | Momentum:
        """The process of x, a gradient system (see `sgd`): `simulate`, `fokker_planck` and the rest take it. A step takes lr, or sqrt(lr (1 - beta_1)) with momentum."""
        return sgd(quadratic(self.H), self.D, **self._settings)

    @cached_property
    def discrete(self) -> DiscreteSGD:
        """The exact theory of the iteration of x with P at rest (see `discrete_sgd`)."""
        return discrete_sgd(self.H, self.D, **self._settings)

    @property
    def covariance(self) -> Estimate:
        """Stationary covariance (p, p) of the weights in the span of `basis`; the error is what fluctuations of P change, to leading order.

        Raises ValueError for more than 10 000 weights: `discrete.covariance` (k, k) has all of it.
        """
        if len(self.P) > LARGEST:
            raise ValueError(
                f"got {len(self.P)} weights, expected at most {LARGEST}; type .discrete.covariance (k, k), of basis x"
            )
        value = self.basis @ self.discrete.covariance @ self.basis.T
        scale = np.sqrt(np.diag(value))
        note = f"what is neglected has the relative size {self.neglected:.2g}: P does not rest; type a smaller lr, or a beta_2 nearer to 1"
        said = "P at rest, error: order 1 - beta_2 and of the signal in v"
        return Estimate(
            value, self.neglected * np.outer(scale, scale), said, warnings=(note,) if self.neglected > LOOSE else ()
        )

    def plot(self, ax: Any = None) -> Any:
        """Curvature, noise and stationary variance along the scaled directions (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)

    def overdamped(self) -> Langevin:
        """The process of the weights themselves where `basis` is square: drift -P^-1 H w, D_eff = P^-1 D P^-1, T, in time lr a step.

        Raises ValueError for a subspace.
        """
        p, k = self.basis.shape
        if p != k:
            raise ValueError(f"got {k} of {p} directions, expected all; type .process, in the coordinates of the basis")
        back = np.linalg.inv(self.basis)
        return Langevin.linear(self.basis @ self.H @ back, self.temperature, self.basis @ self.D @ self.basis.T)


def adaptive_quadratic(
    H: ArrayLike, D: ArrayLike, *, lr: float, batch: int, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, kurtosis: float = 0.0,
    n: int | None = None, sampler: str | None = None,
) -> AdaptiveProcess:  # fmt: skip
    """Adam on w'Hw/2 with gradient noise D (p, p), both in the coordinates of the weights (the preconditioner knows no others).

        E g_B² = diag(c D/B + H S H),   S the stationary covariance of w: found together

    kurtosis: excess kurtosis of the batch gradients' components, for the size of the error. Decoupled weight decay (AdamW) is not meant.
    Raises ValueError for H that is not positive definite, D not positive semidefinite, components without noise for eps = 0, betas outside [0, 1)
    and lr beyond stability. Sources: Kingma, Ba, arXiv:1412.6980; Malladi, Lyu, Panigrahi, Arora, arXiv:2205.10287.
    """
    hessian = checks.symmetric("H", H)
    noise = checks.positive_semidefinite("D", D, len(hessian))
    rule = _rule(lr, batch, betas, eps)
    factor = finite_sample_factor(rule.batch, n, sampler or ("replacement" if n is None else "without"))
    second = factor * np.diag(noise) / rule.batch
    for _ in range(SWEEPS):
        made = _at(rule, second, hessian, noise, factor, kurtosis, n, sampler)
        S = made.covariance.value
        moved = factor * np.diag(noise) / rule.batch + np.einsum("ij,jk,ki->i", hessian, S, hessian)
        if np.all(np.abs(moved - second) <= SETTLED * moved):
            return made
        second = moved
    raise NotConvergedError(
        f"got second moments of the gradient that do not settle in {SWEEPS} sweeps, expected a small learning rate; type lr={0.3 * rule.lr:g}"
    )


def _at(
    rule: AdaptiveRule,
    second: Floats,
    H: Floats,
    D: Floats,
    factor: float,
    kurtosis: float,
    n: int | None,
    sampler: str | None,
) -> AdaptiveProcess:
    P = _preconditioner(second, rule.eps)
    s = 1 / np.sqrt(P)
    signal = np.maximum(second - factor * np.diag(D) / rule.batch, 0.0)
    share = float(np.max(signal / np.where(second > 0, second, 1.0)))
    return AdaptiveProcess(
        rule,
        P,
        np.diag(s),
        s[:, None] * H * s,
        s[:, None] * D * s,
        factor,
        _neglected(rule, kurtosis) + share,
        n,
        sampler,
    )


def _rule(lr: float, batch: int, betas: tuple[float, float], eps: float) -> AdaptiveRule:
    first, second = (checks.positive(f"betas[{i}]", beta, zero=True) for i, beta in enumerate(betas))
    if max(first, second) >= 1:
        raise ValueError(f"got betas={betas}, expected two numbers in [0, 1)")
    return AdaptiveRule(
        checks.positive("lr", lr), checks.count("batch", batch), (first, second), checks.positive("eps", eps, zero=True)
    )


def _preconditioner(second: Floats, eps: float) -> Floats:
    """P (p,) from the second moments of the batch gradient."""
    P = np.sqrt(np.maximum(second, 0.0)) + eps
    if not np.all(P > 0):
        raise ValueError(
            f"got {int(np.sum(P <= 0))} weights without any gradient and eps=0, by which Adam divides; type eps=1e-8, or params= to leave them out"
        )
    return P


def _neglected(rule: AdaptiveRule, kurtosis: float) -> float:
    """(1 - beta_2)(kurtosis + 2), the share of one gradient in v: fluctuations of v, and its correlation with the gradient, times numbers of order 1."""
    return (1 - rule.betas[1]) * max(kurtosis + 2, 0.0)


class _ScaledHessian(NetworkOperator):
    """P^-1/2 H P^-1/2 (p, p)."""

    def __init__(self, hessian: Hessian, scale: Tensor) -> None:
        super().__init__(hessian.network)
        self.hessian, self.scale = hessian, scale

    def prepare(self) -> None:
        self.hessian.prepare()

    def apply(self, v: Tensor) -> Tensor:
        return self.scale * self.hessian.apply(self.scale * v)

    def fresh(self, v: Tensor) -> Tensor:
        return self.scale * self.hessian.fresh(self.scale * v)


def adaptive_process(
    network: Network, k: int = 20, *, lr: float, batch: int, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, kurtosis: float = 0.0,
    replacement: bool = True,
) -> AdaptiveProcess:  # fmt: skip
    """Adam near a network's weights, in the span of the k top eigenvectors of P^-1/2 H P^-1/2 (p, p), which its linear dynamics does not leave.

    P from the exact diagonal of D and the mean gradient there (weight decay as part of the loss). Raises ValueError and sources: see
    `adaptive_quadratic`; for a center that is no minimum in these directions the errors of `sgd` and `discrete_sgd` follow.
    """
    rule, name = _rule(lr, batch, betas, eps), "replacement" if checks.truth("replacement", replacement) else "without"
    factor = finite_sample_factor(rule.batch, network.n, name)
    noise = network.noise()
    second = factor * noise.diag().value / rule.batch + network.gradient() ** 2
    P = _preconditioner(second, rule.eps)
    scale = torch.as_tensor(1 / np.sqrt(P)).to(network.weights)
    found = _ScaledHessian(network.hessian(), scale).top(k)
    basis = found.vectors / np.sqrt(P)[:, None]
    H, D = np.diag(found.values), noise.projected(basis)
    bare = AdaptiveProcess(rule, P, basis, H, 0.5 * (D + D.T), factor, _neglected(rule, kurtosis), network.n, name)
    return replace(bare, neglected=bare.neglected + _signal(bare, found.vectors, second))


def _signal(process: AdaptiveProcess, V: Floats, second: Floats) -> float:
    """The largest share, along the directions V (p, k), of the fluctuating mean gradient in the second moments."""
    inside = process.H @ process.discrete.covariance @ process.H
    share = process.P * np.einsum("ij,jk,ik->i", V, inside, V) / np.where(second > 0, second, np.inf)
    return float((V**2 * share[:, None]).sum(0).max())
