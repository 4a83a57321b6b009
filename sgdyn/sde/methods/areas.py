"""Increments of Brownian motion with their Lévy areas: what methods of strong order 1 need where noise does not commute."""

from __future__ import annotations

import math
from typing import Any

from sgdyn import checks
from sgdyn.codegen.contracts import GATHER_SIGNATURE
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, load, sqrt, store
from sgdyn.sde.methods.integrals import accumulate


@exact_helper
def area_row(j: Any, k: Any, rank: Any) -> Any:
    """Where the area of the Wiener processes j < k stands, after the `rank` increments."""
    return rank + j * rank - j * (j + 1) // 2 + k - j - 1


@exact_helper
def series_area(fresh: Any, j: Any, k: Any, rank: Any, terms: Any, p: Any) -> Any:
    """2 pi times the first terms of the Fourier series of the area; X_1, Y_1, X_2, ... stand after the increments."""
    root2, total = math.sqrt(2.0), load(fresh, j, p) * 0.0
    for r in range(terms):
        X, Y = rank + 2 * r * rank, rank + (2 * r + 1) * rank
        right = load(fresh, X + j, p) * (load(fresh, Y + k, p) + load(fresh, k, p) * root2)
        left = load(fresh, X + k, p) * (load(fresh, Y + j, p) + load(fresh, j, p) * root2)
        total = total + (right - left) / (r + 1.0)
    return total


@exact_helper
def tail_normal(fresh: Any, j: Any, k: Any, rank: Any, start: Any, p: Any) -> Any:
    """The element jk of the antisymmetric matrix G of normals whose upper half follows the row `start`."""
    if j == k:
        return load(fresh, j, p) * 0.0
    return load(fresh, start + area_row(min(j, k), max(j, k), rank), p) * (1.0 if j < k else -1.0)


@exact_helper
def tail_product(fresh: Any, j: Any, rank: Any, start: Any, p: Any) -> Any:
    """(G xi)_j."""
    total = load(fresh, j, p) * 0.0
    for k in range(rank):
        total = total + tail_normal(fresh, j, k, rank, start, p) * load(fresh, k, p)
    return total


@exact_helper
def squared_length(fresh: Any, rank: Any, p: Any) -> Any:
    """|xi|²."""
    total = load(fresh, 0, p) * load(fresh, 0, p)
    for k in range(1, rank):
        total = total + load(fresh, k, p) * load(fresh, k, p)
    return total


@exact_helper
def tail_area(fresh: Any, j: Any, k: Any, rank: Any, start: Any, p: Any) -> Any:
    """The rest of the series in units of its deviation: sqrt 2 (G + ((G xi) xi' - xi (G xi)')/(1 + sqrt(1 + |xi|²)))_jk."""
    across = tail_product(fresh, j, rank, start, p) * load(fresh, k, p) - tail_product(fresh, k, rank, start, p) * load(
        fresh, j, p
    )
    whole = tail_normal(fresh, j, k, rank, start, p) + across / (sqrt(squared_length(fresh, rank, p) + 1.0) + 1.0)
    return whole * math.sqrt(2.0)


@kernel(*GATHER_SIGNATURE)
def gather_areas(fresh: Any, variates: Any, i: Any, refine: Any) -> None:
    """Rows xi_j and A_jk, j < k: the increments by sqrt(dt) and A_jk = (int W_j dW_k - int W_k dW_j)/(2 dt).

    Of a fine step, the Fourier series with Wiktorsson's normal tail: Wiktorsson, Ann. Appl. Probab. 11, 470 (2001), section 4. Of
    the whole step, Chen's relation: the areas add up, with those of the polygon of increments.
    """
    count, n = variates.shape
    rank = int((math.sqrt(8.0 * count + 1.0) - 1.0) / 2.0 + 0.5)
    terms, root = (fresh.shape[0] - count) // (2 * rank), 1.0 / math.sqrt(refine)
    rest = math.pi**2 / 6.0
    for r in range(terms):
        rest -= 1.0 / (r + 1.0) ** 2
    scale, start = math.sqrt(rest), 2 * rank * terms
    for p in range(0, n, LANES):
        for j in range(rank):
            for k in range(j + 1, rank):
                area = (series_area(fresh, j, k, rank, terms, p) + tail_area(fresh, j, k, rank, start, p) * scale) / (
                    2.0 * math.pi * refine
                )
                if i > 0:
                    polygon = load(variates, j, p) * load(fresh, k, p) - load(variates, k, p) * load(fresh, j, p)
                    area = area + polygon * (0.5 * root)
                accumulate(variates, area_row(j, k, rank), p, area, i)
        for j in range(rank):
            accumulate(variates, j, p, load(fresh, j, p) * root, i)


def series_terms(rank: int, dt: float) -> int:
    """Terms of the series that keep strong order 1: the mean square error of an area is below dt³ (Wiktorsson 2001, section 4)."""
    return max(1, math.ceil(rank * math.sqrt(5.0 * (rank - 1) / (24.0 * math.pi**2 * dt))))


def area_rows(rank: int) -> int:
    """Increments and areas of a step."""
    return rank * (rank + 1) // 2


def area_normals(rank: int, dt: float, terms: int | None) -> int:
    """Normals that a step takes."""
    return area_rows(rank) + 2 * rank * (series_terms(rank, dt) if terms is None else checks.count("terms", terms))


@exact_helper
def repeated_integrals(variates: Any, k: Any, trace: Any, scale: Any, weights: Any) -> None:
    """weights_j = scale int int dW_j dW_k / dt: Itô's integrals for trace = 1, Stratonovich's for 0; symmetric if there are no areas."""
    rank = weights.shape[0]
    for j in range(rank):
        row, sign = area_row(min(j, k), max(j, k), rank), (1.0 if j < k else -1.0)
        for p in range(0, weights.shape[1], LANES):
            value = load(variates, j, p) * load(variates, k, p) * 0.5
            if j == k:
                value = value - 0.5 * trace
            elif variates.shape[0] > rank:
                value = value + load(variates, row, p) * sign
            store(weights, j, p, value * scale)
