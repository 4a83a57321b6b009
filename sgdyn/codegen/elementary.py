"""Elementary functions of vector values, to one or two units in the last place.

Numba has lost its vector library (SVML), and a scalar libm call per path makes a transcendental drift several times slower. The
polynomials are Chebyshev interpolants computed in sixty digits; `tests/codegen/test_elementary.py` recomputes them.
Argument reduction after Cody and Waite, Software Manual for the Elementary Functions (1980).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sgdyn.codegen.jit import exact_helper
from sgdyn.codegen.vector import (
    absolute,
    any_of,
    bits,
    copysign,
    fma,
    from_bits,
    lane,
    lanes,
    nearest,
    select,
    with_lane,
)

# (exp r - 1 - r)/r², |r| <= ln 2 / 2
EXP = (0.5000000000000001, 0.16666666666666669, 0.041666666666624164, 0.008333333333330065, 0.0013888888917196719,
       0.00019841269863040545, 2.4801521322368692e-05, 2.7557268480310024e-06, 2.7620075879983367e-07, 2.5100375832561234e-08)  # fmt: skip
# (2 atanh(s)/s - 2)/s² in s², |s| <= (sqrt 2 - 1)/(sqrt 2 + 1)
LOG = (0.666666666666667, 0.39999999999899505, 0.28571428625975487, 0.2222221113479508, 0.18182889125261723, 0.15331721600556042,
       0.14616449685043406)  # fmt: skip
# (sin r / r - 1)/r² and (cos r - 1 + r²/2)/r⁴ in r², |r| <= pi/4
SIN = (-0.16666666666666666, 0.008333333333330948, -0.00019841269836758574, 2.755731610255244e-06, -2.5051131845003624e-08,
       1.5918129294866608e-10)  # fmt: skip
COS = (0.041666666666666664, -0.0013888888888887398, 2.480158729876569e-05, -2.7557317271729793e-07, 2.08761462684032e-09,
       -1.1382632425521717e-11)  # fmt: skip

LN2_HIGH, LN2_LOW = 0.6931471805598903, 5.497923018708371e-14
HALF_PI = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)
REDUCIBLE = 1e6  # beyond, three words of pi/2 no longer suffice: libm, lane by lane
INTEGER = 6755399441055744.0  # 1.5 * 2**52: adding it leaves an integer in the low bits
BIAS, EXPONENT = np.uint64(1023), np.uint64(52)
SQRT_HALF, TWO_POWER_10 = np.uint64(0x3FE6A09E667F3BCD), np.uint64(1024)
TWO_POWER_52 = np.uint64(0x4330000000000000)
ONE, TWO = np.uint64(1), np.uint64(2)


@exact_helper
def _power_of_two(n: Any) -> Any:
    """2^n for integers -1022 <= n <= 1023 held in floats."""
    return from_bits((bits(n + INTEGER) + BIAS) << EXPONENT)


@exact_helper
def _exp_parts(x: Any) -> tuple[Any, Any]:
    """n and e^r - 1 with x = n ln 2 + r."""
    n = nearest(x * 1.4426950408889634)
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x))
    q = fma(fma(fma(EXP[9], r, EXP[8]), r, EXP[7]), r, EXP[6])
    q = fma(fma(fma(fma(fma(fma(q, r, EXP[5]), r, EXP[4]), r, EXP[3]), r, EXP[2]), r, EXP[1]), r, EXP[0])
    return n, fma(r * r, q, r)


@exact_helper
def _exp_inside(x: Any) -> Any:
    """e^x for |x| <= 709; two half polynomials wait for one another less than one does."""
    shifted = fma(x, 1.4426950408889634, INTEGER)
    n = shifted - INTEGER
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x))
    z = r * r
    even = fma(fma(fma(fma(z, EXP[8], EXP[6]), z, EXP[4]), z, EXP[2]), z, EXP[0])
    odd = fma(fma(fma(fma(z, EXP[9], EXP[7]), z, EXP[5]), z, EXP[3]), z, EXP[1])
    value = 1.0 + fma(z, fma(odd, r, even), r)
    return from_bits(
        bits(value) + (bits(shifted) << EXPONENT)
    )  # the exponent of value is -1 or 0, so that n = 1024 will do


@exact_helper
def exp(x: Any) -> Any:
    """e^x; results below the smallest normal number are 0."""
    if any_of(~(absolute(x) <= 708.0)):  # or NaN: seldom, and a comparison instead of two choices
        return select(x <= 709.782712893384, select(x >= -708.396418532264, _exp_inside(x), 0.0), x * math.inf)
    return _exp_inside(x)


@exact_helper
def expm1(x: Any) -> Any:
    """e^x - 1, accurate near zero."""
    y = select(x > 709.0, 709.0, select(x < -40.0, -40.0, x))
    n, p = _exp_parts(y)
    scale = _power_of_two(n)
    return select(x > 709.0, exp(x), select(x == 0.0, x, fma(scale, p, scale - 1.0)))


@exact_helper
def log_of_normal(x: Any) -> Any:
    """log x for positive, finite x that are not subnormal."""
    word = bits(x)
    shifted = ((word - SQRT_HALF) + (TWO_POWER_10 << EXPONENT)) >> EXPONENT
    n = from_bits(shifted | TWO_POWER_52) - (4503599627370496.0 + 1024.0)
    f = from_bits(word - ((shifted - TWO_POWER_10) << EXPONENT)) - 1.0
    s = f / (2.0 + f)
    z = s * s
    q = z * fma(fma(fma(fma(fma(fma(LOG[6], z, LOG[5]), z, LOG[4]), z, LOG[3]), z, LOG[2]), z, LOG[1]), z, LOG[0])
    square = 0.5 * f * f
    return n * LN2_HIGH - ((square - (s * (square + q) + n * LN2_LOW)) - f)


@exact_helper
def log(x: Any) -> Any:
    """log x; -inf at zero, NaN below."""
    tiny = x < 2.2250738585072014e-308
    y = log_of_normal(select(tiny, x * 18014398509481984.0, x)) - select(tiny, 37.42994775023705, 0.0)
    y = select(x == 0.0, -math.inf, select(x == math.inf, math.inf, y))
    return select(x >= 0.0, y, math.nan)


@exact_helper
def log1p(x: Any) -> Any:
    """log(1 + x), accurate near zero."""
    u = 1.0 + x
    y = log(u) + select(absolute(x) < 1e10, (x - (u - 1.0)) / u, 0.0)
    return select(x == 0.0, x, select(x == -1.0, -math.inf, y))


def _by_lane(function: Callable[[float], float]) -> Any:
    """A libm function, one lane after the other: right, and as slow as libm."""

    @exact_helper
    def apply(x: Any) -> Any:
        for i in range(lanes(x)):
            x = with_lane(x, i, function(lane(x, i)))
        return x

    return apply


_libm_sin, _libm_cos = _by_lane(math.sin), _by_lane(math.cos)
arctan, arcsin, arccos = _by_lane(math.atan), _by_lane(math.asin), _by_lane(math.acos)
arcsinh, arccosh, arctanh = _by_lane(math.asinh), _by_lane(math.acosh), _by_lane(math.atanh)
erf, erfc, gamma, lgamma, floor = (
    _by_lane(math.erf),
    _by_lane(math.erfc),
    _by_lane(math.gamma),
    _by_lane(math.lgamma),
    _by_lane(math.floor),
)


@exact_helper
def _quadrants(x: Any) -> tuple[Any, Any, Any]:
    """sin r, cos r and the word n with x = n pi/2 + r."""
    n = nearest(x * 0.6366197723675814)
    r = fma(n, -HALF_PI[2], fma(n, -HALF_PI[1], fma(n, -HALF_PI[0], x)))
    z = r * r
    s = fma(r * z, fma(fma(fma(fma(fma(SIN[5], z, SIN[4]), z, SIN[3]), z, SIN[2]), z, SIN[1]), z, SIN[0]), r)
    c = fma(fma(fma(fma(fma(COS[5], z, COS[4]), z, COS[3]), z, COS[2]), z, COS[1]), z, COS[0])
    half = 0.5 * z
    w = 1.0 - half
    return s, w + fma(z * z, c, (1.0 - w) - half), bits(n + INTEGER)


@exact_helper
def _turned(sine: Any, cosine: Any, quadrant: Any) -> Any:
    """sin(r + quadrant pi/2)."""
    value = select((quadrant & ONE) != 0, cosine, sine)
    return from_bits(bits(value) ^ ((quadrant & TWO) << np.uint64(62)))


def circular(quadrants: Any, turned: Any, choose: Any, magnitude: Any, reducible: float, beyond: Any, one: Any) -> Any:
    """sin, cos and tan from sin r, cos r and the quadrant; beyond: the first two for where some |x| > reducible."""
    far_sine, far_cosine = beyond

    @exact_helper
    def sin(x: Any) -> Any:
        if any_of(magnitude(x) > reducible):
            return far_sine(x)
        sine, cosine, quadrant = quadrants(x)
        return choose(x == 0.0, x, turned(sine, cosine, quadrant))

    @exact_helper
    def cos(x: Any) -> Any:
        if any_of(magnitude(x) > reducible):
            return far_cosine(x)
        sine, cosine, quadrant = quadrants(x)
        return turned(sine, cosine, quadrant + one)

    @exact_helper
    def tan(x: Any) -> Any:
        return sin(x) / cos(x)

    return sin, cos, tan


sin, cos, tan = circular(_quadrants, _turned, select, absolute, REDUCIBLE, (_libm_sin, _libm_cos), ONE)


@exact_helper
def tanh(x: Any) -> Any:
    """tanh x = (e^{2x} - 1)/(e^{2x} + 1)."""
    e = expm1(2.0 * select(absolute(x) > 20.0, 20.0, absolute(x)))
    return select(x == x, copysign(e / (e + 2.0), x), x)


@exact_helper
def sinh(x: Any) -> Any:
    """sinh x."""
    e = expm1(absolute(x))
    small = 0.5 * (e + e / (e + 1.0))
    half = exp(0.5 * absolute(x))  # e^x overflows before its half does
    return copysign(select(absolute(x) < 700.0, small, (0.5 * half) * half), x)


@exact_helper
def cosh(x: Any) -> Any:
    """cosh x."""
    e, half = exp(absolute(x)), exp(0.5 * absolute(x))
    return select(absolute(x) < 700.0, 0.5 * e + 0.5 / e, (0.5 * half) * half)


@exact_helper
def power(x: Any, y: Any) -> Any:
    """x^y for a y that is not a small integer, by libm; one of the two may be a plain number."""
    base, exponent = select(True, x, y), select(False, x, y)
    for i in range(lanes(base)):
        base = with_lane(base, i, lane(base, i) ** lane(exponent, i))
    return base


@exact_helper
def arctan2(y: Any, x: Any) -> Any:
    """The angle of (x, y), by libm; one of the two may be a plain number."""
    height, width = select(True, y, x), select(False, y, x)
    for i in range(lanes(height)):
        height = with_lane(height, i, math.atan2(lane(height, i), lane(width, i)))
    return height
