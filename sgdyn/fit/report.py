"""The report of a run as one HTML file with its figures inside: no request leaves it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sgdyn import datasets
from sgdyn.estimate import Estimate, rounded
from sgdyn.fit import pages
from sgdyn.fit.comparison import Comparison
from sgdyn.fit.evidence import evidence
from sgdyn.fit.rungs import HEAD as RUNGS
from sgdyn.fit.rungs import ladder_of

if TYPE_CHECKING:
    from sgdyn.fit.run import Outcome

HEAD = (
    "#", "curvature h", "D", "variance: SGD", "controlled", "discrete", "diffusion", "simulated",
    "time: SGD (steps)", "controlled", "discrete", "diffusion", "excess kurtosis: SGD", "discrete",
)  # fmt: skip
VARIANCES, TIMES = range(8), (0, *range(8, 14))
"""Columns of the two tables."""

CAPTIONS = (
    "Measured variances over those of the diffusion and of the exact discrete theory; bars: standard errors over replicas.",
    "The same, controlled: with the quadratic model on the same batches as control variate, once that agrees with its own exact theory.",
    "Deviations from the exact discrete theory in standard errors; two in three within the band if it is exact.",
    "Correlation times, in steps of SGD.",
    "Elements of the circulation Q at the shortest recorded lag; on the line if theory is exact, zero for a reversible process.",
)
SOURCES = {
    "stationary covariance of the diffusion": "Lyapunov equation, Mandt, Hoffman, Blei, JMLR 18 (2017); circulation: Kwon, Ao, Thouless, PNAS 102, 13029 (2005)",
    "exact discrete theory": "Liu, Ziyin, Ueda, arXiv:2012.03636, with batches drawn with or without replacement, and its time correlations",
    "D": "centred covariance of single-sample gradients, projected; exact over the data",
    "top directions of H": "Lanczos method with Hessian-vector products; residuals are in the text of each case",
    "the diffusion as a description of SGD, and the ladder to it": "Li, Tai, E, JMLR 20 (2019); Li, Malladi, Arora, arXiv:2102.12470; Chaudhari, Soatto, arXiv:1710.11029",
    "epoch sampler": "Kühn, Rosenow, arXiv:2306.05300",
    "tests": "Student's t and chi-squared over independent replicas, directions jointly; limits in the text of each case",
}


def rows(outcome: Outcome, scale: float | None = None) -> list[tuple[str, ...]]:
    """One row of texts for each direction, variances in units of `scale` (default: the largest predicted one's power of ten)."""
    unit = scale or variance_unit(outcome)
    return [_row(outcome.comparison, i, unit) for i in range(outcome.subspace.k)]


def _row(c: Comparison, i: int, unit: float) -> tuple[str, ...]:
    h = f"{c.subspace.H[i, i]:.4g}"
    if not c.noisy[i]:
        return (str(i + 1), h, "0", *["no noise"] * (len(HEAD) - 3))
    kurtosis = f"{c.kurtosis_discrete[i]:.3f}" if np.isfinite(c.kurtosis_discrete[i]) else ""
    variance, time = (None, None) if c.controlled is None else (c.controlled.variance, c.controlled.correlation_time)
    return (
        str(i + 1), h, f"{c.subspace.D[i, i]:.4g}", _pair(c.variance, i, unit), _pair(variance, i, unit), f"{c.discrete[i] / unit:.4g}",
        f"{c.diffusion[i] / unit:.4g}", _pair(c.simulated, i, unit), _pair(c.correlation_time, i), _pair(time, i),
        f"{c.correlation_time_discrete[i]:.4g}", f"{c.correlation_time_diffusion[i]:.4g}", _pair(c.kurtosis, i), kurtosis,
    )  # fmt: skip


def _pair(estimate: Estimate | None, i: int, unit: float = 1.0) -> str:
    if estimate is None:
        return ""
    value, error = float(estimate.value[i]) / unit, float(estimate.error[i]) / unit
    return rounded(value, error) if np.isfinite(value) else "none"


def variance_unit(outcome: Outcome) -> float:
    """The power of ten of the largest predicted variance."""
    return float(10.0 ** np.floor(np.log10(outcome.comparison.discrete.max())))


def write_report(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write the report of these outcomes."""
    numbers = pages.Numbers()
    body = "".join(_section(outcome, numbers) for outcome in outcomes)
    settings = f"<h2>Settings</h2>{_settings(outcomes, numbers)}"
    data = (
        f"<p class='quiet'>Data: {escape(datasets.CITATION)}.</p>"
        if any(o.case.data == "digits" for o in outcomes)
        else ""
    )
    text = _introduction(outcomes) + body + settings + data + pages.ending(numbers, SOURCES)
    pages.write(path, pages.page("Does a diffusion describe this SGD?", text))


def _introduction(outcomes: Sequence[Outcome]) -> str:
    lines = "".join(f"<li><b>{escape(o.case.name)}</b>: {escape(str(o.comparison.verdict))}</li>" for o in outcomes)
    return (
        "<p>Each network is brought to a minimum of its loss. There, H (the Hessian) and D (the covariance of the gradients of single samples) are "
        "extracted in the top directions of H, and SGD is run from the minimum until it is stationary. The tables compare what SGD did with the exact "
        "theory of the discrete iteration on the quadratic loss, with the diffusion dX = -H X dt + sqrt(2 T) sigma dW, sigma sigma' = D, T = lr/2B, in closed form, and "
        "with its simulation. The columns SGD hold what was measured and nothing else; controlled is the same with the quadratic model driven by the same "
        f"batches as control variate. Errors are standard errors over independent replicas.</p><ul>{lines}</ul>"
    )


def _section(outcome: Outcome, numbers: pages.Numbers) -> str:
    c, verdict = outcome.comparison, outcome.comparison.verdict
    facts = (
        f"{outcome.network.dim} parameters, {outcome.network.n} samples; T = {c.process.T:.3g}; {len(c.recording.x)} replicas, {len(c.recording.steps)} recorded times; "
        f"|grad U| = {c.subspace.gradient:.1g} and |(1 - VV')HV| ≤ {c.subspace.leakage.max():.1g} at the minimum"
    )
    return (
        f"<h2>{escape(outcome.case.name)}</h2>{pages.verdict(str(verdict), verdict.holds)}<p class='quiet'>{escape(facts)}.</p>"
        f"{pages.listed(evidence(c))}{pages.listed(_warnings(c), 'note')}{numbers.figures(_figures(c))}{_tables(outcome, numbers)}"
    )


def _warnings(c: Comparison) -> list[str]:
    """What makes the numbers less certain than their errors, each once."""
    parts = (c.variance, c.correlation_time, c.Q, c.kurtosis, c.simulated, c.innovation)
    found = (f"warning: {warning}" for part in parts if part is not None for warning in part.warnings)
    return list(dict.fromkeys(found))


def _tables(outcome: Outcome, numbers: pages.Numbers) -> str:
    """Variances, then times and kurtosis: narrow enough for paper."""
    found, unit = rows(outcome), variance_unit(outcome)
    texts = (
        f"Stationary variances in units of {unit:.0e}; {outcome.comparison.variance.method}; h and D: diagonals of H and D.",
        "Correlation times in steps of SGD (none where less than a hundredth of the variance is correlated at the lag), and excess kurtosis; predictions at the recorded lags.",
    )
    tables = "".join(
        numbers.table([HEAD[i] for i in columns], [[row[i] for i in columns] for row in found], f"{outcome.case.name}. {text}")
        for columns, text in zip((_filled(VARIANCES, found), _filled(TIMES, found)), texts, strict=True)
    )  # fmt: skip
    rungs = [rung.row() for rung in ladder_of(outcome.comparison).rungs]
    text = "What approximates SGD on the quadratic loss: variances of each over SGD's as measured (with the control variate where there is one), less 1"
    return tables + numbers.table(RUNGS, rungs, f"{outcome.case.name}. {text}.", words=True)


def _filled(columns: Iterable[int], found: Sequence[tuple[str, ...]]) -> list[int]:
    """The columns in which anything stands."""
    return [i for i in columns if any(row[i] for row in found)]


def _settings(outcomes: Sequence[Outcome], numbers: pages.Numbers) -> str:
    """Every option of every case."""
    cases = [asdict(o.case) for o in outcomes]
    lines = [(name.replace("_", " "), *(_value(case[name]) for case in cases)) for name in cases[0] if name != "name"]
    lines += [("recorded every", *(f"{o.comparison.recording.settings.every} steps" for o in outcomes))]
    lines += [("steps", *(str(o.comparison.recording.settings.steps) for o in outcomes))]
    return numbers.table(["", *(case["name"] for case in cases)], lines, "Settings; directions: of the Hessian, the top ones.", words=True)  # fmt: skip


def _value(setting: Any) -> str:
    if setting is None:
        return "all, at most 20"
    return f"{setting:g}" if isinstance(setting, float) else str(setting)


def _figures(c: Comparison) -> list[tuple[str, str]]:
    from sgdyn import plot

    drawn = [(pages.svg(lambda ax: plot.figure(c, ax), "stationary variance, as measured"), CAPTIONS[0])]
    if c.controlled is not None:
        drawn.append(
            (pages.svg(lambda ax: plot.figure(c.resolved, ax), "stationary variance, controlled"), CAPTIONS[1])
        )
    rest = (plot.pulls, plot.times, lambda comparison, ax: _few_ticks(plot.circulation(comparison, ax)))
    return drawn + [(pages.svg(partial(draw, c)), says) for draw, says in zip(rest, CAPTIONS[2:], strict=True)]


def _few_ticks(ax: Any) -> Any:
    """So few that long numbers do not touch."""
    ax.locator_params(axis="x", nbins=5)
    return ax
