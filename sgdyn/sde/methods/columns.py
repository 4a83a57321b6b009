"""Noise one Wiener process at a time: the columns of sigma(x)."""

from __future__ import annotations

from typing import Any

from sgdyn.codegen.jit import exact_helper
from sgdyn.codegen.vector import LANES, load, store


@exact_helper
def fill_rows(rows: Any, value: Any) -> None:
    """rows = value."""
    for i in range(rows.shape[0]):
        for p in range(rows.shape[1]):
            rows[i, p] = value


@exact_helper
def shift(target: Any, base: Any, alpha: Any, direction: Any) -> None:
    """target = base + alpha direction."""
    for i in range(base.shape[0]):
        for p in range(0, base.shape[1], LANES):
            store(target, i, p, load(base, i, p) + load(direction, i, p) * alpha)


@exact_helper
def column(noise: Any, phi: Any, point: Any, k: Any, scale: Any, weights: Any, out: Any) -> None:
    """out = scale sigma(point) e_k."""
    fill_rows(weights, 0.0)
    fill_rows(weights[k : k + 1], scale)
    noise(point, phi, weights, out)
