"""One question, several theories: they agree, the reasons of the others are listed, and a wrong answer is seen."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

import sgdyn as sg
from sgdyn.crosschecks.quantities import QUANTITIES


@sg.potential(dim=1)
def well(x):
    return (x[0] ** 2 - 1) ** 2


@sg.potential(dim=2)
def plane(x):
    return (x[0] ** 2 - 1) ** 2 + 2 * x[1] ** 2


LINE = sg.Langevin(well, T=1 / 3)
BOX = sg.Grid([(-2, 2, 200)])
SPIRAL = sg.Langevin.linear([[1, 0.8], [-0.6, 1.2]], T=0.3, D=[[1, 0.6], [0.6, 1]])


def test_passage_times_in_one_dimension_agree_and_cover_the_reference():
    found = sg.crosscheck(
        LINE, "mean_first_passage", x0=[-1], region=lambda x: x[0] > 1, grid=BOX, dt=0.01, n_paths=1000
    )
    assert [row.theory for row in found.rows] == ["exact quadrature", "Chebyshev", "Fokker-Planck", "simulation"]
    assert not found.excluded and found.agrees()
    for row in found.rows:  # high-precision value: mpmath
        assert abs(row.estimate.pull(26.64008779811409394)) < 3
    text = str(found)
    assert text.startswith("mean_first_passage: the theories agree")
    assert found.best.theory in ("exact quadrature", "Chebyshev") and float(found["simulation"]) > 20
    ax = found.plot()
    assert len(ax.get_yticklabels()) == 4
    plt.close(ax.figure)


def test_without_a_grid_or_time_step_they_say_what_to_type():
    found = sg.crosscheck(LINE, "mean_first_passage", x0=[-1], region=lambda x: x[0] > 1)
    assert "not by simulation: no time step" in str(found)
    assert len(found.rows) == 1 and "type dt=..." in found.excluded["simulation"]
    assert "type grid=sg.Grid(...)" in found.excluded["Fokker-Planck"]


def test_a_region_on_both_sides_is_left_to_those_who_can():
    found = sg.crosscheck(LINE, "mean_first_passage", x0=[0.2], region=lambda x: abs(x[0]) > 1, grid=BOX)
    assert [row.theory for row in found.rows] == ["Chebyshev", "Fokker-Planck"] and found.agrees()
    assert "both sides" in found.excluded["exact quadrature"]
    leaky = sg.crosscheck(
        LINE, "mean_first_passage", x0=[0.2], region=lambda x: x[0] > 1, grid=sg.Grid([(-2, 2, 200)], "absorbing")
    )
    assert leaky.agrees() and len(leaky.rows) == 2


def test_stationary_averages_agree():
    mean = sg.crosscheck(LINE, "mean", f=lambda x: x[0] ** 2, grid=BOX, dt=0.02, n_paths=500)
    spread = sg.crosscheck(LINE, "covariance", grid=BOX)
    assert len(mean.rows) == 3 and mean.agrees() and spread.agrees()
    assert float(mean["Chebyshev"]) == pytest.approx(float(spread["Chebyshev"].value[0, 0]), rel=1e-11)
    linear = sg.crosscheck(SPIRAL, "covariance", grid=sg.Grid([(-3, 3, 80)] * 2), dt=0.02, n_paths=500)
    assert [row.theory for row in linear.rows] == ["linear", "Fokker-Planck", "simulation"] and linear.agrees()
    assert linear["simulation"].value.shape == (2, 2)
    assert sg.crosscheck(SPIRAL, "mean", grid=sg.Grid([(-3, 3, 40)] * 2)).agrees()


def test_slowest_rates_agree():
    found = sg.crosscheck(LINE, "slowest_rate", grid=BOX)
    assert found.agrees() and float(found["Chebyshev"]) == pytest.approx(0.080619860857438902, rel=1e-12)
    assert sg.crosscheck(SPIRAL, "slowest_rate", grid=sg.Grid([(-3, 3, 80)] * 2)).agrees()
    leaky = sg.crosscheck(LINE, "slowest_rate", grid=sg.Grid([(-2, 2, 200)], "absorbing"))
    assert leaky.agrees() and len(leaky.rows) == 2


def test_a_full_tensor_and_momentum():
    A = [[1, 0.8], [0.8, 1]]
    found = sg.crosscheck(
        sg.Langevin.gibbs(plane, T=1 / 3, D=A), "mean_first_passage", x0=[-1, 0], region=lambda x: x[0] > 1, grid=sg.Grid([(-2, 2, 80)] * 2),
        dt=0.01, n_paths=500,
    )  # fmt: skip
    assert found.agrees() and abs(found["Fokker-Planck"].pull(51.7101035064)) < 3  # p-FEM
    kinetic = sg.crosscheck(
        sg.Momentum(well, T=1 / 3), "mean_first_passage", x0=[-1, 0], region=lambda x: x[0] > 1, grid=sg.Grid([(-2, 2, 80), (-4, 4, 80)]),
        dt=0.02, n_paths=500,
    )  # fmt: skip
    assert len(kinetic.rows) == 2 and kinetic.agrees()


def test_a_wrong_theory_is_seen(monkeypatch):
    theories = QUANTITIES["slowest_rate"].theories
    right = theories["Fokker-Planck"]

    def wrong(asked):
        return right(replace(asked, problem=sg.Langevin(well, T=0.32)))

    monkeypatch.setitem(theories, "Fokker-Planck", wrong)
    found = sg.crosscheck(LINE, "slowest_rate", grid=BOX)
    assert not found.agrees() and "DISAGREE" in str(found)


def test_questions_that_cannot_be_answered():
    with pytest.raises(ValueError, match="quantity='gap', expected one of"):
        sg.crosscheck(LINE, "gap")
    with pytest.raises(TypeError, match=r"expected a process; type sg.Langevin"):
        sg.crosscheck(well, "mean")
    with pytest.raises(ValueError, match=r'no x0 and no region.*type sg.crosscheck\(problem, "mean_first'):
        sg.crosscheck(LINE, "mean_first_passage")
    with pytest.raises(ValueError, match="no theory that applies"):
        sg.crosscheck(LINE, "mean")
    with pytest.raises(ValueError, match="inside the region"):
        sg.crosscheck(LINE, "mean_first_passage", x0=[2], region=lambda x: x[0] > 1, grid=BOX, dt=0.01)
    assert np.isfinite(float(sg.crosscheck(LINE, "slowest_rate", grid=BOX).best.estimate))
