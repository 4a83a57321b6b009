"""Transitions between two regions: how often, at what rate, and on what way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.boundary_value import stationary_log_masses
from sgdyn.density.currents import Current
from sgdyn.density.cuts import Cut, cut
from sgdyn.density.distribution import Density
from sgdyn.density.generator import Generator
from sgdyn.density.refinement import refined
from sgdyn.density.steps import NOWHERE
from sgdyn.estimate import Estimate

Floats = NDArray[np.float64]


def rate(generator: Generator, a: Any, b: Any, once_in_a: bool = False) -> Estimate:
    """See `Generator.rate`."""

    def quantity(g: Generator) -> float:
        found = Transitions(g, a, b)
        return found.frequency / found.share if once_in_a else found.frequency

    return refined(generator, quantity, irregular=True)


def reactive_current(generator: Generator, a: Any, b: Any) -> Current:
    """See `Generator.reactive_current`."""
    return Transitions(generator, a, b).current()


@dataclass(frozen=True, eq=False)
class Transitions:
    """How a generator goes from region a to region b."""

    generator: Generator
    a: Any
    b: Any

    @cached_property
    def log_masses(self) -> Floats:
        log = stationary_log_masses(self.generator)
        return np.asarray(log - log.max())

    @cached_property
    def masses(self) -> Floats:
        masses = np.exp(self.log_masses)
        return np.asarray(masses / masses.sum())

    @cached_property
    def forth(self) -> Cut:
        """The process ended at a and b."""
        ended = cut(self.generator, [self.a, self.b])
        if ended.bridged:
            raise ValueError(
                f"got regions that {ended.bridged} edges of the grid join directly, expected some cells between them; type a finer Grid"
            )
        return ended

    @cached_property
    def back(self) -> Cut:
        """The process run backwards and ended at a and b."""
        return self.forth if self.generator.reversible else cut(self.generator, [self.a, self.b], self.log_masses)

    @cached_property
    def ahead(self) -> Floats:
        """The probability (cells,) to reach b before a."""
        return self._committor(self.forth, 1)

    @cached_property
    def behind(self) -> Floats:
        """The probability (cells,) to come from a last."""
        return self._committor(self.back, 0)

    def _committor(self, ended: Cut, goal: int) -> Floats:
        return np.nan_to_num(ended.spread(ended.solve(ended.arrivals[:, goal]), np.eye(2)[goal]))

    @property
    def frequency(self) -> float:
        """Mass that comes from a and enters b, per unit time."""
        free = self.forth.free
        return float(np.sum(self.masses[free] * self.behind[free] * self.forth.arrivals[:, 1]))

    @property
    def share(self) -> float:
        """The probability that a was visited last."""
        return float(self.masses @ self.behind)

    def current(self) -> Current:
        grid, steps, ends = self.generator.grid, self.forth.steps, self.forth.ends
        i, stays = steps.origin, self.forth.ends == NOWHERE
        after = np.where(stays, self.ahead[steps.target], ends == 1)
        before = np.where(stays, self.behind[steps.target], ends == 0)
        flow = self.masses[i] * (self.behind[i] * self.forth.rates * after - before * self.back.rates * self.ahead[i])
        moved = 0.5 * flow[:, None] * steps.dx
        values = np.stack([np.bincount(i, moved[:, k], grid.size) for k in range(grid.dim)], axis=-1)
        divergence = np.bincount(i, flow, grid.size) / self.generator.volumes
        density = self.masses * self.ahead * self.behind / self.generator.volumes
        return Current(
            Density(grid, density.reshape(grid.shape)),
            (values / self.generator.volumes[:, None]).reshape(*grid.shape, grid.dim),
            divergence.reshape(grid.shape),
        )
