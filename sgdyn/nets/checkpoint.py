"""Runs on disk: arrays as safetensors, everything else as JSON, never a pickle; a crash at any moment leaves the last whole state."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of
from torch import Tensor

INDEX = "run.json"


def save(folder: Path, step: int, identity: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write the state of a run at a step; the index, with the checksum of the state, is replaced last, in one move."""
    folder.mkdir(parents=True, exist_ok=True)
    state = bytes_of({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    _replace(folder / _name(step), state)
    index = {"step": step, "sha256": hashlib.sha256(state).hexdigest(), **identity}
    _replace(folder / INDEX, json.dumps(index, indent=1, default=plain).encode())
    for old in folder.glob("state-*.safetensors"):
        if old.name != _name(step):
            old.unlink(missing_ok=True)


def load(
    folder: Path, identity: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> tuple[int, dict[str, Tensor]] | None:
    """(step, tensors) of a run saved there, None if there is none. identity: what the run should be, given what is stored of it.

    Raises ValueError if it is another run, naming the difference, or damaged, naming the file.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(
            f"got checkpoint_path={folder}, which is a file, expected a folder; type another checkpoint_path"
        )
    if not (folder / INDEX).exists():
        return None
    stored = _index(folder / INDEX)
    expected = json.loads(json.dumps(identity(stored), default=plain))
    different = [f"{k}={stored.get(k)!r} (now {v!r})" for k, v in expected.items() if stored.get(k) != v]
    if different:
        raise ValueError(
            f"got a checkpoint of another run in {folder}: {', '.join(different)}; type another checkpoint_path, or remove the folder"
        )
    return stored["step"], tensors_of(_state(folder / _name(stored["step"]), stored["sha256"]))


def plain(value: Any) -> Any:
    """NumPy and torch scalars and arrays for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | Tensor):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _name(step: int) -> str:
    return f"state-{step:012d}.safetensors"


def _replace(path: Path, content: bytes) -> None:
    """Write a file that is either the old or the new one at every moment."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


def _index(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_bytes())
    except ValueError as error:
        _refuse(path, str(error))
    if not isinstance(stored, dict):
        _refuse(path, f"a {type(stored).__name__} instead of named values")
    for name, kind in (("step", int), ("sha256", str)):
        if not isinstance(stored.get(name), kind):
            _refuse(path, f"{name}={stored.get(name)!r}")
    return stored


def _state(path: Path, checksum: str) -> bytes:
    if not path.is_file():
        _refuse(path, "the file is missing")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != checksum:
        _refuse(path, "its checksum is not the one that was written")
    return content


def _refuse(path: Path, reason: str) -> NoReturn:
    raise ValueError(
        f"got a damaged checkpoint {path} ({reason}), expected what train wrote there; remove the folder {path.parent} to start again, or type another checkpoint_path"
    )
