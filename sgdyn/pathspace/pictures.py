"""Pictures of paths; `sgdyn.plot` draws them."""

from __future__ import annotations

from typing import Any


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


def reach(found: Any, ax: Any) -> None:
    """The critical paths to the region, on the landscape in two dimensions."""
    from sgdyn import plot

    U = getattr(found.question.problem, "U", None)
    if U is not None and U.dim == 2:
        plot.figure(U, ax)
    for one in found.arrivals:
        path(one.path, ax)
    ax.set_title(f"reached with probability {float(found):.3g}")


PATHS = {"Path": path, "Instanton": instanton, "Reach": reach}
