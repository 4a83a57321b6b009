"""Philox bit for bit, normals by law, and randomness as a function of (seed, stream, path, step, component)."""

import math

import numpy as np
import pytest
from scipy import stats

import sgdyn as sg
from sgdyn import randomness
from sgdyn.sde.increments import padded

KNOWN = [  # Random123 kat_vectors, philox4x32 10
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_philox_gives_the_known_answers_of_random123(counter, key, words):
    np.testing.assert_array_equal(randomness.philox4x32(counter, key)[0], words)


def test_philox_agrees_with_plain_integers():
    """An independent implementation in plain Python integers, on random counters and keys."""
    rng = np.random.default_rng(1)
    counters, key = rng.integers(0, 2**32, (50, 4)), rng.integers(0, 2**32, 2).tolist()
    np.testing.assert_array_equal(
        randomness.philox4x32(counters, key), [plain_philox(c.tolist(), key) for c in counters]
    )


def plain_philox(c, key):
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k1, p0 & 0xFFFFFFFF]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


@pytest.mark.parametrize(
    ("path", "step", "component"), [(0, 0, 0), (7, 3, 1), (2**33 + 5, 2**34 + 1, 2**20), (2**63, 2**41 - 1, 2)]
)
def test_a_normal_is_box_muller_of_the_documented_counter(path, step, component):
    k0, k1 = (int(k) for k in randomness.key(11, 3))
    pair = step // 2
    w = plain_philox([pair & 0xFFFFFFFF, path >> 32, path & 0xFFFFFFFF, (component << 8) | (pair >> 32)], (k0, k1))
    a, b = w[0] | (w[1] << 32), w[2] | (w[3] << 32)
    radius = math.sqrt(-2 * math.log1p(-(a >> 12) * 2.0**-52))
    t = ((b & (2**63 - 1)) >> 11) * 2.0**-51 - 1
    angle = math.pi / 2 * t
    expected = radius * (math.cos(angle) * (-1 if b >> 63 else 1) if step % 2 == 0 else math.sin(angle))
    if component < 100:
        found = sg.normals(11, stream=3, paths=[path], steps=range(step, step + 1), components=component + 1)[
            0, 0, component
        ]
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-13)
    else:
        words, hoisted = counted_words(padded([path], split=False), pair, component, k0, k1)
        assert [int(v) for v in words[:, 0]] == [a, b], hoisted


def counted_words(row, pair, component, k0, k1):
    from numba import njit

    @njit
    def fill(row, pair, component, k0, k1, hoisted, words):
        randomness.hoist(row, k0, k1, hoisted)
        randomness.fill_words(words, hoisted, pair, component, k0, k1)

    hoisted, words = np.empty((3, 32), np.uint64), np.empty((2, 32), np.uint64)
    fill(row, np.uint64(pair), np.uint64(component), np.uint64(k0), np.uint64(k1), hoisted, words)
    return words, hoisted


def test_normals_do_not_depend_on_what_else_is_drawn():
    many = sg.normals(5, paths=37, steps=21, components=3)
    few = sg.normals(5, paths=[30, 2], steps=range(4, 9), components=2)
    np.testing.assert_array_equal(few, many[[30, 2], 4:9, :2])


def test_seeds_and_streams_give_different_numbers_and_sequences_are_accepted():
    one = sg.normals(1, paths=4, steps=4)
    assert not np.any(one == sg.normals(2, paths=4, steps=4))
    assert not np.any(one == sg.normals(1, paths=4, steps=4, stream=1))
    np.testing.assert_array_equal(one, sg.normals(np.random.SeedSequence(1), paths=4, steps=4))


Z = None


def sample():
    global Z
    if Z is None:
        Z = sg.normals(2026, paths=4000, steps=500, components=2)
    return Z


def test_normals_have_the_moments_of_the_normal_law():
    z = sample().ravel()
    n = z.size
    for order in range(1, 9):
        exact = float(stats.norm.moment(order))
        spread = math.sqrt(float(stats.norm.moment(2 * order)) - exact**2)
        assert abs(np.mean(z**order) - exact) * math.sqrt(n) / spread < 4, order


def test_normals_pass_kolmogorov_smirnov_and_chi_square_and_a_wrong_scale_does_not():
    z = sample().ravel()
    assert stats.kstest(z[:200_000], "norm").pvalue > 1e-3
    assert stats.kstest(1.02 * z[:200_000], "norm").pvalue < 1e-3
    counts, _ = np.histogram(stats.norm.cdf(z), bins=1000, range=(0, 1))
    assert stats.chisquare(counts).pvalue > 1e-3


def test_tails_are_as_heavy_as_they_should_be():
    z = np.abs(sample().ravel())
    for level in (3.0, 4.0, 4.5):
        expected = 2 * stats.norm.sf(level) * z.size
        assert abs(np.sum(z > level) - expected) < 4 * math.sqrt(expected), level


def test_neighbours_along_every_axis_are_independent():
    z = sample()
    pairs = [(z[:-1], z[1:]), (z[:, :-1], z[:, 1:]), (z[..., 0], z[..., 1]), (z[:, ::2], z[:, 1::2])]
    for a, b in pairs:
        assert abs(np.mean(a * b)) * math.sqrt(a.size) < 4
        assert abs(np.mean((a**2 - 1) * (b**2 - 1))) / 2 * math.sqrt(a.size) < 4


def test_uniform_words_are_uniform_and_a_function_of_path_and_step():
    k = randomness.key(3)
    paths = np.arange(2000, dtype=np.uint64)
    words = randomness.uniform_words(k, paths=paths, step=9, count=50)
    np.testing.assert_array_equal(words[[1999], :7], randomness.uniform_words(k, paths=paths[1999:], step=9, count=7))
    for shift in (0, 20, 48, 60):
        counts = np.bincount((words.ravel() >> np.uint64(shift)) & np.uint64(15), minlength=16)
        assert stats.chisquare(counts).pvalue > 1e-4, shift
