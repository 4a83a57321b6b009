"""Runs on disk: arrays as safetensors, everything else as JSON, never a pickle; a crash at any moment leaves the last whole state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

INDEX = "run.json"


def save(folder: Path, step: int, identity: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write the state of a run at a step; the index is replaced last, in one move."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"state-{step:012d}.safetensors"
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, str(folder / (name + ".part")))
    (folder / (name + ".part")).replace(folder / name)
    part = folder / (INDEX + ".part")
    part.write_text(json.dumps({"step": step, "state": name, **identity}, indent=1, default=plain), encoding="utf-8")
    part.replace(folder / INDEX)
    for old in folder.glob("state-*.safetensors"):
        if old.name != name:
            old.unlink(missing_ok=True)


def load(folder: Path, identity: Mapping[str, Any]) -> tuple[int, dict[str, Tensor]] | None:
    """(step, tensors) of a run saved there, None if there is none. Raises ValueError if it is another run, naming the difference."""
    index = folder / INDEX
    if not index.exists():
        return None
    stored = json.loads(index.read_text(encoding="utf-8"))
    expected = json.loads(json.dumps(identity, default=plain))
    different = [f"{k}={stored.get(k)!r} (now {v!r})" for k, v in expected.items() if stored.get(k) != v]
    if different:
        raise ValueError(
            f"got a checkpoint of another run in {folder}: {', '.join(different)}; type another checkpoint_path, or remove the folder"
        )
    return int(stored["step"]), load_file(str(folder / Path(stored["state"]).name))


def plain(value: Any) -> Any:
    """NumPy and torch scalars for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | Tensor):
        return torch.as_tensor(value).tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")
