"""Passage times, committors, splitting and quasi-stationary states against closed forms and high-precision values."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sgdyn as sg
from sgdyn.codegen.formula import traced
from sgdyn.density import cuts
from sgdyn.density.elimination import Elimination
from sgdyn.density.reaction import Transitions
from sgdyn.density.solvers import Solver
from sgdyn.region import Region
from tests.density.processes import LEFT, LINE, NARROW, RIGHT, WIDE, flat, line, plane, quartic, rotating, slope

# 1-D: (x² - 1)² at T = 1/3 on [-2, 2], quadrature with 60 digits
MFPT, HALF, COMMITTOR = 26.64008779811409394, 12.69835005806127497, 0.21807492695638999328


def test_quartic_double_well():
    g = line(100)
    assert abs(g.mean_first_passage(lambda x: x[0] > 1, [-1]).pull(MFPT)) < 1
    assert abs(g.mean_first_passage(lambda x: x[0] > 0, [-1]).pull(HALF)) < 1
    assert np.abs(g.committor(lambda x: x[0] < -1, lambda x: x[0] > 1).at([-0.25]).pull(COMMITTOR)) < 1
    found = line(400).mean_first_passage(lambda x: x[0] > 1, [-1])
    assert found.value == pytest.approx(MFPT, rel=1e-6) and found.error < 3e-4 * MFPT
    assert str(found) == "26.6401 ± 0.0052  (Fokker-Planck, 400 cells)"


def raw(region, x0, grids=(50, 100, 200, 400)):
    """Errors of the passage time on one grid each."""
    exact = sg.mean_first_passage_1d(LINE, x0, region, wall=-2.0).value
    return [line(n).mean_first_passage(lambda x: x[0] > region).interpolated(np.array([x0])) - exact for n in grids]


def test_order_two_and_what_cutting_does(monkeypatch):
    assert slope(raw(1.0, -1.0)) == pytest.approx(2, abs=0.15)
    whole = cuts._ends
    monkeypatch.setattr(cuts, "_ends", lambda *a: (lambda ends, theta: (ends, np.ones_like(theta)))(*whole(*a)))
    assert slope(raw(1.0, -1.0)) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(
    ("D", "time", "narrow"), [(WIDE, 51.7101035064, False), (NARROW, 37.8279340343, True)], ids=["wide", "narrow"]
)
def test_full_tensors(D, time, narrow):
    """Finite elements of order 9 on [-2, 2]², two meshes."""
    g = plane(D, 80)
    found = g.mean_first_passage(RIGHT, [-1, 0])
    assert abs(found.pull(time)) < 1 and found.value == pytest.approx(time, rel=2e-4)
    raw = [plane(D, n).mean_first_passage(RIGHT).interpolated(np.array([-1.0, 0.0])) - time for n in (40, 80, 160)]
    assert slope(raw) == pytest.approx(2, abs=0.15)
    if narrow:
        assert abs(g.committor(LEFT, RIGHT).at([0, 0.5]).pull(0.221198987302)) < 1


def test_long_edges_that_jump_into_a_region_must_be_cut(monkeypatch):
    whole = cuts._ends
    monkeypatch.setattr(cuts, "_ends", lambda *a: (lambda ends, theta: (ends, np.ones_like(theta)))(*whole(*a)))
    x0 = np.array([-1.0, 0.0])
    raw = [plane(NARROW, n).mean_first_passage(RIGHT).interpolated(x0) - 37.8279340343 for n in (80, 160, 320)]
    assert 0.7 < slope(raw) < 1.3


def test_rotating_tensor_with_anisotropy_50():
    g = plane(rotating, 160)
    time, q = g.mean_first_passage(RIGHT, [-1, 0]), g.committor(LEFT, RIGHT).at([0, 0.5])
    assert abs(time.pull(47.5668269)) < 1.5 and abs(q.pull(0.0619895715)) < 1
    assert time.value == pytest.approx(47.5668269, rel=2e-3) and q.value == pytest.approx(0.0619895715, rel=2e-3)


def test_muller_brown_and_maier_stein():
    muller = sg.fokker_planck(sg.landscapes.muller_brown().problem(10.0), sg.Grid([(-1.6, 1.2, 112), (-0.4, 2.1, 100)]))
    found = muller.mean_first_passage(lambda x: (x[0] - 0.623) ** 2 + (x[1] - 0.028) ** 2 < 0.01, [-0.558, 1.442])
    assert abs(found.pull(198.314329567)) < 1 and found.value == pytest.approx(198.314329567, rel=1e-4)
    landscape = sg.landscapes.maier_stein()
    g = sg.fokker_planck(landscape.problem(0.1), sg.Grid([(-1.8, 1.8, 90), (-1.2, 1.2, 60)]))
    found = g.mean_first_passage(lambda x: x[0] >= 0, [-1, 0])
    assert abs(found.pull(landscape.answer("mean passage time (-1, 0) -> x0 >= 0", 0.1))) < 1


def free_particle(n, boundary="reflecting"):
    return sg.fokker_planck(sg.Langevin(flat), sg.Grid([(0, 1, n)], boundary=boundary))


def test_moments_of_the_free_particle():
    """E tau = (L² - x²)/2, E tau² = (5 L⁴ - 6 L² x² + x⁴)/12 from a reflecting wall at 0."""
    L, x = 0.9, np.array([[0.0], [0.31], [0.62], [0.885]])
    found = free_particle(61).mean_first_passage(lambda x: x[0] > 0.9, x, moments=2)
    y = x[:, 0]
    exact = np.stack([(L**2 - y**2) / 2, (5 * L**4 - 6 * L**2 * y**2 + y**4) / 12], axis=-1)
    assert found.value.shape == (4, 2)
    np.testing.assert_allclose(found.value, exact, atol=3e-4)
    assert np.all(np.abs(found.pull(exact)) < 3)


def test_quasi_stationary_state_of_the_free_particle():
    g = free_particle(101)
    found = g.quasi_stationary(lambda x: x[0] > 0.9)
    assert abs(found.rate.pull((np.pi / 1.8) ** 2)) < 3 and found.rate.value == pytest.approx(
        (np.pi / 1.8) ** 2, rel=1e-4
    )
    x = g.grid.midpoints[0]
    exact = np.where(x < 0.9, np.pi / 1.8 * np.cos(np.pi * x / 1.8), 0)
    np.testing.assert_allclose(found.density.values, exact, atol=1e-3)
    assert found.density.masses.sum() == pytest.approx(1)
    walls = free_particle(50, "absorbing").quasi_stationary()
    assert walls.rate.value == pytest.approx(np.pi**2, rel=1e-5)


def test_absorbing_walls_end_paths_and_lose_them():
    g = free_particle(40, "absorbing")
    assert g.mean_first_passage(None, [0.3]).value == pytest.approx(0.3 * 0.7 / 2, rel=1e-6)
    q = g.splitting([lambda x: x[0] < 0.2, lambda x: x[0] > 0.5])
    np.testing.assert_allclose(q.at([[0.3], [0.1], [0.75]]).value, [[2 / 3, 1 / 3], [1, 0], [0, 1]], atol=1e-9)
    half = g.splitting([lambda x: np.abs(x[0] - 0.5) < 0.05, lambda x: np.abs(x[0] - 0.2) < 0.05])
    np.testing.assert_allclose(half.at([[0.775], [0.3]]).value, [[0.5, 0], [0.25, 0.75]], atol=1e-9)
    with pytest.raises(ValueError, match="absorbing walls"):
        g.committor(lambda x: x[0] < 0.2, lambda x: x[0] > 0.5, backward=True)


def test_periodic_axes_are_glued():
    """A ring of length 1 with a target of width 0.1 that lies over the seam: E tau = y (0.9 - y)/2."""
    g = free_particle(64, "periodic")
    found = g.mean_first_passage(lambda x: (x[0] < 0.05) | (x[0] > 0.95), [[0.06], [0.5]])
    np.testing.assert_allclose(found.value, [0.01 * 0.89 / 2, 0.45**2 / 2], rtol=2e-3)
    middle = g.mean_first_passage(lambda x: np.abs(x[0] - 0.5) < 0.05, [[0.0], [0.001], [0.999]])
    np.testing.assert_allclose(middle.value, [0.45**2 / 2, 0.449 * 0.451 / 2, 0.449 * 0.451 / 2], rtol=1e-6)


@pytest.mark.parametrize("D", [1.0, NARROW])
def test_a_region_between_two_cells_is_not_jumped_over(D):
    problem = sg.Langevin.gibbs(sg.landscapes.double_well_2d().U, T=1 / 3, D=D)
    g = sg.fokker_planck(problem, sg.Grid([(-2, 2, 40), (-2, 2, 40)]))
    thin = g.mean_first_passage(lambda x: np.abs(x[0] - 0.1) < 1e-3, [-1, 0])
    thick = g.mean_first_passage(lambda x: x[0] > 0.099, [-1, 0])
    assert thin.value == pytest.approx(thick.value, rel=1e-9)


def test_values_near_a_boundary_do_not_mix_its_sides():
    wall = lambda x: np.abs(x[0] - 0.1) < 1e-3
    g = sg.fokker_planck(sg.Langevin(sg.quadratic([0.0, 0.0])), sg.Grid([(-1, 1, 40), (0, 1, 20)]))
    time = g.mean_first_passage(wall)
    x = np.array([[0.09, 0.5], [0.105, 0.5], [-0.3, 0.52], [0.1, 0.3]])
    exact = lambda x: np.where(x < 0.1, (1.099**2 - (x + 1) ** 2) / 2, (0.899**2 - (1 - x) ** 2) / 2)
    np.testing.assert_allclose(time.at(x).value[:3], exact(x[:3, 0]), atol=1e-5)
    assert time.at(x).value[3] == 0 and time.at(x).error[3] == 0
    round_wall = g.mean_first_passage(lambda x: (x[0] + 0.2) ** 2 + (x[1] - 0.5) ** 2 < 0.01, [-0.3 - 1e-3, 0.5])
    assert 0 < round_wall.value < 0.02


OBLIQUE = Region.of(lambda x: x[0] + 0.3 * x[1] < -0.93, 2)
ROUND = Region.of(lambda x: (x[0] - 0.87) ** 2 + (x[1] - 0.13) ** 2 < 0.09, 2)
BEHIND = [
    lambda g: g.mean_first_passage(ROUND, [-0.6, 0.1]),
    lambda g: g.mean_first_passage(ROUND, [0.5, 0.2]),
    lambda g: g.committor(OBLIQUE, ROUND).at([0.1, -0.2]),
    lambda g: g.rate(OBLIQUE, ROUND),
    lambda g: g.rate(OBLIQUE, ROUND, once_in_a=True),
]


@pytest.mark.slow
def test_error_bars_cover_what_a_fine_grid_says(rng):
    """Boundaries anywhere between the cells; the box ends where nothing happens."""
    process = sg.Langevin.gibbs(sg.landscapes.double_well_2d().U, T=1 / 3, D=NARROW)
    finest = sg.fokker_planck(process, sg.Grid([(-2, 2, 240), (-2, 2, 240)]))
    exact, pulls = [ask(finest).value for ask in BEHIND], []
    for _ in range(6):
        low, high = rng.uniform(-2.1, -1.9, 2), rng.uniform(1.9, 2.1, 2)
        n = rng.integers(50, 90, 2)
        g = sg.fokker_planck(process, sg.Grid(list(zip(low, high, n, strict=True))))
        pulls += [ask(g).pull(value) for ask, value in zip(BEHIND, exact, strict=True)]
    assert np.max(np.abs(pulls)) < 3 and np.mean(np.abs(pulls) < 1) > 0.75


SIDES = [
    Region.of(side, 2)
    for side in (lambda x: x[0] < -0.53, lambda x: x[0] > 0.48, lambda x: x[0] ** 2 + (x[1] - 0.5) ** 2 < 0.04)
]


def _push(x, a=0.0, b=0.0, c=0.0, d=0.0, curl=0.0):
    return np.array([a - 2 * x[0] + c * x[1] ** 2 - curl * x[1], b - x[1] + d * np.sin(x[0]) + curl * x[0]])


@given(bends=st.lists(st.floats(-1, 1), min_size=5, max_size=5), angle=st.floats(0, 3.1), thin=st.floats(0.05, 1))
def test_structure(bends, angle, thin):
    """Probabilities are probabilities, times are positive, and forward and backward transitions balance, whatever the process."""
    names = dict(zip(["a", "b", "c", "d", "curl"], bends, strict=True))
    drift = traced(_push, 2, {name: np.array(value) for name, value in names.items()})
    e = np.array([np.cos(angle), np.sin(angle)])
    D = thin * np.eye(2) + (1 - thin) * np.outer(e, e)
    g = sg.fokker_planck(sg.Langevin.from_drift(drift, T=0.4, D=D, dim=2), sg.Grid([(-1, 1, 14), (-1, 1, 13)]))
    A, B = SIDES[:2]
    q, back = g.committor(A, B).values, g.committor(A, B, backward=True).values
    assert np.all((q >= 0) & (q <= 1 + 1e-12)) and np.all((back >= 0) & (back <= 1 + 1e-12))
    np.testing.assert_allclose(g.splitting([A, B]).values, np.stack([1 - q, q], -1), atol=1e-10)
    np.testing.assert_allclose(g.splitting(SIDES).values.sum(-1), 1, atol=1e-10)
    times = g.mean_first_passage(B).values
    assert np.all(times[~B.contains(g.grid.centers)] > 0)
    forth, back = (t.frequency for t in (Transitions(g, A, B), Transitions(g, B, A)))
    assert forth == pytest.approx(back, rel=0.1)  # exactly where the density is known, to the second order elsewhere


def test_backward_committor_of_a_reversible_process_mirrors_the_forward_one():
    g = plane(WIDE, 20)
    forward, backward = g.committor(LEFT, RIGHT).values, g.committor(LEFT, RIGHT, backward=True).values
    np.testing.assert_allclose(forward + backward, 1, atol=1e-12)


def test_unequal_cells_give_the_same_answers():
    edges = 2 * np.tanh(1.2 * np.linspace(-1, 1, 121)) / np.tanh(1.2)
    g = sg.fokker_planck(LINE, sg.Grid([edges]))
    assert abs(g.mean_first_passage(lambda x: x[0] > 1, [-1]).pull(MFPT)) < 1.5


REFUSED = {
    "start inside": (lambda g: g.mean_first_passage(lambda x: x[0] > 0, [0.5]), "inside the region"),
    "start beyond the box": (lambda g: g.mean_first_passage(lambda x: x[0] > 0, [-5.0]), "beyond the box"),
    "point beyond the box": (lambda g: g.committor(lambda x: x[0] < 0, lambda x: x[0] > 1).at([3.0]), "larger Grid"),
    "region outside": (lambda g: g.mean_first_passage(lambda x: x[0] > 9, [-1]), "inside the box"),
    "no room": (lambda g: g.mean_first_passage(lambda x: x[0] > -9), "every cell"),
    "overlap": (lambda g: g.committor(lambda x: x[0] < 0.5, lambda x: x[0] > 0), "do not overlap"),
    "one region": (lambda g: g.splitting([lambda x: x[0] < 0]), "at least two"),
    "no region": (lambda g: g.quasi_stationary(), 'boundary="absorbing"'),
    "no moment": (lambda g: g.mean_first_passage(lambda x: x[0] > 0, moments=0), "at least 1"),
    "component of one": (lambda g: g.mean_first_passage(lambda x: x[0] > 0).component(0), "one function"),
    "touching": (lambda g: g.rate(lambda x: (x[0] < 0) & (x[0] > -1), lambda x: x[0] > 0), "some cells between"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case):
    call, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        call(line(20))


def test_a_region_that_is_never_reached():
    """Noise along x alone: the lower half is never left."""
    problem = sg.Langevin.gibbs(sg.quadratic([1.0, 1.0]), D=[1.0, 0.0])
    g = sg.fokker_planck(problem, sg.Grid([(-1, 1, 10), (-1, 1, 10)]))
    corner = lambda x: (x[0] > 0.5) & (x[1] > 0)
    with pytest.raises(ValueError, match="infinite"):
        g.mean_first_passage(corner, [0, -0.5])
    assert np.isfinite(g.mean_first_passage(corner, [0, 0.5]).value)
    assert np.all(np.isinf(g.mean_first_passage(corner).values[:, :5]))
    assert np.all(np.isnan(g.committor(lambda x: (x[0] < -0.5) & (x[1] > 0), corner).values[:, :5]))
    with pytest.raises(ValueError, match="never reached"):
        g.quasi_stationary(corner)


def test_pictures():
    g = plane(WIDE, 16)
    for result in (
        g.committor(LEFT, RIGHT), g.splitting([LEFT, RIGHT]).component(1), g.quasi_stationary(RIGHT), line(20).mean_first_passage(lambda x: x[0] > 1),
        line(20).mean_first_passage(lambda x: x[0] > 1, moments=2), g.spectrum(3), g.rate(LEFT, RIGHT),
    ):  # fmt: skip
        ax = result.plot()
        ax.figure.canvas.draw()
        assert ax.has_data() and ax.get_xlabel()
        plt.close(ax.figure)


def test_the_momentum_process():
    """What is carried across faces ends in regions as well, however thin; times as simulated."""
    problem = sg.Momentum(quartic, T=1 / 3, friction=1.0)
    g = sg.fokker_planck(problem, sg.Grid([(-2, 2, 80), (-3, 3, 80)]))
    thin, thick = (
        g.mean_first_passage(r, [-1, 0]) for r in (lambda x: np.abs(x[0] - 0.5) < 1e-3, lambda x: x[0] > 0.499)
    )
    assert thin.value == pytest.approx(thick.value, rel=1e-9)
    simulated = sg.first_passage(problem, [-1, 0], lambda x: x[0] > 0.499, dt=0.02, n_paths=300, seed=0)
    assert abs(thick.value - simulated.value) < 4 * simulated.error + thick.error


@pytest.mark.parametrize("depth", [25, 40, 60])
def test_slow_escapes_keep_their_digits(depth):
    """Rates out of 1e-13 of the others: factors of -Q lose them (a time of 0 ± 2e14 at depth 40), sums of positive rates do not."""
    process = sg.Langevin(quartic, T=1 / depth)
    exact = sg.mean_first_passage_1d(process, -1.0, 0.9).value
    g = sg.fokker_planck(process, sg.Grid([(-1.8, 1.8, 400)]))
    beyond = lambda x: x[0] > 0.9
    found, rate = g.mean_first_passage(beyond, [-1.0]), g.quasi_stationary(beyond).rate
    assert found.value == pytest.approx(exact, rel=1e-4) and abs(found.pull(exact)) < 1
    assert rate.value == pytest.approx(1 / exact, rel=1e-4) and abs(rate.pull(1 / exact)) < 1


def test_slow_escapes_in_the_plane_are_eliminated_or_refused(monkeypatch):
    """Along x the time of one dimension; what is too large is refused."""
    monkeypatch.setattr(cuts, "CHEAP", 0.0)
    T, beyond = 0.0125, lambda x: x[0] > 1
    exact = sg.mean_first_passage_1d(sg.Langevin(sg.quadratic([[1.0]]), T=T), 0.0, 1.0).value
    grid = sg.Grid([(-1.5, 1.5, 120), (-0.6, 0.6, 20)])
    g = sg.fokker_planck(sg.Langevin(sg.quadratic(np.eye(2)), T=T), grid)
    found = g.mean_first_passage(beyond, [0.0, 0.0])
    assert abs(found.pull(exact)) < 1 and found.value == pytest.approx(exact, rel=2e-3)
    assert g.quasi_stationary(beyond).rate.value == pytest.approx(1 / exact, rel=0.02)
    monkeypatch.setattr(cuts, "AFFORDABLE", 0.0)
    with pytest.raises(sg.NotConvergedError, match="once_in_a=True"):
        g.mean_first_passage(beyond, [0.0, 0.0])


def test_a_region_whose_rates_underflow_is_never_reached():
    g = sg.fokker_planck(sg.Langevin(sg.quadratic([[1.0]]), T=1e-4), sg.Grid([(-6, 6, 100)]))
    with pytest.raises(ValueError, match="no path on the grid of 100 cells reaches"):
        g.mean_first_passage(lambda x: x[0] > 1, [0.0])


@pytest.mark.parametrize("transposed", [False, True])
def test_elimination_agrees_with_factors(transposed, monkeypatch):
    monkeypatch.setattr(cuts, "CHEAP", 0.0)
    ended = cuts.cut(plane(NARROW, 24), [LEFT, RIGHT])
    fast = ended.solver
    monkeypatch.setattr(cuts, "CHEAP", np.inf)
    slow = cuts.cut(plane(NARROW, 24), [LEFT, RIGHT]).solver
    assert isinstance(fast, Solver) and isinstance(slow, Elimination)
    b = np.arange(1.0, len(ended.free) + 1)
    ask = lambda solver: solver.solve_transposed(b) if transposed else solver.solve(b)
    np.testing.assert_allclose(ask(slow), ask(fast), rtol=1e-10)
