"""SGD in the whole weight space with H and D of low rank plus a floor: closed forms with O(p m) memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.linalg import LinearOperator

from sgdyn import checks
from sgdyn.estimate import Estimate
from sgdyn.nets.network import Network
from sgdyn.nets.subspace import Subspace, directions_of, subspace
from sgdyn.noise import LowRank, as_noise
from sgdyn.potentials import Potential, quadratic
from sgdyn.printing import Printed
from sgdyn.problem import Langevin, finite_sample_factor
from sgdyn.steady.linear import LinearStationary, linear_stationary

if TYPE_CHECKING:
    from sgdyn.linalg.operators import SymmetricOperator

Floats = NDArray[np.float64]

ROUNDING = 1e-12
"""What is left of a trace by less than this share is rounding."""


class LowRankOperator(LinearOperator):  # type: ignore[misc]
    """V A V' + floor (1 - V V') (p, p) with orthonormal V (p, m) and a symmetric A (m, m)."""

    def __init__(self, V: Floats, A: Floats, floor: float) -> None:
        self.V, self.A, self.floor = V, A, floor
        super().__init__(np.float64, (len(V), len(V)))

    def _matmat(self, X: Floats) -> Floats:
        inside = self.V.T @ X
        return np.asarray(self.V @ (self.A @ inside - self.floor * inside) + self.floor * X)

    def _matvec(self, x: Floats) -> Floats:
        return self._matmat(np.reshape(x, (-1, 1)))[:, 0]

    def _adjoint(self) -> LowRankOperator:
        return self

    def trace(self) -> float:
        """The trace."""
        return float(np.trace(self.A) + self.floor * (len(self.V) - len(self.A)))

    def draw(self, n: int, rng: np.random.Generator) -> Floats:
        """n normal vectors (n, p) with this covariance; raises ValueError if it is not positive semidefinite."""
        values, vectors = np.linalg.eigh(self.A)
        if min(values[0], self.floor) < -1e-12 * max(values[-1], self.floor):
            raise ValueError(
                f"got a covariance with the eigenvalue {min(values[0], self.floor):.4g}, expected none below zero"
            )
        z = rng.standard_normal((n, len(self.V)))
        root, rest = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T, float(np.sqrt(max(self.floor, 0.0)))
        inside = z @ self.V
        return np.asarray(rest * z + (inside @ root - rest * inside) @ self.V.T)


@dataclass(frozen=True, eq=False, repr=False)
class FullModel(Printed):
    """SGD in all p weights, linear around the center: H = V (V'HV) V' + curvature (1 - VV'), D = V (V'DV) V' + floor (1 - VV').

    space: V (p, m) spans the top eigenvectors of H and of D. curvature, floor: what is left of the traces of H and of D, spread evenly over the
    other p - m directions, so that both traces are right; `curvature` is an `Estimate` (its trace may come from random vectors). T: temperature.
    What couples V to the rest (space.leakage) and all structure within the rest are dropped.
    """

    space: Subspace
    curvature: Estimate
    floor: Estimate
    T: float
    time_per_step: float = field(default=float("nan"))

    @property
    def dim(self) -> int:
        return len(self.space.center)

    @property
    def rest(self) -> int:
        """How many directions are not in V."""
        return self.dim - self.space.k

    @cached_property
    def H(self) -> LowRankOperator:
        """The Hessian (p, p)."""
        return LowRankOperator(self.space.basis, self.space.H, float(self.curvature))

    @cached_property
    def D(self) -> LowRankOperator:
        """The noise (p, p)."""
        return LowRankOperator(self.space.basis, self.space.D, float(self.floor))

    @cached_property
    def inside(self) -> LinearStationary:
        """The stationary state in V."""
        return linear_stationary(Langevin(quadratic(self.space.H), self.T, as_noise(self.space.D, self.space.k)))

    @cached_property
    def covariance(self) -> LowRankOperator:
        """The stationary covariance (p, p) of the weights: Lyapunov's equation in V, T floor/curvature beside it."""
        beside = self.T * float(self.floor) / float(self.curvature) if self.rest else 0.0
        return LowRankOperator(self.space.basis, self.inside.covariance, beside)

    @property
    def excess_loss(self) -> Estimate:
        """The stationary mean of U minus its value at the center, tr(H S)/2 = T tr(D)/2: of any H, so that no error comes from the floors."""
        value = 0.5 * self.T * self.D.trace()
        return Estimate(value, 0.5 * self.T * self.rest * float(self.floor.error), "T tr(D)/2")

    @property
    def temperature(self) -> Estimate:
        """T* = tr(H S)/p = T tr(D)/p: twice the mean excess loss of a weight, in equilibrium the temperature of all."""
        excess = self.excess_loss
        return Estimate(2 * excess.value / self.dim, 2 * excess.error / self.dim, "T tr(D)/p")

    @property
    def temperatures(self) -> Floats:
        """h_i S_ii of the eigenvectors of V'HV, largest h first (m,), and T floor, that of every other direction, last: all T* in equilibrium."""
        values, vectors = np.linalg.eigh(self.space.H)
        S = np.einsum("ia,ij,ja->a", vectors, self.inside.covariance, vectors)
        rest = [self.T * float(self.floor)] if self.rest else []
        return np.concatenate([(values * S)[::-1], rest])

    def noise(self, n: int, *, batch: int, seed: int | np.random.SeedSequence | None = None) -> Floats:
        """n normal vectors (n, p) with the covariance D/batch of a batch's gradient."""
        return np.asarray(self.D.draw(checks.count("n", n), self._rng(seed)) / np.sqrt(checks.count("batch", batch)))

    def sample(self, n: int, *, seed: int | np.random.SeedSequence | None = None) -> Floats:
        """n weight vectors (n, p) of the stationary state."""
        return np.asarray(self.space.center + self.covariance.draw(checks.count("n", n), self._rng(seed)))

    def _rng(self, seed: Any) -> np.random.Generator:
        return np.random.default_rng(checks.seed_sequence(seed))

    def process(self) -> Langevin:
        """SGD as a process of all p weights minus the center, by O(p m) operations a step; raises ValueError as `noise_model` does."""

        def quadratic_loss(x: Floats) -> Floats:
            return np.asarray(0.5 * np.sum(x * slope(x), axis=-1))

        def slope(x: Floats) -> Floats:
            return np.asarray((self.H @ np.reshape(x, (-1, self.dim)).T).T.reshape(np.shape(x)))

        U = Potential.from_functions(quadratic_loss, slope, dim=self.dim, check=False)
        return Langevin(U, self.T, self.noise_model())

    def noise_model(self) -> LowRank:
        """D as `LowRank`, for processes of all p weights; raises ValueError where some direction of V has less noise than the floor."""
        values, vectors = np.linalg.eigh(self.space.D)
        floor = float(self.floor)
        if values[0] < floor * (1 - 1e-9):
            raise ValueError(
                f"got a direction with the noise {values[0]:.4g}, below the floor {floor:.4g}, expected more; type directions='noise', and fewer of them"
            )
        return LowRank(self.space.basis @ vectors, np.maximum(values - floor, 0.0), floor)


def full_model(
    network: Network, k: int = 20, *, lr: float, batch: int, sampler: str = "replacement", directions: str | ArrayLike = "both", **trace: Any
) -> FullModel:  # fmt: skip
    """SGD in the whole weight space, H and D of low rank plus floors that keep their traces (see `FullModel`).

    directions: "both" (the k top eigenvectors of H and the k top ones of D), "hessian", "noise" or columns (p, m). trace: options of the trace
    of H (`products`, `method`, `seed`). Raises ValueError if the center is no minimum in V, or if the rest of the trace of H is not positive.
    """
    if isinstance(directions, str) and directions == "both":
        directions = np.concatenate([directions_of(network, k, name)[0] for name in ("hessian", "noise")], 1)
        directions = _independent(directions)
    space = subspace(network, k, directions=directions)
    space.check_well()
    rest = network.dim - space.k
    curvature = _left(network.hessian(), space.H, rest, **trace)
    floor = _left(network.noise(), space.D, rest)
    if rest and float(curvature) <= 0:
        raise ValueError(
            f"got {float(curvature):.4g} for the mean curvature of the {rest} directions beside the subspace, expected a positive number; type network.minimize() first, some weight_decay, or more products="
        )
    T = lr / (2 * checks.count("batch", batch)) * finite_sample_factor(batch, network.n, sampler)
    return FullModel(space, curvature, floor, checks.positive("T", T), checks.positive("lr", lr))


def _left(operator: SymmetricOperator, inside: Floats, rest: int, **options: Any) -> Estimate:
    """(tr A - tr V'AV)/(p - m)."""
    whole = operator.trace(**options)
    scale = max(rest, 1)
    value = (float(whole.value) - float(np.trace(inside))) / scale if rest else 0.0
    if abs(value) * rest <= ROUNDING * float(whole.value):  # D has no more than N - 1 directions
        value = 0.0
    return Estimate(
        value, float(whole.error) / scale, f"what is left of the trace ({whole.method})", warnings=whole.warnings
    )


def _independent(vectors: Floats) -> Floats:
    """An orthonormal basis of the span; what is in it already within 1e-6 is left out."""
    Q, values, _ = np.linalg.svd(vectors, full_matrices=False)
    return np.asarray(Q[:, values > 1e-6 * values[0]])
