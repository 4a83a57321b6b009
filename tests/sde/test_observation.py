"""Observables: the same numbers as stored paths, the right averages, errors that cover, no growth of memory, bits that do not move."""

import numpy as np
import pytest
from scipy import stats

import sgdyn as sg
from sgdyn.sde import simulation
from sgdyn.sde.boundaries import confine
from tests.interruption import interrupted_after

PLANE = sg.Langevin.linear([[1.0, 0.5], [-0.5, 2.0]], T=0.5, D=[[1.0, 0.3], [0.3, 0.5]])
ALL = {
    "mean": sg.Average(),
    "energy": sg.Average(lambda x: np.array([[x[0] ** 2, x[0] * x[1]]])),
    "covariance": sg.Covariance(),
    "density": sg.Histogram(sg.Grid([(-1, 1, 5), (-1, 1, 4)])),
    "lagged": sg.Autocovariance([0.0, 0.1, 0.4]),
    "maximum": sg.Maximum(),
}


def watched(process=PLANE, observables=None, **options):
    settings = {"t": 2.0, "dt": 0.05, "n_paths": 700, "seed": 4, "after": 0.5, "every": 2} | options
    return sg.observe(process, np.zeros(process.dim), observables or ALL, **settings)


def stored(n=700):
    """The same paths, looked at the same times."""
    return sg.simulate(PLANE, [0.0, 0.0], t=2.0, dt=0.05, n_paths=n, seed=4, save=41).x[:, 10::2]


def test_observables_are_what_stored_paths_give():
    found, x = watched(), stored()
    flat = x.reshape(-1, 2)
    np.testing.assert_allclose(found["mean"].value, flat.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(
        found["energy"].value, [[np.mean(flat[:, 0] ** 2), np.mean(flat[:, 0] * flat[:, 1])]], rtol=1e-10
    )
    np.testing.assert_allclose(found["covariance"].value, np.cov(flat.T, bias=True), rtol=1e-10)
    np.testing.assert_allclose(found["maximum"].value, x.max(axis=1).mean(axis=0), rtol=1e-10)
    counted, _ = np.histogramdd(flat, bins=[np.asarray(e) for e in ALL["density"].grid.edges])
    np.testing.assert_allclose(found["density"].masses, counted / len(flat), atol=1e-12)
    assert found["density"].outside == pytest.approx(1 - counted.sum() / len(flat))
    for k, lag in enumerate([0, 1, 4]):
        np.testing.assert_allclose(found["lagged"].value[k], lagged(x, lag), rtol=1e-9)


def lagged(x, lag):
    """The covariances of late values with early ones, of paths (n, times, m)."""
    late, early = (part.reshape(-1, x.shape[2]) for part in (x[:, lag:], x[:, : x.shape[1] - lag]))
    return np.cov(late.T, early.T, bias=True)[: x.shape[2], x.shape[2] :]


def bits(found):
    return [found[name].value if name != "density" else found[name].values for name in ALL]


@pytest.mark.parametrize("n", [700, 37])
def test_threads_and_slices_change_no_bit(n, monkeypatch):
    reference = watched(n_paths=n, threads=1)
    monkeypatch.setattr(simulation, "SLICE_WORK", 10)
    for other in (watched(n_paths=n, threads=2), watched(n_paths=n, threads=3)):
        for a, b in zip(bits(reference), bits(other), strict=True):
            np.testing.assert_array_equal(a, b)


def test_averages_agree_with_the_stationary_law_and_not_with_another():
    process = sg.Langevin(sg.quadratic([2.0, 0.5], center=[100.0, -3.0]), T=0.5)
    found = sg.observe(
        process,
        [100.0, -3.0],
        {"m": sg.Average(), "c": sg.Covariance()},
        t=60,
        dt=0.01,
        n_paths=400,
        after=10,
        every=5,
        seed=1,
    )
    exact = np.diag(0.5 / np.array([2.0, 0.5]) / (1 - 0.005 * np.array([2.0, 0.5])))
    assert found["m"].agrees([100.0, -3.0]) and found["c"].agrees(exact)
    assert not found["c"].agrees(1.2 * exact)
    assert np.all(found["c"].error < 0.03)


def test_one_long_path_gives_an_error_from_stretches_of_time():
    found = sg.observe(
        sg.Langevin(sg.quadratic([1.0]), T=0.5), [0.0], {"c": sg.Covariance()}, t=4000, dt=0.02, after=20, seed=2
    )
    assert found["c"].agrees([[0.5 / (1 - 0.01)]]) and found["c"].error[0, 0] < 0.05


def test_errors_of_few_paths_cover_where_stretches_of_time_would_not():
    process, pulls = sg.Langevin(sg.quadratic([1.0]), T=0.5), []
    for seed in range(40):
        found = sg.observe(process, [0.0], {"m": sg.Average()}, t=7, dt=0.05, n_paths=32, after=5, seed=seed)
        pulls.append(float(found["m"].pull([0.0])[0]))
    assert 0.7 < np.std(pulls) < 1.4


def test_no_look_is_dropped_and_companions_change_nothing():
    clockwork = sg.Langevin.from_drift(lambda x: np.array([1.0 + 0 * x[0]]), T=1e-12, dim=1)
    for n in (1, 3, 30, 1000):
        options = {"t": 10.0, "dt": 0.01, "n_paths": n, "every": 26, "seed": 0}
        found = sg.observe(clockwork, [0.0], {"m": sg.Average()}, **options)["m"]
        assert abs(found.value[0] - 0.13 * 39) < 1e-4
    beside = {"m": sg.Average(), "s": sg.Maximum(), "h": sg.Histogram(sg.Grid([(0, 10, 5)]))}
    together = sg.observe(clockwork, [0.0], beside, **(options | {"n_paths": 31}))
    assert abs(together["m"].value[0] - 0.13 * 39) < 1e-4 and together["h"].masses.sum() == pytest.approx(1)


def test_functions_are_read_anew_comparisons_count_and_the_time_runs():
    process = sg.Langevin(sg.quadratic([1.0]), T=0.5)
    f, found = lambda x: x[0] ** power, {}
    for power in (2, 4):
        found[power] = sg.observe(process, [0.0], {"m": sg.Average(f)}, t=20, dt=0.05, n_paths=2000, after=5, seed=0)[
            "m"
        ]
    assert abs(found[2].value - 0.5) < 0.05 and abs(found[4].value - 0.75) < 0.12
    half = sg.observe(
        process, [0.0], {"m": sg.Average(lambda x: x[0] > 0)}, t=20, dt=0.05, n_paths=500, after=5, seed=0
    )["m"]
    assert half.agrees(0.5)
    clockwork = sg.Langevin.from_drift(lambda x: np.array([1.0 + 0 * x[0]]), T=1e-12, dim=1)
    late = sg.observe(
        clockwork, [0.0], {"m": sg.Average(lambda x, t=0.0: x[0] - t)}, t=10, dt=0.01, n_paths=30, seed=0
    )["m"]
    assert abs(late.value) < 1e-4


def test_errors_cover():
    process, pulls = sg.Langevin(sg.quadratic([1.0]), T=0.5), []
    for seed in range(60):
        found = sg.observe(
            process, [0.0], {"m": sg.Average(lambda x: x[0] ** 2)}, t=20, dt=0.05, n_paths=40, after=5, seed=seed
        )
        pulls.append(float(found["m"].pull(0.5 / (1 - 0.025))))
    assert 0.7 < np.std(pulls) < 1.4 and abs(np.mean(pulls)) < 4 / np.sqrt(60)


def test_histograms_follow_the_gibbs_density():
    grid, T = sg.Grid([(-2.5, 2.5, 50)]), 0.25
    well = sg.landscapes.double_well()
    found = sg.observe(
        well.problem(T), [0.0], {"d": sg.Histogram(grid)}, t=40, dt=0.005, n_paths=2000, after=20, every=40, seed=3
    )["d"]
    fine = np.linspace(-2.5, 2.5, 5001)
    weight = np.exp(-well.U(fine[:, None]) / T)
    exact = np.add.reduceat(weight[:-1], np.arange(0, 5000, 100)) / weight[:-1].sum()
    pulls = (found.masses - exact) / np.maximum(found.error * grid.volumes, 1e-6)
    inner = exact > 1e-3
    assert np.abs(pulls[inner]).max() < 5 and stats.chi2.sf(np.sum(pulls[inner] ** 2) / 1.3, inner.sum()) > 1e-4
    some = sg.observe(PLANE, [0.0, 0.0], {"d": sg.Histogram(grid, [1])}, t=1, dt=0.1, n_paths=100, seed=3)["d"]
    assert some.masses.sum() == pytest.approx(1)


def test_lagged_covariances_show_the_circulation():
    """C(lag) = expm(-F lag) S of the linear process; its antisymmetric part is Q to first order."""
    from scipy.linalg import expm

    found = sg.observe(
        PLANE, [0.0, 0.0], {"c": sg.Autocovariance([0.2, 1.0])}, t=60, dt=0.005, n_paths=400, after=10, every=8, seed=5
    )["c"]
    S = sg.linear_stationary(PLANE).covariance
    F = np.array([[1.0, 0.5], [-0.5, 2.0]])
    exact = np.array([expm(-F * lag) @ S for lag in (0.2, 1.0)])
    assert np.all(np.abs(found.value - exact) < 4 * found.error + 0.004)
    odd = found.value[0] - found.value[0].T
    assert abs(odd[0, 1]) > 5 * found.error[0, 0, 1] and np.sign(odd[0, 1]) == np.sign((exact[0] - exact[0].T)[0, 1])


def test_lagged_covariances_do_not_know_where_the_paths_began():
    """The steps are linear: from x0 far away they go to the same places but for rounding. Long lags, and stretches of time of few paths."""
    lags, given = sg.Autocovariance([0.0, 1.0, 10.0]), {"dt": 0.01, "every": 10, "seed": 0}
    process = sg.Langevin.linear([[1.0]], T=1.0)
    for settings in ({"t": 70, "after": 50, "n_paths": 200}, {"t": 700, "after": 50, "n_paths": 1}):
        far, near = (sg.observe(process, [x0], {"c": lags}, **settings, **given)["c"] for x0 in (1e3, 0.0))
        np.testing.assert_allclose(far.value, near.value, rtol=0, atol=1e-8)
        np.testing.assert_allclose(far.error, near.error, rtol=0, atol=1e-8)
        assert abs(near.value[1, 0, 0] - np.exp(-1)) < 4 * near.error[1, 0, 0]
    settings = {"t": 70, "after": 50, "n_paths": 40}
    far, near = (sg.observe(PLANE, x0, {"c": lags}, **settings, **given)["c"] for x0 in ([1e3, -400.0], [0.0, 0.0]))
    np.testing.assert_allclose(far.value, near.value, rtol=0, atol=1e-8)


def test_splitting_probability_of_brownian_motion():
    flat = sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, dim=1)
    found = sg.observe(
        flat, [0.3], {"up": sg.Splitting(lambda x: x[0] > 1, lambda x: x[0] < 0)}, t=30, dt=1e-3, n_paths=4000, seed=1
    )
    assert abs(float(found["up"]) - 0.3) < 4 * found["up"].error + 0.006
    assert not found["up"].agrees(0.5)
    early = sg.observe(
        flat, [0.3], {"up": sg.Splitting(lambda x: x[0] > 1, lambda x: x[0] < 0)}, t=0.1, dt=1e-3, n_paths=400, seed=1
    )
    assert "reached neither" in early["up"].warnings[0] and "O(sqrt(0.001))" in early["up"].warnings[1]


def test_functions_that_are_no_number_somewhere_say_so():
    found = watched(n_paths=40, observables={"log": sg.Average(lambda x: np.log(x[0])), "mean": sg.Average()})
    assert np.isnan(found["log"].value) and "no number" in found["log"].warnings[0] and not found["mean"].warnings


def test_observations_draw_themselves():
    axes = watched(n_paths=100).plot()
    assert [ax.get_title() for ax in axes] == list(ALL)
    assert str(watched(n_paths=40, observables={"mean": sg.Average()})).startswith("mean: ")


def test_last_exits_and_maxima_of_brownian_motion():
    """The last zero before t has the arcsine law (mean t/2), the maximum the mean sqrt(2t/pi)."""
    flat = sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, dim=1)
    found = sg.observe(
        flat,
        [0.0],
        {"max": sg.Maximum(), "exit": sg.LastExit(lambda x: x[0] < 0)},
        t=4.0,
        dt=4e-4,
        n_paths=4000,
        seed=2,
    )
    assert all("O(sqrt(0.0004))" in found[name].warnings[0] for name in found.results)
    correction = 0.5826 * np.sqrt(4e-4)
    assert found["max"].agrees([np.sqrt(8 / np.pi) - correction])
    assert (
        abs(float(found["exit"]) - 3.0) < 4 * found["exit"].error + 0.03
    )  # half end below zero: t; the others' mean is t/2


def test_ctrl_c_returns_what_the_finished_paths_say():
    """A fast machine finishes many paths, so there is no error of the step, and of the start only 1e-5 are left."""
    with interrupted_after(2.5), pytest.warns(UserWarning, match="interrupted"):
        found = sg.observe(
            PLANE,
            [0.0, 0.0],
            {"c": sg.Covariance()},
            t=6,
            dt=0.002,
            n_paths=3_000_000,
            after=5,
            every=10,
            seed=1,
            method=sg.ExactLinear(),
        )
    assert not found.complete and 0 < found.paths < 3_000_000
    assert found["c"].agrees(sg.linear_stationary(PLANE).covariance, 6)


def test_wrong_calls():
    for call, error, words in (
        (lambda: watched(observables=[sg.Average()]), TypeError, "names"),
        (lambda: watched(observables={str(i): sg.Average() for i in range(7)}), ValueError, "at most 6"),
        (lambda: watched(observables={"a": sg.Autocovariance([0.5, 0.1])}), ValueError, "increasing"),
        (lambda: watched(observables={"a": sg.Autocovariance([50.0])}), ValueError, "longer t"),
        (lambda: watched(observables={"a": sg.Histogram(sg.Grid([(0, 1, 2)]))}), ValueError, "components"),
        (lambda: watched(after=1.99), ValueError, "longer t"),
        (lambda: watched(n_paths=1, observables={"a": sg.Maximum()}), ValueError, "n_paths"),
        (lambda: watched(observables={"a": sg.Autocovariance([0.13])}), ValueError, "multiples"),
        (lambda: watched(observables={"a": sg.Autocovariance([])}), ValueError, "multiples"),
        (lambda: watched(observables={"a": sg.Average(3)}), TypeError, "NumPy function"),
        (lambda: sg.Histogram(3), TypeError, "sg.Grid"),
        (lambda: watched(boundary=sg.box([(-1, 1), None], "absorbing")), ValueError, "absorbing"),
    ):
        with pytest.raises(error, match=words):
            call()


@pytest.mark.parametrize("kind", ["reflecting", "periodic"])
def test_paths_between_walls_are_uniform(kind):
    flat = sg.Langevin.from_drift(lambda x: 0 * x + 0.2 * np.array([0.0, 1.0]) * (kind == "periodic"), T=0.5, dim=2)
    walls = sg.box([(-1, 2), (0, 1)], kind)
    x = sg.simulate(flat, [0.0, 0.5], t=8, dt=0.01, n_paths=8000, seed=1, boundary=walls).x[:, 0]
    assert (
        stats.kstest(x[:, 0], "uniform", args=(-1, 3)).pvalue > 1e-3 and stats.kstest(x[:, 1], "uniform").pvalue > 1e-3
    )
    assert stats.kstest(x[:, 1], "uniform", args=(0, 1.05)).pvalue < 1e-3


def test_a_single_wall_mirrors():
    flat = sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, dim=1)
    x = sg.simulate(flat, [0.0], t=1, dt=0.01, n_paths=8000, seed=1, boundary=sg.box([(0, np.inf)])).x[:, 0, 0]
    y = sg.simulate(flat, [0.0], t=1, dt=0.01, n_paths=8000, seed=1, boundary=sg.box([(-np.inf, 0)])).x[:, 0, 0]
    assert stats.kstest(x, "halfnorm").pvalue > 1e-3 and stats.kstest(-y, "halfnorm").pvalue > 1e-3


@pytest.mark.parametrize("method", [sg.EulerMaruyama(), sg.BAOAB(), sg.GJF()])
def test_a_mirror_turns_velocities_back(method):
    """Between walls the stationary density of x is exp(-U/T), cut off: uniform for a flat U, of variance 1/12 here."""
    flat = sg.Momentum(sg.quadratic([1e-9]), T=0.5, friction=1.0)
    x = sg.simulate(
        flat, [0.2, 0.0], t=30, dt=0.01, n_paths=4000, seed=0, boundary=sg.box([(-0.5, 0.5), None]), method=method
    ).x
    assert stats.kstest(x[:, -1, 0], "uniform", args=(-0.5, 1)).pvalue > 1e-3
    assert abs(np.mean(x[:, -1, 1] ** 2) - 0.5) < 0.05
    with pytest.raises(ValueError, match="walls for velocities"):
        sg.simulate(flat, [0.2, 0.0], t=1, dt=0.01, boundary=sg.box([(-0.5, 0.5), (-1, 1)]))


def test_absorbed_paths_are_gone_and_counted():
    flat = sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, dim=1)
    found = sg.simulate(
        flat, [0.0], t=1, dt=1e-4, n_paths=4000, seed=1, boundary=sg.box([(-1, 1)], "absorbing"), save=3
    )
    k = np.arange(200)
    for at, time in ((1, 0.5), (2, 1.0)):
        exact = np.sum(4 / np.pi * (-1.0) ** k / (2 * k + 1) * np.exp(-((2 * k + 1) ** 2) * np.pi**2 * time / 8))
        alive = found.survival(at=at)
        assert abs(float(alive) - exact) < 4 * alive.error + 0.008 and "O(sqrt(dt))" in alive.warnings[0]
    assert np.all(np.isnan(found.x[:, 2][np.isnan(found.x[:, 1])]))
    with pytest.raises(ValueError, match="absorbed"):
        found.mean()


def test_wrong_walls():
    for call, words in (
        (lambda: sg.box([(0, 1)], "sticky"), "expected one of"),
        (lambda: sg.box([(1, 0)]), "low < high"),
        (lambda: sg.box([("a", "b")]), "low, high"),
        (lambda: sg.box([(0, np.inf)], "periodic"), "finite"),
        (lambda: sg.simulate(PLANE, [0.0, 0.0], t=1, dt=0.1, boundary=sg.box([(0, 1)])), "2"),
        (lambda: sg.simulate(PLANE, [5.0, 0.0], t=1, dt=0.1, boundary=sg.box([(0, 1), None])), r"0 <= x\[0\] <= 1"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_mirrors_are_those_of_a_hall_of_mirrors_whatever_stands_beside():
    low, high = -1.0, 0.5
    rng = np.random.default_rng(0)
    y = np.concatenate(
        [
            rng.uniform(-0.99, 0.49, 200),
            rng.normal(scale=3.0, size=56),
            [np.nan, low, high, np.inf, -40.0, 40.0, 0.0, 0.0],
        ]
    )
    v = rng.normal(size=y.size)
    limits = np.array([1.0, low, high, 1.0, 0.0, -np.inf, np.inf, -1.0])
    finite = np.isfinite(y)
    place = np.mod(np.where(finite, y, 0.0) - low, 2 * (high - low))
    folded, turned = low + np.minimum(place, 2 * (high - low) - place), place > high - low
    found = []
    for order in (np.arange(y.size), rng.permutation(y.size)):
        x = np.array([y[order], v[order]])
        confine(x, limits)
        alone = y[order][None].copy()
        confine(alone, np.array([1.0, low, high, -1.0]))
        np.testing.assert_array_equal(alone[0], x[0])
        found.append(x[:, np.argsort(order)])
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(found[0][0, finite], folded[finite], rtol=0, atol=1e-13)
    np.testing.assert_array_equal(found[0][1, finite] != v[finite], turned[finite])
    assert np.array_equal(found[0][0, :200], y[:200]) and not np.any(np.isfinite(found[0][0, ~finite]))
