"""Functions of vectors on arrays, and the polynomials they are made of."""

import mpmath as mp
import numpy as np
from numba import njit

from sgdyn.codegen.vector import store


def apply(function, x, load, lanes, dtype):
    """A function of vectors of so many lanes at the points x (n,)."""

    @njit
    def loop(x, out):
        for p in range(0, x.shape[1], lanes):
            store(out, 0, p, function(load(x, 0, p)))

    padded = np.resize(np.asarray(x, dtype=dtype), (1, -(-len(x) // lanes) * lanes))
    out = np.empty_like(padded)
    loop(padded, out)
    return out[0, : len(x)]


def signs_of_zeros_agree(found, expected):
    """Whether the zeros of the expected numbers have their signs."""
    zero = expected == 0
    return np.array_equal(np.signbit(found[zero]), np.signbit(expected[zero]))


def interpolant(f, low, high, degree):
    """Coefficients of the polynomial through the Chebyshev points, in the digits that mpmath is set to."""
    n = degree + 1
    points = [(low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (2 * k + 1) / (2 * n)) for k in range(n)]
    return [
        float(c)
        for c in mp.lu_solve(mp.matrix([[x**j for j in range(n)] for x in points]), mp.matrix([f(x) for x in points]))
    ]
