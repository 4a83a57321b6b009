"""Actions: their derivatives against differences, their value up and down hills, what D does not reach."""

import numpy as np
import pytest

import sgdyn as sg

T = 0.3


def matrix(x):
    return np.array([[1 + x[0] ** 2 / 2, 0.1 * x[1]], [0.1 * x[1], 0.5 + x[0] ** 2 * x[1] ** 2 / 4]])


@pytest.fixture(scope="module")
def problems():
    U, constant = sg.landscapes.double_well_2d(0.1).U, [[1, 0.4], [0.4, 0.7]]
    return {
        "gradient": sg.Langevin(U, T), "constant": sg.Langevin(U, T, constant), "gibbs": sg.Langevin.gibbs(U, T, constant),
        "varying": sg.Langevin(U, T, matrix, curl=lambda x: np.array([-x[1], x[0]])), "varying gibbs": sg.Langevin.gibbs(U, T, matrix),
    }  # fmt: skip


@pytest.mark.parametrize(
    "rule", [sg.FreidlinWentzell(), sg.Prepoint(), sg.Midpoint(), sg.MidpointJacobian(), sg.StaticKernel()]
)
def test_derivatives_are_those_of_the_value(problems, rule):
    rng, checked = np.random.default_rng(0), 0
    for problem in problems.values():
        S = sg.Action(problem, rule)
        try:
            S.steps
        except ValueError as refusal:
            assert "type rule=" in str(refusal)
            continue
        path = sg.Path(0.5 * rng.normal(size=(6, 2)), np.cumsum(rng.uniform(0.1, 0.3, size=6)))
        e, h = rng.normal(size=(6, 2)), 1e-5
        up, down = (sg.Path(path.x + s * h * e, path.t) for s in (1, -1))
        gradient = S.gradient(path)
        assert np.isclose(
            (S.value(up) - S.value(down)) / (2 * h), np.sum(gradient * e), rtol=0, atol=1e-7 * np.abs(gradient).max()
        )
        e[[0, -1]] = 0
        up, down = (sg.Path(path.x + s * h * e, path.t) for s in (1, -1))
        product = S.hessian(path) @ e[1:-1]
        differences = (S.gradient(up) - S.gradient(down))[1:-1] / (2 * h)
        np.testing.assert_allclose(product, differences, rtol=0, atol=1e-7 * np.abs(product).max())
        checked += 1
    assert checked >= 2


def test_uphill_costs_the_height_over_T_and_downhill_nothing(problems):
    well = sg.landscapes.double_well().problem(T)
    s = np.linspace(-8, 8, 1601)
    down = sg.Path((-1 / np.sqrt(1 + np.exp(-2 * s[::-1])))[::-1, None], s)  # x' = x - x³ from 0 to -1
    assert abs(float(sg.action(well, down))) < 1e-6
    assert np.isclose(float(sg.action(well, down.reversed())), 0.25 / T, atol=1e-4)


def test_action_is_invariant_under_linear_maps_and_units_of_time():
    rng = np.random.default_rng(1)
    F, A, D = np.array([[1.0, 0.4], [-0.3, 0.7]]), np.array([[1.3, 0.2], [-0.5, 0.8]]), np.array([[1, 0.3], [0.3, 0.6]])
    path = sg.Path(rng.normal(size=(9, 2)), np.linspace(0, 1, 9))
    mapped = sg.Path(path.x @ A.T, path.t)
    slow = sg.Path(path.x, 3 * path.t)
    for rule in (sg.FreidlinWentzell(), sg.Midpoint(), sg.MidpointJacobian(), sg.Prepoint()):
        value = sg.Action(sg.Langevin.linear(F, T, D), rule).value(path)
        turned = sg.Langevin.linear(A @ F @ np.linalg.inv(A), T, A @ D @ A.T)
        assert np.isclose(sg.Action(turned, rule).value(mapped), value)
        assert np.isclose(sg.Action(sg.Langevin.linear(F / 3, T / 3, D), rule).value(slow), value)


def test_a_path_that_noise_cannot_make_has_infinite_action():
    problem = sg.Momentum(sg.quadratic([[1.0]]), T)
    found = sg.action(problem, sg.Path(np.array([[0.0, 0], [1, 0], [2, 0]]), np.arange(3.0)))
    assert found.value == np.inf and "leaves the range of D" in found.warnings[0]


def test_bad_paths_are_refused():
    with pytest.raises(ValueError, match="increasing"):
        sg.Path(np.zeros((3, 1)), [0, 1, 1])
    with pytest.raises(ValueError, match="dimension 1, expected 2"):
        sg.action(sg.Langevin(sg.quadratic([1.0, 2.0])), sg.Path(np.zeros((3, 1)), [0, 1, 2]))
