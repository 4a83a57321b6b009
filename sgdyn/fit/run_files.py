"""Runs of the user's own on disk: NumPy and safetensors files, never a pickle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from sgdyn import checks, storage
from sgdyn.fit.stretches import Series, series
from sgdyn.nets import recording_files
from sgdyn.nets.recording import Recording

HOW = "type np.savez('run.npz', x=x, dt=dt) with x (replica, time, k), or recording.save('run.safetensors')"
SUFFIXES = (".npz", ".npy", ".safetensors")


@dataclass(frozen=True, eq=False)
class RunFile:
    """A run as it was found: a `Recording`, or an array (replica, time, k) with the time dt between two rows; odd: coordinates that are velocities."""

    source: Recording | NDArray[np.float64]
    dt: float | None
    name: str
    odd: tuple[int, ...] = ()

    @property
    def series(self) -> Series:
        """Coordinates and time between rows, with momentum too."""
        return series(self.source, self.dt, momentum=True)

    @property
    def digest(self) -> str:
        """A short name of the content."""
        found = self.series
        more = [self.source.gradients] if isinstance(self.source, Recording) else []
        return storage.digest(found.x, np.array(found.dt), *more)


def load_run(path: str | Path, *, dt: float | None = None, skip: int = 0, odd: Sequence[int] = ()) -> RunFile:
    """The run in a file: .npz or .safetensors with arrays x (replica, time, k) or (time, k) and dt, .npy with dt=, or a saved `Recording`.

    skip: rows to leave out at the beginning. odd: coordinates that change their sign backwards in time. Raises ValueError that says what was expected, and as `fit.linear` does.
    """
    place = Path(path)
    if not place.is_file() or place.suffix not in SUFFIXES:
        found = "is no file" if not place.is_file() else f"ends in {place.suffix!r}"
        raise ValueError(f"got {place}, which {found}, expected a file that ends in {', '.join(SUFFIXES)}; {HOW}")
    return replace(_without(_read(place, dt), checks.count("skip", skip, least=0)), odd=tuple(odd))


def of_source(source: Any, dt: float | None = None, odd: Sequence[int] = ()) -> RunFile:
    """A run that is in memory."""
    kept = source if isinstance(source, Recording) else checks.real("x", source)
    return RunFile(kept, dt, "this run", tuple(odd))


def _read(place: Path, dt: float | None) -> RunFile:
    if place.suffix == ".safetensors" and recording_files.is_recording(place):
        return RunFile(recording_files.load(place), dt, place.name)
    arrays = _arrays(place)
    if "x" not in arrays:
        raise ValueError(
            f"got {place} with {', '.join(map(repr, sorted(arrays))) or 'nothing'}, expected an array 'x'; {HOW}"
        )
    if dt is None and "dt" not in arrays:
        raise ValueError(f"got {place} without 'dt', the time between two rows; type --dt 0.1, or {HOW}")
    step = dt if dt is not None else checks.number("dt", np.squeeze(arrays["dt"])[()])
    return RunFile(checks.real("x", arrays["x"]), step, place.name)


def _arrays(place: Path) -> dict[str, Any]:
    try:
        if place.suffix == ".safetensors":
            return load_file(place)
        with place.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            return {"x": found} if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, BadZipFile, SafetensorError) as error:
        raise ValueError(
            f"got {place}, which cannot be read ({str(error).splitlines()[0]}), expected numbers and no pickled objects; {HOW}"
        ) from error


def _without(run: RunFile, skip: int) -> RunFile:
    """The run without its first rows."""
    times = run.series.x.shape[1]
    if skip >= times - 20:
        raise ValueError(f"got skip={skip} of {times} rows, expected at least 20 left")
    if isinstance(run.source, Recording):
        return replace(run, source=run.source.after(int(run.source.steps[skip])))
    return replace(run, source=run.source[..., skip:, :])
