"""SGD's own iteration: its stationary state against the exact theory, and the noise of real batches."""

import numpy as np
import pytest
from scipy import stats

import sgdyn as sg
from sgdyn.sde.methods.choice import check_variates
from tests.sde.linear_steps import stationary_covariance

H = np.array([[2.0, 0.5], [0.5, 1.0]])
GRADIENTS = np.random.default_rng(0).exponential(size=(200, 2)) @ np.array([[1.0, 0.4], [0.0, 0.7]])
D = np.cov(GRADIENTS.T, bias=True)
RUN = {"lr": 0.2, "batch": 4}
MOMENTA = [0.0, 0.5, 0.9]


def process(momentum=0.0, **options):
    return sg.sgd(sg.quadratic(H), D, momentum=momentum, **RUN | options)


def exact(momentum=0.0, **options):
    return sg.discrete_sgd(H, D, momentum=momentum, **RUN | options).covariance


def simulate(problem, method, steps, **options):
    dt = problem.origin.time_per_step
    return sg.simulate(problem, np.zeros(problem.dim), t=steps * dt, dt=dt, method=method, **options)


@pytest.mark.parametrize("momentum", MOMENTA)
@pytest.mark.parametrize("sampling", [{}, {"n": 50, "sampler": "without"}], ids=["replacement", "without"])
def test_the_stationary_covariance_is_that_of_the_iteration_to_rounding(momentum, sampling):
    problem = process(momentum, **sampling)
    found = stationary_covariance(sg.SGDMap(), problem, problem.origin.time_per_step)[:2, :2]
    np.testing.assert_allclose(found, exact(momentum, **sampling), rtol=1e-9)
    assert not np.allclose(found, exact(momentum, lr=0.202), rtol=1e-3)


@pytest.mark.parametrize("momentum", MOMENTA)
@pytest.mark.parametrize("method", [sg.SGDMap(), sg.ResampledSGDMap(GRADIENTS)], ids=["normal", "resampled"])
def test_ensembles_have_that_covariance(method, momentum):
    steps = 60 if momentum < 0.9 else 200
    found = simulate(process(momentum), method, steps, n_paths=40_000, seed=3).component(0, 1).cov()
    assert found.agrees(exact(momentum)) and not found.agrees(1.06 * exact(momentum))


def test_the_heavy_ball_is_the_map_at_its_own_step():
    problem = process(0.9)
    a, b = (simulate(problem, m, 20, n_paths=5, seed=1).x for m in (sg.SGDMap(), sg.StochasticHeavyBall()))
    np.testing.assert_array_equal(a, b)


def test_the_map_is_pytorchs_update_with_velocity_minus_the_root_of_lr_times_v():
    problem, momentum = process(0.9), 0.9
    x = simulate(problem, sg.SGDMap(), 30, n_paths=1, seed=1, save=31).x[0]
    z = sg.normals(1, paths=1, steps=30, components=2)[0]
    xi = -z @ problem.D.factor.T / np.sqrt(RUN["batch"])
    w, v = np.zeros(2), np.zeros(2)
    for k in range(30):
        v = momentum * v + H @ w + xi[k]
        w = w - RUN["lr"] * v
        np.testing.assert_allclose(x[k + 1], [*w, *(-np.sqrt(RUN["lr"]) * v)], atol=1e-12)


def batches(batch, n=400_000, gradients=GRADIENTS, **options):
    """-xi of n batches, from one step out of the minimum."""
    covariance = np.cov(gradients.T, bias=True)
    problem = sg.sgd(sg.quadratic(H), covariance, lr=0.2, batch=batch)
    return -simulate(problem, sg.ResampledSGDMap(gradients), 1, n_paths=n, seed=5, **options).x[:, 0] / 0.2


def unskewed(values):
    """Skewness and excess kurtosis with the errors that the values' own higher moments give them."""
    groups = np.array_split(values, 40)
    found = np.array([[stats.skew(g), stats.kurtosis(g)] for g in groups])
    return found.mean(axis=0), found.std(axis=0) / np.sqrt(len(groups))


@pytest.mark.parametrize("batch", [1, 4, 16])
@pytest.mark.parametrize("noise", ["double", "single"])
def test_one_step_has_the_skewness_and_kurtosis_of_a_batch(batch, noise):
    centred = GRADIENTS - GRADIENTS.mean(axis=0)
    for i in range(2):
        found, error = unskewed(batches(batch, noise=noise)[:, i])
        expected = np.array([stats.skew(centred[:, i]) / np.sqrt(batch), stats.kurtosis(centred[:, i]) / batch])
        assert np.all(np.abs(found - expected) < 4 * error + [0, 3e-3 / batch]), (found, expected, error)
        assert np.all(np.abs(found) > 8 * error) or batch == 16  # normal noise would fail


def test_batches_of_one_are_the_samples_equally_often():
    xi = batches(1, n=100_000)
    centred = GRADIENTS - GRADIENTS.mean(axis=0)
    order = np.argsort(centred[:, 0])
    rows = order[np.clip(np.searchsorted(centred[order, 0], xi[:, 0] - 1e-9), 0, len(order) - 1)]
    np.testing.assert_allclose(xi, centred[rows], atol=1e-12)
    assert stats.chisquare(np.bincount(rows, minlength=len(centred))).pvalue > 1e-3


def test_draws_of_steps_and_paths_are_independent():
    flat = sg.sgd(sg.Potential.from_functions(lambda x: 0 * x[..., 0], lambda x: 0 * x, dim=2), D, **RUN)
    x = simulate(flat, sg.ResampledSGDMap(GRADIENTS), 100, n_paths=2000, seed=2, save=101).x[..., 0]
    xi = np.diff(x, axis=1)
    for a, b in ((xi[:, 1:], xi[:, :-1]), (xi[1:], xi[:-1]), (xi[16:], xi[:-16])):
        a, b = a.ravel() / a.std(), b.ravel() / b.std()
        assert abs(np.mean(a * b)) < 4 / np.sqrt(len(a))
        squares = (a**2 - 1) * (b**2 - 1)
        assert abs(squares.mean()) < 4.5 * squares.std() / np.sqrt(len(a))


def test_threads_and_other_paths_change_no_bit():
    method, problem = sg.ResampledSGDMap(GRADIENTS), process(0.5)
    many = simulate(problem, method, 20, n_paths=100, seed=2, threads=2).x
    np.testing.assert_array_equal(
        simulate(problem, method, 20, n_paths=9, first_path=40, seed=2, threads=1).x, many[40:49]
    )


def test_python_callers_see_the_noise_of_the_compiled_step():
    method = sg.ResampledSGDMap(GRADIENTS)
    plan = method.steps_of(process(), RUN["lr"])
    z = sg.normals(5, paths=10, steps=1, components=plan.normals)[:, 0]
    found = 0.2 * plan.noise.apply(np.zeros((10, 2)), z) / np.sqrt(RUN["batch"])
    np.testing.assert_allclose(found, simulate(process(), method, 1, n_paths=10, seed=5).x[:, 0], atol=1e-14)


def test_noise_that_varies_is_taken_where_the_step_begins():
    problem = sg.sgd(sg.quadratic([1.0]), lambda x: 1 + x[0] ** 2, lr=0.1, batch=10)
    x = sg.simulate(problem, [2.0], t=0.1, dt=0.1, n_paths=40_000, seed=1, method=sg.SGDMap())
    assert x.mean().agrees([1.8]) and x.cov().agrees([[0.01 * 5 / 10]])


def test_what_does_not_fit_is_refused_with_what_to_type():
    refused = lambda match, problem, method, dt=0.2: _refused(match, problem, method, dt)
    refused(r"expected dt=0\.2, the time of one step", process(), sg.SGDMap(), 0.1)
    refused(r"expected dt=0\.447", process(0.9), sg.SGDMap())
    refused(r"type .*sg\.sgd|made by sg\.sgd", sg.Langevin(sg.quadratic(H), T=1.0), sg.SGDMap())
    refused("sampler='replacement'", process(n=50, sampler="without"), sg.ResampledSGDMap(GRADIENTS))
    refused("np.cov", process(), sg.ResampledSGDMap(1.1 * GRADIENTS))
    refused(r"expected \(samples, 2\)", process(), sg.ResampledSGDMap(GRADIENTS[:, :1]))
    with pytest.raises(ValueError, match="needs normals"):
        check_variates(sg.ResampledSGDMap(GRADIENTS), "weak")
    check_variates(sg.SGDMap(), "weak")


def _refused(match, problem, method, dt):
    with pytest.raises(ValueError, match=match):
        sg.simulate(problem, np.zeros(problem.dim), t=dt, dt=dt, method=method)
