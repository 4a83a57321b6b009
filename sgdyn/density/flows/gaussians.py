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
    order=2: BDF2, the same step of length 2 tau/3 from where a third more of the last step's way would have led. The first step is of order 1,
    and so is all that begins at a point, which widens like sqrt(t). What is at rest stays for every tau; that each step lowers the energy by
    W²/(2 tau) is sure with order=1 only.

    Raises ValueError where 1 + tau H is not positive definite: then a step has no minimum. Sources: the equation A S' A = S of the optimal map
    A = M - tau T S'^-1 back; for d = 1 Jordan, Kinderlehrer, Otto, SIAM J. Math. Anal. 29, 1 (1998); order 2: Gallouet, Natale, Todeschi,
    arXiv:2209.14622.
    """

    order: int = 1

    def __post_init__(self) -> None:
        if self.order not in (1, 2):
            raise ValueError(f"got order={self.order!r}, expected 1 (JKO) or 2 (BDF2)")

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
        far, stretch, span = _ahead(state, tau) if self.order == 2 else (0 * mean, 0 * cov, tau)
        by_mean = _definite(one + span * q.slope, tau)
        moved = np.linalg.solve(by_mean, mean + far - span * q.offset)
        by_pair = _definite(one + span * (q.slope + q.pair), tau)
        after, away = _spread(by_pair, _between(one + stretch, cov), span * q.T)
        if span != tau:
            away = one - _map_back(after, cov)
        w2 = float(np.sqrt(np.sum((moved - mean) ** 2) + np.trace(away @ after @ away)))
        rho = GaussianState(q.root @ moved, _between(q.root, after))
        return Normal(q, rho, w2, 1, moved=moved - mean, away=away)

    def restore(self, state: Normal, arrays: dict[str, NDArray[Any]]) -> Normal:
        rho = GaussianState(arrays["mean"], arrays["cov"])
        return Normal(state.quadratics, rho, float(arrays["w2"]), 1, moved=arrays["moved"], away=arrays["away"])


def _ahead(state: Normal, tau: float) -> tuple[Floats, Floats, float]:
    """A third of how the last step moved the mean and stretched the rest, and 2 tau/3; nothing and tau at the start."""
    if state.moved is None or state.away is None:
        return np.zeros_like(state.density.mean), np.zeros_like(state.density.covariance), tau
    return state.moved / 3, state.away / 3, 2 * tau / 3


def _map_back(after: Floats, before: Floats) -> Floats:
    """The optimal map from one covariance, which is positive definite, to another."""
    values, vectors = np.linalg.eigh(after)
    root, inverse_root = ((vectors * values**p) @ vectors.T for p in (0.5, -0.5))
    values, vectors = np.linalg.eigh(_between(root, before))
    return _between(inverse_root, (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)


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
    """The state of a flow of normal densities. `moved`: how the last step moved the mean, `away`: 1 - A with A its optimal map back, both in
    the coordinates of the metric."""

    quadratics: _Quadratics
    density: GaussianState
    w2: float = 0.0
    iterations: int = 0
    residual: float = 0.0
    moved: Floats | None = None
    away: Floats | None = None

    @property
    def energy(self) -> float:
        return self.quadratics.energy_of(self.density)

    def arrays(self) -> dict[str, NDArray[Any]]:
        rho = {"mean": self.density.mean, "cov": self.density.covariance, "w2": np.array(self.w2)}
        return rho if self.moved is None or self.away is None else {**rho, "moved": self.moved, "away": self.away}
