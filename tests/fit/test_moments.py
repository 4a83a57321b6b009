"""Exact and measured second moments against brute force."""

import numpy as np
import pytest

import sgdyn as sg
from sgdyn.fit.moments import Moments
from tests.fit.runs import iteration

H = np.array([[1.0, 0.2, 0.0], [0.2, 0.5, 0.1], [0.0, 0.1, 0.3]])
D = np.array([[1.0, 0.4, -0.3], [0.4, 0.6, 0.1], [-0.3, 0.1, 0.9]])
LAGS = np.array([1, 2, 4])
FIELDS = ("second", "lagged", "turning", "change")


@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_a_run_from_rest_has_the_moments_that_brute_force_finds(momentum, rng):
    """60,000 replicas, recorded in the transient and every third step."""
    model = sg.discrete_sgd(H, D, lr=0.2, batch=4, momentum=momentum)
    x = iteration(model, 28, 60_000, rng)[:, 4::3]
    exact = Moments.from_rest(model, np.arange(4, 28, 3), LAGS)
    found = Moments.of_paths(x, LAGS, centred=False)
    for name in FIELDS:
        samples = getattr(found, name)
        error = samples.std(axis=0) / np.sqrt(len(samples))
        assert np.all(np.abs(samples.mean(axis=0) - getattr(exact, name)) <= 4.5 * error + 1e-15), name
    stationary = Moments.stationary(model.lagged_covariance, LAGS, 3)
    assert np.all(exact.second < 0.98 * stationary.second)


@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_long_after_rest_they_are_the_stationary_ones(momentum):
    model = sg.discrete_sgd(H, D, lr=0.2, batch=4, momentum=momentum)
    late = Moments.from_rest(model, np.arange(4000, 4060, 3), LAGS)
    stationary = Moments.stationary(model.lagged_covariance, LAGS, 3)
    for name in FIELDS:
        np.testing.assert_allclose(getattr(late, name), getattr(stationary, name), rtol=1e-9, atol=1e-14)
    assert np.abs(stationary.turning).max() > 1e-3


def test_subtracting_the_common_mean_of_few_replicas_costs_no_bias(rng):
    """Three replicas with a mean that each keeps: without the correction a third of the variance would be lost."""
    totals = []
    for _ in range(4000):
        x = rng.normal(size=(3, 6, 2)) * 0.3 + rng.normal(size=(3, 1, 2)) + 7.0
        totals.append(Moments.of_paths(x - x.mean(axis=(0, 1)), np.array([1, 2]), centred=True).second.mean(axis=0))
    error = np.std(totals, axis=0) / np.sqrt(len(totals))
    assert np.all(np.abs(np.mean(totals, axis=0) - 1.09) < 4 * error) and np.all(error < 0.03)


def test_a_control_variate_changes_the_error_and_not_the_expectation():
    model = sg.discrete_sgd(H, D, lr=0.2, batch=4)
    exact = Moments.from_rest(model, np.arange(0, 60, 3), LAGS)
    x = Moments.of_paths(iteration(model, 60, 500, np.random.default_rng(1))[:, ::3], LAGS, centred=False)
    same = x.minus(x, exact)
    for name in FIELDS:
        assert np.ptp(getattr(same, name), axis=0).max() < 1e-12
        np.testing.assert_allclose(getattr(same, name)[0], getattr(exact, name), atol=1e-12)
