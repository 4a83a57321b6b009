"""The Lanczos method with full reorthogonalisation."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal

from sgdyn.errors import NotConvergedError
from sgdyn.linalg.spaces import Space, norm, without
from sgdyn.linalg.spectra import Spectrum
from sgdyn.progress import progress

Floats = NDArray[np.float64]
Apply = Callable[[Any], Any]

FIRST_ROWS = 32
ENDED = 1e-14
"""A Krylov space ends where what is left of a product is smaller than this part of the largest |Ritz value|."""
TYPICAL = 40
"""So many products more than k are usual; only the progress bar needs it."""


@dataclass
class Krylov:
    """A growing orthonormal basis, the tridiagonal matrix of the operator on it, and what is left of the last product.

    against: orthonormal rows that are kept out of the space. asymmetry: the largest coefficient that symmetry makes zero: rounding itself.
    """

    apply: Apply
    space: Space
    rest: Any
    against: Any
    rows: Any
    diagonal: list[float] = field(default_factory=list)
    off: list[float] = field(default_factory=list)
    asymmetry: float = 0.0

    @classmethod
    def begin(cls, apply: Apply, space: Space, start: Any, against: Any = None) -> Krylov:
        against = space.empty(0) if against is None else against
        start = without(space, start, against)[0]
        return cls(apply, space, start / norm(space, start), against, space.empty(FIRST_ROWS))

    def grow(self) -> None:
        """One product more."""
        j = len(self.diagonal)
        if j == len(self.rows):
            self.rows = self._longer()
        self.rows[j] = self.rest
        w = self.apply(self.rows[j])
        if len(self.against):
            w = without(self.space, w, self.against)[0]
        along = float(self.space.dots(self.rows[j : j + 1], w)[0])
        w = w - along * self.rows[j]
        if j:
            w = w - self.off[-1] * self.rows[j - 1]
        w, found = without(self.space, w, self.rows[: j + 1])
        self.diagonal.append(along + float(found[j]))
        self.off.append(norm(self.space, w))
        self.asymmetry = max(self.asymmetry, float(np.abs(found[: max(0, j - 1)]).max(initial=0.0)))
        self.rest = w / self.off[-1] if self.off[-1] > 0 else w

    def _longer(self) -> Any:
        rows = self.space.empty(min(2 * len(self.rows), self.space.dim))
        rows[: len(self.rows)] = self.rows
        return rows

    @property
    def floor(self) -> float:
        """By how much rounding moves eigenvalues: the norm of a random symmetric matrix of such elements, and that of the sums here."""
        return float(np.sqrt(len(self.diagonal)) * (2 * self.asymmetry + self.space.eps * np.abs(self.diagonal).max()))

    @property
    def ended(self) -> bool:
        """True if the space is invariant: it cannot grow."""
        return self.off[-1] <= ENDED * max(np.abs(self.diagonal).max(), max(self.off)) or len(
            self.diagonal
        ) >= self.space.dim - len(self.against)

    def ritz(self, steps: int | None = None) -> tuple[Floats, Floats]:
        """Ritz values of the first steps, largest first, with their coordinates in columns."""
        m = len(self.diagonal) if steps is None else steps
        values, vectors = eigh_tridiagonal(self.diagonal[:m], self.off[: m - 1])
        return values[::-1].copy(), vectors[:, ::-1]

    def vectors(self, rotation: Floats) -> Floats:
        """Vectors (p, m) of coordinates (steps, m)."""
        return self.space.array(self.space.combine(rotation.T.copy(), self.rows[: len(self.diagonal)])).T


def lanczos(
    apply: Apply, space: Space, k: int, start: Any, *, tolerance: float, most: int, show_progress: bool | None = None
) -> Spectrum:
    """The k algebraically largest eigenpairs, from the Krylov space of a vector.

    Stops when k residuals are below tolerance (in single precision at least 1e-6) times the largest |Ritz value|. One starting vector
    finds one vector of each degenerate eigenspace. Ctrl-C returns what is there. Raises NotConvergedError after `most` products.
    Source: Parlett, The Symmetric Eigenvalue Problem, ch. 13.
    """
    tolerance, krylov = max(tolerance, 8 * space.eps), Krylov.begin(apply, space, start)
    with progress("lanczos", show_progress) as tell:
        try:
            for j in range(min(most, space.dim)):
                krylov.grow()
                tell(min(0.99, (j + 1) / (k + TYPICAL)))
                if j + 1 >= k and (found := _converged(krylov, k, tolerance)) is not None:
                    return found
                if krylov.ended:
                    _refuse_end(krylov, k)
        except KeyboardInterrupt:
            return _interrupted(krylov, k)
    values, residuals = _residuals(krylov, k)
    raise NotConvergedError(
        f"residual {residuals.max():.2g} after {len(krylov.diagonal)} products, expected {tolerance * np.abs(values).max():.2g}; type a larger most= or tolerance="
    )


def extremes(apply: Apply, space: Space, start: Any, products: int) -> tuple[float, Floats, float]:
    """(value, vector (p,), scale): the lowest Ritz value of some Lanczos steps with its vector, and the largest |Ritz value|.

    The value is an upper bound of the lowest eigenvalue, good for eigenvalues that stand out by a percent of the scale or so.
    """
    krylov = Krylov.begin(apply, space, start)
    for _ in range(min(products, space.dim)):
        krylov.grow()
        if krylov.ended:
            break
    values, rotation = krylov.ritz()
    return float(values[-1]), krylov.vectors(rotation[:, -1:])[:, 0], float(np.abs(values).max())


def _residuals(krylov: Krylov, k: int) -> tuple[Floats, Floats]:
    """All Ritz values, and the residuals of the first k."""
    values, rotation = krylov.ritz()
    return values, krylov.off[-1] * np.abs(rotation[-1, :k])


def _converged(krylov: Krylov, k: int, tolerance: float) -> Spectrum | None:
    values, residuals = _residuals(krylov, k)
    if krylov.ended or residuals.max() <= tolerance * np.abs(values).max():
        return _spectrum(krylov, k)
    return None


def _spectrum(krylov: Krylov, k: int, notes: tuple[str, ...] = ()) -> Spectrum:
    values, rotation = krylov.ritz()
    residuals = krylov.off[-1] * np.abs(rotation[-1, :k])
    vectors, products = krylov.vectors(rotation[:, :k]), len(krylov.diagonal)
    return Spectrum(values[:k], vectors, residuals, "lanczos", products, float(values[-1]), krylov.floor, notes)


def _refuse_end(krylov: Krylov, k: int) -> None:
    raise NotConvergedError(
        f"the Krylov space ended after {len(krylov.diagonal)} products, before {k} eigenvalues; type a smaller k (the operator has few distinct eigenvalues)"
    )


def _interrupted(krylov: Krylov, k: int) -> Spectrum:
    """What an interrupt between or within products leaves."""
    m = min(len(krylov.diagonal), len(krylov.off))
    del krylov.diagonal[m:], krylov.off[m:]
    if not m:
        raise KeyboardInterrupt
    warnings.warn(f"interrupted after {m} products; the residuals say how far they came", stacklevel=3)
    return _spectrum(krylov, min(k, m), (f"interrupted after {m} products",))
