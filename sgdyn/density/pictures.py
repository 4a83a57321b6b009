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
    grid = course[0].grid
    if grid.dim == 1:
        curves(course.times, [(rho.grid.midpoints[0], rho.values) for rho in course], ax)
        return
    if grid.dim != 2:
        raise TypeError(f"got densities in dimension {grid.dim}, expected 1 or 2; type course[-1].marginal(0, 1)")
    ax.pcolormesh(*grid.edges, course[-1].values.T, cmap="Blues")
    first = course[0].values
    ax.contour(
        *grid.midpoints, first.T, levels=first.max() * np.array([0.05, 0.2, 0.5, 0.8]), colors="#d55e00", linewidths=0.8
    )
    ax.set(xlabel="$x_0$", ylabel="$x_1$", title=f"t = {course.times[-1]:g} (lines: t = {course.times[0]:g})")


def curves(times: Any, lines: list[tuple[Any, Any]], ax: Any) -> None:
    """Some of the densities in one dimension, from early (dark) to late."""
    last = len(lines) - 1
    for k in np.unique(np.linspace(0, last, min(SHOWN, last + 1)).round().astype(int)):
        shade = 0.15 + 0.75 * k / max(last, 1)
        ax.plot(*lines[k], color=(0.0, 0.45 * shade, shade), label=f"t = {times[k]:g}")
    ax.set(xlabel="$x$", ylabel="density")
    ax.legend()


def flow(result: Any, ax: Any) -> None:
    """Densities in one or two dimensions with the energy beside; the energy alone in more."""
    first, d = result[0], result.problem.dim
    if hasattr(first, "grid") and d <= 2:
        evolution(result, ax)
    elif hasattr(first, "covariance") and d == 1:
        curves(result.times, [_bell(float(rho.mean[0]), float(rho.covariance[0, 0]) ** 0.5) for rho in result], ax)
    elif hasattr(first, "points") and d <= 2:
        _cloud(result, ax)
    else:
        decay(result, ax)
        return
    decay(result, _beside(ax))


def _beside(ax: Any) -> Any:
    """Axes in the right part of these axes' place, which is wider where it is the whole figure."""
    place, figure = ax.get_subplotspec(), ax.figure
    if place is None:
        return ax.inset_axes((1.2, 0.0, 0.7, 1.0))
    if len(figure.axes) == 1:
        figure.set_size_inches(1.7 * figure.get_figwidth(), figure.get_figheight())
    left, right = place.subgridspec(1, 2, width_ratios=(3, 2))
    ax.set_subplotspec(left)
    return figure.add_subplot(right)


def decay(result: Any, ax: Any) -> None:
    """The energy after each step, and on a grid that of the Fokker-Planck equation beside it."""
    some = np.isfinite(result.energies)
    ax.plot(result.times[some], result.energies[some], "o-", ms=2, color="#0072b2", label=type(result.method).__name__)
    exact = result.continuous
    if exact is not None:
        ax.plot(result.times, exact, "--", color="#d55e00", label="Fokker-Planck")
        ax.legend()
    ax.set(xlabel="time", ylabel="energy")


def _bell(mean: float, deviation: float) -> tuple[Any, Any]:
    y = np.linspace(-4, 4, 161)
    height = np.exp(-0.5 * y * y) / max(deviation * np.sqrt(2 * np.pi), 1e-300)
    return mean + deviation * y, height


def _cloud(result: Any, ax: Any) -> None:
    if result.problem.dim == 1:
        ax.hist(result[-1].points[:, 0], bins=60, density=True, color="#0072b2")
        ax.set(xlabel="$x$", ylabel="density", title=f"t = {result.times[-1]:g}")
        return
    for k, color in ((0, "#d55e00"), (-1, "#0072b2")):
        ax.plot(*result[k].points.T, ".", ms=2, color=color, label=f"t = {result.times[k]:g}")
    ax.set(xlabel="$x_0$", ylabel="$x_1$")
    ax.legend()


PICTURES = {"Current": current, "Evolution": evolution, "Flow": flow}
