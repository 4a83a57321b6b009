"""The linear process: identities, closed forms, invariances, simulation."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import linalg

import sgdyn as sg

F2 = np.array([[2.0, 0.3], [0.3, 0.5]])
D2 = np.array([[1.0, 0.4], [0.4, 0.25]])


def random_process(d, seed, reversible=False):
    rng = np.random.default_rng(seed)
    A, B = rng.normal(size=(2, d, d))
    D = A @ A.T / d + 0.1 * np.eye(d)
    H = B @ B.T / d + 0.2 * np.eye(d)
    Q = 0.0 if reversible else rng.normal(size=(d, d))
    return (D + Q - np.transpose(Q)) @ H, D, H, rng.uniform(0.1, 2)


@given(st.integers(1, 6), st.integers(0, 10**6))
def test_a_process_built_from_potential_and_circulation_gives_them_back(d, seed):
    """F = (D + Q) H has the stationary covariance T H^-1 and the circulation Q, whatever they are."""
    F, D, H, T = random_process(d, seed)
    state = sg.linear_stationary(sg.Langevin.linear(F, T=T, D=D))
    np.testing.assert_allclose(state.covariance, T * np.linalg.inv(H), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(state.Q, F @ np.linalg.inv(H) - D, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(state.potential.hess(np.zeros(d)), H, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(state.Q, -state.Q.T)
    assert state.error < 1e-10
    exact = np.trace(state.current.T @ np.linalg.inv(D) @ state.current @ state.covariance) / T
    assert state.entropy_production == pytest.approx(exact, rel=1e-8)


@given(st.integers(1, 6), st.integers(0, 10**6))
def test_reversible_processes_produce_no_entropy_and_only_they(d, seed):
    F, D, _, T = random_process(d, seed, reversible=True)
    np.testing.assert_allclose(F @ D, D @ F.T, atol=1e-9)
    state = sg.linear_stationary(sg.Langevin.linear(F, T=T, D=D))
    assert state.entropy_production < 1e-9
    np.testing.assert_allclose(state.Q, 0.0, atol=1e-9)
    F, D, _, T = random_process(d, seed)
    assume(np.abs(F @ D - D @ F.T).max() > 1e-3)
    assert sg.linear_stationary(sg.Langevin.linear(F, T=T, D=D)).entropy_production > 0


def test_sgd_on_an_anisotropic_bowl_circulates_and_does_not_sit_where_the_loss_says():
    state = sg.linear_stationary(sg.Langevin(sg.quadratic(F2), T=0.3, D=D2))
    np.testing.assert_allclose(F2 @ state.covariance + state.covariance @ F2, 0.6 * D2, rtol=1e-12)
    assert state.Q[0, 1] == pytest.approx(0.15, rel=1e-12)  # FQ + QF' = FD - DF': trace(F) q = (FD - DF)_01
    assert not np.allclose(state.potential.hess([0, 0]), F2)


def test_rotations_and_the_scale_of_T_and_D_change_nothing_that_they_should_not(rng):
    F, D, _, T = random_process(4, 3)
    A = rng.normal(size=(4, 4)) + 2 * np.eye(4)
    one = sg.linear_stationary(sg.Langevin.linear(F, T=T, D=D))
    other = sg.linear_stationary(sg.Langevin.linear(A @ F @ np.linalg.inv(A), T=3 * T, D=A @ D @ A.T / 3))
    np.testing.assert_allclose(other.covariance, A @ one.covariance @ A.T, rtol=1e-9)
    assert other.entropy_production == pytest.approx(one.entropy_production, rel=1e-9)


def test_lagged_covariances_are_the_matrix_exponential_and_its_antisymmetric_part_is_Q():
    F, D, _, T = random_process(3, 8)
    state = sg.linear_stationary(sg.Langevin.linear(F, T=T, D=D))
    np.testing.assert_allclose(state.lagged_covariance(0.7), linalg.expm(-0.7 * F) @ state.covariance)
    tau = 1e-5
    C = state.lagged_covariance(tau)
    np.testing.assert_allclose(-(C - C.T) / (2 * T * tau), state.Q, atol=1e-3)


def test_simulated_circulation_is_the_exact_one():
    process = sg.Langevin.linear([[1.0, 0.8], [-0.8, 1.5]], T=0.5, D=[1.0, 0.5])
    found = sg.simulate(process, [0.0, 0.0], t=12, dt=0.005, n_paths=2000, save=2401, seed=2)
    x = found.x[:, 1200:]
    lag = 4
    antisymmetric = lambda r: np.einsum("ti,tj->ij", r[lag:], r[:-lag]) / (len(r) - lag)
    C = np.array([antisymmetric(r) for r in x])
    Q = -(C - np.swapaxes(C, 1, 2)) / (2 * 0.5 * lag * 0.005)
    exact = sg.linear_stationary(process).lagged_covariance(lag * 0.005)
    expected = -(exact - exact.T)[0, 1] / (2 * 0.5 * lag * 0.005)
    assert abs(Q[:, 0, 1].mean() - expected) < 4 * Q[:, 0, 1].std() / np.sqrt(len(Q)) + 0.01 * abs(expected)


def test_singular_noise_is_handled_exactly_where_it_reaches_and_refused_where_not():
    reached = sg.linear_stationary(sg.Langevin.linear([[1.0, 0.0], [-1.0, 2.0]], T=0.5, D=[1.0, 0.0]))
    np.testing.assert_allclose(
        reached.F @ reached.covariance + reached.covariance @ reached.F.T, np.diag([1.0, 0.0]), atol=1e-13
    )
    assert reached.entropy_production == np.inf
    with pytest.raises(ValueError, match="does not reach"):
        _ = sg.linear_stationary(sg.Langevin.linear(np.diag([1.0, 2.0]), T=0.5, D=[1.0, 0.0])).potential


def test_momentum_equilibrates_to_the_gibbs_state():
    state = sg.linear_stationary(sg.Momentum(sg.quadratic([2.0, 0.5]), T=0.7, friction=0.3))
    np.testing.assert_allclose(state.covariance, np.diag([0.35, 1.4, 0.7, 0.7]), atol=1e-12)


def test_processes_without_a_stationary_state_are_refused():
    with pytest.raises(ValueError, match="does not decay"):
        sg.linear_stationary(sg.Langevin(sg.quadratic([1.0, -0.5])))
    with pytest.raises(ValueError, match="not linear"):
        sg.linear_stationary(sg.landscapes.double_well().problem(0.1))
    with pytest.raises(ValueError, match="depends on x"):
        sg.linear_stationary(sg.Langevin(sg.quadratic([1.0]), D=lambda x: 1 + x[0] ** 2))


def test_what_has_no_entropy_production_or_is_no_process_is_refused():
    state = sg.linear_stationary(sg.Momentum(sg.quadratic([2.0]), T=0.7, friction=0.3))
    with pytest.raises(ValueError, match=r"reversed.*overdamped"):
        _ = state.entropy_production
    with pytest.raises(TypeError, match="got a str, expected a process"):
        sg.linear_stationary("a")


def test_without_noise_nothing_is_left_and_the_error_is_zero():
    state = sg.linear_stationary(sg.Langevin(sg.quadratic([1.0]), D=0.0))
    assert state.error == 0.0 and state.covariance[0, 0] == 0.0


def test_the_noise_reaches_what_the_drift_carries_it_to():
    """Low-rank D and a chain: one noisy end reaches all (Kalman), a block apart is not reached; S is singular exactly then."""
    chain = np.array([[1.0, 0.0, 0.0], [-0.5, 2.0, 0.0], [0.0, -0.3, 1.5]])
    noise = sg.LowRank(np.eye(3)[:, :1], [1.0])
    state = sg.linear_stationary(sg.Langevin.linear(chain, T=0.4, D=noise))
    assert state.reached.shape == (3, 3) and np.linalg.eigvalsh(state.covariance)[0] > 0
    np.testing.assert_allclose(state.precision @ state.covariance, np.eye(3), atol=1e-8)
    assert state.entropy_production == np.inf
    apart = chain.copy()
    apart[1, 0] = 0.0
    state = sg.linear_stationary(sg.Langevin.linear(apart, T=0.4, D=noise))
    assert state.reached.shape == (3, 1) and np.linalg.matrix_rank(state.covariance) == 1
    assert state.entropy_production == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(state.Q, 0.0, atol=1e-12)
    with pytest.raises(ValueError, match=r"reaches 1 of 3.*floor"):
        _ = state.precision


def test_circulation_within_the_subspace_that_the_noise_reaches():
    """Noise on a plane that F turns in itself, in coordinates that mix all three: the entropy production is that of the plane alone."""
    plane, T = np.array([[1.0, 0.8], [-0.8, 1.5]]), 0.5
    alone = sg.linear_stationary(sg.Langevin.linear(plane, T=T, D=[1.0, 0.5]))
    F3 = np.zeros((3, 3))
    F3[:2, :2], F3[:2, 2], F3[2, 2] = plane, [0.3, -0.2], 0.7
    A = np.array([[1.0, 0.2, 0.5], [-0.3, 1.1, 0.4], [0.6, 0.1, 0.9]])
    state = sg.linear_stationary(
        sg.Langevin.linear(A @ F3 @ np.linalg.inv(A), T=T, D=A @ np.diag([1.0, 0.5, 0.0]) @ A.T)
    )
    assert state.reached.shape == (3, 2)
    assert (
        state.entropy_production == pytest.approx(alone.entropy_production, rel=1e-9) and alone.entropy_production > 0.1
    )
    np.testing.assert_allclose(state.Q, A[:, :2] @ alone.Q @ A[:, :2].T, atol=1e-9)
    flow = A[:, :2] @ alone.current  # j at the points A (y, 0)
    np.testing.assert_allclose(state.current @ A[:, :2], flow, atol=1e-9)


def test_noise_that_hardly_reaches_a_direction_is_not_trusted():
    chain = np.diag([1.0, 2.0, 3.0]) - np.diag([1e-8, 1e-8], -1)
    state = sg.linear_stationary(sg.Langevin.linear(chain, D=[1.0, 0.0, 0.0]))
    with pytest.raises(ValueError, match=r"hardly reaches|reaches [12] of 3"):
        _ = state.precision
