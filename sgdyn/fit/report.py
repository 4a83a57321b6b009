"""The report of a run as one HTML file with its figures inside: no request leaves it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sgdyn import __version__, datasets
from sgdyn.estimate import Estimate, rounded
from sgdyn.fit.comparison import Comparison
from sgdyn.fit.evidence import evidence

if TYPE_CHECKING:
    from sgdyn.fit.run import Outcome

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; border-bottom: 1px solid #ddd; padding-bottom: .2rem; margin-top: 2.5rem; }
.verdict { background: #eef5fa; border-left: 4px solid #0072b2; padding: .6rem 1rem; font-weight: 600; }
.verdict.no { background: #fdf1e7; border-color: #d55e00; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); gap: .5rem; } .figures svg { width: 100%; height: auto; }
table { border-collapse: collapse; font-size: .82rem; font-variant-numeric: tabular-nums; } td, th { padding: .15rem .5rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #eee; }
.wide { overflow-x: auto; } .quiet { color: #555; font-size: .88rem; }
@media print { body { max-width: none; } h2 { break-before: auto; } .figures, table { break-inside: avoid; } }
"""

HEAD = (
    "#", "curvature h", "D", "variance: SGD", "controlled", "discrete", "diffusion", "simulated",
    "time: SGD (steps)", "controlled", "discrete", "diffusion", "excess kurtosis: SGD", "discrete",
)  # fmt: skip


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
    return rounded(float(estimate.value[i]) / unit, float(estimate.error[i]) / unit)


def variance_unit(outcome: Outcome) -> float:
    """The power of ten of the largest predicted variance."""
    return float(10.0 ** np.floor(np.log10(outcome.comparison.discrete.max())))


def write_report(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write the report of these outcomes."""
    body = "\n".join(_section(outcome) for outcome in outcomes)
    source = (
        f"<p class='quiet'>Data: {escape(datasets.CITATION)}.</p>"
        if any(o.case.data == "digits" for o in outcomes)
        else ""
    )
    path.write_text(
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>sgdyn fit</title>"
        f"<link rel='icon' href='data:,'><style>{STYLE}</style></head><body><h1>Does a diffusion describe this SGD?</h1>{_introduction(outcomes)}{body}{source}"
        f"<p class='quiet'>Made by sgdyn {escape(__version__)}. Numbers: result.npz; configuration, seeds and versions: manifest.json.</p></body></html>",
        encoding="utf-8",
    )


def _introduction(outcomes: Sequence[Outcome]) -> str:
    lines = "".join(f"<li><b>{escape(o.case.name)}</b>: {escape(str(o.comparison.verdict))}</li>" for o in outcomes)
    return (
        "<p>Each network is brought to a minimum of its loss. There, H (the Hessian) and D (the covariance of the gradients of single samples) are "
        "extracted in the top directions of H, and SGD is run from the minimum until it is stationary. The table compares what SGD did with the exact "
        "theory of the discrete iteration on the quadratic loss, with the diffusion dX = -H X dt + sqrt(2 T) sigma dW (T = lr/2B) in closed form, and "
        "with its simulation. The columns SGD hold what was measured and nothing else; controlled is the same with the quadratic model driven by the same "
        f"batches as control variate. Errors are standard errors over independent replicas.</p><ul>{lines}</ul>"
    )


def _section(outcome: Outcome) -> str:
    case, verdict = outcome.case, outcome.comparison.verdict
    c = outcome.comparison
    facts = (
        f"{outcome.network.dim} parameters, {outcome.network.n} samples; lr {case.lr:g}, batch {case.batch}, sampler {case.sampler}, momentum {case.momentum:g}, "
        f"weight decay {case.weight_decay:g}; T = {c.process.T:.3g}; {len(c.recording.x)} replicas, {len(c.recording.steps)} recorded times; "
        f"|grad U| = {c.subspace.gradient:.1g} and |(1 - VV')HV| &le; {c.subspace.leakage.max():.1g} at the minimum; seed {case.seed}; "
        + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in outcome.seconds.items())
    )
    lines = "".join(f"<li>{escape(line)}</li>" for line in evidence(c))
    return (
        f"<h2>{escape(case.name)}</h2><p class='verdict{'' if verdict.holds else ' no'}'>{escape(str(verdict))}</p><p class='quiet'>{facts}.</p>"
        f"<ul>{lines}</ul><div class='figures'>{''.join(_figures(c))}</div>{_table(outcome)}"
    )


def _table(outcome: Outcome) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in HEAD)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows(outcome))
    return f"<p class='quiet'>Variances in units of {variance_unit(outcome):.0e}; {escape(outcome.comparison.variance.method)}.</p><div class='wide'><table><tr>{head}</tr>{body}</table></div>"


def _figures(c: Comparison) -> list[str]:
    from sgdyn import plot

    drawn = [_svg(plot.figure, c, "stationary variance, as measured")]
    if c.controlled is not None:
        drawn.append(_svg(plot.figure, c.resolved, "stationary variance, controlled"))
    return [*drawn, _svg(plot.pulls, c), _svg(plot.times, c), _svg(plot.circulation, c)]


def _svg(draw: Callable[[Any, Any], Any], comparison: Comparison, title: str | None = None) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    ax = figure.add_subplot()
    draw(comparison, ax)
    if title is not None:
        ax.set_title(title)
    text = io.StringIO()
    FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None})
    svg = re.sub(r"<metadata>.*?</metadata>", "", text.getvalue(), flags=re.S)
    return svg[svg.index("<svg") :]
