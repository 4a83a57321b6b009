"""The random numbers in all precisions and from both generators: documented words, right laws, and any place at any time."""

import math

import numpy as np
import pytest
from scipy import stats

import sgdyn as sg
from sgdyn.randomness import key, philox4x32
from sgdyn.sde.variates import KINDS, variates

PATHS, STEPS = 1600, 512
SAMPLES = {}


def sample(noise, rng):
    if (noise, rng) not in SAMPLES:
        SAMPLES[noise, rng] = sg.normals(7, paths=PATHS, steps=STEPS, components=2, noise=noise, rng=rng)
    return SAMPLES[noise, rng]


def words_of(path, group, component):
    k0, k1 = key(7)
    return [int(w) for w in philox4x32([[group, 0, path, component << 8]], (int(k0), int(k1)))[0]]


def xoshiro_words(path, group, component):
    """xoshiro128++ written again, one 32-bit word after the other, from the key words of the documentation."""
    k0, k1 = key(7)
    s = [int(w) for w in philox4x32([[group // 64, 0, path, (component | 1 << 23) << 8]], (int(k0), int(k1)))[0]]
    mask, rotate = 0xFFFFFFFF, lambda x, n: ((x << n) | (x >> (32 - n))) & 0xFFFFFFFF
    out = []
    for _ in range(4 * (group % 64 + 1)):
        out.append((rotate((s[0] + s[3]) & mask, 7) + s[0]) & mask)
        t = (s[1] << 9) & mask
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotate(s[3], 11)
    return out[-4:]


def single(a, b):
    """Box-Muller of two 32-bit words in double precision."""
    radius = math.sqrt(-2 * math.log(((a >> 1) + 0.5) / 2**31))
    low = (b << 1) & 0xFFFFFFFF
    t = (low - 2**32 if low >= 2**31 else low) / 2**31
    return radius * math.cos(math.pi / 2 * t) * (-1 if b >> 31 else 1), radius * math.sin(math.pi / 2 * t)


def double(a, b):
    radius = math.sqrt(-2 * math.log1p(-(a >> 12) * 2.0**-52))
    t = ((b & (2**63 - 1)) >> 11) * 2.0**-51 - 1
    return radius * math.cos(math.pi / 2 * t) * (-1 if b >> 63 else 1), radius * math.sin(math.pi / 2 * t)


@pytest.mark.parametrize("rng", ["philox", "fast"])
@pytest.mark.parametrize(("path", "group", "component"), [(0, 0, 0), (17, 5, 1), (1599, 127, 0), (6, 64, 1)])
def test_normals_are_box_muller_of_the_documented_words(rng, path, group, component):
    w = (words_of if rng == "philox" else xoshiro_words)(path, group, component)
    found = sample("single", rng)[path, 4 * group : 4 * group + 4, component]
    np.testing.assert_allclose(found, [*single(w[0], w[1]), *single(w[2], w[3])], rtol=3e-6, atol=3e-7)
    found = sample("double", rng)[path, 2 * group : 2 * group + 2, component]
    np.testing.assert_allclose(found, double(w[0] | (w[1] << 32), w[2] | (w[3] << 32)), rtol=1e-12, atol=1e-13)


def test_signs_are_the_bits_of_the_documented_words():
    w = words_of(9, 2, 1)
    bits = [(w[0] | (w[1] << 32)) >> (63 - i) & 1 for i in range(64)] + [
        (w[2] | (w[3] << 32)) >> (63 - i) & 1 for i in range(64)
    ]
    np.testing.assert_array_equal(sample("weak", "philox")[9, 256:384, 1], [-1.0 if b else 1.0 for b in bits])


@pytest.mark.parametrize("kind", KINDS)
def test_any_place_can_be_asked_for(kind):
    noise, rng = kind
    some = sg.normals(7, paths=[1000, 3], steps=range(301, 330, 7), components=2, noise=noise, rng=rng)
    np.testing.assert_array_equal(some, sample(noise, rng)[[1000, 3], 301:330:7])


@pytest.mark.parametrize("kind", [k for k in KINDS if k[0] != "weak"])
def test_normals_have_normal_moments_tails_and_distribution(kind):
    z = sample(*kind).ravel()
    for order in range(1, 9):
        exact = 0 if order % 2 else math.prod(range(1, order, 2))
        spread = math.sqrt((math.prod(range(1, 2 * order, 2)) - exact**2) / len(z))
        assert abs(np.mean(z**order) - exact) < 4.5 * spread, order
    tail = 2 * stats.norm.sf(4) * len(z)
    assert abs(np.sum(np.abs(z) > 4) - tail) < 4.5 * math.sqrt(tail)
    assert stats.kstest(z, "norm").pvalue > 1e-3
    assert stats.kstest(1.01 * z, "norm").pvalue < 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_paths_steps_and_components_are_independent(kind):
    z = sample(*kind)
    n = z.size
    for a, b in (
        (z[1:], z[:-1]),
        (z[:, 1:], z[:, :-1]),
        (z[:, 4:], z[:, :-4]),
        (z[..., 0], z[..., 1]),
        (z[16:], z[:-16]),
    ):
        assert abs(np.sum(a * b)) < 4.5 * math.sqrt(a.size)
        if kind[0] != "weak":
            assert abs(np.sum((a**2 - 1) * (b**2 - 1))) < 4.5 * 2 * math.sqrt(a.size)
    power = np.abs(np.fft.rfft(z.sum(axis=(0, 2))))[1:-1] ** 2 / (n / 2)
    assert (
        stats.kstest(power, "expon", args=(0, 2)).pvalue > 1e-3
        or stats.kstest(power / power.mean(), "expon").pvalue > 1e-3
    )


def test_generators_and_precisions_do_not_share_numbers_that_should_differ():
    a, b = sample("double", "philox"), sample("double", "fast")
    assert abs(np.sum(a * b)) < 4.5 * math.sqrt(a.size)


def test_unknown_kinds_are_refused():
    for noise, rng in (("half", "philox"), ("double", "mersenne")):
        with pytest.raises(ValueError, match="expected noise='double'"):
            variates(noise, rng)


@pytest.mark.parametrize("kind", KINDS)
def test_the_engine_takes_them_and_neither_threads_nor_slices_nor_start_matter(kind, monkeypatch):
    noise, rng = kind
    still = sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, dim=2)
    options = {"t": 7.7, "dt": 0.1, "noise": noise, "rng": rng, "seed": 7, "save": 78}
    x = sg.simulate(still, [0.0, 0.0], n_paths=40, threads=2, **options).x
    np.testing.assert_allclose(x[:, 1:], np.cumsum(math.sqrt(0.1) * sample(noise, rng)[:40, :77], axis=1), atol=1e-12)
    monkeypatch.setattr("sgdyn.sde.simulation.SLICE_WORK", 10)
    np.testing.assert_array_equal(
        sg.simulate(still, [0.0, 0.0], n_paths=7, first_path=20, threads=1, **options).x, x[20:27]
    )


def test_signs_give_the_right_averages_and_not_the_right_paths():
    process = sg.Langevin(sg.quadratic([1.0]), T=0.5)
    found = sg.simulate(process, [1.0], t=1, dt=0.05, n_paths=20_000, seed=3, noise="weak")
    assert found.mean().agrees([0.95**20]) and found.cov().agrees([[0.05 * (1 - 0.95**40) / (1 - 0.95**2)]])
