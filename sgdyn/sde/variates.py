"""The random numbers of a block of paths, a group of steps at a time, by precision and generator.

Every filler has the contract `FILL_BLOCK`. One Philox call of (path, group, component) makes the four 32-bit words of a group: two
normals of double precision (groups of two steps), four of single precision (four steps), or 128 signs. `rng="fast"` replaces all but
one Philox call in 64 by xoshiro128++ (Blackman and Vigna, ACM TOMS 47, 36 (2021)), seeded by that call of (path, group // 64,
component + 2^23), so that it can still start anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import types

from sgdyn.codegen.jit import MATRIX, Kernel, exact_helper, kernel
from sgdyn.codegen.narrow import (
    bits32,
    float_quarters,
    fma32,
    from_bits32,
    select32,
    shift_signed,
    signed_float,
    sqrt32,
    store_pairs,
    word_quarters,
)
from sgdyn.codegen.vector import LANES, from_bits, load, store
from sgdyn.randomness import HALF, ONE, SIGN_BIT, WORDS, box_muller, fill_normals, fill_words, rounds_from_third

MEMORY = types.int64[::1]
NARROW = types.uint32[:, ::1]
FILL_SIGNATURE = (MATRIX, WORDS, NARROW, WORDS, MEMORY, types.int64, types.uint64, types.uint64)
FILL_BLOCK = types.FunctionType(types.void(*FILL_SIGNATURE))
"""`fill(z, words, narrow, hoisted, memory, group, k0, k1)`: z[i * rank + component, path] for the steps group * (rows/rank) + i.

words (2 rank + 2, n), narrow (the same memory as 32-bit words) and memory (2,), -1 at first, keep what the next group can use.
"""

WIDE = 4 * LANES
Q0, Q1, Q2, Q3 = float_quarters
W0, W1, W2, W3 = word_quarters
# log(1 + f)/f on [sqrt 1/2 - 1, sqrt 2 - 1], sin(pi t/2)/t and cos(pi t/2)/(1 - t²) in t², to float32 accuracy
LOG32 = (
    0.9999999681,
    -0.5000037506,
    0.3333460602,
    -0.2496890696,
    0.1991334788,
    -0.1727820607,
    0.1612624791,
    -0.0989535074,
)
SINE32 = (1.57079632, -0.6459637596, 0.07968991833, -0.004674143838, 0.0001516717037)
COSINE32 = (0.9999998138, -0.2336945904, 0.01993906349, -0.0008463062372)
L0, L1, L2, L3, L4, L5, L6, L7 = (np.float32(-2 * c) for c in LOG32)
S0, S1, S2, S3, S4 = (np.float32(c) for c in SINE32)
C0, C1, C2, C3 = (np.float32(c) for c in COSINE32)
MINUS_TWO_LN2, OFFSET, TOP_BIT = np.float32(-2 * np.log(2)), np.float32(62 * np.log(2)), np.uint32(1 << 31)
TURN, ZERO32, HALF32, ONE32 = np.float32(2.0**-31), np.float32(0), np.float32(0.5), np.float32(1)
SQRT_HALF32 = np.uint32(0x3F3504F3)
BIT, EXPONENT32 = np.uint32(1), np.uint32(23)
SEEDING, REKEY = np.uint64(1 << 23), 64
ONE_BITS = np.uint64(0x3FF0000000000000)


@exact_helper
def box_muller32(a: Any, b: Any) -> Any:
    """Two standard normals from two 32-bit words, to float32 accuracy; the largest possible one is 6.66."""
    u = signed_float(a >> BIT) + HALF32
    e = shift_signed(bits32(u) - SQRT_HALF32, EXPONENT32)
    f = from_bits32(bits32(u) - (e << EXPONENT32)) - ONE32
    w = fma32(signed_float(e), MINUS_TWO_LN2, OFFSET)
    q = fma32(fma32(fma32(fma32(fma32(fma32(fma32(f, L7, L6), f, L5), f, L4), f, L3), f, L2), f, L1), f, L0)
    w = fma32(q, f, w)
    radius = sqrt32(select32(w > ZERO32, w, ZERO32))
    t = signed_float(b << BIT) * TURN
    z = t * t
    s = fma32(fma32(fma32(fma32(z, S4, S3), z, S2), z, S1), z, S0)
    c = fma32(fma32(fma32(z, C3, C2), z, C1), z, C0)
    cosine = from_bits32(bits32(fma32(-c, z, c)) ^ (b & TOP_BIT))
    return radius * cosine, radius * (t * s)


@exact_helper
def fill_narrow_words(narrow: Any, row: Any, hoisted: Any, group: Any, component: Any, k0: Any, k1: Any) -> None:
    """The four Philox words in rows of their own; hoisted holds even paths before odd ones in every sixteen."""
    n = hoisted.shape[1]
    for p in range(0, n, 2 * LANES):
        w0, w1, w2, w3 = rounds_from_third(hoisted, p, group, component, k0, k1)
        store_pairs(narrow, row, p, w0)
        store_pairs(narrow, row, n + p, w1)
        store_pairs(narrow, row + 1, p, w2)
        store_pairs(narrow, row + 1, n + p, w3)


@exact_helper
def store_wide(z: Any, row: Any, p: Any, value: Any) -> None:
    """32 floats in double precision."""
    store(z, row, p, Q0(value))
    store(z, row, p + LANES, Q1(value))
    store(z, row, p + 2 * LANES, Q2(value))
    store(z, row, p + 3 * LANES, Q3(value))


@exact_helper
def single_from(narrow: Any, z: Any, component: Any) -> None:
    """Four rows of normals of single precision from the words in the first two rows of `narrow`."""
    n, rank = z.shape[1], z.shape[0] // 4
    for half in range(2):
        for p in range(0, n, WIDE):
            first, second = box_muller32(load(narrow, half, p), load(narrow, half, n + p))
            store_wide(z, 2 * half * rank + component, p, first)
            store_wide(z, (2 * half + 1) * rank + component, p, second)


@exact_helper
def store_double(z: Any, row: Any, below: Any, p: Any, a: Any, b: Any) -> None:
    """Two rows of eight normals of double precision."""
    first, second = box_muller(a, b)
    store(z, row, p, first)
    store(z, below, p, second)


@exact_helper
def double_from(narrow: Any, z: Any, component: Any) -> None:
    """Two rows of normals of double precision from the words in the first two rows of `narrow`."""
    n, rank = z.shape[1], z.shape[0] // 2
    row, below = component, rank + component
    for p in range(0, n, WIDE):
        w0, w1, w2, w3 = load(narrow, 0, p), load(narrow, 0, n + p), load(narrow, 1, p), load(narrow, 1, n + p)
        store_double(z, row, below, p, W0(w0) | (W0(w1) << HALF), W0(w2) | (W0(w3) << HALF))
        store_double(z, row, below, p + LANES, W1(w0) | (W1(w1) << HALF), W1(w2) | (W1(w3) << HALF))
        store_double(z, row, below, p + 2 * LANES, W2(w0) | (W2(w1) << HALF), W2(w2) | (W2(w3) << HALF))
        store_double(z, row, below, p + 3 * LANES, W3(w0) | (W3(w1) << HALF), W3(w2) | (W3(w3) << HALF))


@exact_helper
def rotated(x: Any, n: Any) -> Any:
    """The bits of x turned left by n."""
    return (x << n) | (x >> (np.uint32(32) - n))


@exact_helper
def xoshiro(s0: Any, s1: Any, s2: Any, s3: Any) -> Any:
    """One output of xoshiro128++ and its next state."""
    out = rotated(s0 + s3, np.uint32(7)) + s0
    t = s1 << np.uint32(9)
    s2, s3 = s2 ^ s0, s3 ^ s1
    s1, s0 = s1 ^ s2, s0 ^ s3
    return out, s0, s1, s2 ^ t, rotated(s3, np.uint32(11))


@exact_helper
def advance_states(narrow: Any, row: Any) -> None:
    """Four outputs of every generator, whose states lie in the rows `row` and `row + 1`, into the first two rows."""
    n = narrow.shape[1] // 2
    for p in range(0, n, WIDE):
        s0, s1 = load(narrow, row, p), load(narrow, row, n + p)
        s2, s3 = load(narrow, row + 1, p), load(narrow, row + 1, n + p)
        out, s0, s1, s2, s3 = xoshiro(s0, s1, s2, s3)
        store(narrow, 0, p, out)
        out, s0, s1, s2, s3 = xoshiro(s0, s1, s2, s3)
        store(narrow, 0, n + p, out)
        out, s0, s1, s2, s3 = xoshiro(s0, s1, s2, s3)
        store(narrow, 1, p, out)
        out, s0, s1, s2, s3 = xoshiro(s0, s1, s2, s3)
        store(narrow, 1, n + p, out)
        store(narrow, row, p, s0)
        store(narrow, row, n + p, s1)
        store(narrow, row + 1, p, s2)
        store(narrow, row + 1, n + p, s3)


@exact_helper
def fast_words(narrow: Any, hoisted: Any, memory: Any, group: Any, component: Any, k0: Any, k1: Any) -> None:
    """The words of a group by xoshiro128++; `memory[0]` is the group that the states stand at."""
    row = 2 + 2 * component
    if memory[0] != group or group % REKEY == 0:
        # the counters are not those of rng="philox", lest the two be correlated
        fill_narrow_words(narrow, row, hoisted, np.uint64(group // REKEY), np.uint64(component) | SEEDING, k0, k1)
        for _ in range(group % REKEY):
            advance_states(narrow, row)
    advance_states(narrow, row)


@kernel(*FILL_SIGNATURE)
def philox_double(z: Any, words: Any, narrow: Any, hoisted: Any, memory: Any, group: Any, k0: Any, k1: Any) -> None:
    """Two steps of double precision."""
    fill_normals(z, words, hoisted, np.uint64(group), k0, k1)


@kernel(*FILL_SIGNATURE)
def philox_single(z: Any, words: Any, narrow: Any, hoisted: Any, memory: Any, group: Any, k0: Any, k1: Any) -> None:
    """Four steps of single precision."""
    for component in range(z.shape[0] // 4):
        fill_narrow_words(narrow, 0, hoisted, np.uint64(group), np.uint64(component), k0, k1)
        single_from(narrow, z, component)


@kernel(*FILL_SIGNATURE)
def fast_double(z: Any, words: Any, narrow: Any, hoisted: Any, memory: Any, group: Any, k0: Any, k1: Any) -> None:
    """Two steps of double precision from xoshiro128++."""
    for component in range(z.shape[0] // 2):
        fast_words(narrow, hoisted, memory, group, component, k0, k1)
        double_from(narrow, z, component)
    memory[0] = group + 1


@kernel(*FILL_SIGNATURE)
def fast_single(z: Any, words: Any, narrow: Any, hoisted: Any, memory: Any, group: Any, k0: Any, k1: Any) -> None:
    """Four steps of single precision from xoshiro128++."""
    for component in range(z.shape[0] // 4):
        fast_words(narrow, hoisted, memory, group, component, k0, k1)
        single_from(narrow, z, component)
    memory[0] = group + 1


@kernel(*FILL_SIGNATURE)
def philox_signs(z: Any, words: Any, narrow: Any, hoisted: Any, memory: Any, group: Any, k0: Any, k1: Any) -> None:
    """Four steps of Rademacher signs: of 128 bits the first 64 steps take the first word's, the others the second's, from the top."""
    rank, n = z.shape[0] // 4, z.shape[1]
    if memory[0] != group // 32:
        memory[0] = group // 32
        for component in range(rank):
            fill_words(
                words[2 + 2 * component : 4 + 2 * component],
                hoisted,
                np.uint64(group // 32),
                np.uint64(component),
                k0,
                k1,
            )
    for component in range(rank):
        row = 2 + 2 * component + (group % 32) // 16
        shift = np.uint64(4 * (group % 16))
        for p in range(0, n, LANES):
            word = load(words, row, p) << shift
            store(z, component, p, from_bits((word & SIGN_BIT) | ONE_BITS))
            store(z, rank + component, p, from_bits(((word << ONE) & SIGN_BIT) | ONE_BITS))
            store(z, 2 * rank + component, p, from_bits(((word << np.uint64(2)) & SIGN_BIT) | ONE_BITS))
            store(z, 3 * rank + component, p, from_bits(((word << np.uint64(3)) & SIGN_BIT) | ONE_BITS))


@dataclass(frozen=True)
class Variates:
    """One way to make the random numbers: its filler, the steps in a group, and whether it wants even paths before odd ones."""

    fill: Kernel
    group: int
    split: bool


KINDS = {
    ("double", "philox"): Variates(philox_double, 2, False),
    ("double", "fast"): Variates(fast_double, 2, True),
    ("single", "philox"): Variates(philox_single, 4, True),
    ("single", "fast"): Variates(fast_single, 4, True),
    ("weak", "philox"): Variates(philox_signs, 4, False),
    ("weak", "fast"): Variates(philox_signs, 4, False),
}


def kind_of(random: Variates) -> tuple[str, str]:
    """The names (noise, rng) of random numbers."""
    return next(names for names, known in KINDS.items() if known == random)


def variates(noise: str, rng: str) -> Variates:
    """The random numbers called `noise` ("double", "single" or "weak") and `rng` ("philox" or "fast"); raises ValueError for others."""
    if (noise, rng) not in KINDS:
        raise ValueError(
            f"got noise={noise!r}, rng={rng!r}, expected noise='double', 'single' or 'weak' and rng='philox' or 'fast'"
        )
    return KINDS[noise, rng]
