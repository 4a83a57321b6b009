"""`Entropic`: steps on a grid by Sinkhorn's scaling, with the blur that it brings taken off to first order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.density.distribution import Density
from sgdyn.density.flows.energies import Energy
from sgdyn.density.flows.flow import Flow
from sgdyn.density.flows.kernels import Kernel, kernel
from sgdyn.errors import NotConvergedError
from sgdyn.noise import Varying
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]

NARROWEST = 0.7
"""Of a cell: with a kernel of this standard deviation the sums over cells are integrals to 1e-4, with one of a whole cell to 1e-8."""
NEWTON = 100
LARGEST_STEP = 5.0


@dataclass(frozen=True, eq=False)
class EntropicState:
    """A density on its grid, and log a of the last scaling, from which the next one starts."""

    problem: Langevin
    base: Energy
    density: Density
    scaling: Floats
    energy: float
    w2: float = 0.0
    iterations: int = 0
    residual: float = 0.0

    def arrays(self) -> dict[str, NDArray[Any]]:
        step = np.array([self.energy, self.w2, self.residual, float(self.iterations)])
        return {"values": self.density.values, "scaling": self.scaling, "step": step}


@dataclass(frozen=True)
class Entropic:
    """JKO steps on a grid whose plans pi are found by scaling, pi = b K a with K = exp(-(x - y)' D^-1 (x - y)/(2 tau regularisation)):

        min F(rho) + cost(pi)/(2 tau) + regularisation (int pi log pi - 1/2 int rho log rho [corrected])

    int pi log pi acts on rho like half the regularisation e added to the temperature, and e² tau/16 times its Fisher information: a normal
    density rests at h s² = T + e/2 + e² tau h/(8 T). The first is Peyré's bias (corrected=False), which the correction takes off; the
    second is left. regularisation: an energy, by default the temperature. Iterations grow like 1/e; the standard deviation (tau e D)^½ of
    the kernel must not be much below a cell. w2 comes from Sinkhorn's divergence, which is free of the first bias, too. For a constant D;
    if it is not diagonal, up to 4096 cells. Any internal energies, no interactions.
    Sources: Peyré, arXiv:1502.06216; Feydy et al., arXiv:1810.08278 (divergence); Conforti and Tamanini, arXiv:1912.10555 (expansion).
    """

    regularisation: float | None = None
    corrected: bool = True
    tolerance: float = 1e-10
    iterations: int = 20_000

    def __post_init__(self) -> None:
        if self.regularisation is not None:
            checks.positive("regularisation", self.regularisation)
        checks.positive("tolerance", self.tolerance)
        checks.count("iterations", self.iterations)
        checks.truth("corrected", self.corrected)

    def start(self, problem: Langevin, rho0: Any, energy: Energy, seed: np.random.SeedSequence) -> EntropicState:
        """The state at time 0. Raises TypeError or ValueError for what is not on a grid, varying D, absorbing walls and interactions."""
        if not isinstance(rho0, Density):
            raise TypeError(
                f"got a start of type {type(rho0).__name__} for Entropic, expected a Density on a grid; type sg.Density(grid, values)"
            )
        if isinstance(problem.D, Varying):
            raise ValueError("got a D that varies with x for Entropic, expected a constant one; type method=sg.Graph()")
        if any(side == "absorbing" for pair in rho0.grid.boundary for side in pair):
            raise ValueError('got absorbing walls, expected walls that keep the mass; type boundary="reflecting"')
        if energy.interactions:
            raise ValueError("got an interaction for Entropic, expected none; type method=sg.Particles(...)")
        self._strength(energy)
        return EntropicState(problem, energy, rho0, np.zeros(rho0.grid.shape), energy.value(rho0))

    def restore(self, state: EntropicState, arrays: dict[str, NDArray[Any]]) -> EntropicState:
        """The state whose `arrays()` these are."""
        energy, w2, residual, iterations = (float(v) for v in arrays["step"])
        rho = replace(state.density, values=arrays["values"])
        return replace(
            state, density=rho, scaling=arrays["scaling"], energy=energy, w2=w2, residual=residual, iterations=int(iterations)
        )  # fmt: skip

    def step(self, state: EntropicState, tau: float) -> EntropicState:
        """The next density. Raises `NotConvergedError`, and ValueError where the kernel is narrower than the cells."""
        grid, eps = state.density.grid, self._strength(state.base)
        D = state.problem.D(np.zeros(grid.dim))
        _check_width(grid.widths, eps * tau * np.diag(D), eps)
        K = kernel(grid, D, 2 * tau * eps)
        before = _log(state.density.values)
        problem = _Scaling(state.base, state.base.potential(grid.centers), eps, 0.5 if self.corrected else 1.0)
        a, b, after, iterations, residual = self._scaled(K, problem, before, state.scaling, grid.volumes)
        values = np.exp(after)
        rho = Density(grid, values / np.sum(values * grid.volumes))
        # potentials up to constants that cancel: the first marginal is exact
        cost = _mean(rho, a, after) + _mean(state.density, b, before)
        own = [self._own(K, density) for density in (state.density, rho)]
        w2 = float(np.sqrt(max(0.0, 2 * tau * eps * (cost - 0.5 * sum(own)))))
        return replace(
            state, density=rho, scaling=a, energy=state.base.value(rho), w2=w2, iterations=iterations, residual=residual
        )  # fmt: skip

    def remarks(self, flow: Flow) -> list[str]:
        """The bias left at rest, of a normal density as wide as the last one: h s² = T + e² tau h/(8 T), and e/2 more without correction."""
        eps, T, last = self._strength(flow.energy), flow.energy.temperature, flow[-1]
        D = np.diag(flow.problem.D(np.zeros(last.grid.dim)))
        if T is None:
            blur = float(np.sqrt(flow.tau * eps * D.max()))
            return [f"regularisation {eps:.3g}: plans are blurred by {blur:.2g} in x; type a smaller regularisation"]
        ratio = float(np.max(D * T / np.diag(last.cov())))  # of h in the metric, at rest
        bias = eps**2 * flow.tau * ratio / (8 * T**2) + (0.0 if self.corrected else eps / (2 * T))
        return [
            f"regularisation {eps:.3g}: at rest variances are too large by about {100 * bias:.2g} % of a normal density as wide as the last one; "
            "type a smaller regularisation, or method=sg.Graph()"
        ]

    def _scaled(
        self, K: Kernel, problem: _Scaling, before: Floats, a: Floats, volumes: Floats
    ) -> tuple[Floats, Floats, Floats, int, float]:
        """(log a, log b, log rho, iterations, relative change of masses in the last one)."""
        residual = np.inf
        for k in range(self.iterations):
            b = before - K(a)
            there = K(b)
            after = problem.minimiser(there)
            change = after - there - a
            a = a + problem.relaxation * change
            residual = float(np.sum(volumes * np.exp(after) * np.minimum(np.abs(change), 1.0)))
            if residual < self.tolerance:
                return a, b, after, k + 1, residual
        raise NotConvergedError(
            f"got masses wrong by {residual:.3g} after {self.iterations} scalings, expected {self.tolerance:g}; type a larger regularisation or tolerance"
        )

    def _own(self, K: Kernel, rho: Density) -> float:
        """The cost of a density to itself over the regularisation, by symmetric scaling."""
        target, there = _log(rho.values), rho.values > 0
        a = np.where(there, 0.0, -np.inf)
        for _ in range(self.iterations):
            new = target - K(a)
            error = float(rho.masses[there] @ np.minimum(np.abs(a[there] - new[there]), 1.0))
            a = np.where(there, 0.5 * (a + new), -np.inf)
            if error < self.tolerance:
                return 2 * _mean(rho, a, target)
        raise NotConvergedError(
            f"got masses wrong by {error:.3g} after {self.iterations} scalings, expected {self.tolerance:g}; type a larger regularisation or tolerance"
        )

    def _strength(self, energy: Energy) -> float:
        if self.regularisation is not None:
            return self.regularisation
        if energy.temperature is None:
            raise ValueError(
                "got an energy without a temperature and no regularisation, expected one; type sg.Entropic(regularisation=...)"
            )
        return energy.temperature


@dataclass(frozen=True, eq=False)
class _Scaling:
    """The second marginal: min of F(rho) + eps (KL(rho | K b) - (1 - share) int rho log rho), cell by cell."""

    energy: Energy
    potential: Floats
    eps: float
    share: float

    @property
    def relaxation(self) -> float:
        """Scaling multiplies errors of log a by -slope times averages over the kernel, twice, with eigenvalues from 0 to 1; this is best for
        all of them. Without a temperature the slope comes close to 1 where the density vanishes."""
        T, kept = self.energy.temperature, self.share * self.eps
        slope = 1.0 if T is None else self.eps / (kept + T) - 1
        return 2 / (2 + slope)

    def minimiser(self, there: Floats) -> Floats:
        """log rho: the root of share eps log rho + V + f'(rho) = eps log K b."""
        kept, T = self.share * self.eps, self.energy.temperature
        target = self.eps * there - self.potential
        if T is not None:
            return (target - T) / (kept + T)
        r = np.minimum(target / kept, 0.0)
        for _ in range(NEWTON):
            rho = np.exp(r)
            step = (kept * r + self.energy.slope(rho) - target) / (kept + rho * self.energy.curvature(rho))
            r = r - np.clip(step, -LARGEST_STEP, LARGEST_STEP)
            if np.abs(step).max() < 1e-13 * (1 + np.abs(r).max()):
                break
        return r


def _log(values: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.log(values)


def _mean(rho: Density, f: Floats, g: Floats) -> float:
    """The average of f - g, where there is any mass."""
    there = rho.values > 0
    return float(rho.masses[there] @ (f[there] - g[there]))


def _check_width(widths: tuple[Floats, ...], variances: Floats, eps: float) -> None:
    for k, (cells, variance) in enumerate(zip(widths, variances, strict=True)):
        needed = NARROWEST * float(cells.max())
        if variance < needed**2:
            raise ValueError(
                f"got cells of {cells.max():.3g} along axis {k} and a kernel of {np.sqrt(variance):.3g}, expected at least {needed:.3g}: mass "
                f"would not leave its cell; type regularisation={eps * needed**2 / variance:.2g}, or more cells"
            )
