"""Methods for `Momentum`: exact laws of their linear steps, configurational bias against quadrature, and the paths they follow."""

import itertools

import numpy as np
import pytest
from scipy import integrate, linalg

import sgdyn as sg
from sgdyn.estimate import of_samples
from tests.sde.linear_steps import stationary_covariance, step_of

METHODS = [sg.BAOAB(), sg.OBABO(), sg.GJF(), sg.StochasticHeavyBall()]
SECOND_ORDER = METHODS[:3]
H, T, FRICTION = np.array([1.0, 3.0]), 0.4, 0.7
HARMONIC = sg.Momentum(sg.quadratic(H), T=T, friction=FRICTION)
TILTED = sg.Momentum(sg.quadratic([[2.0, 0.5], [0.5, 1.0]]), T=T, friction=FRICTION, D=[[1.0, 0.6], [0.6, 2.0]])
WELL = sg.Momentum(sg.landscapes.double_well().U, T=0.5, friction=1.0)
IDS = {"ids": lambda method: type(method).__name__}


def slope(steps, errors):
    return np.polyfit(np.log(steps), np.log(errors), 1)[0]


def continuous(problem):
    """The matrix A of dY = A Y dt + ..., and the stationary covariance, from the phase space process and not from the methods."""
    drift, D = problem.phase_space.drift, problem.phase_space.D(np.zeros(problem.dim))
    return drift.matrix, linalg.solve_continuous_lyapunov(drift.matrix, -2 * problem.T * D)


VARIANCES = {
    "BAOAB": lambda dt: (T / H, T * (1 - H * dt**2 / 4)),
    "GJF": lambda dt: (T / H, T * (1 - H * dt**2 / 4)),
    "OBABO": lambda dt: (T / H / (1 - H * dt**2 / 4), T + 0 * H),
}


@pytest.mark.parametrize("method", SECOND_ORDER, **IDS)
@pytest.mark.parametrize("dt", [0.1, 0.5, 1.0])
def test_stationary_variances_in_a_harmonic_well_are_those_of_the_literature(method, dt):
    of_x, of_v = VARIANCES[type(method).__name__](dt)
    found = stationary_covariance(method, HARMONIC, dt)
    np.testing.assert_allclose(found, np.diag([*of_x, *of_v]), atol=1e-10)
    wrong = VARIANCES[type(method).__name__](1.01 * dt)
    assert not np.allclose(np.diag(found), np.concatenate(wrong), atol=1e-6)


@pytest.mark.parametrize("method", SECOND_ORDER, **IDS)
def test_ensembles_have_the_temperature_and_no_other(method):
    of_x, of_v = VARIANCES[type(method).__name__](0.5)
    found = sg.simulate(HARMONIC, np.zeros(4), t=20, dt=0.5, n_paths=40_000, seed=1, method=method).cov()
    exact = np.diag([*of_x, *of_v])
    assert found.agrees(exact) and not found.agrees(1.05 * exact)


@pytest.mark.parametrize("method", METHODS, **IDS)
def test_covariances_of_anisotropic_noise_converge_to_the_solution_of_lyapunovs_equation(method):
    """D is not the unit matrix: no equilibrium, x and v correlated across components."""
    _, exact = continuous(TILTED)
    steps = 0.2 / 2.0 ** np.arange(4)
    errors = [np.abs(stationary_covariance(method, TILTED, dt) - exact).max() for dt in steps]
    assert abs(slope(steps, errors) - method.weak_order) < 0.1
    assert errors[-1] < 0.03 and np.abs(exact[:2, 2:]).max() > 0.01


@pytest.mark.parametrize("method", METHODS, **IDS)
def test_means_converge_with_the_weak_order(method):
    A, _ = continuous(TILTED)
    steps = 0.2 / 2.0 ** np.arange(4)
    errors = [
        np.abs(np.linalg.matrix_power(step_of(method, TILTED, dt)[0], round(1 / dt)) - linalg.expm(A)).max()
        for dt in steps
    ]
    assert abs(slope(steps, errors) - method.weak_order) < 0.15


@sg.potential(dim=1)
def quartic(x):
    return x[0] ** 4 / 4


def squares(method, coarse, n=150_000):
    """x² along paths of dt = coarse, coarse/2, coarse/4 that see the same Brownian motion: the bias as a difference of small variance."""
    problem = sg.Momentum(quartic, T=1.0, friction=0.7)
    for k in range(3):
        options = {"dt": coarse / 2**k, "refine": 4 // 2**k, "n_paths": n, "save": 31, "seed": 7}
        x = sg.simulate(problem, [1.0, 0.0], t=90 * coarse, method=method, **options).x
        yield x[:, 8:, 0] ** 2


def test_the_configurational_bias_of_baoab_is_of_second_order():
    runs = list(squares(sg.BAOAB(), 0.3))
    bias = [of_samples((a - b).mean(axis=1), "") for a, b in itertools.pairwise(runs)]
    assert all(abs(b.value) > 5 * b.error for b in bias)
    rate = np.log2(bias[0].value / bias[1].value)
    assert abs(rate - 2) < 0.15 + 2 * np.log2(np.e) * np.hypot(*[b.error / b.value for b in bias])
    found = of_samples((runs[2] - (runs[1] - runs[2]) / 3).mean(axis=1), "extrapolated to dt = 0")
    assert found.agrees(mean_square(1.0)) and not found.agrees(mean_square(1.02))


def mean_square(T):
    """<x²> of exp(-U/T)."""
    top, bottom = (integrate.quad(lambda x, k=k: x**k * np.exp(-quartic([x]) / T), -9, 9)[0] for k in (2, 0))
    return top / bottom


def test_obabo_is_further_from_the_density():
    biases = [
        np.mean(coarse - fine) for coarse, fine, _ in (squares(m, 0.3, n=10_000) for m in (sg.BAOAB(), sg.OBABO()))
    ]
    assert abs(biases[1]) > 2 * abs(biases[0])


@pytest.mark.parametrize("method", METHODS, **IDS)
def test_paths_converge_to_those_of_euler_maruyama_with_the_strong_order(method):
    """OBABO, which draws the two halves of a step, has a Brownian path of its own, and so itself as reference."""
    options = {"t": 1.0, "n_paths": 500, "seed": 4}
    fine, levels = 2.0**-13, [4, 5, 6, 7]
    reference = sg.simulate(
        WELL, [0.5, 0.3], dt=fine, method=method if method == sg.OBABO() else sg.EulerMaruyama(), **options
    ).x
    errors = [
        np.abs(
            sg.simulate(WELL, [0.5, 0.3], dt=2.0**-k, refine=2 ** (13 - k), method=method, **options).x - reference
        ).mean()
        for k in levels
    ]
    assert abs(slope(2.0 ** -np.array(levels), errors) - method.strong_order) < 0.15
    other = sg.simulate(WELL, [0.5, 0.3], dt=2.0**-7, refine=2**6, method=method, **options | {"seed": 5}).x
    assert np.abs(other - reference).mean() > 10 * errors[-1]


@pytest.mark.parametrize("refine", [2, 3])
def test_obabo_gives_each_half_of_a_step_the_finer_halves_that_lie_in_it(refine):
    """The same steps in NumPy, from the normals in the order of time."""
    steps, dt, gamma, T = 5, 0.1, WELL.friction, WELL.T
    fine = sg.normals(3, paths=2, steps=steps * refine, components=2)
    halves = fine.reshape(2, 2 * steps, refine).sum(axis=2) / np.sqrt(refine)
    keep, spread = np.exp(-gamma * dt / 2), np.sqrt(T * (1 - np.exp(-gamma * dt)))
    x, v = np.full(2, 0.5), np.full(2, 0.3)
    for first, second in zip(halves[:, ::2].T, halves[:, 1::2].T, strict=True):
        v = keep * v + spread * first - dt / 2 * WELL.U.grad(x[:, None])[:, 0]
        x = x + dt * v
        v = keep * (v - dt / 2 * WELL.U.grad(x[:, None])[:, 0]) + spread * second
    options = {"t": steps * dt, "dt": dt, "refine": refine, "n_paths": 2, "seed": 3, "method": sg.OBABO()}
    found = sg.simulate(WELL, [0.5, 0.3], **options).x[:, 0]
    np.testing.assert_allclose(found, np.stack([x, v], axis=1), rtol=1e-12)


def test_obabo_has_the_law_of_euler_maruyama_at_a_given_time():
    options = {"t": 1.0, "n_paths": 40_000}
    squares = lambda y: np.concatenate([y, y**2], axis=-1)
    a = sg.simulate(WELL, [0.5, 0.3], dt=0.02, method=sg.OBABO(), seed=1, **options).mean(squares)
    b = sg.simulate(WELL, [0.5, 0.3], dt=0.001, method=sg.EulerMaruyama(), seed=2, **options).mean(squares)
    assert np.all(np.abs(a.value - b.value) < 4 * np.hypot(a.error, b.error))


NOISES = {"diagonal": [1.0, 0.0], "dense": [[1.0, 0.6], [0.6, 2.0]], "low rank": sg.LowRank([[1.0], [2.0]], [0.5])}


@pytest.mark.parametrize("method", METHODS, **IDS)
@pytest.mark.parametrize("D", NOISES)
def test_neither_groups_of_steps_nor_blocks_change_a_bit(method, D):
    """Several steps at once share gradients; saving every step forbids it."""
    problem = sg.Momentum(sg.potential(dim=2)(lambda x: x[0] ** 4 / 4 + x[1] ** 2 + x[0] * x[1]), T=T, D=NOISES[D])
    options = {"t": 1.1, "dt": 0.1, "seed": 3, "method": method, "threads": 1}
    for noise in ("double", "single"):
        every = sg.simulate(problem, np.full(4, 0.5), n_paths=50, save=12, noise=noise, **options).x
        last = sg.simulate(problem, np.full(4, 0.5), n_paths=7, first_path=20, noise=noise, **options).x
        np.testing.assert_array_equal(every[20:27, -1], last[:, 0])


def test_no_noise_leaves_newtons_equation_with_friction():
    problem = sg.Momentum(sg.quadratic([1.0]), T=T, friction=FRICTION, D=[0.0])
    A, _ = continuous(problem)
    for method in SECOND_ORDER:
        found = sg.simulate(problem, [1.0, 0.0], t=2, dt=0.01, method=method).x[0, 0]
        np.testing.assert_allclose(found, linalg.expm(2 * A) @ [1, 0], atol=1e-4)


def test_what_does_not_fit_is_refused_with_what_would_do():
    with pytest.raises(TypeError, match=r"type one of .*EulerMaruyama"):
        sg.simulate(sg.Langevin(WELL.U, T=1), [0.0], t=1, dt=0.1, method=sg.BAOAB())
    with pytest.raises(ValueError, match=r"expected dt <= 0.5"):
        sg.simulate(sg.Momentum(WELL.U, T=1, friction=2.0), [0.0, 0.0], t=2, dt=1.0, method=sg.StochasticHeavyBall())
