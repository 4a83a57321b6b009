"""What the errors and warnings of asymptotic escape times cover: each against a grid or a closed form."""

import numpy as np
import pytest

import sgdyn as sg
from sgdyn.escape.saddle_corrections import flux_correction


def test_a_saddle_that_is_not_next_to_the_well_is_warned_of():
    chain = sg.potential(dim=1)(lambda x: x[0] ** 2 * (x[0] ** 2 - 4) ** 2 / 16 + 0.02 * x[0])
    problem = sg.Langevin(chain, 0.1)
    low, high = np.sort(sg.critical_points(chain, (-3, 3)).saddles[:, 0])
    far = sg.kramers_time(problem, [-2.0025], [high])
    assert any("lead elsewhere" in w for w in far.warnings)  # 3119 by quadrature, three times as long
    assert not sg.kramers_time(problem, [-2.0025], [low]).warnings
    ring = sg.potential(dim=2)(lambda x: (x[0] ** 2 - 1) ** 2 + 0.8 * (x[1] ** 2 - 1) ** 2)
    assert sg.kramers_time(sg.Langevin(ring, 0.05), [-1, -1], [1, 0]).warnings
    assert not sg.kramers_time(sg.Langevin(ring, 0.05), [-1, -1], [-1, 0]).warnings


@sg.potential(dim=2)
def bent(x):
    """A valley that is bent: the more so in the metric of D^-1."""
    return (x[0] ** 2 - 1) ** 2 + 1.5 * (x[1] - 0.4 * x[0] ** 2 + 0.2 * x[0]) ** 2 * (1 + 0.5 * x[0] ** 2) + 0.1 * x[0]


def test_the_correction_to_the_flux_over_a_saddle_has_its_closed_form_in_one_dimension():
    found = flux_correction(np.array([-2.0]), np.array([[[1.3]]]), np.array([[0.7]]))
    assert found == pytest.approx(-(5 * 1.3**2 / (24 * 8) + 0.7 / (8 * 4)), rel=1e-14)


@pytest.mark.parametrize("D", [[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.6], [0.6, 0.5]]])
def test_the_error_of_langers_time_is_the_term_of_order_T(D):
    """Against the grid; continuing the Gaussian correction to the saddle gave a sixth of it for the second D."""
    points = sg.critical_points(bent, (-2.5, 2.5))
    well = points.minima[np.argmin(points.minima[:, 0])]
    problem = sg.Langevin.gibbs(bent, 0.05, D)
    time = sg.kramers_time(problem, well, points.saddles[0])
    grid = sg.Grid(((-1.7, 1.7, 160), (-1.0, 2.0, 160)))
    exact = sg.fokker_planck(problem, grid).mean_first_passage(lambda x: x[0] > 0.8, well)
    assert 0.5 < (float(exact) - float(time)) / time.error < 1.5


@pytest.mark.slow
def test_a_path_that_comes_in_along_the_separatrix_is_warned_of():
    """lambda_+ 3.9, the other rate -2.9: on the grid half as long, at every T, as a graph over the chord cannot bend back."""
    problem = sg.Langevin(bent, 0.06, curl=lambda x: np.array([-0.8 * x[1], 0.8 * x[0]]))
    time = sg.kramers_time(problem, [-0.94981877, 0.37627647], [0.02636906, 0.00203362])
    assert any("separatrix" in w for w in time.warnings)
    assert abs(float(time) - 311244) < time.error  # fokker_planck, 240 x 240 cells, +- 1545
