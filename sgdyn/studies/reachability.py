"""What the end points do not tell: two valleys that are equal in depth and shape, one of them behind a narrow gate.

    U = h(x) + k exp(narrowing g) (y - f(x))²/2 + raised g,   h = (x³ - 3 x)²/4,   f = bend (1 - cos pi x)/2,   g = h exp(-((x - 1)/width)²)

h has wells at 0 and ±sqrt(3), gates at ±1 of height 1. g vanishes with its slope in all wells, so that the valleys are mirror images: the same
depth, the same Hessian up to the mirror, the same static factor exp(-(U_b - U_a)/2T). The least actions of the ways there are the same too.
What differs is the room that paths have in the gate, the prefactor: probabilities differ by a factor that does not depend on T in the limit
(entropic). A gate that is higher by `raised` instead makes them differ by exp(raised/T) (energetic).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
STEPS = 200
"""Critical paths have so many steps."""
STRETCH, SHOWN = 900, 7
"""So many steps of a path before it arrives are shown, of so many paths to each valley."""


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
    least = sg.minimum_action(process, MIDDLE, end, n=96, start=chain.x, shown=False)
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


def _fits(arrays: dict[str, Any]) -> float:
    """The ratio of Kramers' rates, wide over narrow: the prefactors alone, as the barriers are equal."""
    return float(arrays["wide rate"] / arrays["narrow rate"])


def summary(config: Config, arrays: dict[str, Any]) -> str:
    """One line: what is equal, and what is not."""
    early, late = (arrays["wide grid"][k, 0] / arrays["narrow grid"][k, 0] for k in (0, -1))
    middle = int(np.argmin(np.abs(arrays["t"] - 30.0)))
    return (
        f"two valleys of depth {arrays['wide depth']:.2g} and {arrays['narrow depth']:.2g}, curvatures {np.round(arrays['wide curvatures'], 2)} and "
        f"{np.round(arrays['narrow curvatures'], 2)}, static factors 1; least actions to them {arrays['wide action'][0]:.4f} and {arrays['narrow action'][0]:.4f}; "
        f"the wide gate is {early:.1f} times as likely to have been passed by t={arrays['t'][0]:.2g}, "
        f"{arrays['wide grid'][middle, 0] / arrays['narrow grid'][middle, 0]:.1f} times by t={arrays['t'][middle]:.2g}, {late:.2f} times by t={arrays['t'][-1]:.4g}; "
        f"odds at barriers of {arrays['beta'][-1]:g} T are {arrays['narrow odds'][-1]:.2f} (Kramers {_fits(arrays):.2f}, whatever T); "
        f"with a gate higher by {config.raised:g} instead {arrays['high odds'][0]:.1f} to {arrays['high odds'][-1]:.1f} from barriers of {arrays['beta'][0]:g} T on"
    )


COLORS = dict(zip(SIDES, (sg.plot.BLUE, sg.plot.RED), strict=True))


def draw(config: Config, arrays: dict[str, Any]) -> Figure:
    """Above the landscape with most probable paths and some that arrived; below U along the paths, probabilities against time, odds against 1/T."""
    figure = Figure(figsize=(11.5, 7.6), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(1.12, 1))
    above, below = parts
    _landscape(config, arrays, above.subplots())
    left, middle, right = below.subplots(1, 3)
    _profile(config, arrays, left)
    _times(config, arrays, middle)
    _draw_odds(config, arrays, right)
    for ax in (left, middle, right):
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def _landscape(config: Config, arrays: dict[str, Any], ax: Any) -> None:
    x, y = np.linspace(*BOX[0], 500), np.linspace(-0.95, 1.3, 300)
    U = landscape(config)(np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1))
    ax.contourf(x, y, U.T, levels=np.linspace(0, 2.4, 25), cmap="YlGnBu_r", extend="max", alpha=0.8)
    ax.contour(x, y, U.T, levels=np.arange(0.2, 2.5, 0.4), colors="white", linewidths=0.6)
    for path in arrays["samples"]:
        ax.plot(*path.T, color=COLORS["wide" if path[-1, 0] < 0 else "narrow"], lw=0.45, alpha=0.55)
    for side in SIDES:
        ax.plot(*arrays[f"{side} path"].T, color="white", lw=4.0)
        ax.plot(
            *arrays[f"{side} path"].T,
            color=COLORS[side],
            lw=2.2,
            label=f"most probable path, least action {arrays[f'{side} action'][0]:.3f}",
        )
        ax.plot(*valley(config, side), "o", color=COLORS[side], mec="white", ms=9)
        ax.annotate(f"{side} gate", gate(config, side), (0, 34), textcoords="offset points", ha="center", color=COLORS[side], weight="bold",
                    bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.85})  # fmt: skip
    ax.plot(*MIDDLE, "s", color="black", mec="white", ms=9)
    ax.annotate("start", MIDDLE, (0, -20), textcoords="offset points", ha="center")
    ax.set(xlim=BOX[0], ylim=(y[0], y[-1]), aspect="equal", xlabel="x", ylabel="y",
           title="equal valleys, equally costly roads, unequal gates (thin: simulated paths on their way in)")  # fmt: skip
    ax.legend(loc="lower center", fontsize=8, frameon=True, ncols=2)


def _profile(config: Config, arrays: dict[str, Any], ax: Any) -> None:
    """U along the paths, and the room that exp(-U/T) leaves across them."""
    s = np.linspace(0, WELL, 300)
    for side in SIDES:
        x = -s if side == "wide" else s
        U, points = landscape(config), ridge(config, x)
        room = np.sqrt(config.T / U.hess(points)[:, 1, 1])
        ax.fill_between(x, U(points) - room, U(points) + room, color=COLORS[side], alpha=0.35, lw=0)
        ax.plot(x, U(points), color=COLORS[side])
    ax.set(
        xlabel="x", ylabel="U", title="the same heights; the width of the band\nis the room across, $\\sqrt{T/U_{yy}}$"
    )


def _times(config: Config, arrays: dict[str, Any], ax: Any) -> None:
    """Probabilities to have reached each valley."""
    for side in SIDES:
        color = COLORS[side]
        ax.loglog(arrays["t"], arrays[f"{side} grid"][:, 0], color=color, label=f"{side} gate: grid")
        late = arrays["t"][arrays["t"] > 1.5]
        ax.plot(late, -np.expm1(-arrays[f"{side} rate"] * late), color=color, ls=":", lw=1.2)
        ax.errorbar(
            arrays[f"{side} soon"], *arrays[f"{side} laplace"].T, fmt="D", mfc="none", ms=6, capsize=2, color=color
        )
        shown = np.where(
            arrays[f"{side} simulation"][:, :1] > 5 / config.n_paths, arrays[f"{side} simulation"], np.nan
        )  # no error bars of a few paths
        ax.errorbar(arrays[f"{side} late"], *shown.T, fmt="o", ms=3.5, capsize=2, color=color)
    for style, text in (("D", "Laplace, where it holds"), ("o", "simulation")):
        ax.plot([], [], style, mfc="none" if style == "D" else "black", color="black", ms=4, label=text)
    ax.plot([], [], ":", color="black", label="Kramers' rate of the gate alone")
    ax.set(
        xlabel="time t",
        ylabel="probability to have been there",
        ylim=(3e-9, 2),
        title=f"reachability, T = {config.T:g}",
    )
    ax.legend(frameon=False, fontsize=7)


def _draw_odds(config: Config, arrays: dict[str, Any], ax: Any) -> None:
    """Entropic against energetic."""
    beta = arrays["beta"]
    ax.semilogy(beta, arrays["narrow odds"], "o-", color=COLORS["narrow"], label="entropic: a narrow gate")
    ax.axhline(_fits(arrays), color=COLORS["narrow"], ls=":", label=f"ratio of prefactors, {_fits(arrays):.1f}")
    ax.plot(
        beta, arrays["high odds"], "s-", color=sg.plot.GREEN, label=f"energetic: a gate higher by {config.raised:g}"
    )
    ax.plot(
        beta,
        arrays["high odds"][-1] * np.exp(config.raised * (beta - beta[-1])),
        color=sg.plot.GREEN,
        ls=":",
        label=f"slope of exp({config.raised:g}/T)",
    )
    ax.set(
        xlabel="barrier / T",
        ylabel="odds, wide : other",
        ylim=(1.5, 90),
        yticks=[2, 5, 10, 20, 50],
        yticklabels=["2", "5", "10", "20", "50"],
        title="which valley comes first:\na factor, or exponentially",
    )
    ax.legend(frameon=False, fontsize=7)
