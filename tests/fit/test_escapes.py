"""Rates between basins: closed forms, coverage, recrossings, censoring, memory."""

import numpy as np
import pytest
from scipy import linalg

import sgdyn as sg
from sgdyn.fit.chains import fitted, looks
from sgdyn.fit.sojourns import joined, sojourns

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


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_a_coarse_recording_has_no_bias_and_is_noted(rng):
    """Transitions over the time are low by k dt (33 % here); the chain's rates are not, and its waiting times have no memory."""
    for dt in (0.2, 0.8):
        x = chain([[-0.5, 0.5], [0.5, -0.5]], 100, 2000, dt, rng)
        found = sg.fit.escape(x, TWO, dt=dt)
        raw = found.counts[0, 1] / found.exposure[0]
        assert raw == pytest.approx((1 - np.exp(-dt)) / (2 * dt), rel=0.02)
        assert found.rate("0", "1").agrees(0.5) and found.rate("1", "0").agrees(0.5)
        assert found.rates.error[0, 1] < 0.02 * 0.5 and np.all(np.abs(found.shape.value - 1) < 4 * found.shape.error)
        above = 0.5 / raw - 1
        assert len(found.warnings) == 2 and all(
            f"{round(100 * above, -1) // 10:.0f}" in note for note in found.warnings
        )
        assert all("passages between two looks" in note for note in found.warnings) and found.missed == 0


@pytest.mark.slow
@pytest.mark.parametrize("dt", [0.02, 0.1, 0.5, 2.0])
def test_limits_of_coarse_recordings_cover(dt):
    """Three states, mean stays of 1.7 to 2.2: 95 % limits held 50 to 60 % of four of the six rates at dt = 0.5 when rates were counts over time."""
    K = np.array([[0, 0.5, 0.1], [0.2, 0, 0.3], [0.05, 0.4, 0]])
    G, off, rng = K - np.diag(K.sum(axis=1)), ~np.eye(3, dtype=bool), np.random.default_rng(4)
    passage = np.linalg.solve(-G[:2, :2], np.ones(2))[0]
    soon = 1 - linalg.expm(3.0 * G[:2, :2])[0].sum()
    held, pulls, notes = [], [], 0
    for _ in range(100):
        found = sg.fit.escape(chain(G, 20, int(40 / dt), dt, rng), THREE, dt=dt)
        held.append(((found.lower <= K) & (K <= found.upper))[off])
        pulls.append((found.time("a", "c").pull(passage), found.reached("a", "c", 3.0).pull(soon)))
        notes += any("memory" in note or "half as often" in note for note in found.warnings)
    assert np.mean(held, axis=0).min() > 0.88 and 0.93 < np.mean(held) <= 0.99
    assert notes <= 5
    assert np.all(np.abs(np.mean(pulls, axis=0)) < 0.45) and np.all(np.abs(np.std(pulls, axis=0) - 1) < 0.25)


def test_rates_of_a_diffusion_hardly_depend_on_the_time_between_looks():
    """Transitions over the time fall by 4 % from dt = 0.05 to 2; the rates of the chain by less than half of that."""
    problem = sg.Langevin(sg.potential(dim=1)(lambda x: (x[0] ** 2 - 1) ** 2 - 0.15 * x[0]), 0.25)
    path = sg.simulate(problem, np.full((200, 1), -1.0), t=300.0, dt=0.005, save=6000, n_paths=200, seed=1)
    found = [sg.fit.escape(path.x[:, ::every], CORES, dt=0.05 * every) for every in (1, 40)]
    raw, rates = ([f.counts[0, 1] / f.exposure[0] for f in found], [float(f.rate("left", "right")) for f in found])
    assert raw[1] < 0.97 * raw[0] and abs(rates[1] - rates[0]) < 0.5 * (raw[0] - raw[1])
    exact = [sg.mean_first_passage_1d(problem, a, -a) for a in (-0.6, 0.6)]
    beside = found[1].compare(times={"exact": {("left", "right"): exact[0], ("right", "left"): exact[1]}})
    assert beside.agrees()


def test_looks_that_are_too_far_apart_leave_a_lower_bound(rng):
    x = chain([[-5.0, 5.0], [5.0, -5.0]], 20, 100, 2.0, rng)
    found = sg.fit.escape(x, TWO, dt=2.0)
    fast = np.isinf(found.rates.error)
    assert fast.any() and np.all(found.rates.value[fast] < 1) and np.all(np.isinf(found.upper[fast]))
    assert any("nothing more is known" in note for note in found.warnings)
    assert np.isinf(found.time("0", "1").error) and str(found)


def test_runs_looked_at_at_different_times_are_one_chain(rng):
    Q = np.array([[-0.5, 0.5], [0.3, -0.3]])
    found = sg.fit.escape(chain(Q, 100, 300, 1.0, rng), TWO, dt=1.0)
    both = joined([sojourns(chain(Q, 100, 300, dt, rng)[..., 0].astype(int), dt) for dt in (0.5, 1.0)])
    chained = fitted(looks(both, 2), 0.95)
    assert np.all(np.abs((chained.rates - Q)[[0, 1], [1, 0]] / chained.error[[0, 1], [1, 0]]) < 4)
    assert chained.error[0, 1] < found.rates.error[0, 1]


def test_rates_are_the_logarithm_of_the_matrix_of_transitions(rng):
    """Where that is a generator; the reference is SciPy's logm of the counted matrix."""
    x = chain([[-0.6, 0.5, 0.1], [0.2, -0.5, 0.3], [0.1, 0.4, -0.5]], 100, 200, 0.8, rng)
    found = sg.fit.escape(x, THREE, dt=0.8)
    seen = looks(found.sojourns, 3)[0.8]
    np.testing.assert_allclose(found.generator, linalg.logm(seen / seen.sum(axis=1, keepdims=True)) / 0.8, rtol=1e-4)


def test_momentum_has_its_own_clock():
    """lr a step without momentum, sqrt(lr) with; `compare` takes predictions in any clock, or the process that they are of."""
    from tests.fit.runs import network, run

    net = network()
    space = net.subspace(1)
    runs = {mu: run(net, space, momentum=mu, steps=400, replicas=8) for mu in (0.0, 0.75)}
    assert runs[0.0].settings.dt == 0.02 and runs[0.75].settings.dt == pytest.approx(np.sqrt(0.005))
    found = sg.fit.escape(runs[0.75], [lambda x: x[0] < 0, lambda x: x[0] > 0.01])
    assert found.exposure.sum() == pytest.approx(8 * 79 * 5 * np.sqrt(0.005), rel=0.3)
    rate = float(found.rate("0", "1"))
    per_step = rate * np.sqrt(0.005)
    overdamped = sg.sgd(space.potential(), space.D, lr=0.005 / (1 - 0.75), batch=64)
    inert = sg.sgd(space.potential(), space.D, lr=0.005, batch=64, momentum=0.75)
    for predicted, clock in (
        (rate, None),
        (rate, inert),
        (per_step / 0.02, overdamped),
        (per_step / 0.02, 0.02),
        (per_step / 0.005, 0.005),
    ):
        (row,) = found.compare({"same": {("0", "1"): predicted}}, time_per_step=clock).rows
        assert float(row.ratio) == pytest.approx(1.0) and row.pull == pytest.approx(0.0, abs=1e-9)
        (row,) = found.compare(times={"same": {("0", "1"): 1 / predicted}}, time_per_step=clock).rows
        assert float(row.ratio) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="made by sgd"):
        found.compare({"x": {("0", "1"): 1.0}}, time_per_step=sg.Langevin(space.potential(), 1.0))
    with pytest.raises(ValueError, match="from arrays"):
        sg.fit.escape(runs[0.0].x, TWO, dt=1.0).compare({"x": {("0", "1"): 1.0}}, time_per_step=1.0)


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
    for given in (0.5, {"K": 0.5}, {"K": {"0": 0.5}}):
        with pytest.raises(TypeError, match="type compare"):
            found.compare(given)
    with pytest.raises(TypeError, match="joined by & and"):
        sg.fit.escape(rng.normal(size=(2, 50, 1)), [lambda x: (x[0] > 0.5) * (x[0] < 1.5), at(0)], dt=1.0)
    with pytest.raises(TypeError, match="expected predicates"):
        sg.fit.escape(rng.normal(size=(2, 50, 1)), 3, dt=1.0)
