"""Errors from coarser grids where no power of the cell width holds, and where one is better than the second."""

import numpy as np

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
