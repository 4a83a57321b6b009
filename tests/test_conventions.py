"""The convention of docs/conventions.md, and the invariances that every verb must have."""

import numpy as np
import pytest

import sgdyn as sg


@sg.potential(dim=2)
def U(x, shift=0.0):
    return (x[0] ** 2 - 1) ** 2 / 4 + x[1] ** 2 + 0.3 * x[0] * x[1] + shift


D = np.array([[1.0, 0.3], [0.3, 0.5]])


def test_only_the_product_of_T_and_D_enters_any_result():
    for c in (0.25, 3.0):
        pairs = [
            (sg.Langevin(U, T=0.2, D=D), sg.Langevin(U, T=0.2 * c, D=D / c)),
            (sg.Momentum(U, T=0.2, D=D), sg.Momentum(U, T=0.2 * c, D=D / c)),
        ]
        for one, other in pairs:
            start = np.full(one.dim, 0.1)
            a, b = (sg.simulate(p, start, t=1, dt=0.01, n_paths=9, seed=1).x for p in (one, other))
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
        a, b = (sg.first_passage(p, [-1, 0], lambda x: x[0] > 0, dt=0.01, n_paths=9, seed=1).samples for p in pairs[0])
        np.testing.assert_allclose(a, b, atol=1e-9)
        one, other = (
            sg.linear_stationary(sg.Langevin(sg.quadratic([[2, 0.3], [0.3, 1]]), T=0.2 * k, D=D / k)) for k in (1, c)
        )
        np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-12)
        assert one.entropy_production == pytest.approx(other.entropy_production, rel=1e-10)
        well = sg.landscapes.double_well().U
        assert float(sg.mean_first_passage_1d(sg.Langevin(well, T=0.1), -1, 1)) == pytest.approx(
            float(sg.mean_first_passage_1d(sg.Langevin(well, T=0.1 * c, D=1 / c), -1, 1)), rel=1e-12
        )


def test_a_constant_added_to_U_changes_nothing():
    a, b = (
        sg.simulate(sg.Langevin(U.replace(shift=s), T=0.2), [0.1, 0.1], t=1, dt=0.01, n_paths=9, seed=1).x
        for s in (0.0, 7.0)
    )
    np.testing.assert_array_equal(a, b)


def test_a_change_of_coordinates_is_one():
    """x -> A x, F -> A F A^-1, D -> A D A': simulated covariances and exact ones transform alike."""
    A = np.array([[1.0, 0.5], [-0.3, 2.0]])
    F = np.array([[1.0, 0.4], [-0.2, 2.0]])
    one = sg.simulate(sg.Langevin.linear(F, T=0.5, D=D), [1.0, 0.0], t=2, dt=0.02, n_paths=20_000, seed=1)
    other = sg.simulate(
        sg.Langevin.linear(A @ F @ np.linalg.inv(A), T=0.5, D=A @ D @ A.T),
        A @ [1.0, 0.0],
        t=2,
        dt=0.02,
        n_paths=20_000,
        seed=2,
    )
    turned = A @ one.cov().value @ A.T
    assert np.all(np.abs(other.cov().value - turned) < 5 * np.sqrt(2) * other.cov().error)


def test_simulation_closed_form_and_sgd_agree_on_the_linear_process():
    """One process, three theories: Lyapunov, the engine, and the limit of small steps of the iteration."""
    H = np.array([[2.0, 0.3], [0.3, 1.0]])
    process = sg.sgd(sg.quadratic(H), D, lr=0.01, batch=4)
    exact = sg.linear_stationary(process)
    found = sg.simulate(process, [0.0, 0.0], t=8, dt=0.005, n_paths=20_000, seed=3).cov()
    assert np.all(np.abs(found.value - exact.covariance) < 5 * found.error + 0.01 * exact.covariance[0, 0])
    np.testing.assert_allclose(sg.discrete_sgd(H, D, lr=0.01, batch=4).covariance, exact.covariance, rtol=0.03)
    assert not found.agrees(1.2 * exact.covariance)


def test_the_drift_of_a_process_is_itos_and_nothing_is_added_silently():
    """With D(x) the plain process has E[dX] = -grad U dt, and its stationary density is not exp(-U/T)."""
    process = sg.Langevin(sg.quadratic([1.0]), T=0.5, D=lambda x: 1 + 4 * x[0] ** 2)
    np.testing.assert_allclose(process.drift([[0.7]]), [[-0.7]])
    found = sg.simulate(process, [0.7], t=0.02, dt=0.001, n_paths=100_000, seed=1)
    assert found.mean().agrees([0.7 * 0.999**20])


def test_arrays_are_path_time_component():
    found = sg.simulate(sg.Langevin(U, T=0.2), [0.0, 0.0], t=1, dt=0.1, n_paths=5, save=3, seed=0)
    assert found.x.shape == (5, 3, 2) and found.t.shape == (3,)
    assert U(np.zeros((4, 3, 2))).shape == (4, 3) and U.hess(np.zeros((4, 3, 2))).shape == (4, 3, 2, 2)
