"""Pictures of paths; `sgdyn.plot` draws them."""

from __future__ import annotations

from typing import Any

import numpy as np


def path(found: Any, ax: Any) -> None:
    """On the plane in two dimensions, else its first three components against time."""
    if found.dim == 2:
        ax.plot(*found.x.T)
        ax.set(xlabel="$x_0$", ylabel="$x_1$")
        return
    for k in range(min(found.dim, 3)):
        ax.plot(found.t, found.x[:, k], label=f"$x_{k}$")
    ax.set(xlabel="time", ylabel="$x$")


def instanton(found: Any, ax: Any) -> None:
    """The critical paths, saddles of the action dashed; on the landscape where there is one in two dimensions."""
    from sgdyn import plot

    U = getattr(found.problem, "U", None)
    if U is not None and U.dim == 2 and found.path.dim == 2:
        plot.figure(U, ax)
    for one in found.critical_paths:
        before = len(ax.lines)
        path(one.path, ax)
        for line in ax.lines[before:]:
            line.set(linestyle="-" if one.is_minimum else "--")
    ax.set_title(f"action {found.action.value:.4g}")


def fluctuations(found: Any, ax: Any) -> None:
    """The path, dashed what one standard deviation of its softest mode makes of it."""
    one = found.instanton.path
    path(one, ax)
    if found.soft is not None:
        for sign in (1, -1):
            x = one.x + sign * found.soft.displacement
            for line in [x.T] if one.dim == 2 else [(one.t, column) for column in x.T[:3]]:
                ax.plot(*line, "--", color="#7f7f7f", lw=0.7)
    ax.set_title(f"log prefactor {found.log_prefactor.value:.4g}")


def soft_mode(found: Any, ax: Any) -> None:
    """The first three components of the displacement against time."""
    for k, column in enumerate(found.displacement.T[:3]):
        ax.plot(found.t, column, label=f"$x_{k}$")
    ax.set(xlabel="time", ylabel="one standard deviation", title=f"curvature {found.curvature:.4g}")


def arrival(found: Any, ax: Any) -> None:
    """The path to the boundary, on the landscape in two dimensions."""
    if found.path.dim == 2:
        _landscape(getattr(found.functional.problem, "U", None), found.path.x, ax)
    path(found.path, ax)
    ax.set_title(f"action {found.action:.4g}")


def minimum_action(found: Any, ax: Any) -> None:
    """The paths found, the cheapest boldest, on the landscape where there is one in two dimensions; else V along them."""
    for one in found.paths or (found,):
        style = {"lw": 1.8 if one is found or one.V[-1] <= found.V[-1] else 0.9}
        if found.dim == 2:
            ax.plot(*one.x.T, **style)
        else:
            ax.plot(np.linspace(0, 1, len(one.V)), one.V, **style)
    if found.dim == 2:
        _landscape(found.problem.U, found.x, ax)
        ax.plot(*found.halts.T, "x", color="#7f7f7f", ms=5)
    else:
        ax.set(xlabel="share of the path", ylabel="$V$")
    ax.set_title(f"least action, V = {found.cost.value:.4g}")


def string(found: Any, ax: Any) -> None:
    """U along the string, with its saddles."""
    share = np.linspace(0, 1, len(found.U))
    ax.plot(share, found.U - found.U[0], ".-", ms=3)
    at = [int(np.argmin(np.linalg.norm(found.x - saddle, axis=1))) for saddle in found.saddles]
    ax.plot(share[at], found.U[at] - found.U[0], "x", color="#d55e00", ms=6)
    ax.set(xlabel="share of the path", ylabel="$U - U_a$", title=f"barrier {found.barrier.value:.4g}")


def _landscape(U: Any, x: Any, ax: Any) -> None:
    """Contours of U around a path, and the names of the axes."""
    ax.set(xlabel="$x_0$", ylabel="$x_1$")
    if U is None:
        return
    middle, half = 0.5 * (x.max(0) + x.min(0)), 0.5 * np.ptp(x, axis=0).max() + 0.4 * np.ptp(x, axis=0).max()
    axes = [np.linspace(m - half, m + half, 120) for m in middle]
    values = U(np.stack(np.meshgrid(*axes, indexing="ij"), -1))
    top = np.quantile(values, 0.7)
    ax.contourf(*axes, values.T, levels=np.linspace(values.min(), top, 21), cmap="Blues_r", extend="max", zorder=0)


def reach(found: Any, ax: Any) -> None:
    """The critical paths to the region, on the landscape in two dimensions."""
    from sgdyn import plot

    U = getattr(found.question.problem, "U", None)
    if U is not None and U.dim == 2:
        plot.figure(U, ax)
    for one in found.arrivals:
        path(one.path, ax)
    ax.set_title(f"reached with probability {float(found):.3g}")


def bridges(found: Any, ax: Any) -> None:
    """The last bridge of up to twenty chains, on the landscape in two dimensions, else their first component against time."""
    from sgdyn import plot

    last = found.paths[:20, -1]
    U = getattr(found.problem, "U", None)
    if last.shape[-1] == 2 and U is not None:
        plot.figure(U, ax)
    for x in last:
        ax.plot(*(x.T if x.shape[-1] == 2 else (found.t, x[:, 0])), linewidth=0.7)
    if last.shape[-1] == 2:
        ax.set(xlabel="$x_0$", ylabel="$x_1$")
    else:
        ax.set(xlabel="time", ylabel="$x_0$")


def matrix(found: Any, ax: Any) -> None:
    """log10 of the values, from rows to columns; pairs without one stay blank."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(found.values.value)
    image = ax.imshow(logs, cmap="viridis")
    ticks = range(len(found.names))
    ax.set(xticks=ticks, yticks=ticks, xlabel="to", ylabel="from", title=f"log10 within t={found.t:g}")
    ax.set_xticklabels(found.names)
    ax.set_yticklabels(found.names)
    ax.figure.colorbar(image, ax=ax)


PATHS = {
    "Path": path, "Instanton": instanton, "MinimumAction": minimum_action, "StringPath": string, "Reach": reach, "Bridges": bridges,
    "ReachabilityMatrix": matrix, "Fluctuations": fluctuations, "SoftMode": soft_mode, "Arrival": arrival,
}  # fmt: skip
