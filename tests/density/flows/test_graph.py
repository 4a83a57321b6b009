"""Gradient flows on grids: against generators, closed forms, the inequalities that every step must satisfy, and themselves with shorter steps."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sgdyn as sg
from sgdyn.density.flows.linearised import Descent
from sgdyn.density.flows.network import Network, logarithmic
from sgdyn.density.flows.stages import LEAST, STAGES

PLANE = sg.landscapes.double_well_2d()
TILTED = np.array([[1.0, 0.8], [0.8, 1.0]])
WELL = sg.potential(dim=1)(lambda x: (x[0] ** 2 - 1) ** 2)


def turning(x):
    return np.array([[1 + 0.5 * np.sin(x[0]), 0.3 * np.cos(x[1])], [0.3 * np.cos(x[1]), 0.6]])


def problems():
    return {
        "identity": PLANE.problem(1 / 3),
        "tilted": sg.Langevin.gibbs(PLANE.U, T=1 / 3, D=TILTED),
        "varying": sg.Langevin.gibbs(PLANE.U, T=1 / 3, D=turning),
    }


def start(cells=30):
    return sg.gaussian(sg.Grid([(-2, 2, cells)] * 2), [-1, 0], 0.09 * np.eye(2))


@pytest.mark.parametrize("name", list(problems()))
@pytest.mark.parametrize("order", [1, 2])
def test_orders_against_the_exponential_of_the_generator(name, order):
    problem, rho = problems()[name], start(16)
    exact = sg.fokker_planck(problem, rho.grid).evolve(rho, 0.5)
    errors = []
    for n in (10, 20, 40):
        flow = sg.jko(problem, rho, tau=0.5 / n, n=n, method=sg.Graph(order))
        errors.append(np.abs(flow[-1].masses - exact.masses).sum())
        assert max(e.residual for e in flow.evidence) < 2e-12
    slopes = np.log2(np.divide(errors[:-1], errors[1:]))
    assert abs(slopes[-1] - order) < 0.25, (errors, slopes)
    assert errors[-1] < (0.01 if order == 1 else 2e-4)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    st.integers(1, 2),
    st.floats(-3, 2),
    st.floats(-0.95, 0.95),
    st.floats(0.05, 2.0),
    st.floats(0.3, 3.0),
    st.tuples(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5)),
    st.booleans(),
)
def test_energy_falls_and_mass_stays(order, log_tau, slant, T, steep, place, varying):
    tau = 10.0**log_tau
    U = sg.potential(dim=2)(
        lambda x: steep * (x[0] ** 4 / 4 - x[0] ** 2 + x[1] ** 2 * (1 + 0.5 * x[0]) + np.sin(3 * x[1]))
    )

    def D(x):
        return np.array([[1 + 0.3 * np.sin(x[0]), slant * 0.7], [slant * 0.7, 0.8 + 0.2 * np.cos(x[0] + x[1])]])

    matrix = np.array([[1.0, 0.5 * slant], [0.5 * slant, 0.3]])
    problem = sg.Langevin.gibbs(U, T=T, D=D if varying and abs(slant) < 0.8 else matrix)
    rho = sg.gaussian(sg.Grid([(-2, 2, 14), (-2, 2, 12)]), place, 0.05 * np.eye(2)).normalised
    flow = sg.jko(problem, rho, tau=tau, n=3, method=sg.Graph(order))
    least = 1.0 if order == 1 else LEAST
    scale = np.abs(flow.energies).max()
    assert np.all(flow.dissipation >= least * flow.w2**2 / (2 * tau) - 1e-10 * scale)
    for after, evidence in zip(flow[1:], flow.evidence, strict=True):
        assert after.values.min() >= 0 and (
            order == 2 or after.values.min() > 0
        )  # order 2 may fall below the smallest float
        assert abs(after.masses.sum() - 1) < 1e-12
        assert evidence.residual < 1e-11


@pytest.mark.parametrize("name", list(problems()))
def test_steepest_descent_of_the_entropy_is_the_generator(name):
    """L(p) log u = -Q'p, and what the energy loses is the sum of conductance, mobility and (rise of log u)², both to rounding."""
    problem, rho = problems()[name], start()
    generator = sg.fokker_planck(problem, rho.grid)
    network = Network(generator)
    p = rho.masses.ravel() + 1e-5
    log_u = np.log(p) - network.log_masses
    mobility = Descent(network, 0.1).mobility(p)
    flow = generator.rates.T @ p
    np.testing.assert_allclose(-network.laplacian(mobility) @ log_u, flow, atol=1e-12 * np.abs(flow).max())
    lost = mobility @ network.rise(log_u) ** 2
    assert lost == pytest.approx(-(log_u @ flow), rel=1e-12)
    assert np.all(logarithmic(np.array([0.0]))[0] == 1)


def test_the_logarithmic_mean():
    x = np.array([1e-3, 0.05, 0.0999, 0.1001, 2.0, 30.0])
    S, slope, twice = logarithmic(x)
    np.testing.assert_allclose(S, (np.exp(x / 2) - np.exp(-x / 2)) / x, rtol=1e-12)
    step = 1e-5
    np.testing.assert_allclose(slope, (logarithmic(x + step)[0] - logarithmic(x - step)[0]) / (2 * step), rtol=1e-6)
    np.testing.assert_allclose(twice, 2 * slope / x, rtol=1e-10)


def in_one_dimension(cells=9, tau=0.05):
    """A descent with its objective as a function of p: in one dimension p determines the flows."""
    rho = sg.gaussian(sg.Grid([(-2, 2, cells)]), [-0.5], [[0.2]]).normalised
    network = Network(sg.fokker_planck(sg.Langevin(WELL, T=1 / 3), rho.grid))
    descent, q = Descent(network, tau), rho.masses.ravel()
    _, _, w, fixed = descent._weights(descent.predicted(q))
    forth = network.generator.links[2] * np.exp(network.log_masses[:-1])

    def objective(p):
        u = np.exp(np.log(p) - network.log_masses)
        theta = (u[:-1] - u[1:]) / np.log(u[:-1] / u[1:])
        flows = np.cumsum(q - p)[:-1]
        squared = np.sum(flows**2 / (forth * w * theta + network.coupling * fixed))
        return np.sum(p * np.log(u)) + squared / (2 * tau), squared

    return descent, q, objective


def test_a_step_is_the_minimum():
    descent, q, objective = in_one_dimension()
    found = descent(q)
    lowest, squared = objective(found.masses)
    assert found.squared == pytest.approx(squared, rel=1e-9)
    rng, rises = np.random.default_rng(0), []
    for _ in range(20):
        change = rng.normal(size=len(q)) * found.masses
        change -= found.masses * change.sum() / found.masses.sum()
        up, down = (objective(found.masses + sign * 1e-3 * change)[0] - lowest for sign in (1, -1))
        rises.append(up + down)
        assert abs(up - down) < 0.02 * (up + down)  # the slope is 0, the rest is the third derivative
    assert min(rises) > 0


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("tau", [1e-3, 0.1, 10.0])
def test_the_gibbs_density_stays(order, tau):
    problem = problems()["varying"]
    still = sg.fokker_planck(problem, start().grid).stationary()
    flow = sg.jko(problem, still, tau=tau, n=1, method=sg.Graph(order))
    np.testing.assert_allclose(flow[-1].masses, still.masses, atol=1e-13)
    assert flow.w2[0] < 1e-6


def test_long_flows_end_at_gibbs():
    problem = problems()["tilted"]
    flow = sg.jko(problem, start(), tau=40.0, n=14)
    assert isinstance(flow.method, sg.Graph)
    still = sg.fokker_planck(problem, start().grid).stationary()
    assert np.abs(flow[-1].masses - still.masses).sum() < 1e-5


@pytest.mark.parametrize("order", [1, 2])
def test_other_coordinates_change_nothing(order):
    """x -> A x, D -> A D A' with a diagonal A, and axes in the other order."""
    A = np.diag([2.0, 0.5])
    rho = start(20)
    there = sg.Grid([(-4, 4, 20), (-1, 1, 20)])
    moved = sg.Langevin.gibbs(
        sg.potential(dim=2)(lambda x: ((x[0] / 2) ** 2 - 1) ** 2 + 2 * (2 * x[1]) ** 2), T=1 / 3, D=A @ TILTED @ A
    )
    here = sg.Langevin.gibbs(sg.potential(dim=2)(lambda x: (x[0] ** 2 - 1) ** 2 + 2 * x[1] ** 2), T=1 / 3, D=TILTED)
    one = sg.jko(here, rho, tau=0.1, n=3, method=sg.Graph(order))
    other = sg.jko(moved, sg.Density(there, rho.values), tau=0.1, n=3, method=sg.Graph(order))
    np.testing.assert_allclose(other[-1].masses, one[-1].masses, atol=1e-11)
    np.testing.assert_allclose(other.w2, one.w2, rtol=1e-7)


def test_stages_lower_the_energy():
    """The quadratic form of the stages in the differences of successive densities, minimised over those with the same sum."""
    form = np.zeros((3, 3))
    for m, weights in enumerate(STAGES):
        for i, weight in enumerate(weights):
            for sign, last in ((1, m + 1), (-1, m)):
                way = ((np.arange(3) >= i) & (np.arange(3) < last)).astype(float)
                form += sign * weight * np.outer(way, way)
    assert np.linalg.eigvalsh(form).min() > 0
    assert 1 / np.linalg.solve(form, np.ones(3)).sum() >= LEAST


def test_curls_in_turns():
    """Gradient and curl by turns: of the order of the steps, and stated; without leave it is refused."""
    problem = sg.landscapes.chaudhari_soatto(1.5).problem()
    rho = sg.gaussian(sg.Grid([(-3, 3, 16)] * 2), [-1, 0.5], 0.2 * np.eye(2)).normalised
    with pytest.raises(ValueError, match=r"fokker_planck|simulate"):
        sg.jko(problem, rho, tau=0.1, n=1)
    ends = [sg.jko(problem, rho, tau=0.5 / n, n=n, split="curl") for n in (8, 16, 32)]
    first, second = (np.abs(one[-1].masses - two[-1].masses).sum() for one, two in pairwise(ends))
    assert first / second == pytest.approx(2, rel=0.15)
    assert ends[0].split == "curl" and any("tau" in text and "curl" in text for text in ends[0].warnings)


def test_turning_in_a_bowl():
    """A linear process with a rotation against the generator of all of it and its mean e^-t (cos t, sin t): second order in the cell width."""
    bowl = sg.potential(dim=2)(lambda x: 0.5 * (x[0] ** 2 + x[1] ** 2))
    problem = sg.Langevin(bowl, T=0.4, curl=lambda x: np.array([-x[1], x[0]]))
    mean = np.exp(-0.8) * np.array([np.cos(0.8), np.sin(0.8)])
    errors, shifts = [], []
    for cells in (12, 24, 48):
        rho = sg.gaussian(sg.Grid([(-3, 3, cells)] * 2), [1, 0], 0.2 * np.eye(2)).normalised
        flow = sg.jko(problem, rho, tau=0.1, n=8, split="curl", method=sg.Graph(order=2))
        exact = sg.fokker_planck(problem, rho.grid).evolve(rho, 0.8)
        errors.append(np.abs(flow[-1].masses - exact.masses).sum())
        shifts.append(np.abs(flow[-1].mean() - mean).max())
        assert flow[-1].values.min() >= 0 and abs(flow[-1].masses.sum() - 1) < 1e-12
        assert flow.split == "curl" and flow.warnings
    ratios = np.divide(errors[:-1], errors[1:])
    assert np.all(ratios > 3.4), errors
    assert errors[-1] < 0.003 and shifts[-1] < 0.002


def test_going_on_gives_the_identical_bits(tmp_path):
    problem, rho = problems()["tilted"], start(14)
    whole = sg.jko(problem, rho, tau=0.1, n=4)
    sg.jko(problem, rho, tau=0.1, n=2, checkpoint=tmp_path)
    later = sg.jko(problem, rho, tau=0.1, n=4, checkpoint=tmp_path)
    for a, b in zip(whole, later, strict=True):
        assert np.array_equal(a.values, b.values)
    assert np.array_equal(whole.energies, later.energies) and np.array_equal(whole.w2, later.w2)


def test_what_graphs_refuse():
    problem, rho = problems()["identity"], start(10)
    walls = sg.Density(sg.Grid(rho.grid.axes, "absorbing"), rho.values)
    with pytest.raises(ValueError, match="reflecting"):
        sg.jko(problem, walls, tau=0.1, n=1)
    singular = sg.Interaction(sg.potential(dim=2)(lambda x: -np.log(x[0] ** 2 + x[1] ** 2)))
    with pytest.raises(ValueError, match="finite"):
        sg.jko(problem, rho, tau=0.1, n=1, method=sg.Graph(), energy=sg.Entropy(1.0) + singular)
    with pytest.raises(ValueError, match="Entropy"):
        sg.jko(problem, rho, tau=0.1, n=1, method=sg.Graph(), energy=sg.PotentialEnergy(PLANE.U))
    with pytest.raises(TypeError, match="gaussian"):
        sg.jko(problem, np.zeros((4, 2)), tau=0.1, n=1, method=sg.Graph())
    with pytest.raises(ValueError, match="order=3"):
        sg.Graph(order=3)
