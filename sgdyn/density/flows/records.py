"""Flows on disk, to go on from: NumPy arrays and JSON, never a pickle; a crash at any moment leaves the last whole state."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.progress import Progress
from sgdyn.sde.checkpoint import digest

SECONDS = 30.0
"""Between two savings."""
INDEX = "flow.json"

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Kept:
    """What a flow keeps of a state."""

    density: Any
    energy: float
    w2: float
    iterations: int
    residual: float
    error: float

    @classmethod
    def of(cls, state: Any) -> Kept:
        return cls(
            state.density,
            float(state.energy),
            float(state.w2),
            int(state.iterations),
            float(state.residual),
            error(state),
        )


def error(state: Any) -> float:
    """The standard error of the energy of sampled states."""
    return float(getattr(state, "error", 0.0))


class Record:
    """The steps of a flow, in a folder if there is one."""

    def __init__(self, folder: str | Path | None, identity: Callable[[], dict[str, Any]]) -> None:
        if not (folder is None or isinstance(folder, str | Path)):
            raise TypeError(f'got checkpoint={folder!r}, expected the name of a folder; type checkpoint="runs/mine"')
        self.folder = None if folder is None else Path(folder)
        self.identity = {} if folder is None else identity()
        self.rows: list[dict[str, Any]] = []
        self.waiting: list[Arrays] = []
        self.written = time.monotonic()

    def run(
        self,
        first: Any,
        n: int,
        advance: Callable[[Any, int], Any],
        restore: Callable[[Any, Arrays], Any],
        tell: Progress,
    ) -> tuple[list[Kept], bool]:
        """The states 0 to n, and whether all were reached: Ctrl-C ends at the last that was."""
        state, states = self._resumed(first, n, restore)
        try:
            while len(states) <= n:
                state = advance(state, len(states))
                states.append(Kept.of(state))
                self._keep(state, states[-1], last=len(states) > n)
                tell((len(states) - 1) / n)
        except KeyboardInterrupt:
            return states, False
        finally:  # whatever ends it, such as a step that finds no minimum
            self._write()
        return states, True

    def _resumed(self, first: Any, n: int, restore: Callable[[Any, Arrays], Any]) -> tuple[Any, list[Kept]]:
        state, states = first, [Kept.of(first)]
        index = None if self.folder is None else _read(self.folder / INDEX)
        if index is None:
            return state, states
        now = json.loads(json.dumps(self.identity))
        different = [f"{k}={index.get(k)!r} (now {v!r})" for k, v in now.items() if index.get(k) != v]
        if different:
            raise ValueError(
                f"got a checkpoint of another flow in {self.folder}: {', '.join(different)}; type another checkpoint, or remove the folder"
            )
        self.rows = index["rows"]
        for row in self.rows[:n]:
            state = restore(first, self._arrays(row))
            states.append(
                Kept(state.density, row["energy"], row["w2"], row["iterations"], row["residual"], error(state))
            )
        return state, states

    def _keep(self, state: Any, kept: Kept, last: bool) -> None:
        if self.folder is None:
            return
        arrays = state.arrays()
        k = len(self.rows) + len(self.waiting) + 1
        self.waiting.append({**arrays, "_row": np.array([k, kept.energy, kept.w2, kept.iterations, kept.residual])})
        if last or time.monotonic() - self.written > SECONDS:
            self._write()

    def _write(self) -> None:
        if self.folder is None or not self.waiting:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        while self.waiting:
            arrays = self.waiting[0]
            k, energy, w2, iterations, residual = arrays["_row"].tolist()
            content = {name: array for name, array in arrays.items() if name != "_row"}
            name = f"step-{int(k)}.npz"
            held = io.BytesIO()
            np.savez(held, allow_pickle=False, **content)
            _replace(self.folder / name, held.getvalue())
            row = {
                "file": name, "digest": _digest(content), "energy": energy, "w2": w2, "iterations": int(iterations), "residual": residual,
            }  # fmt: skip
            self.rows[int(k) - 1 :] = [row]  # in its place, so that Ctrl-C before the next line does not have it twice
            del self.waiting[0]
        _replace(self.folder / INDEX, json.dumps({**self.identity, "rows": self.rows}).encode())
        self.written = time.monotonic()

    def _arrays(self, row: dict[str, Any]) -> Arrays:
        assert self.folder is not None
        path = self.folder / row["file"]
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (OSError, ValueError, EOFError, KeyError) as error:
            raise ValueError(f"got a damaged checkpoint: {path} cannot be read ({error}); remove the folder") from error
        if _digest(arrays) != row["digest"]:
            raise ValueError(f"got a damaged checkpoint: {path} has changed since it was written; remove the folder")
        return arrays


def _digest(arrays: Arrays) -> str:
    return digest(*(arrays[name] for name in sorted(arrays)))


def _read(path: Path) -> dict[str, Any] | None:
    if path.parent.exists() and not path.parent.is_dir():
        raise ValueError(f"got checkpoint={path.parent}, which is a file, expected a folder")
    if not path.exists():
        return None
    try:
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {**index, "rows": list(index["rows"])}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"got a damaged checkpoint: {path} is not the index of a flow; remove the folder") from error


def _replace(path: Path, content: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.replace(path)
