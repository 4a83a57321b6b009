"""Pictures of the noise of networks; `sgdyn.plot` draws them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib import colormaps

from sgdyn.estimate import Estimate

BLUE, ORANGE, GREEN, RED, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#7f7f7f"
LABELS = 12
"""So many layers get their names into the legend."""


def _points(ax: Any, x: Any, estimate: Any, color: str, label: str, fmt: str = "o-") -> None:
    ax.errorbar(x, estimate.value, estimate.error, fmt=fmt, ms=3, lw=1, color=color, capsize=2, label=label)


def power_law(found: Any, ax: Any) -> None:
    """Points and line, log-log."""
    ax.loglog(found.x, found.y, "o", ms=3, color=BLUE)
    ends = np.array([found.x.min(), found.x.max()])
    line = np.exp(found.intercept.value) * ends**found.exponent.value
    said = f"exponent {found.exponent.value:.3g} ({found.interval[0]:.3g} to {found.interval[1]:.3g})"
    ax.plot(ends, line, color=ORANGE, lw=1, label=said)
    ax.set(xlabel=found.names[0], ylabel=found.names[1])
    ax.legend()


def state_dependence(found: Any, ax: Any) -> None:
    """Trace relative to the reference, overlap and distance, against steps."""
    scale = abs(found.trace.value[min(found.reference, len(found.steps) - 1)])
    ax.plot(found.steps, found.trace.value / scale, "o-", ms=3, lw=1, color=BLUE, label="tr D / tr D$_0$")
    _points(ax, found.steps, found.overlap, GREEN, "overlap with D$_0$")
    _points(ax, found.steps, found.distance, ORANGE, "distance to D$_0$")
    ax.axhline(found.null.value, color=GREY, ls="--", lw=0.8, label="overlap of random subspaces")
    ax.set(xlabel="step", ylabel="relative to the reference", title="D(w)")
    ax.legend()


def curvature_alignment(found: Any, ax: Any) -> None:
    """Noise along Hessian eigenvectors against curvature, log-log."""
    h, d = found.curvatures, found.noises
    kept = (h.value > 0) & (d.value > 0)
    ax.errorbar(h.value[kept], d.value[kept], xerr=h.error[kept], fmt="o", ms=3, color=BLUE)
    said = f"cosine {found.cosine.value:.3g}, overlap {found.overlap.value:.3g} (by chance {found.overlap_by_chance.value:.2g})"
    ax.set(xlabel="Hessian eigenvalue $h$", ylabel="$v'Dv$", xscale="log", yscale="log", title=said)


def noise_tails(found: Any, ax: Any) -> None:
    """Tail shape and excess kurtosis of a batch by direction; filled red where the tail is heavier than Gaussian."""
    i = np.arange(1, len(found.p_tail) + 1)
    _points(ax, i - 0.1, found.shape, BLUE, "tail shape (0: Gaussian)", "o")
    _points(ax, i[found.heavy] - 0.1, _part(found.shape, found.heavy), RED, "heavier than Gaussian samples", "o")
    kurtosis = found.of_batch
    ax.errorbar(
        i + 0.1,
        kurtosis.value[1],
        kurtosis.error[1],
        fmt="^",
        ms=4,
        color=ORANGE,
        capsize=2,
        label=f"excess kurtosis, B = {found.batch}",
    )
    ax.axhline(0, color=GREY, lw=0.8)
    ax.set(xlabel="component", title=f"{found.leading} eigenvectors of D, {len(i) - found.leading} other directions")
    ax.legend()


def _part(estimate: Any, rows: Any) -> Any:
    return Estimate(estimate.value[rows], estimate.error[rows], estimate.method)


def signal_to_noise(found: Any, ax: Any) -> None:
    """Ratios of layers against steps, or against layers at one point."""
    if len(found.steps) == 1:
        ax.errorbar(
            np.arange(1, len(found.layers) + 1), found.ratio.value[0], found.ratio.error[0], fmt="o", ms=4, color=BLUE
        )
        ax.set_xticks(np.arange(1, len(found.layers) + 1), found.layers, rotation=30, ha="right")
    else:
        for name, values in zip(found.layers, found.ratio.value.T, strict=True):
            ax.plot(found.steps, values, "o-", ms=2, lw=0.8, label=name if len(found.layers) <= LABELS else None)
        ax.plot(found.steps, found.total.value, color="black", lw=1.5, label="all layers")
        ax.set_xlabel("step")
        ax.legend()
    ax.axhline(1, color=GREY, ls="--", lw=0.8)
    ax.set(ylabel="signal to noise", yscale="log", title=f"drift above 1, diffusion below, B = {found.batch}")


def adaptive_process(found: Any, ax: Any) -> None:
    """Curvature, noise and stationary variance along the scaled directions."""
    i = np.arange(1, len(found.H) + 1)
    rows = (
        (found.H, BLUE, "curvature"),
        (found.D, ORANGE, "noise"),
        (found.discrete.covariance, GREEN, "stationary variance"),
    )
    for matrix, color, label in rows:
        ax.plot(i, np.diag(matrix), "o", ms=3, color=color, label=label)
    ax.set(xlabel="component", yscale="log", title=f"scaled by $P^{{1/2}}$, T = {found.temperature:.3g}")
    ax.legend()


def sloppy_spectrum(found: Any, ax: Any) -> None:
    """Eigenvalues above the floor, and the line of the tail."""
    _against_rank(ax, found, BLUE, found.name, 1)
    ax.axhline(found.floor / found.values[0], color=GREY, ls="--", lw=0.8, label="numerical floor")
    ax.set(xlabel="rank", ylabel="eigenvalue / largest", yscale="log")
    ax.legend()


def sloppiness(found: Any, ax: Any) -> None:
    """All spectra relative to the largest eigenvalues, against rank over rows, with the lines of their tails; dashed grey those on isotropic data."""
    colors = colormaps["viridis"](np.linspace(0, 0.92, len(found.spectra)))
    for color, (name, each) in zip(colors, found.spectra.items(), strict=True):
        _against_rank(ax, each, color, name, each.size)
    for each in {} if found.null is None else found.null.spectra.values():
        _curve(ax, each, each.size, color=GREY, lw=0.6, ls="--")
    if found.null is not None:
        ax.plot([], [], color=GREY, lw=0.6, ls="--", label="the same on isotropic data")
    ax.set(xlabel="rank / rows", ylabel="eigenvalue / largest", yscale="log", title=f"{found.n} samples")
    ax.legend(fontsize=6)


def _against_rank(ax: Any, found: Any, color: Any, label: str, unit: int) -> None:
    """Resolved eigenvalues and the line of the tail against rank over a unit."""
    _curve(ax, found, unit, color=color, lw=1.2, label=label)
    first, end = found.tail
    if end:
        i = np.arange(first, end)
        line = np.exp(np.log(found.values[first:end]).mean() + found.slope.value * (i - i.mean()))
        ax.plot((i + 1) / unit, line / found.values[0], color="black", lw=0.7, ls=":")


def _curve(ax: Any, found: Any, unit: int, **style: Any) -> None:
    values = found.resolved
    ax.plot(np.arange(1, len(values) + 1) / unit, values / found.values[0], **style)


NOISE: dict[str, Callable[[Any, Any], None]] = {
    "PowerLaw": power_law, "StateDependence": state_dependence, "CurvatureAlignment": curvature_alignment,
    "NoiseTails": noise_tails, "AdaptiveProcess": adaptive_process, "SignalToNoise": signal_to_noise,
    "SloppySpectrum": sloppy_spectrum, "Sloppiness": sloppiness,
}  # fmt: skip
