"""What an answer on a grid cannot know of its own errors, in words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.grid import Grid
from sgdyn.estimate import Estimate

if TYPE_CHECKING:
    from sgdyn.density.generator import Generator

Floats = NDArray[np.float64]

STEEP = 3.0
"""The largest rise of the potential along an edge that cells with most of the mass resolve."""
CROWDED = 1e-3
"""The share of the mass in the cells at reflecting walls from which on it is mentioned."""
MOST = 0.5


def notes(generator: Generator, ended: NDArray[np.bool_] | None = None) -> tuple[str, ...]:
    """Thickened D; where the stationary masses are known, mass at reflecting walls and cells that do not resolve the potential.

    Walls behind cells where paths have ended (cells,) do not matter.
    """
    absorbing = any(side == "absorbing" for pair in generator.grid.boundary for side in pair)
    if generator.log_masses is None or absorbing:
        return thickened(generator)
    masses = np.exp(generator.log_masses - generator.log_masses.max())
    masses /= masses.sum()
    left = masses if ended is None else np.where(ended, 0.0, masses)
    crowded = at_walls(generator.grid, left.reshape(generator.grid.shape), CROWDED)
    return (*thickened(generator), *unresolved(generator, masses), *crowded)


def noted(found: Estimate, generator: Generator, ended: NDArray[np.bool_]) -> Estimate:
    """A number of paths that end in some cells, without what the generator notes about the walls behind those."""
    own = tuple(warning for warning in found.warnings if warning not in generator.notes)
    return replace(found, warnings=(*own, *notes(generator, ended)))


def thickened(generator: Generator) -> tuple[str, ...]:
    """What was added to a thin D."""
    added = generator.lattice.added
    if added == 0:
        return ()
    return (f"D is so thin that {added:.1g} of its trace was added across; a finer grid does not remove it",)


def unresolved(generator: Generator, masses: Floats) -> tuple[str, ...]:
    """Whether the potential rises much along edges of the cells that hold most of the mass: covariances are then those of cells."""
    full, edges = heavy(masses), generator.lattice.edges
    climb = np.abs(generator.climb[full[edges.i] | full[edges.j]])
    steepest = float(climb.max()) if len(climb) else 0.0
    if not steepest > STEEP:
        return ()
    return (
        f"U/T rises by {steepest:.2g} from a cell to the next where most of the mass lies, more than {STEEP:g}: the cells do not resolve it; "
        "type a Grid with more cells there, or a smaller box",
    )


def heavy(masses: Floats) -> NDArray[np.bool_]:
    """The fewest cells (n,) that hold most of the mass."""
    order = np.argsort(masses)[::-1]
    found = np.zeros(len(masses), dtype=bool)
    found[order[: 1 + int(np.searchsorted(np.cumsum(masses[order]), MOST * masses.sum()))]] = True
    return found


def at_walls(grid: Grid, masses: Floats, allowed: float) -> tuple[str, ...]:
    """Whether more than a share of the mass lies in the cells at reflecting walls."""
    edge = walls(grid)
    share = float(masses[edge].sum())
    if not share > allowed:
        return ()
    return (
        f"{100 * share:.2g} % of the mass lies in the cells at reflecting walls; if these only end the box, type generator.box_error() for "
        "what they change",
    )


def walls(grid: Grid) -> NDArray[np.bool_]:
    """Which cells (*shape) lie at reflecting walls."""
    edge = np.zeros(grid.shape, dtype=bool)
    for axis, pair in enumerate(grid.boundary):
        for end, side in zip((0, -1), pair, strict=True):
            if side == "reflecting":
                edge[(slice(None),) * axis + (end,)] = True
    return edge
