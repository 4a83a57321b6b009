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


PICTURES = {"Decomposition": decomposition, "Quasipotential": quasipotential, "FluctuationPath": fluctuation_path}
