"""The stationary state taken apart: the potential that holds the density, the current that keeps it, and what turns it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.currents import Current
from sgdyn.density.distribution import Density, gaussian
from sgdyn.density.forces import forces
from sgdyn.density.generator import Generator, fokker_planck
from sgdyn.density.grid import Grid
from sgdyn.density.refinement import ROUNDING
from sgdyn.estimate import Estimate
from sgdyn.fields import Affine
from sgdyn.noise import Varying
from sgdyn.problem import Langevin
from sgdyn.steady.linear import linear_stationary

Floats = NDArray[np.float64]

FAINT = 1e-10
"""Below this share of the largest density the stream function is rounding."""
CUT_OFF = 1e-6
RESOLVED = 0.1
"""Above this relative residual of the identity the cells are too wide for the derivatives that are shown."""


@dataclass(frozen=True, eq=False)
class Decomposition:
    """The drift of a process as b = -D grad Phi + T div D + j, on a grid.

        Phi = -T log rho,   rho j = T div(Q rho),   Q = -Q',   div(rho j) = 0   <=>   j . grad Phi = T div j

    `flow` is the stationary current rho j with its density rho. j is orthogonal to grad Phi only where div j = 0. Phi depends on T in general.
    """

    process: Langevin
    flow: Current
    entropy_production: Estimate
    known_Q: Floats | None = None

    @property
    def grid(self) -> Grid:
        return self.flow.grid

    @property
    def density(self) -> Density:
        return self.flow.density

    @cached_property
    def Phi(self) -> Floats:
        """-T log rho (*shape), 0 where it is lowest; infinite where the density is below the smallest float."""
        rho = self.density
        with np.errstate(divide="ignore"):
            logs = np.log(rho.values) if rho.log_values is None else rho.log_values
        return np.asarray(-self.process.T * (logs - logs.max()))

    @property
    def j(self) -> Floats:
        """The current velocity (*shape, dim), 0 where there is no density."""
        return self.flow.velocity

    @cached_property
    def Q(self) -> Floats:
        """The antisymmetric matrix Q(x) (*shape, dim, dim) with rho j = T div(Q rho), which vanishes with the density.

        One dimension: 0. Two: from the stream function T Q_01 rho of the current; NaN where the density is below 1e-10 of the largest. Raises ValueError in three dimensions (Q is then one of
        many) and on periodic grids (a current that winds around has no Q), unless the process is linear.
        """
        dim, shape = self.grid.dim, self.grid.shape
        if self.known_Q is not None:
            return np.broadcast_to(self.known_Q, (*shape, dim, dim))
        if dim > 2 or any(self.grid.periodic):
            raise ValueError(
                f"got a grid of {dim} axes, periodic: {self.grid.periodic}, expected one or two with walls: elsewhere no single Q belongs to a current"
            )
        found = np.zeros((*shape, dim, dim))
        if dim == 2:
            rho = self.density.values
            weight = np.where(rho > FAINT * rho.max(), self.process.T * rho, np.nan)
            q = _stream(self.flow) / weight
            found[..., 0, 1], found[..., 1, 0] = q, -q
        return found

    @cached_property
    def residuals(self) -> dict[str, float]:
        """How well both sides of the equivalence above hold, relative to the size of their terms; 0 without a current.

        "divergence": int |div(rho j)| / int |grad(rho j)|. "identity": E|j . grad Phi - T div j| / E(|j||grad Phi| + T|grad j|), by central
        differences, so that it falls with the square of the cell width.
        """
        x, rho, T = self.grid.midpoints, self.density.masses, self.process.T
        if not np.any(self.entropy_production.value > 1e-15) or min(self.grid.shape) < 3:
            return {"divergence": 0.0, "identity": 0.0}
        seen = (slice(1, -1),) * self.grid.dim  # one-sided differences at the edge are of first order
        slopes, rises = (
            _gradient(self.j, x),
            _gradient(np.where(np.isfinite(self.Phi), self.Phi, 0.0)[..., None], x)[..., 0, :],
        )
        gap = np.einsum("...i,...i->...", self.j, rises) - T * np.trace(slopes, axis1=-2, axis2=-1)
        size = np.linalg.norm(self.j, axis=-1) * np.linalg.norm(rises, axis=-1) + T * np.linalg.norm(
            slopes, axis=(-2, -1)
        )
        volumes, steep = self.grid.volumes, np.linalg.norm(_gradient(self.flow.values, x), axis=(-2, -1))
        return {
            "divergence": float((np.abs(self.flow.divergence) * volumes).sum() / (steep * volumes).sum()),
            "identity": float((rho * np.abs(gap))[seen].sum() / (rho * size)[seen].sum()),
        }

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes it less certain: notes of the density, and residuals that are too large."""
        large = [
            f"the residual of the {name} is {r:.2g}: the cells are too wide for it, type a finer Grid"
            for name, r in self.residuals.items()
            if r > RESOLVED
        ]
        return tuple(dict.fromkeys((*self.density.warnings, *self.entropy_production.warnings, *large)))

    def __str__(self) -> str:
        shape = "x".join(map(str, self.grid.shape))
        notes = dict.fromkeys((*self.entropy_production.warnings, *self.warnings))
        found = replace(self.entropy_production, warnings=tuple(notes))
        return f"stationary state at T={self.process.T:g} on {shape} cells, entropy production {found}"

    __repr__ = __str__

    def plot(self, ax: Any = None) -> Any:
        """Contours of Phi and streamlines of the current over the density (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def decompose(source: Generator | Langevin, grid: Grid | None = None) -> Decomposition:
    """Potential, current, Q and entropy production of the stationary state of a process, on a grid.

    source: a `Generator`, or a `Langevin` process with a grid. In closed form for linear processes and where exp(-Psi) is known to be
    stationary (Gibbs processes, D = c I, with curls that keep it, as in example 19 of arXiv:1710.11029); else the grid solver's. Raises TypeError
    for `Momentum`, whose current is partly reversible, ValueError without a grid and where there is no stationary state.
    Sources: Kwon, Ao, Thouless, PNAS 102, 13029 (2005); Chaudhari and Soatto, arXiv:1710.11029, sec. 3.
    """
    process = source.problem if isinstance(source, Generator) else source
    if not isinstance(process, Langevin):
        raise TypeError(
            f"got a {type(process).__name__}, expected a Generator or a Langevin process; type sg.Langevin(U, T, D) for the overdamped limit of a Momentum process"
        )
    if isinstance(source, Generator):
        return Decomposition(process, source.current(), source.entropy_production(), _reversible(source))
    if not isinstance(grid, Grid):
        raise ValueError(
            "got a process and no grid, expected one; type sg.decompose(problem, sg.Grid(((-2, 2, 200), (-2, 2, 200))))"
        )
    if isinstance(process.drift, Affine) and not isinstance(process.D, Varying):
        return _linear(process, grid)
    known = forces(process)
    if known.potential is not None and known.keeps:
        return _kept(process, grid)
    return decompose(fokker_planck(process, grid))


def _reversible(generator: Generator) -> Floats | None:
    dim = generator.grid.dim
    return np.zeros((dim, dim)) if generator.reversible and generator.forces.rest is None else None


def _linear(process: Langevin, grid: Grid) -> Decomposition:
    state = linear_stationary(process)
    rho = gaussian(grid, state.center, np.linalg.inv(state.precision))
    away = grid.centers - state.center
    slope = np.trace(state.current) - np.einsum("...i,ij,jk,...k->...", away, state.precision, state.current, away)
    flow = Current(rho, away @ state.current.T * rho.values[..., None], slope * rho.values)
    produced = state.entropy_production
    return Decomposition(
        process,
        flow,
        Estimate(produced, ROUNDING * abs(produced) if np.isfinite(produced) else 0.0, "closed form"),
        state.Q,
    )


def _kept(process: Langevin, grid: Grid) -> Decomposition:
    """rho = exp(-Psi)/Z and j = c, with the error of the quadrature from half as many cells."""
    flow = _known_flow(process, grid)
    produced, coarse = _produced(process, flow), _produced(process, _known_flow(process, grid.coarser()))
    shape = "x".join(map(str, grid.shape))
    error, method = abs(produced - coarse) + ROUNDING * produced, f"closed form, midpoint rule on {shape} cells"
    found = Estimate(produced, error, method, warnings=_cut_off(flow.density))
    return Decomposition(process, flow, found, None if process.curl is not None else np.zeros((grid.dim, grid.dim)))


def _cut_off(rho: Density) -> tuple[str, ...]:
    """A note if the box ends where there is density: no error bar covers what lies beyond."""
    inner = tuple(slice(None) if around else slice(1, -1) for around in rho.grid.periodic)
    share = 1 - float(rho.masses[inner].sum() / rho.masses.sum())
    return (f"{share:.1e} of the density lies in the outermost cells; type a larger Grid",) if share > CUT_OFF else ()


def _known_flow(process: Langevin, grid: Grid) -> Current:
    x, psi = grid.centers, forces(process).potential
    assert psi is not None
    logs = -psi(x)
    scale = np.log(np.sum(np.exp(logs - logs.max()) * grid.volumes)) + logs.max()
    rho = Density(grid, np.exp(logs - scale), log_values=logs - scale)
    if process.curl is None or process.U is None:
        return Current(rho, np.zeros((*grid.shape, grid.dim)), np.zeros(grid.shape))
    j = process.curl(x)
    spread = np.trace(process.curl.gradient()(x), axis1=-2, axis2=-1)
    heat = process.T * (1.0 if process.is_gibbs else float(process.D(x.reshape(-1, grid.dim)[:1])[0, 0, 0]))
    along = np.einsum("...i,...i->...", j, process.U.grad(x)) / heat
    return Current(rho, j * rho.values[..., None], (spread - along) * rho.values)


def _produced(process: Langevin, flow: Current) -> float:
    """E[j' D^+ j]/T by the midpoint rule."""
    inverse = np.linalg.pinv(process.D(flow.grid.centers), rcond=1e-12, hermitian=True)
    j = flow.velocity
    return float(np.sum(flow.density.masses * np.einsum("...i,...ij,...j->...", j, inverse, j)) / process.T)


def _stream(flow: Current) -> Floats:
    """psi (*shape) with J = (d_1 psi, -d_0 psi): sums of J_0 along axis 1 from both ends, each weighed by what the other has summed."""
    piece = flow.values[..., 0] * flow.grid.widths[1]
    low = np.cumsum(piece, axis=1) - 0.5 * piece
    high = low - np.sum(piece, axis=1, keepdims=True)
    size = np.abs(piece)
    below = np.cumsum(size, axis=1) - 0.5 * size
    above = np.sum(size, axis=1, keepdims=True) - below
    both = above**2 + below**2
    mean = np.divide(low * above**2 + high * below**2, both, out=np.zeros_like(low), where=both > 0)
    return np.asarray(mean)


def _gradient(field: Floats, x: tuple[Floats, ...]) -> Floats:
    """d_k of the components of a field (*shape, m), (*shape, m, dim)."""
    return np.stack([np.gradient(field, x[k], axis=k) for k in range(len(x))], axis=-1)
