"""What the end points do not tell: two valleys that are equal in depth and shape, one of them behind a narrow gate.

    U = h(x) + k exp(narrowing g) (y - f(x))²/2 + raised g,   h = (x³ - 3 x)²/4,   f = bend (1 - cos pi x)/2,   g = h exp(-((x - 1)/width)²)

h has wells at 0 and ±sqrt(3), gates at ±1 of height 1. g vanishes with its slope in all wells, so that the valleys are mirror images: the same
depth, the same Hessian up to the mirror, the same static factor exp(-(U_b - U_a)/2T). The least actions of the ways there are the same too.
What differs is the room that paths have in the gate, the prefactor: probabilities differ by a factor that does not depend on T in the limit
(entropic). A gate that is higher by `raised` instead makes them differ by exp(raised/T) (energetic).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

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
    cells: int = 180
    times: int = 16
    latest: float = 2000.0
    n_paths: int = 2000
    dt: float = 0.001
    simulated: float = 100.0
    soon: float = 1.0
    highest: float = 12.0
    seed: int = 0


WELL = np.sqrt(3.0)
SIDES = ("wide", "narrow")
MIDDLE = (0.0, 0.0)
NEAR = 1.5
"""A valley counts as reached beyond this |x|."""
BOX = ((-2.35, 2.35), (-0.95, 1.55))
STEPS = 96
"""Critical paths have so many steps."""


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


def run(config: Config) -> dict[str, Any]:
    """For each valley: static factor, path and barrier, least action, Kramers' rate, and probabilities to have reached it by times by three methods; odds against T."""
    process, found = problem(config), {"t": np.geomspace(config.soon / 4, config.latest, config.times)}
    generator = sg.fokker_planck(process, grid(config))
    for side in SIDES:
        parts = _roads(config, process, side) | _probabilities(config, process, generator, found["t"], side)
        found |= {f"{side} {name}": value for name, value in parts.items()}
    return found | _odds(config) | {"samples": _sampled(config, process)}


def _roads(config: Config, process: sg.Langevin, side: str) -> dict[str, Any]:
    """What does not depend on the time: Hessian and depth of the valley, string, least action to the gate, Kramers' time over it."""
    end, U = valley(config, side), process.U
    assert U is not None
    chain = sg.string(U, MIDDLE, end, n=48, start=ridge(config, np.linspace(0, end[0], 49)), shown=False)
    least = sg.minimum_action(process, MIDDLE, end, n=96, start=chain.x, shown=False)
    time = sg.kramers_time(process, MIDDLE, gate(config, side))
    return {
        "path": chain.x, "barrier": float(chain.barrier), "action": _pair(least.action), "rate": 1 / float(time),
        "depth": float(U(end)), "curvatures": np.linalg.eigvalsh(U.hess(end)),
    }  # fmt: skip


def _pair(estimate: sg.Estimate) -> Any:
    return np.array([estimate.value, estimate.error])


def _probabilities(config: Config, process: sg.Langevin, generator: Any, t: Any, side: str) -> dict[str, Any]:
    """To have reached the valley by the time t: on the grid; by Laplace's method for short times, where it holds; by simulation."""
    on_grid = np.array([_pair(generator.reached(reached(side), float(s), MIDDLE)) for s in t])
    short = np.geomspace(config.soon / 4, config.soon, 4)
    laplace = np.array([_laplace(config, process, float(s), side) for s in short])
    late = np.geomspace(config.simulated / 50, config.simulated, 5)
    return {
        "grid": on_grid, "soon": short, "laplace": laplace, "late": late,
        "simulation": np.array([_share(times, s) for times in [_arrivals(config, process, side)] for s in late]),
    }  # fmt: skip


def _laplace(config: Config, process: sg.Langevin, t: float, side: str) -> Any:
    """Value and error, NaN where Laplace's method does not hold."""
    try:
        return _pair(sg.reach(process, MIDDLE, reached(side), t=t, methods=["Laplace"], n=STEPS, seed=config.seed)["Laplace"])
    except (RuntimeError, ValueError, KeyError):
        return np.full(2, np.nan)


def _arrivals(config: Config, process: sg.Langevin, side: str) -> Any:
    """Times of arrival of simulated paths, infinite for those that did not arrive."""
    try:
        found = sg.first_passage(
            process, MIDDLE, reached(side), dt=config.dt, n_paths=config.n_paths, t_max=config.simulated, seed=config.seed, show_progress=False,
        )  # fmt: skip
    except sg.CensoredError as censored:
        return censored.times
    return found.samples


def _share(times: Any, t: float) -> Any:
    share = float(np.mean(times <= t))
    return np.array([share, np.sqrt(max(share, 1 / len(times)) * (1 - share) / len(times))])


def _odds(config: Config) -> dict[str, Any]:
    """How many times as often the left valley is reached first, against 1/T: the right gate narrow, or high instead."""
    beta = np.linspace(4.0, config.highest, 5)
    U, cells = landscape(config), grid(replace(config, cells=config.cells))
    kinds = {"narrow": U, "high": U.replace(narrowing=0.0, raised=config.raised)}
    found = {}
    for kind, potential in kinds.items():
        first = [sg.fokker_planck(sg.Langevin(potential, 1 / b), cells).splitting([reached(s) for s in SIDES]).at([MIDDLE]) for b in beta]
        values = np.array([np.ravel(np.asarray(each.value)) for each in first])
        found[f"{kind} odds"] = values[:, 0] / values[:, 1]
    return {"beta": beta} | found


def _sampled(config: Config, process: sg.Langevin) -> Any:
    """A few paths from the middle (for the picture)."""
    return sg.simulate(process, np.tile(MIDDLE, (40, 1)), t=20.0, dt=config.dt, save=1001, seed=config.seed).x
