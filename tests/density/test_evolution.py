"""Densities in time: against closed forms, matrix exponentials, and themselves on finer grids."""

import numpy as np
import pytest
from scipy.linalg import expm, solve_continuous_lyapunov
from scipy.sparse.linalg import expm_multiply

import sgdyn as sg
from sgdyn.density.exponential import JUMPS, Exponential

WELL = sg.potential(dim=1)(lambda x: (x[0] ** 2 - 1) ** 2)
PLANE = sg.landscapes.double_well_2d()
TILTED = np.array([[1.0, 0.8], [0.8, 1.0]])


def generators():
    plane = sg.Grid([(-2, 2, 40), (-2, 2, 40)])
    return {
        "gibbs": sg.fokker_planck(sg.Langevin.gibbs(PLANE.U, T=1 / 3, D=TILTED), plane),
        "curl": sg.fokker_planck(sg.landscapes.chaudhari_soatto(1.5).problem(), sg.Grid([(-3, 3, 40)] * 2)),
        "no potential": sg.fokker_planck(sg.landscapes.maier_stein().problem(T=0.1), plane),
        "momentum": sg.fokker_planck(sg.Momentum(WELL, T=1 / 3), sg.Grid([(-2, 2, 40), (-3, 3, 40)])),
        "absorbing": sg.fokker_planck(PLANE.problem(1 / 3, TILTED), sg.Grid(plane.axes, ["absorbing", "reflecting"])),
        "steep": sg.fokker_planck(sg.Langevin(WELL, T=0.02), sg.Grid([(-2, 2, 300)])),
    }


@pytest.mark.parametrize("name", list(generators()))
def test_masses_follow_the_matrix_exponential(name):
    generator = generators()[name]
    start = np.zeros(generator.grid.size)
    start[generator.grid.size // 7] = 1.0  # as narrow as can be, at an improbable place
    fastest = -generator.rates.diagonal().min()
    times = np.array([0.3, 1.5, 6.0, 30.0]) * JUMPS / fastest
    exponential = Exponential(generator.rates, name == "absorbing")
    states, errors = exponential(start, times)
    exact = start
    for t, before, state, error in zip(times, [0, *times], states, errors, strict=False):
        exact = expm_multiply(generator.rates.T.tocsr() * (t - before), exact)
        distance = np.abs(state - exact).sum()
        assert distance <= error + 1e-12 and error < 1e-10, (name, t)
        assert state.min() >= 0
        assert name == "absorbing" or abs(state.sum() - 1) < 1e-13
    together, _ = exponential(start, times[1:])
    np.testing.assert_allclose(together[-1], states[-1], atol=1e-11)


def test_moments_of_linear_processes():
    """Second order in the cell width; nothing from the time. The start is a Gaussian."""
    F, T, D, m, S = (
        np.array([[1, 0.7], [-0.9, 1.5]]),
        0.5,
        np.array([[1, 0.5], [0.5, 0.6]]),
        [0.8, -0.5],
        0.1 * np.eye(2),
    )
    still = solve_continuous_lyapunov(F, 2 * T * D)
    flow = expm(-F * 0.6)
    mean, cov = flow @ m, still + flow @ (S - still) @ flow.T
    errors = []
    for n in (40, 80):
        grid = sg.Grid([(-4, 4, n)] * 2)
        rho = sg.fokker_planck(sg.Langevin.linear(F, T=T, D=D), grid).evolve(sg.gaussian(grid, m, S), 0.6)
        errors.append([np.abs(rho.mean() - mean).max(), np.abs(rho.cov() - cov).max()])
    orders = np.log2(np.divide(*errors))
    assert np.all(orders > 1.8) and np.max(errors[1]) < 5e-3


def test_the_double_well_converges_at_second_order():
    """T = 1/3, t = 1 from N(-1/2, 0.4²), box [-2, 2]: values at midpoints that grids of 200, 600 and 5400 cells share."""
    values = {}
    for n in (200, 600, 5400):
        grid = sg.Grid([(-2, 2, n)])
        rho = sg.fokker_planck(sg.Langevin(WELL, T=1 / 3), grid).evolve(sg.gaussian(grid, [-0.5], [0.16]), 1.0)
        assert rho.values.min() > 0 and abs(rho.masses.sum() - 1) < 1e-12
        values[n] = rho.values[n // 400 :: n // 200]
    errors = [0.02 * np.abs(values[n] - values[5400]).sum() for n in (200, 600)]
    assert errors[0] < 6e-5 and 1.9 < np.log(errors[0] / errors[1]) / np.log(3) < 2.1


def test_narrow_starts_stay_positive_under_tilted_noise():
    """Crank-Nicolson falls to -0.1 here and TR-BDF2 to -0.05 (100 cells, D = [[1, .8], [.8, 1]])."""
    grid = sg.Grid([(-2, 2, 100)] * 2)
    generator = sg.fokker_planck(sg.Langevin.gibbs(PLANE.U, T=1 / 3, D=TILTED), grid)
    course = generator.evolve(sg.gaussian(grid, [-1, 0], [1e-4, 1e-4]), np.array([1e-3, 0.01, 0.1, 1.0, 100.0]))
    for rho in course:
        assert rho.values.min() >= 0 and abs(rho.masses.sum() - 1) < 1e-12 and rho.solver_error < 1e-10
    assert np.all(np.diff(course.free_energy) < 0)
    between = course.at(0.37)
    np.testing.assert_allclose(between.values, generator.evolve([-1.0, 0.0], 0.37).values, atol=2e-3)
    np.testing.assert_allclose(course.at(0.1).values, course[2].values, atol=1e-12)
    np.testing.assert_allclose(course.at(0.0).values, course.start.values, atol=1e-12)
    np.testing.assert_allclose(generator.evolve([1.9, -1.9], 1e4).values, generator.stationary().values, atol=1e-10)


def test_absorbing_walls_lose_the_probability_of_being_gone():
    """Brownian motion in (0, 1) from x: survival sum_odd 4/(pi k) sin(pi k x) exp(-T pi² k² t)."""
    free = sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, dim=1)
    times = np.array([0.02, 0.1, 0.5, 2.0])
    k = np.arange(1, 400, 2)
    exact = np.sum(4 / (np.pi * k) * np.sin(np.pi * k * 0.3) * np.exp(-0.5 * np.pi**2 * k**2 * times[:, None]), axis=1)
    errors = []
    for n in (100, 200):
        course = sg.fokker_planck(free, sg.Grid([(0, 1, n)], "absorbing")).evolve([0.3], times)
        np.testing.assert_allclose([rho.outside for rho in course], 1 - course.mass, atol=1e-14)
        errors.append(np.abs(course.mass / exact - 1))
    assert np.all(errors[1] < 1e-3) and np.all(errors[1] < 0.4 * errors[0])


def test_the_time_in_a_potential_and_schedules_of_the_temperature():
    """A trap that moves as t: the mean lags behind, m' = -k (m - t); the variance has its own equation."""

    @sg.potential(dim=1)
    def trap(x, t=0.0, k=2.0):
        return 0.5 * k * (x[0] - t) ** 2

    grid = sg.Grid([(-4, 4, 200)])
    generator = sg.fokker_planck(sg.Langevin(trap, T=0.5), grid)
    start = sg.gaussian(grid, [0.0], [0.25])
    course = generator.evolve(start, np.array([0.5, 1.0]))
    for t, rho in zip(course.times, course, strict=True):
        assert rho.mean() == pytest.approx([t - 0.5 * (1 - np.exp(-2 * t))], abs=5e-4)
        assert 0 < rho.solver_error < 1.1e-4 and rho.values.min() >= 0
    heated = sg.fokker_planck(sg.Langevin(sg.quadratic([2.0]), T=9.0), grid)
    rho = heated.evolve(start, 1.0, temperature=lambda t: 0.5 + 0.5 * t)
    variance = 0.25 * np.exp(-4) + 2 * (0.25 * 0.5 * (1 - np.exp(-4)) + 0.5 * (0.25 - (1 - np.exp(-4)) / 16))
    assert rho.cov()[0, 0] == pytest.approx(variance, rel=1e-3)
    assert course.at(0.75).mean() == pytest.approx([0.75 - 0.5 * (1 - np.exp(-1.5))], abs=5e-4)
    with pytest.raises(ValueError, match="schedule"):
        course.free_energy
    with pytest.raises(ValueError, match="temperature"):
        heated.evolve(start, 1.0, temperature=lambda t: 0.5 - t)


def test_steps_of_schedules_are_of_second_order():
    @sg.potential(dim=1)
    def trap(x, t=0.0):
        return (x[0] - np.sin(3 * t)) ** 2

    from sgdyn.density.evolution import _Course

    grid = sg.Grid([(-4, 4, 80)])
    course = _Course(
        sg.fokker_planck(sg.Langevin(trap, T=0.5, D=lambda x, t=0.0: 1 + t + 0 * x[0]), grid), None, 1e-4, 0.0
    )
    masses, times = sg.gaussian(grid, [0.0], [0.25]).masses, np.array([1.0])
    found = [course._midpoints(masses, times, n, lambda done: None)[0][0] for n in (8, 16, 128)]
    errors = [np.abs(m - found[-1]).sum() for m in found[:-1]]
    assert 1.8 < np.log2(errors[0] / errors[1]) < 2.2
    rho = course.densities(sg.gaussian(grid, [0.0], [0.25]), times)[0]
    assert np.abs(rho.masses - found[-1]).sum() < 1.5 * rho.solver_error < 2e-4


def test_points_keep_their_mean():
    grid = sg.Grid([(-2, 2, 17), np.linspace(-1, 1, 12) ** 3], ["periodic", "reflecting"])
    from sgdyn.density.distribution import point

    rho = point(grid, [0.33, 0.21])
    np.testing.assert_allclose(rho.mean(), [0.33, 0.21], atol=1e-14)
    assert rho.masses.sum() == pytest.approx(1) and np.sum(rho.values > 0) == 4
    around = point(grid, [-1.99, -0.999])
    assert around.masses.sum() == pytest.approx(1) and around.masses[[0, -1], 0].sum() == pytest.approx(1)


def test_wrong_starts_and_times():
    generator = generators()["gibbs"]
    with pytest.raises(ValueError, match="beyond the box"):
        generator.evolve([3.0, 0.0], 1.0)
    with pytest.raises(ValueError, match="own, of shape"):
        generator.evolve(sg.gaussian(sg.Grid([(-2, 2, 9)] * 2), [0, 0], [1, 1]), 1.0)
    with pytest.raises(ValueError, match="increasing"):
        generator.evolve([0.0, 0.0], np.array([1.0, 0.5]))
    with pytest.raises(TypeError, match="lambda t"):
        generator.evolve([0.0, 0.0], 1.0, temperature=0.3)
    with pytest.raises(ValueError, match="none below 0"):
        generator.evolve(sg.Density(generator.grid, -np.ones(generator.grid.shape)), 1.0)
