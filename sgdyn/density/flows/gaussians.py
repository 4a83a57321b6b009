"""Gradient flows that stay normal, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.flows.energies import Energy
from sgdyn.density.flows.flow import GaussianState
from sgdyn.fields import Affine
from sgdyn.noise import Varying
from sgdyn.potentials import Potential
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Gaussian:
    """Exact steps between normal densities in any dimension: quadratic potentials, quadratic interactions, T int rho log rho, constant D.

    With y = L^-1 x, D = L L', Hessian H and M = 1 + tau H: m -> M^-1 m about the centre, and the covariance S -> M^-1/2 B M^-1/2 with
    B = C/2 + tau T + sqrt(C²/4 + tau T C), C = M^-1/2 S M^-1/2. A covariance that does not reach all directions, or a point, may start.
    Raises ValueError where 1 + tau H is not positive definite: then a step has no minimum. Source: the equation A S' A = S of the optimal map
    A = M - tau T S'^-1 back; for d = 1 see Jordan, Kinderlehrer, Otto, SIAM J. Math. Anal. 29, 1 (1998).
    """

    def start(self, problem: Langevin, rho0: Any, energy: Energy, seed: np.random.SeedSequence) -> Normal:
        if not isinstance(rho0, GaussianState):
            raise TypeError(
                f"got rho0 of type {type(rho0).__name__} for Gaussian, expected GaussianState(mean, cov); type method=sg.Quantile() or sg.Graph() for others"
            )
        return Normal(_Quadratics.of(problem, energy), rho0)

    def step(self, state: Normal, tau: float) -> Normal:
        q, one = state.quadratics, np.eye(len(state.density.mean))
        back = np.asarray(np.linalg.inv(q.root))
        mean, cov = back @ state.density.mean, _between(back, state.density.covariance)
        by_mean = _definite(one + tau * q.slope, tau)
        moved = np.linalg.solve(by_mean, mean - tau * q.offset)
        after, away = _spread(_definite(one + tau * (q.slope + q.pair), tau), cov, tau * q.T)
        w2 = float(np.sqrt(np.sum((moved - mean) ** 2) + np.trace(away @ after @ away)))
        return Normal(q, GaussianState(q.root @ moved, _between(q.root, after)), w2, 1)

    def restore(self, state: Normal, arrays: dict[str, NDArray[Any]]) -> Normal:
        return Normal(state.quadratics, GaussianState(arrays["mean"], arrays["cov"]), float(arrays["w2"]), 1)


def _definite(M: Floats, tau: float) -> Floats:
    lowest = float(np.linalg.eigvalsh(M)[0])
    if lowest <= 0:
        raise ValueError(
            f"got tau={tau:g} with an eigenvalue {lowest:.3g} of 1 + tau H, expected positive ones; type tau below {tau / (1 - lowest):.3g}"
        )
    return M


def _spread(M: Floats, cov: Floats, heat: float) -> tuple[Floats, Floats]:
    """The covariance after a step, heat = tau T, and 1 - A with A the optimal map back."""
    values, vectors = np.linalg.eigh(M)
    root, inverse_root = ((vectors * values**p) @ vectors.T for p in (0.5, -0.5))
    spread, axes = np.linalg.eigh(_between(inverse_root, cov))
    spread = np.maximum(spread, 0.0)
    grown = 0.5 * spread + heat + np.sqrt(spread * (0.25 * spread + heat))
    after = _between(inverse_root, (axes * grown) @ axes.T)
    return after, heat * _between(root, (axes / grown) @ axes.T) - (M - np.eye(len(M)))


def _between(a: NDArray[Any], matrix: NDArray[Any]) -> Floats:
    """a matrix a', symmetric to the last bit."""
    product = a @ matrix @ a.T
    return np.asarray(0.5 * (product + product.T))


@dataclass(frozen=True, eq=False)
class _Quadratics:
    """An energy in the coordinates y = root^-1 x in which the metric is Euclidean: V = y slope y/2 + offset y, W = y pair y/2."""

    energy: Energy
    root: Floats
    slope: Floats
    offset: Floats
    pair: Floats
    T: float

    @classmethod
    def of(cls, problem: Langevin, energy: Energy) -> _Quadratics:
        if isinstance(problem.D, Varying):
            raise ValueError(
                "got a D that depends on x for Gaussian, expected a constant one; type method=sg.Quantile() or sg.Graph()"
            )
        if energy.temperature is None:
            raise ValueError(
                "got an internal energy other than T int rho log rho for Gaussian, expected that one: no other keeps densities normal; "
                "type method=sg.Quantile() or sg.Graph()"
            )
        root = np.asarray(np.linalg.cholesky(problem.D(np.zeros(problem.dim))))
        matrices, offsets = (
            zip(*(_affine(U) for U in energy.potentials), strict=True) if energy.potentials else ((), ())
        )
        nothing = np.zeros((problem.dim, problem.dim))
        return cls(
            energy,
            root,
            _between(root.T, sum(matrices, nothing)),
            root.T @ sum(offsets, np.zeros(problem.dim)),
            _between(root.T, sum((_affine(W)[0] for W in energy.interactions), nothing)),
            energy.temperature,
        )

    def energy_of(self, rho: GaussianState) -> float:
        """V(m) + tr((H + K) S)/2 - T (log det(2 pi S) + d)/2; infinite where S is singular."""
        d, y = len(rho.mean), _between(np.asarray(np.linalg.inv(self.root)), rho.covariance)
        volume = float(np.linalg.slogdet(2 * np.pi * rho.covariance)[1])
        level = float(self.energy.potential(rho.mean)) + 0.5 * float(np.sum((self.slope + self.pair) * y))
        return level - 0.5 * self.T * (volume + d) + 0.5 * sum(float(W(np.zeros(d))) for W in self.energy.interactions)


def level(problem: Langevin, energy: Energy, mean: Floats, cov: Floats) -> float:
    """The energy of a normal density, for quadratic potentials."""
    return _Quadratics.of(problem, energy).energy_of(GaussianState(mean, cov))


def _affine(U: Potential) -> tuple[Floats, Floats]:
    """The Hessian and the gradient at 0."""
    if not isinstance(U.grad, Affine):
        raise ValueError(
            f"got {U.name}, which is not written as a quadratic, for Gaussian, expected sg.quadratic(H, center); "
            "type method=sg.Quantile() or sg.Graph() for other potentials"
        )
    return U.grad.matrix, U.grad.offset


@dataclass(frozen=True, eq=False)
class Normal:
    """The state of a flow of normal densities."""

    quadratics: _Quadratics
    density: GaussianState
    w2: float = 0.0
    iterations: int = 0
    residual: float = 0.0

    @property
    def energy(self) -> float:
        return self.quadratics.energy_of(self.density)

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"mean": self.density.mean, "cov": self.density.covariance, "w2": np.array(self.w2)}
