"""What is refused before a process is put on a grid: too many cells, and potentials that do not fit around periodic axes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.advection import known
from sgdyn.density.forces import Forces
from sgdyn.density.grid import Grid
from sgdyn.density.solvers import refuse
from sgdyn.problem import Langevin, Momentum

Floats = NDArray[np.float64]

BYTES_STRAIGHT, BYTES_OBLIQUE = (350, 650, 800), (350, 950, 1500)
"""Peak bytes for each cell in one to three dimensions, where D couples no axes and where it may (measured)."""
SEAM, SEAM_POINTS = 1e-6, 9
"""How much a potential may differ a period away, as a share of its range, and at how many cells of each end it is looked at."""


def check_memory(grid: Grid, pushed: Forces) -> None:
    """Raises MemoryError where assembly alone needs more than a solver may use."""
    strength = pushed.strength(np.array([[e[0] for e in grid.axes]], dtype=np.float64))[0]
    oblique = not pushed.constant or bool(np.any(strength != np.diag(np.diag(strength))))
    cells = int(np.prod([float(a[2]) if len(a) == 3 else len(a) - 1.0 for a in grid.axes]))
    refuse(float(cells) * (BYTES_OBLIQUE if oblique else BYTES_STRAIGHT)[grid.dim - 1], cells, None)


def around(problem: Langevin | Momentum, grid: Grid, pushed: Forces) -> Forces:
    """The forces with a potential that fits around all periodic axes.

    A tilt is no potential on a ring: where Psi was only derived from a linear drift, and that drift fits, the drift alone is used. Raises
    ValueError where a given potential does not fit.
    """
    for axis in np.flatnonzero(grid.periodic):
        if pushed.potential is None:
            break
        apart = _apart(grid, int(axis), pushed)
        if apart is None:
            continue
        if isinstance(problem, Langevin) and problem.U is None and _drift_fits(problem, grid, int(axis)):
            return replace(pushed, potential=None, rest=problem.drift, keeps=False)
        x, psi, other, length = apart
        raise ValueError(
            f"got the potential U/T = {psi:g} at {x} and {other:g} a period of {length:g} further along the periodic axis {axis}, expected the same: "
            "type a U that is periodic there, sg.Langevin.from_drift(drift, T=...) for a periodic drift whose potential is not (a constant tilt), "
            'or Grid(..., boundary="reflecting")'
        )
    return pushed


def _apart(grid: Grid, axis: int, pushed: Forces) -> tuple[Floats, float, float, float] | None:
    """A point next to the seam, Psi there and a period away, and the period; None where they agree."""
    psi, length = known(pushed.potential), float(grid.edges[axis][-1] - grid.edges[axis][0])
    values = psi(grid.centers.reshape(-1, grid.dim))
    allowed = SEAM * float(np.ptp(values)) + 1e-9
    for cell, way in ((0, length), (-1, -length)):
        x = np.take(grid.centers, cell, axis=axis).reshape(-1, grid.dim)
        x = x[np.unique(np.linspace(0, len(x) - 1, SEAM_POINTS).astype(int))]
        here, there = psi(x), psi(x + way * np.eye(grid.dim)[axis])
        gap = np.abs(there - here)
        worst = int(np.argmax(np.where(np.isfinite(gap), gap, np.inf)))
        if not gap[worst] <= allowed:
            return x[worst], float(here[worst]), float(there[worst]), way
    return None


def _drift_fits(problem: Langevin, grid: Grid, axis: int) -> bool:
    x = grid.centers.reshape(-1, grid.dim)[:: max(1, grid.size // 100)]
    length = grid.edges[axis][-1] - grid.edges[axis][0]
    here, there = (np.asarray(problem.drift(y)) for y in (x, x + length * np.eye(grid.dim)[axis]))
    return bool(np.abs(here - there).max() <= SEAM * np.abs(here).max())
