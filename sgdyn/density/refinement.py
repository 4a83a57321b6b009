"""Errors from coarser grids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.generator import Generator
from sgdyn.estimate import Estimate

ROUNDING = 1e-12
"""The relative error that two grids which agree by chance still have."""
SLOWEST, SLOW = 0.5, 0.8
"""Orders that are seen on three grids and taken seriously."""
APART = 0.5
"""The share of a value by which two grids may differ before their errors follow no power."""


def refined(
    generator: Generator, quantity: Callable[[Generator], Any], order: int = 2, *, irregular: bool = False
) -> Estimate:
    """A quantity of a generator, with its error from grids of half and of two thirds as many cells along each axis.

        value = fine + (fine - coarse)/(r^p - 1),   error = max( |fine - coarse|/(r^p - 1), |fine - medium| ),

    r the ratio of cell widths, p = `order`, or 1 where the drift is carried upwind or D had to be thickened (unless the order is above 2:
    averages over a density that is known). The medium grid is there because errors of two grids may cancel by chance, and to see
    orders below `SLOW`, with which the error is found then. Errors that are `irregular`, because boundaries lie anywhere between the cells, follow
    no power: then the error is max( |fine - coarse|, |fine - medium| ). Where the grids differ by more than half of the value, they are
    too coarse for any power, nothing is extrapolated, and a warning says so. `quantity` returns a number or an array. Raises ValueError if the
    grid has no coarser one.
    Source: Richardson 1911.
    """
    fine, power = np.asarray(quantity(generator)), order if is_smooth(generator) or order > 2 else 1
    change, less = (_change(fine, np.asarray(quantity(g))) for g in (generator.coarse, generator.medium))
    step = change / (ratio(generator, generator.coarse) ** power - 1)
    far = np.abs(change) > APART * np.abs(fine)
    error = np.maximum(np.abs(np.where(irregular | far, change, step)), np.abs(less))
    if not irregular:
        ratios = (ratio(generator, g) for g in (generator.coarse, generator.medium))
        error = np.maximum(error, _slow(change, less, *ratios))
    error = error + ROUNDING * np.abs(np.where(np.isfinite(fine), fine, 0.0))
    value = fine + np.where(far, 0.0, step)
    return Estimate(
        value[()], error[()], method(generator), warnings=(*_apart(fine, change, generator), *generator.notes)
    )


def _slow(change: NDArray[Any], less: NDArray[Any], r: float, s: float) -> NDArray[Any]:
    """The error change/(r^q - 1) where the changes from grids r and s times as coarse show an order q below `SLOW`, else 0.

    So it is where a density is singular at a wall, or cells are still too wide for any power.
    """
    orders = np.linspace(SLOWEST, SLOW, 30)
    quotients = (r**orders - 1) / (s**orders - 1)
    size = np.where(np.isfinite(less), np.abs(less), 0.0) ** 2
    seen = np.divide(np.real(change * np.conj(less)), size, out=np.zeros(np.shape(change)), where=size > 0)
    slow = (seen > np.log(r) / np.log(s)) & (seen < quotients[-1])
    return np.where(slow, np.abs(change) / (r ** np.interp(seen, quotients, orders) - 1), 0.0)


def _apart(fine: NDArray[Any], change: NDArray[Any], generator: Generator) -> tuple[str, ...]:
    """Whether the grids differ by much of the value."""
    known = (fine != 0) & np.isfinite(fine) & np.isfinite(change)
    share = np.abs(change[known] / fine[known])
    if not np.any(share > APART):
        return ()
    return (
        f"the value changes by {100 * share.max():.0f} % from {cells(generator.coarse)} to {cells(generator)} cells: neither is fine enough for "
        "the error to be more than a guess; type a Grid with more cells",
    )


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
