"""The functions of 32-bit vectors against mpmath in units in the last place, and at the ends of the floats against NumPy."""

import mpmath as mp
import numpy as np
import pytest
from numba import njit

from sgdyn.codegen import elementary32
from sgdyn.codegen.vector import load, store
from tests.codegen import vectors

mp.mp.dps = 40
RNG = np.random.default_rng(0)
N = 400
LANES = 32

CASES = {
    "exp": (mp.exp, [RNG.uniform(-5, 5, N), RNG.uniform(-87, 88.7, N)], 1.0),
    "expm1": (mp.expm1, [RNG.uniform(-1, 1, N), RNG.normal(size=N) * 1e-4, RNG.uniform(-80, 88, N)], 2.0),
    "log": (mp.log, [RNG.uniform(0.3, 3, N), 1 + RNG.normal(size=N) * 1e-3, np.exp(RNG.uniform(-86, 88, N)), [1e-45, 1e-40]], 1.5),
    "log1p": (mp.log1p, [RNG.uniform(-0.9, 3, N)], 1.0),
    "sin": (mp.sin, [RNG.uniform(-10, 10, N), RNG.uniform(-8000, 8000, N), np.pi / 2 * np.arange(100), [1e6, -3e9]], 1.5),
    "cos": (mp.cos, [RNG.uniform(-10, 10, N), RNG.uniform(-8000, 8000, N), np.pi / 2 * np.arange(100), [1e6, -3e9]], 1.5),
    "tan": (mp.tan, [RNG.uniform(-10, 10, N)], 3.0),
    "tanh": (mp.tanh, [RNG.uniform(-3, 3, N), RNG.normal(size=N) * 1e-4, RNG.uniform(-30, 30, N)], 2.0),
    "sinh": (mp.sinh, [RNG.uniform(-3, 3, N)], 1.0),
    "cosh": (mp.cosh, [RNG.uniform(-3, 3, N)], 1.0),
    "arctan": (mp.atan, [RNG.uniform(-10, 10, N)], 1.0),
    "erf": (mp.erf, [RNG.uniform(-3, 3, N)], 1.0),
}  # fmt: skip


def apply(name, x):
    return vectors.apply(getattr(elementary32, name), x, load, LANES, np.float32)


@pytest.mark.parametrize("name", CASES)
def test_functions_are_right_to_a_few_units_in_the_last_place(name):
    exact, parts, allowed = CASES[name]
    x = np.concatenate(parts).astype(np.float32)
    for xi, found in zip(x, apply(name, x), strict=True):
        reference = exact(mp.mpf(float(xi)))
        unit = mp.mpf(float(np.spacing(np.float32(abs(float(reference))))))
        assert abs(mp.mpf(float(found)) - reference) / unit <= allowed, (xi, found, reference)


@pytest.mark.parametrize("name", ["exp", "expm1", "log", "sin", "cos", "tanh"])
def test_functions_agree_with_numpy_at_the_ends_of_the_floats(name):
    ends = [
        0.0,
        -0.0,
        np.inf,
        -np.inf,
        np.nan,
        1.0,
        -1.0,
        3e38,
        -3e38,
        88.7,
        89.0,
        -87.3,
        -88.0,
        -104.0,
        -1e-42,
        1e30,
        1e-45,
    ]
    x = np.array(ends, dtype=np.float32)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x.astype(float)).astype(np.float32)
    if name == "exp":
        expected = np.where(expected < np.finfo(np.float32).tiny, np.float32(0), expected)
    found = apply(name, x)
    np.testing.assert_allclose(found, expected, rtol=2.5e-7, atol=0)
    assert vectors.signs_of_zeros_agree(found, expected)


def test_functions_of_two_arguments_are_those_of_64_bits():
    @njit
    def loop(x, out):
        for p in range(0, x.shape[1], LANES):
            store(out, 0, p, elementary32.power(load(x, 0, p), 2.5))
            store(out, 1, p, elementary32.arctan2(1.0, load(x, 0, p)))

    x = RNG.uniform(0.1, 5, (1, 64)).astype(np.float32)
    out = np.empty((2, 64), np.float32)
    loop(x, out)
    wide = x[0].astype(float)
    np.testing.assert_allclose(out, [wide**2.5, np.arctan2(1.0, wide)], rtol=1e-7)


SMALL = mp.mpf(10) ** -12
THIRD, HALF_LN2, EIGHTH_TURN = mp.mpf(1) / 3, mp.log(2) / 2, (mp.pi / 4) ** 2
FITS = {
    "EXP": (lambda r: (mp.exp(r) - 1 - r) / r**2 if abs(r) > SMALL else mp.mpf(1) / 2, -HALF_LN2, HALF_LN2),
    "LOG": (lambda f: (mp.log1p(f) - f + f * f / 2) / f**3 if abs(f) > SMALL else THIRD, 1 / mp.sqrt(2) - 1, mp.sqrt(2) - 1),
    "SIN": (lambda z: (mp.sin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, mp.mpf(0), EIGHTH_TURN),
    "COS": (lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2, mp.mpf(0), EIGHTH_TURN),
}  # fmt: skip


@pytest.mark.parametrize("name", FITS)
def test_coefficients_are_the_interpolants_they_claim_to_be(name):
    given = getattr(elementary32, name)
    f, low, high = FITS[name]
    np.testing.assert_allclose(given, vectors.interpolant(f, low, high, len(given) - 1), rtol=1e-9)
