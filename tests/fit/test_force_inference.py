"""Drift and diffusion on bases of functions: both calculi, three estimators of the noise, and how many functions a run carries."""

import numpy as np
import pytest

import sgdyn as sg
from tests.fit.test_kramers_moyal import FORCE, PLANE, POINTS, WELL, covers, oblique, plane_run, run, spiral

SIX = np.diag([1.0, 1.2, 0.8, 1.0, 1.5, 0.6]) + 0.7 * (np.eye(6, k=1) - np.eye(6, k=-1))


def ornstein_uhlenbeck(F, D, dt, times, seed=0, paths=4):
    process = sg.Langevin.linear(F, T=1.0, D=D)
    options = {"dt": dt, "n_paths": paths, "seed": seed, "method": sg.ExactLinear(), "save": times + 1}
    return sg.simulate(process, np.zeros(len(F)), t=times * dt, **options).x


def pulls(seeds):
    drift, noise = [], []
    for seed in seeds:
        found = sg.fit.force_inference(run(WELL, [1.0], seed), dt=0.02, basis=3)
        drift.append(found.drift(POINTS).pull(FORCE).ravel())
        noise.append(found.noise_coefficients.pull(0.4).ravel())
    return np.array(drift), np.array(noise)


def test_intervals_cover_over_forty_seeds():
    for found in pulls(range(40)):
        assert covers(found) and 0.75 < found.std() < 1.3
        assert np.all(np.abs(found.mean(axis=0)) < 5 / np.sqrt(40))


@pytest.mark.slow
def test_intervals_cover_over_two_hundred_seeds():
    for found in pulls(range(1000, 1200)):
        assert covers(found) and 0.85 < found.std() < 1.2


@pytest.mark.parametrize("calculus", ["ito", "stratonovich"])
def test_a_double_well_and_its_escape_time(calculus):
    found = sg.fit.force_inference(run(WELL, [1.0], 1, t=300.0), dt=0.02, calculus=calculus)
    assert found.basis.shape == (4,), "degree 3 by the information"
    assert found.drift(POINTS).agrees(FORCE) and found.noise_coefficients.agrees(0.4)
    assert not found.drift(POINTS).agrees(-FORCE) and not found.noise_coefficients.agrees(0.44)
    assert not found.drift(POINTS).agrees(1.25 * FORCE)
    fitted, exact = (float(sg.mean_first_passage_1d(p, -1.0, 0.9)) for p in (found.process(), WELL))
    assert abs(fitted / exact - 1) < 0.15
    assert found.plot() is not None


def test_the_information_is_that_of_the_drift():
    """(time/4) E[F²]/T D with E[F²] = 1/2 for dX = -X dt + sqrt(2 * 0.5) dW is time/4 nats."""
    x = ornstein_uhlenbeck(np.eye(1), [[0.5]], 0.05, 5000)
    found = sg.fit.force_inference(x, dt=0.05, basis=1)
    assert found.information.agrees(1000 / 4 / np.log(2)) and 0.04 < found.force_error < 0.08
    assert sg.fit.force_inference(x, dt=0.05).basis.shape == (2,), "no higher degree"
    wider = sg.fit.force_inference(x, dt=0.05, basis=lambda x: np.array([1 + 0 * x[0], x[0], np.sin(3 * x[0])]))
    assert abs(wider.information.value - found.information.value) < 4 and wider.coefficients.agrees([[0.0, -1.0, 0.0]])


def test_a_random_walk_carries_no_information(rng):
    x = 0.1 * rng.standard_normal((4, 2000, 2)).cumsum(axis=1)
    found = sg.fit.force_inference(x, dt=0.1, basis=lambda x: np.array([np.cos(x[0]), np.sin(x[1])]))
    assert abs(found.information.value) < 4 * found.information.error and found.force_error > 0.5


TURN = np.array([[1.0, 0.4], [-0.6, 0.5]])


def short_runs(count, dt, paths=1):
    D = np.array([[0.5, 0.1], [0.1, 0.2]])
    return [ornstein_uhlenbeck(TURN, D, dt, 500, seed=seed, paths=paths) for seed in range(count)]


def test_short_linear_runs_take_no_higher_degree():
    """By the information over two lags 6 of 100 did."""
    found = [sg.fit.force_inference(x, dt=0.05) for x in short_runs(12, 0.05)]
    assert all(f.basis.shape == (3,) for f in found)
    errors = []
    for f, x in zip(found, short_runs(12, 0.05), strict=True):
        miss, force = f.drift(x[0]).value + x[0] @ TURN.T, x[0] @ TURN.T
        errors.append(np.sqrt(np.sum(miss**2) / np.sum(force**2)))
    assert 0.7 < np.median([f.force_error for f in found]) / np.median(errors) < 1.6


@pytest.mark.slow
def test_the_chance_of_a_degree_that_is_not_needed():
    """1 in 1000, of 60 runs each: 25 and 100 relaxation times, random walks."""
    walks = [np.random.default_rng(s).standard_normal((1, 1000, 2)).cumsum(axis=1) for s in range(60)]
    for runs_, dt in ((short_runs(60, 0.05), 0.05), (short_runs(60, 0.2), 0.2), (walks, 1.0)):
        higher = sum(sg.fit.force_inference(x, dt=dt).basis.shape != (3,) for x in runs_)
        assert higher <= 1


def test_a_double_well_needs_degree_three_in_short_runs_too():
    assert sg.fit.force_inference(run(WELL, [1.0], 3, t=30.0), dt=0.02).basis.shape == (4,)


def test_printed_with_errors():
    text = str(sg.fit.force_inference(short_runs(1, 0.05)[0], dt=0.05))
    assert "F[1]: " in text and "T D[0, 1]: " in text and text.count("±") >= 6


@pytest.mark.slow
def test_six_coordinates_with_a_curl():
    x = ornstein_uhlenbeck(SIX, np.eye(6), 0.02, 8000)
    found = sg.fit.force_inference(x, dt=0.02)
    assert found.basis.shape == (7,)
    where = np.random.default_rng(1).normal(size=(5, 6))
    assert found.drift(where).agrees(-where @ SIX.T, errors=4.5) and found.noise_coefficients.agrees(
        np.eye(6)[..., None], errors=4.5
    )
    assert not found.drift(where).agrees(-where @ SIX, errors=4.5)
    again = sg.simulate(found.process(), np.zeros(6), t=5.0, dt=0.02, n_paths=4000, seed=0).x[:, -1]
    exact = sg.linear_stationary(sg.Langevin.linear(SIX, T=1.0, D=1.0)).covariance
    np.testing.assert_allclose(np.cov(again.T), exact, atol=0.15)


def test_noise_that_depends_on_the_place_in_the_plane():
    found = sg.fit.force_inference(plane_run(0), dt=0.02, basis=3, noise_basis=2)
    assert found.drift(PLANE).agrees([spiral(p) for p in PLANE]) and found.noise(PLANE).agrees(
        [oblique(p) for p in PLANE]
    )
    assert not found.noise(PLANE).agrees(np.broadcast_to(oblique([0.0, 0.0]) * 1.1, (4, 2, 2)))
    process = found.process()
    np.testing.assert_allclose(process.drift(PLANE), found.drift(PLANE).value, atol=1e-12)
    np.testing.assert_allclose(process.D(PLANE), found.noise(PLANE).value, atol=1e-12)
    state = sg.fokker_planck(process, sg.Grid([(-1.5, 1.5, 30)] * 2)).stationary()
    exact = sg.fokker_planck(sg.Langevin.from_drift(spiral, 1.0, oblique, dim=2), state.grid).stationary()
    assert np.abs(state.masses - exact.masses).sum() < 0.1


def test_coarse_steps_need_more_lags():
    x = ornstein_uhlenbeck([[1.0]], [[0.5]], 0.2, 10_000)
    plain, found = (sg.fit.force_inference(x, dt=0.2, basis=1, lags=lags) for lags in (1, 3))
    one = np.ones((1, 1))
    assert found.drift(one).agrees(-1.0) and found.noise_coefficients.agrees(0.5)
    assert plain.drift(one).pull(-1.0) > 4 and plain.noise_coefficients.pull(0.5) < -8


def test_measurement_noise_needs_stratonovich_and_vestergaard(rng):
    x = ornstein_uhlenbeck([[1.0]], [[0.5]], 0.02, 20_000)
    x = x + 0.05 * rng.standard_normal(x.shape)
    one = np.ones((1, 1))
    plain = sg.fit.force_inference(x, dt=0.02, basis=1)
    found = sg.fit.force_inference(x, dt=0.02, basis=1, calculus="stratonovich", estimator="vestergaard")
    assert found.drift(one).agrees(-1.0) and found.noise_coefficients.agrees(0.5)
    assert not plain.noise_coefficients.agrees(0.5) and not plain.drift(one).agrees(-1.0)


def test_drifts_that_outrun_the_noise_need_its_own_estimator():
    """A turn of 5 rad per unit of time with T D = 0.01 moves points by more than the noise does between rows."""
    x = ornstein_uhlenbeck([[0.01, 5.0], [-5.0, 0.01]], 0.01 * np.eye(2), 0.02, 5000)
    plain = sg.fit.force_inference(x, dt=0.02, basis=1, lags=1)
    found = sg.fit.force_inference(x, dt=0.02, basis=1, lags=1, estimator="weak noise")
    assert np.trace(plain.noise_coefficients.value[..., 0]) > 5 * np.trace(found.noise_coefficients.value[..., 0])
    np.testing.assert_allclose(np.diag(found.noise_coefficients.value[..., 0]), 0.01, rtol=0.15)


def test_units_go_along():
    x = plane_run(2)[:2, :4000]
    plain, moved = sg.fit.force_inference(x, dt=0.02, basis=3), sg.fit.force_inference(x * [3.0, 0.2], dt=0.1, basis=3)
    np.testing.assert_allclose(
        moved.drift(PLANE * [3.0, 0.2]).value, plain.drift(PLANE).value * [3.0, 0.2] / 5, rtol=1e-8
    )
    np.testing.assert_allclose(moved.information.value, plain.information.value, rtol=1e-8)


WALK = np.random.default_rng(0).normal(size=(1, 60, 2)).cumsum(axis=1)


@pytest.mark.parametrize(
    ("error", "options", "message"),
    [
        (ValueError, {"basis": 3}, "at least 10 for each"),
        (ValueError, {"basis": lambda x: np.array([x[0], 2 * x[0]])}, "linearly dependent"),
        (ValueError, {"basis": lambda x: x[0]}, "count,"),
        (TypeError, {"basis": "cubic"}, "type basis=2"),
        (ValueError, {"basis": 1, "calculus": "klimontovich"}, "'ito' or 'stratonovich'"),
        (ValueError, {"basis": 1, "estimator": "best"}, "'vestergaard'"),
    ],
)
def test_wrong_input_is_refused(error, options, message):
    with pytest.raises(error, match=message):
        sg.fit.force_inference(WALK, dt=1.0, **options)
