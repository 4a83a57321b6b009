"""Errors from two grids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.generator import Generator
from sgdyn.estimate import Estimate

ROUNDING = 1e-12
"""The relative error that two grids which agree by chance still have."""


def refined(
    generator: Generator, quantity: Callable[[Generator], Any], order: int = 2, *, irregular: bool = False
) -> Estimate:
    """A quantity of a generator, with its error from the grid of half as many cells along each axis.

        value = fine + (fine - coarse)/(r^p - 1),   error = |fine - coarse|/(r^p - 1),

    r the ratio of cell widths, p = `order`, or 1 where the drift is carried upwind or D had to be thickened. Errors that are `irregular`,
    because boundaries lie anywhere between the cells, follow no power and may cancel by chance: then the error is the whole of
    |fine - coarse|, the largest of this grid and of a third, of two thirds as many cells. `quantity` returns a number or an array.
    Raises ValueError if the grid has no coarser one.
    Source: Richardson 1911.
    """
    fine, power = np.asarray(quantity(generator)), order if is_smooth(generator) else 1
    change = _change(fine, np.asarray(quantity(generator.coarse)))
    step = change / (ratio(generator, generator.coarse) ** power - 1)
    error = np.abs(step)
    if irregular:
        error = np.maximum(np.abs(change), np.abs(_change(fine, np.asarray(quantity(generator.medium)))))
    error = error + ROUNDING * np.abs(np.where(np.isfinite(fine), fine, 0.0))
    return Estimate((fine + step)[()], error[()], method(generator), warnings=generator.notes)


def _change(fine: NDArray[Any], coarse: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(invalid="ignore"):
        return np.where(fine == coarse, 0.0, fine - coarse)


def is_smooth(generator: Generator) -> bool:
    """Whether errors fall with the square of the cell width."""
    return (generator.faces is None or generator.faces.upwinded == 0) and generator.lattice.added == 0


def ratio(generator: Generator, other: Generator) -> float:
    """Widths of the cells of a coarser grid over those of the generator."""
    shapes = zip(generator.grid.shape, other.grid.shape, strict=True)
    r = float(np.exp(np.mean([np.log(n / m) for n, m in shapes])))
    if r <= 1:
        raise ValueError(
            f"got a grid of {cells(generator)} cells, expected more: errors come from coarser grids; type at least 4 cells along an axis"
        )
    return r


def cells(generator: Generator) -> str:
    """The grid in words."""
    return "x".join(map(str, generator.grid.shape))


def method(generator: Generator) -> str:
    """How a number was found."""
    return f"Fokker-Planck, {cells(generator)} cells"
