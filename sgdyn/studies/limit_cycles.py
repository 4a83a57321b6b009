"""What a current does and does not do: example 19 of arXiv:1710.11029, whose title speaks of limit cycles.

Its drift is -grad Phi + j with a current j that keeps exp(-Phi) at every strength. The most likely points stay, the zeros of the drift leave
them, the entropy production grows as the square of the strength; there is no limit cycle. Beyond strength e^{-1/4} the origin is no saddle
but a weak spiral. Spectra and autocorrelations of a coordinate are the same forwards and backwards in time; the antisymmetric lagged covariance
changes its sign, and is zero for the reversible process of strength 0. (The autocorrelation of a reversible diffusion is a sum of positive
exponentials. One that becomes negative, as x0's does at strength 1.5, excludes detailed balance too; power at low frequencies does not.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.integrate import solve_ivp

import sgdyn as sg
from sgdyn.studies.anisotropy import maxima


@dataclass(frozen=True)
class Config:
    """`cells` along each axis of the box (made odd, so that cells lie on the symmetry axis); `n_paths` stationary paths of length `t`, step `dt`, looked at every `every`; lags up to `longest`."""

    cells: int = 120
    n_paths: int = 256
    t: float = 400.0
    dt: float = 0.01
    every: float = 0.1
    longest: float = 8.0
    seed: int = 0


STRENGTHS = (0.0, 0.5, 1.5)
PRODUCTION = 0.68138161154618892
"""Entropy production over the squared strength, by quadrature."""
BOX = ((-3.5, 3.5), (-5.0, 5.0))
TURNS, LATE = 120.0, 4.0
"""Deterministic paths are followed for the time `TURNS`, and that many times as long to see how they slow down."""


def scene(strength: float) -> Any:
    """The process at T = 1, D = 1."""
    return sg.landscapes.chaudhari_soatto(strength).problem()


def mean_Q() -> float:
    """E Q_01 over the strength: pi/Z, Z = int exp(-Phi), from Q_01 = strength sqrt(pi)/2 erfc(r²/2) e^Phi."""
    x = np.linspace(-6, 6, 4001)
    return float(np.pi / (np.sqrt(2 * np.pi) * np.exp(-((x**2 - 1) ** 2) / 4).sum() * (x[1] - x[0])))


def run(config: Config) -> dict[str, Any]:
    """Densities that were solved for without knowing Phi, entropy production, deterministic paths, and second moments of stationary paths."""
    grid = sg.Grid([(*side, config.cells | 1) for side in BOX])
    found: dict[str, Any] = {"lags": config.every * np.arange(1 + round(config.longest / config.every))}
    strengths = np.linspace(0, STRENGTHS[-1], 7)
    produced = [sg.fokker_planck(scene(s), grid).entropy_production() for s in strengths]
    found |= {"strength": strengths, "production": np.array([[e.value, e.error] for e in produced])}
    for k, strength in enumerate(STRENGTHS):
        drift = scene(strength).drift
        rho = sg.fokker_planck(sg.Langevin.from_drift(drift, dim=2), grid).stationary()
        found |= {f"density {k}": rho.values, f"modes {k}": maxima(rho)}
        found |= {f"{name} {k}": values for name, values in _moments(config, strength, rho).items()}
    return found | _spirals(scene(STRENGTHS[-1]).drift)


def _moments(config: Config, strength: float, rho: sg.Density) -> dict[str, Any]:
    """Of every path: the antisymmetric lagged covariance, autocorrelation and spectrum of x0, and how time reversal changes them."""
    start = rho.sample(config.n_paths, seed=config.seed)
    looks = 1 + round(config.t / config.every)
    x = sg.simulate(scene(strength), start, t=config.t, dt=config.dt, save=looks, seed=config.seed).x
    lags = 1 + round(config.longest / config.every)
    turning, auto, power = antisymmetric(x, lags), autocorrelation(x, lags), spectrum(x)
    back = x[:, ::-1]
    return {
        "turning": _with_error(turning), "auto": _with_error(auto), "power": _with_error(power),
        "reversed": np.array([np.abs(antisymmetric(back, lags) + turning).max(), np.abs(spectrum(back) / power - 1).max()]),
    }  # fmt: skip


def antisymmetric(x: Any, lags: int) -> Any:
    """(C_01 - C_10)/2 at the first lags of each path (n, lags), C(k)_ij the mean of x_i(t + k) x_j(t); means are zero by symmetry."""
    pairs = [(x[:, k:], x[:, : x.shape[1] - k]) for k in range(lags)]
    return 0.5 * np.stack([np.mean(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0], axis=1) for a, b in pairs], axis=1)


def autocorrelation(x: Any, lags: int) -> Any:
    """Of x0, for each path (n, lags)."""
    return np.stack([np.mean(x[:, k:, 0] * x[:, : x.shape[1] - k, 0], axis=1) for k in range(lags)], axis=1)


def spectrum(x: Any) -> Any:
    """The periodogram of x0 for each path (n, looks//2): what FFT of a trajectory shows."""
    return np.abs(np.fft.rfft(x[..., 0], axis=1)[:, 1 : x.shape[1] // 2]) ** 2 / x.shape[1]


def _with_error(samples: Any) -> Any:
    """Means over paths with their standard errors (2, ...)."""
    return np.stack([samples.mean(axis=0), samples.std(axis=0, ddof=1) / np.sqrt(len(samples))])


def _spirals(drift: Any) -> dict[str, Any]:
    """Deterministic paths at the largest strength, and their distances from the origin at the end and `LATE` times later."""
    times, starts = np.linspace(0, TURNS, 3000), np.array([[0.15, 0.0], [2.0, 1.5], [-1.6, -1.4]])
    course = solve_ivp(
        lambda _, x: drift(x.reshape(-1, 2)).ravel(), (0, LATE * TURNS), starts.ravel(), "DOP853", np.append(times, LATE * TURNS),
        rtol=1e-9, atol=1e-12,
    )  # fmt: skip
    paths = course.y.T.reshape(len(times) + 1, -1, 2).swapaxes(0, 1)
    return {"paths": paths[:, :-1], "radii": np.linalg.norm(paths[:, -2:], axis=-1)}


def slope(arrays: dict[str, Any], k: int) -> tuple[float, float]:
    """-(C_01 - C_10)/(2 tau) at the first lag with its error: E Q_01, to first order in the lag."""
    value, error = arrays[f"turning {k}"][:, 1] / arrays["lags"][1]
    return -float(value), float(error)


def summary(config: Config, arrays: dict[str, Any]) -> str:
    """One line: what stays, what grows, what is not there, and which statistic sees it."""
    moved = max(np.abs(np.abs(arrays[f"modes {k}"]) - [1, 0]).max() for k in range(len(STRENGTHS)))
    ratio = arrays["production"][1:, 0] / arrays["strength"][1:] ** 2
    slopes = [slope(arrays, k) for k in range(len(STRENGTHS))]
    return (
        f"the most likely points stay at (±1, 0) within {moved:.3f}; entropy production is {ratio.mean():.4f} times the strength squared; "
        f"at strength {STRENGTHS[-1]} paths without noise spiral into the origin, four times later {np.median(arrays['radii'][:, 1] / arrays['radii'][:, 0]):.2f} "
        f"times as far; antisymmetric covariance in standard errors: {', '.join(f'{value / error:.0f} at {s}' for (value, error), s in zip(slopes, STRENGTHS, strict=True))}"
    )


def draw(config: Config, arrays: dict[str, Any]) -> Figure:
    """Above: density, drift, its zeros and the modes at three strengths; below: entropy production, spectra, antisymmetric covariances."""
    figure = Figure(figsize=(11.5, 7.2), layout="constrained")
    axes = figure.subplots(2, 3)
    for k, ax in enumerate(axes[0]):
        _field(config, arrays, k, ax)
    _production(arrays, axes[1, 0])
    _spectra(config, arrays, axes[1, 1])
    _turning(arrays, axes[1, 2])
    axes[0, 0].set(ylabel="$x_1$")
    axes[0, 0].legend(frameon=True, fontsize=7, loc="lower left")
    axes[0, 2].legend(frameon=True, fontsize=7, loc="lower left")
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def _field(config: Config, arrays: dict[str, Any], k: int, ax: Any) -> None:
    """Streamlines of the drift over the density."""
    edges = [np.linspace(*side, (config.cells | 1) + 1) for side in BOX]
    ax.pcolormesh(*edges, arrays[f"density {k}"].T, cmap="Blues", rasterized=True)
    x = np.linspace(-2.2, 2.2, 45)
    b = scene(STRENGTHS[k]).drift(np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1))
    speed = np.minimum(np.linalg.norm(b, axis=-1), 2.0)
    ax.streamplot(x, x, b[..., 0].T, b[..., 1].T, color=sg.plot.GREY, linewidth=(0.3 + 0.6 * speed).T, density=1.0, arrowsize=0.7)  # fmt: skip
    landscape = sg.landscapes.chaudhari_soatto(STRENGTHS[k])
    ax.plot(*arrays[f"modes {k}"].T, "o", color=sg.plot.RED, ms=7, mec="white", label="most likely points")
    if len(landscape.minima):
        ax.plot(*landscape.minima.T, "x", color="black", ms=6, mew=1.6, label="stable zeros of the drift")
        ax.plot(*landscape.saddles.T, "+", color="black", ms=7, mew=1.6, label="saddle")
    else:
        for i, path in enumerate(arrays["paths"]):
            ax.plot(*path.T, color=sg.plot.ORANGE, lw=0.6, label=None if i else "without noise: into the origin")
    ax.set(title=f"strength {STRENGTHS[k]:g}", xlabel="$x_0$", xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), aspect="equal")


def _production(arrays: dict[str, Any], ax: Any) -> None:
    s = np.linspace(0, STRENGTHS[-1], 100)
    ax.plot(s, PRODUCTION * s**2, color=sg.plot.BLUE, label="0.68138 strength²")
    value, error = arrays["production"].T
    ax.errorbar(arrays["strength"], value, error, fmt="o", ms=4, color=sg.plot.RED, capsize=2, label="Fokker-Planck on the grid")  # fmt: skip
    ax.axvline(np.exp(-0.25), color=sg.plot.GREY, ls=":", label="$e^{-1/4}$: the origin is no saddle beyond")
    ax.set(xlabel="strength", ylabel="entropy production", title="the current grows")
    ax.legend(frameon=False, fontsize=8)


COLORS = ("black", "#0072b2", "#d55e00")


def _spectra(config: Config, arrays: dict[str, Any], ax: Any) -> None:
    """Spectra in bins of equal ratio; autocorrelations in the corner."""
    inset = ax.inset_axes((0.13, 0.14, 0.42, 0.4))
    for k, color in enumerate(COLORS):
        power = arrays[f"power {k}"][0]
        frequency = np.arange(1, len(power) + 1) / config.t
        bins = np.unique(np.geomspace(1, len(power), 40).astype(int)) - 1
        count = np.diff(np.append(bins, len(power)))
        mean = [np.add.reduceat(values, bins) / count for values in (frequency, power)]
        ax.loglog(*mean, color=color, label=f"strength {STRENGTHS[k]:g}" + (" (reversible)" if k == 0 else ""))
        inset.plot(arrays["lags"], arrays[f"auto {k}"][0] / arrays[f"auto {k}"][0, 0], color=color, lw=1)
    inset.set_title("autocorrelation of $x_0$", fontsize=7)
    inset.tick_params(labelsize=6)
    ax.set(xlabel="frequency", ylabel="power of $x_0$", title="spectra: the same backwards in time")
    ax.legend(frameon=False, fontsize=7, loc="upper right")


def _turning(arrays: dict[str, Any], ax: Any) -> None:
    lags, first = arrays["lags"], arrays["lags"] < 0.6
    for k, color in enumerate(COLORS):
        value, error = -arrays[f"turning {k}"]
        ax.fill_between(lags, value - 2 * error, value + 2 * error, color=color, alpha=0.3, lw=0)
        ax.plot(lags, value, color=color, label=f"strength {STRENGTHS[k]:g}" + (" (reversible)" if k == 0 else ""))
        ax.plot(lags[first], mean_Q() * STRENGTHS[k] * lags[first], color=color, ls=":", lw=1)
    ax.set(xlabel="lag", ylabel="$-(C_{01} - C_{10})/2$", title="antisymmetric covariance: sees it")
    ax.legend(frameon=False, fontsize=8)
