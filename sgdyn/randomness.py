"""Normal random numbers as a function of (seed, stream, path, step, component).

Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011) turns a counter and a key into four 32-bit words. The key comes from the seed and
the stream, the counter is

    word 0: low 32 bits of step // 2        word 1: high 32 bits of the path
    word 2: low 32 bits of the path         word 3: component * 256 + the bits of step // 2 above

so that 2^64 paths, 2^41 steps and 2^23 components never share a counter. Each call gives the normals of two successive steps by the
Box-Muller transform of two 52-bit uniforms (the largest possible normal is 8.49).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import types
from numpy.typing import ArrayLike, NDArray

from sgdyn import checks
from sgdyn.codegen.jit import exact_helper, kernel
from sgdyn.codegen.vector import LANES, bits, fma, from_bits, load, load_broad, select, sqrt, store

Floats = NDArray[np.float64]
Words = NDArray[np.uint64]
WORDS = types.uint64[:, ::1]

MULTIPLIER_0, MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL_0, WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
TWO, FOUR, SIX, EIGHT = np.uint64(2), np.uint64(4), np.uint64(6), np.uint64(8)

# -4 atanh(s)/s in s², |s| <= (sqrt 2 - 1)/(sqrt 2 + 1), sin(pi t/2)/t and cos(pi t/2)/(1 - t²) in t², |t| <= 1: to 3e-14
LOG = (-3.9999999999998943762, -1.33333333359158504226, -0.79999989783664765488, -0.57144332291751450138, -0.44348499820154979582,
       -0.39216191279506105494)  # fmt: skip
SINE = (1.5707963267948175309, -0.64596409749849487523, 0.079692626122085770875, -0.004681753390122880045, 0.00016043905209111044768,
        -3.5957057969315051399e-6, 5.4625498645960706379e-8)  # fmt: skip
COSINE = (0.99999999999999227078, -0.23370055013541230134, 0.019968957752752622682, -0.00089452292565984362236, 0.000024737068012148360779,
          -4.6445960072842389646e-7, 6.0973718080293081536e-9)  # fmt: skip
SQRT_HALF, TWO_POWER_10, TWO_POWER_52 = np.uint64(0x3FE6A09E667F3BCD), np.uint64(1024), np.uint64(0x4330000000000000)
EXPONENT = np.uint64(52)
SIGN_BIT = np.uint64(1 << 63)
ONE_EXPONENT, TWO_EXPONENT, FRACTION_SHIFT, ONE = (
    np.uint64(0x3FF0000000000000),
    np.uint64(0x4000000000000000),
    np.uint64(12),
    np.uint64(1),
)

MAX_PATHS, MAX_STEPS, MAX_COMPONENTS = 2**64, 2**41, 2**23


def key(seed: int | np.random.SeedSequence | None, stream: int = 0) -> tuple[np.uint64, np.uint64]:
    """The two 32-bit key words of a seed and a stream number."""
    parent = checks.seed_sequence(seed)
    child = np.random.SeedSequence(
        parent.entropy, spawn_key=(*parent.spawn_key, checks.count("stream", stream, least=0))
    )
    first, second = child.generate_state(2, np.uint32)
    return np.uint64(first), np.uint64(second)


@exact_helper
def _two_rounds(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Two rounds with successive keys; the masks show LLVM that a 32-bit multiplication suffices."""
    p0, p1 = (c0 & LOW) * MULTIPLIER_0, (c2 & LOW) * MULTIPLIER_1
    c0, c1, c2, c3 = (p1 >> HALF) ^ c1 ^ k0, p1 & LOW, (p0 >> HALF) ^ c3 ^ k1, p0 & LOW
    p0, p1 = (c0 & LOW) * MULTIPLIER_0, (c2 & LOW) * MULTIPLIER_1
    return (p1 >> HALF) ^ c1 ^ ((k0 + WEYL_0) & LOW), p1 & LOW, (p0 >> HALF) ^ c3 ^ ((k1 + WEYL_1) & LOW), p0 & LOW


@exact_helper
def philox(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Philox4x32-10 on 32-bit words held in 64-bit integers, scalar or vector; unrolled, as LLVM would not."""
    c0, c1, c2, c3 = _two_rounds(c0, c1, c2, c3, k0, k1)
    c0, c1, c2, c3 = _two_rounds(c0, c1, c2, c3, (k0 + WEYL_0 * TWO) & LOW, (k1 + WEYL_1 * TWO) & LOW)
    c0, c1, c2, c3 = _two_rounds(c0, c1, c2, c3, (k0 + WEYL_0 * FOUR) & LOW, (k1 + WEYL_1 * FOUR) & LOW)
    c0, c1, c2, c3 = _two_rounds(c0, c1, c2, c3, (k0 + WEYL_0 * SIX) & LOW, (k1 + WEYL_1 * SIX) & LOW)
    return _two_rounds(c0, c1, c2, c3, (k0 + WEYL_0 * EIGHT) & LOW, (k1 + WEYL_1 * EIGHT) & LOW)


@exact_helper
def minus_two_log(u: Any) -> Any:
    """-2 log u of uniforms 2^-52 <= u <= 1, to 3e-14 of its value or of 1; never negative."""
    word = bits(u)
    shifted = ((word - SQRT_HALF) + (TWO_POWER_10 << EXPONENT)) >> EXPONENT
    n = from_bits(shifted | TWO_POWER_52) - (4503599627370496.0 + 1024.0)
    m = from_bits(word - ((shifted - TWO_POWER_10) << EXPONENT))
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    q = fma(fma(fma(fma(fma(LOG[5], z, LOG[4]), z, LOG[3]), z, LOG[2]), z, LOG[1]), z, LOG[0])
    w = fma(q, s, n * -1.3862943611198906)
    return select(w > 0.0, w, 0.0)


@exact_helper
def box_muller(a: Any, b: Any) -> Any:
    """Two standard normals from two 64-bit words: radius from the top 52 bits of a, direction from b."""
    uniform = 2.0 - from_bits((a >> FRACTION_SHIFT) | ONE_EXPONENT)  # in (0, 1]
    radius = sqrt(minus_two_log(uniform))
    t = (
        from_bits(((b << ONE) >> FRACTION_SHIFT) | TWO_EXPONENT) - 3.0
    )  # in [-1, 1); the top bit of b is the sign of the cosine
    z = t * t
    s = fma(fma(fma(fma(fma(fma(SINE[6], z, SINE[5]), z, SINE[4]), z, SINE[3]), z, SINE[2]), z, SINE[1]), z, SINE[0])
    c = fma(
        fma(fma(fma(fma(fma(COSINE[6], z, COSINE[5]), z, COSINE[4]), z, COSINE[3]), z, COSINE[2]), z, COSINE[1]),
        z,
        COSINE[0],
    )
    cosine = from_bits(bits(fma(-c, z, c)) ^ (b & SIGN_BIT))
    return radius * cosine, radius * (t * s)


@exact_helper
def hoist(paths: Any, k0: Any, k1: Any, out: Any) -> None:
    """What the first two rounds make of the path alone: the rows that `fill_words` starts from."""
    for p in range(0, paths.shape[1], LANES):
        path = load(paths, 0, p)
        p1 = (path & LOW) * MULTIPLIER_1
        p0 = (((p1 >> HALF) ^ (path >> HALF) ^ k0) & LOW) * MULTIPLIER_0
        store(out, 0, p, (p1 & LOW) ^ ((k0 + WEYL_0) & LOW))
        store(out, 1, p, (p0 >> HALF) ^ ((k1 + WEYL_1) & LOW))
        store(out, 2, p, p0 & LOW)


@exact_helper
def rounds_from_third(hoisted: Any, p: Any, pair: Any, component: Any, k0: Any, k1: Any) -> Any:
    """The Philox words of sixteen paths from the position p; what does not depend on p leaves the caller's loop."""
    p0 = (pair & LOW) * MULTIPLIER_0
    p1 = (((p0 >> HALF) ^ (component << EIGHT) ^ (pair >> HALF) ^ k1) & LOW) * MULTIPLIER_1
    high, low, rest = p1 >> HALF, p0 & LOW, p1 & LOW
    c0, c2, c3 = load_broad(hoisted, 0, p) ^ high, load_broad(hoisted, 1, p) ^ low, load_broad(hoisted, 2, p)
    c1 = rest
    c0, c1, c2, c3 = _two_rounds(c0, c1, c2, c3, (k0 + WEYL_0 * TWO) & LOW, (k1 + WEYL_1 * TWO) & LOW)
    c0, c1, c2, c3 = _two_rounds(c0, c1, c2, c3, (k0 + WEYL_0 * FOUR) & LOW, (k1 + WEYL_1 * FOUR) & LOW)
    c0, c1, c2, c3 = _two_rounds(c0, c1, c2, c3, (k0 + WEYL_0 * SIX) & LOW, (k1 + WEYL_1 * SIX) & LOW)
    return _two_rounds(c0, c1, c2, c3, (k0 + WEYL_0 * EIGHT) & LOW, (k1 + WEYL_1 * EIGHT) & LOW)


@exact_helper
def fill_words(words: Any, hoisted: Any, pair: Any, component: Any, k0: Any, k1: Any) -> None:
    """The Philox words of (path, pair, component) for all paths of a block, two 32-bit words to each 64."""
    for p in range(0, words.shape[1], 2 * LANES):
        w0, w1, w2, w3 = rounds_from_third(hoisted, p, pair, component, k0, k1)
        store(words, 0, p, w0 | (w1 << HALF))
        store(words, 1, p, w2 | (w3 << HALF))


@exact_helper
def fill_normals(z: Any, words: Any, hoisted: Any, pair: Any, k0: Any, k1: Any) -> None:
    """z[i * rank + component, path] for the steps 2 pair + i, i = 0, 1; words (2, n) is room to work in.

    Two passes over buffers that stay in the first-level cache: in one pass the registers would spill.
    """
    rank = z.shape[0] // 2
    for component in range(rank):
        fill_words(words, hoisted, pair, np.uint64(component), k0, k1)
        for p in range(0, z.shape[1], 2 * LANES):  # two transforms hide each other's latency
            first, second = box_muller(load_broad(words, 0, p), load_broad(words, 1, p))
            store(z, component, p, first)
            store(z, rank + component, p, second)


@kernel(WORDS, types.uint64, types.uint64, WORDS)
def _philox_rows(counters: Any, k0: Any, k1: Any, out: Any) -> None:
    for i in range(counters.shape[0]):
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = philox(
            counters[i, 0], counters[i, 1], counters[i, 2], counters[i, 3], k0, k1
        )


def philox4x32(counters: ArrayLike, key: Sequence[int]) -> NDArray[np.uint32]:
    """The four output words (n, 4) of Philox4x32-10 for counters (n, 4) and a key of two 32-bit words."""
    given = np.ascontiguousarray(np.atleast_2d(np.asarray(counters, dtype=np.uint64)) & LOW)
    out = np.empty_like(given)
    _philox_rows(given, np.uint64(key[0]), np.uint64(key[1]), out)
    return out.astype(np.uint32)


@kernel(WORDS, types.uint64, types.uint64, types.uint64, WORDS)
def _words_rows(paths: Any, step: Any, k0: Any, k1: Any, out: Any) -> None:
    for i in range(out.shape[0]):
        for j in range(0, out.shape[1], 2):
            high = (np.uint64(j // 2) << EIGHT) | (step >> HALF)
            w0, w1, w2, w3 = philox(step & LOW, paths[0, i] >> HALF, paths[0, i] & LOW, high, k0, k1)
            out[i, j] = w0 | (w1 << HALF)
            if j + 1 < out.shape[1]:
                out[i, j + 1] = w2 | (w3 << HALF)


def uniform_words(key: tuple[np.uint64, np.uint64], *, paths: Words, step: int, count: int) -> Words:
    """`count` uniform 64-bit words for each path number at one step, as (path, count)."""
    check_range(2 * step + 2, count // 2 + 1)
    out = np.empty((len(paths), count), dtype=np.uint64)
    _words_rows(np.ascontiguousarray(paths[None]), np.uint64(step), *key, out)
    return out


def first_number(first_path: Any, paths: int) -> int:
    """The number of the first of some paths; refuses numbers that the counter has not."""
    first = checks.count("first_path", first_path, least=0)
    if first + paths > MAX_PATHS:
        raise ValueError(
            f"got first_path={first} and {paths} paths, expected numbers below 2^64: beyond, random numbers would repeat; type another `stream`"
        )
    return first


def check_range(steps: int, components: int) -> None:
    """Refuse counters that would wrap around."""
    if steps > MAX_STEPS or components > MAX_COMPONENTS:
        raise ValueError(
            f"got {steps} steps and {components} components, expected at most 2^41 and 2^23: beyond, random numbers would repeat"
        )
