"""All that can be said of a run that is there already, as a report: its linear dynamics, confinement, direction of time, validity."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from sgdyn import __version__, checks, storage
from sgdyn.fit import pages, preflight
from sgdyn.fit.chapters import Chapter, chapters
from sgdyn.fit.run_files import RunFile, of_source
from sgdyn.fit.sections import Section, restored
from sgdyn.nets.recording import Recording
from sgdyn.printing import Printed
from sgdyn.progress import progress

SOURCES = {
    "linear dynamics": "maximum likelihood of the exact discrete transition: Lütkepohl, New Introduction to Multiple Time Series Analysis (2005), ch. 3",
    "errors": "jackknife over stretches of the run: Künsch, Annals of Statistics 17, 1217 (1989)",
    "confinement": "low-frequency cosines: Müller, Watson, Econometrica 76, 979 (2008); random signs: Cavaliere, Taylor, Econometric Theory 24, 43 (2008); Holm's step-down",
    "balance": "fluctuation-dissipation relation of SGD: Yaida, arXiv:1810.00004, eq. (FDR1)",
    "irreversibility": "Zia, Schmittmann, J. Stat. Mech. P07012 (2007); bound: Hasegawa, Van Vu, Phys. Rev. Lett. 123, 110602 (2019)",
    "variance ratio": "Lo, MacKinlay, Rev. Financial Studies 1, 41 (1988)",
    "drift and diffusion without a model": "local polynomials: Fan, Gijbels (1996); Calonico, Cattaneo, Farrell, JASA 113, 767 (2018); finite steps: Gottschall, Peinke, New J. Phys. 10, 083034 (2008)",
}


@dataclass(frozen=True, eq=False, repr=False)
class Examination(Printed):
    """sections: one for each question that was asked of the run; folder: where report.html, result.npz and manifest.json are."""

    sections: tuple[Section, ...]
    folder: Path

    def __getitem__(self, name: str) -> Section:
        found = {section.name: section for section in self.sections}
        if name not in found:
            raise KeyError(f"got {name!r}, expected one of {', '.join(map(repr, found))}")
        return found[name]

    @property
    def report(self) -> Path:
        """The report, one HTML file."""
        return self.folder / "report.html"

    def __str__(self) -> str:
        return "\n".join([*(pages.headed(section.title, section.verdict) for section in self.sections), f"report: {self.report}"])  # fmt: skip


def examine(
    recording: Recording | Any, folder: str | Path, *, dt: float | None = None, odd: Sequence[int] = (), seed: int = 0, show_progress: bool | None = None
) -> Examination:  # fmt: skip
    """Write a report on a run into a folder: report.html, result.npz, manifest.json.

    recording: of `nets.train`, an array (replica, time, k) or (time, k) with its `dt`. odd: coordinates that change their sign backwards in time, as velocities do (see `irreversibility`). Asked are `linear`, `confinement`, `balance` (of a
    Recording), `irreversibility` (of two coordinates or more), `validity`, and `kramers_moyal` (of three coordinates at most); what cannot be
    answered says why. Killed and called again, it goes on to the same report. Raises ValueError as `linear` does for what is no run.
    """
    return examine_file(of_source(recording, dt, odd), Path(folder), seed=seed, show_progress=show_progress)


def examine_file(
    run: RunFile, folder: Path, *, seed: int = 0, show_progress: bool | None = None, tell: Callable[[Section], None] | None = None
) -> Examination:  # fmt: skip
    """The same of a run from a file, with `tell` called for each section when it is ready."""
    checks.seed_sequence(seed)
    identity = _identity(run, seed)
    preflight.check_folder(folder)
    kept = storage.Folder(folder / "checkpoints", lambda: identity, "examination", "sections")
    index = kept.index() or {"sections": []}
    asked, sections, seconds = chapters(run), [], {}
    with progress("report", show_progress) as bar:
        for number, (name, title, chapter) in enumerate(asked):
            bar.stage(number, len(asked))
            begun = time.perf_counter()
            section = _stored(kept, index, number) or _new(kept, index, run, seed, name, title, chapter)
            seconds[name] = round(time.perf_counter() - begun, 2)
            sections.append(section)
            if tell is not None:
                tell(section)
    return _written(tuple(sections), identity, seconds, folder)


def _identity(run: RunFile, seed: int) -> dict[str, Any]:
    """What makes two reports the same."""
    found = run.series
    return {"data": run.digest, "name": run.name, "shape": list(found.x.shape), "dt": found.dt, "odd": ", ".join(map(str, run.odd)) or "none", "seed": seed, "version": __version__}  # fmt: skip


def _stored(kept: storage.Folder, index: dict[str, Any], number: int) -> Section | None:
    """A section that an earlier run has finished."""
    if number >= len(index["sections"]):
        return None
    row = index["sections"][number]
    return restored(row["words"], kept.load(f"{row['words']['name']}.npz", row["digest"]))


def _new(
    kept: storage.Folder, index: dict[str, Any], run: RunFile, seed: int, name: str, title: str, chapter: Chapter
) -> Section:
    section = _asked(run, seed, name, title, chapter)
    row = {"words": section.words(), "digest": kept.save(f"{name}.npz", dict(section.arrays))}
    index["sections"].append(row)
    kept.save_index(index)
    return section


def _asked(run: RunFile, seed: int, name: str, title: str, chapter: Chapter) -> Section:
    """A chapter's section, or one that says why it has no answer."""
    try:
        return chapter(run, seed)
    except (ValueError, TypeError, ArithmeticError, np.linalg.LinAlgError) as error:
        return Section(name, title, f"no answer: {error}")


def _written(sections: tuple[Section, ...], identity: dict[str, Any], seconds: dict[str, float], folder: Path) -> Examination:  # fmt: skip
    arrays = {f"{section.name}.{name}": part for section in sections for name, part in section.arrays.items()}
    np.savez_compressed(folder / "result.npz", allow_pickle=False, **arrays)
    facts = {**identity, "verdicts": {s.name: s.verdict for s in sections}, "warnings": {s.name: s.warnings for s in sections}}  # fmt: skip
    pages.write(folder / "manifest.json", json.dumps({**facts, "seconds": seconds, "versions": pages.versions()}, indent=1))  # fmt: skip
    pages.write(
        folder / "report.html", pages.page(f"What dynamics does {identity['name']} follow?", _body(sections, identity))
    )
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return Examination(sections, folder)


def _body(sections: tuple[Section, ...], identity: dict[str, Any]) -> str:
    numbers = pages.Numbers()
    lines = pages.listed([pages.headed(section.title, section.verdict) for section in sections])
    introduction = (
        "<p>What process does this run follow, dX = F(X) dt + sqrt(2 T D(X)) dW, and may a diffusion be fitted to it at all? Each section answers one "
        f"question with errors; time is in units of the run's own dt (of SGD: the learning rate for each step).</p>{lines}"
    )
    settings = [(name, " x ".join(map(str, value)) if isinstance(value, list) else str(value)) for name, value in identity.items()]  # fmt: skip
    table = numbers.table
    chapters_html = "".join(section.html(numbers) for section in sections)
    return introduction + chapters_html + "<h2>Settings</h2>" + table(("", ""), settings, "What was examined, data by its digest.", words=True) + pages.ending(numbers, SOURCES)  # fmt: skip


def default_folder(run: RunFile, seed: int) -> Path:
    """A folder named by the content of the run: the same command finds its own checkpoints again."""
    content = json.dumps(_identity(run, seed), sort_keys=True)
    return Path("runs") / f"fit-{sha256(content.encode()).hexdigest()[:8]}"
