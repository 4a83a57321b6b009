"""Where SGD is found, and how it circulates, on one loss with three noises: the same everywhere, stretched, and growing upwards.

The drift is -grad U each time, so that no noise but the first keeps exp(-U/T): the most likely points leave the minima of the loss, and
probability flows in circles (Chaudhari and Soatto, arXiv:1710.11029).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import sgdyn as sg


@dataclass(frozen=True)
class Config:
    """Temperature `T`, `cells` cells along each axis of the box [-reach, reach]², the ratio `stretch` of the eigenvalues of the second D."""

    T: float = 0.25
    cells: int = 200
    stretch: float = 6.0
    reach: float = 2.2


FAINT = 0.005
"""Currents below this share of the strongest are not drawn."""
NAMES = ("isotropic", "anisotropic", "state dependent")
TITLES = ("D = 1", "D stretched along (1, 1)", "D(x) = 1 + 0.9 tanh 2$x_1$")


@sg.potential(dim=2)
def loss(x):  # type: ignore[no-untyped-def]
    """Two wells joined by a bent valley."""
    return (x[0] ** 2 - 1) ** 2 + 1.5 * (x[1] + 0.5 * x[0] ** 2 - 0.5) ** 2


def noises(config: Config) -> dict[str, Any]:
    """The diffusion matrices: the unit matrix, one of trace 2 stretched along (1, 1), and one that grows from below the minima to above."""
    low, high = 2 / (1 + config.stretch), 2 * config.stretch / (1 + config.stretch)
    half = 0.5 * (high - low)
    along = [[1.0, half], [half, 1.0]]
    return dict(zip(NAMES, (1.0, along, lambda x: 1 + 0.9 * np.tanh(2 * x[1])), strict=True))


def run(config: Config) -> dict[str, Any]:
    """Stationary density and current of each noise, its maxima, and the entropy it produces."""
    grid = sg.Grid([(-config.reach, config.reach, config.cells)] * 2)
    found: dict[str, Any] = {}
    for name, D in noises(config).items():
        generator = sg.fokker_planck(sg.Langevin(loss, T=config.T, D=D), grid)
        flow, produced = generator.current(), generator.entropy_production()
        found |= {
            f"{name} density": flow.density.values, f"{name} current": flow.values, f"{name} maxima": maxima(flow.density),
            f"{name} entropy": np.array([produced.value, produced.error]),
        }  # fmt: skip
    return found


def maxima(density: sg.Density) -> Any:
    """Cells above their eight neighbours and a tenth of the highest, moved to the top of the parabola of log density (n, 2)."""
    values, logs = density.values, np.log(np.maximum(density.values, 1e-300))
    shifts = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    highest = np.logical_and.reduce([values > np.roll(values, shift, (0, 1)) for shift in shifts])
    tops = np.argwhere(highest & (values > 0.1 * values.max()))
    return np.array([_top(logs, density.grid, (i, j)) for i, j in tops])


def _top(logs: Any, grid: sg.Grid, cell: tuple[int, int]) -> Any:
    i, j = cell
    p = logs[i - 1 : i + 2, j - 1 : j + 2]
    slope = 0.5 * np.array([p[2, 1] - p[0, 1], p[1, 2] - p[1, 0]])
    across = 0.25 * (p[2, 2] - p[2, 0] - p[0, 2] + p[0, 0])
    bend = np.array([[p[2, 1] - 2 * p[1, 1] + p[0, 1], across], [across, p[1, 2] - 2 * p[1, 1] + p[1, 0]]])
    return grid.centers[cell] - np.linalg.solve(bend, slope) * [w[0] for w in grid.widths]


def minima() -> Any:
    """The minima of the loss, (2, 2)."""
    return np.array([[-1.0, 0.0], [1.0, 0.0]])


def summary(config: Config, arrays: dict[str, Any]) -> str:
    """One line: how far the most likely points are from the minima, and the entropy produced."""
    parts = []
    for name in NAMES:
        gaps = np.linalg.norm(arrays[f"{name} maxima"][:, None] - minima(), axis=-1).min(axis=1)
        parts.append(
            f"{name}: {gaps.max():.3f} and {max(0.0, round(float(arrays[f'{name} entropy'][0]), 6)):.3g} per unit time"
        )
    return f"distance of the most likely points from the loss's minima, and entropy produced: {'; '.join(parts)}"


def draw(config: Config, arrays: dict[str, Any]) -> Figure:
    """Density, streamlines as wide as the current is strong, contours of the loss and its minima, side by side."""
    figure = Figure(figsize=(11.5, 4.2), layout="constrained")
    edges = np.linspace(-config.reach, config.reach, config.cells + 1)
    x = 0.5 * (edges[1:] + edges[:-1])
    U = loss(np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1))
    strongest = max(np.linalg.norm(arrays[f"{name} current"], axis=-1).max() for name in NAMES)
    top = max(arrays[f"{name} density"].max() for name in NAMES)
    for ax, name, title in zip(figure.subplots(1, 3, sharey=True), NAMES, TITLES, strict=True):
        mesh = ax.pcolormesh(edges, edges, arrays[f"{name} density"].T, cmap="Blues", vmin=0, vmax=top, rasterized=True)
        ax.contour(x, x, U.T, levels=np.arange(0.25, 4, 0.5), colors="black", linewidths=0.4, alpha=0.5)
        J, produced = arrays[f"{name} current"], arrays[f"{name} entropy"][0]
        speed = np.linalg.norm(J, axis=-1) / strongest
        if speed.max() > 1e-6:
            seen = np.where((speed > FAINT)[..., None], J, np.nan)
            ax.streamplot(
                x, x, seen[..., 0].T, seen[..., 1].T, color=sg.plot.ORANGE, linewidth=(3 * np.sqrt(speed)).T, density=1.6, arrowsize=0.8
            )  # fmt: skip
        ax.plot(*minima().T, "x", color="black", ms=7, mew=1.8, label="minima of the loss")
        ax.plot(*arrays[f"{name} maxima"].T, "o", color=sg.plot.RED, ms=6, mec="white", label="most likely points")
        ax.set(
            title=f"{title}\nentropy produced: {produced if produced > 1e-9 else 0:.2g} per unit time",
            xlabel="$x_0$",
            xlim=(-2, 2),
            ylim=(-1.6, 1.6),
            aspect="equal",
        )
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    figure.axes[0].set(ylabel="$x_1$")
    figure.axes[0].legend(frameon=False, fontsize=8, loc="lower center")
    figure.colorbar(mesh, ax=figure.axes, label="stationary density", shrink=0.8)
    return figure
