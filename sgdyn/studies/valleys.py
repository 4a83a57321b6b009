"""The landscape of the study of reachability: two valleys that are mirror images, and a gate that is none.

U = h(x) + k exp(narrowing g) (y - f(x))²/2 + raised g,   h = (x³ - 3 x)²/4,   f = bend (1 - cos pi x)/2,   g = h exp(-((x - 1)/width)²)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import sgdyn as sg


@dataclass(frozen=True)
class Config:
    """The landscape; `T`; `cells` along x and along y; `times` up to `latest` on the grid; `n_paths` simulated with the step `dt`; Laplace's method up to `soon`; barriers over T up to `highest`."""

    T: float = 0.2
    k: float = 6.0
    narrowing: float = 3.6
    width: float = 0.5
    bend: float = 0.6
    raised: float = 0.3
    cells: int = 160
    times: int = 12
    latest: float = 2000.0
    n_paths: int = 2000
    dt: float = 0.001
    simulated: float = 100.0
    soon: float = 0.7
    highest: float = 12.0
    seed: int = 0


WELL = np.sqrt(3.0)
SIDES = ("wide", "narrow")
MIDDLE = (0.0, 0.0)
NEAR = 1.5
"""A valley counts as reached beyond this |x|."""
BOX = ((-2.35, 2.35), (-0.95, 1.55))


def landscape(config: Config) -> sg.Potential:
    """U; its narrow (or high) gate is on the right."""

    @sg.potential(dim=2)
    def landscape(x, k=config.k, narrowing=config.narrowing, width=config.width, bend=config.bend, raised=0.0):  # type: ignore[no-untyped-def]
        h = (x[0] ** 3 - 3 * x[0]) ** 2 / 4
        g = h * np.exp(-(((x[0] - 1) / width) ** 2))
        f = bend * (1 - np.cos(np.pi * x[0])) / 2
        return h + k * np.exp(narrowing * g) * (x[1] - f) ** 2 / 2 + raised * g

    return landscape


def valley(config: Config, side: str) -> Any:
    """The minimum (2,) behind the wide gate (left) or behind the narrow one."""
    y = config.bend * (1 - np.cos(np.pi * WELL)) / 2
    return np.array([-WELL if side == "wide" else WELL, y])


def gate(config: Config, side: str) -> Any:
    """The saddle (2,)."""
    return np.array([-1.0 if side == "wide" else 1.0, config.bend])


def ridge(config: Config, x: Any) -> Any:
    """The points (n, 2) with y = f(x), next to which the roads lie."""
    return np.stack([x, config.bend * (1 - np.cos(np.pi * x)) / 2], axis=-1)


def reached(side: str) -> Callable[[Any], Any]:
    """Whether a point lies in a valley."""
    return (lambda x: x[0] < -NEAR) if side == "wide" else (lambda x: x[0] > NEAR)


def problem(config: Config) -> sg.Langevin:
    """The process with the narrow gate, at T."""
    return sg.Langevin(landscape(config), config.T)


def grid(config: Config) -> sg.Grid:
    """Cells are finer along y, where the gate is narrow."""
    return sg.Grid([(*side, config.cells) for side in BOX])
