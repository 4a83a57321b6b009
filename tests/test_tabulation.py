"""Potentials from tables: spline derivatives, convergence, compiled gradients, and the loop from a histogram back to a potential."""

import numpy as np
import pytest

import sgdyn as sg


def function(x):
    return np.sum(np.cos(x), -1) + 0.3 * np.prod(np.sin(x), -1)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_table_has_the_derivatives_of_the_function_to_the_order_of_the_spline(dim, rng):
    errors = []
    x = rng.uniform(-0.8, 0.8, (20, dim))
    for count in (12, 24):
        grid = sg.Grid([(-1.5, 1.5, count)] * dim)
        U = sg.tabulated(grid, function(grid.centers))
        exact = np.stack([(function(x + 1e-6 * e) - function(x - 1e-6 * e)) / 2e-6 for e in np.eye(dim)], -1)
        errors.append([np.abs(U(x) - function(x)).max(), np.abs(U.grad(x) - exact).max()])
    slopes = np.log2(np.array(errors[0]) / np.array(errors[1]))
    assert slopes[0] > 3.3 and slopes[1] > 2.4


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_compiled_gradient_is_that_of_scipy(dim, rng):
    grid = sg.Grid([(-1.5, 1.5, 9), (-1, 1, 7), (-2, 2, 5)][:dim])
    U = sg.tabulated(grid, function(grid.centers))
    x, out = rng.uniform(-0.7, 0.7, (dim, 40)), np.empty((dim, 40))
    x[:, 0] = [m[0] for m in grid.midpoints]
    x[:, 1] = [m[-1] for m in grid.midpoints]
    U.grad.block(x, U.grad.theta, out)
    np.testing.assert_allclose(out.T[2:], U.grad(x.T)[2:], rtol=1e-11, atol=1e-12)
    assert np.all(np.isfinite(out[:, :2]))
    out[:] = 0
    U.grad.block(x + 5.0, U.grad.theta, out)
    assert np.all(np.isnan(out))


def test_second_and_third_derivatives_are_those_of_the_spline(rng):
    grid = sg.Grid([(-1.5, 1.5, 20), (-1.5, 1.5, 20)])
    U = sg.tabulated(grid, function(grid.centers))
    x, h = rng.uniform(-0.5, 0.5, (5, 2)), 1e-6
    hess = np.stack([(U.grad(x + h * e) - U.grad(x - h * e)) / (2 * h) for e in np.eye(2)], -1)
    np.testing.assert_allclose(U.hess(x), hess, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(U.laplacian(x), np.trace(U.hess(x), axis1=-2, axis2=-1))
    slope = np.stack([(U.laplacian(x + h * e) - U.laplacian(x - h * e)) / (2 * h) for e in np.eye(2)], -1)
    np.testing.assert_allclose(U.laplacian_grad(x), slope, atol=2e-2)


def test_what_was_measured_can_be_simulated():
    T = 0.5
    ensemble = sg.simulate(sg.Langevin(sg.quadratic([[1.0]]), T=T), [0.0], t=8, dt=0.02, n_paths=200_000, seed=4)
    density = ensemble.histogram(sg.Grid([(-1.8, 1.8, 24)]))
    U = density.effective_potential(T)
    x = np.linspace(-1, 1, 9)[:, None]
    np.testing.assert_allclose(U(x) - U([[0.0]]), 0.5 * x[:, 0] ** 2, atol=0.03)
    again = sg.simulate(sg.Langevin(U, T=0.02), [0.0], t=5, dt=0.01, n_paths=20_000, seed=5)
    assert again.cov().value[0, 0] == pytest.approx(0.02, rel=0.25)
