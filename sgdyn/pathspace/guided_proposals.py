"""Guided proposals: paths pulled to the end by a linear process whose bridges are known, weighed by what they differ.

    dX = (b + 2 T D r(s, X)) ds + sqrt(2 T) sigma dW,     r(s, x) = grad log p~(b, t | x, s),

p~ of the process linearised at b. The bridge has the density exp(∫ G ds) relative to X,

    G = (b - b~) . r - tr((a - a~)(H - r r'))/2,   a = 2 T D,   H = -grad r,   and   p(b, t | a) = p~(b, t | a) E exp(∫ G ds).

Source: Schauer, van der Meulen, van Zanten, Bernoulli 23, 2917 (2017), theorem 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import expm

from sgdyn import checks
from sgdyn.estimate import Estimate
from sgdyn.pathspace.coefficients import Coefficients, coefficients
from sgdyn.pathspace.ensembles import Actions, best_rule
from sgdyn.pathspace.functional import Action
from sgdyn.pathspace.paths import Path, ends
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]
Moved = tuple[Floats, NDArray[np.bool_]]


@dataclass(frozen=True)
class GuidedProposals:
    """Chains that move the noise of guided proposals as the preconditioned Crank-Nicolson method moves paths; also for D(x).

    step: in (0, 1]; 1 proposes independent paths. Steps of the path shorten towards its end, s = t u (2 - u) for equal steps of u. Chains
    weigh paths by the density of `bridges` over that of the proposals' own steps, so that they sample what other methods do; `density`
    takes Euler-Maruyama's steps and the weights exp(∫ G ds), O(dt).
    """

    step: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < checks.number("step", self.step) <= 1:
            raise ValueError(f"got step={self.step}, expected a number in (0, 1]; type step=0.5")

    def chain(self, problem: Langevin, start: Path, count: int, rng: np.random.Generator) -> _Chain:
        return _Chain(self.step, Guidance(problem, start.x[0], start.x[-1], start.duration, start.n), count, rng)

    def density(
        self,
        problem: Langevin,
        a: ArrayLike,
        b: ArrayLike,
        t: float,
        *,
        n: int = 200,
        samples: int = 2000,
        seed: int = 0,
    ) -> Estimate:
        """p(b, t | a) by the mean weight of independent guided proposals, with its standard error; the steps leave O(t/n)."""
        first, last = ends(a, b, problem.dim)
        guidance = Guidance(problem, first, last, checks.positive("t", t), checks.count("n", n, least=2))
        z = np.random.default_rng(seed).standard_normal(
            (n, checks.count("samples", samples, least=2), guidance.c.D.rank)
        )
        logs = guidance.walked(z)[1] + guidance.log_density
        weights = np.exp(logs)
        error = float(weights.std(ddof=1) / np.sqrt(samples))
        worth = float(weights.sum() ** 2 / (weights**2).sum())
        doubts = (f"{worth:.0f} paths carry the weight of all: the error is a guess",) if worth < 50 else ()
        return Estimate(
            float(weights.mean()), error, f"{samples} guided proposals, {worth:.0f} effective, n={n}", weights, doubts
        )


@dataclass(frozen=True, eq=False)
class Guidance:
    """The linear process dX~ = (B x + beta) ds + sqrt(a~) dW, tangent to the problem's at b, and its pull towards b."""

    problem: Langevin
    a: Floats
    b: Floats
    duration: float
    n: int

    @cached_property
    def c(self) -> Coefficients:
        c = coefficients(self.problem, noiseless=False)
        if c.degenerate:
            raise ValueError("got a D without full rank, expected one with: nothing pulls paths in other directions")
        return c

    @cached_property
    def t(self) -> Floats:
        """The times (n + 1,)."""
        u = np.linspace(0, 1, self.n + 1)
        return np.asarray(self.duration * u * (2 - u))

    @cached_property
    def linear(self) -> tuple[Floats, Floats, Floats]:
        """B, beta and a~."""
        B = self.c.jacobian(self.b[None])[0]
        return B, self.c.drift(self.b[None])[0] - B @ self.b, 2 * self.c.T * self.c.D(self.b)

    @cached_property
    def pulls(self) -> list[tuple[Floats, Floats, Floats]]:
        """Flow Phi and shift of the linear process over the rest of the time, and its inverse covariance, at each time but the last."""
        return [self._rest(self.duration - s) for s in self.t[:-1]]

    def _rest(self, time: float) -> tuple[Floats, Floats, Floats]:
        B, beta, noise = self.linear
        d = len(B)
        whole = expm(
            time * np.block([[-B, noise], [np.zeros((d, d)), B.T]])
        )  # Van Loan, IEEE Trans. Autom. Control 23, 395 (1978)
        flow = whole[d:, d:].T
        shift = expm(time * np.block([[B, beta[:, None]], [np.zeros((1, d + 1))]]))[:d, d]
        covariance = flow @ whole[:d, d:]
        return flow, shift, np.linalg.inv(0.5 * (covariance + covariance.T))

    @cached_property
    def log_density(self) -> float:
        """log p~(b, t | a)."""
        flow, shift, inverse = self.pulls[0]
        u = self.b - flow @ self.a - shift
        return float(0.5 * np.linalg.slogdet(inverse / (2 * np.pi))[1] - 0.5 * u @ inverse @ u)

    @cached_property
    def shares(self) -> Floats:
        """What of a step's noise is left to paths that know their end (n,): the time after the step over that before it."""
        rest = self.duration - self.t
        return np.asarray(rest[1:] / rest[:-1])

    def log_proposal(self, x: Floats, z: Floats) -> Floats:
        """log of the density (count,) with which paths x came out of normals z, their steps' noise lessened by `shares`."""
        c, dt = self.c, np.diff(self.t)[:-1]
        inner = x[:, :-2]
        volumes = c.dim * np.log(4 * np.pi * c.T * dt * self.shares[:-1])
        volumes = volumes + c.log_determinant(inner.reshape(-1, c.dim)).reshape(inner.shape[:2])
        return np.asarray(-0.5 * np.einsum("nci,nci->c", z[:-1], z[:-1]) - 0.5 * volumes.sum(1))

    def walked(self, z: Floats, *, pinned: bool = False) -> tuple[Floats, Floats]:
        """Paths (count, n + 1, dim) from normals z (n, count, rank), and ∫ G ds (count,); pinned: the noise lessened by `shares`."""
        c, (B, beta, noise), count = self.c, self.linear, z.shape[1]
        x, logs = np.tile(self.a, (count, 1)), np.zeros(count)
        paths = [x]
        for k, (flow, shift, inverse) in enumerate(self.pulls):
            h, drift = self.t[k + 1] - self.t[k], c.drift(x)
            r = (self.b - x @ flow.T - shift) @ inverse @ flow
            logs += h * np.einsum("ni,ni->n", drift - x @ B.T - beta, r)
            a = 2 * c.T * c.D(x) if c.varying else noise[None]
            if c.varying:
                H = flow.T @ inverse @ flow
                logs -= 0.5 * h * np.einsum("nij,nij->n", a - noise, H - r[:, :, None] * r[:, None, :])
            x = x + h * (drift + np.einsum("nij,nj->ni", np.broadcast_to(a, (count, *noise.shape)), r))
            x = x + np.sqrt(2 * c.T * h * (self.shares[k] if pinned else 1.0)) * c.D.apply(paths[-1], z[k])
            paths.append(x)
        paths[-1] = np.tile(self.b, (count, 1))
        return np.stack(paths, 1), logs


class _Chain:
    """Chains of the normals behind guided proposals."""

    def __init__(self, step: float, guidance: Guidance, count: int, rng: np.random.Generator) -> None:
        self.step, self.guidance, self.rng, self.t = step, guidance, rng, guidance.t
        self.actions = Actions(Action(guidance.problem, best_rule(guidance.problem)), guidance.t)
        self.z = rng.standard_normal((guidance.n, count, guidance.c.D.rank))
        self.paths, self.logs = self._weighed(self.z)

    def _weighed(self, z: Floats) -> tuple[Floats, Floats]:
        """Paths and the logarithms of their densities over those of the proposals."""
        paths = self.guidance.walked(z, pinned=True)[0]
        return paths, self.actions.log_density(paths) - self.guidance.log_proposal(paths, z)

    def next(self) -> Moved:
        """The paths after one move, and which chains moved."""
        z = np.sqrt(1 - self.step**2) * self.z + self.step * self.rng.standard_normal(self.z.shape)
        paths, logs = self._weighed(z)
        taken = np.log(self.rng.random(len(logs))) < logs - self.logs
        self.z = np.where(taken[None, :, None], z, self.z)
        self.paths = np.where(taken[:, None, None], paths, self.paths)
        self.logs = np.where(taken, logs, self.logs)
        return self.paths, taken
