"""The chapters of a report on a run: each asks one question of it and answers in a section."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sgdyn import plot
from sgdyn.estimate import Estimate, rounded
from sgdyn.fit import pages
from sgdyn.fit.autoregression import LinearDynamics, linear
from sgdyn.fit.drifts import drifting
from sgdyn.fit.nonparametric import KramersMoyal, kramers_moyal
from sgdyn.fit.reversals import irreversibility
from sgdyn.fit.run_files import RunFile
from sgdyn.fit.sections import Section, Table, numbers_of
from sgdyn.fit.stationarity import balance
from sgdyn.fit.stretches import Series
from sgdyn.fit.validations import validity
from sgdyn.fit.wandering import confinement
from sgdyn.nets.recording import Recording

SHOWN = 20
"""Coordinates, directions or lines of a table at most; all are in result.npz."""

Chapter = Callable[[RunFile, int], Section]


def the_run(run: RunFile, seed: int) -> Section:
    """What was recorded, and whether it drifts."""
    found = run.series
    notes = drifting(found)
    x = found.x.reshape(-1, found.dim)
    rows = [(str(i), f"{x[:, i].mean():.4g}", f"{x[:, i].std():.4g}", f"{x[:, i].min():.4g}", f"{x[:, i].max():.4g}") for i in range(min(found.dim, SHOWN))]  # fmt: skip
    verdict = (
        "it drifts" if notes else "no drift of means or variances is seen: nothing speaks against a stationary run"
    )
    shape = f"{len(found.x)} replica{'s' * (len(found.x) > 1)}, {found.x.shape[1]} times {found.dt:.6g} apart, {found.dim} coordinate{'s' * (found.dim > 1)}"
    table = Table(("coordinate", "mean", "standard deviation", "least", "greatest"), tuple(rows), "The run.")
    figure = (pages.svg(lambda ax: _traces(found, ax)), "The first coordinates of the first replica.")
    return Section("run", "The run", f"{shape}; {verdict}", not notes, _settings(run), (table,), (figure,), notes, numbers_of(dt=found.dt))  # fmt: skip


def _settings(run: RunFile) -> tuple[str, ...]:
    if not isinstance(run.source, Recording):
        return ()
    s = run.source.settings
    return (
        f"{s.scheme} with lr {s.lr:g}, batch {s.batch} of {s.n} samples, sampler {s.sampler}, momentum {s.momentum:g}, weight decay {s.weight_decay:g}, seed {s.seed}; recorded every {s.every} steps",
    )


def _traces(run: Series, ax: Any) -> None:
    shown = run.x[0, :: max(1, run.x.shape[1] // 2000), :3]
    times = run.dt * np.arange(run.x.shape[1])[:: max(1, run.x.shape[1] // 2000)]
    for i, color in zip(range(shown.shape[1]), (plot.BLUE, plot.ORANGE, plot.GREEN), strict=False):
        ax.plot(times, shown[:, i], lw=0.6, color=color, label=f"coordinate {i}")
    ax.set(xlabel="time", ylabel="coordinate", title="the run")
    ax.legend()


def linear_dynamics(run: RunFile, seed: int) -> Section:
    """Drift and noise of the linear process of greatest likelihood."""
    found = linear(run.source, dt=run.dt)
    ends = dict.fromkeys(_rate(rate) for rate in (found.rates[0], found.rates[-1]))
    verdict = f"dX = -F (X - center) dt + noise that decays at {'a rate of' if len(ends) == 1 else 'rates from'} {' to '.join(ends)}"
    covariance = _covariance(found)
    figures = [(pages.svg(lambda ax: plot.figure(found, ax)), "Diagonals of F and of the noise T D, with jackknife errors over stretches of the run.")]  # fmt: skip
    if covariance is not None:
        figures.append((pages.svg(lambda ax: _variances(found, covariance, ax)), "Stationary variance of the fitted process (Lyapunov equation) over the variance of the run itself."))  # fmt: skip
    table = Table(("coordinate", "F", "T D", "center", "residuals: correlation", "residuals: excess kurtosis"), _linear_rows(found), "Fitted linear dynamics, diagonal elements.")  # fmt: skip
    arrays = numbers_of(F=found.F, noise=found.noise, center=found.center, rates=found.rates, covariance=covariance)
    return Section("linear", "Linear dynamics", verdict, None, (found.F.method,), (table,), tuple(figures), found.F.warnings, arrays)  # fmt: skip


def _rate(value: complex) -> str:
    turning = f" ± {abs(value.imag):.4g}i" if abs(value.imag) > 1e-12 else ""
    return f"{value.real:.4g}{turning}"


def _covariance(found: LinearDynamics) -> Any:
    """None where a mode does not decay."""
    try:
        return found.covariance
    except ValueError:
        return None


def _linear_rows(found: LinearDynamics) -> tuple[tuple[str, ...], ...]:
    parts = (_diagonal(found.F), _diagonal(found.noise), found.center, found.residual_correlation, found.residual_kurtosis)  # fmt: skip
    return tuple((str(i), *(_at(part, i) for part in parts)) for i in range(min(len(found.center.value), SHOWN)))


def _diagonal(matrix: Estimate) -> Estimate:
    return Estimate(np.diag(matrix.value), np.diag(matrix.error), matrix.method)


def _at(part: Estimate, i: int) -> str:
    return rounded(float(part.value[i]), float(part.error[i]))


def _variances(found: LinearDynamics, covariance: Any, ax: Any) -> None:
    measured = found.series.x.reshape(-1, found.series.dim).var(axis=0)
    ax.plot(np.arange(len(measured)), np.diag(covariance) / measured, "o", ms=4, color=plot.BLUE)
    ax.axhline(1.0, color=plot.GREY, lw=0.8)
    ax.set(xlabel="coordinate", ylabel="fitted over measured", title="stationary variance")


def coming_back(run: RunFile, seed: int) -> Section:
    """Which coordinates are confined."""
    found = confinement(run.series.x, dt=run.series.dt, seed=seed)
    count, k = int(found.confined.sum()), len(found.confined)
    rows = tuple(
        (str(i), f"{found.statistic[i]:.3g}", f"{found.chance[i]:.2g}", "confined" if found.confined[i] else "perhaps diffusing", f"{found.relaxations[i]:.3g}")
        for i in range(min(k, SHOWN))
    )  # fmt: skip
    table = Table(("coordinate", "log likelihood over a random walk's", "chance of a random walk", "", "relaxation times in a replica"), rows, "Confinement.")  # fmt: skip
    figure = (pages.svg(lambda ax: plot.figure(found, ax)), "Logarithm of the likelihood that a coordinate comes back over that of a random walk.")  # fmt: skip
    arrays = numbers_of(statistic=found.statistic, chance=found.chance, confined=found.confined)
    return Section("confinement", "Does it come back?", f"{count} of {k} coordinates {'is' if k == 1 else 'are'} seen to come back", count == k, (), (table,), (figure,), found.warnings, arrays)  # fmt: skip


def arrow_of_time(run: RunFile, seed: int) -> Section:
    """Whether the run is reversible."""
    found = irreversibility(run.source, dt=run.dt, odd=run.odd, seed=seed)
    first, *rest = str(found).splitlines()
    figures = (
        (pages.svg(lambda ax: plot.figure(found, ax)), "Antisymmetric part of the lagged covariance against what stretches run backwards at random make of it."),
        (pages.svg(lambda ax: plot.figure(found.correlations, ax)), "Power spectra, beside those of the reversible process with the same covariance."),
    )  # fmt: skip
    arrays = numbers_of(lags=found.lags, antisymmetric=found.antisymmetric, area_rate=found.area_rate, chance=found.chance, least_entropy_production=found.least_entropy_production, entropy_production=found.entropy_production)  # fmt: skip
    said = (line.removeprefix("entropy production ") for line in rest if not line.startswith("note: "))
    lines = tuple(f"entropy production {line}" for line in said)
    return Section("irreversibility", "The arrow of time", first, None, lines, (), figures, found.warnings, arrays)


def stationary_balance(run: RunFile, seed: int) -> Section:
    """The fluctuation-dissipation relation."""
    assert isinstance(run.source, Recording)
    found = balance(run.source)
    verdict = str(found).partition("\n")[0]
    figure = (pages.svg(lambda ax: plot.figure(found, ax)), "What gradients take in and what noise gives back, direction by direction; equal in a stationary run.")  # fmt: skip
    arrays = numbers_of(temperature=found.temperature, injected=found.injected, excess=found.excess, sigmas=found.sigmas, relaxations=found.relaxations)  # fmt: skip
    return Section("balance", "Balance", verdict, found.stationary, (found.excess.method,), (), (figure,), found.warnings, arrays)  # fmt: skip


def trust(run: RunFile, seed: int) -> Section:
    """Every assumption of the diffusion that a run alone can show."""
    found = validity(run.source, dt=run.dt, seed=seed)
    rows = tuple((e.name, rounded(float(e.size.value), float(e.size.error)), f"{e.limit:g}", e.state, e.meaning) for e in found.findings)  # fmt: skip
    table = Table(("assumption", "size", "limit", "", "meaning"), rows, "Assumptions of the diffusion picture, each with how far the run is from it.", words=True)  # fmt: skip
    figure = (pages.svg(lambda ax: plot.figure(found, ax)), "Sizes over their limits, with errors.")
    sizes = np.array([[float(e.size.value), float(e.size.error), e.limit] for e in found.findings])
    holds = False if found.failing else True if all(e.state == "holds" for e in found.findings) else None
    return Section("validity", "May the diffusion be trusted?", found.verdict, holds, (), (table,), (figure,), found.notes, numbers_of(findings=sizes))  # fmt: skip


def without_a_model(run: RunFile, seed: int) -> Section:
    """Drift and diffusion without a model."""
    found = kramers_moyal(run.source, dt=run.dt)
    diffusion = found.independence.diffusion
    verdict = (
        "the run is a diffusion in these coordinates, as far as its residuals tell"
        if diffusion
        else "the run is no diffusion in these coordinates"
    )
    widths = ", ".join(f"{name} {' x '.join(f'{h:.3g}' for h in row)}" for name, row in zip(("drift", "noise"), found.bandwidths, strict=True))  # fmt: skip
    lines = (f"{int(found.known.sum())} of {len(found.known)} points of the grid are known; bandwidths (coordinates): {widths}", found.drift.method)  # fmt: skip
    figures = [(pages.svg(lambda ax: plot.figure(found, ax)), "Drift F and noise T D by local polynomials, with jackknife errors.")]  # fmt: skip
    if found.dim == 1:
        figures.append((pages.svg(lambda ax: _potential(found, ax)), "The potential of which the drift is the slope, and the stationary density's own, -T log of the histogram with T the mean noise."))  # fmt: skip
    tests = found.independence
    rows = tuple((str(i), *(_at(part, i) for part in (tests.memory, tests.volatility, tests.peakedness))) for i in range(found.dim))  # fmt: skip
    table = Table(("coordinate", "memory of residuals", "memory of their squares", "E z⁴/3"), rows, "Residuals: 0, 0 and near 1 for a diffusion.")  # fmt: skip
    arrays = numbers_of(points=found.points, drift=found.drift, noise=found.noise, known=found.known, drift_bias=found.drift_bias, noise_bias=found.noise_bias, bandwidths=found.bandwidths)  # fmt: skip
    return Section("kramers_moyal", "Drift and diffusion without a model", verdict, diffusion, lines, (table,), tuple(figures), found.drift.warnings, arrays)  # fmt: skip


def _potential(found: KramersMoyal, ax: Any) -> None:
    """-int F dx, and -T log of how often the run was there, both zero at their least."""
    x, F = found.points[found.known, 0], found.drift.value[found.known, 0]
    U = -np.concatenate([[0.0], np.cumsum(0.5 * (F[1:] + F[:-1]) * np.diff(x))])
    counts, edges = np.histogram(found.series.x, bins=40, range=(float(x[0]), float(x[-1])), density=True)
    T = float(np.mean(found.noise.value[found.known]))
    middle, seen = 0.5 * (edges[1:] + edges[:-1]), counts > 0
    ax.plot(x, U - U.min(), color=plot.BLUE, lw=1.2, label=r"$-\int F\,dx$")
    ax.plot(middle[seen], T * np.log(counts.max() / counts[seen]), ".", ms=4, color=plot.ORANGE, label=r"$-T\,\log\rho$")  # fmt: skip
    ax.set(xlabel="$x$", ylabel="$U$", title="potential")
    ax.legend()


def chapters(run: RunFile) -> list[tuple[str, str, Chapter]]:
    """(name, title, chapter) of all that can be asked of this run."""
    k, recorded = run.series.dim, isinstance(run.source, Recording) and run.source.gradients.shape == run.source.x.shape
    found: list[tuple[str, str, Chapter, bool]] = [
        ("run", "The run", the_run, True),
        ("validity", "May the diffusion be trusted?", trust, True),
        ("linear", "Linear dynamics", linear_dynamics, True),
        ("confinement", "Does it come back?", coming_back, True),
        ("balance", "Balance", stationary_balance, recorded),
        ("irreversibility", "The arrow of time", arrow_of_time, k >= 2),
        ("kramers_moyal", "Drift and diffusion without a model", without_a_model, k <= 3),
    ]
    return [(name, title, chapter) for name, title, chapter, wanted in found if wanted]
