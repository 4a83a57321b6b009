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
    "#",
    "curvature h",
    "D",
    "variance: SGD",
    "discrete",
    "diffusion",
    "simulated",
    "time: SGD (steps)",
    "discrete",
    "diffusion",
    "excess kurtosis: SGD",
    "discrete",
)


def rows(outcome: Outcome, scale: float | None = None) -> list[tuple[str, ...]]:
    """One row of texts for each direction, variances in units of `scale` (default: the largest predicted one's power of ten)."""
    c = outcome.comparison
    unit = scale or variance_unit(outcome)
    out = []
    for i in range(len(c.discrete)):
        simulated = "" if c.simulated is None else _pair(c.simulated, i, unit)
        kurtosis = f"{c.kurtosis_discrete[i]:.3f}" if np.isfinite(c.kurtosis_discrete[i]) else ""
        if not c.noisy[i]:
            out.append((str(i + 1), f"{c.subspace.H[i, i]:.4g}", "0", *["no noise"] * 9))
            continue
        out.append((
            str(i + 1), f"{c.subspace.H[i, i]:.4g}", f"{c.subspace.D[i, i]:.4g}", _pair(c.variance, i, unit), f"{c.discrete[i] / unit:.4g}", f"{c.diffusion[i] / unit:.4g}",
            simulated, _pair(c.correlation_time, i), f"{c.correlation_time_discrete[i]:.4g}", f"{c.correlation_time_diffusion[i]:.4g}", _pair(c.kurtosis, i), kurtosis,
        ))  # fmt: skip
    return out


def _pair(estimate: Estimate, i: int, unit: float = 1.0) -> str:
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
        f"with its simulation. Errors are standard errors over independent replicas.</p><ul>{lines}</ul>"
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
    silent = (
        ""
        if c.noisy.all()
        else f"<p>No noise reaches {int((~c.noisy).sum())} of the directions: a symmetry of the network (as two equal hidden units) protects them. They are left out.</p>"
    )
    return (
        f"<h2>{escape(case.name)}</h2><p class='verdict{'' if verdict.holds else ' no'}'>{escape(str(verdict))}</p><p class='quiet'>{facts}.</p>{silent}"
        f"<div class='figures'>{''.join(_figures(outcome))}</div>{_table(outcome)}"
    )


def _table(outcome: Outcome) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in HEAD)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows(outcome))
    return f"<p class='quiet'>Variances in units of {variance_unit(outcome):.0e}; {escape(outcome.comparison.variance.method)}.</p><div class='wide'><table><tr>{head}</tr>{body}</table></div>"


def _figures(outcome: Outcome) -> list[str]:
    from sgdyn import plot

    draw: tuple[Callable[[Any, Any], Any], ...] = (plot.figure, plot.pulls, plot.times, plot.circulation)
    return [_svg(drawing, outcome.comparison) for drawing in draw]


def _svg(draw: Callable[[Any, Any], Any], comparison: Any) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    draw(comparison, figure.add_subplot())
    text = io.StringIO()
    FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None})
    svg = re.sub(r"<metadata>.*?</metadata>", "", text.getvalue(), flags=re.S)
    return svg[svg.index("<svg") :]
