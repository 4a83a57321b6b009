"""Bouchet and Reygner's prefactor along a fluctuation path, for drifts without detailed balance and constant D."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline
from scipy.linalg import solve_continuous_lyapunov

from sgdyn.escape.regimes import check_barrier, mean_time
from sgdyn.escape.surfaces import differences, jacobian
from sgdyn.estimate import Estimate
from sgdyn.noise import Varying
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]

NEAR = 2e-3
"""The ends of the path within this share of its length are left to the linearised dynamics."""
EARLIER = 5
"""So many times farther from the saddle the prefactor is formed again: there it should be the same."""
CAUSTIC = 1e4
"""Where Hess V across the path is so many times that at the well it diverges."""


def bouchet_reygner(problem: Langevin, path: Floats) -> Estimate:
    """The mean time from a well over a saddle along one fluctuation path (points, dim), from zero to zero of the drift.

        tau = (2 pi/lambda_+) sqrt(|det Q_s|/det Q_m) exp(∫ F dt) e^{V_s/T},   F = div b + tr(D Q),
        x' = b + 2 D p on the path,   Q' = -(p.b_xx + J'Q + Q J + 2 Q D Q),   Q = Hess V

    V is the quasipotential. Across the path Q is integrated from the Lyapunov solution at the well; along it Q x' = p' gives it, since the
    whole matrix equation has a growing mode at the saddle. At the saddle Q is the limit along the path: where rates are in resonance
    (Maier and Stein, mu = 1) it is another than the Lyapunov solution there. Where the path comes in along the separatrix (lambda_+ above the
    slowest stable rate) Q tends to 0 and ∫ F dt to infinity; their product, which alone matters, stays. The error is T/barrier, the scale of
    the term of order T, and by how much that product moves over the end of the path: a path that is not resolved there is warned of.
    Source: Bouchet and Reygner, Ann. Henri Poincaré 17, 3499 (2016), for constant D.
    """
    if isinstance(problem.D, Varying):
        raise ValueError("got a D that depends on x, expected a constant one; type D=problem.D(x) to freeze it at x")
    way = _Way.along(problem, path)
    height = way.barrier / problem.T
    check_barrier(height)
    J = jacobian(problem.drift, path[-1])
    rates = np.linalg.eigvals(J)
    growing = rates[rates.real > 0]
    if len(growing) != 1:
        raise ValueError(f"got the rates {np.array2string(rates, precision=4)} at the end of the path, expected one that is positive: a saddle")  # fmt: skip
    earlier, end = way.carried()
    log_time = np.log(2 * np.pi / float(growing[0].real)) + end + height
    moved = abs(end - earlier)
    name = "Bouchet-Reygner, error: the scale T/barrier of the term of order T"
    return mean_time(log_time, 1 / height + moved, height, name, _unresolved(moved))


def _unresolved(moved: float) -> tuple[str, ...]:
    if moved < 0.1:
        return ()
    return (
        f"the prefactor changes by {np.expm1(moved):.0%} over the last percent of the path: the path comes in along the separatrix, where a graph "
        "over the chord does not resolve it; type path=..., or sg.fokker_planck",
    )


@dataclass(frozen=True, eq=False)
class _Way:
    """A path by its length (0 at the well), with speed, momentum and frame at every length."""

    problem: Langevin
    D: Floats
    x: CubicSpline
    p: CubicSpline
    length: float
    barrier: float

    @classmethod
    def along(cls, problem: Langevin, path: Floats) -> _Way:
        gaps = np.linalg.norm(np.diff(path, axis=0), axis=1)
        path = path[np.concatenate([[True], gaps > 0])]
        arc = np.concatenate([[0.0], np.cumsum(gaps[gaps > 0])])
        for _ in range(2):  # chords, then arcs
            x = CubicSpline(arc, path)
            nodes = arc[:-1, None] + np.diff(arc)[:, None] * np.array([0.2113248654051871, 0.7886751345948129])
            pieces = 0.5 * np.diff(arc) * np.linalg.norm(x(nodes, 1), axis=-1).sum(axis=1)
            arc = np.concatenate([[0.0], np.cumsum(pieces)])
        x = CubicSpline(arc, path)
        D = problem.D(path[0])
        p = CubicSpline(arc, _momentum(problem, D, path, x(arc, 1))[0])
        work = CubicSpline(arc, np.sum(p(arc) * x(arc, 1), axis=1))
        return cls(problem, D, x, p, float(arc[-1]), float(work.integrate(0, arc[-1])))

    def frame(self, s: float) -> tuple[Floats, Floats, float]:
        """Unit tangent (dim,), its derivative with the length, and the speed at the length s."""
        tangent, bend = self.x(s, 1), self.x(s, 2)
        size = np.linalg.norm(tangent)
        t = tangent / size
        speed = _momentum(self.problem, self.D, self.x(s)[None], t[None])[1][0]
        return t, (bend - (bend @ t) * t) / size**2, float(speed)

    def carried(self) -> tuple[float, float]:
        """log sqrt(|det Q|/det Q_m) + ∫ F dt a percent before the saddle and next to it."""
        J = jacobian(self.problem.drift, self.x(0.0))
        covariance = solve_continuous_lyapunov(J, -2 * self.D)
        start = np.linalg.inv(0.5 * (covariance + covariance.T))
        low, high = NEAR * self.length, (1 - NEAR) * self.length
        t = self.frame(low)[0]
        N = np.linalg.svd(t[None])[2][1:].T
        n = N.shape[1]
        state = np.concatenate([N.ravel(), (N.T @ start @ N).ravel(), [0.0]])
        largest = CAUSTIC * float(np.abs(start).max())

        def diverges(_: float, y: Floats) -> float:
            return largest - float(np.abs(y[N.size : -1]).max())

        diverges.terminal = True  # type: ignore[attr-defined]
        ends = [(1 - EARLIER * NEAR) * self.length, high]
        found = solve_ivp(self._slope, (low, high), state, "LSODA", ends, events=diverges, rtol=1e-8, atol=1e-10)
        if found.status != 0:
            raise ValueError(
                "got a path on which Hess V diverges (a caustic), so that it is no path of least action; type the path that is, or "
                "leave path= out"
            )

        def prefactor(s: float, y: Floats) -> float:
            Q = self._hessian(s, y[: N.size].reshape(N.shape), y[N.size : -1].reshape(n, n))
            return float(0.5 * (np.linalg.slogdet(Q)[1] - np.linalg.slogdet(start)[1]) + y[-1])

        earlier, end = (prefactor(s, y) for s, y in zip(ends, found.y.T, strict=True))
        return earlier, end

    def _hessian(self, s: float, N: Floats, R: Floats) -> Floats:
        """Q from its part R across the path and from Q x' = p' along it."""
        t = self.frame(s)[0]
        slope = self.p(s, 1) / np.linalg.norm(self.x(s, 1))
        across = N.T @ slope
        mixed = np.outer(N @ across, t)
        return np.asarray(np.outer(t, t) * (t @ slope) + mixed + mixed.T + N @ R @ N.T)

    def _slope(self, s: float, state: Floats) -> Floats:
        """d/ds of the frame N (turned as little as possible), of R = N'QN and of ∫ F dt."""
        dim = self.problem.dim
        n = dim - 1
        N, R = state[: dim * n].reshape(dim, n), state[dim * n : -1].reshape(n, n)
        t, bend, speed = self.frame(s)
        Q = self._hessian(s, N, R)
        x, p = self.x(s), self.p(s)
        J = jacobian(self.problem.drift, x)
        second = differences(lambda y: jacobian(self.problem.drift, y), x[None])[0]
        rate = -(np.einsum("i,ijk->jk", p, second) + J.T @ Q + Q @ J + 2 * Q @ self.D @ Q) / speed
        turn = N.T @ bend
        mixed = np.outer(turn, N.T @ Q @ t)
        source = (np.trace(J) + np.trace(self.D @ Q)) / speed
        return np.concatenate([(-np.outer(t, turn)).ravel(), (N.T @ rate @ N - mixed - mixed.T).ravel(), [source]])


def _momentum(problem: Langevin, D: Floats, x: Floats, tangent: Floats) -> tuple[Floats, Floats]:
    """p = D^-1 (x' - b)/2 and the speed |x'| at zero energy: |x'|_{D^-1} = |b|_{D^-1}."""
    inverse = np.linalg.inv(D)
    b = problem.drift(x)
    unit = tangent / np.linalg.norm(tangent, axis=1, keepdims=True)
    size = np.sqrt(np.einsum("ni,ij,nj->n", unit, inverse, unit))
    speed = np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", b, inverse, b), 0.0)) / size
    return 0.5 * (speed[:, None] * unit - b) @ inverse, speed
