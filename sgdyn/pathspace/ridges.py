"""Strings that came to rest on a ridge, kept there by a symmetry: found by the Hessian at their top, and pushed off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sgdyn.escape.following import softest
from sgdyn.escape.surfaces import Surface

Floats = NDArray[np.float64]

DOWN = 1e-3
"""A second curvature counts as negative below minus this share of the first."""
WIDTHS = np.array([0.02, 0.05, 0.1, 0.2, 0.4])
"""Strings are pushed by these shares of their length to either side; the one with the lowest top is taken."""


def across_ridge(surface: Surface, x: Floats) -> Floats | None:
    """A direction (dim,) across the string in which U falls at its top, None if it falls along it alone, as at saddles."""
    top = int(np.argmax(surface.value(x)))
    if surface.dim == 1 or not 0 < top < len(x) - 1:
        return None
    values, vectors = softest(surface.product(x[top]), 2)
    if not values[1] < -DOWN * abs(values[0]):
        return None
    t = x[top + 1] - x[top - 1]
    along = vectors.T @ (t / np.linalg.norm(t))
    direction = vectors @ np.array([-along[1], along[0]])
    size = np.linalg.norm(direction)
    return np.asarray(direction / size if size > 1e-3 else vectors[:, 0])


def pushed(surface: Surface, x: Floats, direction: Floats) -> Floats:
    """The string pushed that way, or the other, as far as its top becomes lowest."""
    length = np.linalg.norm(np.diff(x, axis=0), axis=1).sum()
    bump = np.sin(np.pi * np.linspace(0, 1, len(x)))[:, None] * direction
    bump[-1] = 0.0
    tried = [x + width * length * bump for width in np.concatenate([WIDTHS, -WIDTHS])]
    with np.errstate(over="ignore", invalid="ignore"):
        tops = [float(surface.value(one).max()) for one in tried]
    return np.asarray(tried[int(np.argmin(np.where(np.isfinite(tops), tops, np.inf)))])
