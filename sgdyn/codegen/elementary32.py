"""Elementary functions of vector values of 32-bit floats, to one or two units in the last place.

As `elementary`, whose functions serve where there is none of their own here: widened, and rounded at the end. Coefficients are Chebyshev
interpolants; `tests/codegen/test_elementary32.py` recomputes them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sgdyn.codegen import elementary
from sgdyn.codegen.jit import exact_helper
from sgdyn.codegen.narrow import (
    bits32,
    float_quarters,
    fma32,
    from_bits32,
    narrowed,
    select32,
    shift_signed,
    signed_float,
)
from sgdyn.codegen.vector import any_of

# (exp r - 1 - r)/r², |r| <= ln 2 / 2
EXP = (0.5, 0.1666657702559799, 0.041666554662050534, 0.008363173074513711, 0.001392617611993558)
# (log(1 + f) - f + f²/2)/f³ on [sqrt 1/2 - 1, sqrt 2 - 1]
LOG = (0.33333331180030046, -0.24999996957950882, 0.200007157488921, -0.16667802319501254, 0.1424905764569748, -0.12425687331451106,
       0.1168541992348674, -0.11479733846637635, 0.06971611471451178)  # fmt: skip
# (sin r / r - 1)/r² and (cos r - 1 + r²/2)/r⁴ in r², |r| <= pi/4
SIN = (-0.1666666466231438, 0.008332748270629749, -0.00019587890880412386)
COS = (0.04166666465950221, -0.0013888303035894866, 2.4547942085071572e-05)

LN2_HIGH, LN2_LOW = 0.693145751953125, 1.428606765330187e-06
HALF_PI = (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15)
REDUCIBLE = 8192.0
"""Beyond, multiples of the first word of pi/2 are no longer exact: the functions of 64 bits."""
INTEGER = 12582912.0  # 1.5 * 2**23: adding it leaves an integer in the low bits
BIAS, EXPONENT, SQRT_HALF = np.uint32(127), np.uint32(23), np.uint32(0x3F3504F3)
ONE, TWO, THIRTY, MAGNITUDE, SIGN = np.uint32(1), np.uint32(2), np.uint32(30), np.uint32(0x7FFFFFFF), np.uint32(1 << 31)
NOTHING = np.uint32(0)
Q0, Q1, Q2, Q3 = float_quarters


def _widened(function: Any) -> Any:
    """A function of 64-bit floats for 32-bit ones."""

    @exact_helper
    def apply(x: Any) -> Any:
        return narrowed(function(Q0(x)), function(Q1(x)), function(Q2(x)), function(Q3(x)))

    return apply


def _widened_pair(function: Any) -> Any:
    """The same of two arguments, of which one may be a plain number."""

    @exact_helper
    def apply(x: Any, y: Any) -> Any:
        a, b = select32(True, x, y), select32(False, x, y)
        return narrowed(function(Q0(a), Q0(b)), function(Q1(a), Q1(b)), function(Q2(a), Q2(b)), function(Q3(a), Q3(b)))

    return apply


arctan, arcsin, arccos = (_widened(f) for f in (elementary.arctan, elementary.arcsin, elementary.arccos))
arcsinh, arccosh, arctanh = (_widened(f) for f in (elementary.arcsinh, elementary.arccosh, elementary.arctanh))
erf, erfc, gamma = (_widened(f) for f in (elementary.erf, elementary.erfc, elementary.gamma))
lgamma, floor, log1p = (_widened(f) for f in (elementary.lgamma, elementary.floor, elementary.log1p))
sinh, cosh = (_widened(f) for f in (elementary.sinh, elementary.cosh))
power, arctan2 = (_widened_pair(f) for f in (elementary.power, elementary.arctan2))
_wide_sin, _wide_cos = (_widened(f) for f in (elementary.sin, elementary.cos))


@exact_helper
def absolute(x: Any) -> Any:
    """|x|."""
    return from_bits32(bits32(x) & MAGNITUDE)


@exact_helper
def _exp_parts(x: Any) -> tuple[Any, Any, Any]:
    """The word whose low bits are n, r and (e^r - 1 - r)/r² with x = n ln 2 + r."""
    shifted = fma32(x, 1.4426950408889634, INTEGER)
    n = shifted - INTEGER
    r = fma32(n, -LN2_LOW, fma32(n, -LN2_HIGH, x))
    return bits32(shifted), r, fma32(fma32(fma32(fma32(r, EXP[4], EXP[3]), r, EXP[2]), r, EXP[1]), r, EXP[0])


@exact_helper
def _exp_inside(x: Any) -> Any:
    n, r, q = _exp_parts(x)
    return from_bits32(bits32(fma32(fma32(q, r, 1.0), r, 1.0)) + (n << EXPONENT))


@exact_helper
def exp(x: Any) -> Any:
    """e^x; results below the smallest normal number are 0."""
    if any_of(~(absolute(x) <= 87.0)):
        return select32(x <= 88.72284, select32(x >= -87.33654, _exp_inside(x), 0.0), x * math.inf)
    return _exp_inside(x)


@exact_helper
def expm1(x: Any) -> Any:
    """e^x - 1, accurate near zero."""
    y = select32(x > 88.0, 88.0, select32(x < -20.0, -20.0, x))
    n, r, q = _exp_parts(y)
    scale = from_bits32((n + BIAS) << EXPONENT)
    return select32(x > 88.0, exp(x), select32(x == 0.0, x, fma32(scale, fma32(r * r, q, r), scale - 1.0)))


@exact_helper
def log_of_normal(x: Any) -> Any:
    """log x for positive, finite x that are not subnormal."""
    word = bits32(x)
    e = shift_signed(word - SQRT_HALF, EXPONENT)
    n, f = signed_float(e), from_bits32(word - (e << EXPONENT)) - 1.0
    z = f * f
    q = fma32(fma32(fma32(fma32(f, LOG[8], LOG[7]), f, LOG[6]), f, LOG[5]), f, LOG[4])
    q = fma32(fma32(fma32(fma32(q, f, LOG[3]), f, LOG[2]), f, LOG[1]), f, LOG[0])
    return fma32(n, LN2_HIGH, f + fma32(f * z, q, fma32(z, -0.5, n * LN2_LOW)))


@exact_helper
def log(x: Any) -> Any:
    """log x; -inf at zero, NaN below."""
    tiny = x < 1.1754943508222875e-38
    y = log_of_normal(select32(tiny, x * 16777216.0, x)) - select32(tiny, 16.635532333438686, 0.0)
    y = select32(x == 0.0, -math.inf, select32(x == math.inf, math.inf, y))
    return select32(x >= 0.0, y, math.nan)


@exact_helper
def _quadrants(x: Any) -> tuple[Any, Any, Any]:
    """sin r, cos r and the word n with x = n pi/2 + r."""
    shifted = fma32(x, 0.6366197723675814, INTEGER)
    n = shifted - INTEGER
    r = fma32(n, -HALF_PI[2], fma32(n, -HALF_PI[1], fma32(n, -HALF_PI[0], x)))
    z = r * r
    s = fma32(r * z, fma32(fma32(z, SIN[2], SIN[1]), z, SIN[0]), r)
    c = fma32(z * z, fma32(fma32(z, COS[2], COS[1]), z, COS[0]), fma32(z, -0.5, 1.0))
    return s, c, bits32(shifted)


@exact_helper
def _turned(sine: Any, cosine: Any, quadrant: Any) -> Any:
    """sin(r + quadrant pi/2)."""
    value = select32((quadrant & ONE) != NOTHING, cosine, sine)
    return from_bits32(bits32(value) ^ ((quadrant & TWO) << THIRTY))


sin, cos, tan = elementary.circular(_quadrants, _turned, select32, absolute, REDUCIBLE, (_wide_sin, _wide_cos), ONE)


@exact_helper
def tanh(x: Any) -> Any:
    """tanh x = (e^{2x} - 1)/(e^{2x} + 1)."""
    e = expm1(2.0 * select32(absolute(x) > 10.0, 10.0, absolute(x)))
    return select32(x == x, from_bits32(bits32(e / (e + 2.0)) | (bits32(x) & SIGN)), x)
