"""Rare events by simulation against the integral equation of the discrete chain, quadrature, and a grid."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
from scipy.integrate import quad

import sgdyn as sg
from tests.interruption import interrupted_after

WELL = sg.landscapes.double_well()
T, DT, FROM, UPTO = 0.05, 0.02, -0.9, 0.6


@sg.potential(dim=2)
def NARROWING(x):
    """The wells of dossier C04A, with a narrow pass between them."""
    return x[0] ** 4 / 4 - x[0] ** 2 / 2 + 2 * (1 + 9 * np.exp(-2 * x[0] ** 2)) * x[1] ** 2


def left(x):
    return x[0] < FROM


def right(x):
    return x[0] > UPTO


@cache
def chain(x0):
    """The probability that the Euler-Maruyama chain on x^4/4 - x^2/2 is above UPTO before it is below FROM: u = K u + P, by Gauss's rule."""
    from scipy.special import ndtr

    y, w = np.polynomial.legendre.leggauss(400)
    y, w = 0.5 * (UPTO - FROM) * y + 0.5 * (UPTO + FROM), 0.5 * (UPTO - FROM) * w
    s = np.sqrt(2 * T * DT)

    def rows(x):
        mean = x + DT * (x - x**3)
        density = np.exp(-0.5 * ((y - mean[:, None]) / s) ** 2) / (s * np.sqrt(2 * np.pi))
        return density * w, 1 - ndtr((UPTO - mean) / s)

    K, arrive = rows(y)
    u = np.linalg.solve(np.eye(len(y)) - K, arrive)
    K0, arrive0 = rows(np.array([x0]))
    return float(K0[0] @ u + arrive0[0])


def skewed(x):
    """A score with its rungs in unequal places and a retreat on the way."""
    return (x[0] + 0.9) / 1.5 + 0.1 * np.sin(9 * x[0])


MEANS = {
    "adaptive": {"method": sg.AdaptiveMultilevelSplitting(20, 0.2)},
    "last one": {"method": sg.AdaptiveMultilevelSplitting(8, 0.01)},
    "few levels": {"method": sg.AdaptiveMultilevelSplitting(20, 0.4), "levels": 6},
    "skewed score": {"method": sg.AdaptiveMultilevelSplitting(20, 0.3), "score": skewed, "levels": np.linspace(0.2, 0.95, 20)},
    "forward flux": {"method": sg.ForwardFlux(30, 0.3), "levels": 24},
}  # fmt: skip


@pytest.mark.parametrize(
    "way", [pytest.param(w, marks=pytest.mark.slow) if w in ("last one", "adaptive") else w for w in MEANS]
)
def test_probabilities_of_the_chain_are_unbiased_whatever_the_score_the_levels_and_the_number_of_walkers(way):
    """500 repetitions of very few walkers: a bias of a few percent, as of a wrong count of ties or of overlapping levels, would show."""
    found = sg.hitting_probability(
        WELL.problem(T), [-0.7], left, right, dt=DT, correction=None, repetitions=500, seed=3, **MEANS[way]
    )
    assert found.error < 0.08 * found.value
    assert found.agrees(chain(-0.7), 3.5)
    assert not found.agrees(1.4 * chain(-0.7), 3.5)


@pytest.mark.slow
def test_errors_are_those_of_independent_repetitions():
    """Pulls of thirty small runs have mean 0 and variance 1."""
    pulls = [
        sg.hitting_probability(
            WELL.problem(T), [-0.7], left, right, dt=DT, correction=None, repetitions=12, seed=seed,
            method=sg.AdaptiveMultilevelSplitting(30),
        ).pull(chain(-0.7))
        for seed in range(30)
    ]  # fmt: skip
    assert abs(np.mean(pulls)) < 4 / np.sqrt(30)
    assert 0.6 < np.std(pulls) < 1.6


@pytest.mark.slow
def test_a_barrier_of_15_T_is_climbed_within_four_errors():
    T = 1 / 60
    problem = WELL.problem(T)
    weight = lambda x: np.exp((x**4 / 4 - x**2 / 2) / T)
    exact = quad(weight, -1, -0.85)[0] / quad(weight, -1, 1)[0]
    found = sg.hitting_probability(problem, [-0.85], lambda x: x[0] < -1, lambda x: x[0] > 1, dt=0.005, seed=1)
    assert exact < 1e-6 and found.error < 0.1 * found.value
    assert found.agrees(exact)
    time = sg.mean_escape_time(problem, [-1.0], lambda x: x[0] > 1, dt=0.005, seed=1)
    assert time.error < 0.1 * time.value
    assert time.agrees(sg.mean_first_passage_1d(problem, -1, 1))
    assert not time.agrees(sg.mean_first_passage_1d(WELL.problem(0.9 * T), -1, 1))


@pytest.mark.slow
@pytest.mark.parametrize("barrier", [10, 12, 15])
def test_barriers_of_10_12_and_15_T_with_three_percent(barrier):
    """Four times the work of the default; what it takes is in benchmarks/results/escape.md."""
    problem = WELL.problem(0.25 / barrier)
    exact = sg.mean_first_passage_1d(problem, -1, 1)
    found = sg.mean_escape_time(problem, [-1.0], lambda x: x[0] > 1, dt=0.005, seed=1, repetitions=128)
    assert found.error < 0.045 * found.value and found.agrees(exact)
    assert not found.agrees(1.25 * float(exact))


@pytest.mark.parametrize("T", [0.025, 0.05])
def test_escape_times_by_forward_flux_agree_with_the_known_values(T):
    found = sg.mean_escape_time(WELL.problem(T), [-1.0], lambda x: x[0] > 1, dt=0.01, seed=2, method=sg.ForwardFlux())
    assert found.error < 0.12 * found.value
    assert found.agrees(WELL.answer("mean passage time -1 -> 1", T))


@pytest.mark.slow
def test_escape_times_in_two_dimensions_agree_with_the_grid_also_with_its_committor_as_the_score():
    problem = sg.Langevin(NARROWING, T=0.05)
    found = sg.mean_escape_time(problem, [-1.0, 0.0], lambda x: x[0] > 0, dt=0.01, seed=3, repetitions=16)
    assert found.agrees(701.6714815)  # table C04A: two resolutions of a spectral method
    generator = sg.fokker_planck(problem, sg.Grid([(-1.8, 1.8, 72), (-0.8, 0.8, 64)]))
    home, away = (lambda x: x[0] < -0.95), (lambda x: x[0] > 0)
    committor = generator.committor(home, away)
    exact = committor.at([-0.8, 0.1])
    for score in (None, committor):
        p = sg.hitting_probability(problem, [-0.8, 0.1], home, away, dt=0.005, score=score, seed=4, repetitions=8)
        assert p.agrees(exact)


@pytest.mark.slow
def test_state_dependent_noise_curls_and_momentum_are_accepted():
    noisy = sg.Langevin(WELL.U, 0.1, lambda x: 1 + x[0] ** 2 / 2)
    found = sg.mean_escape_time(noisy, [-1.0], lambda x: x[0] > 1, dt=0.01, seed=5, repetitions=16)
    assert found.agrees(42.03553982563952475)  # dossier C03, Itô: double integral, 60 digits
    light = sg.Momentum(WELL.U, T=0.05, friction=1.0)
    found = sg.mean_escape_time(light, [-1.0, 0.0], lambda x: x[0] > 0.8, dt=0.01, seed=6, levels=40, repetitions=16)
    usual = sg.first_passage(light, [-1.0, 0.0], lambda x: x[0] > 0.8, dt=0.01, n_paths=500, seed=7)
    assert found.agrees(usual)


def small(**options):
    """A few repetitions from a point on which all layouts of the work should agree."""
    settings = {"dt": DT, "seed": 8, "repetitions": 12, "method": sg.AdaptiveMultilevelSplitting(30)} | options
    return sg.hitting_probability(WELL.problem(T), [-0.7], left, right, **settings).samples


def test_numbers_are_a_function_of_the_seed_alone():
    one = small(threads=1)
    np.testing.assert_array_equal(one, small(threads=3))
    with ThreadPoolExecutor(2) as executor:
        np.testing.assert_array_equal(one, small(executor=executor))
        flux = {"method": sg.ForwardFlux(30)}
        np.testing.assert_array_equal(small(**flux), small(executor=executor, **flux))
    np.testing.assert_array_equal(one[:8], small(repetitions=8))
    assert not np.any(one == small(seed=9)) and not np.any(one == small(stream=1))
    assert len(np.unique(one)) == len(one)


def test_ctrl_c_returns_the_repetitions_that_are_done():
    small()  # what is compiled by now is not interrupted
    with interrupted_after(1.5):
        found = sg.hitting_probability(
            WELL.problem(T),
            [-0.7],
            left,
            right,
            dt=DT,
            seed=8,
            repetitions=200_000,
            method=sg.AdaptiveMultilevelSplitting(30),
        )
    assert 2 <= len(found.samples) < 200_000
    assert any("interrupted" in note for note in found.warnings)


def test_bad_input_says_what_to_type():
    problem, go = WELL.problem(T), sg.hitting_probability
    with pytest.raises(ValueError, match="inside the region a"):
        go(problem, [-1.2], left, right, dt=DT)
    with pytest.raises(ValueError, match="inside the region"):
        sg.mean_escape_time(problem, [1.2], right, dt=DT)
    with pytest.raises(ValueError, match="stable point"):
        sg.mean_escape_time(problem, [0.0], right, dt=DT)
    with pytest.raises(TypeError, match="AdaptiveMultilevelSplitting"):
        go(problem, [-0.7], left, right, dt=DT, method="ams")
    with pytest.raises(ValueError, match="rises to 1"):
        go(problem, [-0.7], left, right, dt=DT, score=lambda x: 2 + x[0])
    with pytest.raises(ValueError, match="discarded"):
        sg.AdaptiveMultilevelSplitting(discarded=1.0)
    with pytest.raises(ValueError, match="more levels"):
        go(WELL.problem(0.002), [-0.7], left, right, dt=DT, levels=1, repetitions=2, seed=0)
    with pytest.raises(ValueError, match="increasing"):
        go(problem, [-0.7], left, right, dt=DT, levels=[0.1, 0.0])
    with pytest.raises(sg.BlowUpError):
        go(WELL.problem(0.5), [-0.7], lambda x: x[0] < -60, lambda x: x[0] > 60, dt=2.0, repetitions=2, seed=0)
