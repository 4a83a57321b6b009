"""Formulas from plain NumPy functions: every form agrees with the function and with differences of it, and nothing is compiled twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest
import torch

import sgdyn as sg
from sgdyn.codegen.formula import traced

WEIGHTS = np.array([0.3, -1.2, 0.7])


def polynomial(x, a=0.5):
    return a * x[0] ** 4 - x[0] * x[1] ** 3 + x[1] ** 2 * x[2] + 2.5 * x[2] ** 2


def transcendental(x, k=1.3):
    return (
        np.exp(-k * x[0] ** 2) * np.sin(x[1])
        + np.log(2 + np.cos(x[2]))
        + np.tanh(x @ WEIGHTS)
        + np.sqrt(1 + np.sum(x**2))
    )


def loops(x, w=WEIGHTS):
    total = 0
    for i in range(len(x)):
        total = total + w[i] * (x[i] - 0.2) ** 2
    return total + np.dot(x[1:], x[:-1]) + np.linalg.norm(x - 1) ** 3


def branches(x, edge=0.3):
    return (
        np.where((x[0] > edge) & (x[1] < 1), x[0] ** 3, x[1] * x[2])
        + np.maximum(x[2], 0.0) ** 2
        + np.abs(x[1] - 0.1) ** 3
        + np.clip(x[0], -0.5, 0.5) ** 2
    )


def special(x):
    return (
        np.arctan2(x[1], 2 + x[0] ** 2)
        + np.cosh(x[2]) / 3
        + np.log1p(x[0] ** 2)
        + np.expm1(x[1] / 4)
        + np.hypot(x[0], 1.0)
        + np.arctan(x[2])
        + (1 + x[2] ** 2) ** 2.5 / 9
        + np.logaddexp(x[0], x[1])
    )


FUNCTIONS = (polynomial, transcendental, loops, branches, special)


def value_of(function, x):
    """The plain function at points (..., dim), one by one."""
    return np.array([float(function(point)) for point in x.reshape(-1, x.shape[-1])]).reshape(x.shape[:-1])


@pytest.fixture(params=FUNCTIONS, ids=lambda f: f.__name__)
def case(request):
    return request.param, sg.potential(dim=3)(request.param)


@pytest.fixture
def x(rng):
    return rng.normal(size=(2, 5, 3))


def difference(f, x, h=1e-5):
    """Central differences with the derivative index last."""
    return np.stack([(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(x.shape[-1])], axis=-1)


def test_the_value_is_that_of_the_function(case, x):
    function, U = case
    np.testing.assert_allclose(U(x), value_of(function, x), rtol=1e-13, atol=1e-14)


def test_derivatives_agree_with_differences_of_the_lower_ones(case, x):
    _, U = case
    np.testing.assert_allclose(U.grad(x), difference(U, x), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(U.hess(x), difference(U.grad, x), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(U.laplacian(x), np.trace(U.hess(x), axis1=-2, axis2=-1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(U.laplacian_grad(x), difference(U.laplacian, x), rtol=1e-5, atol=1e-5)


def test_blocks_give_the_same_numbers_as_numpy(case, rng):
    _, U = case
    x = rng.normal(size=(3, 64))
    for field in (U.value, U.grad, U.hess):
        out = np.empty((int(np.prod(field.shape)), 64))
        field.block(x, field.theta, out)
        np.testing.assert_allclose(out.T.reshape(64, *field.shape), field(x.T), rtol=1e-12, atol=1e-13)


def test_the_torch_form_can_be_differentiated_by_autograd_and_func(case, x):
    _, U = case
    t = torch.tensor(x, requires_grad=True)
    (slope,) = torch.autograd.grad(U.torch(t).sum(), t)
    np.testing.assert_allclose(slope.numpy(), U.grad(x), rtol=1e-11, atol=1e-12)
    hessian = torch.func.hessian(U.torch)(t.detach()[0, 0])
    np.testing.assert_allclose(hessian.numpy(), U.hess(x[0, 0]), rtol=1e-10, atol=1e-11)


def test_derivatives_are_right_to_rounding_by_mpmath():
    mp.mp.dps = 40
    U = sg.potential(dim=2)(lambda x: np.exp(-(x[0] ** 2)) * np.sin(3 * x[1]) + x[0] * x[1] ** 3)
    f = lambda a, b: mp.exp(-(a**2)) * mp.sin(3 * b) + a * b**3
    point = (0.37, -1.21)
    for order, found in (
        ((1, 0), U.grad(point)[0]),
        ((0, 1), U.grad(point)[1]),
        ((1, 1), U.hess(point)[0, 1]),
        ((0, 2), U.hess(point)[1, 1]),
    ):
        assert float(found) == pytest.approx(float(mp.diff(f, point, order)), rel=1e-14)
    third = sum(mp.diff(f, point, order) for order in ((2, 1), (0, 3)))
    assert float(U.laplacian_grad(point)[1]) == pytest.approx(float(third), rel=1e-13)


def test_parameters_are_data():
    U = sg.potential(dim=3)(polynomial)
    x = np.array([1.0, 2.0, 3.0])
    assert float(U.replace(a=2.0)(x) - U(x)) == pytest.approx(1.5)
    assert U.replace(a=2.0).grad.block is U.grad.block
    W = sg.potential(dim=3)(loops)
    assert float(W.replace(w=WEIGHTS + 1)(x) - W(x)) == pytest.approx(np.sum((x - 0.2) ** 2))


def test_constants_keep_every_bit():
    U = sg.potential(dim=1)(lambda x: 0.1 * x[0] + 1e-17 + 123456789.123456789 * x[0] ** 2)
    assert float(U.grad([0.0])[0]) == 0.1
    assert float(U.hess([0.0])[0, 0]) == 2 * 123456789.123456789
    assert float(U([0.0])) == 1e-17


def test_latex_shows_the_formula_with_the_names_of_the_parameters():
    U = sg.potential(dim=2)(lambda x, height=1.0: height * (x[0] ** 2 - 1) ** 2 + 2 * x[1] ** 2)
    assert U._repr_latex_() == r"$U(x) = height \left(x_{0}^{2} - 1\right)^{2} + 2 x_{1}^{2}$"


def test_array_functions_of_numpy_are_understood():
    A = np.arange(9.0).reshape(3, 3)
    functions = [
        lambda x: np.einsum("i,ij,j->", x, A, x), lambda x: np.sum(np.outer(x, x) * A), lambda x: x @ A @ x, lambda x: np.sum(np.roll(x, 1) * x),
        lambda x: np.prod(x), lambda x: np.mean(x**2), lambda x: np.sum(np.diff(x) ** 2), lambda x: np.max(x), lambda x: np.sum(np.stack([x, 2 * x])),
        lambda x: np.polyval([1.0, 2.0, 3.0], x[0]), lambda x: x.reshape(3, 1).sum() + x.dot(x), lambda x: np.sum(np.cumsum(x)), lambda x: np.sum(np.asarray(x) ** 2),
        lambda x: np.sum(np.array([x[0], x[1] ** 2])), lambda x: sum(np.sin(xi) for xi in x), lambda x: x[0] / (x[1] * x[2]) - 1 / x[0] ** 3, lambda x: np.sum(x[::-1] * x),
        lambda x: abs(x[0]) + -x[1] + x[2] ** 0.5 * 0 + 2.0 ** x[1], lambda x: np.sum(np.where(x > 0, x, -2 * x)), lambda x: np.trace(np.diag(x)),
    ]  # fmt: skip
    points = np.array([[0.3, 1.2, 0.7], [1.5, -0.4, 2.2]])
    for i, function in enumerate(functions):
        np.testing.assert_allclose(
            sg.potential(dim=3)(function)(points), value_of(function, points), rtol=1e-13, err_msg=str(i)
        )


def test_vector_fields_and_matrices_are_traced_too(rng):
    field = traced(lambda x, k=2.0: np.array([-x[1], k * x[0] ** 2]), 2)
    x = rng.normal(size=(7, 2))
    np.testing.assert_allclose(field(x), np.stack([-x[:, 1], 2 * x[:, 0] ** 2], -1))
    np.testing.assert_allclose(field.gradient()(x)[:, 1, 0], 4 * x[:, 0])


SCRIPT = """
import json, numpy as np, sgdyn as sg
from numba.core.event import install_recorder
@sg.potential(dim=2)
def U(x, a=1.0): return a * np.exp(-x[0]**2) + (x[0]**2 + x[1]**2) / 2 + np.cos(x[1])
from sgdyn.codegen import emit
made = []
original = emit.body
emit.body = lambda *a: made.append(1) or original(*a)
with install_recorder("numba:compile") as recorder:
    x = sg.simulate(sg.Langevin(U, T=0.3, D=lambda x: 1 + x[0]**2), [0.1, 0.2], t=1, dt=0.01, n_paths=9, seed=1).x
    time = sg.first_passage(sg.Langevin(U, T=0.3), [0.1, 0.2], lambda x: x[0] > 1, dt=0.01, n_paths=9, seed=1)
print(json.dumps([len(recorder.buffer), len(made), x.sum(), time.value, float(U.laplacian([0.1, 0.2]))]))
"""


@pytest.mark.slow
def test_a_second_process_generates_and_compiles_nothing(tmp_path):
    runs = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "SGDYN_CACHE": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        runs.append(json.loads(done.stdout))
    (compiled, generated, *first), (compiled_again, generated_again, *second) = runs
    assert compiled > 0 and generated > 0
    assert compiled_again == 0 and generated_again == 0
    assert first == second
    assert not [p for p in Path(tmp_path).iterdir() if p.suffix == ".part"]
