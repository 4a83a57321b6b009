"""How the eigenvalues of an operator are distributed, and sums of functions over them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.estimate import Estimate
from sgdyn.linalg.krylov import Apply, Krylov
from sgdyn.linalg.probes import normals, probed
from sgdyn.linalg.spaces import Space
from sgdyn.linalg.spectra import Spectrum, rounding
from sgdyn.printing import Printed

Floats = NDArray[np.float64]
Rule = tuple[Floats, Floats]


@dataclass(frozen=True, eq=False, repr=False)
class SpectralDensity(Printed):
    """The eigenvalues of an operator (p, p): some known, the rest by Gauss quadrature of stochastic Lanczos.

    known (h,) with errors (h,); nodes and weights (probe, step): for each random vector the distribution of the rest = p - h others,
    weights summing to 1. shorter: nodes and weights after three quarters of the steps, by which the error of the quadrature is judged.
    Source: Ubaru, Chen and Saad, SIAM J. Matrix Anal. Appl. 38 (2017) 1075.
    """

    known: Floats
    errors: Floats
    nodes: Floats
    weights: Floats
    shorter: Rule
    rest: int
    method: str

    @classmethod
    def exact(cls, values: Floats, rest: int, method: str, floor: float | None = None) -> SpectralDensity:
        """All eigenvalues that are not zero, and the number of zeros."""
        errors = np.full(len(values), rounding(values) if floor is None else floor)
        zeros = np.zeros((1, 1)), np.ones((1, 1))
        return cls(np.sort(values)[::-1], errors, *zeros, zeros, rest, method)

    @property
    def lowest(self) -> float:
        """The lowest eigenvalue that was seen: an upper bound of the lowest of all."""
        return float(min(self._ends(np.min)))

    @property
    def highest(self) -> float:
        """The highest eigenvalue that was seen: a lower bound of the highest of all."""
        return float(max(self._ends(np.max)))

    def _ends(self, end: Callable[[Floats], Any]) -> list[Any]:
        return [end(part) for part in (self.known, self.nodes) if part.size and (part is self.known or self.rest)]

    def sums(self, f: Callable[[Floats], Floats], rule: Rule | None = None) -> Floats:
        """tr f(A) as each random vector has it (probe,)."""
        nodes, weights = (self.nodes, self.weights) if rule is None else rule
        here = np.asarray(f(self.known), dtype=np.float64).sum() if len(self.known) else 0.0
        if not self.rest:
            return np.full(len(nodes), here)
        return np.asarray(here + self.rest * (weights * f(nodes)).sum(1))

    def sum(self, f: Callable[[Floats], Floats]) -> Estimate:
        """tr f(A), the sum of a vectorised function over all eigenvalues.

        The error joins the standard error over random vectors, what a quarter of the steps changes, and what the errors of the known
        eigenvalues can do.
        """
        return self.statistic(lambda total: total[0], f)

    def statistic(self, function: Callable[[Floats], Any], *terms: Callable[[Floats], Floats]) -> Estimate:
        """A function of several sums tr f(A), its error by the jackknife over random vectors and otherwise as in `sum`."""
        sums = np.stack([self.sums(f) for f in terms])
        value = float(function(sums.mean(1)))
        coarse = float(function(np.stack([self.sums(f, self.shorter) for f in terms]).mean(1)))
        spread = jackknife(function, sums)
        error = math.hypot(spread, value - coarse, self._shift(function, terms))
        return Estimate(value, error, self.method)

    def _shift(self, function: Callable[[Floats], Any], terms: tuple[Callable[[Floats], Floats], ...]) -> float:
        """Half the change of a statistic from the lower to the upper ends of the known eigenvalues' errors."""
        low = np.where(self.known >= 0, np.maximum(self.known - self.errors, 0), self.known - self.errors)
        ends = [
            function(np.array([float(f(known).sum() - f(self.known).sum() + self.sums(f).mean()) for f in terms]))
            for known in (low, self.known + self.errors)
        ]
        return 0.5 * abs(float(ends[1]) - float(ends[0])) if len(self.known) else 0.0

    def count(self, above: float) -> Estimate:
        """The number of eigenvalues larger than a threshold."""
        threshold = checks.number("above", above)
        return self.sum(lambda v: (v > threshold).astype(float))

    def pdf(self, x: ArrayLike, width: float) -> Floats:
        """Eigenvalues per unit at x, each broadened to a normal density of that width; its integral is p."""
        at, width = checks.finite("x", x), checks.positive("width", width)

        def bells(centers: Floats) -> Floats:
            return np.asarray(
                np.exp(-0.5 * ((at[..., None] - centers) / width) ** 2) / (width * math.sqrt(2 * math.pi))
            )

        shares = np.where(self.rest, self.rest * self.weights.ravel() / len(self.weights), 0.0)
        return np.asarray(bells(self.known).sum(-1) + bells(self.nodes.ravel()) @ shares)

    def plot(self, ax: Any = None) -> Any:
        """How many eigenvalues are larger than each (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)


def jackknife(function: Callable[[Floats], Any], sums: Floats) -> float:
    """The standard error of a function of means over the last axis of sums (term, probe)."""
    count = sums.shape[1]
    if count < 2:
        return 0.0
    left = (sums.sum(1, keepdims=True) - sums) / (count - 1)
    values = np.array([float(function(part)) for part in left.T])
    return float(np.sqrt((count - 1) * values.var()))


def stochastic_lanczos(
    apply: Apply,
    space: Space,
    head: Spectrum | None,
    *,
    probes: int,
    steps: int,
    rng: np.random.Generator,
    shown: bool | None,
) -> SpectralDensity:
    """The density by Lanczos quadrature from normal vectors orthogonal to a head that is known."""
    against = space.empty(0 if head is None else len(head.values))
    for i in range(len(against)):
        against[i] = space.vector(np.ascontiguousarray(head.vectors[:, i]))  # type: ignore[union-attr]

    def one() -> tuple[Rule, Rule]:
        krylov = Krylov.begin(apply, space, normals(space, rng), steps, against)
        for _ in range(steps):
            krylov.grow()
            if krylov.ended:
                break
        m = len(krylov.diagonal)
        return _gauss(krylov, m, steps), _gauss(krylov, m if krylov.ended else max(1, (3 * m) // 4), steps)

    done = probed(one, probes, "spectral density", shown)
    full, shorter = (tuple(np.stack(part) for part in zip(*rules, strict=True)) for rules in zip(*done, strict=True))
    known = np.zeros(0) if head is None else head.values
    errors = np.zeros(0) if head is None else head.residuals + head.floor
    said = f"stochastic Lanczos, {len(known)} eigenvalues known, {len(done)} vectors of {steps} steps"
    return SpectralDensity(known, errors, full[0], full[1], (shorter[0], shorter[1]), space.dim - len(known), said)


def _gauss(krylov: Krylov, steps: int, length: int) -> Rule:
    """Nodes and weights after so many steps, filled up with weightless nodes."""
    values, vectors = krylov.ritz(steps)
    nodes, weights = np.full(length, values[0]), np.zeros(length)
    nodes[:steps], weights[:steps] = values, vectors[0] ** 2
    return nodes, weights
