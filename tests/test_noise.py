"""Diffusion matrices: roots, divergence, rank, and refusal of what is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sgdyn as sg
from sgdyn.covariance import semidefinite_cholesky
from sgdyn.noise import Dense, Diagonal, Varying, as_noise

RANK_ONE = np.outer([1.0, 2.0, -1.0], [1.0, 2.0, -1.0])


def covariance_of(noise, x, rng):
    """D by pushing unit vectors through the root."""
    root = noise.apply(np.broadcast_to(x, (noise.rank, len(x))).copy(), np.eye(noise.rank))
    return root.T @ root


@pytest.mark.parametrize(
    ("given_D", "kind", "rank"),
    [
        (2.0, Diagonal, 3), ([1.0, 0.0, 3.0], Diagonal, 2), (np.diag([1.0, 2.0, 3.0]), Diagonal, 3), (np.eye(3) + 0.5, Dense, 3), (RANK_ONE, Dense, 1),
        (sg.LowRank(np.eye(3)[:, :2], [1.0, 4.0]), sg.LowRank, 2), (sg.LowRank(np.eye(3)[:, :1], [2.0], 0.5), sg.LowRank, 4),
        (lambda x: 1 + x[0] ** 2, Varying, 3), (lambda x: np.array([1.0, 1 + x[1] ** 2, 2.0]), Varying, 3), (lambda x: np.eye(3) * (2 + x[0]) + 0.1, Varying, 3),
    ],
)  # fmt: skip
def test_every_kind_of_noise_has_the_root_of_its_matrix_in_numpy_and_in_blocks(given_D, kind, rank, rng):
    noise, x = as_noise(given_D, 3), np.array([0.3, -0.7, 1.1])
    assert isinstance(noise, kind) and noise.rank == rank
    np.testing.assert_allclose(covariance_of(noise, x, rng), noise(x), atol=1e-14)
    z = rng.normal(size=(rank, 16))
    out = np.empty((3, 16))
    noise.block(np.repeat(x[:, None], 16, axis=1), noise.theta, z, out)
    np.testing.assert_allclose(out.T, noise.apply(np.repeat(x[None], 16, axis=0), z.T), atol=1e-13)


@given(st.integers(1, 6), st.integers(0, 6), st.integers(0, 10**6))
def test_the_semidefinite_root_is_exact_whatever_the_rank(dim, rank, seed):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(dim, min(rank, dim))) * 10.0 ** rng.uniform(-3, 3)
    D = A @ A.T
    L = semidefinite_cholesky(D)
    np.testing.assert_allclose(L @ L.T, D, atol=1e-6 * max(np.abs(D).max(), 1e-300))
    assert np.all(np.triu(L, 1) == 0)
    if rank:
        noise = as_noise(D, dim)
        np.testing.assert_allclose(noise(np.zeros(dim)), D, atol=1e-9 * np.abs(D).max())


def test_the_divergence_of_a_varying_matrix_is_right():
    noise = as_noise(lambda x: np.array([[1 + x[0] ** 2, x[0] * x[1]], [x[0] * x[1], 2 + x[1] ** 2]]), 2)
    np.testing.assert_allclose(noise.divergence([0.5, -0.3]), [2 * 0.5 + 0.5, -0.3 + 2 * -0.3])
    np.testing.assert_allclose(as_noise(3.0, 2).divergence([0.5, -0.3]), 0.0)


def test_a_negative_eigenvalue_is_named_and_can_be_mended():
    bad = np.array([[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(ValueError, match="eigenvalue -1"):
        as_noise(bad, 2)
    mended = sg.nearest_covariance(bad)
    np.testing.assert_allclose(np.linalg.eigvalsh(mended), [0.0, 3.0], atol=1e-14)
    as_noise(mended, 2)


def test_nearly_singular_matrices_keep_their_value(rng):
    Q, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    D = (Q * np.geomspace(1e-15, 1, 8)) @ Q.T
    D = 0.5 * (D + D.T)
    np.testing.assert_allclose(as_noise(D, 8)(np.zeros(8)), D, atol=1e-9)


def test_no_noise_leaks_out_of_the_range_of_a_singular_matrix():
    for D in (RANK_ONE, sg.LowRank([[1.0], [2.0], [-1.0]], [1.0]), lambda x: RANK_ONE + 0 * x[0]):
        free = sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, D=D, dim=3)
        x = sg.simulate(free, [0.0, 0.0, 0.0], t=1, dt=0.1, n_paths=50, seed=1).x[:, 0]
        np.testing.assert_allclose(x @ np.array([[2.0, -1.0, 0.0], [1.0, 0.0, 1.0]]).T, 0.0, atol=1e-13)
        assert x.std() > 0.1


def test_functions_of_python_make_a_varying_noise():
    noise = sg.noise_from_functions(lambda x: np.eye(2) * (1 + x[..., :1, None] ** 2), dim=2)
    process = sg.Langevin(sg.quadratic([1.0, 1.0]), T=0.5, D=noise)
    traced = sg.Langevin(sg.quadratic([1.0, 1.0]), T=0.5, D=lambda x: 1 + x[0] ** 2)
    options = {"t": 1, "dt": 0.05, "n_paths": 20, "seed": 3}
    np.testing.assert_allclose(
        sg.simulate(process, [0.5, 0.0], **options).x, sg.simulate(traced, [0.5, 0.0], **options).x, rtol=1e-11
    )
    with pytest.raises(ValueError, match="divergence"):
        noise.divergence([0.0, 0.0])


def lower_only(x):
    return np.broadcast_to([[1.0, 0.9], [0.0, 1.0]], (*x.shape[:-1], 2, 2))


@pytest.mark.parametrize(
    "make",
    [
        lambda: as_noise(lambda x: np.array([[1, 0.9], [0 * x[0], 1]]), 2),
        lambda: as_noise(lambda x: np.array([[2, x[0] * x[1]], [x[0] * np.abs(x[1]), 2]]), 2),
        lambda: sg.noise_from_functions(lower_only, dim=2),
    ],
)
def test_a_function_that_is_not_symmetric_is_refused(make):
    with pytest.raises(ValueError, match=r"got D\[0,1\] = .*expected a symmetric matrix; type \(D \+ D.T\)/2"):
        make()


def test_a_function_that_is_symmetric_in_value_only_is_taken():
    D = lambda x: np.array([[2 + x[0] ** 2, (x[0] + x[1]) ** 2], [x[0] ** 2 + 2 * x[0] * x[1] + x[1] ** 2, 9.0]])
    np.testing.assert_allclose(as_noise(D, 2)([1.0, 2.0]), [[3.0, 9.0], [9.0, 9.0]])
    assert sg.noise_from_functions(lower_only, dim=2, check=False).dim == 2
