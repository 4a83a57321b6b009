"""Rates far below the rounding of the largest, and grids too coarse for an error."""

import numpy as np
import pytest

import sgdyn as sg
from sgdyn.density.refinement import refined
from sgdyn.density.spectrum import Modes
from tests.density.processes import quartic


def well(T, n=200):
    return sg.fokker_planck(sg.Langevin(quartic, T=T), sg.Grid([(-2, 2, n)]))


@pytest.mark.parametrize(
    ("T", "exact"), [(0.1, 7.845300154613569e-05), (0.03, 5.967394000604863e-15), (0.02, 3.469164374924751e-22)]
)  # fmt: skip
def test_slow_rates_of_reversible_processes_lose_no_digits(T, exact):
    """The matrix's own rate by Sturm bisection with 60 digits (mpmath)."""
    for k in (2, 3):
        assert Modes(well(T), k).values[1] == pytest.approx(exact, rel=1e-6)
    found = well(T).spectrum(2).values
    assert found.error[1] < 0.2 * found.value[1] and not found.warnings


def test_rates_that_rounding_hides_are_named():
    """Sturm bisection with 60 digits: 2.01e-29."""
    found = well(0.015).spectrum(3).values
    assert "rates [1] are below or near" in found.warnings[0] and "generator.rate(a, b)" in found.warnings[0]
    assert abs(found.pull([0, 2.0127586785949554e-29, 0])[1]) < 1


def test_slow_rates_of_a_process_with_current_are_named():
    """Twice the rate of the double well with the same Gibbs state is 3.6e-9, far below the rounding of walls without mass."""
    U = sg.potential(dim=2)(lambda x: (x[0] ** 2 - 1) ** 2 + x[1] ** 2)
    process = sg.Langevin(U, T=0.05, curl=lambda x: np.array([x[1], -2 * x[0] * (x[0] ** 2 - 1)]))
    found = sg.fokker_planck(process, sg.Grid([(-2, 2, 60), (-1.5, 1.5, 40)])).spectrum(3).values
    assert any("rates [1] are below or near" in warning for warning in found.warnings)
    assert abs(found.value[1] - 3.6e-9) < found.error[1]


def test_grids_that_differ_by_half_of_the_value_say_so():
    """MFPT of (x² - 1)² + 2 y² at T = 1/3 on few cells; the same on many is not warned of."""
    process = sg.landscapes.double_well_2d().problem(T=0.08)
    told = []
    for n in (8, 80):
        generator = sg.fokker_planck(process, sg.Grid([(-2, 2, n)] * 2))
        told.append(generator.mean_first_passage(lambda x: x[0] > 0.9, [-1.0, 0.0]).warnings)
    assert any("more than a guess" in warning for warning in told[0])
    assert not any("more than a guess" in warning for warning in told[1])


def test_values_that_do_not_converge_are_not_extrapolated():
    generator = well(0.1, 16)
    sizes = {16: 1.0, 11: 4.0, 8: 9.0}
    found = refined(generator, lambda g: sizes[g.grid.size])
    assert found.value == 1.0 and found.error == pytest.approx(8) and "800 %" in found.warnings[0]
    sizes = {16: 1.0, 11: 1.02, 8: 1.0}  # the coarser one agrees by chance
    found = refined(generator, lambda g: sizes[g.grid.size])
    assert found.error == pytest.approx(0.02) and not any("guess" in warning for warning in found.warnings)
