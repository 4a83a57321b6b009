"""Escape times on five landscapes: every theory that applies in one table, pulls within 4."""

import numpy as np
import pytest

import sgdyn as sg

T = 0.08
A = np.array([[1.0, 0.6], [0.6, 1.0]])
plane = sg.potential(dim=2)(lambda x: x[0] ** 4 / 4 - x[0] ** 2 / 2 + x[1] ** 2)
narrows = sg.potential(dim=2)(
    lambda x: x[0] ** 4 / 4 - x[0] ** 2 / 2 + 2 * (1 + 9 * np.exp(-2 * x[0] ** 2)) * x[1] ** 2
)
GRID = sg.Grid([(-1.9, 1.9, 120), (-1.3, 1.3, 60)])
WELL = sg.landscapes.double_well()
LANDSCAPES = {
    "reversible": (WELL.problem(T), sg.Grid([(-2.2, 2.2, 200)]), [-1.0], 0.02),
    "anisotropic": (sg.Langevin.gibbs(plane, T, A), GRID, [-1.0, 0.0], 0.02),
    "entropic": (sg.Langevin(narrows, T), sg.Grid([(-1.9, 1.9, 120), (-1.0, 1.0, 90)]), [-1.0, 0.0], 0.005),
    "curl": (
        sg.Langevin(plane, T, 1.0, lambda x: np.array([-2 * x[1], x[0] ** 3 - x[0]])),
        GRID,
        [-1.0, 0.0],
        0.02,
    ),
    "underdamped": (sg.Momentum(WELL.U, T, 1.0), sg.Grid([(-2, 2, 160), (-1.8, 1.8, 160)]), [-1.0, 0.0], 0.05),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n == "entropic" else n for n in LANDSCAPES]
)
def test_every_theory_of_the_escape_time_agrees(name):
    problem, grid, x0, dt = LANDSCAPES[name]
    found = sg.crosscheck(
        problem, "escape time", x0=x0, region=lambda x: x[0] > 0.9, grid=grid, dt=dt, n_paths=1000, seed=1
    )
    theories = {row.theory for row in found.rows}
    expected = {"Fokker-Planck", "Kramers", "simulation"}
    if name != "underdamped":
        expected |= {"adaptive multilevel splitting"}
    if name == "reversible":
        expected |= {"exact quadrature", "Chebyshev", "Kramers, leading order"}
    assert theories == expected, found
    assert found.agrees(4.0), found
    assert found["Kramers"].error < 0.6 * float(found["Kramers"])


def test_reasons_are_given_where_there_is_no_way():
    found = sg.crosscheck(
        WELL.problem(T), "escape time", x0=[-1.0], region=lambda x: x[0] > 1.2, grid=sg.Grid([(-2, 2, 100)])
    )
    assert "no other one" in found.excluded["Kramers"]
    without = sg.crosscheck(WELL.problem(T), "escape time", x0=[-1.0], region=lambda x: x[0] > 0.9)
    assert "type grid=" in without.excluded["Kramers"] and len(without.rows) == 1


def test_a_rare_escape_is_left_to_those_that_can():
    """A barrier of 12.5 T: direct simulation would take minutes and is not begun; the others agree."""
    found = sg.crosscheck(
        WELL.problem(0.02), "escape time", x0=[-1.0], region=lambda x: x[0] > 0.9, grid=sg.Grid([(-2, 2, 400)]), dt=0.01, seed=1
    )  # fmt: skip
    assert "event is rare" in found.excluded["simulation"]
    assert {"Kramers", "adaptive multilevel splitting", "exact quadrature"} <= {row.theory for row in found.rows}
    assert found.agrees(4.0), found
