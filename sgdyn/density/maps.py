"""Pictures of functions on grids and of relaxation rates; `sgdyn.plot` draws them."""

from __future__ import annotations

from typing import Any

import numpy as np


def solution(found: Any, ax: Any) -> None:
    """Curves in one dimension; in two a map with contours, white where the function is not finite."""
    grid = found.grid
    if grid.dim == 1:
        ax.plot(grid.midpoints[0], found.values)
        ax.set(xlabel="$x$", ylabel=found.name)
        return
    if grid.dim != 2:
        raise TypeError(f"got a function in dimension {grid.dim}, expected 1 or 2; type solution.at(x) for a section")
    if found.values.ndim > 2:
        _panels(found, ax)
        return
    values = np.where(np.isfinite(found.values), found.values, np.nan).T
    mesh = ax.pcolormesh(*grid.edges, values, cmap="viridis")
    ax.contour(*grid.midpoints, values, levels=9, colors="white", linewidths=0.5)
    ax.figure.colorbar(mesh, ax=ax, label=found.name)
    ax.set(xlabel="$x_0$", ylabel="$x_1$")


def _panels(found: Any, ax: Any) -> None:
    """Each of several functions in a panel of its own, side by side."""
    ax.set_axis_off()
    values = np.where(np.isfinite(found.values), found.values, np.nan).reshape(*found.grid.shape, -1)
    count = values.shape[-1]
    for k in range(count):
        panel = ax.inset_axes((k / count, 0.0, 0.8 / count, 1.0))
        panel.pcolormesh(*found.grid.edges, values[..., k].T, cmap="viridis")
        panel.set(xlabel="$x_0$", ylabel="$x_1$" if k == 0 else "", title=f"{found.name} {k}")


def relaxation(found: Any, ax: Any) -> None:
    """Rates by number with their errors, or in the plane where they are complex."""
    values, error = found.values.value, found.values.error
    if np.iscomplexobj(values):
        ax.errorbar(values.real, values.imag, error, error, fmt="o", ms=3, capsize=2)
        ax.set(xlabel="real part", ylabel="imaginary part", title="relaxation rates")
        return
    ax.errorbar(np.arange(len(values)), values, error, fmt="o", ms=3, capsize=2)
    ax.set(xlabel="component", ylabel="rate", title="relaxation rates")


def quasi_stationary(found: Any, ax: Any) -> None:
    """The density, with its rate as title."""
    from sgdyn import plot

    plot.figure(found.density, ax)
    ax.set_title(f"rate {found.rate.value:.4g} ± {found.rate.error:.1g}")


MAPS = {"Solution": solution, "RelaxationSpectrum": relaxation, "QuasiStationary": quasi_stationary}
