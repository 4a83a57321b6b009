"""Transition rates and reactive currents."""

import numpy as np
import pytest

import sgdyn as sg
from sgdyn.density.reaction import Transitions
from sgdyn.region import Region
from tests.density.processes import LEFT, NARROW, RIGHT, WIDE, line, plane, rotating, slope

KNOWN = {"wide": (WIDE, 0.01020257054444), "narrow": (NARROW, 0.0151312258747)}


@pytest.mark.parametrize("name", KNOWN)
def test_full_tensors(name):
    """Finite elements of order 9 on [-2, 2]²."""
    D, rate = KNOWN[name]
    found = plane(D, 80).rate(LEFT, RIGHT)
    assert abs(found.pull(rate)) < 1 and found.value == pytest.approx(rate, rel=3e-4)


def test_rotating_tensor_with_anisotropy_50():
    found = plane(rotating, 160).rate(LEFT, RIGHT)
    assert abs(found.pull(0.0131850794734)) < 3 and found.value == pytest.approx(0.0131850794734, rel=2e-3)


def test_muller_brown():
    """Curved finite elements of order 9; P1 elements of mar1akc/transition_path_theory_FEM_distmesh: 0.00492646, share 0.97458698."""
    g = sg.fokker_planck(sg.landscapes.muller_brown().problem(10.0), sg.Grid([(-1.6, 1.2, 112), (-0.4, 2.1, 100)]))
    a, b = (
        (lambda x: (x[0] + 0.558) ** 2 + (x[1] - 1.442) ** 2 < 0.01),
        (lambda x: (x[0] - 0.623) ** 2 + (x[1] - 0.028) ** 2 < 0.01),
    )
    found = g.rate(a, b)
    assert abs(found.pull(0.0049143023066)) < 1 and found.value == pytest.approx(0.0049143023066, rel=1e-4)
    assert found.value / g.rate(a, b, once_in_a=True).value == pytest.approx(0.97458698, rel=1e-4)


def test_a_line_by_quadrature():
    """nu = 1/(Z beta int_a^b exp(U/T)), and by symmetry a was last half of the time."""
    x, w = np.polynomial.legendre.leggauss(60)
    nu = 1 / (1.12075893560432518 * 3 * np.sum(w * np.exp(3 * (x**2 - 1) ** 2)))
    g = line(100)
    a, b = (lambda x: x[0] < -1), (lambda x: x[0] > 1)
    assert abs(g.rate(a, b).pull(nu)) < 1 and abs(g.rate(a, b, once_in_a=True).pull(2 * nu)) < 1
    current = g.reactive_current(a, b)
    between = np.abs(g.grid.midpoints[0]) < 0.9
    one = current.values[between, 0]
    np.testing.assert_allclose(one, one[0], rtol=1e-10)
    raw = [line(n).reactive_current(a, b).values[n // 2, 0] - nu for n in (50, 100, 200)]
    assert slope(raw) == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize("process", ["maier-stein", "chaudhari-soatto", "kinetic", "narrow"])
def test_what_leaves_a_arrives_in_b(process):
    """The current through any line between a and b is nu, and it has no sources between."""
    if process == "narrow":
        g = plane(NARROW, 40)
    elif process == "kinetic":
        problem = sg.Momentum(sg.landscapes.double_well().U, T=0.2)
        g = sg.fokker_planck(problem, sg.Grid([(-2, 2, 40), (-2.5, 2.5, 40)]))
    else:
        landscape = sg.landscapes.maier_stein() if process == "maier-stein" else sg.landscapes.chaudhari_soatto(0.5)
        g = sg.fokker_planck(
            landscape.problem(0.2 if process == "maier-stein" else 1.0), sg.Grid([(-2, 2, 40), (-2, 2, 40)])
        )
    a, b = (lambda x: x[0] < -0.8), (lambda x: x[0] > 0.8)
    nu, back = g.rate(a, b), g.rate(b, a)
    assert nu.value == pytest.approx(back.value, rel=1e-8)
    flow = g.reactive_current(a, b)
    inside = np.abs(g.grid.midpoints[0]) < 0.7
    scale = np.abs(g.rates.diagonal()).max() * flow.density.values.max()
    np.testing.assert_allclose(flow.divergence[inside], 0, atol=1e-13 * scale)
    through = (flow.values[inside, :, 0] * g.grid.widths[1]).sum(axis=1)
    np.testing.assert_allclose(through, nu.value, rtol=0.1)
    assert flow.density.masses.sum() < 0.5 and np.all(flow.density.values >= 0)


def test_currents_that_keep_the_density_speed_transitions_up():
    rates = [
        sg.fokker_planck(sg.landscapes.chaudhari_soatto(s).problem(), sg.Grid([(-4, 4, 40), (-4, 4, 40)])).rate(
            lambda x: x[0] < -1, lambda x: x[0] > 1
        )
        for s in (0.0, 0.5, 1.5)
    ]
    assert rates[0].value < rates[1].value < rates[2].value


def test_forward_and_backward_transitions_balance_to_second_order_where_the_density_is_unknown():
    process, gaps = sg.landscapes.maier_stein().problem(0.2), []
    a, b = (Region.of(side, 2) for side in (lambda x: x[0] + 0.1 * x[1] < -0.83, lambda x: x[0] - 0.2 * x[1] > 0.77))
    for n in (30, 60, 120):
        g = sg.fokker_planck(process, sg.Grid([(-2, 2, n), (-1.5, 1.5, n)]))
        gaps.append(Transitions(g, a, b).frequency / Transitions(g, b, a).frequency - 1)
    assert abs(gaps[-1]) < 5e-4 and slope(gaps) > 1.5
    assert g.rate(a, b).agrees(g.rate(b, a), 1)
