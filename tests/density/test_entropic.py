"""Sinkhorn's scaling: its bias with and without the correction, any range of logarithms, any constant D, other energies."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

import sgdyn as sg
from sgdyn.density.flows.energies import Entropy as Heat
from sgdyn.density.flows.energies import Interaction, PorousMedium, PotentialEnergy, as_energy
from sgdyn.density.flows.entropic import Entropic
from sgdyn.density.flows.kernels import CELLS, kernel

SEED = np.random.SeedSequence(0)


def normal(grid, mean, cov):
    apart = grid.centers - mean
    values = np.exp(-0.5 * np.einsum("...i,ij,...j->...", apart, np.linalg.inv(cov), apart))
    return sg.Density(grid, values / np.sum(values * grid.volumes))


def flow(method, problem, rho, energy, tau, n):
    states = [method.start(problem, rho, energy, SEED)]
    for _ in range(n):
        states.append(method.step(states[-1], tau))
    return states


def recursion(m, s, h, T, tau, n):
    """The exact steps of a normal density for D = 1, and how far the last one went."""
    for _ in range(n):
        before = m, s
        m, s = m / (1 + tau * h), (s + np.sqrt(s * s + 4 * (1 + tau * h) * tau * T)) / (2 * (1 + tau * h))
    return m, s, np.hypot(m - before[0], s - before[1])


BOWL = sg.quadratic([1.0])
PROBLEM, ENERGY = sg.Langevin(BOWL, 0.5), PotentialEnergy(BOWL) + Heat(0.5)
START = normal(sg.Grid([(-5, 5, 300)]), [1.0], [[0.5]])


def bias(eps, corrected):
    """Of the standard deviation after ten steps of 0.1."""
    last = flow(Entropic(eps, corrected), PROBLEM, START, ENERGY, 0.1, 10)[-1]
    m, s, w = recursion(1.0, np.sqrt(0.5), 1.0, 0.5, 0.1, 10)
    assert last.density.mean()[0] == pytest.approx(m, rel=1e-3)
    assert last.w2 == pytest.approx(w, rel=0.03)
    return np.sqrt(last.density.cov()[0, 0]) / s - 1


def test_the_bias_is_of_first_order_without_and_of_second_order_with_the_correction():
    """Without: +8.12 % and +4.12 % of the standard deviation at 0.2 and 0.1, which an independent code on a grid of 801 points gave, too
    (8.1 and 4.1 %); with: +0.5 % at the default, the temperature, where the uncorrected scheme has +19 %."""
    plain = [bias(eps, False) for eps in (0.2, 0.1)]
    np.testing.assert_allclose(plain, [0.0812, 0.0412], atol=2e-4)
    mended = [bias(eps, True) for eps in (0.8, 0.4)]
    assert mended[0] / mended[1] == pytest.approx(4, rel=0.15)
    assert bias(None, True) == pytest.approx(0.0052, abs=2e-4)


def test_a_normal_density_rests_where_the_expansion_in_the_regularisation_e_says():
    """Without the correction at the temperature T + e/2; with it e² tau/16 int |grad log rho|² rho is left: s² h = T + e² tau h/(8 T)."""
    last = flow(Entropic(0.1, corrected=False), PROBLEM, START, ENERGY, 0.1, 60)[-1]
    assert last.density.cov()[0, 0] == pytest.approx(0.55, abs=5e-4)
    last = flow(Entropic(0.2), PROBLEM, START, ENERGY, 0.5, 16)[-1]
    assert last.density.cov()[0, 0] == pytest.approx(0.5 + 0.04 * 0.5 / (8 * 0.5), abs=2e-4)


@pytest.mark.parametrize("D", [[[1.0, 0.0], [0.0, 0.4]], [[1.0, 0.5], [0.5, 0.6]]])
def test_steps_with_any_constant_D_solve_the_optimality_of_normal_densities(D):
    """y + tau D (H y - T S1^-1 (y - m1)) takes the new density back to the old one; the bias is of second order in 0.2."""
    D, H, T, tau = np.array(D), np.array([[1.5, 0.3], [0.3, 1.0]]), 0.5, 0.2
    U = sg.quadratic(H)
    grid = sg.Grid([(-3.5, 3.5, 44), (-3.5, 3.5, 44)])
    S, m = 0.4 * np.eye(2), np.array([0.3, -0.2])
    energy = PotentialEnergy(U) + Heat(T)
    method = Entropic(0.2)
    first, then = flow(method, sg.Langevin.gibbs(U, T, D), normal(grid, m, S), energy, tau, 1)
    m1, S1 = then.density.mean(), then.density.cov()
    back = np.eye(2) + tau * D @ (H - T * np.linalg.inv(S1))
    np.testing.assert_allclose(back @ S1 @ back.T, S, atol=5e-3)
    np.testing.assert_allclose(m1 + tau * D @ H @ m1, m, atol=1e-3)
    assert np.sum(then.density.masses) == pytest.approx(1, abs=1e-13) and np.all(then.density.values >= 0)
    assert first.energy - then.energy >= then.w2**2 / (2 * tau)


def test_kernels_of_diagonal_and_full_D_agree_and_keep_any_range_of_logarithms(rng):
    grid = sg.Grid([(-1, 1, 9), np.linspace(0, 1, 8) ** 2], ("periodic", "reflecting"))
    D, f = np.diag([1.0, 0.3]), 1e4 * rng.normal(size=grid.shape)
    f[0] = -np.inf
    x = grid.centers.reshape(-1, 2)
    dx = x[:, None] - x
    images = [dx + np.array([shift, 0.0]) for shift in (-2.0, 0.0, 2.0)]
    logs = np.stack([-np.einsum("xyi,ij,xyj->xy", d, np.linalg.inv(D), d) / 0.05 for d in images])
    exact = logsumexp(logsumexp(logs, axis=0) + np.log(grid.volumes.ravel()) + f.ravel(), axis=1)
    np.testing.assert_allclose(kernel(grid, D, 0.05)(f).ravel(), exact, rtol=1e-12)
    nearly = D + np.array([[0, 1e-14], [1e-14, 0]])
    np.testing.assert_allclose(kernel(grid, nearly, 0.05)(f).ravel(), exact, rtol=1e-10)


@given(st.floats(0.1, 1.0), st.floats(0.4, 2.0), st.floats(0.05, 0.3), st.tuples(st.floats(-1, 1), st.floats(-1, 1)))
def test_energies_fall_mass_is_kept_and_densities_stay_positive(T, d, tau, slopes):
    U = sg.Potential.from_functions(
        lambda x: (x[..., 0] ** 2 - 1) ** 2 + slopes[0] * x[..., 0],
        lambda x: 4 * x * (x**2 - 1) + slopes[0],
        dim=1,
    )
    rho = normal(sg.Grid([(-2.5, 2.5, 120)]), [slopes[1]], [[0.2]])
    energy = PotentialEnergy(U) + Heat(T)
    states = flow(Entropic(), sg.Langevin.gibbs(U, T, d), rho, energy, tau, 2)
    # the last step may lose less than its cost by the bias of the density, of second order
    for before, after in pairwise(states):
        assert after.energy < before.energy
        assert np.all(after.density.values >= 0) and abs(np.sum(after.density.masses) - 1) < 1e-12
    first, then = states[:2]
    assert first.energy - then.energy >= 0.9 * then.w2**2 / (2 * tau)


def test_the_front_of_the_porous_medium_equation():
    """The front of the exact steps with tau = 0.05 from Barenblatt's profile at 0.1 is at R = 2.122514583391 after twenty, that of the
    equation at 2.1472 (scaling of the profile, in high precision); its second moment is R²/5, here to the 4e-4 of the regularisation."""
    grid, C, t = sg.Grid([(-2.4, 2.4, 150)]), 0.3605623925768520955804, 0.1
    profile = np.maximum(C - grid.centers[..., 0] ** 2 * t ** (-2 / 3) / 12, 0) * t ** (-1 / 3)
    rho = sg.Density(grid, profile / np.sum(profile * grid.volumes))
    free = sg.Langevin(sg.quadratic([1.0]))
    last = flow(Entropic(0.1, tolerance=1e-7), free, rho, as_energy(PorousMedium(2.0)), 0.05, 20)[-1]
    assert last.density.cov()[0, 0] == pytest.approx(2.122514583391**2 / 5, rel=1e-3)


def test_going_on_from_kept_arrays_gives_the_identical_bits():
    states = flow(Entropic(), PROBLEM, START, ENERGY, 0.1, 3)
    fresh = Entropic().start(PROBLEM, START, ENERGY, SEED)
    again = Entropic().step(Entropic().restore(fresh, states[2].arrays()), 0.1)
    for name, array in states[3].arrays().items():
        np.testing.assert_array_equal(array, again.arrays()[name])


def test_what_is_refused_says_what_to_type():
    method, grid = Entropic(), START.grid
    with pytest.raises(ValueError, match=r"would not leave its cell; type regularisation=0\.0"):
        flow(Entropic(1e-4), PROBLEM, START, ENERGY, 0.1, 1)
    with pytest.raises(sg.NotConvergedError, match="larger regularisation"):
        flow(Entropic(0.05, iterations=3), PROBLEM, START, ENERGY, 0.1, 1)
    with pytest.raises(ValueError, match="Graph"):
        method.start(sg.Langevin.gibbs(BOWL, 0.5, lambda x: 1 + x[0] ** 2), START, ENERGY, SEED)
    with pytest.raises(ValueError, match="Particles"):
        method.start(PROBLEM, START, Interaction(BOWL) + Heat(0.5), SEED)
    with pytest.raises(ValueError, match="regularisation="):
        method.start(PROBLEM, START, as_energy(PorousMedium(2.0)), SEED)
    with pytest.raises(ValueError, match="reflecting"):
        method.start(PROBLEM, normal(sg.Grid([(-3, 3, 50)], "absorbing"), [0.0], [[1.0]]), ENERGY, SEED)
    with pytest.raises(TypeError, match="Density"):
        method.start(PROBLEM, np.zeros((5, 1)), ENERGY, SEED)
    with pytest.raises(ValueError, match=str(CELLS)):
        kernel(sg.Grid([(-1, 1, 70), (-1, 1, 70)]), np.array([[1.0, 0.5], [0.5, 1.0]]), 0.1)
    assert grid.dim == 1
