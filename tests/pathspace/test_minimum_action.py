"""Paths of least action against closed forms, values of high precision, and two other solvers of the package."""

import numpy as np
import pytest

import sgdyn as sg
from sgdyn.errors import NotConvergedError
from sgdyn.pathspace.functional import Action
from sgdyn.pathspace.geometric import Geometric
from tests.interruption import interruptible

# dossier rates_and_paths, C06 (hp Ritz method in high precision): half the squared deviation, twice T times the action here
MAIER_STEIN = {1.0: 0.5, 5.0: 0.48306970919361058877, 6.67: 0.43074312907611, 10.0: 0.34004140333019}


def three_dimensional(x):
    return np.array(
        [x[0] - x[0] ** 3 - 5 * x[0] * x[1] ** 2 + x[2], 0.3 * x[0] - (1 + x[0] ** 2) * x[1], -x[2] * (1 + x[1] ** 2)]
    )


def varying(x):
    return np.array([[1 + x[0] ** 2, 0.2 * x[1], 0], [0.2 * x[1], 1.5 + x[2] ** 2, 0], [0, 0, 1 + 0.3 * np.sin(x[0])]])


@pytest.mark.parametrize("D", [1.0, np.array([[1, 0.5, 0], [0.5, 2, 0.1], [0, 0.1, 1]]), varying])
def test_derivatives_of_the_geometric_action_are_those_of_differences(D, rng):
    functional = Action(sg.Langevin.from_drift(three_dimensional, T=0.7, D=D, dim=3), Geometric())
    t, x, v, h = np.linspace(0, 1, 6), rng.normal(size=(6, 3)), rng.normal(size=(6, 3)), 1e-6
    v[0] = v[-1] = 0
    slope = (functional.value(sg.Path(x + h * v, t)) - functional.value(sg.Path(x - h * v, t))) / (2 * h)
    assert np.isclose(np.sum(functional.gradient(sg.Path(x, t)) * v), slope, rtol=1e-6)
    bend = (functional.gradient(sg.Path(x + h * v, t)) - functional.gradient(sg.Path(x - h * v, t))) / (2 * h)
    assert np.allclose((functional.hessian(sg.Path(x, t)) @ v[1:-1]), bend[1:-1], rtol=1e-5, atol=1e-6)


def test_the_geometric_action_is_the_least_over_all_times(rng):
    """Each segment's share is the least of dt |v/dt - b|²/4T over dt."""
    functional = Action(sg.Langevin.from_drift(three_dimensional, T=0.7, D=2.0, dim=3), Geometric())
    x = rng.normal(size=(2, 3))
    dt = np.geomspace(1e-2, 1e2, 4001)
    b = functional.lagrangian.coefficients.drift(x.mean(0))
    times = dt * np.sum(((x[1] - x[0]) / dt[:, None] - b) ** 2, axis=1) / (4 * 0.7 * 2)
    assert np.isclose(functional.value(sg.Path(x, [0.0, 1.0])), times.min(), rtol=1e-5)


@pytest.mark.parametrize("alpha", MAIER_STEIN)
@pytest.mark.parametrize("end", [[0, 0], [1, 0]])
def test_maier_stein_to_one_in_a_million(alpha, end):
    """To the saddle, and through it to the other well, which costs nothing more."""
    found = sg.minimum_action(sg.landscapes.maier_stein(alpha).problem(0.3), [-1, 0], end, n=200)
    error = abs(2 * float(found.cost) - MAIER_STEIN[alpha])
    assert error < 1e-8
    assert error < 4 * found.cost.error + 1e-12 and found.cost.error < 1e-6
    assert found.residual < 1e-9 and np.abs(found.energy).max() < 1e-10
    assert (
        found.complete and found.cost.warnings == () and float(found.action) == pytest.approx(float(found.cost) / 0.3)
    )


def test_the_most_probable_way_leaves_the_axis_beyond_the_threshold():
    """mu = 1: symmetric up to alpha = 4 (Maier and Stein 1993), then two mirror images and the axis a saddle of the action."""
    before, beyond = (
        sg.minimum_action(sg.landscapes.maier_stein(alpha).problem(), [-1, 0], [0, 0], n=80) for alpha in (3.7, 4.4)
    )
    assert len(before.paths) == 1 and np.abs(before.x[:, 1]).max() < 1e-9
    heights = sorted(path.x[:, 1].sum() for path in beyond.paths)
    assert len(heights) == 2 and np.isclose(heights[0], -heights[1], rtol=1e-6) and heights[1] > 1
    axis = sg.minimum_action(sg.landscapes.maier_stein(4.4).problem(), [-1, 0], [0, 0], n=80, start=[[-1, 0], [0, 0]])
    assert float(beyond.cost) < float(axis.cost) - 1e-5 and np.isclose(float(axis.cost), 0.25)


def tilted(dim, height, tilt, bend=0.0):
    """height (x0² - 1)² + tilt x0 along a curved valley; its minima, its saddle, and the barrier."""
    U = sg.potential(dim=dim)(
        lambda x: height * (x[0] ** 2 - 1) ** 2 + tilt * x[0] + sum((y - bend * x[0] ** 2) ** 2 for y in x[1:])
    )
    r = np.sort(np.roots([4 * height, 0, -4 * height, tilt]).real)
    left, top, right = (np.array([x, *[bend * x * x] * (dim - 1)]) for x in r)
    return U, left, right, float(U(top) - U(left))


@pytest.mark.parametrize("n", [200, 240, 400])
@pytest.mark.parametrize(("dim", "height", "tilt"), [(1, 1.15, -0.812), (2, 1.0, 0.1), (1, 0.7, 0.9)])
def test_saddles_between_images_are_not_missed(dim, height, tilt, n):
    """|b| has a kink there, across which the midpoint rule is too low by up to 3e-5."""
    U, a, b, barrier = tilted(dim, height, tilt)
    found = sg.minimum_action(sg.Langevin(U, 0.1), a, b, n=n, starts=0)
    assert abs(float(found.cost) - barrier) < 4 * found.cost.error < 1e-11 and len(found.halts) == 1


@pytest.mark.slow
def test_saddles_between_images_in_other_metrics_and_by_quasi_newton_steps(rng):
    for dim, n in ((2, 100), (2, 180), (30, 120)):
        U, a, b, barrier = tilted(dim, 1.0, rng.uniform(-0.4, 0.4), bend=0.2 / np.sqrt(dim))
        A = rng.normal(size=(dim, dim)) / np.sqrt(dim)
        problem = sg.Langevin.gibbs(U, 0.1, A @ A.T + np.eye(dim))
        found = sg.minimum_action(problem, a, b, n=n, starts=0)
        assert abs(float(found.cost) - barrier) < 4 * found.cost.error < 1e-3 and len(found.halts) == 1


def test_zeros_of_the_drift_next_to_the_ends():
    """An end beyond its minimum is reached uphill from there, and left downhill to it; one before it never sees it."""
    U, a, b, barrier = tilted(2, 1.0, 0.1)
    problem = sg.Langevin(U, 0.1)
    for beyond in (1e-3, 0.02):
        end = b + np.array([beyond, 0])
        found = sg.minimum_action(problem, a - np.array([beyond, 0]), end, n=200, starts=0)
        assert abs(float(found.cost) - barrier - float(U(end) - U(b))) < 4 * found.cost.error < 1e-6
        start, end = a + np.array([beyond, 0]), b - np.array([beyond, 0])
        found = sg.minimum_action(problem, start, end, n=200, starts=0)
        assert abs(float(found.cost) - barrier + float(U(start) - U(a))) < 4 * found.cost.error < 1e-6


def test_maier_stein_past_the_saddle_to_where_images_do_not_meet_it():
    """C06 again: downhill from the saddle on costs nothing."""
    found = sg.minimum_action(sg.landscapes.maier_stein(10.0).problem(0.3), [-1, 0], [0.9, 0], n=400)
    assert abs(2 * float(found.cost) - MAIER_STEIN[10.0]) < 4 * found.cost.error < 1e-6
    assert np.allclose(found.halts, [[0, 0]], atol=1e-8)


@pytest.mark.slow
def test_in_reversible_systems_only_the_way_up_costs():
    landscape = sg.landscapes.muller_brown()
    U, (A, B, C), (first, second) = landscape.U, landscape.minima, landscape.saddles
    there = sg.minimum_action(landscape.problem(5.0), A, B)
    back = sg.minimum_action(landscape.problem(5.0), B, A)
    up = U(first) - U(A) + U(second) - U(C)
    assert abs(float(there.cost) - up) < 4 * there.cost.error < 1e-2
    assert np.isclose(float(there.cost) - float(back.cost), U(B) - U(A), rtol=1e-6)  # detailed balance
    assert np.allclose(there.halts, [first, C, second], atol=1e-8)
    assert np.allclose(back.halts, there.halts[::-1], atol=1e-8)


def test_the_quasipotential_of_linear_processes(rng):
    """V = T x' S^-1 x/2 with the stationary covariance S, by Newton's method and by L-BFGS."""
    for dim in (2, 8, 30):
        A, B, C = rng.normal(size=(3, dim, dim)) / np.sqrt(dim)
        problem = sg.Langevin.linear(A @ A.T / 2 + np.eye(dim) + 0.5 * (C - C.T), 0.7, B @ B.T + 0.3 * np.eye(dim))
        x = rng.normal(size=dim) / np.sqrt(dim)
        exact = 0.5 * problem.T * x @ sg.linear_stationary(problem).precision @ x
        found = sg.minimum_action(problem, np.zeros(dim), x, n=120, starts=0)
        assert abs(float(found.cost) - exact) < 4 * found.cost.error < 1e-3 * exact
        # the momenta are the gradient of V
        middle = 0.5 * (found.x[1:] + found.x[:-1])
        slopes = problem.T * middle @ sg.linear_stationary(problem).precision
        assert np.abs(found.momenta - slopes)[10:].max() < 0.02 * np.abs(slopes).max()


def test_a_noise_that_depends_on_x_keeps_exp_minus_U_over_T():
    """Gibbs processes: V = U - U_min whatever D(x)."""
    landscape = sg.landscapes.double_well_2d(0.1)
    problem = sg.Langevin.gibbs(landscape.U, 0.2, lambda x: np.array([[1 + x[0] ** 2, 0.3], [0.3, 1 + x[1] ** 2]]))
    found = sg.minimum_action(problem, landscape.minima[0], landscape.minima[1])
    height = landscape.U(landscape.saddles[0]) - landscape.U(landscape.minima[0])
    assert abs(float(found.cost) - height) < found.cost.error < 1e-4


def test_coordinates_time_and_energy_have_no_units():
    A = np.array([[1.3, 0.4], [-0.2, 0.8]])
    inverse = np.linalg.inv(A)
    drift = lambda x, alpha=6.0: np.array([x[0] - x[0] ** 3 - alpha * x[0] * x[1] ** 2, -(1 + x[0] ** 2) * x[1]])
    plain = sg.minimum_action(sg.Langevin.from_drift(drift, dim=2), [-1, 0], [0, 0], n=80)
    for time, energy in ((1.0, 1.0), (3.0, 7.0)):
        moved = lambda y, time=time: time * A @ drift(inverse @ y)
        problem = sg.Langevin.from_drift(moved, T=2.0, D=energy * time * A @ A.T, dim=2)
        found = sg.minimum_action(problem, A @ [-1, 0], [0, 0], n=80, start=plain.x @ A.T)
        # x -> A x with D -> A D A'; drift and D times faster: nothing changes; D larger by a factor: V smaller by it
        assert np.isclose(float(found.cost) * energy, float(plain.cost), rtol=1e-10)
        assert np.allclose(found.x, plain.x @ A.T, atol=1e-7)


@pytest.mark.slow
def test_agreement_with_the_quasipotential_on_a_grid():
    problem = sg.landscapes.maier_stein(6.67).problem(1.0)
    V = sg.quasipotential(problem, [-1, 0], sg.Grid([(-1.5, 0.5, 160), (-0.8, 0.8, 128)]), show_progress=False)
    for end in ([-0.5, 0.3], [-0.2, -0.1], [-1.2, 0.4]):
        found, grid = sg.minimum_action(problem, [-1, 0], end, n=80), V.at(end)
        assert abs(float(found.cost) - float(grid)) < 3 * grid.error < 0.02 * float(grid)


def test_agreement_with_the_instanton_of_long_times():
    problem = sg.landscapes.maier_stein(10.0).problem(0.5)
    geometric = sg.minimum_action(problem, [-1, 0], [-0.3, 0.2], n=80)
    costs = [0.5 * float(sg.instanton(problem, [-1, 0], [-0.3, 0.2], t=t, n=200, starts=2).action) for t in (4, 8)]
    assert (
        costs[0] > float(geometric.cost) + 1e-6 and abs(costs[1] - float(geometric.cost)) < geometric.cost.error < 1e-6
    )


def test_one_dimension_and_starts_that_are_not_at_rest():
    problem = sg.landscapes.double_well().problem(0.1)
    assert np.isclose(float(sg.minimum_action(problem, [-1], [0.5]).cost), 0.25, atol=1e-12)
    assert np.isclose(float(sg.minimum_action(problem, [0.5], [-1]).cost), 0.109375, atol=1e-12)
    assert np.isclose(float(sg.minimum_action(problem, [-0.5], [-0.9]).cost), 0.0, atol=1e-12)


def test_potentials_without_hessians():
    U = sg.Potential.from_functions(
        lambda x: (x[..., 0] ** 2 - 1) ** 2 + 2 * (x[..., 1] - 0.5 * x[..., 0] ** 2) ** 2,
        lambda x: np.stack(
            [
                4 * x[..., 0] * (x[..., 0] ** 2 - 1) - 4 * x[..., 0] * (x[..., 1] - 0.5 * x[..., 0] ** 2),
                4 * (x[..., 1] - 0.5 * x[..., 0] ** 2),
            ],
            -1,
        ),
        dim=2,
    )
    found = sg.minimum_action(sg.Langevin(U, 0.3), [-1, 0.5], [1, 0.5], n=120)
    assert abs(float(found.cost) - 1) < 4 * found.cost.error < 1e-3
    assert (
        np.abs(found.x[:, 1] - 0.5 * found.x[:, 0] ** 2).max() > 0.01
    )  # the valley is not the way of steepest descent


def test_ctrl_c_returns_what_is_done(monkeypatch):
    from sgdyn.pathspace import curves

    steps = []

    def interrupted(curve, shift, step=curves._step):
        steps.append(1)
        if len(steps) == 8:
            raise KeyboardInterrupt
        return step(curve, shift)

    monkeypatch.setattr(curves, "_step", interrupted)
    with interruptible():
        found = sg.minimum_action(sg.landscapes.maier_stein(10.0).problem(), [-1, 0], [0, 0])
    assert not found.complete and "Ctrl-C" in found.cost.warnings[0]
    assert 0.17 < float(found.cost) < 0.3


def test_paths_draw_themselves():
    found = sg.minimum_action(sg.landscapes.maier_stein(10.0).problem(), [-1, 0], [0, 0], n=40)
    assert len(found.plot().lines) >= len(found.paths)
    line = sg.minimum_action(sg.landscapes.double_well().problem(), [-1], [0], n=40)
    assert line.plot().get_ylabel() == "$V$"


def test_bad_input():
    problem = sg.landscapes.maier_stein().problem()
    with pytest.raises(ValueError, match=r"expected \(2,\)"):
        sg.minimum_action(problem, [-1], [0, 0])
    with pytest.raises(ValueError, match="finite"):
        sg.minimum_action(problem, [-1, np.nan], [0, 0])
    with pytest.raises(ValueError, match="two different points"):
        sg.minimum_action(problem, [-1, 0], [-1, 0])
    with pytest.raises(ValueError, match="type n=104"):
        sg.minimum_action(problem, [-1, 0], [0, 0], n=102)
    with pytest.raises(ValueError, match="at least 32"):
        sg.minimum_action(problem, [-1, 0], [0, 0], n=8)
    with pytest.raises(ValueError, match="start of shape"):
        sg.minimum_action(problem, [-1, 0], [0, 0], start=[[0, 0, 0], [1, 1, 1]])
    with pytest.raises(ValueError, match="full rank"):
        sg.minimum_action(sg.Momentum(sg.landscapes.double_well().U), [-1, 0], [0, 0])
    with pytest.raises(TypeError, match="expected Langevin"):
        sg.minimum_action(sg.landscapes.double_well().U, [-1], [0])
    with pytest.raises((ValueError, NotConvergedError)):
        sg.minimum_action(sg.Langevin.from_drift(lambda x: np.array([np.log(x[0]), x[1]]), dim=2), [-1, 0], [1, 0])
