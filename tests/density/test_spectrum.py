"""Relaxation rates against closed forms and high-precision values."""

import numpy as np
import pytest

import sgdyn as sg
from sgdyn.density.spectrum import Modes
from tests.density.processes import NARROW, WIDE, flat, line, plane, quartic, rotating, slope


def test_quartic_double_well():
    """Chebyshev collocation, 17 digits."""
    exact = np.array([0, 0.080619860857438902, 3.49490550456048279])
    found = line(200).spectrum(3).values
    assert np.all(np.abs(found.pull(exact)) < 1) and np.all(found.error[1:] < 1e-3 * exact[1:])
    errors = [Modes(line(n), 3).values[1] - exact[1] for n in (100, 200, 400)]
    assert slope(errors) == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize(
    ("D", "rate", "n"), [(WIDE, 0.03946972167431, 80), (NARROW, 0.0487987973427, 80), (rotating, 0.0406098831952, 160)],
    ids=["wide", "narrow", "rotating"],
)  # fmt: skip
def test_full_tensors(D, rate, n):
    """Finite elements of order 9 on [-2, 2]²."""
    found = plane(D, n).spectrum(2)
    assert np.all(np.abs(found.values.pull([0, rate])) < 1) and found.isolated == 0
    assert found.values.value[1] == pytest.approx(rate, rel=1e-3)


def test_maier_stein():
    """Finite elements on the same box."""
    g = sg.fokker_planck(sg.landscapes.maier_stein().problem(0.1), sg.Grid([(-1.8, 1.8, 90), (-1.2, 1.2, 60)]))
    assert np.all(np.abs(g.spectrum(2).values.pull([0, 0.2402217000495])) < 1)


def chaudhari_soatto(n):
    return sg.fokker_planck(sg.landscapes.chaudhari_soatto(1.5).problem(), sg.Grid([(-4, 4, n), (-5, 5, n)]))


def test_a_complex_pair():
    """Spectral method on [-4, 4] x [-5, 5]."""
    exact = np.array([0, 1.0385951509 + 0.6699824133j, 1.0385951509 - 0.6699824133j])
    found = chaudhari_soatto(100).spectrum(3)
    assert np.all(np.abs(found.values.pull(exact)) < 1) and found.values.error[1] < 3e-3
    errors = [np.abs(Modes(chaudhari_soatto(n), 3).values[1] - exact[1]) for n in (50, 100, 200)]
    assert slope(errors) == pytest.approx(2, abs=0.15)


@pytest.mark.slow
def test_kinetic_double_well():
    """Order one: the position is carried upwind. Hermite-Fourier expansion, two resolutions."""
    problem = sg.Momentum(quartic, T=1 / 3, friction=1.0)
    rate, raw = 0.03198073508, []
    for n in (60, 120, 240):
        g = sg.fokker_planck(problem, sg.Grid([(-2.3, 2.3, n), (-3.5, 3.5, n)]))
        found = g.spectrum(2).values
        assert abs(found.pull([0, rate])[1]) < 1
        raw.append(Modes(g, 2).values[1] - rate)
    assert found.value[1] == pytest.approx(rate, rel=5e-3)
    assert slope(raw) == pytest.approx(1, abs=0.3)


def test_linear_processes():
    """Sums of the eigenvalues of F, real or not."""
    F = np.array([[1.0, 0.8], [-0.8, 1.0]])
    g = sg.fokker_planck(sg.Langevin.linear(F, T=0.1), sg.Grid([(-2, 2, 60), (-2, 2, 60)]))
    found = g.spectrum(6)
    exact = np.array([0, 1 + 0.8j, 1 - 0.8j, 2, 2 + 1.6j, 2 - 1.6j])
    np.testing.assert_allclose(found.values.value, exact, atol=5e-3)
    assert np.all(np.abs(found.values.pull(exact)) < 3)


def test_functions_and_densities():
    """Biorthogonal; the first are one and the stationary density; hermite polynomials for the harmonic potential, out to its tails."""
    g = sg.fokker_planck(sg.Langevin(sg.quadratic([1.0]), T=0.05), sg.Grid([(-3, 3, 240)]))
    found, x = g.spectrum(3), g.grid.midpoints[0]
    overlap = np.einsum("ix,jx,x->ij", found.densities, found.functions, g.grid.volumes)
    np.testing.assert_allclose(overlap, np.eye(3), atol=1e-8)
    np.testing.assert_allclose(found.functions[0], 1, atol=1e-8)
    np.testing.assert_allclose(found.densities[0], np.exp(-(x**2) / 0.1) / np.sqrt(0.1 * np.pi), atol=1e-10)
    first = found.functions[1] * np.sign(found.functions[1][-1])
    middle = np.abs(x) < 2.5  # masses down to 1e-27
    np.testing.assert_allclose(first[middle], (x / np.sqrt(0.05))[middle], rtol=2e-3)


@pytest.mark.parametrize("strength", [0.5, 1.5])
def test_left_and_right_of_a_process_with_current(strength):
    g = sg.fokker_planck(sg.landscapes.chaudhari_soatto(strength).problem(), sg.Grid([(-3, 3, 30), (-3, 3, 30)]))
    found = g.spectrum(3)
    overlap = np.einsum("ixy,jxy,xy->ij", found.densities, found.functions, g.grid.volumes)
    np.testing.assert_allclose(overlap, np.eye(3), atol=1e-7)
    fine = g.rates
    for k in range(3):
        f, d = found.functions[k].ravel(), (found.densities[k] * g.grid.volumes).ravel()
        rate = np.vdot(d.conj(), -fine @ f) / np.vdot(d.conj(), f)
        np.testing.assert_allclose(-fine.T @ d, rate * d, atol=1e-9 * np.abs(d).max() * np.abs(fine).max())


def test_absorbing_walls():
    """(k pi)², k = 1, 2, ..."""
    found = sg.fokker_planck(sg.Langevin(flat), sg.Grid([(0, 1, 100)], boundary="absorbing")).spectrum(3)
    np.testing.assert_allclose(found.values.value, (np.pi * np.arange(1, 4)) ** 2, rtol=1e-5)
    assert (found.densities[0] * found.grid.volumes).sum() == pytest.approx(1)


def test_corners_that_no_edge_reaches_are_left_out_and_reported():
    """Noise along one diagonal alone: each diagonal is a process of its own, short ones in the corners are not."""
    D = sg.LowRank(np.array([[1.0], [1.0]]) / np.sqrt(2), [1.0])
    g = sg.fokker_planck(sg.Langevin.gibbs(sg.quadratic([1.0, 1.0]), D=D), sg.Grid([(-1, 1, 31), (-1, 1, 31)]))
    found = g.spectrum(3)
    assert found.isolated == 2 * (1 + 2 + 3) and any("12 cells" in w for w in found.values.warnings)
    assert np.isnan(found.functions[:, 0, -1]).all() and np.isnan(found.functions[:, -1, 0]).all()


def test_refusal():
    with pytest.raises(ValueError, match="at most 8"):
        line(20).spectrum(19)
