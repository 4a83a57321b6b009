"""Rates between basins: closed forms, coverage, recrossings, censoring, memory."""

import numpy as np
import pytest
from scipy import linalg

import sgdyn as sg
from sgdyn.fit.sojourns import sojourns

WELL = sg.landscapes.double_well()
CORES = {"left": lambda x: x[0] < -0.6, "right": lambda x: x[0] > 0.6}


def chain(Q, replicas, times, dt, rng, start=0):
    """States (replica, time) of a Markov chain in continuous time, looked at every dt."""
    ladder = np.cumsum(linalg.expm(np.asarray(Q) * dt), axis=1)
    states = np.full((replicas, times), start)
    for t in range(1, times):
        states[:, t] = np.sum(rng.random(replicas)[:, None] > ladder[states[:, t - 1]], axis=1)
    return states[..., None].astype(float)


def at(number):
    return lambda x: (x[0] > number - 0.5) & (x[0] < number + 0.5)


TWO, THREE = [at(0), at(1)], {"a": at(0), "b": at(1), "c": at(2)}


@pytest.mark.parametrize("T", [0.1, 0.06])
def test_double_well_has_the_exact_passage_times(T):
    """1/k is the mean time from the border of one core to the other core, without any separation of time scales; grid and quadrature agree."""
    path = sg.simulate(
        WELL.problem(T), np.repeat([[-1.0], [1.0]], 60, axis=0), t=1500.0, dt=0.01, save=30_000, n_paths=120, seed=1
    )
    found = sg.fit.escape(path.x, CORES, dt=0.05)
    exact = sg.mean_first_passage_1d(WELL.problem(T), -0.6, 0.6)
    grid = sg.fokker_planck(WELL.problem(T), sg.Grid([(-2.2, 2.2, 400)]))
    solved = grid.mean_first_passage(lambda x: x[0] > 0.6, [-0.6])
    beside = found.compare(times={"quadrature": {("left", "right"): exact, ("right", "left"): exact}, "grid": {("left", "right"): solved}})  # fmt: skip
    assert beside.agrees() and len(beside.rows) == 3 and found.counts.sum() > 500
    wrong = found.compare(times={"wrong": {("left", "right"): 1.7 * float(exact)}})
    assert not wrong.agrees()
    assert found.time("left", "right").agrees(exact) and found.plot() is not None and beside.plot() is not None


def test_coming_and_going_at_the_border_does_not_count():
    """Counted by the sign of x there are many times as many transitions, and ever more the finer one looks."""
    T = 0.1
    x = sg.simulate(WELL.problem(T), np.full((50, 1), -1.0), t=600.0, dt=0.01, save=30_000, n_paths=50, seed=2).x
    counts = {}
    for every in (1, 2, 5):
        cores = sg.fit.escape(x[:, ::every], CORES, dt=0.02 * every)
        naive = sg.fit.escape(x[:, ::every], [lambda x: x[0] < 0, lambda x: x[0] > 0], dt=0.02 * every)
        counts[every] = cores.counts.sum(), naive.counts.sum()
    assert counts[1][0] < 1.05 * counts[5][0]
    assert counts[1][1] > 2 * counts[1][0] and counts[1][1] > 1.5 * counts[5][1]
    assert any("recorded half as often" in note for note in naive.warnings)
    assert any("memory" in note for note in naive.warnings)


def test_minima_stand_for_the_parts_of_space_near_them(rng):
    x = rng.normal(size=(3, 400, 2))
    by_minima = sg.fit.escape(x, {"a": [-1.0, 0.0], "b": [3.0, 0.0]}, dt=1.0)
    by_borders = sg.fit.escape(x, {"a": lambda x: x[0] < 0, "b": lambda x: x[0] > 2}, dt=1.0)
    np.testing.assert_array_equal(by_minima.counts, by_borders.counts)
    turned = np.array([[0.6, -0.8], [0.8, 0.6]])
    moved = sg.fit.escape(x @ turned.T + 5, {"a": turned @ [-1.0, 0] + 5, "b": turned @ [3.0, 0] + 5}, dt=1.0)
    np.testing.assert_array_equal(moved.counts, by_minima.counts)


def test_limits_cover_over_many_seeds(rng):
    """Two states, 300 seeds: 95 % limits hold the true rate in 93 to 99 % (exact limits of counts cover more than they say)."""
    k, held, pulls = np.array([0.02, 0.05]), 0, []
    for _ in range(300):
        found = sg.fit.escape(chain([[-k[0], k[0]], [k[1], -k[1]]], 10, 150, 0.5, rng), TWO, dt=0.5)
        rates = np.array([found.rates.value[0, 1], found.rates.value[1, 0]])
        held += np.sum((found.lower[[0, 1], [1, 0]] <= k) & (k <= found.upper[[0, 1], [1, 0]]))
        pulls += [row.pull for row in found.compare({"true": {("0", "1"): k[0], ("1", "0"): k[1]}}).rows]
        assert rates.shape == (2,)
    assert 0.93 <= held / 600 <= 0.99
    assert abs(np.mean(pulls)) < 0.15 and 0.85 < np.std(pulls) < 1.1


def test_three_basins_give_their_rates_and_mean_times(rng):
    Q = np.array([[-0.03, 0.03, 0.0], [0.02, -0.05, 0.03], [0.01, 0.01, -0.02]])
    found = sg.fit.escape(chain(Q, 300, 600, 0.25, rng), THREE, dt=0.25)
    names = "abc"
    true = {(names[i], names[j]): Q[i, j] for i in range(3) for j in range(3) if i != j and Q[i, j]}
    assert found.compare({"true": true}).agrees()
    exact = np.linalg.solve(-Q[:2, :2], np.ones(2))[0]
    assert found.time("a", "c").agrees(exact) and found.time("a", "c").error < 0.05 * exact
    np.testing.assert_allclose(found.generator.sum(axis=1), 0, atol=1e-12)
    soon = found.reached("a", "c", 20.0)
    assert soon.agrees(1 - linalg.expm(Q[:2, :2] * 20.0)[0].sum()) and 0 < soon.error < 0.08 * float(soon)
    # a and c are not neighbours: what is seen are double jumps between two looks
    assert float(found.rate("a", "c")) < 0.05 * Q[0, 1]


def test_error_of_a_mean_time_is_that_of_many_runs(rng):
    Q = np.array([[-0.03, 0.03, 0.0], [0.02, -0.05, 0.03], [0.01, 0.01, -0.02]])
    found = [sg.fit.escape(chain(Q, 20, 300, 0.5, rng), THREE, dt=0.5).time("a", "c") for _ in range(60)]
    spread = np.std([e.value for e in found], ddof=1)
    assert 0.7 < np.median([e.error for e in found]) / spread < 1.4


def test_what_was_never_seen_gets_a_limit(rng):
    x = chain([[0.0, 0.0], [0.0, 0.0]], 5, 100, 1.0, rng)
    found = sg.fit.escape(x, TWO, dt=2.0)
    assert found.exposure.tolist() == [990.0, 0.0]
    assert found.upper[0, 1] == pytest.approx(-np.log(0.05) / 990)
    rate = found.rate("0", "1")
    assert rate.value == 0 and "below" in rate.warnings[0]
    assert any("never left" in note for note in found.warnings) and any("never visited" in n for n in found.warnings)
    with pytest.raises(ValueError, match="cannot be reached"):
        found.time("0", "1")
    beside = found.compare({"large": {("0", "1"): 0.05}, "small": {("0", "1"): 1e-4}})
    assert not beside.agrees("large") and beside.agrees("small")


def test_unfinished_stays_do_not_bias(rng):
    """Most replicas never leave within the recording: the mean of the finished stays is far too short, the rate is right."""
    x = chain([[-0.01, 0.01], [0.0, 0.0]], 4000, 40, 0.5, rng)
    found = sg.fit.escape(x, TWO, dt=0.5)
    finished = found.sojourns.of(0).length[found.sojourns.of(0).next >= 0]
    rate = found.rate("0", "1")
    soon = found.reached("0", "1", 30.0)
    assert float(soon) == pytest.approx(1 - np.exp(-30 * float(rate)), rel=1e-9)
    assert soon.error == pytest.approx(30 * rate.error * np.exp(-30 * float(rate)), rel=1e-4)
    assert rate.agrees(0.01) and finished.mean() < 0.2 * 100
    assert abs(found.shape.value[0] - 1) < 4 * found.shape.error[0] and found.shape.error[0] < 0.05


def test_waiting_times_with_memory_are_seen(rng):
    """Replicas with two different rates: the slow ones are left over."""
    fast, slow = (chain([[-k, k], [k, -k]], 100, 200, 0.5, rng) for k in (0.05, 0.005))
    found = sg.fit.escape([fast, slow], TWO, dt=0.5)
    assert found.shape.value[0] < 0.85 and any("memory" in note for note in found.warnings)
    alone = sg.fit.escape(fast, TWO, dt=0.5)
    assert not alone.warnings


def test_a_coarse_recording_is_noted(rng):
    x = chain([[-0.5, 0.5], [0.5, -0.5]], 50, 200, 0.5, rng)
    assert any("record more often" in note for note in sg.fit.escape(x, TWO, dt=0.5).warnings)


def test_stays_are_what_they_are():
    found = sojourns(np.array([[-1, 0, 0, 1, 1, 0]]), 2.0)
    assert found.basin.tolist() == [0, 1] and found.next.tolist() == [1, 0] and found.length.tolist() == [4.0, 4.0]


def test_recordings_of_networks_in_a_list_have_one_setting():
    from tests.fit.runs import network, run

    net = network()
    space = net.subspace(2)
    runs = [run(net, space, steps=150, replicas=8, seed=seed) for seed in (1, 2)]
    found = sg.fit.escape(runs, [lambda x: x[0] < 0, lambda x: x[0] > 0.01])
    assert found.exposure.sum() == pytest.approx(2 * 8 * 29 * 0.1, rel=0.2)
    with pytest.raises(ValueError, match="different settings"):
        sg.fit.escape([runs[0], run(net, space, steps=150, replicas=8, lr=0.01)], TWO)


@pytest.mark.parametrize(
    ("basins", "options", "words"),
    [
        ([lambda x: x[0] < 1, lambda x: x[0] > -1], {}, "disjoint"),
        ([lambda x: x[0] > 50, lambda x: x[0] < -50], {}, "no replica ever visits"),
        ([lambda x: x[0] > 0], {}, "at least 2"),
        ([lambda x: x[0] > 0, [1.0]], {}, "one kind"),
        ([[1.0], [1.0]], {}, "same minimum"),
        ([[0.0], [1.0]], {"margin": 0.6}, "between 0 and 0.5"),
        ([[0.0], [1.0]], {"confidence": 1.0}, "between 0 and 1"),
    ],
)
def test_bad_input_is_refused(basins, options, words, rng):
    with pytest.raises(ValueError, match=words):
        sg.fit.escape(rng.normal(size=(2, 50, 1)), basins, dt=1.0, **options)


def test_unknown_basins_and_no_predictions_are_refused(rng):
    found = sg.fit.escape(rng.normal(size=(2, 50, 1)), TWO, dt=1.0)
    for ask in (lambda: found.rate("0", "2"), lambda: found.time("0", "0"), found.compare, lambda: found.compare({"x": {("0", "1"): -1}})):  # fmt: skip
        with pytest.raises(ValueError, match="expected"):
            ask()
    with pytest.raises(TypeError, match="expected predicates"):
        sg.fit.escape(rng.normal(size=(2, 50, 1)), 3, dt=1.0)
