"""The pictures of the study of reachability."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

import sgdyn as sg
from sgdyn.studies.valleys import BOX, MIDDLE, SIDES, WELL, Config, gate, landscape, ridge, valley

COLORS = dict(zip(SIDES, (sg.plot.BLUE, sg.plot.RED), strict=True))


def kramers_odds(arrays: dict[str, Any]) -> float:
    """The ratio of Kramers' rates, wide over narrow: the prefactors alone, as the barriers are equal."""
    return float(arrays["wide rate"] / arrays["narrow rate"])


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
    ax.axhline(
        kramers_odds(arrays), color=COLORS["narrow"], ls=":", label=f"ratio of prefactors, {kramers_odds(arrays):.1f}"
    )
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
