"""What a flow cannot know of its own errors, in words with sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.distribution import Density
from sgdyn.density.flows.continuum import rebinned
from sgdyn.density.flows.flow import Cloud, Flow
from sgdyn.density.notes import CROWDED, STEEP, heavy, walls

Floats = NDArray[np.float64]

SCALED = 1e-3
"""How far from one a mass may be before it is mentioned."""


def remarks(flow: Flow, n: int, rho0: Any) -> tuple[str, ...]:
    """All remarks on a flow of n steps from what the user gave; the last one where it was interrupted."""
    found = [*_scaled(rho0), *_split(flow), *_sampled(flow), *_box(flow), *_cells(flow)]
    of_method = getattr(flow.method, "remarks", None)
    if of_method is not None:
        found += of_method(flow)
    reached = len(flow) - 1
    if reached < n:
        found.append(f"interrupted: {reached} of {n} steps are done")
    return tuple(found)


def _scaled(rho0: Any) -> list[str]:
    mass = float(rho0.masses.sum()) if isinstance(rho0, Density) else 1.0
    return [] if abs(mass - 1) < SCALED else [f"rho0 had the mass {mass:.4g}: the flow is that of rho0/{mass:.4g}"]


def _split(flow: Flow) -> list[str]:
    """The distance to the solution that does not take turns, which is known where the curl is carried."""
    if flow.split is None or len(flow) == 1:
        return []
    from sgdyn.density.generator import fokker_planck

    t = float(flow.times[-1])
    whole = fokker_planck(flow.problem, flow[0].grid).evolve(flow[0], [t])[-1]
    apart = float(np.abs(flow[-1].masses - whole.masses).sum())
    return [
        f'split="{flow.split}": gradient steps between halves of the curl, an error of second order in tau beside that of the steps; the curl '
        f"is carried through the faces of the cells, to second order in their width (to first where exp(-U/T) falls steeply from cell to cell), which a smaller tau leaves; at t={t:g} the density is {apart:.2g} (L1) from that of "
        "sg.fokker_planck(problem, grid).evolve; energies are those after the curl"
    ]


def _sampled(flow: Flow) -> list[str]:
    if flow.errors is None or not isinstance(flow[-1], Cloud) or not np.any(flow.errors):
        return []
    first, last = flow.errors[0], flow.errors[-1]
    return [
        f"energies are means over {len(flow[-1].points)} points: standard errors of sampling from {first:.2g} at the start to {last:.2g} at the "
        "end, without those of the maps"
    ]


def _gridded(flow: Flow, k: int) -> Density | None:
    """A density of the flow on the user's grid."""
    if flow.on_grid:
        return flow[k] if isinstance(flow[k], Density) else None
    if not (isinstance(flow.start, Density) and isinstance(flow[k], Density)):
        return None
    return rebinned(flow[k], flow.start.grid)


def _box(flow: Flow) -> list[str]:
    found = []
    for k, name in ((0, "start"), (-1, "end")):
        rho = _gridded(flow, k)
        share = 0.0 if rho is None else float(rho.masses[walls(rho.grid)].sum())
        if share > CROWDED:
            found.append(
                f"{100 * share:.2g} % of the mass lies in the cells at reflecting walls at the {name}; if these only end the box, type a larger Grid"
            )
    return found


def _cells(flow: Flow) -> list[str]:
    """Whether the potential rises much from a cell to the next where most of the mass lies, now or in the end."""
    rho, T = _gridded(flow, -1) if flow.on_grid else None, flow.energy.temperature
    if rho is None or T is None:
        return []
    steepest = max(_climb(flow.energy.potential(rho.grid.centers) / T, known) for known in (flow[0], rho))
    if not steepest > STEEP:
        return []
    return [
        f"U/T rises by {steepest:.2g} from a cell to the next where most of the mass lies, more than {STEEP:g}: the cells do not resolve it; "
        "type a Grid with more cells there, or a smaller box"
    ]


def _climb(levels: Floats, rho: Density) -> float:
    full = heavy(rho.masses.ravel()).reshape(rho.grid.shape)
    largest = 0.0
    for axis in range(rho.grid.dim):
        up = np.moveaxis(levels, axis, 0)
        near = np.moveaxis(full, axis, 0)
        rises = np.abs(np.diff(up, axis=0))[near[1:] | near[:-1]]
        largest = max(largest, float(rises.max(initial=0.0)))
    return largest
