"""Errors from coarser grids where no power of the cell width holds, and where one is better than the second."""

import numpy as np
import pytest

import sgdyn as sg


def jacobi(n):
    """dX = -X dt + sqrt(2 T (1 - X²)) dW: rates k + T k (k - 1); for T = 0.8 the density is singular at both walls."""
    process = sg.Langevin.from_drift(lambda x: np.array([-x[0]]), T=0.8, D=lambda x: np.array([[1 - x[0] ** 2]]), dim=1)
    return sg.fokker_planck(process, sg.Grid([(-1, 1, n)]))


def test_errors_cover_the_slow_convergence_of_singular_densities():
    for n in (40, 80):
        found = jacobi(n).spectrum(3).values
        assert np.all(np.abs(found.pull([0.0, 1.0, 3.6])) < 1) and found.error[1] < 0.1


def test_entropy_production_from_edge_to_edge_is_good_to_a_percent_on_few_cells():
    process = sg.Langevin.linear([[1.0, 0.3], [-0.2, 0.8]], T=0.4, D=[[1.0, 0.9], [0.9, 1.0]])
    exact = sg.linear_stationary(process).entropy_production
    for n in (30, 60):
        found = sg.fokker_planck(process, sg.Grid([(-4, 4, n)] * 2)).entropy_production()
        assert abs(found.pull(exact)) < 1 and abs(float(found) - exact) < 0.01 * exact


@pytest.mark.parametrize("n", [48, 64])
def test_errors_of_rates_where_some_faces_carry_a_curl_upwind(n):
    """A curl that keeps the density of a bowl: linear, so that rates are the eigenvalues of its matrix."""
    curl = lambda x: np.array([9 * x[1], -3 * x[0]])
    process = sg.Langevin(sg.quadratic(np.diag([1.0, 3.0])), T=0.3, curl=curl)
    generator = sg.fokker_planck(process, sg.Grid([(-4, 4, n), (-2.5, 2.5, n)]))
    assert 0 < generator.faces.upwinded < len(generator.faces.i)
    found, exact = generator.spectrum(2).values, 2 + 1j * np.sqrt(26)
    far = min(abs(found.value[1] - exact), abs(found.value[1].conj() - exact))
    assert far < 1.3 * found.error[1] < 0.02 * abs(exact)


def test_a_curl_takes_no_more_diffusion_than_positive_rates_need():
    """No rate is negative, and the faces' rates together with those of the edges reach zero somewhere."""
    process = sg.Langevin(sg.quadratic(np.eye(2)), T=0.05, curl=lambda x: 4 * np.array([x[1], -x[0]]))
    generator = sg.fokker_planck(process, sg.Grid([(-2, 2, 24)] * 2))
    rates, diagonal = generator.rates, generator.rates.diagonal()
    off = rates.copy()
    off.setdiag(np.inf)
    assert off.data.min() >= 0 and np.sum(off.data < 1e-10 * np.abs(diagonal).max()) > 100
    masses = generator.stationary().masses.ravel()
    assert np.abs(rates.T @ masses).max() < 1e-13 * np.abs(masses * diagonal).max()


def test_a_mean_that_is_zero_by_symmetry_is_no_doubt_about_the_grid():
    process = sg.Langevin(sg.landscapes.double_well_2d().U, T=0.4)
    found = sg.crosscheck(process, "mean", grid=sg.Grid([(-2, 2, 30), (-2, 2, 24)]))["Fokker-Planck"]
    assert np.abs(found.value).max() < 1e-12 and not any("changes by" in warning for warning in found.warnings)
