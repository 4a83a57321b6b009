"""Flows in one dimension by quantiles: exact JKO values, orders, walls, D(x), interactions.

Reference values, exact for the steps tau, were computed in high precision without this package: double well (x² - 1)², T = 1/3, from
N(-1/2, 0.4²); Barenblatt's profile of m = 2 from t = 0.1.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

import sgdyn as sg

START = stats.norm(-0.5, 0.4)
LINE = sg.Grid(((-2.6, 2.6, 1300),))


@sg.potential(dim=1)
def well(x):
    return (x[0] ** 2 - 1) ** 2


@sg.potential(dim=1)
def tilted(x, a=1.0, b=0.0):
    return a * x[0] ** 4 / 4 - b * x[0] ** 2 / 2 + x[0] / 3


def moments(rho):
    """Mean and second moment of a density that is constant in cells."""
    X, w = rho.grid.edges[0], rho.masses
    return w @ (X[1:] + X[:-1]) / 2, w @ (X[1:] ** 2 + X[1:] * X[:-1] + X[:-1] ** 2) / 3


def on(grid, rho):
    """Its masses in the cells of a grid."""
    levels = np.concatenate([[0], np.cumsum(rho.masses)])
    return np.diff(np.interp(grid.edges[0], rho.grid.edges[0], levels, left=0, right=1))


class Barenblatt:
    """t^-1/3 (C - x² t^-2/3/12), the porous medium's flow for m = 2."""

    C, k = 0.3605623925768520955804, 1 / 12
    front = np.sqrt(C / k)

    def __init__(self, t):
        self.scale = t ** (1 / 3)

    def ppf(self, u):
        R = self.front
        depth = [optimize.brentq(lambda d, v=v: self.k * (R * d * d - d**3 / 3) - v, 0, 2 * R, xtol=1e-15) for v in u]
        return (np.array(depth) - R) * self.scale

    def isf(self, u):
        return -self.ppf(u)


def test_double_well_at_tau_a_tenth():
    flow = sg.jko(sg.Langevin(well, 1 / 3), START, tau=0.1, n=5)
    assert flow.method == sg.Quantile(1000)
    assert flow.energies[-1] == pytest.approx(0.06687418197, abs=3e-6)
    assert moments(flow[-1])[0] == pytest.approx(-0.5963383775, abs=3e-6)
    assert flow.w2[0] ** 2 == pytest.approx(0.01210228671239, abs=3e-8)


def test_second_order_in_the_number_of_points():
    exact, errors = np.array([-0.6019376948218599, 0.7795248587841157]), []
    for points in (200, 400, 800):
        flow = sg.jko(sg.Langevin(well, 1 / 3), START, tau=0.05, n=10, method=sg.Quantile(points))
        errors.append(np.abs(moments(flow[-1]) - exact))
    assert np.all(errors[-1] < 3e-6)
    assert np.all(np.abs(np.log2(np.divide(errors[:-1], errors[1:])) - 2) < 0.05)


def test_gaussian_tails_are_of_second_order_too():
    process, start, errors = sg.Langevin(sg.quadratic([[1.0]])), sg.GaussianState([1.0], [[0.5]]), []
    exact = sg.jko(process, start, tau=0.1, n=10)
    for points in (100, 200, 400):
        flow = sg.jko(process, start, tau=0.1, n=10, method=sg.Quantile(points))
        mean, square = moments(flow[-1])
        assert mean == pytest.approx(exact[-1].mean[0], abs=1e-12)
        errors.append([square - mean**2 - exact[-1].covariance[0, 0], flow.w2[0] - exact.w2[0]])
    assert np.all(np.abs(np.log2(np.divide(errors[:-1], errors[1:])) - 2) < 0.05)


def test_the_front_of_barenblatt():
    """The exact JKO front, not that of the equation (2.147229169019), faster than N^-3/2."""
    free, errors = sg.Langevin(sg.quadratic([[0.0]])), []
    for points in (200, 400, 800):
        flow = sg.jko(free, Barenblatt(0.1), tau=0.05, n=20, energy=sg.PorousMedium(2), method=sg.Quantile(points))
        errors.append(abs(flow[-1].grid.edges[0][-1] - 2.122514583391))
        assert flow[-1].grid.edges[0][0] == pytest.approx(-flow[-1].grid.edges[0][-1], abs=1e-9)
    assert errors[-1] < 1.2e-4
    assert np.all(np.log2(np.divide(errors[:-1], errors[1:])) > 1.6)


@pytest.mark.parametrize("process", [
    sg.Langevin(well, 1 / 3),
    sg.Langevin(well, 1 / 3, 0.5),
    sg.Langevin.gibbs(well, 1 / 3, lambda x: np.array([[1 + 0.5 * np.sin(2 * x[0])]])),
    sg.Langevin(well, 1 / 3, lambda x: np.array([[1 + 0.5 * np.sin(2 * x[0])]])),
], ids=["D = 1", "D = 1/2", "Gibbs D(x)", "D(x)"])  # fmt: skip
def test_orders_in_tau_towards_the_fokker_planck_equation(process):
    start = sg.gaussian(LINE, [-0.5], [0.16])
    exact = sg.fokker_planck(process, LINE).evolve(start, 0.4).masses
    for order, least in ((1, 0.9), (2, 1.7)):
        errors = [
            np.abs(
                on(LINE, sg.jko(process, start, tau=0.4 / n, n=n, method=sg.Quantile(1500, order))[-1]) - exact
            ).sum()
            for n in (4, 8)
        ]
        assert np.log2(errors[0] / errors[1]) > least, (order, errors)
    assert errors[-1] < 0.005


@given(a=st.floats(0.1, 3), b=st.floats(-2, 5), D=st.floats(0.1, 4), tau=st.floats(1e-3, 3), T=st.floats(0.02, 2))
def test_energy_falls_by_what_was_paid(a, b, D, tau, T):
    flow = sg.jko(sg.Langevin.gibbs(tilted.replace(a=a, b=b), T, D), START, tau=tau, n=3, method=sg.Quantile(60))
    assert np.all(flow.dissipation >= flow.w2**2 / (2 * tau) - 1e-10 * (1 + np.abs(flow.energies[:-1])))
    for rho in flow:
        assert rho.values.min() > 0
        assert rho.masses.sum() == pytest.approx(1, abs=1e-12)


def test_coordinates_do_not_matter():
    flow = sg.jko(sg.Langevin.gibbs(tilted, 0.4, 0.7), stats.norm(1, 0.5), tau=0.2, n=3, method=sg.Quantile(200))
    stretched = sg.potential(dim=1)(lambda x: (x[0] / 3) ** 4 / 4 + x[0] / 9)
    other = sg.jko(sg.Langevin.gibbs(stretched, 0.4, 6.3), stats.norm(3, 1.5), tau=0.2, n=3, method=sg.Quantile(200))
    np.testing.assert_allclose(other[-1].grid.edges[0], 3 * flow[-1].grid.edges[0], atol=1e-8)
    np.testing.assert_allclose(other.w2, flow.w2, rtol=1e-8)


def test_a_varying_D_is_a_change_of_coordinates():
    """D = cosh² x becomes 1 for y = 2 arctan tanh(x/2), where W2 is the usual distance."""
    process = sg.Langevin.gibbs(well, 0.3, lambda x: np.array([[np.cosh(x[0]) ** 2]]))
    flow = sg.jko(process, START, tau=0.1, n=1)
    first, last = (2 * np.arctan(np.tanh(rho.grid.edges[0] / 2)) for rho in flow)
    e, w = last - first, flow[0].masses
    assert flow.w2[0] ** 2 == pytest.approx(w @ (e[1:] ** 2 + e[1:] * e[:-1] + e[:-1] ** 2) / 3, rel=1e-10)
    assert np.all(flow.dissipation >= flow.w2**2 / 0.2)


def test_long_ways_past_slow_places():
    """From 2.3, where D is a tenth of what it is a little further, one step leads far."""
    U = sg.potential(dim=1)(lambda x: x[0] ** 4 / 4 + 0.5 * x[0] ** 2 + 0.4 * np.sin(3 * x[0]))
    process = sg.Langevin.gibbs(U, 0.016, lambda x: np.array([[1 + 0.9 * np.sin(2 * x[0])]]))
    for tau in (0.05, 0.23, 1.0):
        for start in (stats.norm(0.3, 0.5), stats.norm(2.2, 0.5)):
            flow = sg.jko(process, start, tau=tau, n=3, method=sg.Quantile(120))
            assert np.all(flow.dissipation >= flow.w2**2 / (2 * tau) - 1e-10)


def test_reflecting_walls_hold():
    process, box = sg.Langevin(sg.quadratic([[-2.0]]), 0.5), sg.Grid(((-1, 1, 400),))
    flow = sg.jko(process, sg.gaussian(box, [-0.6], [0.09]), tau=0.5, n=60)
    X = flow[-1].grid.edges[0]
    assert X[0] == -1 and X[-1] == 1
    total = integrate.quad(lambda x: np.exp(2 * x * x), -1, 1)[0]
    assert flow.energies[-1] == pytest.approx(-0.5 * np.log(total), abs=1e-5)
    for walls in ("absorbing", "periodic"):
        with pytest.raises(ValueError, match="reflecting"):
            sg.jko(process, sg.gaussian(sg.Grid(((-1, 1, 40),), walls), [0], [0.1]), tau=0.1, n=1)


def test_interactions_agree_with_the_closed_form():
    process, start = sg.Langevin(sg.quadratic([[1.0]])), sg.GaussianState([1.0], [[0.5]])
    energy = sg.PotentialEnergy(process.U) + sg.Entropy(1.0) + sg.Interaction(sg.quadratic([[2.0]]))
    exact = sg.jko(process, start, tau=0.1, n=5, energy=energy, method=sg.Gaussian())
    errors = []
    for points in (50, 100):
        flow = sg.jko(process, start, tau=0.1, n=5, energy=energy, method=sg.Quantile(points))
        errors.append([flow.energies[-1] - exact.energies[-1], flow.w2[0] - exact.w2[0]])
        assert flow[-1].mean()[0] == pytest.approx(exact[-1].mean[0], abs=1e-10)
    assert np.all(np.abs(np.log2(np.divide(*errors)) - 2) < 0.1)


def test_great_steps_over_a_hill_end():
    flow = sg.jko(sg.Langevin(well, 0.01), stats.norm(0, 0.05), tau=5.0, n=4)
    assert np.all(flow.dissipation >= flow.w2**2 / 10)
    assert max(step.residual for step in flow.evidence) < 1e-9


def test_what_it_is_not_for_is_refused():
    with pytest.raises(ValueError, match="order"):
        sg.Quantile(order=3)
    plane = sg.Langevin(sg.quadratic([1.0, 1.0]))
    with pytest.raises(ValueError, match="Graph"):
        sg.jko(plane, sg.GaussianState([0, 0], np.eye(2)), tau=0.1, n=1, method=sg.Quantile())
    with pytest.raises(TypeError, match="Particles"):
        sg.jko(sg.Langevin(well), np.zeros((5, 1)), tau=0.1, n=1, method=sg.Quantile())
