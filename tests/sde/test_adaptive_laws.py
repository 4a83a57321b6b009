"""Steps that divide themselves: stationary laws, which a program that forgets rejected noise misses."""

import numpy as np
import pytest
from scipy import integrate, stats

import sgdyn as sg

QUARTIC = sg.Langevin(sg.potential(dim=1)(lambda x: x[0] ** 4 / 4), T=0.5)


def quartic_law():
    grid = np.linspace(-4, 4, 4001)
    cdf = integrate.cumulative_simpson(np.exp(-(grid**4) / 2), x=grid, initial=0)
    return lambda x: np.interp(x, grid, cdf / cdf[-1])


def in_numpy(tolerance, n, bridged, dt=0.5, steps=12, levels=8, seed=0):
    """The same steps by an independent program; without bridges a rejected increment is forgotten and a new one drawn."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n) * 0.7

    def advance(x, w, h, level):
        y = x - h * x**3 + w
        change = -h / 2 * (y**3 - x**3)
        good = (np.abs(change) <= tolerance * (1 + np.abs(x))) | (level == levels)
        out, bad = y + change, ~good
        if bad.any():
            z = rng.normal(size=(2, bad.sum())) * np.sqrt(h / 2)
            left = w[bad] / 2 + z[0] / np.sqrt(2) if bridged else z[0]
            middle = advance(x[bad], left, h / 2, level + 1)
            out[bad] = advance(middle, w[bad] - left if bridged else z[1], h / 2, level + 1)
        return out

    for _ in range(steps):
        x = advance(x, rng.normal(size=n) * np.sqrt(dt), dt, 0)
    return x


def test_the_law_is_right_in_spite_of_rejections():
    n, tolerance, law = 60_000, 0.01, quartic_law()
    start = np.random.default_rng(0).normal(size=(n, 1)) * 0.7
    x = sg.simulate(QUARTIC, start, t=6, dt=0.5, seed=2, method=sg.Adaptive(tolerance, levels=8)).x.ravel()
    assert stats.kstest(x, law).pvalue > 1e-3
    assert stats.kstest(in_numpy(tolerance, n, bridged=True), law).pvalue > 1e-3
    assert stats.kstest(in_numpy(tolerance, n, bridged=False), law).pvalue < 1e-6


@pytest.mark.parametrize("rng", ["philox", "fast"])
@pytest.mark.parametrize("noise", ["double", "single"])
def test_it_takes_any_normals(noise, rng):
    x = sg.simulate(
        QUARTIC, [0.0], t=6, dt=0.5, n_paths=20_000, seed=3, noise=noise, rng=rng, method=sg.Adaptive(0.01)
    ).x
    assert stats.kstest(x.ravel(), quartic_law()).pvalue > 1e-3


def test_observed_averages():
    found = sg.observe(
        QUARTIC,
        [0.5],
        {"square": sg.Average(lambda x: x[0] ** 2)},
        t=10,
        dt=0.5,
        after=6,
        n_paths=20_000,
        seed=3,
        method=sg.Adaptive(3e-3),
    )["square"]
    density = lambda x: np.exp(-(x**4) / 2)
    exact = integrate.quad(lambda x: x**2 * density(x), -5, 5)[0] / integrate.quad(density, -5, 5)[0]
    assert abs(np.squeeze(found.value) - exact) < 4 * np.squeeze(found.error) + 0.002


def test_momentum():
    momentum = sg.Momentum(QUARTIC.U, T=0.5, friction=1.0)
    x = sg.simulate(momentum, [3.0, 0.0], t=10, dt=0.5, n_paths=20_000, seed=1, method=sg.Adaptive(3e-3)).x[:, 0]
    assert stats.kstest(x[:, 0], quartic_law()).pvalue > 1e-3
    assert stats.kstest(x[:, 1] / np.sqrt(0.5), "norm").pvalue > 1e-3
