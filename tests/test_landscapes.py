"""The known answers of the known systems."""

import numpy as np
import pytest
from scipy import integrate

import sgdyn as sg
from sgdyn import landscapes


@pytest.mark.parametrize("maker", landscapes.ALL, ids=lambda m: m.__name__)
def test_stable_points_and_saddles_are_what_they_are_called(maker):
    scene = maker()
    field = lambda x: -scene.problem().drift(x)
    jacobian = lambda x: np.stack([(field(x + 1e-6 * e) - field(x - 1e-6 * e)) / 2e-6 for e in np.eye(scene.dim)], -1)
    for points, unstable in ((scene.minima, 0), (scene.saddles, 1)):
        for x in points:
            np.testing.assert_allclose(field(x), 0, atol=1e-9)
            assert np.sum(np.linalg.eigvals(jacobian(x)).real < 0) == unstable


def test_barriers_of_muller_brown():
    scene = landscapes.muller_brown()
    U = scene.U
    assert float(U(scene.saddles[0]) - U(scene.minima[0])) == pytest.approx(
        scene.answer("barrier from (-0.558, 1.442) to (-0.822, 0.624)"), rel=1e-13
    )
    assert float(U(scene.saddles[1]) - U(scene.minima[1])) == pytest.approx(
        scene.answer("barrier from (0.623, 0.028) to (0.212, 0.293)"), rel=1e-13
    )


@pytest.mark.slow
def test_passage_time_of_muller_brown():
    scene = landscapes.muller_brown()
    found = sg.first_passage(scene.problem(20.0), scene.minima[0], lambda x: x[0] > 0.4, dt=2e-5, n_paths=4000, seed=1)
    assert found.agrees(scene.answer("mean passage time (-0.558, 1.442) -> x0 >= 0.4", 20.0))


def test_passage_time_of_maier_stein():
    scene = landscapes.maier_stein()
    found = sg.first_passage(scene.problem(0.1), [-1, 0], lambda x: x[0] > 0, dt=2e-3, n_paths=10_000, seed=1)
    assert found.agrees(scene.answer("mean passage time (-1, 0) -> x0 >= 0", 0.1))


@pytest.mark.parametrize("index", [0, 1])
def test_passage_times_with_full_diffusion_matrices(index):
    scene = landscapes.double_well_2d()
    known = scene.answers[index]
    process = sg.Langevin.gibbs(scene.U, known.T, known.D)
    found = sg.first_passage(process, [-1, 0], lambda x: x[0] > 1, dt=2e-3, n_paths=10_000, seed=2)
    assert found.agrees(known.value)


def test_the_current_of_chaudhari_and_soatto_keeps_the_density_and_produces_the_known_entropy():
    """div(c e^-Phi) = 0 at random points, and E|c|² over e^-Phi is the entropy production."""
    scene = landscapes.chaudhari_soatto(0.5)
    x = np.random.default_rng(0).uniform(-1.5, 1.5, (50, 2))
    divergence = scene.curl.gradient().trace()(x) - np.sum(scene.curl(x) * scene.U.grad(x), -1)
    np.testing.assert_allclose(divergence, 0, atol=1e-12)
    weight = lambda y, x: np.exp(-scene.U([x, y]))
    norm = integrate.dblquad(weight, -5, 5, -6, 6)[0]
    production = integrate.dblquad(lambda y, x: weight(y, x) * np.sum(scene.curl([x, y]) ** 2), -5, 5, -6, 6)[0] / norm
    assert production == pytest.approx(scene.answer("entropy production", 1.0), rel=1e-6)
    found = sg.simulate(scene.problem(1.0), [0.0, 0.0], t=10, dt=0.005, n_paths=20_000, seed=1).mean(lambda x: x**2)
    second = integrate.dblquad(lambda y, x: weight(y, x) * x**2, -5, 5, -6, 6)[0] / norm
    assert found.agrees([second, 1.0])


def test_the_origin_stops_being_a_saddle_where_the_theory_says():
    for strength, saddle in ((0.7, True), (0.85, False)):
        scene = landscapes.chaudhari_soatto(strength)
        jacobian = scene.problem().drift.gradient()([0.0, 0.0])
        assert (len(scene.saddles) == 1) == (len(scene.minima) == 2) == saddle
        assert (np.linalg.eigvals(jacobian).real.max() > 1e-9) == saddle, np.exp(-0.25)


@pytest.mark.parametrize("strength", [-0.7, 0.0, 0.5, 0.77])
def test_zeros_of_the_drift_of_chaudhari_and_soatto(strength):
    scene = landscapes.chaudhari_soatto(strength)
    drift = scene.problem().drift
    np.testing.assert_allclose(drift(scene.minima), 0, atol=1e-14)
    assert np.linalg.eigvals(drift.gradient()(scene.minima)).real.max() < 0
    if strength == 0.5:
        np.testing.assert_allclose(scene.minima[1], [0.90243, 0.38880], atol=1e-5)


def test_answers_that_differ_in_D_alone_are_told_apart():
    scene = landscapes.double_well_2d()
    quantity = scene.answers[0].quantity
    assert scene.answer(quantity, 1 / 3, D=[[1, 0.4], [0.4, 0.25]]) == 37.8279340343
    assert scene.answer(quantity, 1 / 3, D=[[1, 0.8], [0.8, 1]]) == 51.7101035064
    for D in (None, 1.0):
        with pytest.raises(KeyError, match=r"D=\[\[1.0, 0.4\]"):
            scene.answer(quantity, 1 / 3, D)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: landscapes.maier_stein(mu=-1), "mu=-1.*> 0"),
        (lambda: landscapes.rugged(stiffness=0), "stiffness=0.*> 0"),
        (lambda: landscapes.chaudhari_soatto(np.nan), "finite"),
    ],
)
def test_scenes_without_stable_points_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_ripples_slow_the_diffusion_by_zwanzigs_factor():
    scene = landscapes.rugged(roughness=0.2, wavenumber=20.0, stiffness=0.05)
    T = 0.2
    x = sg.simulate(
        scene.problem(T),
        scene.minima[np.argmin(np.abs(scene.minima[:, 0]))],
        t=4.0,
        dt=1e-4,
        n_paths=8000,
        save=3,
        seed=1,
    ).x[..., 0]
    slowed = np.mean((x[:, 2] - x[:, 1]) ** 2) / (2 * T * 2.0)
    assert slowed == pytest.approx(scene.answer("effective diffusion", T), rel=0.08)


def test_the_narrow_well_is_lifted_by_half_the_logarithm():
    scene, T = landscapes.entropic(3.0), 0.1
    marginal = lambda u: integrate.quad(lambda v: np.exp(-float(scene.U([u, v])) / T), -30, 30, points=[0.0])[0]
    difference = -T * np.log(marginal(1.0) / marginal(-1.0))
    assert difference == pytest.approx(scene.answer("effective potential difference, right - left", T), rel=1e-6)


def test_unknown_answers_name_the_known_ones():
    with pytest.raises(KeyError, match="slowest rate"):
        landscapes.double_well().answer("colour", 0.1)
