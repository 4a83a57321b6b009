"""Balance of SGD on quadratics: errors, runs that descend, directions without a gradient."""

import numpy as np
import pytest
import torch

import sgdyn as sg
from sgdyn.nets.recording import Recording, Settings

LR = 0.1


def sgd(seed, replicas, steps, curvatures, noise=1.0, start=None, every=1):
    """w' = w - lr (h w + noise xi), seen every `every` steps: from a point, or after fifteen relaxation times of h = 0.3."""
    rng, h = np.random.default_rng(seed), np.asarray(curvatures, dtype=float)
    x = np.zeros((replicas, len(h))) if start is None else np.full((replicas, len(h)), float(start))
    burn, seen = 500 if start is None else 0, []
    kicks = noise * rng.standard_normal((burn + steps, replicas, len(h)))
    for t in range(burn + steps):
        g = h * x + kicks[t]
        seen.append((x, g))
        x = x - LR * g
    x, g = (np.stack(part, axis=1)[:, ::every] for part in zip(*seen[burn:], strict=True))
    settings = Settings(steps, LR, 1, "replacement", 0.0, replicas, every, 0, 100, 0.0)
    none = np.zeros(x.shape[:2])
    return Recording(settings, np.arange(0, steps, every), x, g, x[..., :0], none, none, torch.zeros(replicas, len(h)))


@pytest.mark.parametrize(("replicas", "steps", "every"), [(1, 2000, 1), (1, 4000, 5), (4, 300, 1), (8, 300, 1), (30, 200, 1)])  # fmt: skip
def test_errors_of_the_excess_are_those_of_chance(replicas, steps, every):
    """Twenty seeds, ten directions of h = 0.3 each. Stretches as units made the pulls of one replica 0.15 on average."""
    found = [sg.fit.balance(sgd(seed, replicas, steps, [0.3] * 10, every=every)) for seed in range(20)]
    pulls = np.array([each.excess.pull(0.0) for each in found])
    assert 0.8 < pulls.std() < 1.2 and abs(pulls.mean()) < 0.2
    assert sum(each.sigmas >= 3 for each in found) <= 1
    exact = LR / 2 / (1 - LR * 0.3 / 2)
    assert np.abs(np.mean([each.temperature.value for each in found]) / exact - 1) < 0.05


@pytest.mark.parametrize(("replicas", "steps", "every"), [(1, 2000, 1), (8, 500, 1), (30, 300, 1), (64, 200, 1), (8, 5000, 10)])  # fmt: skip
def test_a_run_that_begins_six_standard_deviations_away_is_not_stationary(replicas, steps, every):
    """It lasts one relaxation time: one replica cannot show more than that it is too short."""
    h = 1 / (steps * LR)
    for seed in range(5):
        found = sg.fit.balance(sgd(seed, replicas, steps, [h], start=6 * np.sqrt(LR / 2 / h), every=every))
        assert not found.stationary and (replicas == 1 or found.sigmas > 3)
    assert found.plot() is not None


@pytest.mark.parametrize(("replicas", "steps", "h", "start"), [(8, 500, 0.01, 30.0), (16, 500, 1e-3, 0.0)])
def test_replicas_that_slide_or_spread_are_not_stationary(replicas, steps, h, start):
    found = [sg.fit.balance(sgd(seed, replicas, steps, [h], start=start)) for seed in range(10)]
    assert all(each.sigmas > 3 for each in found) and "not a stationary run" in str(found[0])


def test_a_random_walk_is_too_short_to_tell():
    found = [sg.fit.balance(sgd(seed, 1, 3000, [0.0], start=0.0)) for seed in range(10)]
    assert not any(each.stationary for each in found)
    assert any("too short to tell" in str(each) and "random walk" in str(each) for each in found)


def test_a_direction_without_gradient_is_in_balance():
    found = sg.fit.balance(sgd(0, 4, 2000, [1.0, 0.3, 0.0], noise=np.array([1.0, 1.0, 0.0])))
    assert found.stationary and np.isfinite(found.sigmas)
    assert found.relaxations[2] == np.inf and abs(found.relaxations[1] / 60 - 1) < 0.3
