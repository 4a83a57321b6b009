"""Steps between normal densities: closed forms, against minimisation by other means."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg, optimize

import sgdyn as sg

SIZES = st.floats(0.05, 5.0)


def positive(rng, d):
    a = rng.normal(size=(d, d))
    return a @ a.T + 0.2 * np.eye(d)


def bures(m, S, n, R):
    """The squared distance of normal densities, D = 1."""
    root = linalg.sqrtm(S)
    return np.sum((m - n) ** 2) + np.trace(S + R - 2 * np.real(linalg.sqrtm(root @ R @ root)))


@given(h=SIZES, T=SIZES, tau=SIZES, s=SIZES, m=st.floats(-3, 3))
def test_the_recursion_in_one_dimension(h, T, tau, s, m):
    flow = sg.jko(sg.Langevin(sg.quadratic([[h]]), T), sg.GaussianState([m], [[s * s]]), tau=tau, n=3)
    for rho in flow[1:]:
        m, s = m / (1 + tau * h), (s + np.sqrt(s * s + 4 * (1 + tau * h) * tau * T)) / (2 * (1 + tau * h))
        assert rho.mean[0] == pytest.approx(m, rel=1e-13, abs=1e-15)
        assert rho.covariance[0, 0] == pytest.approx(s * s, rel=1e-12)


@given(h=SIZES, T=SIZES, tau=st.floats(1e-3, 1e3))
def test_the_stationary_density_is_a_fixed_point_whatever_tau(h, T, tau):
    flow = sg.jko(sg.Langevin(sg.quadratic([[h]]), T), sg.GaussianState([0.0], [[T / h]]), tau=tau, n=2)
    assert flow[-1].covariance[0, 0] == pytest.approx(T / h, rel=1e-12)
    assert flow.w2.max() < 1e-7 * np.sqrt(T / h)


def test_a_step_is_the_minimum_in_three_dimensions(rng):
    H, D, S = positive(rng, 3), positive(rng, 3), positive(rng, 3)
    m, T, tau, back = rng.normal(size=3), 0.7, 0.3, np.linalg.inv(np.linalg.cholesky(D))
    flow = sg.jko(sg.Langevin.gibbs(sg.quadratic(H), T, D), sg.GaussianState(m, S), tau=tau, n=1)

    def objective(packed):
        n, factor = packed[:3], np.zeros((3, 3))
        factor[np.tril_indices(3)] = packed[3:]
        R = factor @ factor.T
        energy = 0.5 * n @ H @ n + 0.5 * np.trace(H @ R) - 0.5 * T * (np.linalg.slogdet(2 * np.pi * R)[1] + 3)
        return energy + bures(back @ m, back @ S @ back.T, back @ n, back @ R @ back.T) / (2 * tau)

    def pack(rho):
        return np.concatenate([rho.mean, np.linalg.cholesky(rho.covariance)[np.tril_indices(3)]])

    least = optimize.minimize(objective, pack(flow[0]), tol=1e-10)
    assert objective(pack(flow[1])) <= least.fun + 1e-12
    np.testing.assert_allclose(pack(flow[1]), least.x, atol=1e-4)
    first, last = [(back @ r.mean, back @ r.covariance @ back.T) for r in flow]
    assert flow.w2[0] ** 2 == pytest.approx(bures(*first, *last), rel=1e-9)
    assert flow.energies[1] + flow.w2[0] ** 2 / (2 * tau) == pytest.approx(objective(pack(flow[1])), rel=1e-9)


@given(seed=st.integers(0, 10**6), tau=st.floats(1e-3, 10.0))
def test_energy_falls_by_what_was_paid_and_coordinates_do_not_matter(seed, tau):
    rng = np.random.default_rng(seed)
    H, D, S, A = positive(rng, 2), positive(rng, 2), positive(rng, 2), rng.normal(size=(2, 2)) + 2 * np.eye(2)
    m, inverse = rng.normal(size=2), np.linalg.inv(A)
    flow = sg.jko(sg.Langevin.gibbs(sg.quadratic(H), 0.5, D), sg.GaussianState(m, S), tau=tau, n=4)
    assert np.all(flow.dissipation >= flow.w2**2 / (2 * tau) - 1e-10)
    moved = sg.Langevin.gibbs(sg.quadratic(inverse.T @ H @ inverse), 0.5, A @ D @ A.T)
    other = sg.jko(moved, sg.GaussianState(A @ m, A @ S @ A.T), tau=tau, n=4)
    np.testing.assert_allclose(other.w2, flow.w2, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(other[-1].mean, A @ flow[-1].mean, atol=1e-8)
    np.testing.assert_allclose(other[-1].covariance, A @ flow[-1].covariance @ A.T, atol=1e-8)


def test_small_steps_follow_the_linear_process_to_first_order():
    F, D, T = np.diag([1.0, 3.0]), np.array([1.0, 0.5]), 0.4
    process, start = sg.Langevin.linear(F, T, D, center=[0.5, -1.0]), sg.GaussianState([2.0, 1.0], np.diag([0.1, 2.0]))
    decay, limit = np.exp(-np.diag(F)), T * D / np.diag(F)
    exact = np.array([0.5, -1]) + decay * np.array([1.5, 2]), limit + decay**2 * (np.array([0.1, 2.0]) - limit)
    errors = []
    for n in (20, 40):
        last = sg.jko(process, start, tau=1 / n, n=n)[-1]
        errors.append([np.abs(last.mean - exact[0]).max(), np.abs(np.diag(last.covariance) - exact[1]).max()])
    assert np.all(np.abs(np.log2(np.divide(*errors)) - 1) < 0.1)


def test_a_point_spreads_and_a_hill_is_climbed_down_only_by_small_steps():
    flow = sg.jko(sg.Langevin(sg.quadratic([1.0, 0.0])), sg.GaussianState([1.0, 0.0], np.zeros((2, 2))), tau=0.1, n=2)
    assert flow.energies[0] == np.inf and np.all(np.isfinite(flow.energies[1:]))
    hill, start = sg.Langevin(sg.quadratic([[-2.0]])), sg.GaussianState([1.0], [[1.0]])
    sg.jko(hill, start, tau=0.45, n=1)
    with pytest.raises(ValueError, match=r"type tau below 0\.5"):
        sg.jko(hill, start, tau=0.8, n=1)


def test_what_is_not_normal_is_refused_with_what_to_type():
    well, start = sg.landscapes.double_well().problem(0.3), sg.GaussianState([0.0], [[1.0]])
    with pytest.raises(ValueError, match="Quantile"):
        sg.jko(well, start, tau=0.1, n=1, method=sg.Gaussian())
    with pytest.raises(ValueError, match="Quantile"):
        sg.jko(well, start, tau=0.1, n=1, energy=sg.PorousMedium(2), method=sg.Gaussian())
    with pytest.raises(TypeError, match="GaussianState"):
        sg.jko(sg.Langevin(sg.quadratic([[1.0]])), [[0.0]], tau=0.1, n=1, method=sg.Gaussian())


def test_detailed_balance_is_known_up_to_the_rounding_of_D(rng):
    axes = np.linalg.qr(rng.normal(size=(20, 20)))[0]
    D, H, start = (
        (axes * np.geomspace(1, 1e-7, 20)) @ axes.T,
        positive(rng, 20),
        sg.GaussianState(np.zeros(20), np.eye(20)),
    )
    D = 0.5 * (D + D.T)
    flow = sg.jko(sg.Langevin.linear(D @ H, 0.7, D), start, tau=0.1, n=2)
    exact = sg.jko(sg.Langevin.gibbs(sg.quadratic(H), 0.7, D), start, tau=0.1, n=2)
    np.testing.assert_allclose(flow[-1].covariance, exact[-1].covariance, atol=1e-7)
    turned = H + 1e-4 * (np.eye(20, k=1) - np.eye(20, k=-1)) * np.abs(H).max()
    with pytest.raises(ValueError, match="no free energy"):
        sg.jko(sg.Langevin.linear(D @ turned, 0.7, D), start, tau=0.1, n=2)


def test_the_second_order_of_normal_densities():
    """Against the linear process, with D and H that do not commute. From a point, which widens like sqrt(t), order 1 is left."""
    H, D, T = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, -0.6], [-0.6, 0.8]]), 0.7
    process, center = sg.Langevin.gibbs(sg.quadratic(H, [1.0, -1.0]), T, D), np.array([1.0, -1.0])
    decay, rest, mean = linalg.expm(-D @ H), T * np.linalg.inv(H), np.array([0.3, 2.0])
    for S, order in ((np.array([[0.3, 0.1], [0.1, 2.0]]), 2), (np.zeros((2, 2)), 1)):
        exact, errors = (center + decay @ (mean - center), rest + decay @ (S - rest) @ decay.T), []
        for n in (20, 40):
            last = sg.jko(process, sg.GaussianState(mean, S), tau=1 / n, n=n, method=sg.Gaussian(order=2))[-1]
            errors.append([np.abs(last.mean - exact[0]).max(), np.abs(last.covariance - exact[1]).max()])
        assert np.all(np.abs(np.log2(np.divide(*errors)) - [2, order]) < 0.2), errors


def test_the_second_order_is_that_of_quantiles_rests_and_goes_on(tmp_path):
    process, start = sg.Langevin(sg.quadratic([[1.3]], [0.4]), 0.6), sg.GaussianState([1.0], [[0.5]])
    flow = sg.jko(process, start, tau=0.1, n=6, method=sg.Gaussian(order=2))
    other = sg.jko(process, start, tau=0.1, n=6, method=sg.Quantile(2000, order=2))
    np.testing.assert_allclose(flow.w2, other.w2, rtol=1e-4)
    np.testing.assert_allclose(flow.energies, other.energies, atol=1e-5)
    H, D = np.diag([1.0, 3.0]), [[1.0, 0.5], [0.5, 1.0]]
    still = sg.jko(
        sg.Langevin.gibbs(sg.quadratic(H), 0.5, D),
        sg.GaussianState([0, 0], 0.5 * np.linalg.inv(H)),
        tau=7.0,
        n=4,
        method=sg.Gaussian(2),
    )
    assert still.w2.max() < 1e-12
    sg.jko(process, start, tau=0.1, n=3, method=sg.Gaussian(2), checkpoint=tmp_path)
    again = sg.jko(process, start, tau=0.1, n=6, method=sg.Gaussian(2), checkpoint=tmp_path)
    np.testing.assert_array_equal(again.energies, flow.energies)
    with pytest.raises(ValueError, match="order"):
        sg.Gaussian(order=3)
