"""Flows on disk, to go on from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgdyn.progress import Progress
from sgdyn.storage import Arrays, Folder


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
        self.folder = Folder(folder, identity, "flow", "rows")
        self.rows: list[dict[str, Any]] = []
        self.waiting: list[tuple[int, Kept, Arrays]] = []

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
        index = self.folder.index()
        if index is None:
            return state, states
        self.rows = index["rows"]
        for row in self.rows[:n]:
            state = restore(first, self.folder.load(row["file"], row["digest"]))
            states.append(
                Kept(state.density, row["energy"], row["w2"], row["iterations"], row["residual"], error(state))
            )
        return state, states

    def _keep(self, state: Any, kept: Kept, last: bool) -> None:
        if self.folder.used:
            self.waiting.append((len(self.rows) + len(self.waiting) + 1, kept, state.arrays()))
            if last or self.folder.due():
                self._write()

    def _write(self) -> None:
        if not self.waiting:
            return
        while self.waiting:
            k, kept, arrays = self.waiting[0]
            name = f"step-{k}.npz"
            row = {
                "file": name, "digest": self.folder.save(name, arrays), "energy": kept.energy, "w2": kept.w2, "iterations": kept.iterations,
                "residual": kept.residual,
            }  # fmt: skip
            self.rows[k - 1 :] = [row]  # in its place, so that Ctrl-C before the next line does not have it twice
            del self.waiting[0]
        self.folder.save_index({"rows": self.rows})
