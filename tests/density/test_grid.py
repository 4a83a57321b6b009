"""Grids and densities."""

import numpy as np
import pytest

import sgdyn as sg
from sgdyn.density.grid import histogram


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
