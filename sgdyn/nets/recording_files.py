"""Recordings on disk: one safetensors file, everything that is no array as JSON in its header; never a pickle."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as bytes_of

from sgdyn.nets.checkpoint import plain
from sgdyn.nets.recording import SERIES, Recording, Settings

SUFFIX = ".safetensors"
KIND = "sgdyn recording"


def save(recording: Recording, path: str | Path) -> Path:
    """Write a recording; the file (its name ends in .safetensors) is the old or the new one at every moment. Returns its path."""
    place = Path(path)
    place = place if place.suffix == SUFFIX else place.with_name(place.name + SUFFIX)
    arrays = {name: torch.from_numpy(np.ascontiguousarray(getattr(recording, name))) for name in ("steps", *SERIES)}
    arrays["weights"] = recording.weights.detach().cpu().contiguous()
    facts = {
        "settings": asdict(recording.settings),
        "complete": recording.complete,
        "subspace": recording.subspace,
    }
    part = place.with_name(place.name + ".part")
    place.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(bytes_of(arrays, metadata={KIND: json.dumps(facts, default=plain)}))
    part.replace(place)
    return place


def load(path: str | Path) -> Recording:
    """Read what `save` wrote. Raises ValueError for a file that is no recording or is damaged."""
    place = Path(path)
    place = place if place.exists() else place.with_name(place.name + SUFFIX)
    try:
        with safe_open(place, framework="pt") as stored:
            facts = json.loads((stored.metadata() or {})[KIND])
            tensors = {name: stored.get_tensor(name) for name in ("steps", *SERIES, "weights")}
        arrays = {name: tensor.numpy() for name, tensor in tensors.items() if name != "weights"}
        rest = {name: facts[name] for name in ("complete", "subspace")}
        return Recording(settings=_settings(facts["settings"]), weights=tensors["weights"], **arrays, **rest)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"got {place}, which is no recording ({type(error).__name__}: {str(error).splitlines()[0]}), expected a file of recording.save(path)"
        ) from error


def is_recording(path: Path) -> bool:
    """Whether a safetensors file holds a recording rather than arrays of the user's own."""
    try:
        with safe_open(path, framework="pt") as stored:
            return KIND in (stored.metadata() or {})
    except (OSError, SafetensorError):
        return False


def _settings(given: dict[str, Any]) -> Settings:
    known = {member.name for member in fields(Settings)}
    if not set(given) <= known:
        raise ValueError(f"settings {', '.join(sorted(set(given) - known))} of another version")
    return Settings(**given | {"spawn_key": tuple(given.get("spawn_key", ()))})
