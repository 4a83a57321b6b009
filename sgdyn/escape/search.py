"""Minima, saddles and all other critical points of a potential in a box."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import qmc

from sgdyn import checks
from sgdyn.errors import NotConvergedError
from sgdyn.escape.following import both_sides, climb_from, minimum_from, saddles_from, softest
from sgdyn.escape.newton import FLAT, distinct, newton, zeros_in
from sgdyn.escape.polynomials import NotPolynomial, real_zeros
from sgdyn.escape.surfaces import PotentialSurface, Surface, box_of, surface

if TYPE_CHECKING:
    from sgdyn.escape.basins import SaddleGraph

Floats = NDArray[np.float64]

METHODS = ("auto", "polynomial", "newton", "following")
MANY = 12
"""Above this dimension "auto" follows eigenvectors."""
DIRECTIONS = 4
"""So many of the softest directions are followed from each minimum."""


@dataclass(frozen=True, eq=False)
class CriticalPoints:
    """The zeros of grad U in a box: `points` (n, dim), `values` (n,) of U, `index` (n,) of the Hessian (its negative eigenvalues).

    eigenvalues (n, k): the lowest of the Hessian, all of them up to dimension 12 (real parts where a drift has no potential). Sorted by index,
    then by value. `method` says how they were found, `warnings` what may be missing or degenerate.
    """

    surface: Surface
    box: Floats
    points: Floats
    values: Floats
    index: NDArray[np.intp]
    eigenvalues: Floats
    method: str
    warnings: tuple[str, ...]

    @property
    def minima(self) -> Floats:
        """The points of index 0 (n, dim), the lowest first."""
        return np.asarray(self.points[self.index == 0])

    @property
    def saddles(self) -> Floats:
        """The points of index 1 (n, dim), the lowest first."""
        return np.asarray(self.points[self.index == 1])

    def __len__(self) -> int:
        return len(self.points)

    def basin(self, x: ArrayLike) -> NDArray[np.intp]:
        """The number of the minimum that points (..., dim) flow to by steepest descent; -1 for none of them."""
        from sgdyn.escape.basins import basin

        return basin(self, x)

    @cached_property
    def graph(self) -> SaddleGraph:
        """Which two minima each saddle joins (see `SaddleGraph`)."""
        from sgdyn.escape.basins import graph

        return graph(self)

    def __str__(self) -> str:
        lines = [f"{len(self)} critical points of {self.surface.name} ({self.method})"]
        for i, x, u in zip(self.index, self.points, self.values, strict=True):
            kind = {0: "minimum", 1: "saddle"}.get(int(i), f"index {i}")
            lines.append(f"  {kind:8} {u:.10g}  at {np.array2string(x, precision=8, threshold=8)}")
        return "\n".join([*lines, *(f"  note: {w}" for w in self.warnings)])

    __repr__ = __str__

    def plot(self, ax: Any = None) -> Any:
        """The points on the potential in one or two dimensions, the disconnectivity tree in more (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def critical_points(
    U: Any, box: ArrayLike, *, method: str = "auto", starts: int | None = None, tolerance: float = 1e-10, seed: int = 0
) -> CriticalPoints:
    """All minima and saddles of a potential in a box, by index.

        grad U(x) = 0,   index = number of negative eigenvalues of Hess U(x)

    U: a `Potential` (also from functions), a `nets.Network`, a landscape, or a process, whose drift may have no potential (then the index
    counts the unstable directions). box: (low, high) for all coordinates, or (dim, 2). method: "polynomial" (all zeros of polynomial
    formulas, by a Gröbner basis; complete), "newton" (from `starts` Sobol points, 128 for each dimension, with deflation; a note says how
    probable an unseen point is), "following" (minima from `starts` points, 2 for each dimension from 8 to 32, the saddles that the softest
    directions of minima and starts lead to, and the minima below these, by gradients and Hessian-vector products alone: minima and saddles only), "auto" the first that fits.
    tolerance: of |grad U| relative to |Hess U|(1 + |x|).

    Raises ValueError for a box that does not fit and for polynomials whose critical points form curves, `NotConvergedError` where no
    critical point was found. Sources: Farrell, Birkisson, Funke 2015 (deflation); Munro and Wales 1999 (eigenvector following).
    """
    if method not in METHODS:
        raise ValueError(f"got method={method!r}, expected one of {', '.join(METHODS)}")
    given = surface(U)
    sides, tolerance = box_of(box, given.dim), checks.positive("tolerance", tolerance)
    if method in ("auto", "polynomial") and given.dim <= MANY:
        try:
            return _polynomial(given, sides)
        except NotPolynomial as reason:
            if method == "polynomial":
                raise NotPolynomial(f'{reason}, expected one of few zeros; type method="newton"') from reason
    if method == "newton" or (method == "auto" and given.dim <= MANY):
        return _newton(given, sides, checks.count("starts", starts or 128 * given.dim), tolerance, seed)
    return _following(given, sides, checks.count("starts", starts or min(max(2 * given.dim, 8), 32)), tolerance, seed)


def _polynomial(given: Surface, sides: Floats) -> CriticalPoints:
    if not isinstance(given, PotentialSurface):
        field = getattr(given, "drift", None)
        if field is None:
            raise NotPolynomial("got a function that is not known in symbols")
    else:
        field = given.U.grad
    zeros, count = real_zeros(field)
    width = float(np.linalg.norm(sides[:, 1] - sides[:, 0]))
    if len(zeros):
        polished = newton(given, zeros, width)
        zeros = np.where(np.linalg.norm(polished - zeros, axis=1, keepdims=True) < 1e-2 * width, polished, zeros)
    inside = np.all((zeros >= sides[:, 0] - 1e-9) & (zeros <= sides[:, 1] + 1e-9), axis=1)
    points, _ = distinct(zeros[inside], width)
    return _sorted(given, sides, points, f"polynomial: all of {count} complex zeros", ())


def _newton(given: Surface, sides: Floats, starts: int, tolerance: float, seed: int) -> CriticalPoints:
    points, met = zeros_in(given, sides, starts, tolerance, seed)
    once, total = int(np.sum(met == 1)), int(met.sum())
    notes = (
        (
            f"{once} of {len(points)} points were met once only: another start would show a new one with probability about {once / total:.2g} (Good and Turing); type a larger starts=",
        )
        if once
        else ()
    )
    return _sorted(given, sides, points, f"Newton's method with deflation, {starts} starts", notes)


def _following(given: Surface, sides: Floats, starts: int, tolerance: float, seed: int) -> CriticalPoints:
    width = float(np.linalg.norm(sides[:, 1] - sides[:, 0]))
    unit = qmc.Sobol(given.dim, seed=seed).random_base2(int(np.ceil(np.log2(starts))))[:starts]
    x, reach = sides[:, 0] + unit * (sides[:, 1] - sides[:, 0]), 0.01 * width

    def inside(found: list[Floats | None]) -> Floats:
        kept = [y for y in found if y is not None and np.all((y >= sides[:, 0]) & (y <= sides[:, 1]))]
        return distinct(np.array(kept).reshape(-1, given.dim), width)[0]

    minima = inside([minimum_from(given, y, tolerance) for y in x])
    climbs = [s for m in minima for s in saddles_from(given, m, reach, tolerance, DIRECTIONS)]
    saddles = inside([*climbs, *(climb_from(given, y, reach, tolerance) for y in x)])
    ends = [minimum_from(given, y, tolerance) for s in saddles for y in both_sides(given, s, reach)]
    both = inside([*minima, *ends])  # those that were known come first
    climbs = [s for m in both[len(minima) :] for s in saddles_from(given, m, reach, tolerance, DIRECTIONS)]
    points, _ = distinct(np.concatenate([both, inside([*saddles, *climbs])]), width)
    note = "minima and saddles from random starts, softest directions and both sides of saddles: more may exist, and points of higher index are not looked for"
    return _sorted(given, sides, points, f"eigenvector following from {len(both)} minima and {starts} starts", (note,))


def _sorted(given: Surface, sides: Floats, points: Floats, method: str, notes: tuple[str, ...]) -> CriticalPoints:
    if not len(points):
        raise NotConvergedError(
            f"found no critical point in the box {sides.tolist()}, expected some; type a larger box or more starts="
        )
    values = given.value(points)
    spectra = _spectra(given, points)
    scale = np.abs(spectra).max(axis=1, keepdims=True)
    flat = np.any(np.abs(spectra) <= FLAT * scale, axis=1) | (scale[:, 0] == 0)
    index = np.sum(spectra < -FLAT * scale, axis=1)
    order = np.lexsort((values, index))
    if np.any(flat):
        place = np.array2string(points[np.argmax(flat)], precision=6)
        notes = (
            *notes,
            f"{int(flat.sum())} points are degenerate (a Hessian eigenvalue is zero), one at {place}: their index counts only what is negative",
        )
    return CriticalPoints(
        given, sides, points[order], values[order], index[order].astype(np.intp), spectra[order], method, notes
    )


def _spectra(given: Surface, points: Floats) -> Floats:
    """The eigenvalues (n, k) of the Hessian, the lowest first."""
    if given.dim <= MANY:
        H = given.hessian(points)
        if isinstance(given, PotentialSurface):
            return np.asarray(np.linalg.eigvalsh(H))
        return np.sort(np.linalg.eigvals(H).real, axis=-1)
    return np.array([softest(given.product(x), 2)[0] for x in points])
