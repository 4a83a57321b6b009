"""Pictures of quasipotentials and decompositions; `sgdyn.plot` draws them."""

from __future__ import annotations

from typing import Any

import numpy as np

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


PICTURES = {"Quasipotential": quasipotential, "FluctuationPath": fluctuation_path}
