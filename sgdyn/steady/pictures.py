"""Pictures of quasipotentials and decompositions; `sgdyn.plot` draws them."""

from __future__ import annotations

from typing import Any

import numpy as np

from sgdyn.density import pictures

GREY, RED = "#7f7f7f", "#d55e00"


def quasipotential(found: Any, ax: Any) -> None:
    """Contours up to twice the level at which paths begin to feel the box; that level is dashed."""
    top = 2 * found.level if found.level > 0 else float(found.values.max())
    ax.contourf(*found.grid.midpoints, found.values.T, levels=np.linspace(0, top, 21), cmap="Blues_r", extend="max")
    ax.contour(
        *found.grid.midpoints, found.values.T, levels=[found.level], colors=GREY, linestyles="--", linewidths=0.8
    )
    ax.plot(*found.attractor, "o", color=RED, ms=5)
    ax.set(xlabel="$x_0$", ylabel="$x_1$", title="quasipotential")


def fluctuation_path(path: Any, ax: Any) -> None:
    """The path over the contours."""
    quasipotential(path.potential, ax)
    ax.plot(*path.x.T, color=RED, lw=1.5)
    ax.set(title=f"fluctuation path, V = {path.V[-1]:.4g}")


def decomposition(parts: Any, ax: Any) -> None:
    """The density with streamlines of the current, and contours of Phi one T apart; Phi alone in one dimension."""
    grid, T = parts.grid, parts.process.T
    if grid.dim == 1:
        ax.plot(grid.midpoints[0], parts.Phi)
        ax.set(xlabel="$x$", ylabel=r"$\Phi$")
    else:
        pictures.current(parts.flow, ax)
        ax.contour(*grid.midpoints, parts.Phi.T, levels=T * np.arange(1, 9), colors="black", linewidths=0.4)
    ax.set(title=f"potential and current; entropy production {parts.entropy_production.value:.3g}")


def discrete(state: Any, ax: Any) -> None:
    """The autocorrelation of each eigenvector of H against steps, up to four of them from the stiffest on."""
    h, V = np.linalg.eigh(state.H)
    chosen = V[:, ::-1][:, :4]
    longest = min(10_000, 1 + int(3 * np.max(state.correlation_times()[: chosen.shape[1]]) / state.lr))
    steps = np.unique(np.linspace(0, longest, 120).astype(int))
    lagged = np.array([np.diag(chosen.T @ state.lagged_covariance(int(lag)) @ chosen) for lag in steps])
    for k, curvature in enumerate(h[::-1][: chosen.shape[1]]):
        ax.plot(steps, lagged[:, k] / lagged[0, k], lw=1.2, label=f"h = {curvature:.3g}")
    ax.axhline(0, color=GREY, lw=0.8)
    ax.set(xlabel="steps", ylabel="autocorrelation", title="SGD on a quadratic, exactly")
    ax.legend()


def epoch(state: Any, ax: Any) -> None:
    """The total variance at each step of an epoch, beside that of independent batches."""
    ax.plot(
        np.arange(state.steps),
        np.trace(state.covariances, axis1=1, axis2=2),
        ".-",
        ms=4,
        color=RED,
        label="epoch by epoch",
    )
    ax.axhline(np.trace(state.independent.covariance), color=GREY, lw=0.8, label="independent batches")
    ax.set(xlabel="step of the epoch", ylabel="total variance", title="SGD on a quadratic", ylim=(0, None))
    ax.legend()


PICTURES = {
    "Decomposition": decomposition,
    "DiscreteSGD": discrete,
    "EpochSGD": epoch,
    "Quasipotential": quasipotential,
    "FluctuationPath": fluctuation_path,
}
