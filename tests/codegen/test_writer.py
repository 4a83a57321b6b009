"""Every dialect gives the numbers of the function and of its derivatives, at kinks, at zero and where a branch is not taken."""

import numpy as np
import pytest
import torch

import sgdyn as sg

POINTS = np.random.default_rng(0).normal(size=(8, 2)) * 1.3

FUNCTIONS = {
    "real power": lambda x: (x[0] ** 2 + 1) ** 1.7 + x[1],
    "parameter power": lambda x, p=3.0: np.abs(x[0]) ** p + x[1] ** p,
    "cube root": lambda x: np.cbrt(x[0]) ** 4 + x[1] ** 2,
    "number to a power": lambda x: 2.0 ** x[0] + np.exp2(x[1]),
    "power to a power": lambda x: (1 + x[0] ** 2) ** (1 + x[1] ** 2),
    "angle of numbers": lambda x: np.arctan2(1.0, x[0]) + np.arctan2(x[1], 2.0),
    "power of the size": lambda x: np.abs(x[0]) ** 2.5 + x[1] ** 2,
    "constants in both branches": lambda x: np.where(x[0] > 0, 0.1, 0.3) * x[0] ** 2,
    "roots and logarithms": lambda x: (
        np.where(x[0] > 0, np.sqrt(x[0]), -x[0]) + np.where(x[1] > 0, x[1] * np.log(x[1]), 0.0)
    ),
    "nested branches": lambda x: np.where(
        x[0] > 0, np.where(x[1] > 0, np.sqrt(x[0] * x[1]), x[0] ** 1.5), np.where(x[1] < 0, np.log(-x[1]), 1 / x[0])
    ),
    "logarithm of a parameter": lambda x, a=0.0: np.where(a > 0, x[0] * np.log(a), 0.0) + x[0] ** 2,
    "root of a parameter": lambda x, a=-1.0: np.where(a > 0, np.sqrt(a), 2.0) * x[0] ** 2,
    "overflow of a parameter": lambda x, a=1000.0: np.exp(-np.exp(a)) * x[0] ** 2 + x[0] / a,
}  # fmt: skip


@pytest.fixture(params=FUNCTIONS)
def case(request):
    function = FUNCTIONS[request.param]
    with np.errstate(all="ignore"):
        values = np.array([float(function(point)) for point in POINTS])
    return sg.potential(dim=2)(function), values


def block(field, x):
    out = np.empty((int(np.prod(field.shape)), len(x)))
    field.block(np.ascontiguousarray(x.T), field.theta, out)
    return out.T.reshape(len(x), *field.shape)


def test_numpy_and_blocks_agree_with_the_function_and_its_differences(case):
    U, values = case
    np.testing.assert_allclose(U(POINTS), values, rtol=1e-13)
    numeric = np.stack([(U(POINTS + h) - U(POINTS - h)) / 2e-6 for h in 1e-6 * np.eye(2)], -1)
    np.testing.assert_allclose(U.grad(POINTS), numeric, rtol=1e-6, atol=1e-7)
    for field in (U.value, U.grad, U.hess):
        np.testing.assert_allclose(block(field, POINTS), field(POINTS), rtol=1e-12, atol=1e-14)


def test_torch_differentiates_it_without_nan_and_in_double_precision(case):
    U, values = case
    x = torch.tensor(POINTS, requires_grad=True)
    np.testing.assert_allclose(U.torch(x).detach(), values, rtol=1e-13)
    (slope,) = torch.autograd.grad(U.torch(x).sum(), x)
    np.testing.assert_allclose(slope, U.grad(POINTS), rtol=1e-12, atol=1e-14)
    for transform, field in ((torch.func.grad, U.grad), (torch.func.hessian, U.hess)):
        found = torch.func.vmap(transform(U.torch))(x.detach())
        np.testing.assert_allclose(found, field(POINTS), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("p", [4.0, 3.0, 2.0, 1.0, 0.0])
def test_powers_with_a_parameter_have_derivatives_at_zero(p):
    U = sg.potential(dim=1)(lambda x, p=4.0: x[0] ** p).replace(p=p)
    expected = {1: float(p == 1), 2: 2.0 * (p == 2), 3: 6.0 * (p == 3)}
    assert [float(f([0.0]).item()) for f in (U.grad, U.hess, U.laplacian_grad)] == list(expected.values())
    np.testing.assert_array_equal(block(U.hess, np.zeros((8, 1))).ravel(), expected[2])
    np.testing.assert_allclose(U.grad([-1.5]), p * (-1.5) ** (p - 1))


def test_float32_stays_float32():
    U = sg.potential(dim=1)(lambda x, a=0.1: np.where(x[0] > 0, a, 0.3) * x[0])
    assert U.torch(torch.ones(3, 1)).dtype == torch.float32
