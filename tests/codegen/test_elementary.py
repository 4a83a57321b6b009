"""The vector functions against mpmath, in units in the last place, and at the ends of the floats against NumPy."""

import mpmath as mp
import numpy as np
import pytest

from sgdyn import randomness
from sgdyn.codegen import elementary
from sgdyn.codegen.vector import LANES, load, load_broad
from sgdyn.randomness import COSINE, SINE
from sgdyn.sde import variates
from tests.codegen import vectors

mp.mp.dps = 40
RNG = np.random.default_rng(0)
N = 400
LARGE = RNG.uniform(-700, 709, N)

CASES = {
    "exp": (mp.exp, [RNG.uniform(-5, 5, N), LARGE], 1.0),
    "expm1": (mp.expm1, [RNG.uniform(-1, 1, N), RNG.normal(size=N) * 1e-5, LARGE], 2.0),
    "log": (mp.log, [RNG.uniform(0.3, 3, N), 1 + RNG.normal(size=N) * 1e-3, np.exp(LARGE), [5e-324, 1e-310]], 1.0),
    "log1p": (mp.log1p, [RNG.uniform(-0.9, 3, N), RNG.normal(size=N) * 1e-8, np.exp(np.abs(LARGE))], 1.5),
    "sin": (
        mp.sin,
        [RNG.uniform(-10, 10, N), RNG.uniform(-1e6, 1e6, N), np.pi / 2 * np.arange(100), [1e9, -3e15]],
        1.5,
    ),
    "cos": (
        mp.cos,
        [RNG.uniform(-10, 10, N), RNG.uniform(-1e6, 1e6, N), np.pi / 2 * np.arange(100), [1e9, -3e15]],
        1.5,
    ),
    "tan": (mp.tan, [RNG.uniform(-10, 10, N)], 3.0),
    "tanh": (mp.tanh, [RNG.uniform(-3, 3, N), RNG.normal(size=N) * 1e-5, RNG.uniform(-30, 30, N)], 2.0),
    "sinh": (mp.sinh, [RNG.uniform(-3, 3, N), RNG.normal(size=N) * 1e-5, RNG.uniform(-705, 705, N)], 2.5),
    "cosh": (mp.cosh, [RNG.uniform(-3, 3, N), RNG.uniform(-705, 705, N)], 2.5),
    "arctan": (mp.atan, [RNG.uniform(-10, 10, N)], 1.0),
    "erf": (mp.erf, [RNG.uniform(-3, 3, N)], 1.5),
}


def apply(name, x, load=load, lanes=LANES):
    return vectors.apply(getattr(elementary, name), x, load, lanes, float)


@pytest.mark.parametrize("name", CASES)
def test_functions_are_right_to_a_few_units_in_the_last_place(name):
    exact, parts, allowed = CASES[name]
    x = np.concatenate(parts)
    for xi, found in zip(x, apply(name, x), strict=True):
        reference = exact(mp.mpf(float(xi)))
        if abs(reference) > 1.7e308 or abs(reference) < 1e-320:
            continue
        unit = mp.mpf(float(np.spacing(abs(float(reference)))))
        assert abs(mp.mpf(float(found)) - reference) / unit <= allowed, (xi, found, reference)


@pytest.mark.parametrize("name", ["exp", "log", "sin", "tanh", "arctan"])
def test_broad_vectors_give_the_same_bits(name):
    x = np.concatenate(CASES[name][1])
    np.testing.assert_array_equal(apply(name, x, load_broad, 2 * LANES), apply(name, x))


@pytest.mark.parametrize("name", ["exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "sinh", "cosh"])
def test_functions_agree_with_numpy_at_the_ends_of_the_floats(name):
    x = np.array(
        [
            0.0,
            -0.0,
            np.inf,
            -np.inf,
            np.nan,
            1.0,
            -1.0,
            1e308,
            -1e308,
            709.7,
            710.0,
            -745.0,
            -746.0,
            -1e-320,
            1e300,
            5e-324,
        ]
    )
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x)
    if name == "exp":
        expected = np.where(expected < np.finfo(float).tiny, 0.0, expected)  # what is not a normal number is flushed
    found = apply(name, x)
    np.testing.assert_allclose(found, expected, rtol=4e-16, atol=0)
    assert vectors.signs_of_zeros_agree(found, expected)


SMALL = mp.mpf(10) ** -15
FITS = {
    "EXP": (elementary.EXP, lambda r: (mp.exp(r) - 1 - r) / r**2 if abs(r) > SMALL else mp.mpf(1) / 2, -mp.log(2) / 2, mp.log(2) / 2),
    "LOG": (elementary.LOG, lambda z: (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2) / z if z > SMALL else mp.mpf(2) / 3, mp.mpf(0), ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2),
    "SIN": (elementary.SIN, lambda z: (mp.sin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, mp.mpf(0), (mp.pi / 4) ** 2),
    "COS": (elementary.COS, lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2, mp.mpf(0), (mp.pi / 4) ** 2),
    "SINE": (SINE, lambda z: mp.sin(mp.pi / 2 * mp.sqrt(z)) / mp.sqrt(z), mp.mpf(0), mp.mpf(1)),
    "LOG of uniforms": (randomness.LOG, lambda z: -4 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) if z > SMALL else mp.mpf(-4), mp.mpf(0), ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2),
    "LOG32": (variates.LOG32, lambda f: mp.log1p(f) / f if abs(f) > SMALL else mp.mpf(1), 1 / mp.sqrt(2) - 1, mp.sqrt(2) - 1),
    "SINE32": (variates.SINE32, lambda z: mp.sin(mp.pi / 2 * mp.sqrt(z)) / mp.sqrt(z), mp.mpf(0), mp.mpf(1)),
    "COSINE32": (variates.COSINE32, lambda z: mp.cos(mp.pi / 2 * mp.sqrt(z)) / (1 - z), mp.mpf(0), mp.mpf(1)),
    "COSINE": (COSINE, lambda z: mp.cos(mp.pi / 2 * mp.sqrt(z)) / (1 - z), mp.mpf(0), mp.mpf(1)),
}  # fmt: skip


@pytest.mark.parametrize("name", FITS)
def test_coefficients_are_the_interpolants_they_claim_to_be(name):
    given, f, low, high = FITS[name]
    np.testing.assert_allclose(given, vectors.interpolant(f, low, high, len(given) - 1), rtol=1e-9)
