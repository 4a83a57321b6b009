"""All ways out of the cells of a grid, there and back, with the rates at which they are taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.crossings import between
from sgdyn.density.generator import Generator

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

NOWHERE = -1


@dataclass(frozen=True)
class Steps:
    """Ways from cells `origin` by `dx` (n, dim) to cells `target` (NOWHERE beyond absorbing walls) at the rates
    `strength` B(`climb`) + `carried`."""

    origin: Integers
    target: Integers
    dx: Floats
    strength: Floats
    climb: Floats
    carried: Floats

    def of(self, rows: NDArray[Any]) -> Steps:
        return Steps(*(getattr(self, name)[rows] for name in Steps.__dataclass_fields__))


def every_step(generator: Generator, log_masses: Floats | None) -> Steps:
    """All ways out of cells, there and back; with `log_masses`, those of the stationary state, of the process run backwards in time."""
    e, out, f = generator.lattice.edges, generator.lattice.exits, generator.faces
    x, volumes, none = generator.grid.centers.reshape(-1, generator.grid.dim), generator.volumes, np.zeros(len(e.i))
    parts = [
        (e.i, e.j, e.dx, e.strength / volumes[e.i], generator.climb, none),
        (e.j, e.i, -e.dx, e.strength / volumes[e.j], -generator.climb, none),
    ]
    if len(out.i):
        beyond, still = np.full(len(out.i), NOWHERE), np.zeros(len(out.i))
        parts.append((out.i, beyond, out.dx, out.strength, generator.edge_forces.climb(x[out.i], out.dx), still))
    if f is not None:
        way, zero, lost = between(generator.grid, x[f.i], x[f.j]), np.zeros(len(f.i)), np.zeros(len(f.last))
        forth, back = f.forth, f.back
        if log_masses is not None:
            fall = log_masses[f.i] - log_masses[f.j]
            forth, back = back * exponential(-fall, back), forth * exponential(fall, forth)
        parts += [
            (f.i, f.j, way, zero, zero, forth),
            (f.j, f.i, -way, zero, zero, back),
            (f.last, np.full(len(f.last), NOWHERE), np.zeros((len(f.last), x.shape[1])), lost, lost, f.out),
        ]
    return Steps(*(np.concatenate(p) for p in zip(*parts, strict=True)))


def exponential(exponent: Floats, factor: Floats) -> Floats:
    """exp where the factor is not 0, 0 elsewhere: masses below the smallest float have no currents."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(factor != 0, np.exp(np.where(factor != 0, exponent, 0.0)), 0.0)
