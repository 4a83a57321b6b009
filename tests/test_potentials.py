"""Potentials from matrices and from Python functions."""

import numpy as np
import pytest
import torch

import sgdyn as sg

H = np.array([[2.0, 0.3], [0.3, 1.0]])
C = np.array([1.0, -0.5])


def test_quadratic_is_the_closed_form(rng):
    U, x = sg.quadratic(H, C), rng.normal(size=(4, 3, 2))
    y = x - C
    np.testing.assert_allclose(U(x), 0.5 * np.einsum("...i,ij,...j->...", y, H, y), rtol=1e-14)
    np.testing.assert_allclose(U.grad(x), y @ H, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(U.hess(x), np.broadcast_to(H, (4, 3, 2, 2)))
    np.testing.assert_allclose(U.laplacian(x), 3.0)
    np.testing.assert_allclose(U.laplacian_grad(x), 0.0)
    t = torch.tensor(x, requires_grad=True)
    (slope,) = torch.autograd.grad(U.torch(t).sum(), t)
    np.testing.assert_allclose(slope.numpy(), y @ H, rtol=1e-13, atol=1e-14)


def test_quadratic_takes_a_diagonal_and_new_values():
    U = sg.quadratic([1.0, 4.0])
    np.testing.assert_allclose(U.hess([0, 0]), np.diag([1.0, 4.0]))
    np.testing.assert_allclose(U.replace(center=[1, 1]).grad([1, 1]), 0.0)
    assert "quadratic" in repr(U) and U._repr_latex_().startswith("$")


def test_quadratic_agrees_with_the_same_formula_traced(rng):
    traced = sg.potential(dim=2)(lambda x: 0.5 * (x - C) @ H @ (x - C))
    x = rng.normal(size=(6, 2))
    for field in ("value", "grad", "hess", "laplacian", "laplacian_grad"):
        np.testing.assert_allclose(
            getattr(sg.quadratic(H, C), field)(x), getattr(traced, field)(x), rtol=1e-12, atol=1e-13
        )


def test_affine_blocks_are_right_in_every_number_of_rows(rng):
    for d in (1, 2, 3, 4, 5, 8, 9, 21):
        A = rng.normal(size=(d, d))
        U = sg.quadratic(A + A.T, rng.normal(size=d))
        x, out = rng.normal(size=(d, 24)), np.empty((d, 24))
        U.grad.block(x, U.grad.theta, out)
        np.testing.assert_allclose(out.T, U.grad(x.T), rtol=1e-11, atol=1e-12)


def test_functions_of_python_make_a_potential_with_parameters():
    U = sg.Potential.from_functions(lambda x, k: k * np.sum(x**2, -1), lambda x, k: 2 * k * x, dim=3, k=1.5)
    assert float(U([1, 0, 0])) == 1.5
    assert float(U.replace(k=2.0)([1, 0, 0])) == 2.0
    with pytest.raises(ValueError, match="Hessian"):
        U.hess([1, 0, 0])
    with pytest.raises(TypeError, match="torch"):
        U.torch(torch.zeros(3))
    V = sg.Potential.from_functions(
        lambda x: np.sum(x**2, -1), lambda x: 2 * x, lambda x: np.broadcast_to(2 * np.eye(3), (*x.shape, 3)), dim=3
    )
    assert float(V.laplacian([1, 0, 0])) == 6.0


def test_a_wrong_gradient_is_found():
    with pytest.raises(ValueError, match="differences of value"):
        sg.Potential.from_functions(lambda x: np.sum(x**2, -1), lambda x: x, dim=2)
    sg.Potential.from_functions(lambda x: np.sum(x**2, -1), lambda x: x, dim=2, check=False)


def test_a_wrong_hessian_is_found():
    hess = lambda x: np.broadcast_to(4 * np.eye(2), (*x.shape, 2))
    functions = (lambda x: np.sum(x**2, -1), lambda x: 2 * x, hess)
    with pytest.raises(ValueError, match=r"slope 4 from hess.*expected 2 from differences of grad"):
        sg.Potential.from_functions(*functions, dim=2)
    sg.Potential.from_functions(*functions, dim=2, check=False)
