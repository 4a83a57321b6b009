"""The orders of convergence that the methods state, as slopes with their own errors."""

import numpy as np
import pytest

import sgdyn as sg

FINE = 9
LEVELS = range(3, FINE)


def slope(errors):
    """Slope of log2(error) against the level, with the error of the fit."""
    (rate, _), covariance = np.polyfit(list(LEVELS), np.log2(errors), 1, cov=True)
    return -rate, float(np.sqrt(covariance[0, 0]))


def geometric(a=-0.5, b=0.6):
    """dX = a X dt + b X dW: drift a x, D = b² x² at 2T = 1."""
    return sg.Langevin.from_drift(lambda x, a=a: a * x, T=0.5, D=lambda x, b=b: b**2 * x[0] ** 2, dim=1)


def strong_errors(process, x0, exact, n=2000):
    """Mean distance at t = 1 from the exact path of the same Brownian motion, for each level of steps."""
    out = []
    for level in LEVELS:
        x = sg.simulate(process, x0, t=1.0, dt=2.0**-level, refine=2 ** (FINE - level), n_paths=n, seed=4).x[:, 0]
        out.append(np.mean(np.abs(x - exact(n))))
    return out


def brownian(n, d=1):
    return np.sqrt(2.0**-FINE) * sg.normals(4, paths=n, steps=2**FINE, components=d).sum(axis=1)


def test_euler_maruyama_has_strong_order_one_half_with_multiplicative_noise():
    a, b = -0.5, 0.6
    errors = strong_errors(geometric(a, b), [1.0], lambda n: np.exp(a - b**2 / 2 + b * brownian(n)))
    rate, error = slope(errors)
    assert abs(rate - sg.EulerMaruyama.strong_order) < 0.1 + 3 * error


def test_euler_maruyama_has_strong_order_one_with_additive_noise():
    """Against its own fine limit, and that limit against the exact stochastic integral on the fine mesh."""
    process = sg.Langevin(sg.landscapes.double_well().U, T=0.5)
    reference = sg.simulate(process, [0.5], t=1.0, dt=2.0**-FINE, n_paths=2000, seed=4).x[:, 0]
    errors = strong_errors(process, [0.5], lambda n: reference)[:-1]
    rate = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all(np.abs(rate[:3] - sg.EulerMaruyama.strong_order_additive) < 0.25)


def test_euler_maruyama_has_weak_order_one():
    """E[X²] of the geometric process; the exact path of the same Brownian motion as control variate."""
    a, b, n = -0.5, 0.6, 40_000
    exact_path = np.exp(a - b**2 / 2 + b * brownian(n))
    errors, spreads = [], []
    for level in LEVELS:
        x = sg.simulate(geometric(a, b), [1.0], t=1.0, dt=2.0**-level, refine=2 ** (FINE - level), n_paths=n, seed=4).x[
            :, 0
        ]
        difference = (x**2 - exact_path**2)[:, 0]
        errors.append(abs(difference.mean()))
        spreads.append(difference.std() / np.sqrt(n))
    weights = np.array(errors) / np.array(spreads)
    rate = -np.polyfit(list(LEVELS), np.log2(errors), 1, w=weights)[0]
    assert abs(rate - sg.EulerMaruyama.weak_order) < 0.2


@pytest.mark.parametrize("wrong", ["drift", "noise"])
def test_a_wrong_sign_is_seen_by_the_strong_test(wrong):
    a, b = (0.5, 0.6) if wrong == "drift" else (-0.5, 0.7)
    errors = strong_errors(geometric(a, b), [1.0], lambda n: np.exp(-0.5 - 0.18 + 0.6 * brownian(n)))
    assert slope(errors)[0] < 0.2
