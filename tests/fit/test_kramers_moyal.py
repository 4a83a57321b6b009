"""Drift and diffusion without a model: recovered with errors that cover, at fine and coarse steps, in one to three dimensions."""

from dataclasses import replace

import numpy as np
import pytest

import sgdyn as sg
from sgdyn.fit.propagation import propagated
from tests.fit import runs


@sg.potential(dim=1)
def double_well(x):
    return (x[0] ** 2 - 1) ** 2


WELL = sg.Langevin(double_well, T=0.4)
POINTS = np.array([[-1.2], [-1.0], [-0.6], [0.0], [0.4], [1.0], [1.3]])
FORCE = -4 * POINTS * (POINTS**2 - 1)


def run(process, x0, seed, *, t=100.0, dt=0.02, substeps=10, paths=4, **options):
    """(path, time, k), every `substeps`-th step of a fine simulation."""
    save = round(t / dt) + 1
    return sg.simulate(process, x0, t=t, dt=dt / substeps, n_paths=paths, seed=seed, save=save, **options).x


def pulls(seeds, t):
    drift, noise = [], []
    for seed in seeds:
        x = run(WELL, [1.0], seed, t=t)
        found = sg.fit.kramers_moyal(x, dt=0.02, bandwidth=0.15, points=POINTS)
        drift.append(found.drift.pull(FORCE).ravel())
        noise.append(found.noise.pull(0.4).ravel())
    return np.array(drift), np.array(noise)


def covers(found, expected=0.954):
    """The share of intervals of two standard errors that hold the truth, points of a seed being dependent at worst altogether."""
    inside = np.abs(found) < 2
    error = np.sqrt(expected * (1 - expected) / len(found))
    return abs(inside.mean() - expected) < 3 * error and np.abs(found).max() < 5.5


@pytest.mark.slow
def test_intervals_cover_over_forty_seeds():
    drift, noise = pulls(range(40), t=100.0)
    for found in (drift, noise):
        assert covers(found) and 0.8 < found.std() < 1.25
        assert np.all(np.abs(found.mean(axis=0)) < 4 / np.sqrt(40))


@pytest.mark.slow
def test_intervals_cover_over_two_hundred_seeds():
    drift, noise = pulls(range(1000, 1200), t=100.0)
    for found in (drift, noise):
        assert covers(found) and 0.85 < found.std() < 1.15


def test_a_wrong_temperature_and_a_wrong_sign_are_seen():
    found = sg.fit.kramers_moyal(run(WELL, [1.0], 0, t=300.0, paths=8), dt=0.02, bandwidth=0.15, points=POINTS)
    assert found.drift.agrees(FORCE) and found.noise.agrees(0.4)
    assert not found.drift.agrees(-FORCE) and not found.drift.agrees(1.3 * FORCE) and not found.noise.agrees(0.48)


@pytest.mark.slow
def test_the_fitted_process_has_the_true_density_and_escape_time():
    """Bandwidths by cross-validation; errors of what the process gives are of the run's length. Quadrature and grid against the true process."""
    found = sg.fit.kramers_moyal(run(WELL, [1.0], 5, t=300.0, paths=8), dt=0.02)
    assert found.independence.diffusion and not found.drift.warnings
    low, high = found.box[0]
    time = found.estimate(lambda p: float(sg.mean_first_passage_1d(p, -1.0, 0.9, wall=low + 1e-9)))
    exact = float(sg.mean_first_passage_1d(WELL, -1.0, 0.9))
    assert time.agrees(exact) and 0.05 < time.error / exact < 0.3
    grid = found.grid(80)
    density = found.estimate(lambda p: sg.fokker_planck(p, grid).stationary().values, groups=12)
    true = sg.fokker_planck(WELL, grid).stationary().values
    assert density.agrees(true, errors=4.5) and not density.agrees(true[::-1] * 1.3, errors=4.5)
    paths = sg.simulate(found.process(), [1.0], t=1.0, dt=0.01, n_paths=4000, seed=1, boundary=sg.box(found.box))
    other = sg.simulate(WELL, [1.0], t=1.0, dt=0.01, n_paths=4000, seed=2)
    assert abs(paths.x[:, -1].mean() - other.x[:, -1].mean()) < 0.05
    assert found.plot() is not None and np.all(found.known) and low < -1.3 and high > 1.3


def test_beyond_the_box_paths_come_back():
    """Linear pulls and constant T D there: simulations need no boundary, and hardly any of the stationary mass is outside."""
    found = sg.fit.kramers_moyal(run(WELL, [1.0], 0), dt=0.02, bandwidth=0.15)
    process, (low, high) = found.process(), found.box[0]
    paths = sg.simulate(process, [1.0], t=200.0, dt=0.02, n_paths=50, seed=0, save=101).x
    assert np.all(np.abs(paths) < 3) and np.mean((paths < low) | (paths > high)) < 0.05
    far = np.array([[low - 3.0], [low - 2.0], [high + 2.0], [high + 3.0]])
    np.testing.assert_allclose(process.drift.gradient()(far), process.drift.gradient()(far[[1, 0, 3, 2]]))
    assert np.all(process.drift(far)[:, 0] * far[:, 0] < 0) and np.all(process.D(far) > 0)
    grid = sg.Grid([(low - 1.5, high + 1.5, 300)])
    outside = (grid.centers[:, 0] < low) | (grid.centers[:, 0] > high)
    assert sg.fokker_planck(process, grid).stationary().masses[outside].sum() < 0.05


def test_the_fitted_potential_and_its_derivatives():
    process = sg.fit.kramers_moyal(run(WELL, [1.0], 0), dt=0.02, bandwidth=0.15).process()
    U, h = process.U, 1e-5
    x = np.array([[-6.0], [-1.1], [0.2], [0.9], [6.0]])
    for value, slope in ((U.value, U.grad), (U.grad, U.hess)):
        np.testing.assert_allclose(
            (value(x + h) - value(x - h)) / (2 * h), slope(x).reshape(value(x).shape), rtol=1e-5, atol=1e-5
        )
    np.testing.assert_allclose(process.drift(x), -U.grad(x))
    D, divergence = process.D, process.D.divergence
    np.testing.assert_allclose((D(x + h) - D(x - h))[:, 0] / (2 * h), divergence(x), atol=1e-6)
    slope = (divergence(x + h) - divergence(x - h)) / (2 * h)
    np.testing.assert_allclose(slope[..., None], divergence.gradient()(x), atol=1e-5)
    points = sg.critical_points(U, [(-1.3, 1.3)])
    assert len(points.minima) == 2 and len(points.saddles) == 1
    paths = sg.simulate(process, [1.0], t=1.0, dt=0.01, n_paths=100, seed=1, method=sg.Milstein())
    assert np.all(np.isfinite(paths.x))


def false_trap():
    """Few points at the ends of the run, whose T D comes out negative: what the fit says is set by hand, so that any run shows it."""
    found = sg.fit.kramers_moyal(run(WELL, [1.0], 0), dt=0.02, bandwidth=0.15)
    noise, error = found.noise.value.copy(), found.noise.error.copy()
    middle = len(noise) // 2
    noise[middle], error[middle] = -0.23, 0.6
    return replace(found, noise=replace(found.noise, value=noise, error=error)), middle


def test_noise_that_is_not_resolved_makes_no_trap():
    """Cut off at zero, D held 99.9 % of the stationary mass at one node."""
    found, middle = false_trap()
    value = found.process().D(found.points[middle])[0, 0]
    assert 0.2 < value < 0.6
    state = sg.fokker_planck(found.process(), found.grid(200)).stationary()
    assert state.masses.max() < 0.03


def test_the_ends_that_say_nothing_are_left_out():
    """Every known end of the box has T D to half of itself, or of the usual."""
    x = run(WELL, [1.0], 4)
    found = sg.fit.kramers_moyal(x, dt=0.02)
    ends = np.flatnonzero(found.known)[[0, -1]]
    usual = np.median(found.noise.value[found.known])
    assert np.all(found.noise.error[ends] < 0.5 * np.maximum(found.noise.value[ends], usual))
    assert np.all(np.isnan(found.noise.value[~found.known]))


def test_small_noise_stays_small():
    """T D = 0.01 + x²: what is certain is taken as it is, however small beside its neighbours."""
    process = sg.Langevin.from_drift(lambda x: np.array([-2 * x[0]]), 1.0, lambda x: 0.01 + x[0] ** 2, dim=1)
    found = sg.fit.kramers_moyal(run(process, [0.5], 1, t=200.0), dt=0.02, bandwidth=0.1)
    at = found.process().D(np.zeros((1, 1)))[0, 0, 0]
    assert 0.005 < at < 0.05


def test_escape_times_of_parts_of_a_run_stay_positive():
    """exp(z) of normal z, 20 parts: the jackknife of the logarithm covers, also where one part moves it by orders of magnitude."""
    rng = np.random.default_rng(0)
    z = 3.0 + rng.normal(size=(400, 20))
    total = z.mean(axis=1)
    parts = np.exp((z.sum(axis=1, keepdims=True) - z) / 19)
    found = [propagated(np.exp(t), p) for t, p in zip(total, parts, strict=True)]
    pull = np.array([(np.log(f.value) - 3.0) / (f.error / f.value) for f in found])
    assert abs(np.mean(np.abs(pull) < 2) - 0.94) < 0.04
    wild = propagated(np.array(14.0), np.array([*[14.0] * 19, 1e16]))
    assert 0 < wild.value < 14.0 and wild.error > wild.value
    with pytest.raises(ValueError, match="not finite"):
        propagated(np.array(1.0), np.array([1.0, np.inf]))


@pytest.mark.slow
def test_stationary_densities_and_escape_times_over_twelve_seeds():
    """Default bandwidths, 4 x 6000 rows: no trap, and errors of the escape time that cover."""
    exact, pulls = float(sg.mean_first_passage_1d(WELL, -1.0, 1.0)), []
    for seed in range(12):
        found = sg.fit.kramers_moyal(run(WELL, [1.0], 100 + seed, t=120.0), dt=0.02, show_progress=False)
        grid = found.grid(150)
        state = sg.fokker_planck(found.process(), grid).stationary()
        assert state.masses[np.abs(grid.centers[:, 0]) > 1.35].sum() < 0.06
        low = found.box[0][0] + 1e-9
        time = found.estimate(lambda p, low=low: float(sg.mean_first_passage_1d(p, -1.0, 1.0, wall=low)))
        pulls.append(time.pull(exact))
    assert np.mean(np.abs(pulls) < 2.5) > 0.7 and np.abs(pulls).max() < 6


def test_printed_with_errors():
    text = str(sg.fit.kramers_moyal(run(WELL, [1.0], 0), dt=0.02, bandwidth=0.15))
    assert "F = [" in text and "±" in text and "T D = [[" in text


def test_coarse_steps_need_the_correction():
    """Rows 0.1 apart in wells that relax in 0.125: bare moments miss D by half and F by dozens of errors, corrected ones by their errors and bounds."""
    x = run(WELL, [1.0], 3, t=1000.0, dt=0.1, substeps=40, paths=8)
    options = {"dt": 0.1, "bandwidth": 0.12, "points": POINTS}
    bare, found = sg.fit.kramers_moyal(x, lags=0, **options), sg.fit.kramers_moyal(x, **options)
    assert np.abs(bare.drift.pull(FORCE)).max() > 20 and np.abs(bare.noise.pull(0.4)).max() > 40
    assert np.all(np.abs(found.drift.value - FORCE) < 3.5 * found.drift.error + found.drift_bias)
    assert np.all(np.abs(found.noise.value - 0.4) < 3.5 * found.noise.error + found.noise_bias)
    assert np.abs(found.drift.value - FORCE).mean() < 0.5 * np.abs(bare.drift.value - FORCE).mean()


def test_linear_processes_are_exact_at_any_step():
    """dX = -X dt + sqrt(2 T) dW seen every 0.7: E[dx | x] = (exp(-0.7) - 1) x and Var = T (1 - exp(-1.4)) give F = -x and T D = T back."""
    process = sg.Langevin.linear([[1.0]], T=0.5)
    x = sg.simulate(process, [0.0], t=14_000.0, dt=0.7, n_paths=2, seed=0, method=sg.ExactLinear(), save=20_001).x
    points = np.array([[-0.8], [0.0], [0.6]])
    found = sg.fit.kramers_moyal(x, dt=0.7, lags=1, bandwidth=0.5, points=points)
    assert found.drift.agrees(-points) and found.noise.agrees(0.5)
    assert np.all(found.drift.error < 0.05) and np.all(found.noise.error < 0.05)
    bare = sg.fit.kramers_moyal(x, dt=0.7, lags=0, bandwidth=0.5, points=points)
    np.testing.assert_allclose(bare.drift.value[[0, 2]], -points[[0, 2]] * (1 - np.exp(-0.7)) / 0.7, rtol=0.05)
    np.testing.assert_allclose(bare.noise.value, 0.5 * (1 - np.exp(-1.4)) / 1.4, rtol=0.05)


def test_noise_that_depends_on_the_place():
    """dX = -X dt + sqrt(2 (0.3 + 0.2 X²)) dW."""
    process = sg.Langevin.from_drift(lambda x: np.array([-x[0]]), 1.0, lambda x: 0.3 + 0.2 * x[0] ** 2, dim=1)
    points = np.array([[-1.0], [-0.4], [0.0], [0.7], [1.2]])
    found = sg.fit.kramers_moyal(run(process, [0.0], 2, t=400.0), dt=0.02, points=points)
    assert found.drift.agrees(-points) and found.noise.agrees((0.3 + 0.2 * points**2)[:, :, None])
    assert not found.noise.agrees(0.43)


def spiral(x):
    return np.array([-x[0] + 1.5 * x[1], -1.5 * x[0] - x[1] - 0.5 * x[1] ** 3])


def oblique(x):
    return np.array([[0.4 + 0.1 * x[0] ** 2, 0.15], [0.15, 0.3]])


PLANE = np.array([[0.0, 0.0], [0.5, 0.2], [-0.6, 0.3], [0.2, -0.5]])


def plane_run(seed, t=400.0):
    process = sg.Langevin.from_drift(spiral, 1.0, oblique, dim=2)
    return run(process, [0.0, 0.0], seed, t=t, substeps=4)


@pytest.mark.slow
def test_two_dimensions_with_a_curl():
    x = plane_run(0, t=160.0)
    found = sg.fit.kramers_moyal(x, dt=0.02, points=PLANE)
    force, strength = np.array([spiral(p) for p in PLANE]), np.array([oblique(p) for p in PLANE])
    assert found.drift.agrees(force) and found.noise.agrees(strength)
    assert not found.drift.agrees(force * [1, -1])
    M = np.array([2.0, 0.5])
    moved = sg.fit.kramers_moyal(x * M, dt=0.04, bandwidth=found.bandwidths[0] * M, points=PLANE * M)
    same = sg.fit.kramers_moyal(x, dt=0.02, bandwidth=found.bandwidths[0], points=PLANE)
    np.testing.assert_allclose(moved.drift.value, same.drift.value * M / 2, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(moved.noise.value, same.noise.value * np.outer(M, M) / 2, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_the_process_of_the_plane_goes_to_grid_and_simulation():
    found = sg.fit.kramers_moyal(plane_run(1, t=250.0), dt=0.02, bandwidth=0.3)
    process, true = found.process(), sg.Langevin.from_drift(spiral, 1.0, oblique, dim=2)
    box = np.array([(-1.2, 1.2), (-1.0, 1.0)])
    grid = sg.Grid([(*side, 40) for side in box])
    fitted, exact = (sg.fokker_planck(p, grid).stationary() for p in (process, true))
    assert np.abs(fitted.masses - exact.masses).sum() < 0.15
    assert np.linalg.eigvalsh(process.D(grid.centers)).min() > 0
    paths = sg.simulate(process, [0.0, 0.0], t=5.0, dt=0.02, n_paths=2000, seed=1, boundary=sg.box(found.box)).x[:, -1]
    other = sg.simulate(true, [0.0, 0.0], t=5.0, dt=0.02, n_paths=2000, seed=2).x[:, -1]
    np.testing.assert_allclose(np.cov(paths.T), np.cov(other.T), atol=0.06)
    h = 1e-5 * np.eye(2)
    slopes = np.stack([(process.D(PLANE + e) - process.D(PLANE - e)) / 2e-5 for e in h], axis=-1)
    np.testing.assert_allclose(process.D.divergence(PLANE), np.einsum("nijj->ni", slopes), atol=1e-6)
    assert found.plot() is not None


def test_three_dimensions():
    F, D = np.array([[1.0, 0.8, 0.0], [-0.8, 1.0, 0.0], [0.0, 0.3, 0.7]]), np.diag([0.5, 0.3, 0.4])
    process = sg.Langevin.linear(F, T=1.0, D=D)
    x = sg.simulate(process, np.zeros(3), t=200.0, dt=0.05, n_paths=2, seed=0, method=sg.ExactLinear(), save=4001).x
    points = np.array([[0.0, 0.0, 0.0], [0.4, -0.3, 0.2]])
    found = sg.fit.kramers_moyal(x, dt=0.05, bandwidth=0.5, points=points)
    assert found.drift.agrees(-points @ F.T) and found.noise.agrees(D)
    assert found.drift.error.max() < 0.8


@pytest.mark.slow
def test_a_recording_of_sgd_gives_its_hessian_and_its_noise_back():
    """Linear regression: the drift is -H x and T D = (lr/2B) D, both known from the network."""
    net = runs.network()
    space = net.subspace(k=2)
    recording = runs.run(net, space).after(450)
    found, lines = sg.fit.kramers_moyal(recording), sg.fit.force_inference(recording)
    noise = recording.settings.lr / (2 * recording.settings.batch) * space.D
    away = (found.points - recording.x.mean(axis=(0, 1))) / recording.x.std(axis=(0, 1))
    near = found.known & (np.linalg.norm(away, axis=1) < 1.5)
    force = -found.points[near] @ space.H.T
    assert near.sum() >= 5 and found.independence.diffusion and lines.basis.shape == (3,)
    assert np.abs(found.drift.pull(-found.points @ space.H.T)[near]).max() < 4.5
    assert np.abs(found.noise.pull(noise)[near]).max() < 4.5
    assert lines.drift(found.points[near]).agrees(force) and lines.noise_coefficients.agrees(noise[..., None])
    assert not lines.noise_coefficients.agrees(1.2 * noise[..., None]) and not lines.drift(found.points[near]).agrees(
        -force
    )


def hidden_velocity(rng):
    x = run(sg.Momentum(sg.quadratic([[1.0]]), T=0.5, friction=1.0), [0.0, 0.0], 0, t=100.0, substeps=5)
    return x[..., :1]


def measurement_noise(rng):
    x = run(WELL, [1.0], 0)
    return x + 0.05 * rng.standard_normal(x.shape)


def jumps(rng):
    kicks = 0.05 * rng.standard_normal((4, 6000, 1)) + rng.choice(
        [0, 1], p=[0.98, 0.02], size=(4, 6000, 1)
    ) * rng.normal(0, 0.6, (4, 6000, 1))
    x = np.zeros((4, 6001, 1))
    for t in range(6000):
        x[:, t + 1] = 0.98 * x[:, t] + kicks[:, t]
    return x


def changing_noise(rng):
    kicks = rng.standard_normal((4, 6000, 1)) * np.repeat(rng.choice([0.05, 0.15], size=(4, 300, 1)), 20, axis=1)
    x = np.zeros((4, 6001, 1))
    for t in range(6000):
        x[:, t + 1] = 0.97 * x[:, t] + kicks[:, t]
    return x


@pytest.mark.parametrize(
    ("make", "remark"),
    [
        (hidden_velocity, "not Markov"),
        (measurement_noise, "not Markov"),
        (jumps, "heavy tails"),
        (changing_noise, "memory of its own"),
    ],
)
def test_what_is_no_diffusion_is_called_so(make, remark, rng):
    found = sg.fit.kramers_moyal(make(rng), dt=0.02, bandwidth=0.25)
    assert any(remark in text for text in found.independence.remarks) and not found.independence.diffusion
    assert any(remark in text for text in found.drift.warnings)


def test_jumps_show_in_the_fourth_moment_and_diffusion_does_not(rng):
    far = sg.fit.kramers_moyal(jumps(rng), dt=0.02, bandwidth=0.25, points=np.zeros((1, 1)))
    near = sg.fit.kramers_moyal(run(WELL, [1.0], 0), dt=0.02, bandwidth=0.15, points=POINTS)
    assert far.pawula.value > 5 and np.all(np.abs(near.pawula.value - 1) < 0.2 + 4 * near.pawula.error)


@pytest.mark.parametrize(
    ("wrong", "options", "message"),
    [
        (np.random.default_rng(0).normal(size=(1, 30, 1)).cumsum(1), {}, "too few"),
        (np.stack([np.random.default_rng(0).normal(size=(2, 900)), np.ones((2, 900))], -1), {}, "coordinate 1 that never moves"),
        (np.repeat(np.random.default_rng(0).normal(size=(2, 900, 1)), 2, axis=2), {}, "linear function of the others"),
        (np.zeros((1, 100, 4)), {}, "at most 3"),
        (np.random.default_rng(0).normal(size=(2, 900, 1)), {"bandwidth": -1.0}, "positive numbers"),
        (np.random.default_rng(0).normal(size=(2, 900, 1)), {"lags": 9}, "at most 4"),
        (np.random.default_rng(0).normal(size=(2, 900, 1)), {"points": [[50.0]], "bandwidth": 0.5}, "within it"),
        (np.random.default_rng(0).normal(size=(2, 900, 2)), {"points": [[0.0]], "bandwidth": 0.5}, "points of shape"),
    ],
)  # fmt: skip
def test_wrong_input_is_refused(wrong, options, message):
    with pytest.raises(ValueError, match=message):
        sg.fit.kramers_moyal(wrong, dt=0.1, **options)


def test_chosen_points_make_no_process():
    found = sg.fit.kramers_moyal(run(WELL, [1.0], 0), dt=0.02, bandwidth=0.15, points=POINTS)
    with pytest.raises(ValueError, match="without points="):
        found.process()
