"""Pictures of what was fitted to a run; `sgdyn.plot` draws them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

BLUE, ORANGE, GREY = "#0072b2", "#e69f00", "#7f7f7f"


def dynamics(found: Any, ax: Any) -> None:
    """Each coordinate's own rate and noise with their errors."""
    rates, errors = (np.diag(part) for part in (found.F.value, found.F.error))
    places = np.arange(len(rates))
    ax.errorbar(places, rates, errors, fmt="o", ms=4, capsize=2, color=BLUE, label="$F_{ii}$")
    noise, spread = (np.diag(part) for part in (found.noise.value, found.noise.error))
    ax.errorbar(places, noise, spread, fmt="s", ms=4, capsize=2, color=ORANGE, label="$T D_{ii}$")
    ax.set(xlabel="coordinate", title="fitted linear dynamics", yscale="log")
    ax.legend()


def confinement(found: Any, ax: Any) -> None:
    """Likelihood over that of a random walk, filled where a coordinate is confined."""
    places = np.arange(len(found.statistic))
    for kept, face, name in ((found.confined, BLUE, "confined"), (~found.confined, "none", "perhaps diffusing")):
        ax.scatter(places[kept], found.statistic[kept], s=25, facecolors=face, edgecolors=BLUE, label=name)
    ax.axhline(0, color=GREY, lw=0.8)
    ax.set(xlabel="coordinate", ylabel="log likelihood over a random walk's", title="does it come back?")
    ax.legend()


def balance(found: Any, ax: Any) -> None:
    """What gradients take in against what noise gives back."""
    places = np.arange(len(found.excess.value))
    for part, shift, color, name in (
        (found.temperature, -0.1, BLUE, "$E[x_i g_i]$"), (found.injected, 0.1, ORANGE, r"$(\eta/2) E[g_i^2]$"),
    ):  # fmt: skip
        ax.errorbar(places + shift, part.value, part.error, fmt="o", ms=4, capsize=2, color=color, label=name)
    ax.set(xlabel="direction", ylabel="temperature", title=f"balance: {found.sigmas:.1f} sigma from stationary")
    ax.legend()


def irreversibility(found: Any, ax: Any) -> None:
    """How far the circulation at each lag stands above what chance makes of a reversible run."""
    ax.plot(found.lags, found.size, "o-", ms=4, color=BLUE, label="this run")
    ax.axhline(1.0, color=GREY, lw=0.8, ls="--", label="reversible, on average")
    verdict = "irreversible" if found.irreversible else "nothing against reversibility"
    ax.set(
        xlabel="lag", ylabel="circulation", xscale="log", yscale="log", title=f"{verdict} (chance {found.chance:.2g})"
    )
    ax.legend()


def correlations(found: Any, ax: Any) -> None:
    """Power spectra of the first coordinates, dashed those of the reversible process."""
    inner = slice(1, len(found.frequencies) - 1)
    for i, color in zip(range(found.power.value.shape[1]), (BLUE, ORANGE, "#009e73"), strict=False):
        ax.loglog(found.frequencies[inner], found.power.value[inner, i], color=color, lw=1, label=f"coordinate {i}")
        ax.loglog(found.frequencies[inner], found.reversible_power[inner, i], color=color, lw=1, ls="--")
    ax.set(xlabel="frequency", ylabel="power", title="dashed: reversible process")
    ax.legend()


def validity(found: Any, ax: Any) -> None:
    """Sizes over limits, on a scale that shows both small and large ones."""
    places = np.arange(len(found.findings))[::-1]
    colors = {"holds": BLUE, "unclear": GREY, "fails": "#d55e00"}
    for place, each in zip(places, found.findings, strict=True):
        limit = each.limit or 1.0
        ax.errorbar(
            abs(float(each.size.value)) / limit, place, xerr=float(each.size.error) / limit, fmt="o", ms=4, capsize=2, color=colors[each.state]
        )  # fmt: skip
    ax.axvline(1.0, color=GREY, lw=0.8, ls="--")
    ax.set_xscale("symlog", linthresh=1.0)
    ax.set(
        yticks=places, yticklabels=[each.name for each in found.findings], xlabel="size over its limit", xlim=(0, None)
    )


def escape(found: Any, ax: Any) -> None:
    """The part of stays that last longer than t (Kaplan and Meier), dashed as if they had no memory."""
    for i, (name, color) in enumerate(zip(found.names, (BLUE, ORANGE, "#009e73", "#d55e00", "#cc79a7"), strict=False)):
        stays = found.sojourns.of(i)
        ended = stays.next >= 0
        if not ended.any():
            continue
        longer = stats.ecdf(stats.CensoredData(uncensored=stays.length[ended], right=stays.length[~ended])).sf
        ax.step(
            longer.quantiles, longer.probabilities, where="post", color=color, label=f"{name} ({ended.sum()} ended)"
        )
        left = float(np.sum(ended) * np.mean(stays.dt) / stays.length.sum())
        ax.plot(longer.quantiles, (1 - left) ** (longer.quantiles / np.mean(stays.dt)), color=color, ls="--", lw=0.8)
    ax.set(xlabel="time in a basin", ylabel="part that stays longer", yscale="log", title="dashed: without memory")
    ax.legend()


def escapes_compared(found: Any, ax: Any) -> None:
    """Measured over predicted rates, a line for each theory and transition."""
    places = np.arange(len(found.rows))[::-1]
    for place, row in zip(places, found.rows, strict=True):
        ax.errorbar(float(row.ratio.value), place, xerr=float(row.ratio.error), fmt="o", ms=4, capsize=2, color=BLUE)
    ax.axvline(1.0, color=GREY, lw=0.8, ls="--")
    names = [f"{row.start} -> {row.end}, {row.theory}" for row in found.rows]
    ax.set(yticks=places, yticklabels=names, xlabel="measured over predicted rate")


def kinetic_energy(found: Any, ax: Any) -> None:
    """v²/2 against the fitted law, each about the means of its replica."""
    a, b = np.nan_to_num(np.asarray(found.coefficients.value))
    law = -(a * found.U + b * found.S)
    law, kinetic = (part - part.mean(axis=1, keepdims=True) for part in (law, found.kinetic))
    chosen = slice(None, None, max(1, law.size // 4000))
    ax.plot(law.ravel()[chosen], kinetic.ravel()[chosen], ".", ms=2, color=BLUE, rasterized=True)
    ax.axline((0, 0), slope=1, color=GREY, lw=0.8, ls="--")
    ax.set(xlabel="$-(a U + b S)$, about its mean", ylabel="$v^2/2$, about its mean", title=f"$R^2$ = {found.R2:.3f}")


def kramers_moyal(found: Any, ax: Any) -> None:
    """Drift and noise with their errors along a line; in two dimensions the drift as arrows over the trace of the noise."""
    x, known = found.points, found.known
    if found.dim == 1:
        for part, color, name in ((found.drift, BLUE, "$F(x)$"), (found.noise, ORANGE, "$T D(x)$")):
            value, error = (np.reshape(p[known], -1) for p in (part.value, part.error))
            ax.errorbar(x[known, 0], value, error, fmt="o-", ms=3, lw=0.8, capsize=2, color=color, label=name)
        ax.axhline(0, color=GREY, lw=0.8)
        ax.set(xlabel="$x$", title="fitted drift and diffusion", ylim=_within(found))
        ax.legend()
        return
    size = np.trace(found.noise.value[known], axis1=-2, axis2=-1)
    marks = ax.scatter(*x[known, :2].T, c=size, s=12, cmap="Blues")
    ax.figure.colorbar(marks, ax=ax, label="tr $T D$")
    ax.quiver(*x[known, :2].T, *found.drift.value[known, :2].T, color=GREY, width=0.004)
    ax.set(xlabel="$x_0$", ylabel="$x_1$", title="fitted drift and diffusion")


def _within(found: Any) -> tuple[float, float]:
    """Limits for the values where 99 % of the run is: beyond, at the edge of what is known, errors are large."""
    low, high = np.quantile(found.series.x, (0.005, 0.995))
    core = found.known & (found.points[:, 0] >= low) & (found.points[:, 0] <= high)
    core = core if core.any() else found.known
    ends = [
        np.reshape(part.value + side * part.error, (len(core), -1))[core, 0]
        for part in (found.drift, found.noise)
        for side in (-1, 1)
    ]
    least, most = float(np.min(ends)), float(np.max(ends))
    return least - 0.1 * (most - least), most + 0.1 * (most - least)


def force_inference(found: Any, ax: Any) -> None:
    """Coefficients of each component's drift."""
    value, error = found.coefficients.value, found.coefficients.error
    places = np.arange(value.shape[1])
    for i, (row, spread) in enumerate(zip(value, error, strict=True)):
        ax.errorbar(places + 0.1 * i, row, spread, fmt="o", ms=3, capsize=2, label=f"$F_{{{i}}}$")
    ax.axhline(0, color=GREY, lw=0.8)
    ax.set(
        xlabel="function",
        ylabel="coefficient",
        title=f"drift: {found.information.value:.3g} bits, {found.parameters} parameters",
    )
    ax.legend()


FITS = {
    "LinearDynamics": dynamics, "Confinement": confinement, "Balance": balance, "Irreversibility": irreversibility,
    "Correlations": correlations, "Validity": validity,
    "KramersMoyal": kramers_moyal, "ForceInference": force_inference, "Escape": escape, "EscapeComparison": escapes_compared,
    "KineticEnergy": kinetic_energy,
}  # fmt: skip
