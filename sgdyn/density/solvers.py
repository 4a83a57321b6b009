"""Linear systems of generators: direct where they are cheap, by multigrid where they are not."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg

from sgdyn.errors import NotConvergedError

Floats = NDArray[np.float64]

DIRECT_BELOW = 2e7
"""Numbers in the factors up to which systems are solved directly: half a million cells of a chain, 400 x 400, or 28 x 28 x 28."""
BYTES_DIRECT, BYTES_MULTIGRID = 20, 110
"""Peak bytes for each number in the factors, and for each number in a matrix solved by multigrid (measured)."""
UNKNOWN_MEMORY = 4e9
"""Bytes to use where the machine does not say how many it has."""
TOLERANCE, SUFFICIENT, ROUNDING, MOST_ITERATIONS = 1e-12, 1e-8, 1e-14, 300


class Solver:
    """Solves A x = b and A' x = b for A = shift - Q, whose off-diagonal elements are never positive.

    masses (n,): m_i Q_ij = m_j Q_ji, if there are such. `method` is "direct" (sparse factors), "symmetric multigrid" (conjugate
    gradients on sqrt(m_i/m_j) A_ij, smoothed aggregation from the known slowest function sqrt(m); Vanek, Mandel, Brezina 1996) or
    "multigrid" (BiCGStab, classical coarsening; Ruge and Stueben 1987). `residual` is |b - A x|/|b| of the last solution, with rows
    scaled to a diagonal of ones.

    memory: bytes that may be used, by default SGDYN_MEMORY gigabytes or half of the machine's memory; raises MemoryError where more is
    needed, and `NotConvergedError` where iterations stop short.
    """

    def __init__(self, matrix: sparse.csr_array, masses: Floats | None = None, memory: float | None = None) -> None:
        self.matrix, self.masses = matrix, masses
        self._found: Callable[[], float] | None = None
        factors = factor_count(matrix)
        if factors <= DIRECT_BELOW:
            self.method, self.memory = "direct", BYTES_DIRECT * factors
        else:
            self.method = "multigrid" if masses is None else "symmetric multigrid"
            self.memory = BYTES_MULTIGRID * float(matrix.nnz)
        refuse(self.memory, matrix.shape[0], memory)

    @property
    def residual(self) -> float | None:
        return None if self._found is None else self._found()

    def solve(self, b: Floats) -> Floats:
        """x (n,) or (n, k) with A x = b."""
        return self._solve(np.asarray(b, dtype=np.float64), False)

    def solve_transposed(self, b: Floats) -> Floats:
        """x (n,) or (n, k) with A' x = b."""
        return self._solve(np.asarray(b, dtype=np.float64), True)

    def _solve(self, b: Floats, transposed: bool) -> Floats:
        if self.method == "direct":
            x = np.asarray(self._factors.solve(b, trans="N" if transposed else "T"))
            self._found = partial(self._defect, x, b, transposed)
            return x
        solve = self._classical if self.masses is None else self._symmetric
        columns = [solve(column, transposed) for column in b.reshape(len(b), -1).T]
        self._found = partial(max, [residual for _, residual in columns])
        return np.stack([x for x, _ in columns], axis=1).reshape(b.shape)

    def _defect(self, x: Floats, b: Floats, transposed: bool) -> float:
        matrix, scale = (self.matrix.T if transposed else self.matrix), self._scale
        defect, size = ((v.T * scale).T for v in (b - matrix @ x, b))
        return float(np.linalg.norm(defect) / max(float(np.linalg.norm(size)), 1e-300))

    @cached_property
    def _factors(self) -> Any:
        # diagonals dominate: no pivots are needed, and the ordering of a symmetric matrix fills in least
        options = {"SymmetricMode": True, "DiagPivotThresh": 0.0}
        # rows of A are columns of A', so that nothing is converted
        columns = sparse.csc_array((self.matrix.data, self.matrix.indices, self.matrix.indptr), self.matrix.shape)
        # narrow panels: supernodes of plane grids are small (measured, a sixth to a third quicker than SuperLU's ten columns)
        return linalg.splu(columns, permc_spec="MMD_AT_PLUS_A", panel_size=4, options=options)

    @cached_property
    def _scale(self) -> Floats:
        return np.asarray(1.0 / self.matrix.diagonal())

    @cached_property
    def _scaled(self) -> tuple[Any, Any]:
        """A with rows scaled to a diagonal of ones, and its transpose."""
        scaled = _indexed(sparse.diags_array(self._scale) @ self.matrix)
        return scaled, _indexed(scaled.T)

    @cached_property
    def _cycles(self) -> tuple[Any, Any]:
        """One multigrid cycle for the scaled matrix, and its adjoint."""
        from pyamg import ruge_stuben_solver  # slow to import

        cycle = ruge_stuben_solver(self._scaled[0])
        return cycle.aspreconditioner(), _adjoint(cycle).aspreconditioner()

    def _classical(self, b: Floats, transposed: bool) -> tuple[Floats, float]:
        # A = diag(1/scale) S: A x = b is S x = scale b, and A' x = b is S' (x/scale) = b
        matrix, cycle = self._scaled[transposed], self._cycles[transposed]
        side = b if transposed else self._scale * b
        x, residual = _iterated(linalg.bicgstab, matrix, side, cycle)
        return (self._scale * x if transposed else x), residual

    @cached_property
    def _roots(self) -> Floats:
        """sqrt(m/max m), no smaller than what has a square."""
        masses = np.asarray(self.masses, dtype=np.float64)
        return np.asarray(np.maximum(np.sqrt(masses / masses.max()), 1e-140))

    @cached_property
    def _symmetrised(self) -> tuple[Any, Any]:
        """The symmetric matrix -sqrt(A_ij A_ji) with A's diagonal, and one multigrid cycle."""
        from pyamg import smoothed_aggregation_solver  # slow to import

        products = self.matrix.multiply(self.matrix.T).tocsr()
        root = -np.sqrt(products)
        root.setdiag(self.matrix.diagonal())
        matrix = _indexed(root)
        # local weights: the default ones start from random numbers
        smooth = ("jacobi", {"weighting": "local"})
        cycle = smoothed_aggregation_solver(matrix, B=self._roots[:, None], symmetry="symmetric", smooth=smooth)
        return matrix, cycle.aspreconditioner()

    def _symmetric(self, b: Floats, transposed: bool) -> tuple[Floats, float]:
        matrix, cycle = self._symmetrised
        roots = self._roots
        y, residual = _iterated(linalg.cg, matrix, b / roots if transposed else b * roots, cycle)
        return (y * roots if transposed else y / roots), residual


def _iterated(method: Callable[..., Any], matrix: Any, b: Floats, cycle: Any) -> tuple[Floats, float]:
    """The solution and its relative residual."""
    size = float(np.linalg.norm(b))
    if size == 0:
        return np.zeros_like(b), 0.0
    x, _ = method(matrix, b, rtol=TOLERANCE, atol=0.0, maxiter=MOST_ITERATIONS, M=cycle)
    left = float(np.linalg.norm(b - matrix @ x))
    # long escape times make x so large that rounding alone leaves more than the tolerance
    rounding = ROUNDING * float(np.linalg.norm(matrix.diagonal() * x))
    if not left <= max(SUFFICIENT * size, rounding):
        raise NotConvergedError(
            f"got the relative residual {left / size:.2g} after {MOST_ITERATIONS} multigrid cycles, expected at most {SUFFICIENT:g}; "
            "type a coarser Grid, or a smaller box that leaves out where the density is negligible"
        )
    return np.asarray(x), left / size


def _indexed(matrix: Any) -> Any:
    """The matrix in the form that pyamg takes."""
    given = sparse.csr_matrix(matrix)
    given.sort_indices()
    return sparse.csr_matrix(
        (given.data, given.indices.astype(np.int32), given.indptr.astype(np.int32)), shape=given.shape
    )


def _adjoint(cycle: Any) -> Any:
    """The cycle for the transposed matrix that converges as fast: the same grids, restriction and interpolation exchanged."""
    from pyamg.multilevel import MultilevelSolver
    from pyamg.relaxation.smoothing import change_smoothers

    levels = []
    for level in cycle.levels:
        other = MultilevelSolver.Level()
        other.A = level.A.T.tocsr()
        if hasattr(level, "P"):
            other.P, other.R = level.R.T.tocsr(), level.P.T.tocsr()
        levels.append(other)
    made = MultilevelSolver(levels, coarse_solver="pinv")
    smoother = ("gauss_seidel", {"sweep": "symmetric"})
    change_smoothers(made, smoother, smoother)
    return made


def factor_count(matrix: sparse.csr_array) -> float:
    """About how many numbers the factors of a matrix on a grid will hold, without factoring it.

    Fill per element grows as n^0.19 in two dimensions and n^0.55 in three (measured for minimum degree); the dimension is read off
    the distance |i - j| of neighbours, which is n^(1 - 1/dim).
    """
    n = matrix.shape[0]
    if n < 1000:
        return 8.0 * float(matrix.nnz)
    some = np.linspace(0, n - 1, 1000).astype(int)
    seen = matrix[some]
    row = np.repeat(some, np.diff(seen.indptr))
    apart = np.abs(seen.indices - row)
    apart = apart[apart > 0]
    if not len(apart):
        return 8.0 * float(matrix.nnz)
    layers = n / max(1.0, float(np.quantile(apart, 0.7)))
    dimension = float(np.clip(np.log(n) / np.log(max(layers, 2.0)), 1.0, 3.0))
    plane, space = np.log(5.9 * (n / 2500) ** 0.19), np.log(13.3 * (n / 1728) ** 0.55)
    fill = (
        np.log(3.0) + (dimension - 1) * (plane - np.log(3.0))
        if dimension < 2
        else plane + (dimension - 2) * (space - plane)
    )
    return float(np.exp(fill) * matrix.nnz)


def refuse(needed: float, cells: int, limit: float | None) -> None:
    """Raises MemoryError for a system that needs more bytes than the limit, by default that of `memory_limit`."""
    allowed = memory_limit() if limit is None else limit
    if needed > allowed:
        raise MemoryError(
            f"got a system of {cells} cells that needs about {needed / 1e9:.1f} GB, expected at most {allowed / 1e9:.1f} GB; "
            f"type a coarser Grid, or set the environment variable SGDYN_MEMORY={np.ceil(needed / 1e9):.0f} (gigabytes)"
        )


def memory_limit() -> float:
    """Bytes that a solver may use: SGDYN_MEMORY gigabytes, or half of the machine's memory.

    Raises ValueError where SGDYN_MEMORY is no positive number.
    """
    given = os.environ.get("SGDYN_MEMORY")
    if given is None:
        if not hasattr(os, "sysconf"):
            return UNKNOWN_MEMORY
        return 0.5 * float(os.sysconf("SC_PAGE_SIZE")) * float(os.sysconf("SC_PHYS_PAGES"))
    try:
        limit = 1e9 * float(given)
    except ValueError:
        limit = -1.0
    if not limit > 0:
        raise ValueError(f"got SGDYN_MEMORY={given!r}, expected gigabytes; type SGDYN_MEMORY=8")
    return limit
