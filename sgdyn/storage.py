"""Folders that a run can go on from: NumPy arrays and JSON, never a pickle; a crash at any moment leaves the last whole state."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

SECONDS = 30.0
"""Between two savings."""

Arrays = dict[str, NDArray[Any]]


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


class Folder:
    """A folder of arrays with an index that says what they belong to; without a place nothing is kept."""

    def __init__(self, place: str | Path | None, identity: Callable[[], dict[str, Any]], what: str, rows: str) -> None:
        """what: the name of what is kept, and of the index. rows: a list that the index holds."""
        if not (place is None or isinstance(place, str | Path)):
            raise TypeError(f'got checkpoint={place!r}, expected the name of a folder; type checkpoint="runs/mine"')
        self.path = Path() if place is None else Path(place)
        self.used, self.what, self.rows = place is not None, what, rows
        self.identity = json.loads(json.dumps(identity())) if self.used else {}
        self.written = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to save again."""
        return self.used and time.monotonic() - self.written > SECONDS

    def index(self) -> dict[str, Any] | None:
        """The index, None where there is none yet. Raises ValueError if it is damaged or belongs to another run."""
        place = self.path / f"{self.what}.json"
        if self.used and self.path.exists() and not self.path.is_dir():
            raise ValueError(f"got checkpoint={self.path}, which is a file, expected a folder")
        if not self.used or not place.exists():
            return None
        try:
            index = json.loads(place.read_text(encoding="utf-8"))
            index = {**index, self.rows: list(index[self.rows])}
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"got a damaged checkpoint: {place} is not the index of a {self.what}; remove the folder"
            ) from error
        different = [f"{k}={index.get(k)!r} (now {v!r})" for k, v in self.identity.items() if index.get(k) != v]
        if different:
            raise ValueError(
                f"got a checkpoint of another {self.what} in {self.path}: {', '.join(different)}; type another checkpoint, or remove the folder"
            )
        return index

    def save_index(self, index: dict[str, Any]) -> None:
        """Replace the index at once, after what it names has been written."""
        self._replace(f"{self.what}.json", lambda file: file.write(json.dumps(self.identity | index).encode()))
        self.written = time.monotonic()

    def save(self, name: str, arrays: Arrays) -> str:
        """Write arrays into a file, and return their digest."""
        self._replace(name, lambda file: np.savez(file, allow_pickle=False, **arrays))
        return _digest(arrays)

    def load(self, name: str, expected: str | None) -> Arrays:
        """The arrays of a file. Raises ValueError if they are not those of the digest."""
        place = self.path / name
        try:
            with np.load(place, allow_pickle=False) as stored:
                arrays = {key: stored[key] for key in stored.files}
        except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, BadZipFile) as error:
            raise ValueError(
                f"got a damaged checkpoint: {place} cannot be read ({error}); remove the folder"
            ) from error
        if _digest(arrays) != expected:
            raise ValueError(f"got a damaged checkpoint: {place} has changed since it was written; remove the folder")
        return arrays

    def _replace(self, name: str, write: Callable[[Any], object]) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        part = self.path / f"{name}.part"
        with part.open("wb") as file:
            write(file)
        part.replace(self.path / name)


def _digest(arrays: Arrays) -> str:
    return digest(*(arrays[name] for name in sorted(arrays)))
