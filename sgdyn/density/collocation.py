"""One-dimensional processes to ten digits: Chebyshev collocation of the generator L f = b f' + T D f''.

The unknowns are the values of f'' at the nodes and the values of f and f' at the left end, from which f' and f follow by integration:
unlike differentiation it does not lose digits (Greengard, SIAM J. Numer. Anal. 28, 1071 (1991)).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev as series
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.errors import NotConvergedError
from sgdyn.estimate import Estimate
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]

DEGREES = (48, 96, 192, 384, 768)
CONVERGED, LARGEST_ERROR, ROUNDING = 1e-12, 1e-3, 1e-13
KINDS = ("reflecting", "absorbing")


@cache
def _nodes(degree: int) -> tuple[Floats, Floats]:
    """Chebyshev points on [-1, 1] from left to right, and the matrix that integrates from -1 to each of them."""
    angle = np.pi * np.arange(degree + 1) / degree
    x = -np.cos(angle)
    halves = np.ones(degree + 1)
    halves[[0, -1]] = 0.5
    values = np.cos(np.outer(np.arange(degree + 1), angle[::-1]))
    coefficients = 2 / degree * halves[:, None] * values * halves
    integrals = series.chebint(coefficients, lbnd=-1, axis=0)
    return x, np.asarray(series.chebvander(x, degree + 1) @ integrals, dtype=np.float64)


@dataclass(frozen=True)
class _Interval:
    """The generator at the nodes of [low, high]."""

    x: Floats
    sums: Floats
    drift: Floats
    strength: Floats

    @classmethod
    def of(cls, problem: Langevin, low: float, high: float, degree: int) -> _Interval:
        t, sums = _nodes(degree)
        half = 0.5 * (high - low)
        x = low + half * (t + 1)
        strength = np.asarray(problem.T * problem.D(x[:, None])[:, 0, 0])
        drift = np.asarray(problem.drift(x[:, None])[:, 0])
        for name, values, good in (("D", strength, strength > 0), ("the drift", drift, np.isfinite(drift))):
            if not np.all(good & np.isfinite(values)):
                k = int(np.argmin(good & np.isfinite(values)))
                expected = "D > 0" if name == "D" else "finite numbers"
                raise ValueError(
                    f"got {name} = {values[k]:g} at x = {x[k]:g}, expected {expected}; type another interval"
                )
        return cls(x, half * sums, drift, strength)

    def system(self, kinds: tuple[str, str]) -> Floats:
        """Rows: L f at the nodes, then the conditions at the two ends. Columns: f'' at the nodes, f' and f at the left end."""
        n = len(self.x)
        rows = np.zeros((n + 2, n + 2))
        rows[:n, :n] = np.diag(self.strength) + self.drift[:, None] * self.sums
        rows[:n, n] = self.drift
        for k, (kind, node) in enumerate(zip(kinds, (0, -1), strict=True)):
            values, slopes = self.function[node], self.slope[node]
            rows[n + k] = slopes if kind == "reflecting" else values
        return rows

    @property
    def slope(self) -> Floats:
        """f' at the nodes from the unknowns (n, n + 2)."""
        n = len(self.x)
        return np.hstack([self.sums, np.ones((n, 1)), np.zeros((n, 1))])

    @property
    def function(self) -> Floats:
        """f at the nodes from the unknowns (n, n + 2)."""
        n = len(self.x)
        return np.hstack([self.sums @ self.sums, (self.x - self.x[0])[:, None], np.ones((n, 1))])

    def solved(self, kinds: tuple[str, str], source: float, ends: tuple[float, float]) -> Floats:
        """f at the nodes with L f = source and the values `ends` of the conditions."""
        side = np.append(np.full(len(self.x), source), ends)
        return np.asarray(self.function @ np.linalg.solve(self.system(kinds), side))

    def rates(self, kinds: tuple[str, str], count: int) -> Floats:
        """The smallest eigenvalues of -L, by its inverse, which is bounded."""
        n, system = len(self.x), self.system(kinds)
        free = kinds == ("reflecting", "reflecting")
        if free:  # constants are in the kernel: fix f at the left end, and find what part of the source is constant
            system[:n, n + 1] = -1.0
        inverse = np.linalg.solve(system, -np.eye(n + 2, n))
        function = self.function
        function[:, n + 1] *= not free
        solved = function @ inverse
        if free:  # eigenfunctions other than constants have mean zero
            mean = -inverse[n + 1]
            mean /= mean.sum()
            solved = solved - mean @ solved
        values = np.linalg.eigvals(solved).real
        found = 1 / np.sort(values)[::-1][: count - free]
        return np.asarray(np.concatenate([np.zeros(int(free)), found]))

    def log_density(self) -> Floats:
        """log of the stationary density at the nodes, not normalised."""
        return np.asarray(self.sums @ (self.drift / self.strength) - np.log(self.strength))

    def at(self, values: Floats, x: Floats) -> Floats:
        """The polynomial through values at the nodes, at other points (barycentric formula)."""
        weights = (-1.0) ** np.arange(len(self.x))
        weights[[0, -1]] *= 0.5
        gap = x[:, None] - self.x
        hit = gap == 0
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = weights / gap
            found = terms @ values / terms.sum(axis=1)
        return np.asarray(np.where(hit.any(axis=1), values[hit.argmax(axis=1)], found))


@dataclass(frozen=True, eq=False)
class Chebyshev:
    """A one-dimensional process between two walls; every answer is an `Estimate` from polynomials of two degrees."""

    problem: Langevin
    low: float
    high: float
    boundary: tuple[str, str]

    def rates(self, k: int = 2) -> Estimate:
        """The k smallest eigenvalues of -L, (k,); the first is zero between reflecting walls."""
        count = checks.count("k", k)
        found = self._refined(lambda degree: self._interval(degree).rates(self.boundary, count))
        # the inverse is rounded as its largest eigenvalue, the slowest rate
        slowest = found.value[np.flatnonzero(found.value)[0]] if np.any(found.value) else 1.0
        return Estimate(found.value, found.error + ROUNDING * found.value**2 / slowest, found.method)

    def mean_first_passage(self, a: float | None, x0: float) -> Estimate:
        """The mean time from x0 to the point a (or, with None, to absorbing walls): L tau = -1, tau(a) = 0."""
        start = self._inside("x0", x0)
        low, high, kinds = self.low, self.high, self.boundary
        if a is not None:
            target = self._inside("a", a)
            if target == start:
                return Estimate(0.0, 0.0, "Chebyshev collocation")
            low, high = (low, target) if start < target else (target, high)
            kinds = (kinds[0], "absorbing") if start < target else ("absorbing", kinds[1])
        if kinds == ("reflecting", "reflecting"):
            raise ValueError(
                "got no target and two reflecting walls, expected a way out; type a point a, or boundary='absorbing'"
            )
        return self._value(low, high, kinds, -1.0, (0.0, 0.0), start)

    def committor(self, a: float, b: float, x: float) -> Estimate:
        """The probability to reach b before a from x: L q = 0, q(a) = 0, q(b) = 1."""
        first, last, place = self._inside("a", a), self._inside("b", b), self._inside("x", x)
        if first == last:
            raise ValueError(f"got a = b = {first:g}, expected two points")
        low, high = min(first, last), max(first, last)
        if not low < place < high:
            beyond_b = place >= last if last > first else place <= last
            kind = self.boundary[0 if place <= low else 1]
            if kind == "absorbing" and place not in (first, last):
                raise ValueError(f"got x={place:g} beside an absorbing wall, expected it between a and b")
            return Estimate(float(beyond_b), 0.0, "Chebyshev collocation")
        ends = (0.0, 1.0) if first < last else (1.0, 0.0)
        return self._value(low, high, ("absorbing", "absorbing"), 0.0, ends, place)

    def density(self, x: ArrayLike) -> Estimate:
        """The stationary density exp(∫ b/(T D))/(T D) between reflecting walls at points x, normalised on the interval."""
        if self.boundary != ("reflecting", "reflecting"):
            raise ValueError(
                f"got boundary={self.boundary}, expected reflecting walls: nothing is stationary with a leak"
            )
        places = np.atleast_1d(checks.finite("x", x)).ravel()
        if np.any((places < self.low) | (places > self.high)):
            raise ValueError(f"got x beyond [{self.low:g}, {self.high:g}], expected points inside")

        def values(degree: int) -> Floats:
            interval = self._interval(degree)
            logs = interval.log_density()
            top = logs.max()
            normal = interval.sums[-1] @ np.exp(logs - top)
            return np.asarray(np.exp(interval.at(logs, places) - top) / normal)

        found = self._refined(values)
        shape = np.shape(x)
        return Estimate(found.value.reshape(shape), found.error.reshape(shape), found.method)

    def mean(self, f: Callable[[Floats], ArrayLike]) -> Estimate:
        """The stationary average of f(x) of points (..., 1), by Gauss points on the interval; its shape is that of f at one point."""

        def average(degree: int) -> Floats:
            nodes, weights = np.polynomial.legendre.leggauss(degree)
            x = self.low + 0.5 * (self.high - self.low) * (nodes + 1)
            values = np.asarray(f(x[:, None]), dtype=np.float64)
            masses = weights * self.density(x).value
            return np.asarray(np.tensordot(masses / masses.sum(), values, axes=1))

        found = [average(degree) for degree in (200, 400)]
        error = np.abs(found[1] - found[0]) + ROUNDING * np.max(np.abs([self.low, self.high]))
        return Estimate(found[1], error, "Chebyshev collocation")

    def _interval(self, degree: int) -> _Interval:
        return _Interval.of(self.problem, self.low, self.high, degree)

    def _inside(self, name: str, x: float) -> float:
        place = checks.number(name, x)
        if not self.low <= place <= self.high:
            raise ValueError(
                f"got {name}={place:g}, expected a point of [{self.low:g}, {self.high:g}]; type a wider interval"
            )
        return place

    def _value(
        self, low: float, high: float, kinds: tuple[str, str], source: float, ends: tuple[float, float], place: float
    ) -> Estimate:
        def value(degree: int) -> Floats:
            interval = _Interval.of(self.problem, low, high, degree)
            return interval.at(interval.solved(kinds, source, ends), np.array([place]))

        found = self._refined(value)
        number, error = float(found.value[0]), float(found.error[0])
        if source:  # the system is rounded as its fast rates are, and the answer is an inverse of its slowest
            whole = _Interval.of(self.problem, low, high, DEGREES[0])
            fast = np.abs(whole.drift).max() / (high - low) + whole.strength.max() / (high - low) ** 2
            error += np.finfo(np.float64).eps * float(fast) * number**2
        return Estimate(number, error, found.method)

    def _refined(self, values: Callable[[int], Floats]) -> Estimate:
        """The values for the degree from which they stay the same; their change and rounding are the error."""
        found: list[tuple[float, Floats, Floats, int]] = []
        coarse = values(DEGREES[0])
        for degree in DEGREES[1:]:
            fine = values(degree)
            change = np.abs(fine - coarse)
            share = float(np.max(change / np.maximum(np.abs(fine), 1e-300)))
            found.append((share if np.isfinite(share) else np.inf, fine, change, degree))
            if share <= CONVERGED:
                break
            coarse = fine
        share, value, change, degree = min(found, key=lambda entry: entry[0])
        if not share <= LARGEST_ERROR:
            raise NotConvergedError(
                f"got a relative error of {share:.2g} with polynomials of degree {DEGREES[-1]}, expected at most {LARGEST_ERROR:g}; "
                "type a smaller interval, a larger T or a smoother drift"
            )
        return Estimate(value, change + ROUNDING * np.abs(value), f"Chebyshev collocation, degree {degree}")


def chebyshev(problem: Langevin, interval: tuple[float, float], boundary: Any = "reflecting") -> Chebyshev:
    """A one-dimensional process between walls at low and high, to ten digits and more where drift and D are smooth.

        L f = b f' + T D f'',   f' = 0 at reflecting walls, f = 0 at absorbing ones

    boundary: "reflecting" or "absorbing", one for both walls or a pair. Raises ValueError for other processes and where low >= high.
    """
    if not isinstance(problem, Langevin) or problem.dim != 1:
        raise ValueError(
            f"got a {type(problem).__name__} in dimension {getattr(problem, 'dim', '?')}, expected a Langevin process in dimension 1"
        )
    low, high = (checks.number(name, x) for name, x in zip(("low", "high"), interval, strict=True))
    if low >= high:
        raise ValueError(f"got the interval ({low:g}, {high:g}), expected low < high")
    pair = (boundary, boundary) if isinstance(boundary, str) else tuple(boundary)
    if len(pair) != 2 or not set(pair) <= set(KINDS):
        raise ValueError(f"got boundary={boundary!r}, expected one or two of {', '.join(KINDS)}")
    return Chebyshev(problem, low, high, pair)
