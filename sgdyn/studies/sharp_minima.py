"""Is a sharp minimum left faster than a flat one of the same depth? For noise that is the same everywhere, that grows with the curvature, and with loss times curvature.

The loss is L = L0 + (y² - 1)², y(x) about x on the left and (1 + squeeze) x on the right: two minima of equal depth, the right one sharp.
Times are from one minimum to the other. All diffusions are 1 at the flat minimum, so that it has the temperature T in each:

- D = 1: Kramers' law. The ratio of the times does not depend on T; it is sqrt(H_flat/H_sharp).
- D = |L''|/H_flat + floor: Xie, Sato, Sugiyama (arXiv:2002.03495). The ratio falls exponentially in 1/T, as they say; but |L''| is zero where the
  curvature changes sign, the exponent ∫ L'/D grows there as -log(floor), and the ratio lies far outside of what their formula allows with any path
  parameter s: it is a heuristic with two temperatures.
- D = (L/L0) H*/H_flat, H* the Hessian of the minimum in whose basin x is: Mori, Ziyin, Liu, Ueda (arXiv:2105.09557). The times are powers of
  L_saddle/L0, and their ratio is exponential in 1/T too. Their law has the right power; its prefactor takes H* of the well to hold at the saddle, where
  here it changes to that of the other.

The solid curves are Laplace's approximation to the double integral, for any D(x): tau = 2 pi sqrt(D_s/D_m)/sqrt(H_m |H_s|) exp(∫_m^s L'/(T D)).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.integrate import quad
from scipy.optimize import brentq

import sgdyn as sg


@dataclass(frozen=True)
class Config:
    """Barriers over T from `lowest` to `highest`; `squeeze`, `offset` = L0 and `floor` of the landscape and of D; the simulation's size.

    For D = |H|, whose kinks have the width of a step, steps are `finer` times shorter.
    """

    lowest: float = 3.0
    highest: float = 8.0
    temperatures: int = 4
    squeeze: float = 0.6
    offset: float = 0.5
    floor: float = 0.1
    cells: int = 6400
    dt: float = 0.001
    finer: int = 4
    walkers: int = 64
    levels: int = 400
    repetitions: int = 12
    seed: int = 0


NOISES = ("D = 1", "D ∝ |H|", "D ∝ L H*")
TURN, SWITCH = 3.0, 20.0


def shape(x: Any, squeeze: float) -> Any:
    """y(x), whose slope grows from 1 to 1 + squeeze."""
    return x * (1 + 0.5 * squeeze * (1 + np.tanh(TURN * x)))


def loss(config: Config) -> sg.Potential:
    """L(x), of barrier 1."""

    @sg.potential(dim=1)
    def loss(x, squeeze=config.squeeze, offset=config.offset):  # type: ignore[no-untyped-def]
        return offset + (shape(x[0], squeeze) ** 2 - 1) ** 2

    return loss


def minima(config: Config) -> tuple[float, float]:
    """The flat and the sharp minimum."""
    ends = ((-1.5, -0.3, -1.0), (0.3, 1.5, 1.0))
    flat, sharp = (float(brentq(lambda x, y: shape(x, config.squeeze) - y, low, high, (y,))) for low, high, y in ends)
    return flat, sharp


def curvatures(config: Config) -> tuple[float, float, float]:
    """Of the flat minimum, of the sharp one, and of the saddle at 0 (negative)."""
    flat, sharp = minima(config)
    first, second, third = loss(config).hess([[flat], [sharp], [0.0]])[:, 0, 0].tolist()
    return first, second, third


def noises(config: Config) -> dict[str, Any]:
    """D(x) of the three cases, 1 at the flat minimum (with the floor, for the second)."""
    import sympy as sp

    h_flat, h_sharp, _ = curvatures(config)
    z = sp.Symbol("z", real=True)
    second = sp.diff((z**2 * (1 + config.squeeze * (1 + sp.tanh(TURN * z)) / 2) ** 2 - 1) ** 2, z, 2)
    bend = sp.lambdify(z, second, modules=[{"tanh": np.tanh}, "numpy"])
    ratio = h_sharp / h_flat

    def by_loss(x: Any) -> Any:
        switch = 1 + 0.5 * (ratio - 1) * (1 + np.tanh(SWITCH * x[0]))
        return (1 + (shape(x[0], config.squeeze) ** 2 - 1) ** 2 / config.offset) * switch

    return dict(
        zip(
            NOISES,
            (lambda x: 1.0 + 0 * x[0], lambda x: np.abs(bend(x[0])) / h_flat + config.floor, by_loss),
            strict=True,
        )
    )


def laplace(config: Config, D: Callable[[Any], Any], minimum: float, T: Any) -> Any:
    """Kramers' law for D(x): 2 pi sqrt(D_s/D_m)/sqrt(H_m |H_s|) exp(∫ L'/(T D))."""
    U = loss(config)
    h_m, h_s = (float(U.hess([x])[0, 0]) for x in (minimum, 0.0))
    climb = abs(
        quad(
            lambda x: float(U.grad([x])[0]) / float(D([x])),
            minimum,
            0.0,
            limit=400,
            points=_inflections(config, minimum),
        )[0]
    )
    return 2 * np.pi * np.sqrt(float(D([0.0])) / float(D([minimum])) / (h_m * abs(h_s))) * np.exp(climb / T)


def _inflections(config: Config, minimum: float) -> list[float]:
    """Where the curvature changes sign on the way to the saddle."""
    U = loss(config)
    return [float(brentq(lambda x: float(U.hess([x])[0, 0]), minimum, 0.0))]


def xie(config: Config, T: Any, s: float) -> Any:
    """Xie's ratio of the times: exp[(1/T)(s/H_sharp - s/H_flat) H_flat] with D = |H|/H_flat."""
    h_flat, h_sharp, _ = curvatures(config)
    return np.exp(s * (h_flat / h_sharp - 1) / T)


def mori(config: Config, h: float, T: Any) -> Any:
    """Mori's time, a power of L_saddle/L0 with k = L0 H_flat/(T H*): 2 pi/sqrt(H* |H_s|) (L_s/L0)^(k + 1/2)."""
    h_flat, _, h_saddle = curvatures(config)
    k = config.offset * h_flat / (T * h)
    return 2 * np.pi / np.sqrt(h * abs(h_saddle)) * (1 + 1 / config.offset) ** (k + 0.5)


def run(config: Config) -> dict[str, Any]:
    """Times from each minimum to the other for each noise: exact, on a grid, by adaptive multilevel splitting with errors, and in theory."""
    T = 1 / np.linspace(config.lowest, config.highest, config.temperatures)
    wells, found = minima(config), {"T": T}
    for name, D in noises(config).items():
        shown: dict[str, list[Any]] = {"exact": [], "grid": [], "simulated": [], "error": [], "laplace": []}
        for t in T:
            problem = sg.Langevin(loss(config), T=float(t), D=D)
            for start, end in (wells, wells[::-1]):
                times = _times(config, problem, start, end, config.dt / (config.finer if name == NOISES[1] else 1))
                for kind, value in zip(shown, (*times, float(laplace(config, D, start, t))), strict=True):
                    shown[kind].append(value)
        found |= {f"{name} {kind}": np.reshape(values, (len(T), 2)) for kind, values in shown.items()}
    return found


def _times(
    config: Config, problem: sg.Langevin, start: float, end: float, dt: float
) -> tuple[float, float, float, float]:
    """Exact, on a grid, simulated, and the error of the simulation."""
    reached: Callable[[Any], Any] = (lambda x: x[0] > end) if end > start else (lambda x: x[0] < end)
    generator = sg.fokker_planck(problem, sg.Grid([(-2.0, 1.4, config.cells)]))
    simulated = sg.mean_escape_time(
        problem, [start], reached, dt=dt, seed=config.seed, repetitions=config.repetitions, levels=config.levels,
        method=sg.AdaptiveMultilevelSplitting(config.walkers), show_progress=False,
    )  # fmt: skip
    exact = float(sg.mean_first_passage_1d(problem, start, end))
    return exact, float(np.asarray(generator.mean_first_passage(reached, [start]))), simulated.value, simulated.error


def ratios(arrays: dict[str, Any], name: str) -> dict[str, Any]:
    """Sharp over flat, (temperatures,), with the error of the simulated one."""
    kinds = {
        kind: arrays[f"{name} {kind}"][:, 1] / arrays[f"{name} {kind}"][:, 0]
        for kind in ("exact", "grid", "simulated", "laplace")
    }
    relative = np.linalg.norm(arrays[f"{name} error"] / arrays[f"{name} simulated"], axis=1)
    return kinds | {"error": kinds["simulated"] * relative}


def summary(config: Config, arrays: dict[str, Any]) -> str:
    """One line: the ratio at both ends, and the largest pull of the simulation."""
    ends = [(name, ratios(arrays, name)) for name in NOISES]
    pulls = [np.abs((r["simulated"] - r["exact"]) / r["error"]).max() for _, r in ends]
    said = "; ".join(f"{name}: {r['exact'][0]:.2g} to {r['exact'][-1]:.2g}" for name, r in ends)
    return (
        f"time to leave the sharp minimum over that of the flat one, from barriers of {config.lowest:g} T to {config.highest:g} T: {said}; "
        f"simulation and quadrature agree within {max(pulls):.1f} standard errors"
    )


def draw(config: Config, arrays: dict[str, Any]) -> Figure:
    """The loss with the three D, the ratios against 1/T, and the times from the flat minimum against Mori's and Kramers' laws."""
    figure = Figure(figsize=(12.0, 4.0), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    colors = dict(zip(NOISES, (sg.plot.BLUE, sg.plot.RED, sg.plot.GREEN), strict=True))
    _draw_landscape(config, left, colors)
    T = arrays["T"]
    beta, fine = 1 / T, np.linspace(config.lowest, config.highest, 100)
    for name, D in noises(config).items():
        found, color = ratios(arrays, name), colors[name]
        flat, sharp = (laplace(config, D, m, 1 / fine) for m in minima(config))
        middle.semilogy(fine, sharp / flat, color=color, label=f"{name}: Laplace")
        middle.plot(beta, found["grid"], "s", mfc="none", ms=8, color=color)
        middle.errorbar(beta, found["simulated"], found["error"], fmt="o", ms=3, capsize=2, color=color)
        right.semilogy(fine, flat, color=color)
        right.plot(beta, arrays[f"{name} grid"][:, 0], "s", mfc="none", ms=8, color=color)
        right.errorbar(
            beta,
            arrays[f"{name} simulated"][:, 0],
            arrays[f"{name} error"][:, 0],
            fmt="o",
            ms=3,
            capsize=2,
            color=color,
        )
    band = [xie(config, 1 / fine, s) for s in (0.0, 1.0)]
    middle.fill_between(fine, *band, color=sg.plot.RED, alpha=0.12, lw=0, label="Xie 2021, all s in (0, 1)")
    middle.plot(fine, xie(config, 1 / fine, 0.5), color=sg.plot.RED, ls=":", label="Xie 2021, s = 1/2")
    h_flat, h_sharp, _ = curvatures(config)
    middle.plot(
        fine,
        mori(config, h_sharp, 1 / fine) / mori(config, h_flat, 1 / fine),
        color="black",
        ls="--",
        lw=1,
        label="Mori 2022",
    )
    middle.set(
        xlabel="barrier / T at the flat minimum",
        ylabel="time of sharp / time of flat",
        title="sharp minima are left sooner:\nby a factor, or exponentially",
    )
    middle.legend(frameon=False, fontsize=7)
    right.plot(
        fine, mori(config, h_flat, 1 / fine), color="black", ls="--", lw=1, label="Mori 2022: $(L_s/L_0)^{k+1/2}$"
    )
    right.plot([], [], "s", mfc="none", color="black", label="grid")
    right.plot([], [], "o", ms=3, color="black", label="adaptive multilevel splitting")
    right.set(
        xlabel="barrier / T at the flat minimum",
        ylabel="mean time",
        title="time from the flat minimum\nto the sharp one",
    )
    right.legend(frameon=False, fontsize=8)
    for ax in figure.axes:
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    return figure


def _draw_landscape(config: Config, ax: Any, colors: dict[str, str]) -> None:
    x = np.linspace(-1.45, 0.95, 600)
    ax.plot(x, loss(config)(x[:, None]), color="black", label="loss L")
    for name, D in noises(config).items():
        ax.plot(x, np.broadcast_to(D(x[None]), x.shape), color=colors[name], lw=1, ls="--", label=name)
    ax.set(xlabel="x", ylim=(0, 8), title="two minima of equal depth")
    ax.legend(frameon=False, fontsize=8)
