"""exp(Q' t) on masses: exactly positive for short times, by rational Krylov spaces for long ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse, special

from sgdyn.density.solvers import Solver
from sgdyn.density.uniformisation import after_jumps

Floats = NDArray[np.float64]
Flows = tuple[list[Floats], list[float]]

JUMPS = 300.0
"""Jumps of the fastest cell up to which a product for each is cheaper than a factorisation."""
SPAN = 30.0
"""The longest over the shortest time that one shift serves."""
ROUGH = 3e4
"""Jumps of the fastest cell after which rounding of the fast modes would be felt by the slow ones; a rough start is smoothed before."""
TOLERANCE = 1e-11
LARGEST = 84
STRIDE = 4


class Exponential:
    """The flow of masses under rates Q; `leaks` says whether mass may be lost.

    Uniformisation adds non-negative terms only. Shift-and-invert Krylov spaces span powers of (1 - gamma Q')^-1, so that one factorisation
    serves all times between some gamma and a hundred gamma; their error is the change over the last four vectors.
    Sources: van den Eshof and Hochbruck, SIAM J. Sci. Comput. 27, 1438 (2006); Grassmann, Comput. Oper. Res. 4, 47 (1977).
    """

    def __init__(self, rates: sparse.csr_array, leaks: bool = False) -> None:
        self.rates, self.leaks = rates, leaks
        self.fastest = float(-rates.diagonal().min())
        self._last: tuple[float, Solver] | None = None

    def __call__(self, masses: Floats, times: Floats, report: Callable[[float], None] = lambda done: None) -> Flows:
        """Masses (n,) at increasing times >= 0, and bounds on the L1 distance from the exact solution for these rates."""
        states: list[Floats] = []
        errors: list[float] = []
        now, state, error = 0.0, masses, 0.0
        while len(states) < len(times):
            ahead = times[len(states) :] - now
            rest = self._rest(float(ahead[0]), now)
            found, added = self._advance(state, ahead if rest is None else np.array([rest]))
            totals = [error + e for e in added]
            if rest is None:
                states += found
                errors += totals
                report(len(states) / len(times))
            state, error = found[-1], totals[-1]
            now = float(times[len(states) - 1]) if rest is None else now + rest
        return states, errors

    def _rest(self, gap: float, now: float) -> float | None:
        """A time to halt at before a gap that is long in view of how smooth masses are."""
        longest, stop = max(SPAN * now, ROUGH / max(self.fastest, 1e-300)), gap
        while stop > longest:
            stop /= SPAN
        return stop if stop < gap else None

    def _advance(self, masses: Floats, ahead: Floats) -> Flows:
        """The masses at the first of some times, or at the first few."""
        window = ahead[ahead <= SPAN * ahead[0]]
        if self.fastest * window[-1] <= JUMPS:
            return [self._uniformised(masses, float(ahead[0]))], [0.0]
        found = self._rational(masses, window)
        if found is not None:
            return found
        if len(window) > 1:
            return self._advance(masses, window[:1])
        return self._halved(masses, 0.5 * ahead[:1])

    def _halved(self, masses: Floats, half: Floats) -> Flows:
        first, before = self._advance(masses, half)
        second, after = self._advance(first[0], half)
        return second, [before[0] + after[0]]

    def _uniformised(self, masses: Floats, t: float) -> Floats:
        """The sum over numbers of jumps k of Poisson(k) P'^k masses, P = 1 + Q/fastest."""
        jumps = self.fastest * t
        k = np.arange(int(jumps + 9 * np.sqrt(jumps) + 25))
        weights = np.exp(special.xlogy(k, jumps) - jumps - special.gammaln(k + 1))
        weights /= weights.sum()
        return self._conserved(after_jumps(self.rates, masses, weights if jumps else weights[:1]), masses)

    def _conserved(self, found: Floats, before: Floats) -> Floats:
        """Rounding may not make or take mass."""
        return found if self.leaks else np.asarray(found * (before.sum() / found.sum()))

    def _rational(self, masses: Floats, times: Floats) -> Flows | None:
        """None where the largest space is too small."""
        gamma = float(np.sqrt(times[0] * times[-1])) / 18
        space = _Space(masses, self._inverse(gamma))
        last: Floats | None = None
        for size in range(1, min(LARGEST, len(masses)) + 1):
            closed = space.grow()
            if size % STRIDE and not closed:
                continue
            now = space.exponentials(times, gamma)
            last = now if closed else last
            if last is not None:
                change: Floats = now - np.pad(last, ((0, 0), (0, now.shape[1] - last.shape[1])))
                error = _largest(change, space, TOLERANCE * float(masses.sum()))
                if error is not None:
                    return self._cleaned(now @ space.basis, error, masses)
            last = now
        return None

    def _inverse(self, gamma: float) -> Callable[[Floats], Floats]:
        """(1 - gamma Q')^-1, from the last factorisation if it was the same gamma."""
        if self._last is None or self._last[0] != gamma:
            shifted = sparse.eye_array(self.rates.shape[0]) / gamma - self.rates
            self._last = gamma, Solver(sparse.csr_array(shifted))
        solver = self._last[1]
        return lambda b: solver.solve_transposed(b) / gamma

    def _cleaned(self, found: Floats, error: Floats, before: Floats) -> Flows:
        """Negative masses are set to zero; what that and the scaling move counts as error."""
        positive = [self._conserved(np.maximum(row, 0.0), before) for row in found]
        moved = [float(np.abs(new - row).sum()) for new, row in zip(positive, found, strict=True)]
        return positive, [m + float(e) for m, e in zip(moved, error, strict=True)]


def _largest(change: Floats, space: _Space, tolerance: float) -> Floats | None:
    """The L1 norms of changes (times, size) given in the basis; None where one exceeds the tolerance."""
    if np.linalg.norm(change, axis=1).max() > tolerance:  # never more than the L1 norm
        return None
    sizes = np.abs(change @ space.basis).sum(axis=1)
    return np.asarray(sizes) if sizes.max() <= tolerance else None


class _Space:
    """The Krylov space of an operator from a vector: orthonormal basis (size, n) and the operator's matrix on it."""

    def __init__(self, start: Floats, operator: Callable[[Floats], Floats]) -> None:
        self.operator, self.norm = operator, float(np.linalg.norm(start))
        self.vectors = np.empty((LARGEST + 1, len(start)))  # pages are taken as they are written
        self.vectors[0] = start / self.norm
        self.matrix = np.zeros((LARGEST + 1, LARGEST))
        self.size = 0

    @property
    def basis(self) -> Floats:
        return self.vectors[: self.size]

    def grow(self) -> bool:
        """Add a vector; True if there are no more."""
        k = self.size
        known, y = self.vectors[: k + 1], self.operator(self.vectors[k])
        size = float(np.linalg.norm(y))
        for _ in range(2):  # twice is enough (Kahan)
            along = known @ y
            self.matrix[: k + 1, k] += along
            y = y - along @ known
        left = float(np.linalg.norm(y))
        self.matrix[k + 1, k] = left
        self.size = k + 1
        if left <= 1e-14 * size:
            return True
        self.vectors[k + 1] = y / left
        return False

    def exponentials(self, times: Floats, gamma: float) -> Floats:
        """exp(t Q') start in the basis, (times, size)."""
        small = self.matrix[: self.size, : self.size]
        generator = (np.eye(self.size) - np.linalg.inv(small)) / gamma
        return np.asarray(self.norm * linalg.expm(times[:, None, None] * generator)[:, :, 0])
