"""Runs on disk, to go on from: NumPy arrays and JSON, never a pickle; a crash at any moment leaves the last whole state."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.sde.walkers import Walkers

SECONDS = 30.0
"""Between two savings."""
INDEX = "run.json"


def digest(*arrays: NDArray[Any]) -> str:
    """A short name for the content of some arrays."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(str((array.shape, array.dtype.str)).encode() + np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:32]


def described(method: Any) -> str:
    """A method with its parameters, arrays by their content: NumPy prints long ones with dots."""
    given = {member.name: getattr(method, member.name) for member in fields(method)}
    parts = [
        f"{name}={digest(value) if isinstance(value, np.ndarray) else repr(value)}" for name, value in given.items()
    ]
    return f"{type(method).__name__}({', '.join(parts)})"


class Checkpoint:
    """The state of a run in a folder; without one, nothing is kept."""

    def __init__(self, folder: str | Path | None, identity: Callable[[], dict[str, Any]]) -> None:
        if not (folder is None or isinstance(folder, str | Path)):
            raise TypeError(f'got checkpoint={folder!r}, expected the name of a folder; type checkpoint="runs/mine"')
        self.folder = None if folder is None else Path(folder)
        self.identity = {} if folder is None else identity()
        self.kept, self.written = 0, time.monotonic()

    def resume(self, moving: Walkers, x: Any, done: int) -> tuple[int, int]:
        """(steps, saved times) that are done, with the points of the walkers and the saved points x set to what they were.

        Raises ValueError if the folder holds another run, or is damaged.
        """
        self.kept = done
        index = None if self.folder is None else _read(self.folder / INDEX)
        if index is None or self.folder is None:
            return 0, done
        different = [f"{k}={index.get(k)!r} (now {v!r})" for k, v in self.identity.items() if index.get(k) != v]
        if different:
            raise ValueError(
                f"got a checkpoint of another run in {self.folder}: {', '.join(different)}; type another checkpoint, or remove the folder"
            )
        for name, begin, end in index["saved"]:
            x[:, begin:end] = self._array(name, index["digests"])
        moving.set_points(self._array(index["points"], index["digests"]))
        self.kept = index["done"]
        return index["step"], index["done"]

    def keep(self, moving: Walkers, x: Any, step: int, done: int, always: bool = False) -> None:
        """Save the state after `step` steps, if it is time; x[:, :done] are saved points."""
        if self.folder is None or not (always or time.monotonic() - self.written > SECONDS):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        index = _read(self.folder / INDEX) or {"saved": [], "digests": {}}
        old = index.get("points")
        index |= self.identity | {"step": step, "done": done, "points": f"points-{step}.npy"}
        if done > self.kept or not index["saved"]:
            index["saved"].append([f"saved-{done}.npy", 0 if not index["saved"] else self.kept, done])
            self._write(f"saved-{done}.npy", np.asarray(x[:, index["saved"][-1][1] : done]), index["digests"])
        self._write(index["points"], moving.points(), index["digests"])
        _replace(self.folder / INDEX, json.dumps(index).encode())
        if old not in (None, index["points"]):
            (self.folder / old).unlink(missing_ok=True)
        self.kept, self.written = done, time.monotonic()

    def _write(self, name: str, array: NDArray[Any], digests: dict[str, str]) -> None:
        assert self.folder is not None
        part = self.folder / f"{name}.part"
        with part.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        part.replace(self.folder / name)
        digests[name] = digest(array)

    def _array(self, name: str, digests: dict[str, str]) -> NDArray[np.float64]:
        assert self.folder is not None
        try:
            array: NDArray[np.float64] = np.load(self.folder / name, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(
                f"got a damaged checkpoint: {self.folder / name} cannot be read ({error}); remove the folder"
            ) from error
        if digest(array) != digests.get(name):
            raise ValueError(
                f"got a damaged checkpoint: {self.folder / name} has changed since it was written; remove the folder"
            )
        return array


def _read(path: Path) -> dict[str, Any] | None:
    if path.parent.exists() and not path.parent.is_dir():
        raise ValueError(f"got checkpoint={path.parent}, which is a file, expected a folder")
    if not path.exists():
        return None
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        return {"saved": list(index["saved"]), **index}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"got a damaged checkpoint: {path} is not the index of a run; remove the folder") from error


def _replace(path: Path, content: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.replace(path)
