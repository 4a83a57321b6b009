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
    for axis in np.flatnonzero(grid.periodic):
        _check_fields(grid, int(axis), pushed)
    return pushed


def _check_fields(grid: Grid, axis: int, pushed: Forces) -> None:
    """Raises ValueError where D, the curl, or a drift without a potential is not the same a period away."""
    rest = ("drift" if pushed.potential is None else "curl", pushed.rest)
    for name, field in (rest, ("T D", None if pushed.constant else pushed.strength)):
        if field is None:
            continue
        x, length = _ends(grid, axis)
        here, there = (np.asarray(field(y)).reshape(len(x), -1) for y in (x, x + length))
        gap = np.abs(here - there).max(axis=1)
        k = int(np.argmax(np.where(np.isfinite(gap), gap, np.inf)))
        if not gap[k] <= SEAM * np.abs(here).max() + 1e-300:
            raise ValueError(
                f"got {name} = {here[k]} at {x[k]} and {there[k]} a period of {np.abs(length[k]).max():g} further along the periodic axis {axis}, "
                f'expected the same: type a {name} that is periodic there, or Grid(..., boundary="reflecting")'
            )


def _ends(grid: Grid, axis: int) -> tuple[Floats, Floats]:
    """Points (n, dim) at both ends of an axis and the ways (n, dim) to the same places a period away."""
    points, ways = [], []
    length = float(grid.edges[axis][-1] - grid.edges[axis][0])
    for cell, way in ((0, length), (-1, -length)):
        x = np.take(grid.centers, cell, axis=axis).reshape(-1, grid.dim)
        points.append(x[np.unique(np.linspace(0, len(x) - 1, SEAM_POINTS).astype(int))])
        ways.append(np.broadcast_to(way * np.eye(grid.dim)[axis], points[-1].shape))
    return np.concatenate(points), np.concatenate(ways)


def _apart(grid: Grid, axis: int, pushed: Forces) -> tuple[Floats, float, float, float] | None:
    """A point next to the seam, Psi there and a period away, and the period; None where they agree."""
    psi, (x, way) = known(pushed.potential), _ends(grid, axis)
    allowed = SEAM * float(np.ptp(psi(grid.centers.reshape(-1, grid.dim)))) + 1e-9
    here, there = psi(x), psi(x + way)
    gap = np.abs(there - here)
    worst = int(np.argmax(np.where(np.isfinite(gap), gap, np.inf)))
    if gap[worst] <= allowed:
        return None
    return x[worst], float(here[worst]), float(there[worst]), float(way[worst, axis])


def _drift_fits(problem: Langevin, grid: Grid, axis: int) -> bool:
    x = grid.centers.reshape(-1, grid.dim)[:: max(1, grid.size // 100)]
    length = grid.edges[axis][-1] - grid.edges[axis][0]
    here, there = (np.asarray(problem.drift(y)) for y in (x, x + length * np.eye(grid.dim)[axis]))
    return bool(np.abs(here - there).max() <= SEAM * np.abs(here).max())
