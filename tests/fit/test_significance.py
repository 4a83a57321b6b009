"""The joint test: as many false alarms as it says, and no blindness."""

import numpy as np
import pytest
from scipy import stats

from sgdyn.estimate import of_samples
from sgdyn.fit.significance import CERTAIN, check, needed

EXACT = np.array([1.0, 2.0, 0.5, -1.5])
UNIT = np.ones(4)


def samples(rng, replicas=32, scale=1.0, correlation=0.8):
    """Correlated components, all with standard deviation one about scale * EXACT."""
    common = rng.normal(size=(replicas, 1))
    own = rng.normal(size=(replicas, 4))
    return scale * EXACT + np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own


@pytest.mark.parametrize("replicas", [8, 64])
def test_false_alarms_are_no_more_than_stated(rng, replicas):
    found = [check("x", of_samples(samples(rng, replicas), ""), EXACT, UNIT).sigmas > 2 for _ in range(1500)]
    assert 0.005 < np.mean(found) < stats.norm.sf(2) * 2 + 0.015


def test_wrong_sizes_signs_and_single_components_fail(rng):
    for wrong in (2 * EXACT, -EXACT, EXACT + np.array([0, 0, 1.5, 0]), 0 * EXACT):
        data = of_samples(samples(rng, 256), "")
        assert check("x", data, EXACT, UNIT).passed
        assert check("x", data, wrong, UNIT).sigmas > CERTAIN + 2


def test_the_size_is_the_share_of_the_exact_numbers(rng):
    found = check("x", of_samples(samples(rng, 4096, scale=-0.7), ""), EXACT, UNIT)
    assert abs(found.size.value + 0.7) < 4 * found.size.error < 0.1


def test_an_allowance_is_for_small_deviations_only(rng):
    data = of_samples(samples(rng, 40_000, scale=1.08), "")
    assert not check("x", data, EXACT, UNIT).passed
    assert check("x", data, EXACT, UNIT, 0.1, 0.1 * np.abs(EXACT)).passed
    assert not check("x", data, EXACT, UNIT, 0.03, 0.03 * np.abs(EXACT)).passed


def test_few_replicas_need_larger_deviations_in_their_own_standard_errors():
    assert needed(8) > 10 and needed(10**6) == pytest.approx(CERTAIN, abs=1e-3)
    assert stats.t.sf(needed(8), 7) == pytest.approx(stats.norm.sf(CERTAIN))


def test_skewed_averages_of_squares_give_no_false_alarm_where_their_errors_came_out_small(rng):
    """Means of three squares, 16 replicas: plain pulls would fail the right theory often."""
    alarms = {True: 0, False: 0}
    for _ in range(600):
        data = of_samples(rng.gamma(1.5, 1 / 1.5, size=(16, 20)), "")
        for fair in alarms:
            spread = 1 / data.value if fair else 1.0
            alarms[fair] += check("x", data, np.ones(20), np.ones(20), spread=spread).sigmas > 3
    assert alarms[True] <= 4 and alarms[False] > 3 * alarms[True] + 10
    half = of_samples(rng.gamma(1.5, 0.5 / 1.5, size=(64, 20)), "")
    assert check("x", half, np.ones(20), np.ones(20), spread=1 / half.value).sigmas > CERTAIN
