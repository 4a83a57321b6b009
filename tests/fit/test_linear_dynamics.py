"""Linear dynamics, confinement and balance of runs whose process is known."""

from dataclasses import replace

import numpy as np
import pytest

import sgdyn as sg
from tests.fit.runs import network, run

F = np.array([[1.0, 0.7, 0.0], [-0.7, 2.0, 0.1], [0.0, 0.2, 0.3]])
ROOT = np.array([[1.0, 0.0, 0.0], [0.5, 0.6, 0.0], [0.1, 0.2, 0.9]])
D, T, CENTER = ROOT @ ROOT.T, 0.5, np.array([1.0, 0.0, 2.0])
PROCESS = sg.Langevin.linear(F, T=T, D=D, center=CENTER)


def path(seed, dt=0.1, times=600, replicas=4):
    """Exact at any dt, without the approach to stationarity."""
    first = round(20 / dt)
    options = {"dt": dt, "n_paths": replicas, "seed": seed, "method": sg.ExactLinear(), "save": first + times}
    return sg.simulate(PROCESS, CENTER, t=(first + times) * dt, **options).x[:, first:]


@pytest.mark.parametrize(
    ("seeds", "mean", "spread", "largest"),
    [(20, 0.35, 0.25, 4.5), pytest.param(200, 0.11, 0.12, 6.0, marks=pytest.mark.slow)],
)
def test_intervals_cover_over_many_seeds(seeds, mean, spread, largest):
    """Pulls have mean 0 and spread 1: all elements of F, of the noise, the center; residuals are white and Gaussian."""
    pulls = {}
    for seed in range(seeds):
        found = sg.fit.linear(path(seed), dt=0.1)
        truth = {"F": F, "noise": T * D, "center": CENTER, "residual_correlation": 0.0, "residual_kurtosis": 0.0}
        for name, exact in truth.items():
            pulls.setdefault(name, []).append(np.ravel(getattr(found, name).pull(exact)))
    for name, found in pulls.items():
        assert np.abs(np.mean(found)) < mean and abs(np.std(found) - 1) < spread, name
        assert np.max(np.abs(found)) < largest, name


def test_a_wrong_temperature_and_a_wrong_rate_are_seen():
    found = sg.fit.linear(path(0), dt=0.1)
    assert not found.noise.agrees(1.2 * T * D) and not found.F.agrees(1.6 * F)


def test_far_apart_times_need_the_exact_transition():
    """At dt = 1 Euler's F = (1 - A)/dt is off by a factor of two in the fastest mode; the logarithm is not."""
    x = path(1, dt=1.0, times=3000)
    found = sg.fit.linear(x, dt=1.0)
    assert found.F.agrees(F) and found.noise.agrees(T * D)
    z = x - CENTER
    A = np.linalg.lstsq(z[:, :-1].reshape(-1, 3), z[:, 1:].reshape(-1, 3), rcond=None)[0].T
    assert not found.F.agrees(np.eye(3) - A)
    np.testing.assert_allclose(found.covariance, sg.linear_stationary(PROCESS).covariance, rtol=0.1, atol=0.05)


def test_units_and_axes_go_along():
    x, M = path(2), np.array([[2.0, 1.0, 0.0], [0.0, 0.5, 0.3], [0.1, 0.0, 1.0]])
    plain, moved = sg.fit.linear(x, dt=0.1), sg.fit.linear(x @ M.T, dt=0.2)
    np.testing.assert_allclose(moved.F.value, M @ plain.F.value @ np.linalg.inv(M) / 2, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(moved.noise.value, M @ plain.noise.value @ M.T / 2, rtol=1e-8)


def test_the_fitted_process_goes_to_every_solver():
    found = sg.fit.linear(path(3), dt=0.1)
    state = sg.linear_stationary(found.process())
    np.testing.assert_allclose(state.covariance, found.covariance, rtol=1e-8)
    assert state.entropy_production > 0
    assert found.plot() is not None


@pytest.mark.parametrize(("replicas", "times"), [(1, 600), (12, 300)])
def test_random_walks_are_not_called_confined_and_returning_ones_are(replicas, times, rng):
    kept = np.array([0.7, 0.8, 1.0, 1.0])
    x = np.zeros((replicas, times, 4))
    for t in range(1, times):
        x[:, t] = kept * x[:, t - 1] + rng.standard_normal((replicas, 4))
    found = sg.fit.confinement(x, dt=1.0)
    assert found.confined.tolist() == [True, True, False, False]
    assert np.all(np.abs(found.relaxations[:2] / (times * (1 - kept[:2])) - 1) < 0.3)
    assert found.plot() is not None


def test_sgd_is_in_balance_when_stationary_and_not_before():
    net = network()
    space = net.subspace(k=3)
    found = sg.fit.balance(run(net, space).after(450))
    assert found.stationary and "consistent with" in str(found)
    assert np.all(found.temperature.value > 10 * found.temperature.error)
    h, d = np.diag(space.H), np.diag(space.D)
    np.testing.assert_allclose(found.injected.value, 0.02 / 128 * d, rtol=0.3)
    assert len(h) == 3 and found.plot() is not None
    away = net.weights.numpy() + 0.3 * np.random.default_rng(0).standard_normal((64, net.dim))
    falling = sg.nets.train(net, steps=60, lr=0.02, batch=64, replicas=64, record=space, seed=3, start=away)
    assert not sg.fit.balance(falling).stationary
    with pytest.raises(ValueError, match="record=subspace"):
        sg.fit.balance(replace(falling, gradients=falling.gradients[:, :, :0]))


@pytest.mark.parametrize(
    ("wrong", "options", "message"),
    [
        (np.zeros((3, 10, 2)), {"dt": 1.0}, "at least 20 times"),
        (np.zeros((3, 50, 2)), {}, "type dt="),
        (np.zeros((3, 50, 2)), {"dt": -1.0}, "positive"),
        (np.full((1, 50, 1), np.nan), {"dt": 1.0}, "not finite at time 0 of replica 0"),
        (np.random.default_rng(0).normal(size=(4, 500, 2)), {"dt": 1.0}, "record more often"),
    ],
)
def test_wrong_runs_are_refused(wrong, options, message):
    with pytest.raises(ValueError, match=message):
        sg.fit.linear(wrong, **options)


def test_balance_wants_a_recording():
    with pytest.raises(TypeError, match="Recording"):
        sg.fit.balance(np.zeros((2, 50, 2)))
