"""Symmetric linear operators that answer questions about their spectrum."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from sgdyn import checks
from sgdyn.estimate import Estimate
from sgdyn.linalg.densities import SpectralDensity, stochastic_lanczos
from sgdyn.linalg.journals import Journal, journal
from sgdyn.linalg.krylov import extremes, lanczos
from sgdyn.linalg.plans import EIGEN, Cost, Plan, Way, algebra, timed
from sgdyn.linalg.probes import normals
from sgdyn.linalg.ranks import effective_rank
from sgdyn.linalg.spaces import NumPySpace, Space
from sgdyn.linalg.spectra import Spectrum, dense_spectrum, rounding
from sgdyn.linalg.traces import TRACES, diagonal
from sgdyn.storage import digest

Floats = NDArray[np.float64]

COLUMNS = 32
"""So many columns are multiplied at once where the price of one among many is measured."""
LOOKS = 40
"""Products spent on looking for a negative eigenvalue."""
NEGATIVE = ("raise", "abs", "clip")


class SymmetricOperator(LinearOperator):  # type: ignore[misc]
    """A symmetric operator A (p, p) with eigenvalues, trace, diagonal, log-determinant and density, each with its error.

    operator: a symmetric matrix, or anything SciPy takes for a linear operator; only its products are used, except for up to `DENSE`
    rows, where the whole matrix is the cheaper. Raises ValueError for shapes that are not square.
    """

    DENSE = 512
    HEAD = "lanczos"
    """How eigenvalues are found that are too many for the whole matrix."""

    def __init__(self, operator: Any) -> None:
        self.operator = aslinearoperator(operator)
        if self.operator.shape[0] != self.operator.shape[1]:
            raise ValueError(f"got an operator of shape {self.operator.shape}, expected a square one")
        if np.issubdtype(getattr(self.operator, "dtype", None) or np.float64, np.complexfloating):
            raise ValueError("got a complex operator, expected a real symmetric one")
        super().__init__(np.float64, self.operator.shape)
        self._check_symmetry()

    def _check_symmetry(self) -> None:
        rng = np.random.default_rng(0)
        a, b = rng.normal(size=(2, self.shape[0]))
        forth, back = a @ self._matvec(b), b @ self._matvec(a)
        if not np.isfinite(forth) or abs(forth - back) > 1e-6 * max(abs(forth), abs(back)):
            raise ValueError(f"got a'Ab = {forth:.6g} and b'Aa = {back:.6g}, expected a symmetric operator")

    @property
    def space(self) -> Space:
        """The kind of vectors that `apply` maps."""
        return NumPySpace(self.shape[0])

    def apply(self, v: Any) -> Any:
        """A v for a vector of `space`."""
        return self._matvec(v)

    def prepare(self) -> None:
        """Get ready for many products."""

    def identity(self) -> dict[str, Any]:
        """By what a checkpoint knows the operator again: its kind and size, and some numbers of one product."""
        probes = np.random.default_rng(0).standard_normal((4, self.shape[0]))
        return {
            "operator": type(self).__name__,
            "size": self.shape[0],
            "product": [f"{x:.6e}" for x in probes @ self._matvec(probes[0])],
        }

    def journal(self, place: str | Path, question: dict[str, Any]) -> Journal:
        """The products of this operator for some question, kept in a folder."""
        return Journal(self, place, question)

    def _matvec(self, v: Floats) -> Floats:
        return np.asarray(self.operator.matvec(v), dtype=np.float64).ravel()

    def _adjoint(self) -> SymmetricOperator:
        return self

    def dense(self) -> Floats:
        """The whole matrix (p, p)."""
        matrix = self.matmat(np.eye(self.shape[0]))
        return np.asarray(0.5 * (matrix + matrix.T))

    def _method(self, method: str, k: int = 1) -> str:
        """The method meant by a name, "auto" among them."""
        if method not in ("auto", "dense", self.HEAD):
            raise ValueError(f"got method={method!r}, expected 'auto', 'dense' or {self.HEAD!r}")
        if method != "auto":
            return method
        return "dense" if self.shape[0] <= self.DENSE or k > self.shape[0] // 4 else self.HEAD

    def plan(self) -> Plan:
        """The ways to the 10 top eigenvalues, with memory, operations and time, as measured now, and which of them "auto" takes."""
        return self.ways().priced(self.price)

    def price(self, kind: str) -> Cost:
        """Seconds and operations of a "product", of one "column" among several, or of one operation of dense "algebra"."""
        if kind == "algebra":
            return algebra()
        if kind == "column":
            V = np.random.default_rng(0).standard_normal((self.shape[0], COLUMNS))
            return timed(lambda: self._matmat(V)) / COLUMNS, np.nan
        v = normals(self.space, np.random.default_rng(0))
        return timed(lambda: self.apply(v)), np.nan

    def ways(self) -> Plan:
        """The plan without prices."""
        p = self.shape[0]
        few = f"p = {p} {'<=' if p <= self.DENSE else '>'} {self.DENSE}"
        ways = (
            Way(
                "dense", 16.0 * p * p, f"{p} products, eigenvalues", few, {"column": float(p), "algebra": EIGEN * p**3}
            ),
            Way("lanczos", 8.0 * 40 * p, "k + 20 products or so", "any p", {"product": 30.0}),
        )
        return Plan(self._method("auto"), ways)

    def top(
        self, k: int = 10, *, tolerance: float = 1e-8, most: int = 1000, seed: int = 0, method: str = "auto",
        start: Spectrum | ArrayLike | None = None, basis: int | None = None, checkpoint: str | Path | None = None,
        show_progress: bool | None = None,
    ) -> Spectrum:  # fmt: skip
        """The k algebraically largest eigenvalues with vectors and residuals.

        method: "auto" (see `plan`), "dense" or "lanczos". tolerance: residual relative to the largest eigenvalue (raised to what single
        precision allows). start: a `Spectrum` or vectors (p, m) near the wanted ones, for a quicker way. basis: vectors kept at once
        (k + 15, for many 3k/2); fewer take less memory and more products. checkpoint: a folder for the products (p numbers each): the
        same question, asked again after a crash or Ctrl-C, goes on from there to the same bits. Raises `NotConvergedError`, and
        ValueError for a checkpoint of another operator or question.
        """
        k = self._count(k)
        if self._method(method, k) == "dense":
            return self._noted(dense_spectrum(self.dense(), k, self.space.eps))
        self.prepare()
        space = self.space
        first = normals(space, np.random.default_rng(seed)) if start is None else self._warm(start)
        most = checks.count("most", most)
        tolerance = checks.positive("tolerance", tolerance)
        if basis is not None:
            basis = checks.count("basis", basis, least=k + 3)
        question = {"question": "top", "k": k, "basis": basis, "start": digest(space.array(first))}
        with journal(self, checkpoint, **question) as apply:
            found = lanczos(
                apply, space, k, first, tolerance=tolerance, most=most, basis=basis, show_progress=show_progress
            )
        return self._noted(found)

    def notes(self) -> tuple[str, ...]:
        """What makes the products less certain than rounding says."""
        return ()

    def _noted(self, found: Spectrum) -> Spectrum:
        return replace(found, warnings=(*found.warnings, *self.notes()))

    def _count(self, k: int) -> int:
        if checks.count("k", k) > self.shape[0]:
            raise ValueError(f"got k={k}, expected at most {self.shape[0]}, the number of parameters")
        return k

    def _warm(self, start: Spectrum | ArrayLike) -> Any:
        """The sum of vectors: what they do not hold comes in by the first products."""
        vectors = checks.finite("start", start.vectors if isinstance(start, Spectrum) else start)
        if vectors.shape[0] != self.shape[0]:
            raise ValueError(f"got start of shape {vectors.shape}, expected ({self.shape[0]}, m)")
        total = vectors.reshape(len(vectors), -1).sum(1)
        if not np.any(total):
            raise ValueError("got start vectors that add up to zero, expected a direction; type start=None")
        return self.space.vector(total)

    def lowest(self) -> tuple[float, Floats, float]:
        """(value, vector (p,), scale): an upper bound of the lowest eigenvalue with its vector, and the largest |eigenvalue|.

        Exact for `DENSE` rows; beyond, from 40 products, good if it stands out by about a percent of the scale.
        """
        if self._method("auto") != "dense":
            return extremes(self.apply, self.space, normals(self.space, np.random.default_rng(0)), LOOKS)
        values, vectors = np.linalg.eigh(self.dense())
        return float(values[0]), np.asarray(vectors[:, 0]), float(np.abs(values).max())

    def trace(
        self, *, products: int = 60, method: str = "auto", seed: int = 0, checkpoint: str | Path | None = None,
        show_progress: bool | None = None,
    ) -> Estimate:  # fmt: skip
        """The trace by the whole matrix ("dense"), "hutch++", "xtrace" or "hutchinson"; the error is one standard error.

        checkpoint: as in `top`.
        """
        if method not in ("auto", "dense", *TRACES):
            raise ValueError(f"got method={method!r}, expected 'auto', 'dense', {', '.join(map(repr, TRACES))}")
        if method == "dense" or (method == "auto" and self.shape[0] <= self.DENSE):
            values = self._all.known
            return Estimate(float(values.sum()), self._rounding(np.abs(values).sum()), "all eigenvalues, rounding")
        self.prepare()
        name = "hutch++" if method == "auto" else method
        rng, products = np.random.default_rng(seed), checks.count("products", products, least=4)
        with journal(self, checkpoint, question="trace", method=name, products=products, seed=seed) as apply:
            return TRACES[name](apply, self.space, products, rng, show_progress)

    def diag(
        self,
        *,
        products: int = 60,
        seed: int = 0,
        checkpoint: str | Path | None = None,
        show_progress: bool | None = None,
    ) -> Estimate:
        """The diagonal (p,): exact for `DENSE` rows, else by random signs with standard errors. checkpoint: as in `top`."""
        if self.shape[0] <= self.DENSE:
            values = np.diag(self.dense()).copy()
            return Estimate(values, np.full(len(values), self._rounding(np.abs(values).max())), "dense, rounding")
        self.prepare()
        rng, products = np.random.default_rng(seed), checks.count("products", products, least=4)
        with journal(self, checkpoint, question="diag", products=products, seed=seed) as apply:
            return diagonal(apply, self.space, products, rng, show_progress)

    def _rounding(self, scale: float) -> float:
        return float(self.space.eps * scale)

    def density(
        self, *, probes: int = 8, steps: int = 40, head: int = 10, tolerance: float = 1e-4, seed: int = 0, method: str = "auto",
        checkpoint: str | Path | None = None, show_progress: bool | None = None,
    ) -> SpectralDensity:  # fmt: skip
        """The distribution of the eigenvalues: of the whole matrix, or by stochastic Lanczos beside `head` eigenvalues found one by one.

        probes: random vectors, whose spread is the error. steps: products for each. checkpoint: as in `top`; more probes may be asked
        for than before.
        """
        exact = self._exact(method, checkpoint)
        if exact is not None:
            return exact
        probes, steps = checks.count("probes", probes, least=2), checks.count("steps", steps, least=2)
        head = checks.count("head", head, least=0)
        self.prepare()
        question = {"question": "density", "steps": steps, "head": head, "tolerance": tolerance, "seed": seed}
        with journal(self, checkpoint, **question) as apply:
            known = self._head(apply, head, tolerance, seed) if head else None
            rng = np.random.default_rng([seed, 1])
            return stochastic_lanczos(
                apply, self.space, known, probes=probes, steps=steps, rng=rng, shown=show_progress
            )

    def _head(self, apply: Any, k: int, tolerance: float, seed: int) -> Spectrum:
        """The k top eigenvalues by those products."""
        first = normals(self.space, np.random.default_rng(seed))
        return lanczos(apply, self.space, self._count(k), first, tolerance=tolerance, most=1000)

    def _exact(self, method: str, checkpoint: str | Path | None = None) -> SpectralDensity | None:
        """All eigenvalues, if they are to be had; `checkpoint` is for those who have them from more than the whole matrix."""
        return self._all if self._method(method) == "dense" else None

    @cached_property
    def _all(self) -> SpectralDensity:
        """All eigenvalues of the whole matrix."""
        values = np.asarray(np.linalg.eigvalsh(self.dense()), dtype=np.float64)
        return SpectralDensity.exact(values, 0, "all eigenvalues, rounding", rounding(values, self.space.eps))

    def logdet(self, c: float, *, negative: str = "raise", **options: Any) -> Estimate:
        """log det(1 + c A) from the density (options: those of `density`), whose lowest eigenvalue is noted.

        negative: where 1 + c lambda <= 0 for some eigenvalue, "raise" a ValueError, take the modulus ("abs"), or leave negative
        eigenvalues out ("clip").
        """
        c = checks.positive("c", c)
        if negative not in NEGATIVE:
            raise ValueError(f"got negative={negative!r}, expected {', '.join(map(repr, NEGATIVE))}")
        density = self.density(**options)
        lowest = density.lowest
        if negative == "raise" and 1 + c * lowest <= 0:
            raise ValueError(
                f"got c={c:g} and the eigenvalue {lowest:.4g}, expected 1 + c lambda > 0: the log-determinant is undefined; type a c below {-1 / lowest:.3g}, negative='clip' or 'abs', or take GaussNewton"
            )
        found = density.sum(
            lambda v: np.log1p(c * np.maximum(v, 0)) if negative == "clip" else np.log(np.abs(1 + c * v))
        )
        notes = (f"lowest eigenvalue seen {lowest:.4g}",) if lowest < 0 else ()
        return Estimate(found.value, found.error, found.method, warnings=notes)

    def effective_rank(self, rule: str | float = "participation", **options: Any) -> Estimate:
        """How many eigenvalues matter (options: those of `density`).

        rule: "participation" tr(A)²/tr(A²), "intrinsic" tr(A)/lambda_1, "stable" tr(A²)/lambda_1², "entropy" exp(-sum q log q) of
        q = lambda/tr(A), positive eigenvalues only (Roy and Vetterli 2007), "float32" how many exceed p eps lambda_1 with the eps of
        single precision (the rank of Chaudhari and Soatto, arXiv:1710.11029), or a number: how many exceed it.
        """
        return effective_rank(self.density(**options), rule)
