"""Exact mean first-passage times in one dimension: the oracle of everything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.estimate import Estimate
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]

NODES = 12
PANELS = (400, 800)
DEPTH = 60.0
"""Potential differences, in units of T D, beyond which the tail of the inner integral is cut: e^-60."""


@dataclass(frozen=True)
class _Panels:
    """Gauss-Legendre nodes (panel, node) on equal panels, and the matrix that integrates from a panel's left end to each node."""

    edges: Floats
    nodes: Floats
    weights: Floats
    partial: Floats

    @classmethod
    def on(cls, low: float, high: float, count: int) -> _Panels:
        s, w = np.polynomial.legendre.leggauss(NODES)
        edges = np.linspace(low, high, count + 1)
        half = 0.5 * (high - low) / count
        lagrange = np.linalg.inv(np.polynomial.legendre.legvander(s, NODES - 1))
        integrals = np.stack(
            [np.polynomial.legendre.legval(s, np.polynomial.legendre.legint(row, lbnd=-1)) for row in np.eye(NODES)],
            axis=1,
        )
        return cls(edges, edges[:-1, None] + half * (s + 1), half * w, half * integrals @ lagrange)

    def cumulative(self, values: Floats) -> tuple[Floats, Floats]:
        """The integral from the lower end to each node, and to each edge."""
        at_edges = np.concatenate([[0.0], np.cumsum(values @ self.weights)])
        return at_edges[:-1, None] + values @ self.partial.T, at_edges


def mean_first_passage_1d(problem: Langevin, x0: float, target: float, *, wall: float | None = None) -> Estimate:
    """The exact mean time of a one-dimensional process from x0 to `target`, with a reflecting wall at the other end or at infinity.

        tau = ∫_{x0}^{target} dy e^{Psi(y)} ∫_{wall}^y dz e^{-Psi(z)}/(T D(z)),   Psi' = -b/(T D),

    b the Itô drift, mirrored for a target below x0. The error is the difference between two resolutions. Raises ValueError if the
    process is not one-dimensional, D vanishes on the way, or the tail does not confine (then give `wall`).
    Source: Gardiner, Stochastic Methods (4th ed.), 5.5.2.
    """
    if not isinstance(problem, Langevin) or problem.dim != 1:
        raise ValueError(f"got {_describe(problem)}, expected a Langevin process in dimension 1")
    start, end = checks.number("x0", x0), checks.number("target", target)
    if start == end:
        raise ValueError(f"got x0 = target = {start:g}, expected two points")
    sign = 1.0 if end > start else -1.0
    line = _Line(problem, sign)
    low = line.tail(sign * start) if wall is None else sign * checks.number("wall", wall)
    if low > sign * start:
        raise ValueError(f"got wall={wall:g}, expected it on the far side of x0={start:g} from the target")
    coarse, fine = (line.passage_time(low, sign * start, sign * end, n) for n in PANELS)
    error = max(abs(fine - coarse), 1e-13 * fine)
    return Estimate(fine, error, "exact quadrature")


def _describe(problem: Any) -> str:
    return (
        f"a {type(problem).__name__} in dimension {problem.dim}"
        if isinstance(problem, Langevin)
        else f"a {type(problem).__name__}"
    )


@dataclass(frozen=True)
class _Line:
    """The process along y = sign x."""

    problem: Langevin
    sign: float

    def slope(self, y: Floats) -> Floats:
        """Psi'(y)."""
        x = (self.sign * y)[..., None]
        return np.asarray(-self.sign * self.problem.drift(x)[..., 0] / self.strength(y))

    def strength(self, y: Floats) -> Floats:
        """T D(y) > 0."""
        values = self.problem.T * self.problem.D((self.sign * np.asarray(y))[..., None])[..., 0, 0]
        if not np.all(values > 0):
            raise ValueError(
                f"got D = {values.min() / self.problem.T:g} at x = {float(self.sign * np.ravel(y)[np.argmin(values)]):g}, expected D > 0 on the way"
            )
        return np.asarray(values)

    def tail(self, start: float) -> float:
        """A point so far below start that Psi has risen there by `DEPTH` above its least value."""
        reach = 1.0
        for _ in range(60):
            panels = _Panels.on(start - reach, start, 400)
            psi = panels.cumulative(self.slope(panels.nodes))[1]
            if np.all(np.isfinite(psi)) and psi[0] - psi.min() > DEPTH:
                deep = np.flatnonzero(psi - psi.min() > DEPTH)
                inner = deep[deep < np.argmin(psi)]
                return float(panels.edges[inner[-1]])
            reach *= 1.5
        raise ValueError(
            "got a potential that does not confine the paths on the far side of x0; type wall=... to put a reflecting wall there"
        )

    def passage_time(self, low: float, start: float, end: float, count: int) -> float:
        """The double integral in logarithms, with panels on both sides of `start`."""
        total = -np.inf
        log_inner, psi = -np.inf, 0.0
        for a, b, counted in ((low, start, False), (start, end, True)):
            if a == b:
                continue
            panels = _Panels.on(a, b, count)
            log_times, log_inner, psi = self._march(panels, log_inner, psi)
            total = np.logaddexp(total, log_times) if counted else total
        return float(np.exp(total))

    def _march(self, panels: _Panels, log_inner: float, psi_start: float) -> tuple[float, float, float]:
        """(log of ∫ dy e^Psi I, log I at the end, Psi at the end) over panels, I(y) = ∫^y e^-Psi/(T D)."""
        psi_nodes, psi_edges = (psi_start + p for p in panels.cumulative(self.slope(panels.nodes)))
        strength, logs = self.strength(panels.nodes), []
        for k, psi in enumerate(psi_nodes):
            reference = float(np.min(psi))
            density = np.exp(reference - psi) / strength[k]
            with np.errstate(divide="ignore"):
                inner = np.logaddexp(log_inner, np.log(panels.partial @ density) - reference)
            logs.append(np.log(panels.weights) + psi + inner)
            log_inner = float(np.logaddexp(log_inner, np.log(panels.weights @ density) - reference))
        return float(np.logaddexp.reduce(np.ravel(logs))), log_inner, float(psi_edges[-1])
