"""The random numbers of `randomness` and `variates` for one CUDA thread.

Words are held in 32 bits: numba makes 64-bit integers of whatever it adds or shifts, which the conversions undo. A 32 by 32 bit product
is one instruction of the device (mul.wide.u32), and so is a b + c, rounded once as on the CPU: nvvm contracts what is written here.
Nothing of the module `cuda` is used inside of these functions: the simulator replaces it by turns, which threads would race for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda

from sgdyn.randomness import (
    COSINE,
    EIGHT,
    FRACTION_SHIFT,
    HALF,
    LOG,
    MULTIPLIER_0,
    MULTIPLIER_1,
    ONE,
    SINE,
    WEYL_0,
    WEYL_1,
)
from sgdyn.sde.variates import (
    BIT,
    C0,
    C1,
    C2,
    C3,
    EXPONENT32,
    HALF32,
    L0,
    L1,
    L2,
    L3,
    L4,
    L5,
    L6,
    L7,
    MINUS_TWO_LN2,
    OFFSET,
    ONE32,
    S0,
    S1,
    S2,
    S3,
    S4,
    SQRT_HALF32,
    TURN,
    ZERO32,
)  # fmt: skip

device: Callable[[Callable[..., Any]], Any] = cuda.jit(device=True)
SQRT_HALF, MINUS_TWO_LN2_64 = math.sqrt(0.5), -2 * math.log(2)
UNIT, TURN64 = 2.0**-52, 2.0**-51
SIGNED_SQRT_HALF32, SIGNED_EXPONENT32 = np.int32(SQRT_HALF32), np.int32(EXPONENT32)
LOG0, LOG1, LOG2, LOG3, LOG4, LOG5 = LOG
SINE0, SINE1, SINE2, SINE3, SINE4, SINE5, SINE6 = SINE
COSINE0, COSINE1, COSINE2, COSINE3, COSINE4, COSINE5, COSINE6 = COSINE


@device
def philox(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Philox4x32-10 on 32-bit words; unrolled, the rounds of the path alone leave the caller's loop."""
    for _ in range(10):
        p0, p1 = np.uint64(c0) * MULTIPLIER_0, np.uint64(c2) * MULTIPLIER_1
        c0, c2 = np.uint32(np.uint32(p1 >> HALF) ^ c1 ^ k0), np.uint32(np.uint32(p0 >> HALF) ^ c3 ^ k1)
        c1, c3 = np.uint32(p1), np.uint32(p0)
        k0, k1 = np.uint32(np.uint64(k0) + WEYL_0), np.uint32(np.uint64(k1) + WEYL_1)
    return c0, c1, c2, c3


@device
def words(group: Any, component: Any, path: Any, k0: Any, k1: Any) -> Any:
    """The four words of (path, group of steps, component), by the counter of `randomness`."""
    pair = np.uint64(group)
    high = np.uint32((np.uint64(component) << EIGHT) | (pair >> HALF))
    return philox(np.uint32(pair), np.uint32(path >> HALF), np.uint32(path), high, k0, k1)


@device
def minus_two_log(u: Any) -> Any:
    """-2 log u of uniforms 2^-52 <= u <= 1 (`randomness.minus_two_log`)."""
    m, e = math.frexp(u)
    if m < SQRT_HALF:
        m, e = m + m, e - 1
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    q = ((((LOG5 * z + LOG4) * z + LOG3) * z + LOG2) * z + LOG1) * z + LOG0
    return max(q * s + e * MINUS_TWO_LN2_64, 0.0)


@device
def box_muller(a: Any, b: Any) -> Any:
    """Two standard normals from two 64-bit words (`randomness.box_muller`)."""
    radius = math.sqrt(minus_two_log(1.0 - np.float64(np.int64(a >> FRACTION_SHIFT)) * UNIT))
    signed = np.int64(b)
    t = np.float64(np.int64((b << ONE) >> FRACTION_SHIFT)) * TURN64 - 1.0
    z = t * t
    s = (((((SINE6 * z + SINE5) * z + SINE4) * z + SINE3) * z + SINE2) * z + SINE1) * z + SINE0
    c = (((((COSINE6 * z + COSINE5) * z + COSINE4) * z + COSINE3) * z + COSINE2) * z + COSINE1) * z + COSINE0
    cosine = c - c * z
    return radius * (-cosine if signed < 0 else cosine), radius * (t * s)


@device
def box_muller32(a: Any, b: Any) -> Any:
    """Two standard normals from two 32-bit words, to float32 accuracy (`variates.box_muller32`)."""
    u = np.float32(np.float32(np.int32(a >> BIT)) + HALF32)
    e = np.int32(np.int32(u.view(np.int32) - SIGNED_SQRT_HALF32) >> SIGNED_EXPONENT32)
    f = np.int32(u.view(np.int32) - np.int32(e << SIGNED_EXPONENT32)).view(np.float32) - ONE32
    q = ((((((L7 * f + L6) * f + L5) * f + L4) * f + L3) * f + L2) * f + L1) * f + L0
    radius = np.float32(math.sqrt(max(q * f + (np.float32(e) * MINUS_TWO_LN2 + OFFSET), ZERO32)))
    t = np.float32(np.int32(np.uint32(b << BIT))) * TURN
    z = t * t
    s = (((S4 * z + S3) * z + S2) * z + S1) * z + S0
    c = ((C3 * z + C2) * z + C1) * z + C0
    cosine = c - c * z
    return radius * (-cosine if np.int32(b) < 0 else cosine), radius * (t * s)


@device
def double_normals(group: Any, component: Any, path: Any, k0: Any, k1: Any) -> Any:
    """The normals of a group of two steps."""
    w0, w1, w2, w3 = words(group, component, path, k0, k1)
    return box_muller(np.uint64(w0) | (np.uint64(w1) << HALF), np.uint64(w2) | (np.uint64(w3) << HALF))


@device
def single_normals(group: Any, component: Any, path: Any, k0: Any, k1: Any) -> Any:
    """The normals of a group of four steps, in float32."""
    w0, w1, w2, w3 = words(group, component, path, k0, k1)
    first, second = box_muller32(w0, w1)
    third, fourth = box_muller32(w2, w3)
    return first, second, third, fourth
