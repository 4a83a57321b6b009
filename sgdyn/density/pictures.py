"""Pictures of currents and evolutions; `sgdyn.plot` draws them."""

from __future__ import annotations

from typing import Any

import numpy as np

SHOWN = 8


def current(flow: Any, ax: Any) -> None:
    """Streamlines over the density, as wide as the current is strong."""
    grid = flow.grid
    if grid.dim == 1:
        ax.plot(grid.midpoints[0], flow.values[:, 0])
        ax.set(xlabel="$x$", ylabel="current")
        return
    if grid.dim != 2:
        raise TypeError(f"got a current in dimension {grid.dim}, expected 1 or 2")
    ax.pcolormesh(*grid.edges, flow.density.values.T, cmap="Blues")
    ax.set(xlabel="$x_0$", ylabel="$x_1$", title="current")
    # streamlines want equal distances
    x, y = (np.linspace(e[0], e[-1], 60) for e in grid.edges)
    mesh = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
    J = flow.values[grid.index(mesh)]
    speed = np.linalg.norm(J, axis=-1)
    if speed.max() > 0:
        width = 2.5 * speed / speed.max()
        ax.streamplot(x, y, J[..., 0].T, J[..., 1].T, color="#7f7f7f", linewidth=width.T, arrowsize=0.7, density=1.2)


def evolution(course: Any, ax: Any) -> None:
    """Curves at some of the times; in two dimensions the last density and contours of the first."""
    grid = course.generator.grid
    if grid.dim == 1:
        some = np.unique(np.linspace(0, len(course) - 1, min(SHOWN, len(course))).round().astype(int))
        for k in some:
            shade = 0.15 + 0.75 * k / max(len(course) - 1, 1)
            ax.plot(
                grid.midpoints[0], course[k].values, color=(0.0, 0.45 * shade, shade), label=f"t = {course.times[k]:g}"
            )
        ax.set(xlabel="$x$", ylabel="density")
        ax.legend()
        return
    if grid.dim != 2:
        raise TypeError(f"got densities in dimension {grid.dim}, expected 1 or 2; type course[-1].marginal(0, 1)")
    ax.pcolormesh(*grid.edges, course[-1].values.T, cmap="Blues")
    first = course[0].values
    ax.contour(
        *grid.midpoints, first.T, levels=first.max() * np.array([0.05, 0.2, 0.5, 0.8]), colors="#d55e00", linewidths=0.8
    )
    ax.set(xlabel="$x_0$", ylabel="$x_1$", title=f"t = {course.times[-1]:g} (lines: t = {course.times[0]:g})")


PICTURES = {"Current": current, "Evolution": evolution}
