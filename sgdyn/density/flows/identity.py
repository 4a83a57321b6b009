"""What makes a flow this flow and no other, for checkpoints."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.distribution import Density
from sgdyn.density.flows.energies import Energy
from sgdyn.density.flows.flow import Cloud, GaussianState
from sgdyn.density.flows.starts import LEVELS, places
from sgdyn.problem import Langevin
from sgdyn.storage import described, digest

Floats = NDArray[np.float64]

DENSITIES = np.geomspace(1e-8, 1e4, 97)
"""At which internal energies are compared: their classes are the user's and may keep parameters anywhere."""
APART = 256
"""Differences at which interactions are compared."""


def identity(
    problem: Langevin, start: Any, energy: Energy, method: Any, settings: dict[str, Any], level: float
) -> dict[str, Any]:
    """Everything that decides a flow, by its values where the start lies; `level` is its energy there."""
    points = places(start)
    return {
        "process": digest(problem.D(points), *([] if problem.curl is None else [problem.curl(points)])),
        "energy": digest(energy.potential(points), energy.grad(points)),
        "interactions": digest(*(W(points[:APART] - points[-1]) for W in energy.interactions)),
        "internals": [_internal(f) for f in energy.internals],
        "rho0": digest(*_begun(start)),
        "walls": [list(pair) for pair in start.grid.boundary] if isinstance(start, Density) else [],
        "start": level.hex(),
        "method": described(method),
        **settings,
    }


def _internal(f: Any) -> str:
    values = digest(*(np.asarray(of(DENSITIES)) for of in (f.per_volume, f.slope, f.curvature)))
    given = described(f) if is_dataclass(f) and fields(f) else type(f).__name__
    return f"{given} {values}"


def _begun(start: Any) -> list[Floats]:
    if isinstance(start, Density):
        return [start.values, *start.grid.edges]
    if isinstance(start, GaussianState):
        return [start.mean, start.covariance]
    return [start.points if isinstance(start, Cloud) else np.asarray(start.ppf(LEVELS), dtype=np.float64)]
