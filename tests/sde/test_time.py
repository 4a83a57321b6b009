"""Drifts, noise and temperatures that depend on the time."""

import numpy as np
import pytest

import sgdyn as sg


def driven(x, k=2.0, t=0.0):
    return k * np.array([np.cos(3 * t) - x[0]])


def exact_mean(time, dt, k=2.0):
    """Of Euler's steps."""
    m = 0.0
    for n in range(round(time / dt)):
        m += dt * k * (np.cos(3 * n * dt) - m)
    return m


@pytest.mark.parametrize("noise", ["double", "single"])
def test_a_parameter_called_t_is_the_time(noise):
    process = sg.Langevin.from_drift(driven, T=0.1, dim=1)
    found = sg.simulate(process, [0.0], t=2.0, dt=0.01, n_paths=20_000, seed=1, noise=noise)
    assert found.mean().agrees([exact_mean(2.0, 0.01)]) and not found.mean().agrees([exact_mean(0.01, 0.01)])
    watched = sg.observe(
        process, [0.0], {"m": sg.Average()}, t=2.0, dt=0.01, n_paths=20_000, after=2.0, seed=1, noise=noise
    )
    assert watched["m"].agrees([exact_mean(2.0, 0.01)])


def test_slices_and_threads_do_not_stop_the_clock(monkeypatch):
    process = sg.Langevin.from_drift(driven, T=0.1, dim=1)
    options = {"t": 1.0, "dt": 0.01, "n_paths": 50, "seed": 1, "save": 5}
    x = sg.simulate(process, [0.0], threads=1, **options).x
    monkeypatch.setattr("sgdyn.sde.simulation.SLICE_WORK", 10)
    np.testing.assert_array_equal(sg.simulate(process, [0.0], threads=2, **options).x, x)


def test_moving_potentials_keep_their_parameters():
    """The minimum moves as t: the mean lags behind by 1/k, and new values of k are no new code."""

    @sg.potential(dim=1)
    def trap(x, t=0.0, k=4.0):
        return 0.5 * k * (x[0] - t) ** 2

    assert trap([1.0]) == 2.0  # at rest it is a number like any other
    for U, k in ((trap, 4.0), (trap.replace(k=8.0), 8.0)):
        for process in (
            sg.Langevin(U, T=0.1),
            sg.Langevin(U, T=0.1, curl=lambda x: 0 * x),
            sg.Langevin.gibbs(U, T=0.1),
        ):
            found = sg.simulate(process, [0.0], t=5.0, dt=0.005, n_paths=4000, seed=2)
            assert found.mean().agrees([5.0 - 1 / k])


def test_noise_may_depend_on_the_time():
    """Variance 2 T int (1 + t) dt, by Euler's sum."""
    process = sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, D=lambda x, t=0.0: 1 + t + 0 * x[0], dim=1)
    found = sg.simulate(process, [0.0], t=2.0, dt=0.01, n_paths=40_000, seed=3)
    assert found.cov().agrees([[np.sum(1 + 0.01 * np.arange(200)) * 0.01]])


def test_methods_of_several_stages_take_the_time_too():
    process = sg.Langevin.from_drift(driven, T=0.1, dim=1)
    for method in (sg.SRA1(), sg.Heun(), sg.Theta(0.5), sg.Milstein()):
        found = sg.simulate(process, [0.0], t=2.0, dt=0.01, n_paths=20_000, seed=1, method=method)
        assert abs(found.mean().value[0] - exact_mean(2.0, 0.001)) < 4 * found.mean().error[0] + 0.03, method


def test_a_schedule_of_the_temperature():
    process = sg.Langevin.from_drift(lambda x: 0 * x, T=1.0, dim=1)
    found = sg.simulate(process, [0.0], t=2.0, dt=0.01, n_paths=40_000, seed=3, temperature=lambda t: 0.5 * (1 + t))
    assert found.cov().agrees([[np.sum(1 + 0.01 * np.arange(200)) * 0.01]])
    with pytest.raises(ValueError, match=r"temperature\(1\)"):
        sg.simulate(process, [0.0], t=2.0, dt=0.01, temperature=lambda t: 1 - t - 1e-9)


def test_too_many_components_for_a_clock_are_refused():
    U = sg.potential(dim=80)(lambda x, t=0.0: np.sum((x - t) ** 2))
    with pytest.raises(TypeError, match="depends on the time"):
        sg.simulate(sg.Langevin(U, T=0.1), np.zeros(80), t=0.1, dt=0.01)


def test_schedules_are_refused_where_the_drift_holds_the_temperature():
    varying = lambda x: 1 + 0.1 * x[0] ** 2
    gibbs = sg.Langevin.gibbs(sg.quadratic([1.0]), T=0.1, D=varying)
    converted = sg.stratonovich(
        sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, D=sg.factor(lambda x: np.array([[x[0]]]), dim=1), dim=1)
    )
    for process in (gibbs, converted):
        with pytest.raises(ValueError, match="drift contains T"):
            sg.simulate(process, [1.0], t=1.0, dt=0.1, temperature=lambda t: 0.125)
    constant = sg.Langevin.gibbs(sg.quadratic([1.0]), T=0.1)
    assert np.isfinite(sg.simulate(constant, [1.0], t=1.0, dt=0.1, temperature=lambda t: 0.125).x).all()
    with pytest.raises(TypeError, match="function of the time"):
        sg.simulate(constant, [1.0], t=1.0, dt=0.1, temperature=0.5)


def test_a_moving_wall_is_met_where_it_is():
    """x = t against a wall that comes down from 1 as 1 - t: they meet at t = 1/2."""
    clockwork = sg.Langevin.from_drift(lambda x: np.array([1.0 + 0 * x[0]]), T=1e-12, dim=1)
    for correction in ("shift", "bridge", None):
        found = sg.first_passage(
            clockwork, [0.0], lambda x, t=0.0: x[0] > 1 - t, dt=1e-3, n_paths=50, seed=1, correction=correction
        )
        assert abs(found.value - 0.5) < 2e-3


def test_corrections_know_noise_that_changes_in_time():
    """Brownian motion run by the clock s = t + 10 t² leaves (-1, 1) at s of mean 1."""
    process = sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, D=lambda x, t=0.0: 1 + 20 * t + 0 * x[0], dim=1)
    outside = lambda x: (x[0] > 1) | (x[0] < -1)
    for correction in ("shift", "bridge"):
        found = sg.first_passage(process, [0.0], outside, dt=5e-3, n_paths=20_000, seed=2, correction=correction)
        clock = found.samples + 10 * found.samples**2
        assert abs(clock.mean() - 1) < 4 * clock.std() / np.sqrt(20_000) + 0.04
