"""Relaxation rates of a process on a grid, and their functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph, linalg

from sgdyn import checks
from sgdyn.density.generator import Generator
from sgdyn.density.grid import Grid
from sgdyn.density.refinement import refined
from sgdyn.density.solvers import Solver
from sgdyn.density.steps import exponential
from sgdyn.errors import NotConvergedError
from sgdyn.estimate import Estimate
from sgdyn.printing import Printed

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

SHIFT = 1e-9
"""The shift of shift-and-invert stands below zero by this share of the largest rate: no matrix is singular, and slow rates are near."""
SMALLEST_PART = 0.1
"""Parts of the grid with fewer cells than this share of the largest part are corners that no edge reaches, not processes of their own."""
FAINT = 1e-16
"""Where the stationary density is below this share of its largest value, eigenfunctions are continued by their own equation."""
MOST_TURNS = 60
ROUNDING = 1e-14
"""What rounding changes, as a share of the largest rate."""


@dataclass(frozen=True, eq=False, repr=False)
class RelaxationSpectrum(Printed):
    """The rates lambda of -Q f = lambda f with the least real parts: `values` (k,), complex where some are.

    functions (k, *shape): right eigenfunctions, of mean square 1; densities (k, *shape): left ones, along which probability relaxes. The
    first density is that of the slowest rate, of mass 1: the stationary one without absorbing walls. The sum over cells of
    density_i function_j volume is delta_ij. `isolated` counts the cells that no way leads out of; they hold NaN and 0.
    """

    grid: Grid
    values: Estimate
    functions: NDArray[Any]
    densities: NDArray[Any]
    isolated: int

    def plot(self, ax: Any = None) -> Any:
        """Rates by number, or in the plane where they are complex (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def spectrum(generator: Generator, k: int = 4) -> RelaxationSpectrum:
    """See `Generator.spectrum`."""
    count = checks.count("k", k)
    _check_count(generator, count)
    modes = Modes(generator, count)
    values = refined(generator, lambda g: (modes if g is generator else Modes(g, count)).values)
    isolated = generator.grid.size - len(modes.kept)
    notes = (f"{isolated} cells that no way leads out of were left out",) if isolated else ()
    error = values.error + modes.rounding
    values = replace(values, error=error, warnings=tuple(dict.fromkeys((*values.warnings, *modes.doubts, *notes))))
    return RelaxationSpectrum(generator.grid, values, *modes.shapes(), isolated)


def _check_count(generator: Generator, count: int) -> None:
    """Raises ValueError for more rates than the coarser grid, which errors come from, can give."""
    grid = generator.grid
    most = grid.coarser().size - 2
    if most < 1:
        raise ValueError(
            f"got a grid of {grid.size} cells, expected more: errors come from half as many cells along each axis, where no rate is left; "
            "type at least 6 cells along an axis"
        )
    if count > most:
        raise ValueError(
            f"got k={count} on {grid.size} cells, expected at most {most}, 2 less than the cells of the coarser grid that errors come from; "
            "type a Grid with more cells"
        )


class Modes:
    """Eigenpairs of S (-Q) S^-1, S the roots of the known stationary masses (1 where they are unknown): symmetric where rates obey detailed balance."""

    def __init__(self, generator: Generator, count: int) -> None:
        self.generator, self.count, self.kept = generator, count, connected(generator)
        n = len(self.kept)
        if count > n - 2:
            raise ValueError(f"got k={count} on {n} cells, expected at most {n - 2}")
        log = np.zeros(n) if generator.log_masses is None else generator.log_masses[self.kept]
        self.log_roots = 0.5 * (log - log.max())
        self.matrix = self._scaled()
        self.largest = float(self.matrix.diagonal().max())
        self.shift = SHIFT * self.largest
        self.solver = Solver(sparse.csr_array(self.matrix + self.shift * sparse.eye_array(n)))

    def _scaled(self) -> sparse.csr_array:
        rates = self.generator.rates[self.kept][:, self.kept].tocoo()
        factor = exponential(self.log_roots[rates.row] - self.log_roots[rates.col], rates.data)
        scaled = sparse.csr_array((-rates.data * factor, (rates.row, rates.col)), shape=rates.shape)
        return sparse.csr_array(0.5 * (scaled + scaled.T)) if self.generator.reversible else scaled

    @cached_property
    def right(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Rates (count,) and vectors (n, count)."""
        rates, vectors = self._slowest
        return rates[: self.count], vectors[:, : self.count]

    @cached_property
    def _slowest(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """The same and at least one more."""
        return self._found(self.solver.solve)

    @cached_property
    def left(self) -> tuple[NDArray[Any], NDArray[Any]]:
        if self.generator.reversible:
            return self.right
        rates, vectors = self._found(self.solver.solve_transposed)
        return rates[: self.count], vectors[:, : self.count]

    def _found(self, solve: Callable[[Floats], Floats]) -> tuple[NDArray[Any], NDArray[Any]]:
        n = len(self.kept)
        inverse = linalg.LinearOperator((n, n), matvec=solve, dtype=np.float64)
        start = np.random.default_rng(0).normal(size=n)  # the eigensolver's own is drawn anew each time
        if self.generator.reversible:
            gains, vectors = linalg.eigsh(inverse, k=self.count + 1, which="LM", v0=start)
        else:
            # the rates nearest to zero need not have the least real parts: a few more are looked at
            try:
                gains, vectors = linalg.eigs(inverse, k=min(n - 2, 2 * self.count + 2), which="LM", v0=start)
            except linalg.ArpackNoConvergence as failure:
                raise NotConvergedError(
                    f"got rates too close together beside the largest, {self.largest:.1g}, expected some that rounding does not mix; type "
                    "a Grid of a smaller box, or generator.rate(a, b) for slow escapes"
                ) from failure
        rates = 1 / gains - self.shift
        if self.generator.reversible:
            rates, vectors = self._sharpened(np.linalg.qr(vectors)[0])
        order = np.lexsort((-np.imag(rates), np.abs(_rounded(np.imag(rates))), _rounded(np.real(rates))))
        return rates[order], vectors[:, order] / _largest(vectors[:, order])

    def _sharpened(self, vectors: Floats) -> tuple[Floats, Floats]:
        """Rates and vectors in the span of orthonormal ones (n, count), from sums of squares, which lose no digits of slow rates:

        v' S(-Q)S^-1 v = sum_edges |A_ij| (v_i sqrt(S_j/S_i) - v_j sqrt(S_i/S_j))² + sum_i leak_i v_i²
        """
        upper = sparse.triu(self.matrix, k=1).tocoo()
        half = 0.5 * (self.log_roots[upper.col] - self.log_roots[upper.row])
        # the size joins the exponent: one factor may overflow where their product does not
        size = 0.5 * np.log(np.maximum(-upper.data, 1e-300))
        there, back = np.exp(size + half), np.exp(size - half)
        falls = there[:, None] * vectors[upper.row] - back[:, None] * vectors[upper.col]
        lost = np.sqrt(self.generator.leaks[self.kept])[:, None] * vectors
        roots, turn = np.linalg.svd(np.concatenate([falls, lost]), full_matrices=False)[1:]
        return roots**2, vectors @ turn.T

    @cached_property
    def rounding(self) -> float:
        """What rounding does to rates: relative to the largest, or its square where they are sums of squares."""
        if not self.generator.reversible:
            return ROUNDING * self.largest
        return (ROUNDING * self.largest) ** 2 / max(float(np.max(self._slowest[0])), ROUNDING * self.largest)

    @cached_property
    def values(self) -> NDArray[Any]:
        """The rates (count,), as real numbers if they are."""
        rates = self.right[0]
        real = np.all(np.abs(np.imag(rates)) <= 1e-9 * np.abs(rates) + ROUNDING * self.largest)
        return np.where(np.abs(rates) <= self.rounding, 0.0, np.real(rates) if real else rates)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Which rates rounding hides, but for the one that is zero by the conservation of probability."""
        hidden = np.flatnonzero(np.abs(self.values) <= 10 * self.rounding)
        hidden = hidden[0 if np.any(self.generator.leaks) else 1 :]
        if not len(hidden):
            return ()
        return (
            f"rates {hidden.tolist()} are below or near {self.rounding:.1g}, what rounding leaves of a largest rate of {self.largest:.1g}: "
            "they cannot be told from zero; type generator.rate(a, b) or mean_first_passage(b, x0) for slow escapes",
        )

    def shapes(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Functions and densities (count, *shape)."""
        keep: Callable[..., Any] = np.real if np.isrealobj(self.values) else np.asarray
        masses = keep(self.left[1]) * np.exp(self.log_roots)[:, None]
        masses[:, 0] /= masses[:, 0].sum()
        weight = np.abs(masses[:, 0])
        functions = self._continued(keep(self.right[1]), weight)
        functions /= np.sqrt(weight @ np.abs(np.nan_to_num(functions)) ** 2)
        overlap = np.einsum("nk,nk->k", masses, np.nan_to_num(functions))
        functions[:, 0] /= overlap[0]
        masses[:, 1:] /= overlap[1:]
        return self._on_grid(functions, np.nan), self._on_grid(masses / self._volumes[:, None], 0.0)

    @property
    def _volumes(self) -> Floats:
        return self.generator.volumes[self.kept]

    def _on_grid(self, columns: NDArray[Any], elsewhere: float) -> NDArray[Any]:
        grid = self.generator.grid
        cells = np.full((columns.shape[1], grid.size), elsewhere, dtype=columns.dtype)
        cells[:, self.kept] = columns.T
        return cells.reshape(-1, *grid.shape)

    def _continued(self, vectors: NDArray[Any], weight: Floats) -> NDArray[Any]:
        """Vectors divided by S; where that divides rounding errors by hardly any mass, -Q f = lambda f is solved again."""
        faint = weight < FAINT * self._volumes * (weight / self._volumes).max()
        with np.errstate(over="ignore", invalid="ignore"):
            functions = np.where(faint[:, None], 0.0, vectors * np.exp(-self.log_roots)[:, None])
        if not np.any(faint):
            return functions
        rows = self.generator.rates[self.kept][faint][:, self.kept]
        solver = Solver(sparse.csr_array(-rows[:, faint]))
        source = rows[:, ~faint] @ functions[~faint]
        for _ in range(MOST_TURNS):
            b = source + self.values * functions[faint]
            found = np.stack([_solved(solver, column) for column in b.T], axis=1)
            change = np.abs(found - functions[faint]).max(axis=0) > 1e-9 * np.abs(found).max(axis=0)
            functions[faint] = found
            if not np.any(change):
                break
        functions[np.ix_(faint, change)] = np.nan  # paths stay there for longer than 1/lambda
        return functions


def _solved(solver: Solver, b: NDArray[Any]) -> NDArray[Any]:
    return solver.solve(b) if np.isrealobj(b) else solver.solve(b.real.copy()) + 1j * solver.solve(b.imag.copy())


def _rounded(values: Floats) -> Floats:
    """To 8 digits, so that the two of a pair are equal."""
    size = 10.0 ** np.floor(np.log10(np.maximum(np.abs(values), 1e-300)))
    return np.asarray(np.round(values / size, 8) * size)


def _largest(vectors: NDArray[Any]) -> NDArray[Any]:
    """The component of each column that is largest in size."""
    return np.take_along_axis(vectors, np.argmax(np.abs(vectors), axis=0)[None], axis=0)


def connected(generator: Generator) -> Integers:
    """The cells of the large parts of the grid."""
    _, label = csgraph.connected_components(generator.rates, directed=False)
    sizes = np.bincount(label)
    return np.flatnonzero((sizes >= SMALLEST_PART * sizes.max())[label])
