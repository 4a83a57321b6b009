"""What methods promise besides their orders: exact laws, stability, and what they refuse."""

import numpy as np
import pytest
from scipy import integrate, stats

import sgdyn as sg
from sgdyn.sde.methods.choice import METHODS, accepts
from sgdyn.sde.methods.exact_linear import transition
from sgdyn.sde.methods.plan import kind_of_noise

double_well = sg.landscapes.double_well().U
GEOMETRIC = sg.Langevin.from_drift(lambda x: -x, T=0.5, D=lambda x: x[0] ** 2, dim=1)


def noisy(sigma, dim):
    """A process without drift whose noise has this factor."""
    return sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, D=sg.factor(sigma, dim=dim), dim=dim)


# Kinds of noise.

KINDS = {
    "additive": (lambda x: np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 2.0]]), 2),
    "diagonal": (lambda x: np.array([[x[0], 0.0], [0.0, np.cos(x[1])]]), 2),
    "scalar": (lambda x: np.array([x[1], -x[0]]), 2),
    "commutative": (lambda x: np.array([[x[0], 2 * x[0]], [x[1], x[1]]]), 2),
    "general": (lambda x: np.array([[1.0, 0.0], [0.0, x[0]]]), 2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_of_a_factor_is_found(kind):
    assert kind_of_noise(noisy(*KINDS[kind]).D) == kind


@pytest.mark.parametrize("kind", KINDS)
def test_the_factor_is_what_it_says(kind, rng):
    function, dim = KINDS[kind]
    noise, x = sg.factor(function, dim=dim), rng.normal(size=dim)
    sigma = np.reshape(function(x), (dim, -1))
    np.testing.assert_allclose(noise(x), sigma @ sigma.T, atol=1e-14)
    z = rng.normal(size=noise.rank)
    np.testing.assert_allclose(noise.apply(x, z), sigma @ z, atol=1e-14)


def test_factors_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"shape \(3,\), expected \(2,\) or \(2, rank\)"):
        sg.factor(lambda x: np.array([1.0, x[0], x[1]]), dim=2)


def test_order_one_needs_no_areas_where_the_noise_commutes():
    general, commutative = noisy(*KINDS["general"]), noisy(*KINDS["commutative"])
    assert sg.SRI2().plan(commutative, 0.1).normals == 2
    assert sg.SRI2().plan(general, 0.1).normals > 2


# Refusals.


@pytest.mark.parametrize(
    ("method", "problem", "trouble"),
    [
        (sg.SRA1(), GEOMETRIC, "diagonal noise"), (sg.SRIW1(), noisy(*KINDS["general"]), "general noise"),
        (sg.SRIW1(), noisy(*KINDS["commutative"]), "commutative noise"), (sg.MALA(), GEOMETRIC, "diagonal noise"),
        (sg.ExactLinear(), sg.Langevin(double_well), "a drift that is not linear"),
        (sg.MALA(), sg.Langevin(double_well, D=2.0), "a stationary density that is not exp"),
        (sg.MALA(), sg.Langevin.linear([[1.0]]), "a drift that is no gradient"),
    ],
    ids=lambda value: "" if isinstance(value, sg.Langevin) else str(value),
)  # fmt: skip
def test_a_method_that_will_not_do_names_those_that_will(method, problem, trouble):
    with pytest.raises(TypeError, match=trouble) as caught:
        sg.simulate(problem, np.full(problem.dim, 0.5), t=1.0, dt=0.1, method=method)
    for other in METHODS:
        assert (f"sg.{other.__name__}()" in str(caught.value).split("type one of")[1]) == accepts(other, problem)


# Exact steps.


@pytest.mark.parametrize("dt", [0.01, 3.0, 300.0])
def test_exact_steps_keep_the_stationary_law_at_any_step(dt):
    """From E[X X'] = S the next moment is S again: M S M' + 2 T C = S, with S from Lyapunov's equation."""
    F, D, T = np.array([[1.0, 5.0], [-4.0, 0.3]]), np.array([[1.0, 0.2], [0.2, 0.5]]), 0.3
    S = sg.linear_stationary(sg.Langevin.linear(F, T=T, D=D)).covariance
    M, b, C = transition(-F, F @ [1.0, 2.0], D, dt)
    np.testing.assert_allclose(M @ S @ M.T + 2 * T * C, S, atol=1e-12)
    np.testing.assert_allclose(M @ [1.0, 2.0] + b, [1.0, 2.0], atol=1e-12)


def test_two_exact_steps_are_one():
    F, D = np.array([[-1.0, 2.0, 0.0], [0.0, 0.1, 1.0], [-3.0, 0.0, -50.0]]), np.diag([0.0, 0.0, 1.0])
    M, b, C = transition(F, np.ones(3), D, 0.2)
    M2, b2, C2 = transition(F, np.ones(3), D, 0.4)
    for found, expected in ((M @ M, M2), (M @ b + b, b2), (M @ C @ M.T + C, C2)):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_exact_steps_of_a_degenerate_process_have_the_right_covariance():
    """Noise on the velocity alone, one step: positions are noisy, and correlated with it."""
    problem = sg.Momentum(sg.quadratic([[2.0]]), T=0.5, friction=0.7)
    path = sg.simulate(problem, [0.0, 0.0], t=50.0, dt=50.0, n_paths=20_000, seed=1, method=sg.ExactLinear())
    found = path.cov()
    assert np.all(np.abs(found.value - np.diag([0.25, 0.5])) < 4 * found.error)


# One method, several ways to its steps.


@pytest.mark.parametrize("method", [sg.SRA1(), sg.SRA3(), sg.ShARK()], ids=repr)
def test_steps_written_out_for_a_drift_are_the_same_steps(method):
    """With D a number the stages are written out; with the same D as a factor, or the same drift in Python, they are not."""
    potential = lambda x, k=1.3: (
        0.25 * np.exp(-(k**3)) * (x[0] ** 2 - 1 / k) ** 2 + 0.5 * x[1] ** 2 + 0.3 * x[0] * np.sin(x[1])
    )
    U, run = sg.potential(dim=2)(potential), {"t": 1.0, "dt": 0.05, "n_paths": 30, "seed": 1, "method": method}
    opaque = sg.Potential.from_functions(U, U.grad, dim=2)
    written = sg.simulate(sg.Langevin(U, T=0.3, D=0.8), [0.5, 0.1], **run).x
    factor = sg.factor(lambda x, s=0.8**0.5: np.array([[s, 0.0], [0.0, s]]), dim=2)
    for problem in (sg.Langevin(U, T=0.3, D=factor), sg.Langevin(opaque, T=0.3, D=0.8)):
        np.testing.assert_allclose(sg.simulate(problem, [0.5, 0.1], **run).x, written, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("method", [sg.MALA(), sg.RI6(), sg.Heun(), sg.SRIW1(), sg.TamedEuler()], ids=repr)
def test_a_potential_in_python_gives_the_same_paths(method):
    run = {"t": 1.0, "dt": 0.05, "n_paths": 30, "seed": 1, "method": method}
    opaque = sg.Potential.from_functions(double_well, double_well.grad, dim=1)
    ours, theirs = (sg.simulate(sg.Langevin(U, T=0.3), [0.5], **run).x for U in (double_well, opaque))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


# Stiff and superlinear drifts.


def test_where_newtons_method_fails_the_error_says_so():
    cubic = sg.Langevin.from_drift(lambda x: x**3, dim=1)
    steep = sg.Langevin.from_drift(lambda x: -30 * np.tanh(20 * x), dim=1)
    for problem, dt in ((cubic, 0.1), (steep, 1.0)):
        with pytest.raises(
            sg.BlowUpError, match=r"Newton's method found no solution.*type dt=.*sg\.TamedEuler"
        ) as info:
            sg.simulate(problem, [1.0], t=10 * dt, dt=dt, seed=1, n_paths=100, method=sg.Theta())
        assert 0 < info.value.dt <= dt / 4


@pytest.mark.parametrize("method", [sg.ExactLinear(), sg.Theta()], ids=lambda method: type(method).__name__)
def test_arrivals_by_long_steps_of_a_stable_method_are_no_blow_ups(method):
    process = sg.Langevin.linear([[1.0]], T=0.5)
    options = {"dt": 3.0, "n_paths": 200, "correction": None, "seed": 1, "method": method}
    assert sg.first_passage(process, [0.0], lambda x: x[0] > 0.3, **options).value > 3.0


def test_tamed_steps_do_not_explode_where_euler_maruyama_does():
    quartic = sg.Langevin(sg.potential(dim=1)(lambda x: x[0] ** 4), T=0.5)
    with pytest.raises(sg.BlowUpError):
        sg.simulate(quartic, [10.0], t=1.0, dt=0.05, n_paths=10, seed=1)
    assert np.all(
        np.abs(sg.simulate(quartic, [10.0], t=20.0, dt=0.05, n_paths=10, seed=1, method=sg.TamedEuler()).x) < 4
    )


def stiff(x, k=1000.0):
    return 0.5 * k * (x[0] - 0.3 * x[1]) ** 2 + 0.25 * x[1] ** 4 + 0.1 * np.cosh(x[0])


@pytest.mark.parametrize("theta", [0.5, 1.0])
def test_implicit_steps_solve_their_equation(theta):
    """Of one step, with the known noise; fifty times longer than explicit steps could be."""
    problem, dt, n = sg.Langevin(sg.potential(dim=2)(stiff), T=0.2), 0.1, 40
    x0 = np.random.default_rng(0).normal(size=(n, 2))
    x = sg.simulate(problem, x0, t=dt, dt=dt, seed=2, method=sg.Theta(theta)).x[:, 0]
    kick = np.sqrt(2 * problem.T * dt) * sg.normals(2, paths=n, steps=1, components=2)[:, 0]
    goal = x0 + dt * ((1 - theta) * problem.drift(x0) + theta * problem.drift(x)) + kick
    np.testing.assert_allclose(x, goal, atol=1e-7 * np.abs(dt * problem.drift(x0)).max())


def test_implicit_steps_of_a_linear_drift_solve_the_same_equation():
    F, dt = np.array([[900.0, 30.0], [-20.0, 1.0]]), 0.1
    problem = sg.Langevin.linear(F, T=0.2, D=[[1.0, 0.3], [0.3, 2.0]], center=[1.0, 0.0])
    x = sg.simulate(problem, [0.5, 0.5], t=dt, dt=dt, seed=2, method=sg.Theta()).x[0, 0]
    z = sg.normals(2, paths=1, steps=1, components=2)[0, 0]
    kick = np.sqrt(2 * problem.T * dt) * np.linalg.cholesky(problem.D(np.zeros(2))) @ z
    np.testing.assert_allclose(x, [0.5, 0.5] + dt * problem.drift(x) + kick, atol=1e-10)


def test_implicit_paths_do_not_depend_on_their_neighbours():
    """Newton's method ends at a different number of corrections on every path."""
    problem = sg.Langevin(sg.potential(dim=2)(stiff), T=0.2)
    x0 = np.random.default_rng(0).normal(size=(40, 2))
    together = sg.simulate(problem, x0, t=0.5, dt=0.1, seed=2, method=sg.Theta()).x
    alone = [
        sg.simulate(problem, x0[i : i + 1], t=0.5, dt=0.1, seed=2, method=sg.Theta(), first_path=i).x[0]
        for i in (0, 7, 33)
    ]
    np.testing.assert_array_equal(together[[0, 7, 33]], alone)


def test_implicit_steps_need_a_derivative():
    U = sg.Potential.from_functions(lambda x: np.sum(x**2, -1), lambda x: 2 * x, dim=2)
    with pytest.raises(
        TypeError,
        match=r"a drift in Python, without its derivative, which it does not accept; type one of sg.EulerMaruyama\(\), sg.Tamed",
    ):
        sg.simulate(sg.Langevin(U), [0.0, 0.0], t=1.0, dt=0.1, method=sg.Theta())


@pytest.mark.parametrize("theta", [-0.1, 1.5, np.nan])
def test_theta_is_a_fraction(theta):
    with pytest.raises(ValueError, match="theta"):
        sg.Theta(theta)


# The Metropolis-adjusted algorithm.


def likelihood(x, U, T):
    """P-value of Kolmogorov and Smirnov's test of |x| against exp(-U/T), U symmetric."""
    grid = np.linspace(0, 4, 4001)
    cumulative = integrate.cumulative_simpson(np.exp(-U(grid[:, None]) / T), x=grid, initial=0)
    return stats.kstest(np.abs(x), lambda y: np.interp(y, grid, cumulative / cumulative[-1])).pvalue


def stationary(problem, method, dt=0.15):
    return sg.simulate(problem, [0.3], t=30.0, dt=dt, n_paths=20_000, seed=3, method=method).x[:, 0, 0]


@pytest.mark.parametrize("D", [1.0, 0.4])
def test_mala_is_exact_at_large_steps(D):
    T = 0.2
    problem = sg.Langevin.gibbs(double_well, T=T, D=D)
    assert likelihood(stationary(problem, sg.MALA()), double_well, T) > 1e-3


def test_the_test_sees_the_error_of_euler_maruyama_and_a_wrong_temperature():
    T = 0.2
    problem = sg.Langevin.gibbs(double_well, T=T)
    assert likelihood(stationary(problem, sg.EulerMaruyama()), double_well, T) < 1e-6
    assert likelihood(stationary(problem, sg.MALA()), double_well, 1.2 * T) < 1e-3


def test_mala_with_a_full_matrix_keeps_the_covariance():
    H, T = np.array([[3.0, 1.0], [1.0, 1.0]]), 0.5
    problem = sg.Langevin.gibbs(sg.quadratic(H), T=T, D=[[1.0, 0.4], [0.4, 0.7]])
    found = sg.simulate(problem, [0.0, 0.0], t=20.0, dt=0.4, n_paths=40_000, seed=5, method=sg.MALA()).cov()
    assert np.all(np.abs(found.value - T * np.linalg.inv(H)) < 4 * found.error)


# Stratonovich.


def test_the_drift_is_converted():
    """dX = b X o dW is geometric: X = exp(b W); its Itô drift is b² X/2."""
    b, process = 0.7, sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, D=lambda x, b=0.7: b**2 * x[0] ** 2, dim=1)
    np.testing.assert_allclose(sg.stratonovich(process).drift([2.0]), b**2, rtol=1e-13)
    factored = sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, D=sg.factor(lambda x, b=b: b * x, dim=1), dim=1)
    np.testing.assert_allclose(sg.stratonovich(factored).drift([2.0]), b**2, rtol=1e-13)
    x = sg.simulate(sg.stratonovich(process), [1.0], t=1.0, dt=1e-3, n_paths=50, seed=1, method=sg.Heun()).x[:, 0, 0]
    W = np.sqrt(1e-3) * sg.normals(1, paths=50, steps=1000).sum(axis=(1, 2))
    np.testing.assert_allclose(x, np.exp(b * W), rtol=2e-3)


@pytest.mark.parametrize("method", [sg.Heun(), sg.SRS2()], ids=repr)
def test_the_conversion_needs_a_formula(method):
    D = sg.noise_from_functions(lambda x: 1 + x[..., None] ** 2, dim=1)
    with pytest.raises(TypeError, match="a D in Python, without its derivative"):
        sg.simulate(sg.Langevin.from_drift(lambda x: -x, D=D, dim=1), [0.5], t=1.0, dt=0.1, method=method)


def test_constant_noise_has_one_interpretation():
    process = sg.Langevin(double_well, T=0.3)
    assert sg.stratonovich(process) is process


def test_the_cholesky_factor_is_differentiated():
    """D of full rank given as a matrix: c_i = sum_jk L_jk d_j L_ik by differences of its Cholesky factor."""
    D = lambda x: np.array([[1.0 + x[1] ** 2, x[0]], [x[0], 2.0 + x[0] ** 2]])
    process, x, h = sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, D=D, dim=2), np.array([0.3, -0.4]), 1e-6
    L = lambda x: np.linalg.cholesky(D(x))
    slope = np.stack([(L(x + h * e) - L(x - h * e)) / (2 * h) for e in np.eye(2)], axis=-1)
    np.testing.assert_allclose(sg.stratonovich(process).drift(x), 0.5 * np.einsum("jk,ikj->i", L(x), slope), atol=1e-8)


# Repeated integrals.


def test_areas_have_the_moments_of_levy_s():
    """A = (int W_1 dW_2 - int W_2 dW_1)/2 at t = 1: E A² = 1/4, E A⁴ = 5/16, E A² |W|² = 5/6, uncorrelated with W."""
    sigma = lambda x: np.array([[1.0, 0.0], [0.0, 1.0], [-x[1], x[0]]])
    x = sg.simulate(noisy(sigma, 3), [0.0] * 3, t=1.0, dt=1.0, n_paths=100_000, seed=6, method=sg.SRI2()).x[:, 0]
    W, A = x[:, :2], x[:, 2] / 2
    square = np.sum(W**2, axis=1)
    for values, expected in (
        (A**2, 1 / 4),
        (A**4, 5 / 16),
        (A**2 * square, 5 / 6),
        (A * W[:, 0] * W[:, 1], 0.0),
        (A * W[:, 0], 0.0),
    ):
        assert abs(values.mean() - expected) < 4 * values.std() / np.sqrt(len(values)) + 2e-3


def test_the_kind_of_noise_is_read_off_what_is_written_down():
    far = sg.factor(lambda x: np.array([[1 + 0.9 * np.tanh((x[0] - 100) / 2)]]), dim=1)
    assert far.kind == "diagonal"
    beyond = sg.Langevin(
        sg.quadratic([1.0, 1.0]), T=0.1, D=lambda x: np.array([1 + np.maximum(x[1] - 10, 0), 1.0 + 0 * x[0]])
    )
    assert kind_of_noise(beyond.D) == "general"
    process = sg.Langevin.from_drift(lambda x: -(x - 100.0), T=1.0, D=far, dim=1)
    with pytest.raises(TypeError, match="does not accept"):
        sg.simulate(process, [100.0], t=0.1, dt=0.01, method=sg.SRA1())
    found = sg.simulate(process, [100.0], t=2.0, dt=0.005, n_paths=4000, seed=1, method=sg.Heun())
    assert found.mean().agrees([100.0])
