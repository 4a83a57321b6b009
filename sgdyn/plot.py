"""Pictures of results: `figure(result)` for each kind, on new axes or on yours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sgdyn.density.maps import MAPS
from sgdyn.density.pictures import PICTURES
from sgdyn.escape.pictures import ESCAPES
from sgdyn.fit.pictures import FITS
from sgdyn.linalg.pictures import SPECTRA
from sgdyn.pathspace.pictures import PATHS
from sgdyn.problem import Momentum
from sgdyn.steady import pictures as steady

STYLE = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10, "legend.frameon": False, "legend.fontsize": 8,
    "figure.constrained_layout.use": True, "svg.fonttype": "path", "axes.axisbelow": True,
}  # fmt: skip
BLUE, ORANGE, GREEN, RED, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#7f7f7f"
SHOWN_PATHS = 20


@contextmanager
def looks() -> Iterator[None]:
    """STYLE while something is drawn. The backend is loaded before: that of notebooks makes pyplot interactive, which the context would undo."""
    plt.draw_if_interactive()
    with plt.rc_context(STYLE):
        yield


def figure(result: Any, ax: Axes | None = None) -> Axes:
    """Draw a result on axes (new ones by default) and return them. Raises TypeError for what has no picture."""
    draw = _PICTURES.get(type(result).__name__) or _of_networks(result)
    if draw is None:
        raise TypeError(f"got a {type(result).__name__}, expected one of {', '.join(sorted(_PICTURES))}")
    with looks():
        if ax is None:
            ax = plt.subplots(figsize=(5.2, 3.6))[1]
        draw(result, ax)
        _whole_ticks(ax)
    return ax


def _of_networks(result: Any) -> Callable[[Any, Axes], None] | None:
    """The picture of what comes from `sgdyn.nets`, which is loaded already where there is such a result (and torch with it)."""
    if not type(result).__module__.startswith("sgdyn.nets."):
        return None
    from sgdyn.nets.noise_pictures import NOISE

    return NOISE.get(type(result).__name__)


def panels(results: dict[str, Any]) -> list[Axes]:
    """Several results side by side, under their names; in words what has no picture."""
    with looks():
        axes = plt.subplots(1, len(results), figsize=(4.2 * len(results), 3.4), squeeze=False)[1][0]
    for ax, (name, result) in zip(axes, results.items(), strict=True):
        try:
            figure(result, ax)
        except TypeError:
            ax.axis("off")
            ax.text(0.5, 0.5, str(result), ha="center", va="center", wrap=True)
        ax.set_title(name)
    return list(axes)


def _whole_ticks(ax: Axes) -> None:
    """Directions and ranks are whole numbers."""
    if ax.get_xlabel() in ("Hessian direction", "rank", "component"):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _potential(U: Any, ax: Axes, box: Any = None) -> None:
    if U.dim == 1:
        x = np.linspace(-2, 2, 400)[:, None]
        ax.plot(x[:, 0], U(x), color=BLUE)
        ax.set(xlabel="$x$", ylabel="$U$", title=U.name)
        return
    if U.dim != 2:
        raise TypeError(f"got a potential in dimension {U.dim}, expected 1 or 2")
    a = np.linspace(-2, 2, 200)
    values = U(np.stack(np.meshgrid(a, a, indexing="ij"), -1))
    levels = np.linspace(values.min(), np.quantile(values, 0.6), 25)
    ax.contourf(a, a, values.T, levels=levels, cmap="Blues_r", extend="max")
    ax.set(xlabel="$x_0$", ylabel="$x_1$", title=U.name)


def _landscape(landscape: Any, ax: Axes) -> None:
    points = np.concatenate([landscape.minima, landscape.saddles])
    if landscape.U is not None:
        _potential(landscape.U, ax)
    if landscape.dim == 2:
        for place, marker, name in ((landscape.minima, "o", "minima"), (landscape.saddles, "x", "saddles")):
            ax.plot(*place.T, marker, color=RED, ms=5, label=name)
        middle, half = points.mean(0), 0.5 * np.ptp(points, axis=0) + 0.6
        ax.set(xlim=(middle[0] - half[0], middle[0] + half[0]), ylim=(middle[1] - half[1], middle[1] + half[1]))
        ax.legend()
    ax.set_title(landscape.name)


def _ensemble(ensemble: Any, ax: Axes) -> None:
    x = ensemble.x[:SHOWN_PATHS]
    if len(ensemble.t) == 1:
        ax.hist(ensemble.x[:, 0, 0], bins=60, color=BLUE, density=True)
        ax.set(xlabel="$x_0$", ylabel="density", title=f"{len(ensemble.x)} paths at t = {ensemble.t[0]:g}")
    elif ensemble.x.shape[-1] == 2:
        ax.plot(x[..., 0].T, x[..., 1].T, lw=0.6, alpha=0.7)
        ax.set(xlabel="$x_0$", ylabel="$x_1$", title=f"{len(x)} of {len(ensemble.x)} paths")
    else:
        ax.plot(ensemble.t, x[..., 0].T, lw=0.6, alpha=0.7)
        ax.set(xlabel="time", ylabel="$x_0$", title=f"{len(x)} of {len(ensemble.x)} paths")


def _estimate(estimate: Any, ax: Axes) -> None:
    if estimate.samples is None or np.ndim(estimate.samples) != 1:
        value, error = np.atleast_1d(estimate.value).ravel(), np.atleast_1d(estimate.error).ravel()
        ax.errorbar(np.arange(len(value)), value, error, fmt="o", ms=3, color=BLUE, capsize=2)
        ax.set(xlabel="component", ylabel="value", title=estimate.method)
        return
    samples = estimate.samples
    ax.hist(samples, bins=60, density=True, color=BLUE, alpha=0.6, label=f"{len(samples)} samples")
    ax.axvline(float(estimate), color=RED, label=f"mean {estimate.value:.4g} ± {estimate.error:.2g}")
    if np.all(samples > 0):
        t = np.linspace(0, samples.max(), 200)
        ax.plot(
            t, np.exp(-t / float(estimate)) / float(estimate), color=GREY, ls="--", label="exponential with that mean"
        )
    ax.set(ylabel="density", title=estimate.method)
    ax.legend()


def _density(density: Any, ax: Axes) -> None:
    if density.grid.dim == 1:
        x = density.grid.midpoints[0]
        ax.plot(x, density.values, color=BLUE)
        if density.error is not None:
            ax.fill_between(x, density.values - density.error, density.values + density.error, color=BLUE, alpha=0.3)
        ax.set(xlabel="$x$", ylabel="density")
        return
    if density.grid.dim != 2:
        raise TypeError(f"got a density in dimension {density.grid.dim}, expected 1 or 2; type density.marginal(0, 1)")
    mesh = ax.pcolormesh(*density.grid.edges, density.values.T, cmap="Blues")
    ax.figure.colorbar(mesh, ax=ax, label="density")
    ax.set(xlabel="$x_0$", ylabel="$x_1$")


def _effective(found: Any, ax: Axes) -> None:
    ax.plot(found.u, found.values, color=BLUE)
    ax.fill_between(found.u, found.values - found.error, found.values + found.error, color=BLUE, alpha=0.3)
    ax.set(xlabel="$u$", ylabel="effective potential", title=found.method)


def _linear(state: Any, ax: Axes) -> None:
    angle = np.linspace(0, 2 * np.pi, 200)
    half = np.linalg.cholesky(state.covariance[:2, :2] + 1e-15 * np.eye(2))
    for scale in (1, 2):
        ellipse = scale * half @ np.stack([np.cos(angle), np.sin(angle)])
        ax.plot(
            *(state.center[:2, None] + ellipse),
            color=BLUE,
            lw=1,
            label=f"{scale} standard deviation{'s' * (scale > 1)}",
        )
    reach = 2.2 * np.sqrt(np.diag(state.covariance)[:2])
    grid = np.stack(np.meshgrid(*(np.linspace(-r, r, 15) for r in reach)), -1)
    flow = grid @ state.current[:2, :2].T
    ax.quiver(grid[..., 0] + state.center[0], grid[..., 1] + state.center[1], flow[..., 0], flow[..., 1], color=GREY)
    names = ("$x$", "$v$") if isinstance(state.problem, Momentum) else ("$x_0$", "$x_1$")
    title = (
        "current"
        if isinstance(state.problem, Momentum)
        else f"current; entropy production {state.entropy_production:.3g}"
    )
    ax.set(xlabel=names[0], ylabel=names[1], title=title)
    ax.legend()


def _recording(recording: Any, ax: Axes) -> None:
    shown = recording.x[0, :, :3] if recording.x.shape[-1] else recording.losses[:SHOWN_PATHS].T
    for i, series in enumerate(shown.T):
        ax.plot(recording.steps, series, lw=0.7, label=f"direction {i + 1}" if recording.x.shape[-1] else None)
    ax.set(xlabel="step", ylabel="coordinate" if recording.x.shape[-1] else "loss of the batch")
    if recording.x.shape[-1]:
        ax.legend()


def _comparison(comparison: Any, ax: Axes) -> None:
    i = np.arange(1, len(comparison.discrete) + 1)
    for theory, color, shift, name in (
        ("diffusion", ORANGE, -0.12, "diffusion"),
        ("discrete", BLUE, 0.12, "exact discrete theory"),
    ):
        ratio = comparison.ratio(theory)
        ax.errorbar(
            i + shift, ratio.value, ratio.error, fmt="o", ms=3, color=color, capsize=2, label=f"measured / {name}"
        )
    if comparison.simulated is not None:
        safe = np.where(comparison.noisy, comparison.diffusion, np.nan)
        ax.errorbar(
            i,
            comparison.simulated.value / safe,
            comparison.simulated.error / safe,
            fmt="x",
            ms=4,
            color=GREY,
            lw=0.7,
            label="simulated / diffusion",
        )
    ax.axhline(1, color="black", lw=0.8)
    ax.set(xlabel="Hessian direction", ylabel="variance ratio", title="stationary variance")
    ax.legend()


def pulls(comparison: Any, ax: Axes | None = None) -> Axes:
    """(measured - discrete theory)/error of each direction's variance and correlation time; two in three within the band if the theory is exact."""
    with looks():
        ax = ax if ax is not None else plt.subplots(figsize=(5.2, 3.6))[1]
        i, noisy = np.arange(1, len(comparison.discrete) + 1), comparison.noisy
        ax.axhspan(-1, 1, color=GREY, alpha=0.2, lw=0)
        ax.axhline(0, color="black", lw=0.8)
        ax.plot(i[noisy], comparison.variance.pull(comparison.discrete)[noisy], "o", ms=4, color=BLUE, label="variance")
        ax.plot(
            i[noisy],
            comparison.correlation_time.pull(comparison.correlation_time_discrete)[noisy],
            "^",
            ms=4,
            color=GREEN,
            label="correlation time",
        )
        ax.set(xlabel="Hessian direction", ylabel="pull", title="(measured - exact discrete theory) / error")
        ax.legend()
        _whole_ticks(ax)
    return ax


def times(comparison: Any, ax: Axes | None = None) -> Axes:
    """Correlation times, measured against predicted."""
    with looks():
        ax = ax if ax is not None else plt.subplots(figsize=(5.2, 3.6))[1]
        i = np.arange(1, len(comparison.discrete) + 1)
        ax.plot(i, comparison.correlation_time_discrete, color=BLUE, lw=1, label="exact discrete theory")
        ax.plot(i, comparison.correlation_time_diffusion, color=ORANGE, lw=1, ls="--", label="diffusion")
        ax.errorbar(
            i,
            comparison.correlation_time.value,
            comparison.correlation_time.error,
            fmt="o",
            ms=3,
            color="black",
            capsize=2,
            label="measured",
        )
        ax.set(xlabel="Hessian direction", ylabel="steps", yscale="log", title="correlation time")
        ax.legend()
        _whole_ticks(ax)
    return ax


def circulation(comparison: Any, ax: Axes | None = None) -> Axes:
    """Elements of the antisymmetric part Q, measured against the exact discrete theory at the same lag."""
    with looks():
        ax = ax if ax is not None else plt.subplots(figsize=(5.2, 3.6))[1]
        upper = np.triu_indices(len(comparison.discrete), 1)
        predicted, value, error = comparison.Q_discrete[upper], comparison.Q.value[upper], comparison.Q.error[upper]
        limit = 1.1 * max(float(np.abs(predicted).max()), float(np.abs(value).max()), 1e-300)
        ax.plot([-limit, limit], [-limit, limit], color="black", lw=0.8)
        ax.errorbar(predicted, value, error, fmt="o", ms=2, lw=0.7, color=BLUE)
        ax.set(
            xlabel="predicted $Q_{ij}$", ylabel="measured $Q_{ij}$", title="circulation (zero for a reversible process)"
        )
    return ax


def _crosscheck(check: Any, ax: Axes) -> None:
    best = check.best.estimate
    for k, row in enumerate(check.rows):
        size = np.hypot(row.estimate.error, 0.0 if row is check.best else best.error)
        gap = np.ravel(np.asarray(row.estimate.value) - best.value)
        ax.errorbar(gap, np.full(len(gap), k), xerr=np.ravel(size), fmt="o", ms=4, color=BLUE, capsize=2)
    ax.axvline(0, color="black", lw=0.8)
    ax.set_yticks(range(len(check.rows)), [row.theory for row in check.rows])
    ax.set(xlabel=f"deviation from {check.best.theory}", title=check.quantity.replace("_", " "))


_PICTURES: dict[str, Callable[[Any, Axes], None]] = {
    "Potential": _potential, "Landscape": _landscape, "Ensemble": _ensemble, "Estimate": _estimate, "Density": _density, "LinearStationary": _linear,
    "Recording": _recording, "Comparison": _comparison, "Crosscheck": _crosscheck, "EffectivePotential": _effective,
    **PICTURES, **MAPS, **PATHS, **ESCAPES, **FITS, **SPECTRA, **steady.PICTURES,
}  # fmt: skip
