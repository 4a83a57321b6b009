"""Porous media and interactions on grids: closed forms of Barenblatt, moments that close, other methods, and the inequality of every step."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sgdyn as sg
from sgdyn.density.flows.convolution import convolution
from sgdyn.density.flows.stages import LEAST

TILTED = np.array([[1.0, 0.8], [0.8, 1.0]])
FLAT = sg.potential(dim=1)(lambda x: 0 * x[0])
LINE = sg.potential(dim=1)(lambda x: 0.5 * x[0] ** 2)
BOWL = sg.potential(dim=2)(lambda x: 0.5 * (x[0] ** 2 + x[1] ** 2))
PLANE = sg.landscapes.double_well_2d()


def checked(flow, least=1.0):
    """What every flow must satisfy."""
    scale = 1 + np.abs(flow.energies).max()
    assert np.all(flow.dissipation >= least * flow.w2**2 / (2 * flow.tau) - 1e-11 * scale)
    assert min(rho.values.min() for rho in flow) >= 0
    assert max(abs(rho.masses.sum() - 1) for rho in flow) < 1e-12
    return flow


def parabola(grid, R):
    """Barenblatt's profile for m = 2 in one dimension, 3/4R (1 - x²/R²)+."""
    return sg.Density(grid, np.maximum(1 - (grid.midpoints[0] / R) ** 2, 0)).normalised


@pytest.mark.parametrize("order", [1, 2])
def test_porous_media_spread_as_barenblatt_found(order):
    """d rho/dt = (rho²)'' from a point: R = (9 t)^(1/3)."""
    grid = sg.Grid([(-3, 3, 200)])
    errors = []
    for n in (6, 12):
        problem = sg.Langevin.gibbs(FLAT, T=1.0, D=1.0)
        start = parabola(grid, 0.9 ** (1 / 3))
        flow = sg.jko(problem, start, tau=1 / n, n=n, method=sg.Graph(order), energy=sg.PorousMedium(2.0))
        checked(flow, 1.0 if order == 1 else LEAST)
        errors.append(np.abs(flow[-1].masses - parabola(grid, 9.9 ** (1 / 3)).masses).sum())
    assert errors[1] < (0.01 if order == 1 else 0.006) and errors[0] / errors[1] > 1.7, errors
    x, rho = grid.midpoints[0], flow[-1].values
    assert abs(x[rho > 1e-2 * rho.max()][-1] - 2.147229169) < 0.06  # 9.9^(1/3), the front of the closed form


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("R", [0.6, 2.7])
def test_porous_media_breathe_in_a_bowl(R, order):
    """d rho/dt = (rho²)'' + (x rho)': profiles of Barenblatt with R³ = 3 + (R(0)³ - 3) e^-3t. Growing, mass enters empty cells; shrinking, it
    leaves cells that it must empty."""
    grid, problem = sg.Grid([(-3, 3, 120)]), sg.Langevin(LINE, T=1.0)
    energy = sg.PotentialEnergy(LINE) + sg.PorousMedium(2.0)
    errors = []
    for n in (5, 10):
        flow = sg.jko(problem, parabola(grid, R), tau=0.8 / n, n=n, method=sg.Graph(order), energy=energy)
        checked(flow, 1.0 if order == 1 else LEAST)
        exact = parabola(grid, (3 + (R**3 - 3) * np.exp(-2.4)) ** (1 / 3))
        errors.append(np.abs(flow[-1].masses - exact.masses).sum())
    # growing, the second order is down at the error of the cells, 5e-4
    assert errors[1] < (0.06 if order == 1 else 0.025) and (errors[0] / errors[1] > 1.7 or errors[1] < 6e-4), errors


@pytest.mark.parametrize("order", [1, 2])
def test_porous_media_rest_as_barenblatt_found(order):
    """In |x|²/2 with m = 2: (R² - |x|²)+/4, R³ = 3 in one dimension and R^4 = 8/pi in two; from a place aside."""
    lines, squares = sg.Grid([(-3, 3, 100)]), sg.Grid([(-2, 2, 20)] * 2)
    rho = sg.gaussian(lines, [1.5], [[0.1]])
    energy = sg.PotentialEnergy(LINE) + sg.PorousMedium(2.0)
    flow = checked(sg.jko(sg.Langevin(LINE, T=1.0), rho, tau=3.0, n=8, method=sg.Graph(order), energy=energy), LEAST)
    assert np.abs(flow[-1].masses - parabola(lines, 3 ** (1 / 3)).masses).sum() < 3e-4
    start = sg.gaussian(squares, [0.5, 0.0], 0.1 * np.eye(2))
    energy = sg.PotentialEnergy(BOWL) + sg.PorousMedium(2.0)
    flow = checked(sg.jko(sg.Langevin(BOWL, T=1.0), start, tau=3.0, n=8, method=sg.Graph(order), energy=energy), LEAST)
    exact = np.maximum((8 / np.pi) ** 0.5 - np.sum(squares.centers**2, axis=-1), 0) / 4 * squares.volumes
    assert np.abs(flow[-1].masses - exact).sum() < 3e-3
    R = np.sqrt(np.sum(squares.centers**2, axis=-1))
    assert flow[-1].masses[R > (8 / np.pi) ** 0.25 + 0.2].sum() < 1e-9


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(1, 2), st.floats(-3, 1.5), st.floats(1.2, 5.0), st.floats(-1.5, 1.5), st.floats(0.1, 3.0))
def test_any_porous_medium_in_wells_that_empty_cells(order, log_tau, m, place, T):
    energy = sg.PotentialEnergy(PLANE.U) + sg.PorousMedium(m, T)
    rho = sg.gaussian(sg.Grid([(-2, 2, 12), (-1.5, 1.5, 10)]), [place, 0.0], 0.05 * np.eye(2))
    problem = sg.Langevin.gibbs(PLANE.U, T=1 / 3, D=TILTED)
    flow = sg.jko(problem, rho, tau=10**log_tau, n=2, method=sg.Graph(order), energy=energy)
    checked(flow, 1.0 if order == 1 else LEAST)
    assert max(e.residual for e in flow.evidence) < 1e-9


def test_sums_of_energies_in_two_dimensions():
    """The flow ends where V + f'(rho) is the same in all cells."""
    bowl = sg.potential(dim=2)(lambda x: 0.5 * x[0] ** 2 + x[1] ** 2)
    energy = sg.PotentialEnergy(bowl) + sg.PorousMedium(3.0, T=0.5) + sg.Entropy(0.2)
    problem, rho = sg.Langevin.gibbs(PLANE.U, T=1 / 3, D=TILTED), sg.gaussian(sg.Grid([(-2, 2, 12)] * 2), [-1, 0], 0.09 * np.eye(2))  # fmt: skip
    flow = checked(sg.jko(problem, rho, tau=20.0, n=6, energy=energy))
    masses = flow[-1].masses
    level = energy.potential(flow[-1].grid.centers) + energy.slope(flow[-1].values)
    assert np.sqrt(np.sum(masses * (level - np.sum(masses * level)) ** 2)) < 1e-3


def test_springs_between_all_points():
    """W = |x - y|²/2 at the temperature T: the mean stays, the variance v' = 2 T - 2 v; errors fall as tau."""
    rho, T = sg.gaussian(sg.Grid([(-3, 4, 80)]), [0.7], [[0.2]]).normalised, 0.5
    exact = T + (rho.cov()[0, 0] - T) * np.exp(-2)
    errors = []
    for n in (4, 8):
        energy = sg.Entropy(T) + sg.Interaction(LINE)
        flow = checked(sg.jko(sg.Langevin(FLAT, T=T), rho, tau=1 / n, n=n, method=sg.Graph(), energy=energy))
        assert flow[-1].mean()[0] == pytest.approx(rho.mean()[0], abs=2e-4)  # walls
        errors.append(abs(flow[-1].cov()[0, 0] - exact))
    assert errors[1] < 0.01 and errors[0] / errors[1] > 1.7, errors


def test_aggregation_agrees_with_quantiles():
    """A non-convex attraction against a porous medium, on a grid and by quantiles, which share nothing."""
    W = sg.potential(dim=1)(lambda x: -2 * np.exp(-(x[0] ** 2) / 2))
    energy = sg.PorousMedium(2.0, T=0.3) + sg.Interaction(W)
    rho = sg.gaussian(sg.Grid([(-4, 4, 100)]), [0.7], [[0.8]])
    one = checked(sg.jko(sg.Langevin(FLAT, T=1.0), rho, tau=0.1, n=3, method=sg.Graph(), energy=energy))
    other = sg.jko(sg.Langevin(FLAT, T=1.0), rho, tau=0.1, n=3, method=sg.Quantile(60), energy=energy)
    np.testing.assert_allclose(one.energies, other.energies, atol=4e-3)
    assert one.energies[0] - one.energies[-1] > 0.03


@pytest.mark.parametrize(("energy", "n"), [
    (sg.PorousMedium(3.0, T=0.3) + sg.PotentialEnergy(LINE), 4),
    (sg.PorousMedium(1.5, T=0.3) + sg.PotentialEnergy(LINE), 4),
    (sg.PorousMedium(2.0, T=0.3) + sg.Interaction(sg.potential(dim=1)(lambda x: -2 * np.exp(-(x[0] ** 2) / 2))), 2),
])  # fmt: skip
def test_the_second_order_of_porous_media_and_interactions(energy, n):
    """Differences of flows of twice as many steps fall by four."""
    rho, ends = sg.gaussian(sg.Grid([(-3, 3, 40)]), [0.3], [[0.8]]), []
    for steps in (n, 2 * n, 4 * n):
        flow = sg.jko(sg.Langevin(FLAT, T=1.0), rho, tau=0.3 / steps, n=steps, method=sg.Graph(2), energy=energy)
        ends.append(checked(flow, LEAST)[-1].masses)
    first, second = (np.abs(a - b).sum() for a, b in pairwise(ends))
    assert np.log2(first / second) > 1.75, (first, second)


def test_great_steps_of_second_order_towards_a_flock():
    energy = sg.Entropy(0.3) + sg.Interaction(sg.potential(dim=1)(lambda x: -2 * np.exp(-(x[0] ** 2) / 2)))
    rho = sg.gaussian(sg.Grid([(-3, 3, 40)]), [0.3], [[0.8]])
    checked(sg.jko(sg.Langevin(FLAT, T=1.0), rho, tau=30.0, n=3, method=sg.Graph(2), energy=energy), LEAST)


@pytest.mark.parametrize("tau", [0.1, 100.0])
def test_flocks_come_to_rest(tau):
    """Repulsion and attraction in two dimensions with a full D: T log rho + W * rho is level at the end."""
    W = sg.potential(dim=2)(lambda x: np.exp(-2 * (x[0] ** 2 + x[1] ** 2)) - 2 * np.exp(-(x[0] ** 2 + x[1] ** 2) / 2))
    energy = sg.Entropy(0.25) + sg.Interaction(W)
    grid = sg.Grid([(-2, 2, 16)] * 2)
    problem = sg.Langevin.gibbs(PLANE.U, T=0.25, D=TILTED)
    flow = checked(sg.jko(problem, sg.gaussian(grid, [0.3, 0.0], 0.3 * np.eye(2)), tau=tau, n=6, energy=energy))
    if tau > 1:
        masses = flow[-1].masses
        level = energy.slope(flow[-1].values) + convolution(W, grid)(masses.ravel()).reshape(grid.shape)
        assert np.sqrt(np.sum(masses * (level - np.sum(masses * level)) ** 2)) < 1e-3


def test_convolutions_are_sums_over_pairs():
    W = sg.potential(dim=2)(lambda x: np.exp(-(x[0] ** 2)) * np.cos(x[1]) + 0.1 * x[0] * x[1])
    rng = np.random.default_rng(0)
    for axes in ([(-1, 2, 7), (0, 1, 4)], [np.array([-1.0, 0.0, 0.3, 1.0]), np.array([0.0, 0.4, 1.0])]):
        grid = sg.Grid(axes)
        masses, x = rng.random(grid.size), grid.centers.reshape(-1, 2)
        np.testing.assert_allclose(convolution(W, grid)(masses), [W(at - x) @ masses for at in x], atol=1e-13)
    with pytest.raises(ValueError, match="unequal"):
        convolution(W, sg.Grid([np.r_[0.0, np.linspace(1, 2, 100)], np.linspace(0, 1, 60)]))
