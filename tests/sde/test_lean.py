"""The lean way through the engine: equal to the ordinary one to the last bit, and float32 points equal to float64 to rounding."""

import numpy as np
import pytest
from scipy import stats

import sgdyn as sg
from sgdyn.sde import lean
from sgdyn.sde.course import WIDEST
from sgdyn.sde.methods.euler_maruyama import EulerMaruyama
from sgdyn.sde.walkers import Walkers

A = np.tril(np.ones((7, 7))) / 3 + np.eye(7)
DEFICIENT = A[:, :4] @ A[:, :4].T
PROBLEMS = {
    "double well": (sg.landscapes.double_well().problem(0.1), [0.3]),
    "Müller-Brown": (sg.landscapes.muller_brown().problem(10.0), [-0.55, 1.44]),
    "anisotropic": (sg.Langevin.from_drift(lambda x: -np.tanh(x) * np.exp(-x[::-1] ** 2), T=0.2, D=[1.0, 3.0], dim=2), [0.1, -1.0]),
    "dense linear": (sg.Langevin(sg.quadratic(A @ A.T), T=0.4, D=A @ A.T), np.arange(7.0)),
    "rank 4 of 7": (sg.Langevin(sg.quadratic(A @ A.T), T=0.4, D=DEFICIENT), np.arange(7.0)),
}  # fmt: skip
DT = 1e-4


def run(problem, x0, **options):
    given = {"t": 37 * DT, "dt": DT, "n_paths": 75, "seed": 3, "noise": "single", "save": np.array([5, 6, 16, 37]) * DT}
    return sg.simulate(problem, x0, **(given | options)).x


WAYS = {
    "plain": {},
    "fast": {"rng": "fast"},
    "signs": {"noise": "weak"},
    "many signs": {"noise": "weak", "t": 300 * DT, "first_path": 2**33, "save": np.array([5, 131, 300]) * DT},
    "schedule": {"temperature": lambda t: 1.0 + t / DT},
    "threads": {"first_path": 2**33, "threads": 3},
    "every step": {"save": 38},
    "one path": {"n_paths": 1},
    "two stages": {"method": sg.SRA1()},
    "three stages": {"method": sg.SRA3(), "save": 38},
}
STAGED = ("double well", "anisotropic", "rank 4 of 7")
"""One of each kind: methods of several stages take long to compile."""


RARER = ("one path", "three stages")
"""Ways that a compile each makes slow to test."""


@pytest.mark.parametrize(
    ("name", "way"),
    [
        pytest.param(name, way, marks=[pytest.mark.slow] if way in RARER else [])
        for name in PROBLEMS
        for way in WAYS
        if name in STAGED or "stages" not in way
    ],
)
def test_no_bit_differs_from_the_ordinary_engine(name, way, monkeypatch):
    (problem, x0), options = PROBLEMS[name], WAYS[way]
    found = run(problem, x0, **options)
    monkeypatch.setattr(lean, "suits", lambda course: False)
    np.testing.assert_array_equal(found, run(problem, x0, **options))


WATCHED = {
    "c": sg.Covariance(),
    "m": sg.Maximum(),
    "a": sg.Autocovariance([3 * DT, 9 * DT]),
    "l": sg.LastExit(lambda x: x[0] > 0.3),
}


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("wall", [None, sg.box([(-0.2, 0.31)])], ids=["free", "walls"])
def test_looks_and_walls_change_no_bit_either(wall, every, monkeypatch):
    problem, x0 = PROBLEMS["double well"]
    options = {
        "t": 38 * DT,
        "dt": DT,
        "n_paths": 75,
        "seed": 3,
        "noise": "single",
        "boundary": wall,
        "every": every,
        "after": 5 * DT,
    }
    walled = None if wall is None else run(problem, x0, boundary=wall)
    found = sg.observe(problem, x0, WATCHED, **options)
    arrived = sg.first_passage(problem, x0, lambda x: x[0] > 0.31, dt=DT, n_paths=60, seed=4, noise="single")
    monkeypatch.setattr(lean, "suits", lambda course: False)
    again = sg.observe(problem, x0, WATCHED, **options)
    for name in WATCHED:
        np.testing.assert_array_equal(found[name].value, again[name].value)
        np.testing.assert_array_equal(found[name].error, again[name].error)
    if wall is not None:
        np.testing.assert_array_equal(walled, run(problem, x0, boundary=wall))
    ordinary = sg.first_passage(problem, x0, lambda x: x[0] > 0.31, dt=DT, n_paths=60, seed=4, noise="single")
    np.testing.assert_array_equal(arrived.samples, ordinary.samples)


def walkers_of(calls):
    """The walkers that some calls make."""
    made = []
    original = Walkers.__init__

    def spy(self, *arguments, **keywords):
        original(self, *arguments, **keywords)
        made.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Walkers, "__init__", spy)
        calls()
    return made


def test_the_lean_way_is_taken_where_it_can_be():
    def calls():
        for options in ({}, {"noise": "double"}, {"refine": 2}, {"method": sg.Heun()}, {"boundary": sg.box([(-5, 5)])}):
            run(*PROBLEMS["double well"], **options)

    taken = [each.call.walk is lean.WALKS["float64"].compiled for each in walkers_of(calls)]
    assert taken == [True, False, False, False, True]


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.slow
def test_wide_blocks_hold_the_same_numbers(precision):
    """One thread with many paths has blocks wider than the engine's; the paths are those of narrow ones."""
    problem, x0 = PROBLEMS["double well"]
    options = {"precision": precision, "n_paths": 1700, "threads": 1}
    found = []
    made = walkers_of(lambda: found.append(run(problem, x0, **options)))
    assert [each.x.shape[2] for each in made] == [576] and made[0].x.shape[2] > WIDEST
    for first, count in ((0, 40), (560, 40), (1690, 10)):
        part = run(problem, x0, **options | {"n_paths": count}, first_path=first)
        np.testing.assert_array_equal(found[0][first : first + count], part)


def test_a_linear_process_of_exact_steps_goes_the_lean_way_too(monkeypatch):
    problem, x0 = PROBLEMS["dense linear"]
    found = run(problem, x0, method=sg.ExactLinear())
    monkeypatch.setattr(lean, "suits", lambda course: False)
    np.testing.assert_array_equal(found, run(problem, x0, method=sg.ExactLinear()))


@pytest.mark.parametrize("noise", ["single", "weak"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_float32_is_float64_to_the_growth_of_rounding(name, noise):
    problem, x0 = PROBLEMS[name]
    wide, short = run(problem, x0, noise=noise), run(problem, x0, noise=noise, precision="float32")
    assert short.dtype == np.float64 and np.array_equal(short, short.astype(np.float32))
    growth = 38 * 6e-8 * (1 + np.abs(wide).max()) * 4
    assert 0 < np.abs(short - wide).max() < growth


def test_float32_paths_do_not_depend_on_blocks_threads_or_stretches(tmp_path):
    problem, x0 = PROBLEMS["Müller-Brown"]
    whole = run(problem, x0, precision="float32")
    np.testing.assert_array_equal(whole, run(problem, x0, precision="float32", threads=1))
    np.testing.assert_array_equal(whole[20:23], run(problem, x0, precision="float32", n_paths=3, first_path=20))
    kept = run(problem, x0, precision="float32", checkpoint=tmp_path)
    np.testing.assert_array_equal(kept, run(problem, x0, precision="float32", checkpoint=tmp_path))
    with pytest.raises(ValueError, match="precision"):
        run(problem, x0, checkpoint=tmp_path)


def test_float32_has_the_stationary_law():
    dt, problem = 0.02, PROBLEMS["double well"][0]
    x = sg.simulate(problem, [0.0], t=60, dt=dt, n_paths=20_000, seed=11, noise="single", precision="float32").x[
        :, 0, 0
    ]
    grid = np.linspace(-3, 3, 6001)
    weight = np.exp(-(grid**4 / 4 - grid**2 / 2) / 0.1)
    cumulated = np.cumsum(weight) / weight.sum()
    assert stats.kstest(x, lambda q: np.interp(q, grid, cumulated)).pvalue > 1e-3
    assert stats.kstest(x * 1.05, lambda q: np.interp(q, grid, cumulated)).pvalue < 1e-3


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"noise": "double"}, "noise='double'"),
        ({"refine": 2}, "refine=2"),
        ({"method": sg.Heun()}, "Heun"),
        ({"boundary": sg.box([(-5, 5)])}, "boundary"),
    ],
)
def test_what_float32_cannot_do_is_refused_by_name(options, named):
    with pytest.raises(ValueError, match=named) as refusal:
        run(*PROBLEMS["double well"], precision="float32", **options)
    assert "precision='float64'" in str(refusal.value)


def test_other_noise_is_refused_in_float32():
    problem = sg.Langevin.from_drift(lambda x: -x, T=0.1, D=lambda x: np.array([[1 + x[0] ** 2]]), dim=1)
    with pytest.raises(ValueError, match="formula"):
        run(problem, [0.0], precision="float32")


def test_the_time_in_a_drift_is_refused_in_float32_and_heeded_in_float64():
    problem = sg.Langevin.from_drift(lambda x, t=0.0: np.sin(t / DT) - x, T=0.1, dim=1)
    with pytest.raises(ValueError, match="depends on the time"):
        run(problem, [0.0], precision="float32")
    still = sg.Langevin.from_drift(lambda x: -x, T=0.1, dim=1)
    assert np.abs(run(problem, [0.0]) - run(still, [0.0])).max() > 1e-5


def test_unknown_precisions_are_refused():
    with pytest.raises(ValueError, match="float16"):
        run(*PROBLEMS["double well"], precision="float16")


def test_a_blow_up_in_float32_is_explained():
    with pytest.raises(sg.BlowUpError) as error:
        sg.simulate(
            sg.Langevin.from_drift(lambda x: -(x**3), T=0.1, dim=1),
            [40.0],
            t=1,
            dt=0.01,
            noise="single",
            precision="float32",
            seed=1,
        )
    assert error.value.dt < 0.01


def test_plans_offer_lean_steps_only_where_they_exist():
    offers = {name: EulerMaruyama().plan(problem, DT).lean is not None for name, (problem, _) in PROBLEMS.items()}
    assert all(offers.values()), offers
    big = sg.Langevin(sg.quadratic(np.eye(20)), T=0.1, D=np.eye(20) + 0.1)
    assert EulerMaruyama().plan(big, DT).lean is None
