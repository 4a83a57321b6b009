"""Saddles from minima by following the softest direction: gradients and Hessian-vector products only, for many dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh, minres

from sgdyn.escape.surfaces import Surface

Floats = NDArray[np.float64]

DENSE = 24
"""Up to this dimension the Hessian is built from products and diagonalised."""
CLIMBS, POLISH = 400, 30
NEAR = 4.0
"""So many longest steps from where it begins Newton's method has lost the saddle."""
FARTHEST = 150.0
"""A climb that is so many longest steps away has run out of the box."""


def softest(H: LinearOperator, count: int, start: Floats | None = None) -> tuple[Floats, Floats]:
    """The lowest eigenvalues (count,) of a Hessian and their vectors (dim, count)."""
    dim = H.shape[0]
    if dim <= DENSE or count >= dim - 1:
        matrix = H @ np.eye(dim)
        values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
        return values[:count], vectors[:, :count]
    v0 = np.random.default_rng(0).normal(size=dim) if start is None else start
    values, vectors = eigsh(H, k=count, which="SA", v0=v0, tol=1e-4, maxiter=50 * dim)
    order = np.argsort(values)
    return values[order], vectors[:, order]


@dataclass(frozen=True)
class Climb:
    """From a point next to a minimum to the saddle that the softest direction leads to; `reach` is the longest step.

    Along the softest eigenvector v the step goes uphill, across it conjugate gradients go downhill, all from products H v.
    Source: Cerjan and Miller, J. Chem. Phys. 75, 2800 (1981); Munro and Wales, Phys. Rev. B 59, 3969 (1999); the same force as the
    dimer's (Henkelman and Jónsson, J. Chem. Phys. 111, 7010 (1999)).
    """

    surface: Surface
    reach: float
    tolerance: float

    def saddle(self, x: Floats, direction: Floats) -> Floats | None:
        """The saddle (dim,), None if the climb runs away or ends elsewhere."""
        v, start = direction / np.linalg.norm(direction), x
        for _ in range(CLIMBS):
            g, H = self.surface.gradient(x[None])[0], self.surface.product(x)
            if not np.all(np.isfinite(g)) or np.linalg.norm(x - start) > FARTHEST * self.reach:
                return None
            values, vectors = softest(H, 1, v)
            new = vectors[:, 0]
            v = new if new @ v >= 0 else -new
            if values[0] < 0 and np.linalg.norm(g) < 1e-3 * abs(values[0]) * self.reach:
                return self.polished(x)
            x = x + self._uphill(g, float(values[0]), v, x - start) + self._across(g, H, v)
        return None

    def _uphill(self, g: Floats, curvature: float, v: Floats, gone: Floats) -> Floats:
        """Towards the maximum along v: a Newton step where U is concave, away from the minimum where it is not."""
        slope = float(g @ v)
        if curvature < 0:
            length = -slope / curvature
        else:
            length = self.reach * float(np.sign(slope) or np.sign(gone @ v) or 1.0)
        return np.asarray(np.clip(length, -self.reach, self.reach) * v)

    def _across(self, g: Floats, H: LinearOperator, v: Floats) -> Floats:
        """Downhill in the hyperplane across v: truncated conjugate gradients, no further than `reach`."""

        def project(u: Floats) -> Floats:
            return np.asarray(u - (u @ v) * v)

        step, rest = np.zeros_like(g), -project(g)
        search, goal = rest.copy(), 1e-2 * float(np.linalg.norm(rest))
        for _ in range(min(len(g), 20)):
            size = float(rest @ rest)
            if size <= goal**2:
                break
            image = project(H @ search)
            bend = float(search @ image)
            if bend <= 1e-12 * float(search @ search):
                return self._within(search if not np.any(step) else step)
            step = step + size / bend * search
            rest = rest - size / bend * image
            search = rest + float(rest @ rest) / size * search
        return self._within(step)

    def _within(self, step: Floats) -> Floats:
        return step * min(1.0, self.reach / max(float(np.linalg.norm(step)), 1e-300))

    def polished(self, x: Floats) -> Floats | None:
        """Newton's method with MINRES, kept if the point has one descending direction and is not far away."""
        start = x
        for _ in range(POLISH):
            g = self.surface.gradient(x[None])[0]
            scale = float(np.linalg.norm(self.surface.product(x) @ np.ones(len(x)))) + 1e-300
            if np.linalg.norm(g) <= self.tolerance * scale:
                break
            step = minres(self.surface.product(x), -g, rtol=1e-8, maxiter=20 * len(x))[0]
            x = x + self._within(step)
            if not np.linalg.norm(x - start) <= NEAR * self.reach:
                return None
        else:
            return None
        values = softest(self.surface.product(x), min(2, len(x)))[0]
        return x if values[0] < 0 and np.all(values[1:] > 0) else None


def saddles_from(surface: Surface, minimum: Floats, reach: float, tolerance: float, directions: int) -> list[Floats]:
    """The saddles that the softest directions of a minimum lead to, both ways."""
    climb = Climb(surface, reach, tolerance)
    _, vectors = softest(surface.product(minimum), min(directions, len(minimum)))
    ends = [climb.saddle(minimum + sign * reach * v, sign * v) for v in vectors.T for sign in (1.0, -1.0)]
    return [x for x in ends if x is not None]


def climb_from(surface: Surface, x: Floats, reach: float, tolerance: float) -> Floats | None:
    """The saddle that the softest direction of any point leads to, uphill; None if there is none."""
    v = softest(surface.product(x), 1)[1][:, 0]
    uphill = v if surface.gradient(x[None])[0] @ v >= 0 else -v
    return Climb(surface, reach, tolerance).saddle(x, uphill)


def both_sides(surface: Surface, saddle: Floats, gap: float) -> list[Floats]:
    """Two points next to a saddle on both sides along its unstable direction."""
    v = softest(surface.product(saddle), 1)[1][:, 0]
    return [saddle - gap * v, saddle + gap * v]


def minimum_from(surface: Surface, x: Floats, tolerance: float) -> Floats | None:
    """The minimum below a point: quasi-Newton (L-BFGS of SciPy), then MINRES; None if there is none."""
    from scipy.optimize import minimize

    found = minimize(
        lambda y: float(surface.value(y[None])[0]), x, jac=lambda y: surface.gradient(y[None])[0], method="L-BFGS-B", options={"maxiter": 5000, "gtol": 1e-9, "ftol": 1e-16},
    )  # fmt: skip
    y = np.asarray(found.x)
    for _ in range(POLISH):
        g = surface.gradient(y[None])[0]
        H = surface.product(y)
        if np.linalg.norm(g) <= tolerance * (float(np.linalg.norm(H @ np.ones(len(y)))) + 1e-300):
            return y if softest(H, 1)[0][0] > 0 else None
        y = y + minres(H, -g, rtol=1e-8, maxiter=20 * len(y))[0]
        if not np.all(np.isfinite(y)):
            return None
    return None
