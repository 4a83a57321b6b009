"""Transition densities: closed forms, detailed balance, another solver, refusals."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import CubicSpline, RectBivariateSpline
from scipy.linalg import expm

import sgdyn as sg
from sgdyn.pathspace.corrections import tail_index
from sgdyn.pathspace.transitions import half_log_ratio, relevant

WELL = sg.landscapes.double_well()


def test_ornstein_uhlenbeck_is_exact():
    """Dossier rates_and_paths, C08: k = 1.2, D = 0.3, from 0.7 to -0.2 in the time 1.3."""
    found = sg.transition_density(sg.Langevin(sg.quadratic([[1.2]]), 0.3), [0.7], [-0.2], 1.3)
    assert abs(float(found) - 0.634262806707709339) < 1e-10
    assert abs(float(found.static) - 1.56831218549016881) < 1e-12
    assert abs(float(found.reachability) - 0.404423821083474777) < 1e-10
    assert found.value.error < 1e-9 and found.corrected is None


def test_linear_process_with_curl_is_exact_in_both_directions():
    F, D, T, t = np.array([[1.2, 0.8], [-0.5, 0.7]]), np.array([[1.0, 0.3], [0.3, 0.6]]), 0.3, 0.9
    problem = sg.Langevin.linear(F, T, D)
    a, b = np.array([0.7, -0.2]), np.array([-0.4, 0.5])
    G, S = expm(-t * F), sg.linear_stationary(problem).covariance
    C = S - G @ S @ G.T
    forth, back = sg.transition_density(problem, a, b, t), sg.transition_density(problem, b, a, t)
    for found, (x, y) in ((forth, (a, b)), (back, (b, a))):
        u = y - G @ x
        exact = np.exp(-0.5 * u @ np.linalg.solve(C, u)) / np.sqrt(np.linalg.det(2 * np.pi * C))
        assert np.isclose(float(found), exact, rtol=1e-9)
    assert np.isclose(float(forth.static) * float(back.static), 1)
    assert abs(np.log(float(forth.reachability) / float(back.reachability))) > 0.1  # no detailed balance


def grid_density(problem, axes, a, t):
    g = sg.fokker_planck(problem, sg.Grid(axes))
    rho = g.evolve(a, t)
    centers = [np.unique(g.grid.centers[..., k]) for k in range(g.grid.dim)]
    log = np.log(np.maximum(rho.values, 1e-300))
    if g.grid.dim == 1:
        spline = CubicSpline(centers[0], log)
        return lambda b: float(np.exp(spline(b[0])))
    spline = RectBivariateSpline(*centers, log)
    return lambda b: float(np.exp(spline(*b)[0, 0]))


@pytest.mark.parametrize("T", [0.05, 0.1])
def test_next_order_in_T_is_the_error_and_correcting_it_gives_the_grid(T):
    problem = WELL.problem(T)
    exact = grid_density(problem, ((-2.2, 2.2, 1761),), [-1.0], 2.0)
    for b in (0.0, 1.0):
        found = sg.transition_density(problem, [-1.0], [b], 2.0, starts=2, samples=8000)
        assert abs(float(found) - exact([b])) < 1.3 * found.value.error
        assert found.value.error < 3 * T * float(found)
        assert abs(float(found.corrected) - exact([b])) < 4 * found.corrected.error + 2e-3 * exact([b])


def test_detailed_balance_at_every_time():
    U, T = sg.landscapes.double_well_2d(0.2).U, 0.1
    a, b = [-1.0, 0.1], [0.4, 0.3]
    for problem in (sg.Langevin(U, T), sg.Langevin.gibbs(U, T, [[1, 0.4], [0.4, 0.7]])):
        forth, back = (sg.transition_density(problem, *ends, 0.8, n=64, starts=0) for ends in ((a, b), (b, a)))
        assert np.isclose(float(forth) / float(back), np.exp(-(U(b) - U(a)) / T), rtol=1e-6)
        assert np.isclose(float(forth.reachability), float(back.reachability), rtol=1e-6)


def whirl(x):
    return np.array([-x[1], x[0]])


def matrix(x):
    return np.array([[1 + x[0] ** 2 / 4, 0.2 * x[1]], [0.2 * x[1], 0.7]])


@pytest.mark.parametrize(
    ("D", "curl"), [(1.0, None), ([[1, 0.4], [0.4, 0.7]], whirl), pytest.param(matrix, whirl, marks=pytest.mark.slow)]
)
def test_two_dimensions_with_curl_and_varying_noise_against_the_grid(D, curl):
    problem = sg.Langevin(sg.landscapes.double_well_2d(0.1).U, 0.1, D, curl=curl)
    a, b = [-0.9, 0.1], [0.2, 0.3]
    exact = grid_density(problem, ((-2, 1.4, 111), (-1.4, 1.4, 91)), a, 0.6)(b)
    found = sg.transition_density(problem, a, b, 0.6, n=200, starts=2, samples=4000)
    assert abs(float(found) - exact) < 2 * found.value.error + 0.01 * exact
    assert (
        abs(float(found.corrected) - exact) < 4 * found.corrected.error + 0.015 * exact
    )  # 1 %: the grid starts from a cell
    if curl is not None:
        assert "both directions" in found.static.method


def test_densities_change_with_coordinates_as_they_must():
    A = np.array([[1.3, 0.2], [-0.5, 0.8]])
    B, D = np.linalg.inv(A), np.array([[1, 0.4], [0.4, 0.7]])

    def force(x):
        return np.array([x[0] - x[0] ** 3 - x[1], x[0] - x[1]])

    here = sg.Langevin.from_drift(force, 0.1, D, dim=2)
    there = sg.Langevin.from_drift(lambda y: A @ force(B @ y), 0.1, A @ D @ A.T, dim=2)
    a, b = np.array([-1.0, 0.1]), np.array([0.2, 0.4])
    first = sg.transition_density(here, a, b, 0.7, n=64, starts=0)
    second = sg.transition_density(there, A @ a, A @ b, 0.7, n=64, starts=0)
    assert np.isclose(float(first), float(second) * abs(np.linalg.det(A)), rtol=1e-7)


@pytest.mark.parametrize("seed", [2, 9])
def test_the_search_ends_where_a_path_of_few_steps_has_none_of_many_beside_it(seed):
    U = sg.potential(dim=2)(lambda x: 3 * np.exp(-4 * (x[0] ** 2 + x[1] ** 2)) + (x[0] ** 2 + x[1] ** 2) / 2)
    found = sg.instanton(sg.Langevin(U, 0.1), [-0.8, 0], [0.8, 0], t=1.5, n=100, starts=4, seed=seed)
    first, second = (one.path.x for one in found.critical_paths[:2])
    np.testing.assert_allclose(first, second * [1, -1], atol=1e-6)


@pytest.mark.slow
def test_mirror_paths_add():
    """Around a hill on the axis two paths lead from one side to the other."""
    U = sg.potential(dim=2)(lambda x: 3 * np.exp(-4 * (x[0] ** 2 + x[1] ** 2)) + (x[0] ** 2 + x[1] ** 2) / 2)
    problem = sg.Langevin(U, 0.1)
    found = sg.transition_density(problem, [-0.8, 0], [0.8, 0], 1.5, n=100, starts=4, samples=8000)
    exact = grid_density(problem, ((-2, 2, 121), (-2, 2, 121)), [-0.8, 0], 1.5)([0.8, 0])
    first, second = (one.instanton.path.x for one in found.critical_paths[:2])  # the third leads over the top
    np.testing.assert_allclose(first, second * [1, -1], atol=1e-6)
    assert abs(float(found) - exact) < 2 * found.value.error
    assert abs(float(found.corrected) - exact) < 4 * found.corrected.error + 0.02 * exact


def hill(x):
    return np.exp(-4 * (x[0] ** 2 + x[1] ** 2)) + (x[0] ** 2 + x[1] ** 2) / 2


def test_the_mirror_image_of_a_path_is_looked_for():
    """With one of the two ways around a low hill alone the density would be half of what it is, with an error of a fifth."""
    problem = sg.Langevin(sg.potential(dim=2)(hill), 0.1)
    exact = grid_density(problem, ((-1.8, 1.8, 121), (-1.8, 1.8, 121)), [-0.8, 0], 3.0)([0.8, 0])
    found = sg.transition_density(problem, [-0.8, 0], [0.8, 0], 3.0, n=100)
    assert abs(float(found) - exact) < found.value.error + 0.02 * exact
    assert abs(float(found.corrected) - exact) < 2 * found.corrected.error + 0.02 * exact


@pytest.mark.parametrize("seed", range(4))
def test_both_ways_around_a_steep_hill_are_found_whatever_the_seed(seed):
    """The way straight over the hill is a minimum too; what falls beside the saddles between leads to the others."""
    problem = sg.Langevin(sg.potential(dim=2)(lambda x: 2 * hill(x) - (x[0] ** 2 + x[1] ** 2) / 2), 0.05)
    found = sg.instanton(problem, [1, 0], [-1, 0], t=1.0, n=160, seed=seed)
    minima = [one for one in found.critical_paths if one.is_minimum]
    assert len(minima) == 3 and [one.index for one in found.critical_paths[3:]] == [1, 1]
    np.testing.assert_allclose(minima[0].path.x, minima[1].path.x * [1, -1], atol=1e-8)


def test_three_ways_around_a_hill_that_a_third_of_a_turn_brings_into_each_other():
    def U(x):
        r = x[0] ** 2 + x[1] ** 2 + x[2] ** 2
        return 2 * np.exp(-4 * r) + r / 2 + 0.3 * (x[1] ** 3 - 3 * x[1] * x[2] ** 2)

    found = sg.instanton(sg.Langevin(sg.potential(dim=3)(U), 0.05), [1, 0, 0], [-1, 0, 0], t=1.0, n=80)
    equal = [one for one in found.critical_paths if abs(float(one.action) - float(found.action)) < 1e-6]
    middles = np.array([one.path.x[40, 1:] for one in equal])
    assert len(equal) == 3 and np.allclose(middles.sum(0), 0, atol=1e-8)


def test_a_continuous_family_of_paths_is_refused():
    def U(x):
        r = x[0] ** 2 + x[1] ** 2 + x[2] ** 2
        return 2 * np.exp(-4 * r) + r / 2

    with pytest.raises(sg.NotConvergedError, match="continuous family"):
        sg.transition_density(sg.Langevin(sg.potential(dim=3)(U), 0.05), [1, 0, 0], [-1, 0, 0], 1.0, n=40)


def test_densities_of_return():
    """The value of the linear Hamiltonian flow along the constant path; a Brownian path returns with (4 pi T t)^{-dim/2}."""
    problem = WELL.problem(0.05)
    found = sg.transition_density(problem, [-1], [-1], 1.0, n=64)
    (one,) = found.critical_paths
    assert float(found.static) == 1 and 0 < found.value.error < 0.02 * float(found)
    assert np.isclose(np.log(float(found)), float(sg.fluctuations(one.instanton, method="flow").log_density), atol=1e-7)
    minimum = np.sort(np.roots([4, 0, -4, 0.1]).real)[0]  # where the drift is not 0 but of the size of rounding
    tilted = sg.Langevin(sg.landscapes.double_well_2d(0.1).U, 0.05)
    assert len(sg.transition_density(tilted, [minimum, 0], [minimum, 0], 1.0, n=64).critical_paths) == 1
    free = sg.Langevin.from_drift(lambda x: 0 * x, 0.1, dim=2)
    assert np.isclose(float(sg.transition_density(free, [0.3, 0], [0.3, 0], 1.0, n=64)), 1 / (4 * np.pi * 0.1))


def test_static_factors_of_known_stationary_densities():
    """exp(-H/2T) of `Momentum` in a double well; a curl along the lines of equal height with D = 1 keeps exp(-U/T)."""
    moving = sg.Momentum(WELL.U, 0.1, friction=1.0)
    a, b = np.array([-1.0, 0.0]), np.array([-0.6, 0.3])
    rise = float(WELL.U(b[:1]) - WELL.U(a[:1])) + 0.045
    assert np.isclose(np.exp(half_log_ratio(moving, a, b)), np.exp(-rise / 0.2))
    swirl = sg.Langevin(sg.quadratic([[1, 0], [0, 2.0]]), 0.1, 2.0, curl=lambda x: np.array([-2 * x[1], x[0]]))
    a, b = np.array([0.5, 0.1]), np.array([0.8, 0.2])
    assert np.isclose(half_log_ratio(swirl, a, b), -(swirl.U(b) - swirl.U(a)) / (4 * 0.1))
    other = sg.Langevin(sg.quadratic([[1, 0], [0, 2.0]]), 0.1, curl=lambda x: np.array([-x[1], x[0] ** 3]))
    assert half_log_ratio(other, a, b) is None


@pytest.mark.parametrize(("T", "allowed"), [(0.08, 0.02), (0.01, 0.015)])
def test_next_order_of_a_lognormal_process(T, allowed):
    """dX_i = beta_i X_i dt + noise of X_i X_j C_ij: log X is a Brownian motion with drift beta_i - T C_ii."""
    C, beta, t, a, b = np.array([[1, 0.5], [0.5, 0.8]]), np.array([0.3, -0.2]), 0.9, np.array([1, 0.7]), np.array([1.6, 0.9])  # fmt: skip

    def D(x):
        return np.array([[x[0] ** 2, 0.5 * x[0] * x[1]], [0.5 * x[0] * x[1], 0.8 * x[1] ** 2]])

    u, S = np.log(b / a) - t * (beta - T * np.diag(C)), 2 * T * t * C
    exact = np.exp(-0.5 * u @ np.linalg.solve(S, u)) / np.sqrt(np.linalg.det(2 * np.pi * S)) / b.prod()
    problem = sg.Langevin.from_drift(lambda x: np.array([0.3 * x[0], -0.2 * x[1]]), T, D, dim=2)
    found = sg.transition_density(problem, a, b, t, n=200, starts=2)
    assert abs(float(found) - exact) < 1.5 * found.value.error and found.value.error < 0.05 * exact
    assert found.corrected.error < 0.01 * exact and abs(float(found.corrected) - exact) < min(
        3 * found.corrected.error, allowed * exact
    )


def test_logarithms_where_densities_are_no_numbers_of_double_precision():
    """By the covariance of the linear process, with Van Loan's matrix exponential."""
    F, T, t, a, b = np.array([[1, 5.0], [0, 1]]), 1e-4, 1.0, np.array([0.5, 0.3]), np.array([1.1, 0.2])
    whole, G = expm(t * np.block([[F, 2 * T * np.eye(2)], [np.zeros((2, 2)), -F.T]])), expm(-t * F)
    u, C = b - G @ a, G @ whole[:2, 2:]
    exact = -0.5 * u @ np.linalg.solve(C, u) - 0.5 * np.linalg.slogdet(2 * np.pi * C)[1]
    found = sg.transition_density(sg.Langevin.linear(F, T, np.eye(2)), a, b, t)
    assert found.log_value.agrees(exact) and found.log_value.error < 1e-6
    assert float(found) == 0 < found.value.error and "log_value" in str(found)
    assert float(found.reachability) == 0 < float(found.static)


@pytest.mark.parametrize("seed", range(4))
def test_errors_of_exact_densities_cover_rounding(seed):
    rng = np.random.default_rng(seed)
    k, T, t, (a, b) = 1.2, 0.05, rng.uniform(0.3, 2), rng.normal(size=2)
    C = T / k * (1 - np.exp(-2 * k * t))
    exact = -0.5 * (b - a * np.exp(-k * t)) ** 2 / C - 0.5 * np.log(2 * np.pi * C)
    found = sg.transition_density(sg.Langevin(sg.quadratic([[k]]), T), [a], [b], t, n=800, starts=0)
    assert found.log_value.agrees(exact, 3) and found.log_value.error < 1e-9


def test_near_a_caustic_the_error_covers_or_nothing_is_returned():
    """A straight way over the hill, next to two that part from it: one Gaussian says nothing of them, and its weights' tail tells."""
    problem = sg.Langevin(sg.potential(dim=2)(hill), 0.1)
    with pytest.raises(sg.NotConvergedError, match="next order in T"):
        sg.transition_density(problem, [-0.8, 0], [0.8, 0], 2.0, n=100, starts=0)


def test_heavy_tails_are_recognised():
    rng = np.random.default_rng(0)
    assert 0.75 < tail_index(rng.pareto(1.0, 4000)) < 1.25  # index 1/shape
    assert tail_index(np.exp(0.3 * rng.normal(size=4000))) < 0.3
    assert tail_index(np.ones(1000)) == 0.0


def test_long_times_are_refused_with_the_quasi_zero_mode():
    with pytest.raises(sg.NotConvergedError, match="quasi-zero mode"):
        sg.transition_density(WELL.problem(0.05), [-1], [1], 10.0, starts=2)


def test_the_path_along_an_unstable_ridge_is_refused():
    """Beyond alpha = 4 the way of Maier and Stein's process leads beside the axis."""
    problem = sg.landscapes.maier_stein(10).problem(0.05)
    found = sg.instanton(problem, [-1, 0], [0, 0], t=8.0, n=200, starts=0)
    saddle = next(one for one in found.critical_paths if one.index)
    assert np.abs(saddle.path.x[:, 1]).max() < 1e-8 and found.index == 0 and found.action.value < saddle.action.value
    with pytest.raises(sg.NotConvergedError, match="conjugate point"):
        relevant(replace(saddle, critical_paths=(saddle,)))
    worse = replace(found, action=replace(found.action, value=saddle.action.value + 1))
    with pytest.raises(sg.NotConvergedError, match="path that is missing"):
        relevant(replace(saddle, critical_paths=(saddle, worse)))


def test_it_draws_its_paths():
    found = sg.transition_density(sg.Langevin(sg.quadratic([[1.2]]), 0.3), [0.7], [-0.2], 1.3, n=64)
    assert found.plot() is not None and "p(b, t | a)" in str(found)
