"""Studies: one file each (that of reachability with its landscape in `valleys`, its pictures in `valley_pictures`), a frozen `Config`, `run(config)` -> arrays, `draw(config, arrays)` -> figure; `sgdyn study NAME` runs them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields, replace
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np

NAMES = (
    "anisotropy",
    "connectivity",
    "escape_time",
    "limit_cycles",
    "linear_scaling",
    "noise_spectrum",
    "reachability",
    "sampler",
    "sharp_minima",
    "sloppy",
)


def load(name: str) -> Any:
    """The module of a study. Raises ValueError for unknown names."""
    if name not in NAMES:
        raise ValueError(f"got the study {name!r}, expected one of {', '.join(NAMES)}")
    return import_module(f"sgdyn.studies.{name}")


def configure(module: Any, options: list[str]) -> Any:
    """The study's Config with options --name value, each converted to the type of its default. Raises ValueError for others."""
    config = module.Config()
    kinds = {field.name: type(getattr(config, field.name)) for field in fields(config)}
    if len(options) % 2:
        raise ValueError(f"got the option {options[-1]} without a value")
    for flag, value in zip(options[::2], options[1::2], strict=True):
        name = flag.removeprefix("--").replace("-", "_")
        if not flag.startswith("--") or name not in kinds:
            raise ValueError(f"got {flag}, expected one of {', '.join('--' + kind for kind in kinds)}")
        config = replace(config, **{name: _converted(flag, value, kinds[name])})
    return config


def _converted(flag: str, value: str, kind: type) -> Any:
    try:
        return kind(value)
    except ValueError as error:
        raise ValueError(
            f"got {flag} {value}, expected a {'whole number' if kind is int else kind.__name__}"
        ) from error


def perform(name: str, config: Any, folder: Path, *, fresh: bool = False) -> tuple[dict[str, Any], Path]:
    """Run a study, or take its cached result; write arrays, figure (figure.svg, figure.png), manifest.json and, where it has one, its table.txt. Returns (arrays, folder)."""
    module = load(name)
    content = json.dumps(asdict(config), sort_keys=True)
    place = folder / f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
    place.mkdir(parents=True, exist_ok=True)
    stored = place / "result.npz"
    if fresh or not stored.exists():
        np.savez_compressed(stored, **module.run(config))
    with np.load(stored, allow_pickle=False) as found:
        arrays = dict(found)
    figure = module.draw(config, arrays)
    for kind in ("svg", "png"):
        figure.savefig(place / f"figure.{kind}", dpi=150)
    manifest = {
        "study": name,
        "config": asdict(config),
        "sgdyn": metadata.version("sgdyn"),
        "says": module.summary(config, arrays),
    }
    if hasattr(module, "table"):
        (place / "table.txt").write_text(module.table(config, arrays) + "\n", encoding="utf-8")
    (place / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return arrays, place
