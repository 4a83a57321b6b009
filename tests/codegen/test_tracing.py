"""What NumPy functions are told when they are traced: every argument counts, or is refused."""

import numpy as np
import pytest

import sgdyn as sg

POINTS = np.random.default_rng(0).normal(size=(6, 2))


def summed_in_place(x):
    total = 0.0
    for i in range(2):
        total += x[i] ** 2
    return total


def views_and_aliases(x):
    y = x.copy()
    y *= 2
    alias = y
    alias += 1
    first = y[:1]
    first -= x[1]
    scalar = x[0]
    other = scalar
    other += 3
    return np.sum(y) * scalar + other


UNDERSTOOD = {
    "clip(min=, max=)": lambda x: np.clip(x[0], min=-0.2, max=0.3) ** 2,
    "clip(min=)": lambda x: np.clip(x[0], min=-0.2) ** 2,
    "x.clip(max=)": lambda x: np.sum(x.clip(max=0.1)),
    "x.clip(low, high)": lambda x: np.sum(x.clip(-0.2, 0.3)),
    "norm of a matrix": lambda x: np.linalg.norm(np.outer(x, x) + 2 * np.eye(2)),
    "norm of rows": lambda x: np.sum(np.linalg.norm(np.outer(x, x) + 2 * np.eye(2), axis=1)),
    "norm(ord=2)": lambda x: np.linalg.norm(x, 2),
    "reduce(initial=)": lambda x: np.add.reduce(x**2, initial=5.0),
    "sum(initial=)": lambda x: np.sum(x**2, initial=5.0),
    "max(initial=)": lambda x: np.max(x, initial=0.1),
    "+= on a number": summed_in_place,
    "+= on arrays": views_and_aliases,
    "mean of a list": lambda x: np.mean([x[0] ** 2, x[1] ** 2]),
    "mean of np.array": lambda x: np.mean(np.array([x[0] ** 2, x[1] ** 2])),
    "variance of np.array": lambda x: np.var(np.array([x[0], x[1]])),
    "arcsin of np.array": lambda x: np.sum(np.arcsin(np.array([x[0], x[1]]) / 10)),
    "log10 of np.array": lambda x: np.sum(np.log10(1 + np.array([x[0], x[1]]) ** 2)),
    "cbrt of np.array": lambda x: np.sum(np.cbrt(np.array([x[0], x[1]]))),
    "arctan2 of np.array": lambda x: np.sum(np.arctan2(np.array([x[0], x[1]]), 2.0)),
}


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_the_traced_function_is_the_function(name):
    function = UNDERSTOOD[name]
    expected = [function(point.copy()) for point in POINTS]
    np.testing.assert_allclose(sg.potential(dim=2)(function)(POINTS), expected, rtol=1e-13, atol=1e-15)


REFUSED = {
    "spectral norm": (lambda x: np.linalg.norm(np.outer(x, x), 2), TypeError, "matrix with ord=2"),
    "where= of a ufunc": (lambda x: np.add(x[0], 1.0, where=x[0] > 0), TypeError, "where="),
    "where= of reduce": (lambda x: np.add.reduce(x, where=[True, False]), TypeError, "where="),
    "out=": (lambda x: np.sum(np.add(x, 1.0, out=np.zeros(2))), TypeError, "out= cannot be traced"),
    "two axes": (lambda x: np.add.reduce(np.outer(x, x), axis=(0, 1)), TypeError, "one axis after the other"),
    "maximum of np.array": (lambda x: np.sum(np.maximum(np.array([x[0], x[1]]), 0)), sg.BranchError, r"np\.stack"),
    "np.array of both kinds": (lambda x: np.sum(np.exp(np.array([x[0], 1.0]))), TypeError, r"np\.stack"),
    "random numbers": (lambda x: np.random.default_rng().normal() * x[0], ValueError, "draw random numbers outside"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_traced_is_not_dropped(name):
    function, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        sg.potential(dim=2)(function)
