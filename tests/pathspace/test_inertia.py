"""Underdamped transition densities: closed form, detailed balance, derivatives, the grid, conjugate points, refusals."""

import numpy as np
import pytest
from scipy.interpolate import RectBivariateSpline
from scipy.linalg import expm

import sgdyn as sg
from sgdyn.pathspace.inertia import InertialAction

WELL = sg.landscapes.double_well().U


def exact_linear(K, D, T, friction, a, b, t):
    """log of the Gaussian density, covariance by Van Loan's exponential."""
    d = len(K)
    F = np.block([[np.zeros((d, d)), -np.eye(d)], [K, friction * np.eye(d)]])
    noise = np.zeros((2 * d, 2 * d))
    noise[d:, d:] = 2 * friction * T * D
    whole = expm(t * np.block([[-F, noise], [np.zeros_like(F), F.T]]))
    S, u = whole[: 2 * d, 2 * d :] @ whole[: 2 * d, : 2 * d].T, b - whole[: 2 * d, : 2 * d] @ a
    return -0.5 * u @ np.linalg.solve(S, u) - 0.5 * np.linalg.slogdet(2 * np.pi * S)[1]


@pytest.mark.parametrize("t", [0.3, 1.1, 6.0])
def test_linear_processes_are_exact(t):
    K, D, T, friction = np.array([[1.3, 0.4], [0.4, 0.7]]), np.array([[1.0, 0.3], [0.3, 0.6]]), 0.4, 0.7
    a, b = np.array([0.2, -0.1, 0.0, 0.3]), np.array([0.5, 0.1, 0.6, -0.2])
    found = sg.transition_density(sg.Momentum(sg.quadratic(K), T, friction, D), a, b, t, n=160, starts=0)
    exact = np.exp(exact_linear(K, D, T, friction, a, b, t))
    assert abs(float(found) - exact) < 2 * found.value.error + 1e-9 * exact
    assert found.value.error < 1e-5 * exact and found.corrected is None


@pytest.mark.parametrize("n", [8, 9])
def test_derivatives_of_the_action_of_positions(n):
    problem = sg.Momentum(sg.landscapes.double_well_2d(0.2).U, 0.2, 0.8, [[1, 0.3], [0.3, 0.7]])
    rng = np.random.default_rng(0)
    functional = InertialAction(problem, *rng.normal(size=(2, 2)))
    path = sg.Path(rng.normal(size=(n + 1, 2)), np.linspace(0, 2, n + 1))
    gradient, H = functional.gradient(path), np.zeros((n - 1, 2, n - 1, 2))
    for k in range(1, n):
        for i in range(2):
            step = np.zeros_like(path.x)
            step[k, i] = 1e-5
            up, down = (sg.Path(path.x + sign * step, path.t) for sign in (1, -1))
            slope = (functional.value(up) - functional.value(down)) / 2e-5
            assert abs(slope - gradient[k, i]) < 1e-8 * np.abs(gradient).max()
            H[k - 1, i] = (functional.gradient(up) - functional.gradient(down))[1:-1] / 2e-5
    flat, found, v = H.reshape(2 * n - 2, -1), functional.hessian(path), rng.normal(size=(n - 1, 2))
    np.testing.assert_allclose(found.solve((flat @ v.ravel()).reshape(v.shape)), v, atol=1e-6)
    assert abs(found.log_determinant - np.linalg.slogdet(flat)[1]) < 1e-6
    assert found.negative.sum() == (np.linalg.eigvalsh(flat) < 0).sum()


def test_double_well_against_the_grid_and_against_the_flow():
    T, t, a, b = 0.4, 1.5, np.array([-1.0, 0.0]), np.array([0.3, 0.4])
    problem = sg.Momentum(WELL, T)
    found = sg.transition_density(problem, a, b, t, n=200, starts=1)
    values = []
    for cells in (61, 121, 241):
        generator = sg.fokker_planck(problem, sg.Grid([(-2.4, 2.4, cells), (-3.2, 3.2, cells)]))
        x, v = (np.unique(generator.grid.centers[..., k]) for k in range(2))
        rho = generator.evolve(a, t).values.reshape(cells, cells)
        values.append(RectBivariateSpline(x, v, rho)(*b)[0, 0])
    exact = (8 * values[2] - 6 * values[1] + values[0]) / 3  # errors of the grid: first and second order
    assert abs(float(found.corrected) - exact) < 0.02 * exact
    assert abs(float(found) - float(found.corrected)) < 1.5 * found.value.error < 0.02 * exact
    flow = sg.fluctuations(found.critical_paths[0].instanton, method="flow")
    assert abs(float(flow.log_density) - float(found.critical_paths[0].log_density)) < 1e-7


def test_detailed_balance_with_velocities_reversed():
    T, t, a, b = 0.3, 1.2, np.array([-1.0, 0.2]), np.array([0.3, 0.4])
    problem = sg.Momentum(WELL, T, 0.6)
    forth = sg.transition_density(problem, a, b, t, n=160, starts=0)
    back = sg.transition_density(problem, b * [1, -1], a * [1, -1], t, n=160, starts=0)
    assert np.isclose(float(forth.reachability), float(back.reachability), rtol=1e-7)
    assert np.isclose(float(forth.corrected) / float(back.corrected), float(forth) / float(back), rtol=5e-3)


def test_weights_follow_the_time_unit():
    """t -> s t with friction/s, U/s², T/s²: the density in (x, v) changes by s (v = x/t)."""
    s, a, b = 2.5, np.array([-1.0, 0.2]), np.array([0.3, 0.4])
    scaled = sg.potential(dim=1)(lambda x: (x[0] ** 2 - 1) ** 2 / 4 / 2.5**2)
    plain = sg.potential(dim=1)(lambda x: (x[0] ** 2 - 1) ** 2 / 4)
    first = sg.transition_density(sg.Momentum(plain, 0.3, 0.8), a, b, 1.2, n=80, starts=0)
    unit = np.array([1, 1 / s])
    second = sg.transition_density(
        sg.Momentum(scaled, 0.3 / s**2, 0.8 / s), a * unit, b * unit, 1.2 * s, n=80, starts=0
    )
    assert np.isclose(float(first) * s, float(second), rtol=1e-7)
    assert np.isclose(float(first.corrected) * s, float(second.corrected), rtol=1e-6)


def test_long_times_are_reached_and_refused_for_what_they_are():
    problem = sg.Momentum(WELL, 0.15)
    found = sg.instanton(problem, [-1, 0], [1, 0], t=25, n=200, starts=1)
    rise = 0.25 / 0.15  # the action of the way up, the way down costs nothing
    assert found.is_minimum and rise < float(found.action) < 1.02 * rise
    with pytest.raises(sg.NotConvergedError, match="quasi-zero mode"):
        sg.transition_density(problem, [-1, 0], [1, 0], 25, n=200, starts=1)


def test_saddles_of_the_action_have_conjugate_points_and_no_prefactor():
    """Around a hill and over it lead minima of the action, and saddles between them."""
    U = sg.potential(dim=2)(lambda x: 3 * np.exp(-4 * (x[0] ** 2 + x[1] ** 2)) + (x[0] ** 2 + x[1] ** 2) / 2)
    found = sg.instanton(sg.Momentum(U, 0.1), [-0.8, 0, 0, 0], [0.8, 0, 0, 0], t=3.0, n=80, starts=4)
    saddles = [one for one in found.critical_paths if not one.is_minimum]
    assert found.is_minimum and saddles and all(len(one.conjugate_points) == one.index for one in saddles)
    with pytest.raises(ValueError, match="conjugate point at t="):
        sg.fluctuations(saddles[0])
