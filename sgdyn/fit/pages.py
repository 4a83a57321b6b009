"""HTML that needs nothing from outside: one file with its figures inside, readable on a screen and on paper."""

from __future__ import annotations

import io
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib import metadata
from pathlib import Path
from typing import Any

from sgdyn import __version__

PACKAGES = ("sgdyn", "numpy", "scipy", "numba", "sympy", "torch")

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; border-bottom: 1px solid #ddd; padding-bottom: .2rem; margin-top: 2.5rem; } h3 { font-size: 1rem; }
.verdict { background: #eef5fa; border-left: 4px solid #0072b2; padding: .6rem 1rem; font-weight: 600; }
.verdict.no { background: #fdf1e7; border-color: #d55e00; } .verdict.open { background: #f4f4f4; border-color: #7f7f7f; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr)); gap: 1rem .8rem; }
figure { margin: 0; break-inside: avoid; } figure svg { width: 100%; height: auto; display: block; }
figcaption, .caption { color: #333; font-size: .85rem; } .caption { margin: 1rem 0 .3rem; break-after: avoid; }
table { border-collapse: collapse; font-size: .82rem; font-variant-numeric: tabular-nums; break-inside: avoid; }
td, th { padding: .15rem .5rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #eee; } th { vertical-align: bottom; border-bottom-color: #999; }
table.words td, table.words th { text-align: left; white-space: normal; vertical-align: top; } table.words td:first-child { white-space: nowrap; }
.wide { overflow-x: auto; } .quiet { color: #555; font-size: .88rem; } .note { color: #8a3d00; } pre { font-size: .8rem; white-space: pre-wrap; background: #f7f7f7; padding: .6rem; }
@page { size: A4; margin: 16mm 14mm; }
@media print {
  html { font-size: 9.5pt; } body { max-width: none; margin: 0; padding: 0; font-size: 9.5pt; line-height: 1.35; } h2 { break-after: avoid; }
  .verdict { print-color-adjust: exact; } .figures { grid-template-columns: 1fr 1fr; gap: .4rem; } .wide { overflow: visible; } table { font-size: 7.5pt; } td, th { padding: .1rem .3rem; }
}
"""

CITATION = """@software{sgdyn,
  title   = {sgdyn: the dynamics of stochastic gradient descent as a diffusion},
  author  = {{The sgdyn developers}},
  version = {%s},
  year    = {2026}
}"""

COUNTED = ("coordinate", "direction", "Hessian direction")
"""Axes on which only whole numbers mean something."""


class Numbers:
    """The numbers of figures and tables of one page, in the order in which they are made."""

    def __init__(self) -> None:
        self.given = {"Figure": 0, "Table": 0}

    def next(self, kind: str) -> str:
        """As "Figure 3"."""
        self.given[kind] += 1
        return f"{kind} {self.given[kind]}"

    def figures(self, drawn: Sequence[tuple[str, str]]) -> str:
        """Figures (svg, caption) side by side."""
        parts = (f"<figure>{svg}<figcaption><b>{self.next('Figure')}.</b> {escape(says)}</figcaption></figure>" for svg, says in drawn)  # fmt: skip
        return f"<div class='figures'>{''.join(parts)}</div>" if drawn else ""

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, *, words: bool = False) -> str:
        """A table with its caption; words: of text rather than of numbers."""
        top = "".join(f"<th>{escape(name)}</th>" for name in head)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_together(cell))}</td>" for cell in row) + "</tr>" for row in rows
        )
        return (
            f"<p class='caption'><b>{self.next('Table')}.</b> {escape(caption)}</p>"
            f"<div class='wide'><table{' class=words' if words else ''}><tr>{top}</tr>{body}</table></div>"
        )


def _together(cell: str) -> str:
    """A number and its error on one line."""
    return cell.replace(" ± ", "\u00a0±\u00a0")


def page(title: str, body: str) -> str:
    """The whole file."""
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>{escape(title)}</title>"
        f"<link rel='icon' href='data:,'><style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>"
    )


def verdict(words: str, holds: bool | None = True) -> str:
    """A verdict in its box: blue where it holds, orange where it does not, grey where that is open."""
    kind = {True: "", False: " no", None: " open"}[holds]
    return f"<p class='verdict{kind}'>{escape(words)}</p>"


def listed(lines: Sequence[str], kind: str = "") -> str:
    """Lines as a list."""
    return f"<ul{f' class={kind}' if kind else ''}>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""  # fmt: skip


def headed(title: str, words: str) -> str:
    """A title before what it is about: with a colon, unless it asks."""
    return f"{title}{'' if title.endswith('?') else ':'} {words}"


def versions() -> dict[str, str]:
    """Of all that the numbers depend on, and the kind of machine."""
    found = {name: metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()}
    return found | {"machine": f"{platform.system()} {platform.machine()}"}


def ending(numbers: Numbers, sources: Mapping[str, str]) -> str:
    """What a reader needs to make the numbers again and to cite them; sources: what each method is, and whose."""
    methods = numbers.table(("quantity", "method and source"), list(sources.items()), "Methods.", words=True)
    used = numbers.table(("software", "version"), list(versions().items()), "Software.", words=True)
    cite = CITATION % __version__
    return (
        f"<h2>Methods, software, how to cite</h2>{methods}{used}<p>Please cite sgdyn and the sources of the methods that you use:</p><pre>{escape(cite)}</pre>"
        f"<p class='quiet'>Made by sgdyn {escape(__version__)}. Numbers: result.npz; configuration, seeds, versions and computing times: manifest.json. "
        "The same command makes the same numbers on the same kind of machine.</p>"
    )


def svg(draw: Callable[[Any], Any], title: str | None = None, size: tuple[float, float] = (5.2, 3.4)) -> str:
    """A figure as text that is the same whenever it is drawn; draw(ax)."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from sgdyn.plot import looks

    with looks(), rc_context({"svg.hashsalt": "sgdyn"}):
        figure = Figure(figsize=size, layout="constrained")
        ax = figure.add_subplot()
        draw(ax)
        if title is not None:
            ax.set_title(title)
        if ax.get_xlabel() in COUNTED:
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.set_xlim(ax.dataLim.x0 - 0.5, ax.dataLim.x1 + 0.5)
        text = io.StringIO()
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None})
    found = re.sub(r"<metadata>.*?</metadata>", "", text.getvalue(), flags=re.S)
    return found[found.index("<svg") :]


def write(path: Path, text: str) -> None:
    """Write a file that is either the old or the new one at every moment."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
