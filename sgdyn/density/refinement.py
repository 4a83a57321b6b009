"""Errors from two grids."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from sgdyn.estimate import Estimate

if TYPE_CHECKING:
    from sgdyn.density.generator import Generator


def refined(generator: Generator, quantity: Callable[[Generator], Any], order: float = 2.0) -> Estimate:
    """A quantity extrapolated from a grid and one half as fine, with |fine - coarse|/(ratio^order - 1) as its error."""
    fine, coarse = np.asarray(quantity(generator)), np.asarray(quantity(generator.coarse))
    first = (generator.faces is not None and generator.faces.upwinded) or generator.lattice.added > 0
    shapes = zip(generator.grid.shape, generator.coarse.grid.shape, strict=True)
    ratio = float(np.exp(np.mean([np.log(n / m) for n, m in shapes])))
    with np.errstate(invalid="ignore"):
        step = (fine - coarse) / (ratio ** (1.0 if first else order) - 1)
        value, error = fine + step, np.abs(step)
    value, error = np.where(np.isfinite(fine), value, fine), np.where(np.isfinite(fine), error, 0.0)
    method = f"Fokker-Planck, {'x'.join(map(str, generator.grid.shape))} cells"
    return Estimate(value if value.ndim else float(value), error if error.ndim else float(error), method)
