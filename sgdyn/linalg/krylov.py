"""The Lanczos method with full reorthogonalisation and thick restarts."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal

from sgdyn.errors import NotConvergedError
from sgdyn.linalg.probes import normals
from sgdyn.linalg.spaces import BLOCK, Space, norm, without
from sgdyn.linalg.spectra import Spectrum
from sgdyn.progress import progress

Floats = NDArray[np.float64]
Apply = Callable[[Any], Any]

SPARE = 15
"""So many vectors more than k are kept, or half of k if that is more: 25 for k = 10 cost 5 % more products than all."""
ENDED = 1e-14
"""A Krylov space ends where what is left of a product is smaller than this part of the largest |Ritz value|."""
TYPICAL = 40
"""So many products more than k are usual; only the progress bar needs it."""


@dataclass
class Krylov:
    """An orthonormal basis that grows, the matrix of the operator on it, and what is left of the last product.

    The matrix is tridiagonal; after a restart the first rows are Ritz vectors, coupled to the row after them alone, by `spokes`.
    against: orthonormal rows that are kept out of the space. asymmetry: the largest coefficient that symmetry makes zero: rounding itself.
    """

    apply: Apply
    space: Space
    rest: Any
    against: Any
    rows: Any
    diagonal: list[float] = field(default_factory=list)
    off: list[float] = field(default_factory=list)
    spokes: Floats = field(default_factory=lambda: np.zeros(0))
    products: int = 0
    asymmetry: float = 0.0
    before: Floats | None = None
    renewed: int = 0

    @classmethod
    def begin(cls, apply: Apply, space: Space, start: Any, room: int, against: Any = None) -> Krylov:
        """The space of one vector, with room for so many."""
        against = space.empty(0) if against is None else against
        start = without(space, start, against)[0]
        return cls(apply, space, start / norm(space, start), against, space.empty(min(room, space.dim)))

    @property
    def full(self) -> bool:
        return len(self.diagonal) == len(self.rows)

    def grow(self) -> None:
        """One product more."""
        j = len(self.diagonal)
        self.rows[j] = self.rest
        w = self.apply(self.rows[j])
        if len(self.against):
            w = without(self.space, w, self.against)[0]
        along = float(self.space.dots(self.rows[j : j + 1], w)[0])
        w = w - along * self.rows[j]
        if j and j == len(self.spokes):
            w = w - self.space.combine(self.spokes, self.rows[:j])
        elif j:
            w = w - self.off[-1] * self.rows[j - 1]
        w, found = without(self.space, w, self.rows[: j + 1])
        self.diagonal.append(along + float(found[j]))
        self.off.append(norm(self.space, w))
        self.asymmetry = max(self.asymmetry, float(np.abs(found[: max(0, j - 1)]).max(initial=0.0)))
        self.rest = w / self.off[-1] if self.off[-1] > 0 else w
        self.products += 1

    @property
    def exhausted(self) -> bool:
        """True if there is no other direction."""
        return len(self.diagonal) >= self.space.dim - len(self.against)

    def unsettled(self, k: int) -> bool:
        """Whether another vector may yet give larger values, where the space is invariant: the last one did, or there was none."""
        return (
            len(self.diagonal) < k
            or self.before is None
            or bool(np.any(self.ritz()[0][:k] > self.before[:k] + self.floor))
        )

    def settled(self, k: int) -> bool:
        """Whether there are k values that no recent vector may change: it has been followed to its end, or for a while."""
        return len(self.diagonal) >= k and (self.before is None or self.ended or self.products - self.renewed >= SPARE)

    def renew(self) -> None:
        """Go on from another vector: what the first one had no part in is found, copies of degenerate eigenvalues too."""
        values = self.ritz()[0][: len(self.rows)]
        self.before = np.pad(values, (0, len(self.rows) - len(values)), constant_values=-np.inf)
        self.renewed = self.products
        self.off[-1] = 0.0
        fresh = without(self.space, normals(self.space, np.random.default_rng([1, self.products])), self.against)[0]
        fresh = without(self.space, fresh / norm(self.space, fresh), self.rows[: len(self.diagonal)])[0]
        self.rest = fresh / norm(self.space, fresh)

    def restart(self, keep: int) -> None:
        """Keep the largest Ritz vectors and the lowest one; the space stays a Krylov space (Wu and Simon, SIAM J. Matrix Anal. Appl. 22 (2000) 602)."""
        values, rotation = self.ritz()
        chosen = np.r_[: keep - 1, len(values) - 1]
        rotation, spokes = rotation[:, chosen], self.off[-1] * rotation[-1, chosen]
        self.off = []  # an interrupt from here on leaves nothing to return
        for start in range(0, self.space.dim, BLOCK):
            part = slice(start, start + BLOCK)
            self.rows[:keep, part] = self.space.combine(rotation.T.copy(), self.rows[: len(values), part])
        self.diagonal, self.spokes, self.off = list(values[chosen]), spokes, [0.0] * keep

    @property
    def floor(self) -> float:
        """By how much rounding moves eigenvalues: the norm of a random symmetric matrix of such elements, and that of the sums here."""
        return float(np.sqrt(len(self.diagonal)) * (2 * self.asymmetry + self.space.eps * np.abs(self.diagonal).max()))

    @property
    def ended(self) -> bool:
        """True if the space is invariant: it cannot grow."""
        return self.off[-1] <= ENDED * max(np.abs(self.diagonal).max(), max(self.off)) or self.exhausted

    def ritz(self, steps: int | None = None) -> tuple[Floats, Floats]:
        """Ritz values of the first steps, largest first, with their coordinates in columns."""
        m, kept = len(self.diagonal) if steps is None else steps, len(self.spokes)
        if kept and m > kept:
            matrix = np.diag(self.diagonal[:m]) + np.diag(self.off[: m - 1], 1) + np.diag(self.off[: m - 1], -1)
            matrix[:kept, kept] = matrix[kept, :kept] = self.spokes
            values, vectors = np.linalg.eigh(matrix)
        else:
            values, vectors = eigh_tridiagonal(self.diagonal[:m], self.off[: m - 1])
        return values[::-1].copy(), vectors[:, ::-1]

    def residuals(self, rotation: Floats) -> Floats:
        """|A v - value v| of Ritz vectors with coordinates (steps, m)."""
        if len(self.diagonal) == len(self.spokes):
            return np.abs(self.spokes @ rotation)
        return np.asarray(self.off[-1] * np.abs(rotation[-1]))

    def vectors(self, rotation: Floats) -> Floats:
        """Vectors (p, m) of coordinates (steps, m); the basis is given up for them."""
        found = self.space.combine(rotation.T.copy(), self.rows[: len(self.diagonal)])
        self.rows = self.space.empty(0)
        return self.space.array(found).T


def lanczos(
    apply: Apply, space: Space, k: int, start: Any, *, tolerance: float, most: int, basis: int | None = None,
    show_progress: bool | None = None,
) -> Spectrum:  # fmt: skip
    """The k algebraically largest eigenpairs, from the Krylov space of a vector.

    Stops when k residuals are below tolerance (in single precision at least 1e-6) times the largest |Ritz value|. One starting vector
    finds one vector of each degenerate eigenspace; where its space ends, others go on until they change nothing. At most `basis` vectors (k + 15, for many 3k/2) are kept; when they are there, the method restarts
    from two thirds of the spare ones. Ctrl-C returns what is there. Raises NotConvergedError after `most` products.
    Source: Parlett, The Symmetric Eigenvalue Problem, ch. 13.
    """
    room = k + max(SPARE, k // 2) if basis is None else basis
    tolerance, krylov = max(tolerance, 8 * space.eps), Krylov.begin(apply, space, start, room)
    with progress("lanczos", show_progress) as tell:
        try:
            for j in range(most):
                if krylov.full:
                    krylov.restart(k + max(1, 2 * (room - k) // 3))
                krylov.grow()
                tell(min(0.99, (j + 1) / (k + TYPICAL)))
                if krylov.ended and not krylov.exhausted and krylov.unsettled(k):
                    krylov.renew()
                elif krylov.settled(k) and (found := _converged(krylov, k, tolerance)) is not None:
                    return found
        except KeyboardInterrupt:
            return _interrupted(krylov, k)
    values, residuals = _residuals(krylov, k)
    raise NotConvergedError(
        f"residual {residuals.max():.2g} after {krylov.products} products, expected {tolerance * np.abs(values).max():.2g}; type a larger most= or tolerance="
    )


def extremes(apply: Apply, space: Space, start: Any, products: int) -> tuple[float, Floats, float]:
    """(value, vector (p,), scale): the lowest Ritz value of some Lanczos steps with its vector, and the largest |Ritz value|.

    The value is an upper bound of the lowest eigenvalue, good for eigenvalues that stand out by a percent of the scale or so.
    """
    krylov = Krylov.begin(apply, space, start, products)
    for _ in range(min(products, space.dim)):
        krylov.grow()
        if krylov.ended:
            break
    values, rotation = krylov.ritz()
    return float(values[-1]), krylov.vectors(rotation[:, -1:])[:, 0], float(np.abs(values).max())


def _residuals(krylov: Krylov, k: int) -> tuple[Floats, Floats]:
    """All Ritz values, and the residuals of the first k."""
    values, rotation = krylov.ritz()
    return values, krylov.residuals(rotation[:, :k])


def _converged(krylov: Krylov, k: int, tolerance: float) -> Spectrum | None:
    values, residuals = _residuals(krylov, k)
    if krylov.ended or residuals.max() <= tolerance * np.abs(values).max():
        return _spectrum(krylov, k)
    return None


def _spectrum(krylov: Krylov, k: int, notes: tuple[str, ...] = ()) -> Spectrum:
    values, rotation = krylov.ritz()
    residuals = krylov.residuals(rotation[:, :k])
    floor, vectors = krylov.floor, krylov.vectors(rotation[:, :k])
    return Spectrum(values[:k], vectors, residuals, "lanczos", krylov.products, float(values[-1]), floor, notes)


def _interrupted(krylov: Krylov, k: int) -> Spectrum:
    """What an interrupt between or within products leaves."""
    m = min(len(krylov.diagonal), len(krylov.off))
    del krylov.diagonal[m:], krylov.off[m:]
    if not m:
        raise KeyboardInterrupt
    warnings.warn(f"interrupted after {krylov.products} products; the residuals say how far they came", stacklevel=3)
    return _spectrum(krylov, min(k, m), (f"interrupted after {krylov.products} products",))
