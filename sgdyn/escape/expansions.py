"""Laplace's method next to critical points: what the first terms beyond the Gaussian one are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.polynomial import chebyshev as series
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Function = Callable[[Floats], Floats]

DEGREE = 10
LARGEST_TENSOR = 12
"""Above this dimension third and fourth derivatives are not built."""


def derivatives(f: Function, x: float, h: float, count: int) -> Floats:
    """f and its first derivatives (count + 1,) at x, from the polynomial through its values at Chebyshev points of [x - h, x + h]."""
    nodes = -np.cos(np.pi * np.arange(DEGREE + 1) / DEGREE)
    coefficients = np.linalg.solve(series.chebvander(nodes, DEGREE), f(x + h * nodes))
    return np.array([series.chebval(0.0, series.chebder(coefficients, k)) / h**k for k in range(count + 1)])


def well_term(slopes: Floats, weight: Floats) -> float:
    """c in ∫ e^-Psi g dx = sqrt(2 pi/Psi'') e^-Psi g (1 + c + ...), from (Psi', ..., Psi'''') and (g, g', g'')."""
    _, p2, p3, p4 = slopes
    g, g1, g2 = weight
    return float(5 * p3**2 / (24 * p2**3) - p4 / (8 * p2**2) + g2 / (2 * g * p2) - g1 * p3 / (2 * g * p2**2))


def saddle_term(slopes: Floats) -> float:
    """c in ∫ e^Psi dx = sqrt(2 pi/|Psi''|) e^Psi (1 + c + ...) at a maximum of Psi."""
    _, p2, p3, p4 = slopes
    return float(5 * p3**2 / (24 * abs(p2) ** 3) + p4 / (8 * p2**2))


def gaussian_correction(hessian: Function, x: Floats, metric: Floats) -> float:
    """c in ∫ e^{-U/T} = Gaussian (1 + c T + ...) at a critical point, continued analytically to saddles.

        c = -U_iijj/8 + U_iij U_jkk/8 + U_ijk U_ijk/12,   indices contracted with (Hess U)^-1

    Third and fourth derivatives are differences of Hessians along eigenvectors. metric: D (dim, dim), for which steps are of one size.
    """
    L = np.linalg.cholesky(metric)
    values, vectors = np.linalg.eigh(L.T @ hessian(x) @ L)
    scaled, signs = L @ vectors / np.sqrt(np.abs(values)), np.sign(values)
    h = 1e-2 * (1 + np.abs(x).max()) / np.linalg.norm(scaled, axis=0).max()
    center = hessian(x)
    up, down = (np.array([hessian(x + sign * h * e) for e in scaled.T]) for sign in (1, -1))
    third = np.einsum("aij,ib,jc->abc", (up - down) / (2 * h), scaled, scaled)
    fourth = np.einsum("aij,ib,jb->ab", (up - 2 * center + down) / h**2, scaled, scaled)
    s = signs
    vector = np.einsum("aab,a->b", third, s)
    return float(
        -np.einsum("ab,a,b->", fourth, s, s) / 8
        + np.sum(vector**2 * s) / 8
        + np.einsum("abc,a,b,c->", third**2, s, s, s) / 12
    )
