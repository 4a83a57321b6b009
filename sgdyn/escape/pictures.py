"""Pictures of critical points and of the tree that barriers make of minima; `sgdyn.plot` draws them."""

from __future__ import annotations

from typing import Any

import numpy as np

MARKS = (("o", "#009e73", "minima"), ("x", "#d55e00", "saddles"), ("^", "#7f7f7f", "higher index"))
NUMBERED = 40
"""Up to so many minima bear their numbers on the tree, as `SaddleGraph.barrier` takes them."""


def critical_points(found: Any, ax: Any) -> None:
    """The points on the potential in one or two dimensions, the disconnectivity tree in more."""
    if found.surface.dim > 2:
        disconnectivity(found.graph, ax)
        return
    if found.surface.dim == 1:
        x = np.linspace(found.box[0, 0], found.box[0, 1], 400)[:, None]
        ax.plot(x[:, 0], found.surface.value(x), color="#0072b2")
        ax.set(xlabel="$x$", ylabel="$U$")
    else:
        _levels(found, ax)
    for k, (mark, color, name) in enumerate(MARKS):
        here = found.index == k if k < 2 else found.index >= 2
        if np.any(here):
            y = found.values[here] if found.surface.dim == 1 else found.points[here, 1]
            ax.plot(found.points[here, 0], y, mark, color=color, ms=5, label=name)
    ax.set_title(found.surface.name)
    ax.legend()


def _levels(found: Any, ax: Any) -> None:
    a, b = (np.linspace(side[0], side[1], 160) for side in found.box)
    values = found.surface.value(np.stack(np.meshgrid(a, b, indexing="ij"), -1).reshape(-1, 2)).reshape(160, 160)
    if np.any(np.isfinite(values)):
        top = np.nanmax(found.values) + 0.3 * (np.ptp(found.values) or 1.0)
        ax.contourf(a, b, values.T, levels=np.linspace(np.nanmin(values), top, 25), cmap="Blues_r", extend="max")
    ax.set(xlabel="$x_0$", ylabel="$x_1$")


def disconnectivity(graph: Any, ax: Any) -> None:
    """Each minimum a line up from its value; two lines meet where a way between them opens."""
    values = graph.points.values[graph.points.index == 0]
    if not len(values) or not np.all(np.isfinite(values)):
        raise TypeError(
            "got critical points of a drift that has no potential, expected some of a potential; type print(graph)"
        )
    merges = graph.merges
    place = dict(zip(_order(len(values), merges), np.arange(len(values), dtype=float), strict=True))
    foot = {k: float(v) for k, v in enumerate(values)}
    for k, low in foot.items() if len(values) <= NUMBERED else ():
        ax.annotate(str(k), (place[k], low), (0, -3), textcoords="offset points", ha="center", va="top", fontsize=8)
    for saddle, low, high in merges:
        top = float(graph.heights[saddle])
        for k in (low, high):
            ax.plot([place[k]] * 2, [foot[k], top], color="#0072b2", lw=1)
        ax.plot([place[low], place[high]], [top, top], color="#0072b2", lw=1)
        place[low], foot[low] = 0.5 * (place[low] + place[high]), top
    roots = set(place) - {high for _, _, high in merges}
    crown = 1.05 * max(foot.values()) - 0.05 * float(values.min())
    for k in roots:
        ax.plot([place[k]] * 2, [foot[k], crown], color="#0072b2", lw=1)
    ax.set(xticks=[], ylabel="$U$", title="disconnectivity tree")


def _order(count: int, merges: list[tuple[int, int, int]]) -> list[int]:
    """The minima in an order in which groups that merge stand side by side."""
    groups = {k: [k] for k in range(count)}
    for _, low, high in merges:
        groups[low] += groups.pop(high)
    return [k for group in groups.values() for k in group]


ESCAPES = {"CriticalPoints": critical_points, "SaddleGraph": disconnectivity}
