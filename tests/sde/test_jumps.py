"""Heavy-tailed increments and jumps: laws against SciPy and closed forms, and the mutations that those must see."""

import numpy as np
import pytest
from scipy import stats

import sgdyn as sg
from sgdyn.sde.methods.choice import check_variates
from sgdyn.sde.methods.compound_poisson import poisson_thresholds

STILL = sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, dim=1)
COLD = sg.Langevin.from_drift(lambda x: 0 * x, T=1e-300, dim=1)
N = 100_000


def sample(problem, method, t=1.0, dt=1.0, n=N, seed=1, **options):
    return sg.simulate(problem, np.zeros(problem.dim), t=t, dt=dt, n_paths=n, seed=seed, method=method, **options).x[
        :, 0
    ]


def distribution(alpha):
    """The distribution function of the standard symmetric law, interpolated between 100 values of SciPy's."""
    grid = np.sinh(np.linspace(0, np.arcsinh(200.0), 100))
    values = stats.levy_stable.cdf(grid, alpha, 0)
    return lambda x: 0.5 + np.sign(x) * (np.interp(np.arcsinh(np.abs(x)), np.arcsinh(grid), values) - 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.8, 1.0, 1.5, 1.9, 2.0])
def test_increments_have_scipys_stable_law(alpha):
    x = sample(STILL, sg.LevyEuler(alpha, scale=0.7)).ravel() / 0.7
    law = distribution(alpha)
    assert stats.kstest(x, law).pvalue > 1e-3
    assert stats.kstest(1.06 * x, law).pvalue < 1e-3


@pytest.mark.parametrize("alpha", [0.3, 0.8, 1.0, 1.5, 1.9, 2.0])
@pytest.mark.parametrize("noise", ["double", "single"])
def test_increments_have_the_stable_characteristic_function(alpha, noise):
    x = sample(STILL, sg.LevyEuler(alpha, scale=1.0), noise=noise).ravel()
    for k in (0.2, 0.7, 1.5, 4.0):
        wave = np.exp(1j * k * x)
        spread = 4 / np.sqrt(N)
        assert abs(wave.real.mean() - np.exp(-(k**alpha))) < spread * wave.real.std()
        assert abs(wave.imag.mean()) < spread * wave.imag.std()


@pytest.mark.parametrize("alpha", [0.7, 1.3, 1.8])
def test_increments_are_self_similar(alpha):
    """Ten steps of 0.1 are one step of 1; and no other exponent of dt does that."""
    one, ten = (sample(STILL, sg.LevyEuler(alpha, scale=1.0), dt=dt, seed=s).ravel() for dt, s in ((1.0, 1), (0.1, 2)))
    assert stats.ks_2samp(one, ten).pvalue > 1e-3
    assert stats.ks_2samp(one, 10 ** (1 / 2 - 1 / alpha) * ten).pvalue < 1e-3


def test_alpha_two_is_the_langevin_process_itself():
    problem = sg.Langevin(sg.quadratic([[2.0, 0.5], [0.5, 1.0]]), T=0.3, D=[[1.0, 0.4], [0.4, 0.5]])
    a, b = (
        sg.simulate(problem, [1.0, 0.0], t=1, dt=0.1, n_paths=N, seed=3, method=m)
        for m in (sg.LevyEuler(2), sg.EulerMaruyama())
    )
    assert a.mean().agrees(b.mean()) and a.cov().agrees(b.cov())
    assert (
        not sg.simulate(problem, [1.0, 0.0], t=1, dt=0.1, n_paths=N, seed=3, method=sg.LevyEuler(1.9))
        .cov()
        .agrees(b.cov())
    )


def test_a_schedule_of_temperatures_acts_unless_there_is_a_scale():
    hot = {"temperature": lambda t: 2.0}
    assert np.allclose(sample(STILL, sg.LevyEuler(1.5), n=10, **hot), 2 * sample(STILL, sg.LevyEuler(1.5), n=10))
    assert np.array_equal(
        sample(STILL, sg.LevyEuler(1.5, 1.0), n=10, **hot), sample(STILL, sg.LevyEuler(1.5, 1.0), n=10)
    )


def test_a_linear_well_keeps_the_stable_law():
    """X = (1 - h dt) X + scale dt^(1/alpha) S has the stationary scale^alpha = scale^alpha dt/(1 - (1 - h dt)^alpha)."""
    alpha, dt, scale = 1.5, 0.1, 0.4
    x = sample(sg.Langevin(sg.quadratic([1.0]), T=1.0), sg.LevyEuler(alpha, scale), t=10, dt=dt).ravel()
    width = scale * (dt / (1 - (1 - dt) ** alpha)) ** (1 / alpha)
    law = distribution(alpha)
    assert stats.kstest(x / width, law).pvalue > 1e-3 and stats.kstest(1.05 * x / width, law).pvalue < 1e-3
    assert abs(width / (scale * (1 / alpha) ** (1 / alpha)) - 1) < 0.05  # of the continuous process


def test_components_of_the_levy_process_do_not_jump_together():
    flat = sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, dim=2)
    x = np.abs(sample(flat, sg.LevyEuler(1.2)))
    high = x > np.quantile(x, 0.9, axis=0)
    assert stats.chi2_contingency(np.histogram2d(*high.T, bins=2)[0]).pvalue > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("mean", [0.02, 0.3, 3.0, 60.0, 2000.0])
def test_the_number_of_jumps_in_a_step_has_poissons_law(mean):
    x = sample(COLD, sg.CompoundPoisson(mean, marks=[[1.0]]), seed=round(100 * mean)).ravel()
    np.testing.assert_allclose(x, np.round(x), atol=1e-100)
    x = np.round(x)
    assert chi_square(x, mean) > 1e-3 and chi_square(x, mean * (1 + 10 / np.sqrt(N * mean))) < 1e-3


def chi_square(counts, mean):
    """The p-value of counts under Poisson's law, in classes of more than twenty."""
    edges = np.unique(stats.poisson.ppf(np.linspace(0, 1, 42)[1:-1], mean))
    expected = np.diff([0.0, *stats.poisson.cdf(edges, mean), 1.0]) * len(counts)
    observed = np.bincount(np.searchsorted(edges, counts), minlength=len(expected))
    if expected[-1] < 20:
        expected, observed = (
            np.append(expected[:-2], expected[-2:].sum()),
            np.append(observed[:-2], observed[-2:].sum()),
        )
    return stats.chisquare(observed, expected).pvalue


def test_thresholds_reach_as_far_as_the_normals():
    for mean in (1e-6, 0.1, 5.0, 1000.0):
        levels = poisson_thresholds(mean)
        inner = np.abs(levels) < 6
        assert np.all(np.diff(levels[inner]) > 0) and 7.5 < levels[-1] < 9 and levels.size > 1
        np.testing.assert_allclose(
            stats.norm.sf(levels)[inner], stats.poisson.sf(np.arange(len(levels)), mean)[inner], rtol=1e-9
        )
    assert poisson_thresholds(0.0).size == 0


def test_steps_are_independent_and_make_the_law_of_the_whole_time():
    x = sample(COLD, sg.CompoundPoisson(1.7, marks=[[1.0]]), t=3.0, dt=0.25).ravel()
    assert chi_square(np.round(x), 5.1) > 1e-3 and chi_square(np.round(x), 5.3) < 1e-3


MARKS = np.array([[1.0, 0.0], [-2.0, 1.0], [0.5, 0.5], [0.0, -3.0]])


def test_drawn_marks_have_the_mean_and_covariance_of_wald_and_campbell():
    problem = sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, dim=2)
    run = sg.simulate(
        problem, [0.0, 0.0], t=2.0, dt=0.1, n_paths=N, seed=1, method=sg.CompoundPoisson(1.5, marks=MARKS)
    )
    mean, cov = 3 * MARKS.mean(axis=0), 2 * np.eye(2) + 3 * MARKS.T @ MARKS / 4
    assert run.mean().agrees(mean) and run.cov().agrees(cov)
    assert not run.mean().agrees(1.05 * mean) and not run.cov().agrees(1.05 * cov)


def test_all_marks_are_equally_likely_and_independent_of_their_number():
    table = 10.0 ** np.arange(4)[:, None]
    x = np.round(sample(COLD, sg.CompoundPoisson(2.0, marks=table), dt=1.0).ravel()).astype(int)
    digits = x[:, None] // (10 ** np.arange(4)) % 10
    for column in digits.T:
        assert chi_square(column, 0.5) > 1e-3
    assert np.all(np.abs(np.corrcoef(digits.T) - np.eye(4)) < 4.5 / np.sqrt(N))


def test_normal_marks_have_their_characteristic_function():
    rate, scale = 0.8, 1.3
    x = sample(COLD, sg.CompoundPoisson(rate, scale=scale), t=2.0, dt=0.5).ravel()
    for k in (0.5, 1.5):
        wave = np.cos(k * x)
        exact = lambda rate, k=k: np.exp(2 * rate * np.expm1(-((k * scale) ** 2) / 2))
        error = wave.std() / np.sqrt(N)
        assert abs(wave.mean() - exact(rate)) < 4 * error < abs(wave.mean() - exact(1.1 * rate))


@pytest.mark.parametrize("marks", [{"scale": 0.7}, {"marks": [[1.0], [-2.0], [0.5]]}], ids=["normal", "drawn"])
def test_a_linear_well_with_jumps_has_its_variance_in_closed_form(marks):
    rate, T, dt = 3.0, 0.5, 0.02
    square = 0.49 if "scale" in marks else 1.75
    run = sg.simulate(
        sg.Langevin(sg.quadratic([1.0]), T=T),
        [0.0],
        t=8,
        dt=dt,
        n_paths=N // 2,
        seed=1,
        method=sg.CompoundPoisson(rate, **marks),
    )
    mean = 0.0 if "scale" in marks else rate * (-0.5 / 3)
    exact = dt * (2 * T + rate * square) / (1 - (1 - dt) ** 2)
    assert run.mean().agrees([mean]) and run.cov().agrees([[exact]])
    assert not run.cov().agrees([[T]]) and abs(exact / (T + rate * square / 2) - 1) < 0.02


@pytest.mark.parametrize(
    "method", [sg.LevyEuler(1.5), sg.CompoundPoisson(5.0, scale=1.0), sg.CompoundPoisson(5.0, marks=MARKS)]
)
def test_threads_and_other_paths_change_no_bit(method):
    problem = sg.Langevin(sg.quadratic([1.0, 2.0]), T=0.3, D=lambda x: np.array([[1 + x[0] ** 2, 0.2], [0.2, 1.0]]))
    options = {"t": 2.0, "dt": 0.1, "seed": 11, "method": method}
    many = sg.simulate(problem, [0.5, 0.5], n_paths=203, threads=2, save=6, **options).x
    few = sg.simulate(problem, [0.5, 0.5], n_paths=7, first_path=100, threads=1, **options).x
    np.testing.assert_array_equal(few[:, 0], many[100:107, -1])


def test_no_jumps_leave_euler_maruyama():
    problem = sg.Langevin(sg.quadratic([1.0, 2.0]), T=0.3)
    a, b = (
        sg.simulate(problem, [0.5, 0.5], t=1, dt=0.1, n_paths=5, seed=1, method=m).x
        for m in (sg.CompoundPoisson(0.0, scale=1.0), sg.EulerMaruyama())
    )
    np.testing.assert_allclose(a, b, atol=1e-14)


def test_what_makes_no_sense_is_refused():
    for alpha in (0.0, 2.1, -1.0):
        with pytest.raises(ValueError, match="expected 0 < alpha <= 2"):
            sg.LevyEuler(alpha)
    with pytest.raises(ValueError, match="expected one of them"):
        sg.CompoundPoisson(1.0)
    with pytest.raises(ValueError, match="rate"):
        sg.CompoundPoisson(-1.0, scale=1.0)
    with pytest.raises(ValueError, match=r"expected \(number, 1\)"):
        sample(STILL, sg.CompoundPoisson(1.0, marks=MARKS), n=1)
    for method in (sg.LevyEuler(1.5), sg.CompoundPoisson(1.0, scale=1.0)):
        with pytest.raises(ValueError, match="needs normals"):
            check_variates(method, "weak")
