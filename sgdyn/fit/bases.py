"""Functions on which drift and diffusion are projected: polynomials, or what users write down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import mul
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdyn import checks
from sgdyn.codegen.formula import Formula, combined, traced
from sgdyn.fit.local_moments import exponents

Floats = NDArray[np.float64]

Basis = int | Callable[..., Any] | Sequence[Callable[..., Any]]
MOST = 2000
"""Functions in a basis."""


def written(basis: Any, center: Floats, scale: Floats) -> Formula:
    """A basis (count,) from the degree of polynomials in (x - center)/scale, one function that returns an array, or several.

    Raises TypeError for anything else and ValueError for a degree below 0 or arrays of another rank.
    """
    dim = len(center)
    if isinstance(basis, int | np.integer) and not isinstance(basis, bool):
        return polynomials(checks.count("the degree of the basis", basis, least=0), center, scale)
    if callable(basis):
        found = traced(basis, dim)
    elif isinstance(basis, Sequence) and not isinstance(basis, str) and basis and all(callable(b) for b in basis):
        found = traced(lambda x: np.array([function(x) for function in basis]), dim, {})
    else:
        raise TypeError(
            f"got basis={basis!r}, expected a degree, a function of x that returns an array, or a list of functions; type basis=2"
        )
    if len(found.shape) != 1:
        raise ValueError(f"got a basis of shape {found.shape}, expected (count,); type lambda x: np.array([...])")
    return found


def polynomials(degree: int, center: Floats, scale: Floats) -> Formula:
    """Products of up to `degree` standardised coordinates."""
    chosen = exponents(len(center), degree)
    if len(chosen) > MOST:
        raise ValueError(
            f"got {len(chosen)} polynomials of degree {degree}, expected at most {MOST}; type a lower basis="
        )

    def values(x: Any, center: Any, scale: Any) -> Any:
        z = [(x[i] - center[i]) / scale[i] for i in range(len(x))]
        return np.array([reduce(mul, [z[i] for i in c], 1.0 + 0 * x[0]) for c in chosen])

    return traced(values, len(center), {"center": center, "scale": scale})


def projected(name: str, basis: Formula, coefficients: Floats) -> Formula:
    """sum_a coefficients[..., a] basis_a(x), the coefficients as parameters."""
    shape = coefficients.shape

    def rule(b: Any, *c: Any) -> Any:
        return np.array(c, dtype=object).reshape(shape) @ b

    return combined(name, [basis], shape[:-1], rule, np.ravel(coefficients).tolist())
