"""The arrow of time in linear processes whose entropy production is known, in the Chaudhari-Soatto example, and in SGD."""

import numpy as np
import pytest
from scipy import linalg

import sgdyn as sg
from sgdyn.fit.drifts import drifting
from sgdyn.fit.entropies import entropy_production
from sgdyn.fit.spectra import correlations
from sgdyn.fit.stretches import Series
from tests.fit.runs import network, run

D = np.array([[1.0, 0.5, 0.1], [0.5, 0.8, 0.2], [0.1, 0.2, 1.0]])
T, H = 0.3, np.array([[2.0, 0.3, 0.0], [0.3, 1.0, 0.1], [0.0, 0.1, 1.0]])
TURN = np.array([[0.0, 0.5, 0.0], [-0.5, 0.0, 0.2], [0.0, -0.2, 0.0]])
REVERSIBLE = sg.Langevin.linear(T * D @ H, T=T, D=D)
TURNING = sg.Langevin.linear(T * D @ H + TURN, T=T, D=D)


def path(problem, seed, dt=0.2, times=800, replicas=4):
    """Of the exact transition, begun in the stationary state."""
    random, state = np.random.default_rng(seed), sg.linear_stationary(problem)
    S, A = state.covariance, linalg.expm(-state.F * dt)
    root = np.linalg.cholesky(S - A @ S @ A.T)
    x, seen = random.standard_normal((replicas, len(S))) @ np.linalg.cholesky(S).T, []
    for _ in range(times):
        seen.append(x)
        x = x @ A.T + random.standard_normal(x.shape) @ root.T
    return np.stack(seen, axis=1)


@pytest.mark.slow
def test_chances_of_reversible_runs_are_even_and_turning_ones_are_found():
    """Of 40 reversible runs about 4 have a chance below .1 (at most 10: 4e-3), 0.4 below .01; every turning run is at the least chance."""
    chances = np.array([sg.fit.irreversibility(path(REVERSIBLE, seed, times=300), dt=0.2).chance for seed in range(40)])
    assert 0.35 < chances.mean() < 0.65 and np.sum(chances < 0.1) <= 10 and np.sum(chances <= 0.01) <= 3
    found = [sg.fit.irreversibility(path(TURNING, seed), dt=0.2) for seed in range(5)]
    assert all(each.irreversible for each in found)
    assert "irreversible" in str(found[0]) and found[0].plot() is not None


@pytest.mark.slow
def test_entropy_production_is_that_of_the_linear_process_without_bias():
    """Pulls of 24 runs of each process; the bound holds and, for a process that turns, is more than a quarter of the truth."""
    for problem in (REVERSIBLE, TURNING):
        truth = sg.linear_stationary(problem).entropy_production
        found = [sg.fit.irreversibility(path(problem, seed), dt=0.2) for seed in range(24)]
        pulls = np.array([each.entropy_production.pull(truth) for each in found])
        assert abs(pulls.mean()) < 0.7 and pulls.std() < 1.4 and np.abs(pulls).max() < 4
        assert problem is REVERSIBLE or pulls.std() > 0.5
        least = [each.least_entropy_production for each in found]
        assert max(bound.pull(truth) for bound in least) < 4
        assert np.mean([bound.value for bound in least]) > 0.25 * truth - 1e-3


@pytest.mark.parametrize("turning", [0.0, 0.1, 0.25])
def test_two_errors_of_the_entropy_production_cover_near_its_zero(turning):
    """There the estimate is a square: without care 18 % of reversible runs lay below -2 errors, the worst at -5.4. The mean stays that of the truth."""
    problem = sg.Langevin.linear(T * D @ H + turning * TURN, T=T, D=D)
    truth = sg.linear_stationary(problem).entropy_production
    runs = [Series(path(problem, seed, times=300), 0.2) for seed in range(40)]
    found = [entropy_production(one, np.ones(3)) for one in runs]
    pulls = np.array([each.pull(truth) for each in found])
    assert np.sum(np.abs(pulls) > 2) <= 3 and pulls.min() > -3
    values = np.array([float(each) for each in found])
    assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(40) + 0.1 * truth


def test_area_rate_is_the_circulation_for_short_lags():
    """(C - C')/(2 lag) = exp(-F lag) S made antisymmetric, exactly; T Q as the lag goes to 0."""
    state = sg.linear_stationary(TURNING)
    found = sg.fit.irreversibility(path(TURNING, 1, times=4000), dt=0.2)
    for lag, value, error in zip(found.lags, found.antisymmetric.value, found.antisymmetric.error, strict=True):
        C = linalg.expm(-state.F * lag) @ state.covariance
        above = np.triu_indices(3, 1)
        assert np.all(np.abs(value - 0.5 * (C - C.T))[above] < 4.5 * error[above])
    fine = sg.fit.irreversibility(path(TURNING, 2, dt=0.01, times=20000), dt=0.01)
    assert fine.area_rate.value[0, 1] == pytest.approx(T * state.Q[0, 1], abs=4 * fine.area_rate.error[0, 1] + 0.01)
    assert abs(fine.area_rate.value[0, 1]) > 4 * fine.area_rate.error[0, 1]


def test_backwards_the_area_changes_its_sign_and_nothing_else_does():
    x = path(TURNING, 3)
    forth, back = (sg.fit.irreversibility(y, dt=0.2) for y in (x, x[:, ::-1]))
    np.testing.assert_allclose(back.area_rate.value, -forth.area_rate.value, rtol=0.05, atol=2e-4)
    assert back.chance == forth.chance


def test_axes_and_units_do_not_matter():
    x, M = path(TURNING, 4), np.array([[2.0, 1.0, 0.0], [0.0, 0.5, 0.3], [0.1, 0.0, 1.0]])
    plain, moved = sg.fit.irreversibility(x, dt=0.2), sg.fit.irreversibility(x @ M.T + 5.0, dt=0.4)
    np.testing.assert_allclose(moved.size, plain.size, rtol=1e-6)
    assert moved.chance == plain.chance
    np.testing.assert_allclose(moved.area_rate.value, M @ plain.area_rate.value @ M.T / 2, rtol=1e-6, atol=1e-9)
    for name in ("entropy_production", "least_entropy_production"):
        assert float(getattr(moved, name)) == pytest.approx(float(getattr(plain, name)) / 2, rel=1e-6)


def test_a_bound_for_a_process_that_is_not_linear():
    """The Chaudhari-Soatto example: entropy production .681381611546 lam² (docs/theory.md), here at lam = 1; reversible at lam = 0."""
    for turning in (1.0, 0.0):
        problem = sg.landscapes.chaudhari_soatto(turning).problem(1.0)
        x = sg.simulate(problem, [1.0, 0.0], t=600, dt=0.01, n_paths=8, save=3001, seed=1).x[:, 100:]
        found = sg.fit.irreversibility(x, dt=0.2)
        assert found.irreversible == bool(turning)
        assert found.least_entropy_production.pull(0.681381611546 * turning**2) < 3
    assert float(found.least_entropy_production) < 0.01


@pytest.mark.slow
def test_sgd_with_noise_that_does_not_commute_with_the_hessian_circulates():
    net = network()
    space = net.subspace(k=3)
    found = sg.fit.irreversibility(run(net, space, replicas=64).after(450))
    exact = space.discrete_model(lr=0.02, batch=64)
    lagged = exact.lagged_covariance(5)
    step = 5 * 0.02
    assert found.irreversible
    above = np.triu_indices(3, 1)
    area = 0.5 * (lagged.T - lagged) / step
    assert np.all(np.abs(found.area_rate.value - area)[above] < 5 * found.area_rate.error[above])
    heavy = sg.fit.irreversibility(run(net, space, momentum=0.5, replicas=16, steps=400))
    assert heavy.entropy_production is None and "not Markov" in str(heavy)


def test_the_approach_is_noted(rng):
    x = path(REVERSIBLE, 5, replicas=16) + 3 * np.exp(-np.arange(800) / 100)[None, :, None]
    assert "not stationary: the mean" in str(sg.fit.irreversibility(x, dt=0.2))
    assert not drifting(Series(path(REVERSIBLE, 6, replicas=16), 0.2))
    assert "variance" in drifting(Series(rng.standard_normal((1, 4000, 2)) * np.linspace(1, 2, 4000)[:, None], 0.2))[0]
    assert "too few" in str(sg.fit.irreversibility(path(REVERSIBLE, 7, times=40, replicas=1), dt=0.02))


def test_spectra_beside_the_reversible_ones():
    """Of a reversible process both agree, at nearly all frequencies and lags; of one that turns fast they do not."""
    calm = sg.fit.irreversibility(path(REVERSIBLE, 8, times=4000), dt=0.2).correlations
    pulls = (calm.power.value - calm.reversible_power)[2:-1] / calm.power.error[2:-1]
    assert np.mean(np.abs(pulls) > 3) < 0.05 and np.mean(np.abs(pulls) > 1) > 0.1
    kept = calm.autocorrelation.value - calm.reversible_autocorrelation
    assert np.max(np.abs(kept[:20])) < 0.1
    fast = sg.Langevin.linear(T * D @ H + 6 * TURN, T=T, D=D)
    found = sg.fit.irreversibility(path(fast, 9, dt=0.05, times=8000), dt=0.05).correlations
    assert np.max(found.power.value[:, 0] / found.reversible_power[:, 0]) > 2
    assert np.min(found.autocorrelation.value[:, 0]) < -0.2 < np.min(found.reversible_autocorrelation)
    assert found.plot() is not None
    assert np.all(calm.autocorrelation.value[0] == 1) and np.all(calm.autocorrelation.error[0] < 1e-12)
    assert np.sum(calm.power.value, axis=0) * calm.frequencies[1] == pytest.approx(
        np.diag(sg.linear_stationary(REVERSIBLE).covariance), rel=0.15
    )


def test_errors_of_autocorrelations_know_that_they_are_ratios():
    """Against exp(-F lag) S: pulls have spread 1 at all lags, the first too (its error was five times too large)."""
    state = sg.linear_stationary(REVERSIBLE)
    pulls = []
    for seed in range(12):
        found = correlations(Series(path(REVERSIBLE, seed, replicas=2), 0.2), np.ones(3))
        exact = [np.diag(linalg.expm(-state.F * lag) @ state.covariance) for lag in found.lags[1:6]]
        away = found.autocorrelation.value[1:6] - np.array(exact) / np.diag(state.covariance)
        pulls.append(away / found.autocorrelation.error[1:6])
    assert np.all(np.abs(np.std(pulls, axis=(0, 2)) - 1) < 0.45)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((3, 50, 1)), "one coordinate"),
        (np.zeros((3, 50, 2)), "constant"),
        (np.random.default_rng(0).normal(size=(3, 50, 1)) * [1.0, 2.0], "combination"),
    ],
)
def test_runs_without_planes_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        sg.fit.irreversibility(wrong, dt=1.0)
