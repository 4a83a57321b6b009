"""Passage times of the underdamped process, simulated and on a grid."""

import numpy as np

import sgdyn as sg
from tests.density.processes import LINE, quartic


def test_euler_maruyama_of_momentum_is_noted_and_the_default_agrees_with_the_grid():
    process, start = sg.Momentum(quartic, T=1 / 3, friction=1.0), [-1.0, 0.0]
    grid = sg.Grid([(-2.3, 2.3, 90), (-3.5, 3.5, 90)])
    exact = sg.fokker_planck(process, grid).mean_first_passage(lambda x: x[0] > 0.9, start)
    options = {"dt": 0.05, "n_paths": 600, "seed": 0}
    euler = sg.first_passage(process, start, lambda x: x[0] > 0.9, method=sg.EulerMaruyama(), **options)
    assert any("BAOAB" in warning for warning in euler.warnings) and float(euler) < 0.6 * float(exact)
    found = sg.first_passage(process, start, lambda x: x[0] > 0.9, **options)
    assert not found.warnings and abs(found.pull(exact)) < 3
    named = sg.first_passage(process, start, lambda x: x[0] > 0.9, method=sg.BAOAB(), **options)
    np.testing.assert_array_equal(found.samples, named.samples)
    plain = sg.first_passage(LINE, [-1.0], lambda x: x[0] > 0, dt=0.05, n_paths=50, seed=0)
    assert not plain.warnings


def test_steps_that_are_stable_for_momentum_are_not_called_blow_ups():
    """dt = 0.1 where U'' is 21: above 2/U'' but far below 2/sqrt(U''), the limit of BAOAB."""
    process = sg.Momentum(quartic, T=1 / 3, friction=1.0)
    fast = sg.first_passage(process, [1.0, 0.0], lambda x: x[1] > 2, dt=0.1, n_paths=1000, seed=0)
    assert abs(fast.pull(sg.first_passage(process, [1.0, 0.0], lambda x: x[1] > 2, dt=0.05, n_paths=1000, seed=1))) < 5


def test_the_error_of_a_covariance_is_a_third_of_the_difference_of_two_grids():
    """As `Density.mean` says: an irreversible linear process, whose covariance T (here 0.1) is known (Lyapunov)."""
    generator = sg.fokker_planck(sg.Langevin.linear([[1.0, 0.8], [-0.8, 1.0]], T=0.1), sg.Grid([(-2, 2, 40)] * 2))
    fine, coarse = generator.stationary().cov(), generator.coarse.stationary().cov()
    np.testing.assert_allclose(fine[0, 0] - 0.1, (coarse - fine)[0, 0] / 3, rtol=0.35)
