"""Simulations on disk, to go on from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sgdyn.sde.walkers import Walkers
from sgdyn.storage import Folder


class Checkpoint:
    """The state of a run in a folder; without one, nothing is kept."""

    def __init__(self, folder: str | Path | None, identity: Callable[[], dict[str, Any]]) -> None:
        self.folder = Folder(folder, identity, "run", "saved")
        self.kept = 0

    def resume(self, moving: Walkers, x: Any, done: int) -> tuple[int, int]:
        """(steps, saved times) that are done, with the points of the walkers and the saved points x set to what they were.

        Raises ValueError if the folder holds another run, or is damaged.
        """
        self.kept, index = done, self.folder.index()
        if index is None:
            return 0, done
        for name, begin, end in index["saved"]:
            x[:, begin:end] = self._points(name, index)
        moving.set_points(self._points(index["points"], index))
        self.kept = index["done"]
        return index["step"], index["done"]

    def keep(self, moving: Walkers, x: Any, step: int, done: int, always: bool = False) -> None:
        """Save the state after `step` steps, if it is time; x[:, :done] are saved points."""
        if not (self.folder.due() or (always and self.folder.used)):
            return
        index = self.folder.index() or {"saved": [], "digests": {}}
        old, points = index.get("points"), f"points-{step}.npz"
        if done > self.kept or not index["saved"]:
            begin, name = 0 if not index["saved"] else self.kept, f"saved-{done}.npz"
            index["saved"].append([name, begin, done])
            index["digests"][name] = self.folder.save(name, {"x": np.asarray(x[:, begin:done])})
        index["digests"][points] = self.folder.save(points, {"x": moving.points()})
        self.folder.save_index(index | {"step": step, "done": done, "points": points})
        if old not in (None, points):
            (self.folder.path / old).unlink(missing_ok=True)
        self.kept = done

    def _points(self, name: str, index: dict[str, Any]) -> Any:
        return self.folder.load(name, index["digests"].get(name))["x"]
