"""What the end points do not tell: two valleys that are equal in depth and shape, one of them behind a narrow gate.

    U = h(x) + k exp(narrowing g) (y - f(x))²/2 + raised g,   h = (x³ - 3 x)²/4,   f = bend (1 - cos pi x)/2,   g = h exp(-((x - 1)/width)²)

h has wells at 0 and ±sqrt(3), gates at ±1 of height 1. g vanishes with its slope in all wells, so that the valleys are mirror images: the same
depth, the same Hessian up to the mirror, the same static factor exp(-(U_b - U_a)/2T). The least actions of the ways there are the same too.
What differs is the room that paths have in the gate, the prefactor: probabilities differ by a factor that does not depend on T in the limit
(entropic). A gate that is higher by `raised` instead makes them differ by exp(raised/T) (energetic).
"""

from __future__ import annotations

from typing import Any

import numpy as np

import sgdyn as sg
from sgdyn.studies.valley_pictures import draw as draw
from sgdyn.studies.valley_pictures import kramers_odds
from sgdyn.studies.valleys import MIDDLE, SIDES, Config, gate, grid, landscape, problem, reached, ridge, valley

STEPS = 200
"""Critical paths have so many steps."""
STRETCH, SHOWN = 900, 7
"""So many steps of a path before it arrives are shown, of so many paths to each valley."""


def run(config: Config) -> dict[str, Any]:
    """For each valley: static factor, path and barrier, least action, Kramers' rate, and probabilities to have reached it by times by three methods; odds against T."""
    process, found = problem(config), {"t": np.geomspace(config.soon / 3, config.latest, config.times)}
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
    least = sg.minimum_action(process, MIDDLE, end, n=192, start=chain.x, shown=False)
    time = sg.kramers_time(process, MIDDLE, gate(config, side))
    return {
        "path": chain.x, "barrier": float(chain.barrier), "action": _pair(least.cost), "rate": 1 / float(time),
        "depth": float(U(end)), "curvatures": np.linalg.eigvalsh(U.hess(end)),
    }  # fmt: skip


def _pair(estimate: sg.Estimate) -> Any:
    return np.array([estimate.value, estimate.error])


def _probabilities(config: Config, process: sg.Langevin, generator: Any, t: Any, side: str) -> dict[str, Any]:
    """To have reached the valley by the time t: on the grid; by Laplace's method for short times, where it holds; by simulation."""
    on_grid, times = (
        np.array([_pair(generator.reached(reached(side), float(s), MIDDLE)) for s in t]),
        _arrivals(config, process, side),
    )
    short = np.geomspace(config.soon / 3, config.soon, 4)
    laplace = np.array([_laplace(config, process, float(s), side) for s in short])
    late = np.geomspace(config.simulated / 50, config.simulated, 5)
    return {
        "grid": on_grid, "soon": short, "laplace": laplace, "late": late,
        "simulation": np.array([_share(times, s) for s in late]),
    }  # fmt: skip


def _laplace(config: Config, process: sg.Langevin, t: float, side: str) -> Any:
    """Value and error, NaN where Laplace's method does not hold."""
    try:
        return _pair(
            sg.reach(process, MIDDLE, reached(side), t=t, methods=["Laplace"], n=STEPS, seed=config.seed)["Laplace"]
        )
    except (RuntimeError, ValueError, KeyError):
        return np.full(2, np.nan)


def _arrivals(config: Config, process: sg.Langevin, side: str) -> Any:
    """Times of arrival of simulated paths, NaN for those that did not arrive."""
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
    U, cells = landscape(config), grid(config)
    kinds = {"narrow": U, "high": U.replace(narrowing=0.0, raised=config.raised)}
    found = {}
    for kind, potential in kinds.items():
        first = [
            sg.fokker_planck(sg.Langevin(potential, 1 / b), cells).splitting([reached(s) for s in SIDES]).at([MIDDLE])
            for b in beta
        ]
        values = np.array([np.ravel(np.asarray(each.value)) for each in first])
        found[f"{kind} odds"] = values[:, 0] / values[:, 1]
    return {"beta": beta} | found


def _sampled(config: Config, process: sg.Langevin) -> Any:
    """Paths from the middle (n, 1201, 2), their last stretch before they first reach each valley (for the picture)."""
    looks = min(120_001, round(120.0 / config.dt) + 1)
    x = sg.simulate(process, np.tile(MIDDLE, (120, 1)), t=120.0, dt=config.dt, save=looks, seed=config.seed).x
    found = []
    for side in SIDES:
        inside = reached(side)(np.moveaxis(x, -1, 0))
        ends = [(k, int(np.argmax(row))) for k, row in enumerate(inside) if row.any()]
        found += [x[k, end - STRETCH : end + 1 : 4] for k, end in ends if end > STRETCH][:SHOWN]
    return np.array(found)


def summary(config: Config, arrays: dict[str, Any]) -> str:
    """One line: what is equal, and what is not."""
    early, late = (arrays["wide grid"][k, 0] / arrays["narrow grid"][k, 0] for k in (0, -1))
    middle = int(np.argmin(np.abs(arrays["t"] - 30.0)))
    return (
        f"two valleys of depth {arrays['wide depth']:.2g} and {arrays['narrow depth']:.2g}, curvatures {np.round(arrays['wide curvatures'], 2)} and "
        f"{np.round(arrays['narrow curvatures'], 2)}, static factors 1; least actions to them {arrays['wide action'][0]:.4f} and {arrays['narrow action'][0]:.4f}; "
        f"the wide gate is {early:.1f} times as likely to have been passed by t={arrays['t'][0]:.2g}, "
        f"{arrays['wide grid'][middle, 0] / arrays['narrow grid'][middle, 0]:.1f} times by t={arrays['t'][middle]:.2g}, {late:.2f} times by t={arrays['t'][-1]:.4g}; "
        f"odds at barriers of {arrays['beta'][-1]:g} T are {arrays['narrow odds'][-1]:.2f} (Kramers {kramers_odds(arrays):.2f}, whatever T); "
        f"with a gate higher by {config.raised:g} instead {arrays['high odds'][0]:.1f} to {arrays['high odds'][-1]:.1f} from barriers of {arrays['beta'][0]:g} T on"
    )
