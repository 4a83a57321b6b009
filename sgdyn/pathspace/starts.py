"""Paths from which critical paths of the action are looked for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sgdyn.pathspace.criticality import BAND_LIMIT
from sgdyn.pathspace.paths import Path

SAME = 1e-3
"""Two paths that come this close everywhere, relative to their size, are one."""
MODES = 3
"""Random starts bend with so many half waves."""


def same_path(one: Path, other: Path, width: float) -> bool:
    """Whether two paths between the same ends are one, width being how far paths of this kind spread."""
    near = SAME * (float(np.ptp(other.x, axis=0).max()) + SAME * width)
    return bool(np.abs(one.x - other.x).max() <= near)


def mirrored(path: Path, width: float) -> list[Path]:
    """The path's image across the chord between its ends, where it is another one: in a symmetric landscape as good as the path itself."""
    chord = path.x[-1] - path.x[0]
    along = chord / (np.linalg.norm(chord) or 1.0)
    bend = path.x - path.x[0]
    image = Path(path.x[0] + 2 * np.outer(bend @ along, along) - bend, path.t)
    return [] if same_path(image, path, width) else [image]


def bent_starts(
    coarse: Path, count: int, seed: int, dim: int, width: float, newton: bool = True
) -> Iterator[tuple[Path, bool]]:
    """The straight path, early and late ones, then randomly bent ones; each by descent and (in few dimensions) without."""
    s = np.linspace(0, 1, coarse.n + 1)[:, None]
    size = np.linalg.norm(coarse.x[-1] - coarse.x[0]) or width
    rng = np.random.default_rng(seed)
    paths = [coarse]
    if dim <= BAND_LIMIT:
        paths += [Path(coarse.x[0] + s**power * (coarse.x[-1] - coarse.x[0]), coarse.t) for power in (0.25, 4.0)]
    bend = np.zeros_like(coarse.x)
    for k in range(count):
        if k % 2 == 0:  # each bend is followed by the opposite one
            weights = rng.normal(size=(MODES, dim)) * size / np.sqrt(dim)
            bend = np.sum([w * np.sin((j + 1) * np.pi * s) / (j + 1) for j, w in enumerate(weights)], axis=0)
        paths.append(Path(coarse.x + bend * (1 - 2 * (k % 2)), coarse.t))
    for path in paths:
        yield path, True
        if newton:
            yield path, False
