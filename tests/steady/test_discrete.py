"""SGD on quadratics: rational solutions, brute simulation, and the ladder of approximations with its stated errors."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sgdyn as sg

H = np.array([[2.0, 0.3], [0.3, 0.5]])
D = np.array([[1.0, 0.4], [0.4, 0.25]])


def test_one_dimension_is_the_textbook_fraction():
    """S = lr D / (B h (2 - lr h)); with momentum (1 + mu)/(1 - mu) lr D/(B h (2 (1 + mu) - lr h))."""
    h, d, lr, batch, mu = Fraction(3, 2), Fraction(2), Fraction(1, 5), 4, Fraction(4, 5)
    plain = sg.discrete_sgd([[float(h)]], [[float(d)]], lr=float(lr), batch=batch)
    assert plain.covariance[0, 0] == pytest.approx(float(lr * d / (batch * h * (2 - lr * h))), rel=1e-14)
    heavy = sg.discrete_sgd([[float(h)]], [[float(d)]], lr=float(lr), batch=batch, momentum=float(mu))
    exact = (1 + mu) / (1 - mu) * lr * d / (batch * h * (2 * (1 + mu) - lr * h))
    assert heavy.covariance[0, 0] == pytest.approx(float(exact), rel=1e-13)


@given(st.integers(1, 5), st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 0.9]))
def test_the_covariance_is_the_fixed_point_of_the_iteration(d, seed, momentum):
    rng = np.random.default_rng(seed)
    A, B = rng.normal(size=(2, d, d))
    hessian, noise = A @ A.T / d + 0.3 * np.eye(d), B @ B.T
    lr = rng.uniform(0.05, 0.9) * 2 * (1 + momentum) / np.linalg.eigvalsh(hessian)[-1]
    sgd = sg.discrete_sgd(hessian, noise, lr=lr, batch=3, momentum=momentum)
    S = sgd._state_covariance
    M, kick = sgd.transition, np.concatenate([-lr * np.eye(d), np.eye(d)])[: len(S)]
    np.testing.assert_allclose(M @ S @ M.T + kick @ noise @ kick.T / 3, S, rtol=1e-7, atol=1e-9 * np.abs(S).max())
    if momentum == 0:
        np.testing.assert_allclose(
            hessian @ S + S @ hessian - lr * hessian @ S @ hessian,
            lr * noise / 3,
            rtol=1e-7,
            atol=1e-8 * np.abs(noise).max(),
        )


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_brute_simulation_agrees(momentum, rng):
    sgd = sg.discrete_sgd(H, D, lr=0.3, batch=4, momentum=momentum)
    root, n = np.linalg.cholesky(D / 4), 50_000
    w, v = np.zeros((n, 2)), np.zeros((n, 2))
    for _ in range(200):
        v = momentum * v + w @ H + rng.normal(size=(n, 2)) @ root.T
        w = w - 0.3 * v
    spread = np.sqrt((np.outer(np.diag(sgd.covariance), np.diag(sgd.covariance)) + sgd.covariance**2) / n)
    assert np.all(np.abs(np.cov(w.T) - sgd.covariance) < 4 * spread)


def test_the_ladder_has_the_errors_it_states():
    """Relative errors of the variance in one dimension: SME-1 -lr h/2, SME-2 about -lr h, SVAG(l) -lr h/2 (1 - 1/l) to leading order, Hessian-aware 0."""
    x = 0.02
    errors = {rung.name: rung.covariance[0, 0] for rung in sg.ladder(sg.discrete_sgd([[1.0]], [[1.0]], lr=x, batch=1))}
    exact = errors["SGD (exact)"]
    assert errors["SME-1 (the diffusion)"] / exact - 1 == pytest.approx(-x / 2, rel=1e-9)
    assert errors["SME-2"] / exact - 1 == pytest.approx(-x, rel=0.02)
    assert errors["SVAG(4)"] / exact - 1 == pytest.approx(-x / 2 * 0.75, rel=0.02)
    assert errors["Hessian-aware diffusion"] == pytest.approx(exact, rel=1e-13)


def test_the_ladder_of_the_dossier():
    """H = [[2, .3], [.3, .5]], lr = 0.3 and D = B: traces 0.0456 exact, 0.0354 SME-1, 0.0297 SME-2 scale with D; the ratios do not depend on it."""
    rungs = sg.ladder(sg.discrete_sgd(H, D, lr=0.3, batch=4), amplification=10**9)
    exact, svag, first, second, aware = (r.covariance for r in rungs)
    np.testing.assert_allclose(svag, first, rtol=1e-8)
    np.testing.assert_allclose(aware, exact, rtol=1e-12)
    assert rungs[2].relative_error(exact) < rungs[3].relative_error(exact)
    np.testing.assert_allclose(
        first, sg.linear_stationary(sg.sgd(sg.quadratic(H), D, lr=0.3, batch=4)).covariance, rtol=1e-12
    )
    assert np.trace(second) < np.trace(first) < np.trace(exact)
    assert sg.ladder(sg.discrete_sgd([[4.0]], [[1.0]], lr=0.3, batch=1))[-1].covariance is None


def test_without_replacement_is_the_finite_sample_factor(rng):
    """Against the covariance of all batches of 2 of 5 numbers."""
    a = rng.normal(size=5)
    a -= a.mean()
    means = [(a[i] + a[j]) / 2 for i in range(5) for j in range(i)]
    sgd = sg.discrete_sgd([[1.0]], [[np.mean(a**2)]], lr=0.1, batch=2, n=5, sampler="without")
    assert sgd.noise[0, 0] == pytest.approx(np.mean(np.square(means)), rel=1e-12)


def test_lags_and_innovations_fit_together():
    for momentum in (0.0, 0.7):
        sgd = sg.discrete_sgd(H, D, lr=0.3, batch=4, momentum=momentum)
        np.testing.assert_allclose(sgd.lagged_covariance(0), sgd.covariance)
        if not momentum:
            M = sgd.transition
            np.testing.assert_allclose(sgd.lagged_covariance(3), M @ M @ M @ sgd.covariance)
            np.testing.assert_allclose(sgd.innovation_covariance(1), 0.09 * D / 4, rtol=1e-10)
        np.testing.assert_allclose(sgd.innovation_covariance(500), sgd.covariance, rtol=1e-6)
    np.testing.assert_allclose(
        sg.discrete_sgd([[0.5]], [[1.0]], lr=0.01, batch=1).correlation_times(), [-0.01 / np.log(1 - 0.005)]
    )


def test_correlation_times_with_momentum_are_those_of_the_iteration():
    sgd = sg.discrete_sgd(np.diag([1.0, 0.2, 0.02]), np.eye(3), lr=0.1, batch=8, momentum=0.9)
    slowest = np.abs(np.linalg.eigvals(sgd.transition)).max()
    found = sgd.correlation_times()
    np.testing.assert_allclose(found[:2], -0.1 / np.log(np.sqrt(0.9)), rtol=1e-9)
    assert found[2] == pytest.approx(-0.1 / np.log(slowest), rel=1e-9)
    lagged = [sgd.lagged_covariance(k)[2, 2] for k in (400, 500)]
    assert found[2] == pytest.approx(0.1 * 100 / np.log(lagged[0] / lagged[1]), rel=1e-6)
    assert sg.discrete_sgd([[1.0]], [[1.0]], lr=1.0, batch=8).correlation_times()[0] == 0.0


@pytest.mark.parametrize("n", ["100", float("nan"), 100.5])
def test_the_number_of_samples_is_a_whole_number(n):
    with pytest.raises(TypeError, match=r"got n=.*whole number"):
        sg.discrete_sgd(H, D, lr=0.1, batch=8, sampler="without", n=n)
    with pytest.raises(TypeError, match=r"got n=.*whole number"):
        sg.sgd(sg.quadratic(H), D, lr=0.1, batch=8, n=n, sampler="replacement")


def test_the_default_sampler_is_that_of_sgd():
    given = {"lr": 0.1, "batch": 8, "n": 64}
    process = sg.sgd(sg.quadratic([[1.0]]), [[2.0]], **given)
    model = sg.discrete_sgd([[1.0]], [[2.0]], **given)
    assert process.origin.sampler == "without"
    assert model.noise[0, 0] == pytest.approx(2.0 / 8 * 56 / 63)


def test_the_ladder_in_rational_numbers():
    """H = [[2, 3/10], [3/10, 1/2]], D = [[1, 2/5], [2/5, 1/4]], lr = 3/10, B = 4: the linear equations of each rung, solved exactly by SymPy."""
    from sympy import Matrix, Rational, eye, symbols
    from sympy import solve as solved

    F, N, lr = Matrix([[2, Rational(3, 10)], [Rational(3, 10), Rational(1, 2)]]), Matrix([[1, Rational(2, 5)], [Rational(2, 5), Rational(1, 4)]]) / 4, Rational(3, 10)  # fmt: skip
    a, b, c = symbols("a b c")
    S = Matrix([[a, b], [b, c]])

    def exact(drift, product):
        found = solved(list(drift * S + S * drift - product * F * S * F - lr * N), [a, b, c])
        return np.array(S.subs(found).tolist(), dtype=float)

    rungs = {rung.name: rung.covariance for rung in sg.ladder(sg.discrete_sgd(H, D, lr=0.3, batch=4))}
    second = F + lr / 2 * F * F
    for name, S_exact in {
        "SGD (exact)": exact(F, lr), "SVAG(4)": exact(F, lr / 4), "SME-1 (the diffusion)": exact(F, 0), "SME-2": exact(second, 0), "Hessian-aware diffusion": exact(F, lr),
    }.items():  # fmt: skip
        np.testing.assert_allclose(rungs[name], S_exact, rtol=1e-12, err_msg=name)
    M = eye(2) - lr * F
    moved = solved(list(M * S * M.T + lr**2 * N - S), [a, b, c])
    np.testing.assert_allclose(rungs["SGD (exact)"], np.array(S.subs(moved).tolist(), dtype=float), rtol=1e-12)


def test_the_ladder_with_momentum():
    """In one dimension lr D (1 + mu)/(B h (1 - mu) (2 (1 + mu) - lr h)) against lr D/(2 B h (1 - mu)): relative error -lr h/(2 (1 + mu))."""
    rungs = sg.ladder(sg.discrete_sgd([[1.5]], [[2.0]], lr=0.1, batch=4, momentum=0.8))
    exact, under, over = (rung.covariance[0, 0] for rung in rungs)
    assert under / exact - 1 == pytest.approx(-0.1 * 1.5 / (2 * 1.8), rel=1e-9)
    assert under == pytest.approx(over, rel=1e-9) and over == pytest.approx(0.1 * 2 / (2 * 4 * 1.5 * 0.2), rel=1e-9)
    exact, under, over = sg.ladder(sg.discrete_sgd(H, D, lr=0.05, batch=4, momentum=0.5))
    errors = [rung.relative_error(exact.covariance) for rung in (under, over)]
    assert errors[0] < 0.05 and errors[0] < errors[1]


def test_the_stationary_identity_of_gradients():
    """E[w . grad U] = (lr/2) E|g_B|² at every learning rate: E|w|² does not change in a step."""
    sgd = sg.discrete_sgd(H, D, lr=0.7, batch=4)
    squared = np.trace(H @ sgd.covariance @ H) + np.trace(sgd.noise)
    assert np.trace(H @ sgd.covariance) == pytest.approx(0.35 * squared, rel=1e-12)
