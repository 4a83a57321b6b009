"""The Fokker-Planck equation of a process on a grid, as a matrix of rates between cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from sgdyn.density.admission import around, check_memory
from sgdyn.density.advection import Faces, circulation, known, upwinded
from sgdyn.density.forces import Forces, forces
from sgdyn.density.grid import Grid
from sgdyn.density.lattice import Lattice, bernoulli, lattice
from sgdyn.printing import Printed
from sgdyn.problem import Langevin, Momentum

if TYPE_CHECKING:
    from sgdyn.density.boundary_value import QuasiStationary
    from sgdyn.density.currents import Current
    from sgdyn.density.distribution import Density
    from sgdyn.density.solution import Solution
    from sgdyn.density.spectrum import RelaxationSpectrum
    from sgdyn.estimate import Estimate

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Generator(Printed):
    """The rates of a process between the cells of a grid.

    Edges of the lattice carry strength_ij B(+-w)/volume (Scharfetter-Gummel, B the Bernoulli function, w the rise of the potential along the
    edge), faces what D does not reach. `climb` (n,) belongs to the edges of the `lattice`.
    """

    problem: Langevin | Momentum
    grid: Grid
    forces: Forces
    lattice: Lattice
    climb: Floats
    faces: Faces | None
    log_masses: Floats | None

    def __reduce__(self) -> Any:
        # the forces hold functions and solutions hold compiled factors: another process assembles anew, which is quick
        return fokker_planck, (self.problem, self.grid)

    @cached_property
    def coarse(self) -> Generator:
        """The same process on half the cells along each axis, with which errors are found."""
        return assembled(self.problem, self.grid.coarser(), self.forces)

    @cached_property
    def medium(self) -> Generator:
        """The same process on two thirds of the cells along each axis: errors of two grids may cancel by chance."""
        return assembled(self.problem, self.grid.coarser(1.5), self.forces)

    @property
    def edge_forces(self) -> Forces:
        """What acts along the edges: all but the flow that a stream function carries across the faces."""
        return self.forces.without_rest() if streams(self.grid, self.forces) else self.forces

    @property
    def reversible(self) -> bool:
        """Whether the rates obey detailed balance with exp(-Psi)."""
        return self.log_masses is not None and self.faces is None

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What no error bar covers, as far as it is cheap to know: thickened D, mass at reflecting walls, cells that are too wide."""
        from sgdyn.density.notes import notes

        return notes(self)

    @cached_property
    def volumes(self) -> Floats:
        """Cell volumes (cells,)."""
        return self.grid.volumes.ravel()

    @cached_property
    def rates(self) -> sparse.csr_array:
        """Q (cells, cells): rates from cell i to cell j, minus the rate out of i on the diagonal. Acts on functions; Q' acts on masses."""
        n = self.grid.size
        i, j, forth, back = self.links
        out = np.bincount(i, forth, n) + np.bincount(j, back, n) + self.leaks
        cells = np.arange(n)
        pairs = np.concatenate([i, j, cells]), np.concatenate([j, i, cells])
        rates = sparse.csr_array((np.concatenate([forth, back, -out]), pairs), shape=(n, n))
        rates.eliminate_zeros()  # what is stored counts as a way from cell to cell
        return rates

    @cached_property
    def links(self) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats, Floats]:
        """All pairs of cells (i, j) with the rates forth and back."""
        e = self.lattice.edges
        forth, back = e.strength * bernoulli(self.climb), e.strength * bernoulli(-self.climb)
        pairs = (e.i, e.j, forth / self.volumes[e.i], back / self.volumes[e.j])
        if self.faces is None:
            return pairs
        f = self.faces
        return tuple(np.concatenate(p) for p in zip(pairs, (f.i, f.j, f.forth, f.back), strict=True))  # type: ignore[return-value]

    @cached_property
    def leaks(self) -> Floats:
        """Rates out of cells over absorbing walls (cells,)."""
        ends, x = self.lattice.exits, self.grid.centers.reshape(-1, self.grid.dim)
        out = np.zeros(self.grid.size)
        if len(ends.i):
            np.add.at(out, ends.i, ends.strength * bernoulli(self.forces.climb(x[ends.i], ends.dx)))
        if self.faces is not None:
            np.add.at(out, self.faces.last, self.faces.out)
        return out

    def stationary(self) -> Density:
        """The stationary density: exp(-Psi) where it is known, else the null vector of Q' (see `stationary`)."""
        from sgdyn.density.stationary import stationary

        return stationary(self)

    def box_error(self, growth: float = 0.2) -> float:
        """How much the stationary density changes, in L1, if the box grows by a fifth (see `stationary.box_error`)."""
        from sgdyn.density.stationary import box_error

        return box_error(self, growth)

    def evolve(
        self, rho: Any, t: ArrayLike, temperature: Callable[[float], float] | None = None, tolerance: float = 1e-4
    ) -> Any:
        """The density at the time t, or an `Evolution` for an array of times (see `evolution.evolve`)."""
        from sgdyn.density.evolution import evolve

        return evolve(self, rho, t, temperature, tolerance)

    def current(self, rho: Density | None = None) -> Current:
        """The probability current of a density, of the stationary one by default (see `currents.current`)."""
        from sgdyn.density.currents import current

        return current(self, rho)

    def entropy_production(self) -> Estimate:
        """E[v' D^+ v]/T of the stationary current velocity v, per unit time (see `currents.entropy_production`)."""
        from sgdyn.density.currents import entropy_production

        return entropy_production(self)

    def mean_first_passage(
        self, region: Any = None, x0: ArrayLike | None = None, moments: int = 1
    ) -> Solution | Estimate:
        """The mean time until paths enter a region (or leave over an absorbing wall): u of -Q u = 1, 0 in the region.

        region: a predicate, `lambda x: x[0] > 0.9`; None for absorbing walls alone. With x0 (..., dim) the times from there, else the whole
        function. moments: so many moments E tau^n along a last axis if it is more than one, -Q u_n = n u_(n-1). Raises ValueError where the
        region is not on the grid, x0 lies in it, or paths from x0 may never reach it.
        """
        from sgdyn.density import boundary_value

        return boundary_value.mean_first_passage(self, region, x0, moments)

    def reached(self, region: Any, t: float, x0: ArrayLike | None = None) -> Solution | Estimate:
        """The probability to have entered a region by the time t, from x0 (..., dim) or as a function: du/dt = Q u, u = 1 in the region.

        Raises ValueError where the region is not on the grid, and for x0 in it.
        """
        from sgdyn.density import arrival

        return arrival.reached(self, region, t, x0)

    def committor(self, a: Any, b: Any, backward: bool = False) -> Solution:
        """The probability q to reach b before a, -Q q = 0; with `backward` the one to have come from a last rather than from b.

        a, b: predicates. Paths over absorbing walls reach neither. Raises ValueError where regions overlap or are not on the grid.
        """
        from sgdyn.density import boundary_value

        return boundary_value.committor(self, a, b, backward)

    def splitting(self, regions: Sequence[Any]) -> Solution:
        """The probabilities (*shape, regions) to reach each of several regions first; what is missing to 1 leaves over absorbing walls.

        Raises ValueError where regions overlap or are not on the grid.
        """
        from sgdyn.density import boundary_value

        return boundary_value.splitting(self, regions)

    def quasi_stationary(self, region: Any = None) -> QuasiStationary:
        """The density nu of what has not entered a region (or left over an absorbing wall) for long, and its rate: -Q' nu = rate nu.

        Raises ValueError where the region is not on the grid, or is never reached from some cell.
        """
        from sgdyn.density import boundary_value

        return boundary_value.quasi_stationary(self, region)

    def spectrum(self, k: int = 4) -> RelaxationSpectrum:
        """The k rates lambda with the least real parts, -Q f = lambda f, with their functions and densities (see `RelaxationSpectrum`).

        Raises ValueError for more than a grid of half as many cells along each axis has cells, less 2.
        """
        from sgdyn.density import spectrum

        return spectrum.spectrum(self, k)

    def rate(self, a: Any, b: Any, once_in_a: bool = False) -> Estimate:
        """The number of transitions from region a to b per unit time in the stationary state,

            nu = sum_i m_i q-_i q_iB,

        q- the probability to come from a last, q_iB the rate into b. With `once_in_a` divided by the probability that a was visited last:
        the rate k_AB. Raises ValueError for absorbing walls, and where regions overlap, touch or are not on the grid.
        Source: Vanden-Eijnden, Transition path theory (2006).
        """
        from sgdyn.density import reaction

        return reaction.rate(self, a, b, once_in_a)

    def reactive_current(self, a: Any, b: Any) -> Current:
        """The current of the paths on their way from region a to b, J_i = sum_j f_ij dx_ij/(2 V_i).

            f_ij = m_i q-_i q_ij q+_j - m_j q-_j q_ji q+_i

        q+ the probability to reach b before a. Its `density` is that of such paths. Raises as `rate`.
        """
        from sgdyn.density import reaction

        return reaction.reactive_current(self, a, b)


def fokker_planck(problem: Langevin | Momentum, grid: Grid) -> Generator:
    """The generator of a process on a grid of one to three axes: rates that conserve mass, are never negative, and obey detailed balance with
    exp(-U/T) exactly where the process does.

        d rho/dt = div( rho (grad U - c) + T div(D rho) )

    Second order in the cell width; first where D leaves directions without noise. Raises ValueError if dimensions differ, TypeError for what
    is no process, MemoryError for more cells than half of the machine's memory (or SGDYN_MEMORY gigabytes) holds. Sources: Scharfetter and Gummel 1969; Fehrenbach and Mirebeau 2014; Heida, Kantner, Stephan, arXiv:2002.09385.
    """
    if not isinstance(grid, Grid):
        raise TypeError(
            f"got grid of type {type(grid).__name__}, expected a grid; type sg.Grid(((-2, 2, 200), (-1, 1, 80)))"
        )
    pushed = forces(problem)
    if grid.dim != pushed.dim:
        raise ValueError(f"got a grid of {grid.dim} axes for a process in dimension {pushed.dim}, expected as many")
    if grid.dim > 3:
        raise ValueError(
            f"got a grid of {grid.dim} axes, expected at most 3; type sg.simulate(...) in higher dimensions"
        )
    check_memory(grid, pushed)
    return assembled(problem, grid, pushed)


def assembled(problem: Langevin | Momentum, grid: Grid, pushed: Forces) -> Generator:
    """The generator for forces that are known."""
    x = grid.centers.reshape(-1, grid.dim)
    pushed = around(problem, grid, pushed.lowered(x))
    edges = lattice(grid, pushed.strength(x[:1] if pushed.constant else x))
    if streams(grid, pushed):
        return _with_circulation(problem, grid, pushed, edges)
    climb = pushed.climb(x[edges.edges.i], edges.edges.dx)
    faces = upwinded(grid, pushed)
    chained = _chained(grid, edges, climb) if faces is None else None
    log_masses = _gibbs(grid, pushed) if pushed.rest is None else chained
    return Generator(problem, grid, pushed, edges, climb, faces, log_masses)


def streams(grid: Grid, pushed: Forces) -> bool:
    """Whether the rest of the drift is carried by a stream function: in the plane, between walls that let nothing out."""
    absorbing = any(side == "absorbing" for pair in grid.boundary for side in pair)
    return pushed.rest is not None and pushed.keeps and grid.dim == 2 and not absorbing


def _with_circulation(problem: Any, grid: Grid, pushed: Forces, edges: Lattice) -> Generator:
    """exp(-Psi) stays stationary: detailed balance along the edges, the rest by its stream function."""
    x, e = grid.centers.reshape(-1, grid.dim), edges.edges
    climb = pushed.without_rest().climb(x[e.i], e.dx)
    log_masses = _gibbs(grid, pushed)
    masses = np.exp(log_masses - np.log(grid.volumes.ravel()))
    flow = e.strength * bernoulli(climb) * masses[e.i]
    conductance = sparse.csr_array((np.r_[flow, flow], (np.r_[e.i, e.j], np.r_[e.j, e.i])), shape=(grid.size,) * 2)
    faces = circulation(grid, pushed, np.exp(log_masses), conductance)
    return Generator(problem, grid, pushed, edges, climb, faces, log_masses)


def _gibbs(grid: Grid, pushed: Forces) -> Floats:
    """log of volume exp(-Psi) at the cells."""
    return np.asarray(np.log(grid.volumes.ravel()) - known(pushed.potential)(grid.centers.reshape(-1, grid.dim)))


def _chained(grid: Grid, lattice: Lattice, climb: Floats) -> Floats | None:
    """log of the masses in detailed balance, which any unbroken chain of cells in one dimension has."""
    if grid.dim > 1 or any(grid.periodic) or len(climb) < grid.size - 1:  # no edges where D is zero
        return None
    rise = np.concatenate([[0.0], np.cumsum(climb)])
    return np.asarray(np.log(grid.volumes.ravel()) - (rise - rise.min()))
