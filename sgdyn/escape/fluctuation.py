"""Fluctuation paths from a well to a saddle: minima of the geometric action among graphs over the chord."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev as series
from numpy.typing import NDArray
from scipy.linalg import null_space
from scipy.optimize import minimize

from sgdyn.errors import NotConvergedError
from sgdyn.escape.surfaces import jacobian
from sgdyn.noise import Varying
from sgdyn.problem import Langevin

Floats = NDArray[np.float64]

MODES, NODES, POINTS = 24, 200, 2001
BENDS = (0.02, 0.3)
"""Starts: arcs of so many chords on both sides of the chord. The chord itself may be a saddle of the action, so it is none of them."""


@dataclass(frozen=True, eq=False)
class Graph:
    """Paths x(s) = well + s (saddle - well) + N y(s), y(s) = s (1 - s) times a Chebyshev series (modes, dim - 1), and their action.

    S = (1/2) ∫ (|x'|_A |b|_A - x'.A b) ds,  A = D^-1: the barrier of exp(-V/T). Heymann and Vanden-Eijnden, CPAM 61, 1052 (2008), with T D
    for half of their a.
    """

    problem: Langevin
    well: Floats
    saddle: Floats

    def __post_init__(self) -> None:
        chord = self.saddle - self.well
        A = np.linalg.inv(self.problem.D(self.well))
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        s = 0.5 * (1 - np.cos(0.5 * np.pi * (nodes + 1)))  # points gather at both ends
        object.__setattr__(self, "weights", weights * 0.25 * np.pi * np.sin(0.5 * np.pi * (nodes + 1)))
        object.__setattr__(self, "N", null_space(chord[None]) * np.linalg.norm(chord))
        object.__setattr__(self, "A", A)
        object.__setattr__(self, "basis", self.shapes(s))
        object.__setattr__(self, "s", s)

    weights: Floats = None  # type: ignore[assignment]
    N: Floats = None  # type: ignore[assignment]
    A: Floats = None  # type: ignore[assignment]
    basis: tuple[Floats, Floats] = None  # type: ignore[assignment]
    s: Floats = None  # type: ignore[assignment]

    @staticmethod
    def shapes(s: Floats) -> tuple[Floats, Floats]:
        """s (1 - s) T_k(2 s - 1) and its derivative (points, modes)."""
        t = 2 * s - 1
        values = series.chebvander(t, MODES - 1)
        slopes = np.stack([2 * series.chebval(t, series.chebder(row)) for row in np.eye(MODES)], axis=1)
        hump = (s * (1 - s))[:, None]
        return hump * values, hump * slopes + (1 - 2 * s)[:, None] * values

    def path(self, c: Floats, s: Floats) -> Floats:
        """The points (n, dim) of the path with coefficients c at s."""
        values, _ = self.shapes(s)
        return self.well + s[:, None] * (self.saddle - self.well) + values @ c.reshape(MODES, -1) @ self.N.T

    def action(self, c: Floats) -> tuple[float, Floats]:
        """S and its derivatives with respect to the coefficients."""
        y, dy = (part @ c.reshape(MODES, -1) @ self.N.T for part in self.basis)
        chord = self.saddle - self.well
        x, v = self.well + self.s[:, None] * chord + y, chord + dy
        b, J = self.problem.drift(x), jacobian(self.problem.drift, x)
        Ab, Av = b @ self.A, v @ self.A
        size_b, size_v = np.sqrt(np.sum(b * Ab, 1)), np.sqrt(np.sum(v * Av, 1))
        value = 0.5 * float(self.weights @ (size_v * size_b - np.sum(v * Ab, 1)))
        by_b = (size_v / np.maximum(size_b, 1e-300))[:, None] * Ab - Av
        by_v = (size_b / size_v)[:, None] * Av - Ab
        by_x = np.einsum("ni,nij->nj", by_b, J)
        slope = self.basis[0].T @ (self.weights[:, None] * by_x) + self.basis[1].T @ (self.weights[:, None] * by_v)
        return value, 0.5 * np.ravel(slope @ self.N)


def instantons(problem: Langevin, well: Floats, saddle: Floats) -> list[Floats]:
    """The fluctuation paths (points, dim) from well to saddle whose actions are within T of the least one; mirror images are several.

    Raises ValueError for D that depends on x or is singular, `NotConvergedError` where no path is found.
    """
    if isinstance(problem.D, Varying):
        raise ValueError(
            "got a D that depends on x in a process that does not keep exp(-U/T), expected a constant D: the prefactor needs derivatives of D "
            "along the fluctuation path, which are not implemented; type D=problem.D(x) to freeze it, sg.Langevin.gibbs, or sg.fokker_planck"
        )
    if np.linalg.eigvalsh(problem.D(well))[0] <= 1e-12 * np.linalg.eigvalsh(problem.D(well))[-1]:
        raise ValueError(
            "got a singular D, expected noise in every direction; type LowRank(V, s, floor=...) with a floor > 0"
        )
    graph = Graph(problem, well, saddle)
    found = [c for bend in BENDS for start in _starts(graph, bend) if (c := _least(graph, start)) is not None]
    if not found:
        raise NotConvergedError(
            "found no fluctuation path as a graph over the chord from well to saddle; type path=... (points, dim)"
        )
    actions = np.array([graph.action(c)[0] for c in found])
    s = 0.5 * (1 - np.cos(np.pi * np.arange(POINTS) / (POINTS - 1)))
    ways: list[Floats] = []
    for k in np.argsort(actions):
        way = graph.path(found[k], s)
        new = all(np.abs(way - other).max() > 1e-2 * np.linalg.norm(saddle - well) for other in ways)
        if new and actions[k] < actions.min() + problem.T:
            ways.append(way)
    return ways


def _starts(graph: Graph, bend: float) -> list[Floats]:
    starts = []
    for axis in range(graph.N.shape[1]):
        for sign in (1, -1):
            c = np.zeros((MODES, graph.N.shape[1]))
            c[0, axis] = 4 * sign * bend
            starts.append(c.ravel())
    return starts


def _least(graph: Graph, start: Floats) -> Floats | None:
    scale = np.repeat(1.0 / (1 + np.arange(MODES)) ** 2, graph.N.shape[1])  # higher modes are stiffer
    unit = max(graph.action(start)[0], 1e-300)  # so that tolerances mean the same in all units of energy

    def scaled(u: Floats) -> tuple[float, Floats]:
        value, slope = graph.action(u * scale)
        return value / unit, slope * scale / unit

    found = minimize(scaled, start / scale, jac=True, method="BFGS", options={"maxiter": 3000, "gtol": 1e-10})
    c = np.asarray(found.x * scale)
    return c if np.all(np.isfinite(c)) and np.linalg.norm(found.jac) < 1e-4 * max(found.fun, 1e-300) else None
