"""The law of kinetic energy: it holds for motion without friction, is an artefact of noise, and its null models are calibrated."""

from itertools import islice

import numpy as np
import pytest
from scipy import signal

import sgdyn as sg
from sgdyn.fit.motions import Motion
from sgdyn.fit.regressions import fitted
from sgdyn.fit.stretches import series
from sgdyn.fit.surrogates import NULLS, walks


@sg.potential(dim=2)
def valley(x):
    return 0.5 * x[0] ** 2 + 0.25 * x[0] ** 4 + 0.8 * x[1] ** 2 * (1 + 0.5 * x[0] ** 2)


def motion(force, replicas=3, times=500, dt=0.02, seed=0):
    """Leapfrog motion (x, v), each (replica, time, 2), whose energy is conserved to dt²."""
    rng = np.random.default_rng(seed)
    x, v = rng.normal(size=(2, replicas, 2))
    seen = []
    for _ in range(times):
        seen.append((x, v))
        half = v + 0.5 * dt * force(x)
        x = x + dt * half
        v = half + 0.5 * dt * force(x)
    return tuple(np.stack(part, axis=1) for part in zip(*seen, strict=True))


def test_motion_without_friction_keeps_its_energy():
    x, v = motion(lambda x: -valley.grad(x))
    for options in ({}, {"velocity": v}):
        found = sg.fit.kinetic_energy(x, valley, dt=0.02, c=1.0, **options)
        assert found.holds and "describes this run" in found.verdict, found.reasons
        assert found.R2 > 0.999 and abs(found.coefficients.value[0] - 1) < 2e-3
        assert abs(found.coefficients.value[1]) < 2e-3 and found.roughness.agrees(
            1.0, errors=4 + 0.02 / found.roughness.error
        )
    assert found.plot() is not None


@pytest.mark.parametrize("every", [1, 4, 10])
def test_errors_cover_what_rows_far_apart_do(every):
    """a = 1, b = 0 exactly. Differences of rows with U in the middle gave a = 1.0027 ± 0.0001, 1.042 ± 0.001 and 1.36 ± 0.01."""

    def fast(x):
        return x * [1.0, 2.0] + np.stack(
            [0.4 * x[..., 0] ** 3 + 0.4 * x[..., 0] * x[..., 1] ** 2, 0.4 * x[..., 0] ** 2 * x[..., 1]], axis=-1
        )

    U = sg.potential(dim=2)(lambda x: x[0] ** 2 / 2 + x[1] ** 2 + 0.1 * x[0] ** 4 + 0.2 * x[0] ** 2 * x[1] ** 2)
    x, _ = motion(lambda x: -fast(x), replicas=6, times=20 * 160 * every, dt=0.0025)
    rows = x[:, :: 20 * every]
    found = sg.fit.kinetic_energy(rows, U, dt=0.05 * every, surrogates=99)
    a, error = found.coefficients.value[0], found.coefficients.error[0]
    assert abs(a - 1) < 3 * error + 1e-5 and abs(found.coefficients.value[1]) < 3 * found.coefficients.error[1] + 1e-5
    assert error < {1: 1e-4, 4: 0.02, 10: 0.2}[every] and found.R2 > 0.99
    assert abs(a - 1) < {1: 1e-5, 4: 1e-4, 10: 0.03}[every]


@pytest.mark.slow
def test_errors_cover_noise_that_lasts():
    """v² is a U + b S and slow noise, 100 times: pulls of a and b are of order 1."""
    rng, pulls = np.random.default_rng(3), []
    for _ in range(100):
        U, S, noise = (signal.lfilter([1], [1, -keep], rng.normal(size=(4, 400)), axis=1) for keep in (0.9, 0.8, 0.9))
        kinetic = 60 - 2 * U + S + noise
        found = sg.fit.kinetic_energy(
            rng.normal(size=(4, 400, 1)), U, S, dt=1.0, velocity=np.sqrt(2 * kinetic)[..., None], surrogates=99
        )
        pulls.append((found.coefficients.value - [2.0, -1.0]) / found.coefficients.error)
    assert np.all(np.abs(np.mean(pulls, axis=0)) < 0.4) and np.all(np.std(pulls, axis=0) < 1.35)
    assert np.all(np.std(pulls, axis=0) > 0.75)


@pytest.mark.slow
def test_trends_without_any_relation_are_not_called_a_law():
    """Of 150 independent random walks of velocity, U and S, shifted runs alone called 7 a law."""
    rng, chances, holds = np.random.default_rng(7), [], 0
    for seed in range(150):
        x, U, S = (np.cumsum(rng.normal(size=(1, 300)), axis=1) for _ in range(3))
        found = sg.fit.kinetic_energy(np.cumsum(x, axis=1)[..., None], U, S, dt=0.1, seed=seed)
        chances.append(found.chances["walks of v²"])
        holds += found.holds
    assert holds <= 4 and np.mean(np.array(chances) <= 0.05) < 0.1 and 0.4 < np.mean(chances) < 0.6


@pytest.mark.parametrize("replicas", [1, 5])
@pytest.mark.parametrize(("p", "q"), [(1.5, 1.0), (2.0, 1.5), (2.0, 1.0)])
def test_one_trend_explains_any_other(p, q, replicas):
    """x = t^p and U = -t^q know nothing of each other; replicas that share a schedule are no more evidence."""
    t = np.linspace(0.1, 10, 400)
    U = np.repeat(-(t**q)[None], replicas, axis=0)
    found = sg.fit.kinetic_energy(np.repeat((t**p)[None, :, None], replicas, axis=0), U, 0 * U, dt=t[1] - t[0])
    assert found.R2 > 0.8 and found.chances["walks of v²"] > 0.01 and not found.holds


def test_a_constant_on_top_of_the_loss_changes_nothing():
    x, _ = motion(lambda x: -valley.grad(x), replicas=2, times=400)
    plain, high = (sg.fit.kinetic_energy(x, valley(x) + shift, np.zeros((2, 400)), dt=0.02) for shift in (0.0, 1e6))
    assert float(high.coefficients.value[0]) == pytest.approx(float(plain.coefficients.value[0]), rel=1e-6)


def test_the_force_of_entropy_is_found():
    """Motion in U + S/2 with S = log det(1 + H)/2: a = 1, b = 1/2."""

    def entropy(x):
        return np.linalg.slogdet(np.eye(2) + valley.hess(x))[1] / 2

    def force(x, h=1e-5):
        slope = [(entropy(x + h * e) - entropy(x - h * e)) / (2 * h) for e in np.eye(2)]
        return -valley.grad(x) - 0.5 * np.stack(slope, axis=-1)

    x, _ = motion(force, replicas=4)
    found = sg.fit.kinetic_energy(x, valley, dt=0.02, c=1.0, surrogates=99)
    np.testing.assert_allclose(found.coefficients.value, [1.0, 0.5], atol=5e-3)
    assert found.holds
    without = sg.fit.kinetic_energy(x, valley(x), np.zeros(x.shape[:2]), dt=0.02)
    assert np.isnan(without.coefficients.value[1]) and without.R2 < found.R2
    assert any("its coefficient is not known" in note for note in without.warnings)


def test_units_go_along():
    x, _ = motion(lambda x: -valley.grad(x), replicas=2, times=400)
    S = np.log(1 + np.sum(x**2, axis=-1))
    plain = sg.fit.kinetic_energy(x, valley(x), S, dt=0.02)
    moved = sg.fit.kinetic_energy(3 * x, 5 * valley(x) + 2, S, dt=0.04)
    scale = 9 / 4 * np.array([1 / 5, 1])
    np.testing.assert_allclose(moved.coefficients.value, scale * plain.coefficients.value, rtol=1e-7, atol=1e-9)
    assert moved.R2 == pytest.approx(plain.R2, abs=1e-9)


def test_a_diffusion_has_no_velocity():
    """Overdamped: v² is noise, twice as large over half the time; nothing is explained, and the linear process does as well."""
    path = sg.simulate(sg.Langevin(valley, 0.3), np.zeros((6, 2)), t=30.0, dt=0.01, n_paths=6, save=600, seed=1)
    found = sg.fit.kinetic_energy(path.x, valley, dt=0.05, c=1.0, surrogates=99)
    assert not found.holds and "there is no velocity" in found.reasons[0]
    assert 1.8 < float(found.roughness) < 2.1 and found.R2 < 0.02
    half = sg.fit.kinetic_energy(path.x[:, ::2], valley, dt=0.1, c=1.0, surrogates=99)
    assert found.kinetic.mean() == pytest.approx(2 * half.kinetic.mean(), rel=0.2)  # as 1/dt


def test_descent_is_not_mistaken_for_the_law():
    """Without noise v = -grad U: v² is large where U is, a < 0, and the slope explains all."""
    x, start = [], np.random.default_rng(3).normal(size=(4, 2))
    for _ in range(300):
        x.append(start)
        start = start - 0.01 * valley.grad(start)
    found = sg.fit.kinetic_energy(np.stack(x, axis=1), valley, dt=0.01, c=1.0, surrogates=99)
    assert not found.holds and found.coefficients.value[0] < 0 and found.descent > 0.95
    assert any("negative" in reason for reason in found.reasons)


def test_slow_series_without_any_relation_are_not_called_a_law():
    """Two random walks seem related: R2 is large, in shifted runs too."""
    rng = np.random.default_rng(5)
    U, S, x = (np.cumsum(rng.normal(size=(1, 800)), axis=1) for _ in range(3))
    v = np.sqrt(np.abs(np.cumsum(rng.normal(size=(1, 800)), axis=1)))[..., None]
    found = sg.fit.kinetic_energy(x[..., None], U, S, dt=1.0, velocity=v)
    assert found.fitted > 0.2 and found.chances["shifted runs"] > 0.01 and not found.holds
    assert "shifted runs" in str(found)


@pytest.mark.slow
def test_null_models_are_calibrated():
    """Of linear processes and random walks, the chances that they are as they are spread evenly over (0, 1)."""
    rng = np.random.default_rng(8)
    process = sg.Langevin.linear(np.array([[1.0, 0.5], [-0.5, 2.0]]), T=0.4, D=np.diag([1.0, 0.5]))
    many = sg.simulate(
        process, np.zeros((90, 2)), t=20.0, dt=0.1, n_paths=90, save=200, seed=1, method=sg.ExactLinear()
    )
    runs = {"linear process": many.x.reshape(30, 3, -1, 2), "free diffusion": 0.1 * np.cumsum(rng.normal(size=(30, 3, 100, 2)), axis=2)}  # fmt: skip
    for name, several in runs.items():
        chances = []
        for x in several:
            motion = Motion.of(series(x, 0.1), valley, None, 1.0, None)
            drawn = [fitted(motion.regression(y)) for y in islice(walks(motion.run, NULLS[name](motion.run), rng), 29)]
            chances.append((1 + np.sum(np.array(drawn) >= fitted(motion.regression()))) / 30)
        assert 0.33 < np.mean(chances) < 0.67 and np.std(chances) > 0.18
        assert np.mean(np.array(chances) <= 0.1) <= 0.3


def test_ctrl_c_keeps_the_null_models_that_are_done(monkeypatch, rng):
    def interrupted(*args):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("sgdyn.fit.energies.walks", interrupted)
    found = sg.fit.kinetic_energy(rng.normal(size=(2, 60, 2)), valley, dt=1.0, c=1.0)
    assert list(found.nulls) == ["shifted runs", "walks of v²"] and any(
        "interrupted" in note for note in found.warnings
    )


def test_bad_input_is_refused(rng):
    x = rng.normal(size=(2, 60, 2))
    for options, words in (
        ({"U": valley(x)}, "no S"),
        ({"U": valley, "S": np.zeros((2, 60)), "c": 1.0}, "one of them"),
        ({"U": valley(x)[:, :-1], "S": np.zeros((2, 60))}, "U of shape"),
        ({"U": np.zeros((2, 60)), "S": np.zeros((2, 60))}, "constant along the run"),
        ({"U": valley, "surrogates": 19}, "at least 99"),
        ({"U": sg.potential(dim=1)(lambda x: x[0] ** 2)}, "dimension 1"),
        ({"U": sg.potential(dim=2)(lambda x: x[0] ** 2)}, "type c="),
        ({"U": sg.potential(dim=2)(lambda x: x[0] ** 2 - x[1] ** 2), "c": 1.0}, "smaller c"),
    ):
        with pytest.raises(ValueError, match=words):
            sg.fit.kinetic_energy(x, dt=1.0, **options)
