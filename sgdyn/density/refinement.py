"""Errors from coarser grids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn.density.generator import Generator
from sgdyn.estimate import Estimate

ROUNDING = 1e-12
"""The relative error that two grids which agree by chance still have, and what is lost beside the scale of what is averaged."""
SLOWEST, SLOW = 0.5, 0.8
"""Orders that are seen on three grids and taken seriously."""
APART = 0.5
"""The share of a value by which two grids may differ before their errors follow no power."""


def refined(
    generator: Generator,
    quantity: Callable[[Generator], Any],
    order: int = 2,
    *,
    irregular: bool = False,
    scale: float = 0.0,
) -> Estimate:
    """A quantity of a generator, with its error from grids of half and of two thirds as many cells along each axis.

        value = fine + (fine - coarse)/(r^p - 1),   error = max( |fine - coarse|/(r^p - 1), |fine - medium| ),

    r the ratio of cell widths, p = `order`, or 1 where the drift is carried upwind or D had to be thickened (unless the order is above 2:
    averages over a density that is known); where some of the faces carry it upwind, often those without mass, the one from 1 to 2 that the
    three grids show. The medium grid is there because errors of two grids may cancel by chance, and to see orders below `SLOW`, with which
    the error is found then. Errors that are `irregular`, because boundaries lie anywhere between the cells, follow no power: then the error
    is max( |fine - coarse|, |fine - medium| ). Where the grids differ by more than half of the value, they are too coarse for any power,
    nothing is extrapolated, and a warning says so, unless the change is but rounding beside `scale`. `quantity` returns a number or an
    array. Raises ValueError if the grid has no coarser one.
    Source: Richardson 1911.
    """
    fine = np.asarray(quantity(generator))
    change, less = (_change(fine, np.asarray(quantity(g))) for g in (generator.coarse, generator.medium))
    seen = _Seen(change, less, ratio(generator, generator.coarse), ratio(generator, generator.medium))
    step = change / (seen.coarse ** _power(generator, order, seen) - 1)
    far = np.abs(change) > APART * np.abs(fine)
    error = np.maximum(np.abs(np.where(irregular | far, change, step)), np.abs(less))
    if not irregular:
        error = np.maximum(error, seen.slow_error())
    error = error + ROUNDING * np.abs(np.where(np.isfinite(fine), fine, 0.0))
    value = fine + np.where(far, 0.0, step)
    return Estimate(
        value[()], error[()], method(generator), warnings=(*_apart(fine, change, generator, scale), *generator.notes)
    )


@dataclass(frozen=True)
class _Seen:
    """Changes to the value from grids `coarse` and `medium` times as coarse, and the order that they show."""

    change: NDArray[Any]
    less: NDArray[Any]
    coarse: float
    medium: float

    @property
    def quotient(self) -> NDArray[np.float64]:
        size = np.where(np.isfinite(self.less), np.abs(self.less), 0.0) ** 2
        along = np.real(self.change * np.conj(self.less))
        return np.asarray(np.divide(along, size, out=np.zeros(np.shape(size)), where=size > 0))

    def order(self, least: float, most: float) -> NDArray[np.float64]:
        """The power of the cell width with these changes, cut off at `least` and `most`."""
        powers = np.linspace(least, most, 30)
        return np.asarray(np.interp(self.quotient, (self.coarse**powers - 1) / (self.medium**powers - 1), powers))

    def slow_error(self) -> NDArray[np.float64]:
        """The error that belongs to an order below `SLOW`, else 0: at densities that are singular, and on cells too wide for any power."""
        order = self.order(SLOWEST, SLOW)
        slow = (self.quotient > np.log(self.coarse) / np.log(self.medium)) & (order < SLOW)
        return np.where(slow, np.abs(self.change) / (self.coarse**order - 1), 0.0)


def _power(generator: Generator, order: int, seen: _Seen) -> Any:
    if is_smooth(generator) or order > 2:
        return order
    f = generator.faces
    partly = f is not None and f.upwinded < len(f.i) and generator.lattice.added == 0
    return seen.order(1.0, 2.0) if partly else 1


def _apart(fine: NDArray[Any], change: NDArray[Any], generator: Generator, scale: float) -> tuple[str, ...]:
    """Whether the grids differ by much of the value."""
    known = (fine != 0) & np.isfinite(fine) & np.isfinite(change) & (np.abs(change) >= ROUNDING * scale)
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
