"""Effective potentials by every method: of the valley with a narrow pass, of a curved one, and where they must refuse."""

import sys
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

import sgdyn as sg

T = 0.1
AT = np.linspace(-1.3, 1.3, 27)


@sg.potential(dim=2)
def narrowing(x):
    """The wells of dossier C04A."""
    return x[0] ** 4 / 4 - x[0] ** 2 / 2 + 2 * (1 + 9 * np.exp(-2 * x[0] ** 2)) * x[1] ** 2


@sg.potential(dim=2)
def curved(x):
    """A bent valley that is not harmonic across, and whose width changes."""
    v = x[1] - 0.5 * x[0] ** 2
    return (x[0] ** 2 - 1) ** 2 / 2 + (3 + 2 * np.tanh(2 * x[0])) * v**2 / 2 + 0.8 * v**3 + v**4


def exact(U, u):
    """-T log of the integral over the second coordinate, by SciPy."""
    weight = lambda v, u: np.exp(-(U([u, v])) / T)
    return np.array(
        [
            -T * np.log(quad(weight, 0.5 * a * a - 5, 0.5 * a * a + 5, args=(a,), points=[0.5 * a * a], limit=200)[0])
            for a in u
        ]
    )


def test_the_log_of_the_determinant_has_the_factor_one_half():
    """Closed form: a + (T/2) log b, exactly, where U is quadratic across."""
    found = sg.effective_potential(sg.Langevin(narrowing, T), along=0, at=AT, method=sg.Adiabatic())
    closed = AT**4 / 4 - AT**2 / 2 + 0.5 * T * np.log(4 * (1 + 9 * np.exp(-2 * AT**2)))
    np.testing.assert_allclose(found.values, closed - closed.min(), atol=1e-10)
    assert found.error.max() < 1e-4
    twice = closed + 0.5 * T * np.log(4 * (1 + 9 * np.exp(-2 * AT**2)))
    assert np.abs(found.values - (twice - twice.min())).max() > 0.05


@pytest.mark.parametrize("U", [narrowing, curved])
def test_the_quadrature_is_the_integral_and_the_adiabatic_potential_differs_by_about_its_error(U):
    problem, true = sg.Langevin(U, T), exact(U, AT)
    found = sg.effective_potential(problem, along=0, at=AT, method=sg.MarginalQuadrature())
    np.testing.assert_allclose(found.values, true - true.min(), atol=1e-8)
    rough = sg.effective_potential(problem, along=0, at=AT, method=sg.Adiabatic())
    gap = np.abs(rough.values - found.values)
    assert np.all(gap <= 1.5 * rough.error + 1e-6)
    cold = sg.Langevin(U, T / 4)  # the error is of second order in T
    fine = sg.effective_potential(cold, along=0, at=AT, method=sg.Adiabatic())
    gaps = np.abs(fine.values - sg.effective_potential(cold, along=0, at=AT, method=sg.MarginalQuadrature()).values)
    assert gaps.max() < gap.max() / 10 or gap.max() < 1e-6


WARM = 0.3
"""Where paths cross between the wells often enough to be in equilibrium."""


@pytest.fixture(scope="module")
def ensemble():
    start, times = [1.0, 0.5], np.arange(20.0, 60.5, 1.0)
    return sg.simulate(
        sg.Langevin(curved, WARM), start, t=60.0, dt=0.05, n_paths=600, save=times, method=sg.MALA(), seed=1
    )


@pytest.mark.parametrize("U", [narrowing, curved])
def test_grid_umbrella_and_quadrature_agree_within_their_errors(U):
    problem = sg.Langevin(U, T)
    true = sg.effective_potential(problem, along=0, at=AT, method=sg.MarginalQuadrature())
    generator = sg.fokker_planck(problem, sg.Grid([(-2.0, 2.0, 100), (-2.0, 3.0, 100)]))
    solved = sg.effective_potential(problem, along=0, at=AT, method=sg.DensityMarginal(generator))
    assert np.all(np.abs(solved.values - true.values) <= 4 * solved.error + 1e-3 * T)
    sampled = sg.effective_potential(
        problem, along=0, at=AT[::2], method=sg.UmbrellaSampling(paths=32, saved=100, seed=2)
    )
    assert sampled.error.max() < 0.3 * T
    low, other = int(np.argmin(sampled.values)), sampled.error > 0
    pulls = (sampled.values - (true.values - true.values[2 * low])[::2])[other] / sampled.error[other]
    assert np.abs(pulls).max() < 4


def test_a_histogram_of_paths_agrees_within_its_bootstrap_errors(ensemble):
    problem, at = sg.Langevin(curved, WARM), AT[2:-2:2]
    found = sg.effective_potential(problem, along=0, at=at, method=sg.EnsembleHistogram(ensemble))
    fine = np.linspace(-2.0, 2.0, 401)
    curve = sg.effective_potential(problem, along=0, at=fine, method=sg.MarginalQuadrature())
    bins = [np.mean(np.exp(-np.array([curve.at(u).value for u in np.linspace(a, b, 9)]) / WARM)) for a, b in edges(at)]
    true, low = -WARM * np.log(bins), int(np.argmin(found.values))
    pulls = (found.values - (true - true[low]))[found.error > 0] / found.error[found.error > 0]
    assert np.abs(pulls).max() < 4 and np.sqrt(np.mean(pulls**2)) > 0.3
    few = sg.Ensemble(problem, ensemble.t, ensemble.x[:2], 0.05, 1, sg.MALA())
    blocked = sg.effective_potential(
        problem, along=lambda x: x[0], at=[-1.0, 0.0, 1.0], method=sg.EnsembleHistogram(few, blocks=12)
    )
    assert blocked.error.max() > 5 * found.error.max()


def edges(u):
    middle = 0.5 * (u[1:] + u[:-1])
    ends = np.concatenate([[u[0] - (middle[0] - u[0])], middle, [u[-1] + (u[-1] - middle[-1])]])
    return list(pairwise(ends))


def test_along_a_path_the_planes_across_it_give_the_rate_constant_of_the_saddle():
    """In the bottom of the curved valley; between stationary points F is a - T log of sqrt(2 pi T/b), b along the normal of the path."""
    u = np.linspace(-1.2, 1.2, 61)
    path = np.stack([u, 0.5 * u**2], axis=-1)
    found = sg.effective_potential(sg.Langevin(curved, T), along=path, method=sg.Adiabatic())
    assert found.u[-1] == pytest.approx(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
    s = [found.u[np.argmin(np.abs(u - place))] for place in (-1.0, 0.0)]

    def closed(place):
        normal = np.array([-place, 1.0]) / np.hypot(place, 1)
        return curved([place, 0.5 * place**2]) + 0.5 * T * np.log(
            normal @ curved.hess([place, 0.5 * place**2]) @ normal
        )

    assert found.between(*s).value == pytest.approx(closed(0.0) - closed(-1.0), abs=2e-3)


def test_umbrella_sampling_along_a_path_follows_its_arc_length():
    u = np.linspace(-0.6, 0.6, 7)
    path = np.stack([u, 0.3 * u], axis=-1)
    bowl = sg.quadratic([[2.0, 0.3], [0.3, 4.0]])
    at = np.linspace(0.35, 0.9, 5)
    found = sg.effective_potential(
        sg.Langevin(bowl, 0.05), along=path, at=at, method=sg.UmbrellaSampling(paths=8, saved=20, seed=4)
    )
    planes = sg.effective_potential(sg.Langevin(bowl, 0.05), along=path, at=at, method=sg.Adiabatic())
    assert np.all(np.abs(found.values - planes.values) < 4 * found.error + 0.1 * 0.05)


def test_mbar_agrees_with_the_mean_force():
    pytest.importorskip("pymbar")
    how = {"along": 0, "at": AT[6:-6:2]}
    force, mbar = (
        sg.effective_potential(
            sg.Langevin(narrowing, T), method=sg.UmbrellaSampling(paths=16, saved=60, seed=5, solver=s), **how
        )
        for s in ("mean force", "mbar")
    )
    gap = np.abs(force.values - mbar.values)
    assert np.all(gap <= 4 * np.hypot(force.error, mbar.error) + 0.03 * T)


def test_mbar_without_pymbar_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymbar", None)
    with pytest.raises(ImportError, match=r"sgdyn\[umbrella\]"):
        sg.effective_potential(sg.Langevin(narrowing, T), along=0, at=AT, method=sg.UmbrellaSampling(solver="mbar"))


def test_noise_decides_the_temperature_and_what_is_no_gibbs_state_is_refused():
    half = sg.effective_potential(sg.Langevin(curved, 2 * T, D=0.5), along=0, at=AT, method=sg.Adiabatic())
    same = sg.effective_potential(
        sg.Langevin.gibbs(curved, T, D=lambda x: 1 + x[0] ** 2), along=0, at=AT, method=sg.Adiabatic()
    )
    np.testing.assert_allclose(half.values, same.values, atol=1e-12)
    with_velocity = sg.effective_potential(sg.Momentum(curved, T), along=0, at=AT, method=sg.Adiabatic())
    np.testing.assert_allclose(with_velocity.values, same.values, atol=1e-12)
    for problem in (sg.Langevin(curved, T, D=[1.0, 2.0]), sg.Langevin(curved, T, D=lambda x: 1 + x[0] ** 2)):
        with pytest.raises(ValueError, match="DensityMarginal"):
            sg.effective_potential(problem, along=0, at=AT, method=sg.Adiabatic())


def test_state_dependent_noise_read_by_ito_gives_another_potential_which_the_grid_finds():
    """One coordinate: rho = exp(-int (U'/(T D)))/D, so that F = int U'/D + T log D."""
    D = lambda x: 1 + 0.5 * x[0] ** 2
    U = sg.potential(dim=2)(lambda x: x[0] ** 2 / 2 + x[1] ** 2 / 2)
    problem = sg.Langevin(U, T, D=lambda x: np.array([1 + 0.5 * x[0] ** 2, 1.0 + 0 * x[0]]))
    generator = sg.fokker_planck(problem, sg.Grid([(-2.0, 2.0, 100), (-1.8, 1.8, 60)]))
    u = np.linspace(-0.9, 0.9, 19)
    found = sg.effective_potential(problem, along=0, at=u, method=sg.DensityMarginal(generator))
    closed = np.log(D([u])) * (1 + T)
    assert np.abs(found.values - closed).max() < 2e-3 * T + 4 * found.error.max()


def test_bad_input_says_what_to_type():
    problem, go = sg.Langevin(curved, T), sg.effective_potential
    with pytest.raises(TypeError, match="Adiabatic"):
        go(problem, along=0, at=AT, method="adiabatic")
    with pytest.raises(ValueError, match="type at="):
        go(problem, along=0, method=sg.Adiabatic())
    with pytest.raises(ValueError, match="coordinate from 0 to 1"):
        go(problem, along=2, at=AT, method=sg.Adiabatic())
    with pytest.raises(TypeError, match="along=0"):
        go(problem, along=lambda x: x[0], at=AT, method=sg.MarginalQuadrature())
    with pytest.raises(ValueError, match="curved upwards"):
        path = np.stack([0 * AT, AT], axis=-1)
        go(sg.Langevin(sg.landscapes.double_well_2d().U, T), along=path, method=sg.Adiabatic())
    with pytest.raises(ValueError, match="solver"):
        sg.UmbrellaSampling(solver="wham")
    with pytest.raises(TypeError, match="fokker_planck"):
        sg.DensityMarginal(np.ones(3))
    with pytest.raises(ValueError, match="dimension 1"):
        go(sg.landscapes.double_well().problem(), along=0, at=AT, method=sg.Adiabatic())
