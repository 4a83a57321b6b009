"""Linear dynamics, confinement and balance of runs whose process is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import signal

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


def test_offsets_and_unlike_scales_cost_no_digits(recwarn):
    """Weights of size 1e7 about which the run moves by 1, and a coordinate in units of 1e-9: raw products lost F by 2000 errors there."""
    x, scale = path(2), np.array([1e-9, 1.0, 1e6])
    plain, moved = sg.fit.linear(x, dt=0.1), sg.fit.linear(x * scale + 1e7 * scale, dt=0.1)
    assert np.max(np.abs(moved.F.value * scale / scale[:, None] - plain.F.value) / plain.F.error) < 1e-5
    np.testing.assert_allclose(moved.noise.value / np.outer(scale, scale), plain.noise.value, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(moved.center.value / scale - 1e7, plain.center.value, atol=1e-6)
    assert not recwarn.list


@pytest.mark.parametrize(("rate_dt", "rough"), [(0.1, 0.0225), (1.0, 0.0105)])
def test_errors_of_the_residual_correlation_know_of_the_regression(rate_dt, rough):
    """Durbin (1970): a regression takes part of the correlation; true scatter over 80 seeds (rough) .0225 at dt = .1, .0105 at dt = 1, x 2000 times."""
    found, kept = [], np.exp(-rate_dt)
    for seed in range(30):
        kicks = np.random.default_rng(seed).standard_normal(2000) * np.sqrt(1 - kept**2)
        x = signal.lfilter([1.0], [1.0, -kept], kicks)
        found.append(sg.fit.linear(x[:, None], dt=rate_dt).residual_correlation)
    pulls = np.array([each.pull(0.0)[0] for each in found])
    assert abs(np.mean([each.error[0] for each in found]) / rough - 1) < 0.2 and 0.7 < pulls.std() < 1.45


def test_temperatures_along_directions():
    """v' T D v = v' F S v; of the default directions the variance times v' F v. One bath: one temperature, whatever H."""
    found = sg.fit.linear(path(5), dt=0.1)
    turned = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
    along = found.effective_temperature(turned)
    v = turned / np.linalg.norm(turned, axis=1, keepdims=True)
    assert along.agrees(np.einsum("mi,ij,mj->m", v, T * D, v))
    assert not along.agrees(1.3 * np.einsum("mi,ij,mj->m", v, T * D, v))
    variances, axes = np.linalg.eigh(found.covariance)
    equipartition = variances * np.einsum("im,ij,jm->m", axes, found.F.value, axes)
    np.testing.assert_allclose(found.effective_temperature().value, equipartition[::-1], rtol=0.02)
    with pytest.raises(ValueError, match="lengths"):
        found.effective_temperature([[0.0, 0.0, 0.0]])


def test_it_prints_what_was_fitted_with_errors():
    text = str(sg.fit.linear(path(5), dt=0.1))
    assert (
        text.count("±") == 21
        and "rates" in text
        and "note" not in text
        and repr(sg.fit.linear(path(5), dt=0.1)) == text
    )
    assert "(6 of them" in str(sg.fit.linear(np.random.default_rng(0).standard_normal((1, 200, 7)).cumsum(1), dt=1.0))


def test_a_run_of_few_relaxation_times_is_noted():
    """Ten relaxation times: 2 errors of the center covered 86 %, F was off by half an error; two hundred are not noted."""
    kept, away = np.exp(-0.02), []
    for seed in range(60):
        kicks = np.random.default_rng(seed).standard_normal(800) * np.sqrt(1 - kept**2)
        x = signal.lfilter([1.0], [1.0, -kept], kicks)[300:, None]
        found = sg.fit.linear(x, dt=0.02)
        away.append((found.center.pull(0.0)[0], found.F.pull(1.0).item(), bool(found.F.warnings)))
    center, F, noted = np.array(away).T
    assert np.mean(np.abs(center) < 2) > 0.82 and np.mean(np.abs(F) < 2) > 0.85 and F.mean() < 0.45
    assert noted.mean() > 0.9 and "relaxation times" in str(found)
    assert not sg.fit.linear(path(0), dt=0.1).F.warnings


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
        (
            np.random.default_rng(0).normal(size=(4, 50, 2)) * [1.0, 0.0] + 0.1,
            {"dt": 1.0},
            "coordinate 1 that is constant",
        ),
        (
            np.random.default_rng(0).normal(size=(4, 50, 2))[:, :, [0, 1, 0]],
            {"dt": 1.0},
            "coordinates 0, 2, of which one is a combination",
        ),
        (np.random.default_rng(0).normal(size=(1, 30, 40)), {"dt": 1.0}, "29 transitions of 40 coordinates"),
    ],
)
def test_wrong_runs_are_refused(wrong, options, message):
    with pytest.raises(ValueError, match=message):
        sg.fit.linear(wrong, **options)


def test_complex_runs_are_refused():
    with pytest.raises(TypeError, match=r"np\.real"):
        sg.fit.linear(np.ones((2, 50, 2)) * 1j, dt=1.0)


def test_balance_wants_a_recording():
    with pytest.raises(TypeError, match="Recording"):
        sg.fit.balance(np.zeros((2, 50, 2)))
