"""Ensembles: reproducible whatever the threads, blocks and slices; right by law; errors that cover."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import sgdyn as sg
from sgdyn.codegen import formula
from sgdyn.randomness import key
from sgdyn.sde import simulation
from sgdyn.sde.course import Clock, Course
from tests.interruption import interrupted_after

WELL = sg.landscapes.double_well()


@sg.potential(dim=2)
def rings(x, k=1.5):
    return k * (x[0] ** 2 + 2 * x[1] ** 2 - 1) ** 2 + 0.3 * np.sin(3 * x[0]) * np.exp(-(x[1] ** 2))


PROCESSES = {
    "scalar": sg.Langevin(rings, T=0.3),
    "diagonal": sg.Langevin(rings, T=0.3, D=[1.0, 0.5]),
    "dense": sg.Langevin(rings, T=0.3, D=[[1.0, 0.4], [0.4, 0.5]], curl=lambda x: np.array([-x[1], x[0]])),
    "low rank": sg.Langevin(rings, T=0.3, D=sg.LowRank([[1.0], [2.0]], [0.5], 0.1)),
    "varying": sg.Langevin(rings, T=0.1, D=lambda x: np.array([[1 + x[0] ** 2, 0.2], [0.2, 1.0]])),
    "momentum": sg.Momentum(rings, T=0.3, friction=0.7),
}


def run(process, n=40, threads=2, **options):
    start = np.full(process.dim, 0.5)
    return sg.simulate(
        process, start, **({"t": 1.0, "dt": 0.02, "n_paths": n, "seed": 11, "threads": threads, "save": 6} | options)
    )


@pytest.mark.parametrize("name", PROCESSES)
def test_threads_paths_slices_and_saved_times_change_no_bit(name, monkeypatch):
    process = PROCESSES[name]
    reference = run(process, n=203)
    np.testing.assert_array_equal(run(process, n=203, threads=1).x, reference.x)
    np.testing.assert_array_equal(run(process, n=5, threads=3).x, reference.x[:5])
    np.testing.assert_array_equal(run(process, n=7, first_path=100).x, reference.x[100:107])
    np.testing.assert_array_equal(run(process, n=203, save=1).x[:, 0], reference.x[:, -1])
    monkeypatch.setattr(simulation, "SLICE_WORK", 10)
    np.testing.assert_array_equal(run(process, n=203).x, reference.x)


def test_two_saved_times_in_one_step_are_both_saved():
    found = run(PROCESSES["scalar"], save=[0.0, 0.001, 0.02, 0.021, 1.0])
    np.testing.assert_array_equal(found.x[:, 0], found.x[:, 1])
    np.testing.assert_array_equal(found.x[:, 2], found.x[:, 3])
    np.testing.assert_array_equal(found.t, [0.0, 0.0, 0.02, 0.02, 1.0])
    np.testing.assert_array_equal(found.x[:, -1], run(PROCESSES["scalar"]).x[:, -1])


def test_the_engine_uses_the_published_normals():
    x = sg.simulate(
        sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, D=4.0, dim=3),
        np.zeros(3),
        t=0.7,
        dt=0.1,
        n_paths=9,
        seed=3,
        stream=5,
        save=8,
    ).x
    z = sg.normals(3, paths=9, steps=7, components=3, stream=5)
    np.testing.assert_allclose(x[:, 1:], np.cumsum(2 * np.sqrt(0.1) * z, axis=1), rtol=1e-13, atol=1e-14)


def test_coarse_increments_are_sums_of_fine_ones():
    still = sg.Langevin.from_drift(lambda x: 0 * x, T=0.5, dim=2)
    fine = sg.simulate(still, [0.0, 0.0], t=1.2, dt=0.1, n_paths=5, seed=1, save=5)
    for refine, dt in ((2, 0.2), (3, 0.3)):
        coarse = sg.simulate(still, [0.0, 0.0], t=1.2, dt=dt, n_paths=5, seed=1, refine=refine)
        np.testing.assert_allclose(coarse.x[:, -1], fine.x[:, -1], atol=1e-14)


def test_python_functions_give_the_same_paths_as_blocks():
    value, grad = (lambda x: 0.25 * x[..., 0] ** 4 - 0.5 * x[..., 0] ** 2), (lambda x: x**3 - x)
    opaque = sg.Potential.from_functions(value, grad, dim=1)
    for D in (1.0, lambda x: 1 + 0.1 * x[0] ** 2):
        a, b = (
            sg.simulate(sg.Langevin(U, T=0.2, D=D), [0.3], t=2, dt=0.01, n_paths=30, seed=2, refine=2).x
            for U in (opaque, WELL.U)
        )
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_high_dimensions_use_array_kernels():
    d = 100
    U = sg.potential(dim=d)(lambda x: np.sum((x**2 - 1) ** 2) / 4)
    assert U.grad.block is None
    small = sg.potential(dim=1)(lambda x: (x[0] ** 2 - 1) ** 2 / 4)
    high = sg.simulate(sg.Langevin(U, T=0.2), np.ones(d), t=0.5, dt=0.01, n_paths=3, seed=5).x
    assert np.isfinite(high).all()
    first = sg.simulate(sg.Langevin(small, T=0.2), [1.0], t=0.5, dt=0.01, n_paths=3, seed=5).x
    np.testing.assert_allclose(high[:, 0, :1], first[:, 0], rtol=1e-11)
    wide = sg.simulate(
        sg.Langevin(sg.quadratic(np.linspace(1, 2, 300)), T=0.5, D=sg.LowRank(np.eye(300)[:, :2], [1.0, 2.0])),
        np.zeros(300),
        t=1,
        dt=0.1,
        n_paths=4,
        seed=1,
    )
    assert np.all(wide.x[..., 2:] == 0) and np.all(wide.x[..., :2] != 0)


def linear_chain(F, noise, x0, dt, n):
    """Mean and covariance of the Euler-Maruyama chain of a linear process, exactly."""
    M, mean, cov = np.eye(len(F)) - dt * F, np.array(x0, dtype=float), np.zeros_like(F)
    for _ in range(n):
        mean, cov = M @ mean, M @ cov @ M.T + dt * noise
    return mean, cov


@given(st.integers(1, 5), st.integers(0, 10**6))
def test_linear_processes_have_the_exact_mean_and_covariance_of_the_scheme(d, seed):
    rng = np.random.default_rng(seed)
    A, B = rng.normal(size=(2, d, d))
    F = A @ A.T / d + 0.2 * np.eye(d) + 0.3 * (B - B.T)
    D = B @ B.T / d + 0.01 * np.eye(d)
    T, x0, dt, n = rng.uniform(0.1, 2), rng.normal(size=d), 0.2 / np.linalg.norm(F, 2), 25
    found = sg.simulate(sg.Langevin.linear(F, T=T, D=D), x0, t=n * dt, dt=dt, n_paths=4000, seed=seed)
    mean, cov = linear_chain(F, 2 * T * D, x0, found.dt, n)
    assert found.mean().agrees(mean, 5) and found.cov().agrees(cov, 5)


def test_a_wrong_temperature_fails_that_test():
    F, D = np.array([[1.0, 0.2], [0.2, 2.0]]), np.array([[1.0, 0.3], [0.3, 0.5]])
    found = sg.simulate(sg.Langevin.linear(F, T=1.25, D=D), [1.0, 0.0], t=3, dt=0.05, n_paths=4000, seed=1)
    assert not found.cov().agrees(linear_chain(F, 2 * D, [1.0, 0.0], found.dt, 60)[1], 5)


@pytest.mark.parametrize("T", [0.1, 0.25])
def test_the_stationary_law_of_a_double_well_is_gibbs_and_a_wrong_one_is_refused(T):
    dt = 0.005
    x = sg.simulate(WELL.problem(T), [0.0], t=30, dt=dt, n_paths=20_000, seed=7).x[:, 0, 0]
    y = np.linspace(-3, 3, 4001)
    assert stats.kstest(np.abs(x), lambda q: np.interp(q, y[2000:], gibbs_cdf(y, T))).pvalue > 1e-3
    assert stats.kstest(np.abs(x), lambda q: np.interp(q, y[2000:], gibbs_cdf(y, 1.2 * T))).pvalue < 1e-3


def gibbs_cdf(y, T):
    density = np.exp(-WELL.U(y[:, None]) / T)[2000:]
    mass = np.concatenate([[0], np.cumsum(0.5 * (density[1:] + density[:-1]))])
    return mass / mass[-1]


def test_gibbs_processes_keep_the_gibbs_density_with_varying_noise_and_curl():
    T = 0.3
    D = lambda x: np.array([[1 + 0.5 * x[0] ** 2, 0.2], [0.2, 1.0]])
    U = sg.potential(dim=2)(lambda x: x[0] ** 4 / 4 + x[1] ** 2 / 2 + 0.3 * x[0])
    for curl in (None, lambda x: np.array([x[1], -(x[0] ** 3) - 0.3])):
        found = sg.simulate(sg.Langevin.gibbs(U, T, D, curl), [0.0, 0.0], t=6, dt=0.002, n_paths=20_000, seed=3)
        grid = np.linspace(-3, 3, 2001)
        weights = np.exp(-(grid**4 / 4 + 0.3 * grid) / T)
        exact = [np.sum(weights * grid) / weights.sum(), 0.0]
        assert found.mean().agrees(exact), curl
        assert found.mean(lambda x: x**2).agrees([np.sum(weights * grid**2) / weights.sum(), T], 5), curl
    drift = lambda x: (
        -np.array([(1 + 0.5 * x[0] ** 2) * (x[0] ** 3 + 0.3) + 0.2 * x[1], 0.2 * (x[0] ** 3 + 0.3) + x[1]])
    )
    bare = sg.Langevin.from_drift(drift, T, D, dim=2)
    without_correction = sg.simulate(bare, [0.0, 0.0], t=6, dt=0.002, n_paths=20_000, seed=3)
    assert not without_correction.mean(lambda x: x**2).agrees([np.sum(weights * grid**2) / weights.sum(), T], 5)


def test_momentum_has_its_stationary_density():
    found = sg.simulate(sg.Momentum(WELL.U, T=0.4, friction=1.0), [0.0, 0.0], t=30, dt=0.005, n_paths=20_000, seed=9)
    y = np.linspace(-4, 4, 4001)
    weights = np.exp(-WELL.U(y[:, None]) / 0.4)
    assert found.mean(lambda x: x**2).agrees([np.sum(weights * y**2) / weights.sum(), 0.4])


def test_errors_cover_the_truth_as_often_as_they_should():
    process = sg.Langevin(sg.quadratic([1.0]), T=0.5)
    pulls = []
    for seed in range(200):
        found = sg.simulate(process, [0.0], t=0.5, dt=0.05, n_paths=200, seed=seed)
        pulls.append(float(found.mean().pull([0.0])[0]))
    assert 0.8 < np.std(pulls) < 1.2
    assert abs(np.mean(pulls)) < 4 / np.sqrt(200)


def test_averages_over_time_use_paths_or_stretches_as_independent_samples():
    process = sg.Langevin(sg.quadratic([2.0]), T=0.5)
    many = sg.simulate(process, [0.0], t=40, dt=0.01, n_paths=100, save=401, seed=1)
    one = sg.simulate(process, [0.0], t=4000, dt=0.01, n_paths=1, save=40_001, seed=1)
    for found in (many, one):
        second = found.mean(lambda x: x**2, after=5.0)
        assert second.agrees([0.25 / (1 - 0.01)]) and second.error[0] < 0.02
        assert found.cov(after=5.0).agrees([[0.25 / (1 - 0.01)]])


def test_histograms_count_what_is_outside():
    found = sg.simulate(sg.Langevin(sg.quadratic([1.0, 1.0]), T=1.0), [0.0, 0.0], t=8, dt=0.02, n_paths=50_000, seed=1)
    density = found.histogram(sg.Grid([(-1, 1, 10), (-1, 1, 10)]))
    inside = (2 * stats.norm.cdf(1) - 1) ** 2
    assert density.outside == pytest.approx(1 - inside, abs=0.02)
    assert density.masses.sum() + density.outside == pytest.approx(1)
    centre = density.at([0.05, 0.05])
    assert abs(centre - 1 / (2 * np.pi)) < 4 * float(density.error[5, 5]) + 0.005
    assert found.component(1).x.shape == (50_000, 1, 1)


def test_blow_up_names_path_time_and_a_stable_step():
    with pytest.raises(sg.BlowUpError, match="too large for the drift") as info:
        sg.simulate(WELL.problem(0.1), [3.0], t=10, dt=0.3, n_paths=5, seed=1)
    assert info.value.path == 0 and 0 <= info.value.time < 1 and 0 < info.value.dt < 0.05
    assert sg.simulate(WELL.problem(0.1), [3.0], t=1, dt=info.value.dt, n_paths=5, seed=1).complete


def test_a_negative_matrix_met_on_the_way_is_named():
    process = sg.Langevin(sg.quadratic([1.0, 1.0]), T=0.5, D=lambda x: np.array([[1.0, x[0]], [x[0], 1.0]]))
    with pytest.raises(sg.BlowUpError, match="eigenvalue -"):
        sg.simulate(process, [0.0, 0.0], t=10, dt=0.1, n_paths=50, seed=1)


def test_leaving_a_table_is_named():
    grid = sg.Grid([(-1, 1, 20)])
    U = sg.tabulated(grid, -(grid.centers[..., 0] ** 2))
    with pytest.raises(sg.BlowUpError, match="widen its table"):
        sg.simulate(sg.Langevin(U, T=0.1), [0.0], t=10, dt=0.01, n_paths=5, seed=1)


def test_times_up_to_half_a_step_beyond_the_end_are_the_end():
    process = sg.Langevin.linear([[1.0]], T=1.0)
    found = sg.simulate(process, [0.0], t=3, dt=1, save=[3.5], seed=0, temperature=lambda t: 0.1)
    np.testing.assert_array_equal(found.t, [3.0])
    np.testing.assert_array_equal(found.x, sg.simulate(process, [0.0], t=3, dt=1, seed=0, temperature=lambda t: 0.1).x)
    with pytest.raises(ValueError, match="increasing times"):
        sg.simulate(process, [0.0], t=3, dt=1, save=[3.6], seed=0)
    with pytest.raises(ValueError, match="expected 'float64' or 'float32'"):
        sg.simulate(process, [0.0], t=3, dt=1, seed=0, precision="f16")


def test_stored_paths_cost_their_own_size():
    """In a process of its own, above what is there before: 122 MB of paths, and no second copy of them."""
    script = """
import resource, numpy as np, sgdyn as sg
process = sg.Langevin.linear([[1.0]], T=1.0)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
sg.simulate(process, [0.0], t=0.02, dt=0.01, n_paths=1000, save=3, seed=0)
before = peak()
found = sg.simulate(process, [0.0], t=4, dt=0.01, n_paths=40_000, save=401, seed=0)
print(peak() - before - found.x.nbytes / 2**20)
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(told.stdout) < 60


@pytest.mark.parametrize("paths", [3, 2000])
def test_what_is_saved_does_not_depend_on_the_slices(paths, monkeypatch):
    options = {"t": 1.0, "dt": 0.01, "n_paths": paths, "save": 37, "seed": 4}
    whole = sg.simulate(PROCESSES["scalar"], [0.1, 0.2], **options).x
    for numbers in (1, 3 * 2 * paths):
        monkeypatch.setattr(simulation, "SLICE_NUMBERS", numbers)
        np.testing.assert_array_equal(sg.simulate(PROCESSES["scalar"], [0.1, 0.2], **options).x, whole)


def test_ctrl_c_returns_the_times_that_are_done():
    sg.simulate(
        sg.Langevin(rings, T=0.3), [0.5, 0.5], t=0.1, dt=0.001, n_paths=2000, seed=1
    )  # compiled before the clock runs
    with interrupted_after(2.0), pytest.warns(UserWarning, match="interrupted"):
        found = sg.simulate(sg.Langevin(rings, T=0.3), [0.5, 0.5], t=3000, dt=0.001, n_paths=2000, save=3001, seed=1)
    assert not found.complete and 0 < found.x.shape[1] < 3001 and found.x.shape[1] == len(found.t)
    again = sg.simulate(sg.Langevin(rings, T=0.3), [0.5, 0.5], t=float(found.t[1]), dt=0.001, n_paths=3, seed=1)
    np.testing.assert_array_equal(again.x[:, 0], found.x[:3, 1])


def test_blocks_are_whole_vectors_and_do_not_outgrow_the_paths():
    for process in PROCESSES.values():
        plan = sg.EulerMaruyama().steps_of(process, 0.01)
        for paths, threads in ((10**5, 2), (3, 2), (1000, 4)):
            width = Course(plan, clock_of(1)).width(process.dim, paths, threads)
            assert width % 16 == 0 and 16 <= width <= 384 and width < paths / threads + 16


def clock_of(refine):
    return Clock(0.01, refine, key(1), np.array([0.1]))


def test_an_ensemble_goes_to_xarray():
    pytest.importorskip("xarray")
    array = run(PROCESSES["scalar"]).to_xarray()
    assert array.dims == ("path", "time", "component")


@pytest.mark.parametrize(
    "T", [lambda t: None, lambda t: "hot", lambda t: np.array([0.1, 0.2])], ids=["None", "str", "array"]
)
def test_schedules_that_return_no_number_are_refused(T):
    with pytest.raises(TypeError, match=r"got temperature\(0\) = .*expected a number; type"):
        sg.simulate(sg.landscapes.double_well().problem(0.1), [0.0], t=1, dt=0.5, temperature=T)


def test_euler_maruyama_compiles_one_block_of_a_new_drift():
    def drift(x):
        return -0.8125 * x**3

    process = sg.Langevin.from_drift(drift, T=0.3, dim=1)
    for n_paths, made in ((100, {"euler"}), (1, {"euler", "narrow"})):
        sg.simulate(process, [0.1], t=0.1, dt=0.01, n_paths=n_paths, seed=0)
        assert {
            kind for kind, key in formula._LOADED if key == process.drift.key and kind in formula._SIGNATURES
        } == made


def test_averages_of_nothing_and_of_numbers_are_refused():
    found = run(PROCESSES["scalar"])
    with pytest.raises(ValueError, match="expected"):
        found.mean(lambda x: 1.0)
    nothing = sg.Ensemble(found.problem, found.t[:0], found.x[:, :0], found.dt, 0, found.method, False)
    with pytest.raises(ValueError, match="interrupted before"):
        nothing.mean()


def test_covariances_over_times_have_no_bias_from_few_paths():
    """Two long paths: 0.5/(1 - dt/2) exactly, not twice that."""
    found = sg.simulate(sg.Langevin(sg.quadratic([1.0]), T=0.5), [0.0], t=4000.0, dt=0.05, n_paths=2, seed=1, save=4001)
    assert abs(found.cov(after=10.0).value[0, 0] - 0.5 / (1 - 0.025)) < 0.05
