"""Fixed-time critical paths against values of high precision and closed forms."""

import numpy as np
import pytest

import sgdyn as sg

# dossier rates_and_paths, C09 (high-precision quadrature): S = ∫ (x'² + U'²)/2 dt; the action here times T is (dU + S)/2
FROM_WELL_TO_WELL, FROM_WELL_TO_TOP = 1.0755096576726807018, 0.28673251014870294841


@pytest.mark.parametrize(("end", "expected"), [(1.0, FROM_WELL_TO_WELL / 2), (0.0, FROM_WELL_TO_TOP)])
def test_action_of_the_double_well_to_ten_digits(end, expected):
    found = sg.instanton(sg.landscapes.double_well().problem(1.0), [-1], [end], t=2, n=400)
    assert abs(float(found.action) - expected) < 1e-10
    assert abs(float(found.action) - expected) < 4 * found.action.error
    assert found.is_minimum and found.residual < 1e-12
    assert found.energy.error < 1e-4 * found.energy.value


def test_energy_is_conserved_to_second_order():
    problem = sg.landscapes.double_well().problem(1.0)
    coarse, fine = (sg.instanton(problem, [-1], [1], t=2, n=n, starts=0).energy.error for n in (80, 160))
    assert 1.9 < np.log2(coarse / fine) < 2.1


def test_the_path_that_depends_on_T_becomes_a_saddle_behind_a_conjugate_point():
    problem = sg.landscapes.double_well().problem(0.05)
    found = sg.instanton(problem, [-1], [1], t=5, n=200, rule=sg.StaticKernel())
    assert [one.index for one in found.critical_paths].count(1) == 1
    saddle = found.critical_paths[-1]
    assert not saddle.is_minimum and 4 < saddle.conjugate_points[0] < 5
    assert float(saddle.action) > float(found.action)


def test_underdamped_linear_path_costs_the_energy_over_T():
    """From rest, slowly: (x² + v²)/2T, whatever the friction."""
    problem = sg.Momentum(sg.quadratic([[1.0]]), T=0.5, friction=0.7)
    found = sg.instanton(problem, [0, 0], [1, 0.3], t=30, n=400)
    assert np.isclose(float(found.action), (1 + 0.09) / (2 * 0.5), atol=1e-8)
    assert found.residual < 1e-9


def test_steps_that_are_no_multiple_of_four_are_refused():
    with pytest.raises(ValueError, match="type n=104"):
        sg.instanton(sg.landscapes.double_well().problem(), [-1], [1], t=2, n=102)


def test_paths_draw_themselves():
    found = sg.instanton(sg.landscapes.double_well_2d().problem(0.3), [-1, 0], [1, 0], t=2, n=40, starts=0)
    assert len(found.plot().lines) == len(found.critical_paths)
    assert found.path.plot().get_xlabel() == "$x_0$"
