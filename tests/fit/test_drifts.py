"""Whether a run is seen to drift: approaches from afar, noise that grows, and stationary runs that do not."""

import numpy as np
import pytest
from scipy.signal import lfilter

import sgdyn as sg
from sgdyn.fit.drifts import drifting, trends
from sgdyn.fit.stretches import Series


def path(seed, replicas, times, relaxations, start=None):
    """Of unit variance, that many relaxation times of each coordinate long, from `start` standard deviations or from the stationary state."""
    rng = np.random.default_rng(seed)
    kept = np.exp(-np.asarray(relaxations) / times)
    x = np.empty((replicas, times, len(kept)))
    x[:, 0] = rng.standard_normal((replicas, len(kept))) if start is None else start
    for t in range(1, times):
        x[:, t] = kept * x[:, t - 1] + np.sqrt(1 - kept**2) * rng.standard_normal((replicas, len(kept)))
    return x


def noted(make, seeds=5):
    return sum(bool(drifting(Series(make(seed), 1.0))) for seed in range(seeds))


@pytest.mark.parametrize(("replicas", "times", "fast", "slow"), [(8, 60, 12, 3), (8, 200, 40, 10), (2, 400, 80, 20)])
def test_an_approach_from_four_standard_deviations_is_noted(replicas, times, fast, slow):
    """A t test over eight replicas at 4.5 standard deviations noted none of these, and called some irreversible."""
    assert noted(lambda seed: path(seed, replicas, times, (fast, slow), (4.0, -4.0))) == 5
    found = sg.fit.irreversibility(path(0, replicas, times, (fast, slow), (4.0, -4.0)), dt=0.2)
    assert "not stationary" in str(found)


@pytest.mark.parametrize(("replicas", "times", "relaxations", "last"), [(1, 3000, 600, 4), (8, 600, 120, 2)])
def test_noise_that_grows_is_noted(replicas, times, relaxations, last):
    growth = np.linspace(1, last, times)[None, :, None]
    assert noted(lambda seed: path(seed, replicas, times, (relaxations,)) * growth) >= 4
    assert "variance" in drifting(Series(path(1, replicas, times, (relaxations,)) * growth, 1.0))[0]


def test_walks_from_one_point_are_noted(rng):
    assert noted(lambda seed: np.cumsum(np.random.default_rng(seed).standard_normal((16, 500, 1)), axis=1)) == 5


@pytest.mark.parametrize(
    ("replicas", "times", "relaxations"), [(1, 1000, (200, 50)), (3, 300, (60, 30)), (8, 60, (12, 3)), (32, 25, (2, 0.3))]
)  # fmt: skip
def test_stationary_runs_are_not_noted(replicas, times, relaxations):
    assert noted(lambda seed: path(seed, replicas, times, relaxations), 40) <= 1


def test_heavy_tails_are_not_noted():
    assert noted(lambda seed: np.random.default_rng(seed).standard_cauchy((20, 400, 1)), 20) <= 1
    assert noted(lambda seed: np.random.default_rng(seed).standard_t(3, (2, 2000, 1)), 20) <= 1


def test_a_constant_coordinate_does_not_drift(rng):
    x = rng.standard_normal((4, 100, 2)) * [1.0, 0.0] + 3
    assert np.all(trends(x)[:, 1] == 1) and np.all(trends(x)[:, 0] > 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("replicas", "times", "relaxations"), [(1, 600, 60), (1, 2000, 300), (3, 300, 30), (8, 300, 10), (16, 200, 2), (64, 100, 5)]
)  # fmt: skip
def test_chances_are_no_smaller_than_even(replicas, times, relaxations):
    """Of 900 coordinates 1 % has a chance below .01, and not twice as many."""
    rng, kept = np.random.default_rng(5), np.exp(-relaxations / times)
    kicks = rng.standard_normal((900, replicas, times)) * np.sqrt(1 - kept**2)
    kicks[..., 0] /= np.sqrt(1 - kept**2)
    x = np.moveaxis(lfilter([1.0], [1.0, -kept], kicks, axis=2), 0, 2)
    assert np.all(np.mean(trends(x) < 0.01, axis=1) < 0.02)
    assert np.all(np.mean(trends(x) < 0.1, axis=1) < 0.14)
