"""Processes and the dictionary from SGD to them."""

import numpy as np
import pytest

import sgdyn as sg

U = sg.quadratic([[2.0, 0.3], [0.3, 1.0]])


def test_the_drift_is_what_the_convention_says(rng):
    x = rng.normal(size=(5, 2))
    curl = lambda x: np.array([-x[1], x[0]])
    np.testing.assert_allclose(
        sg.Langevin(U, curl=curl).drift(x), -U.grad(x) + np.stack([-x[:, 1], x[:, 0]], -1), rtol=1e-13
    )
    D = lambda x: np.array([[1 + x[0] ** 2, x[0] * x[1]], [x[0] * x[1], 2 + x[1] ** 2]])
    process = sg.Langevin.gibbs(U, T=0.4, D=D)
    matrix = np.array([D(p) for p in x])
    div = np.stack([2 * x[:, 0] + x[:, 0], x[:, 1] + 2 * x[:, 1]], -1)
    np.testing.assert_allclose(process.drift(x), -np.einsum("nij,nj->ni", matrix, U.grad(x)) + 0.4 * div, rtol=1e-12)
    np.testing.assert_allclose(
        sg.Langevin.gibbs(U, T=0.4, D=[[1.0, 0.5], [0.5, 1.0]]).drift(x),
        -U.grad(x) @ [[1.0, 0.5], [0.5, 1.0]],
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        sg.Langevin.linear([[1.0, 2.0], [0.0, 3.0]], center=[1.0, 1.0]).drift(x),
        -(x - 1) @ np.array([[1.0, 0.0], [2.0, 3.0]]),
        rtol=1e-12,
        atol=1e-13,
    )


def test_the_dictionary_from_sgd():
    plain = sg.sgd(U, np.eye(2), lr=0.1, batch=32)
    assert isinstance(plain, sg.Langevin) and plain.T == pytest.approx(0.1 / 64) and plain.origin.time_per_step == 0.1
    finite = sg.sgd(U, np.eye(2), lr=0.1, batch=32, n=100)
    assert finite.T == pytest.approx(0.1 / 64 * 68 / 99) and finite.origin.sampler == "without"
    heavy = sg.sgd(U, np.eye(2), lr=0.04, batch=32, momentum=0.9)
    assert isinstance(heavy, sg.Momentum)
    assert (
        heavy.T == pytest.approx(0.04 / 6.4)
        and heavy.friction == pytest.approx(0.1 / 0.2)
        and heavy.origin.time_per_step == pytest.approx(0.2)
    )


def test_momentum_has_the_small_step_limit_of_the_heavy_ball():
    """Variance lr D/(2 B h (1 - mu)) as lr -> 0, from the exact iteration."""
    for lr in (1e-2, 1e-4):
        exact = sg.discrete_sgd([[2.0]], [[1.0]], lr=lr, batch=4, momentum=0.9).covariance[0, 0]
        continuous = sg.linear_stationary(sg.sgd(sg.quadratic([2.0]), 1.0, lr=lr, batch=4, momentum=0.9)).covariance[
            0, 0
        ]
        assert continuous / exact == pytest.approx(1, abs=lr)


def test_the_phase_space_of_momentum_is_right(rng):
    V = sg.potential(dim=2)(lambda x, k=2.0: k * x[0] ** 4 + x[1] ** 2)
    y = rng.normal(size=(6, 4))
    for W in (U, V, sg.Potential.from_functions(lambda x: np.sum(x**4, -1), lambda x: 4 * x**3, dim=2)):
        drift = sg.Momentum(W, T=0.3, friction=0.5).phase_space.drift(y)
        np.testing.assert_allclose(
            drift, np.concatenate([y[:, 2:], -W.grad(y[:, :2]) - 0.5 * y[:, 2:]], -1), rtol=1e-12
        )
    D = sg.Momentum(U, T=0.3, friction=0.5, D=[[1.0, 0.2], [0.2, 1.0]]).phase_space.D([0, 0, 0, 0])
    np.testing.assert_allclose(D[2:, 2:], 0.5 * np.array([[1.0, 0.2], [0.2, 1.0]]))
    assert np.all(D[:2] == 0) and np.all(D[:, :2] == 0)


def test_batch_noise_has_the_covariance_the_dictionary_assumes(rng):
    a = rng.normal(size=(40, 2))
    D = np.cov(a.T, bias=True)
    picks = rng.permuted(np.tile(np.arange(40), (40_000, 1)), axis=1)[:, :10]
    found = np.cov(a[picks].mean(1).T)
    np.testing.assert_allclose(found, D / 10 * 30 / 39, rtol=0.05, atol=2e-3)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: sg.Langevin(U, T=True), TypeError, "T=True.*expected a number"),
        (lambda: sg.Langevin(U, T="0.3"), TypeError, "T='0.3'.*real numbers"),
        (lambda: sg.sgd(U, 1.0, lr="0.1", batch=8), TypeError, "lr='0.1'"),
        (lambda: sg.sgd(U, 1.0, lr=0.1, batch=True), TypeError, "batch=True.*whole number"),
        (
            lambda: sg.Langevin(U, D=np.array([[1, 1j], [-1j, 1]])),
            TypeError,
            r"got D of type complex128.*real numbers; type np\.real",
        ),
        (lambda: sg.quadratic(1j * np.eye(2)), TypeError, "got H of type complex128"),
        (lambda: U(np.array([1j, 0])), TypeError, "points of shape .* real numbers"),
        (lambda: sg.Momentum(U, D=lambda x: 1 + x[0] ** 2), ValueError, "constant one for Momentum"),
    ],
)
def test_what_is_no_real_number_is_refused(make, kind, message):
    with pytest.raises(kind, match=message):
        make()
