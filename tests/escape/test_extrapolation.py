"""Extrapolated passage times against the exact integral, and where they must refuse or warn."""

import numpy as np
import pytest

import sgdyn as sg

WELL = sg.landscapes.double_well()


def right(x):
    return x[0] > 1


def test_the_exponential_tail_gives_times_longer_than_the_paths():
    found = sg.extrapolated_passage(
        WELL.problem(0.05), [-1.0], right, dt=0.01, method=sg.ExponentialTail(150.0), n_paths=3000, seed=1
    )
    assert found.error < 0.07 * found.value
    assert found.agrees(729.67069194232279882) and not found.warnings  # dossier C01


def test_a_tail_that_is_not_exponential_is_noted():
    """From the foot of a slope on which times are nearly normal, the rate of arrival grows."""
    slope = sg.Langevin.from_drift(lambda x: 1 + 0 * x, T=0.05, dim=1)
    found = sg.extrapolated_passage(
        slope, [0.0], right, dt=0.01, method=sg.ExponentialTail(1.5, 0.4), n_paths=2000, seed=1
    )
    assert any("not exponential" in note for note in found.warnings)


def test_arrhenius_extrapolates_within_its_error_which_grows_with_the_distance():
    how = {"dt": 0.01, "n_paths": 3000, "seed": 2}
    law = sg.Arrhenius((0.07, 0.085, 0.1, 0.12, 0.15))
    near, far = (sg.extrapolated_passage(WELL.problem(T), [-1.0], right, method=law, **how) for T in (0.05, 0.025))
    assert near.agrees(729.67069194232279882) and far.agrees(102108.36545716983696)  # dossier C01
    assert near.error / near.value < 0.25 and far.error / far.value > near.error / near.value


def test_what_has_no_ground_is_refused():
    go, problem = sg.extrapolated_passage, WELL.problem(0.05)
    with pytest.raises(ValueError, match="arrivals"):
        go(WELL.problem(0.02), [-1.0], right, dt=0.01, method=sg.ExponentialTail(20.0), n_paths=100, seed=0)
    with pytest.raises(ValueError, match="higher ones"):
        go(problem, [-1.0], right, dt=0.01, method=sg.Arrhenius((0.04, 0.06, 0.08, 0.1)))
    with pytest.raises(ValueError, match="contains T"):
        gibbs = sg.Langevin.gibbs(WELL.U, 0.05, lambda x: 1 + x[0] ** 2)
        go(gibbs, [-1.0], right, dt=0.01, method=sg.Arrhenius((0.07, 0.08, 0.09, 0.1)))
    with pytest.raises(ValueError, match="at least 4"):
        sg.Arrhenius((0.1, 0.2, 0.3))
    with pytest.raises(ValueError, match="after"):
        sg.ExponentialTail(1.0, 2.0)
    with pytest.raises(TypeError, match="ExponentialTail"):
        go(problem, [-1.0], right, dt=0.01, method=np.exp)
