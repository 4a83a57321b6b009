"""Grids and densities."""

import numpy as np
import pytest

import sgdyn as sg
from sgdyn.density.distribution import histogram


def gaussian(grid, mean, cov):
    y = grid.centers - mean
    return np.exp(-0.5 * np.einsum("...i,ij,...j->...", y, np.linalg.inv(cov), y)) / np.sqrt(
        np.linalg.det(2 * np.pi * np.array(cov))
    )


def test_cells_volumes_and_centres():
    grid = sg.Grid([(-1, 1, 4), (0, 3, 3)])
    assert grid.shape == (4, 3) and grid.dim == 2
    np.testing.assert_allclose(grid.volumes.sum(), 6.0)
    np.testing.assert_allclose(grid.centers[0, 0], [-0.75, 0.5])


def test_moments_marginals_and_values_of_a_gaussian():
    mean, cov = np.array([0.3, -0.2]), np.array([[0.4, 0.1], [0.1, 0.2]])
    grid = sg.Grid([(-4, 4, 200), (-3, 3, 150)])
    density = sg.Density(grid, gaussian(grid, mean, cov))
    np.testing.assert_allclose(density.mean(), mean, atol=1e-6)
    np.testing.assert_allclose(density.cov(), cov, atol=1e-3)
    np.testing.assert_allclose(density.marginal(1).cov(), [[0.2]], atol=1e-3)
    swapped = density.marginal(1, 0)
    assert swapped.grid.shape == (150, 200)
    np.testing.assert_allclose(swapped.values, density.values.T)
    assert density.at([0.3, -0.2]) == pytest.approx(density.values.max(), rel=1e-2)
    assert density.at([9.0, 0.0]) == 0.0


def test_the_effective_potential_is_minus_T_log_density():
    grid = sg.Grid([(-2, 2, 40), (-2, 2, 40)])
    U = sg.Density(grid, gaussian(grid, [0, 0], np.diag([0.5, 0.25]))).effective_potential(0.5)
    np.testing.assert_allclose(U.grad([0.6, 0.4]), [0.6, 0.8], rtol=1e-6)
    with pytest.raises(ValueError, match="empty cells"):
        sg.Density(grid, np.zeros(grid.shape)).effective_potential(1.0)


def test_errors_of_a_histogram_cover_the_truth(rng):
    grid = sg.Grid([(-2, 2, 16)])
    density = histogram(rng.normal(size=(100_000, 1)), grid)
    from scipy import stats

    exact = np.diff(stats.norm.cdf(grid.edges[0])) / grid.volumes
    pulls = (density.values - exact) / density.error
    assert np.abs(pulls).max() < 4 and 0.5 < pulls.std() < 1.6


def test_marginals_in_any_order_keep_their_errors(rng):
    grid = sg.Grid([(0, 1, 4), (0, 2, 6), (-1, 1, 3)])
    density = sg.Density(grid, rng.random(grid.shape), rng.random(grid.shape))
    swapped = density.marginal(1, 0)
    straight = density.marginal(0, 1)
    np.testing.assert_allclose(swapped.values, straight.values.T)
    np.testing.assert_allclose(swapped.error, straight.error.T)
    np.testing.assert_allclose(straight.error**2, np.sum((density.error * 2 / 3) ** 2, -1))
    turned = density.marginal(2, 0, 1)
    np.testing.assert_allclose(turned.values, np.moveaxis(density.values, -1, 0))
    np.testing.assert_allclose(turned.error, np.moveaxis(density.error, -1, 0))
    np.testing.assert_allclose(density.marginal(-1).values, density.marginal(2).values)
    for axes in ((), (0, 0), (0, -3), (3,), (-4,)):
        with pytest.raises(ValueError, match="different numbers from -3 to 2"):
            density.marginal(*axes)


def test_three_whole_numbers_in_a_list_may_be_edges_and_are_refused():
    with pytest.raises(ValueError, match=r"type np.array\(\[0, 1, 2\]\) for edges, or \(0, 1, 2\) for 2 cells"):
        sg.Grid([[0, 1, 2]])
    assert sg.Grid([np.array([0, 1, 2])]).shape == sg.Grid([(0, 2, 2)]).shape == (2,)


def test_marginals_keep_the_doubts_of_their_density():
    grid = sg.Grid([(0, 1, 3), (0, 1, 2)])
    rho = sg.Density(grid, np.ones(grid.shape), solver_error=1e-9, warnings=("thin",))
    assert rho.marginal(0).warnings == ("thin",) and rho.marginal(0).solver_error == 1e-9
