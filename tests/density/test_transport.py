"""Entropies, free energies, distances and samples of densities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sgdyn as sg


def normal(mean, variance, n=400):
    return sg.gaussian(sg.Grid([(-6, 6, n)]), [mean], [variance])


def test_entropies_of_normal_densities():
    rho, other = normal(0.3, 0.5), normal(-0.2, 0.8)
    assert rho.entropy() == pytest.approx(0.5 * np.log(2 * np.pi * np.e * 0.5), rel=1e-9)
    assert rho.kl(other) == pytest.approx(0.5 * (0.5 / 0.8 + 0.25 / 0.8 - 1 - np.log(0.5 / 0.8)), rel=1e-9)
    assert rho.kl(rho) == 0.0
    half = sg.Density(rho.grid, np.where(rho.grid.centers[..., 0] > 0, rho.values, 0.0))
    assert np.isinf(rho.kl(half)) and half.kl(rho) == pytest.approx(-np.log(half.masses.sum()), rel=1e-9)
    assert half.normalised.masses.sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="same grid"):
        rho.kl(normal(0, 1, 100))


def test_relative_entropy_beyond_the_smallest_float():
    """At T = 0.005 the stationary density at the walls is e^-1000 and has no float; its logarithm is known.

    So it is where the cells are so wide that rates towards the walls have no float either.
    """
    grid = sg.Grid([(-3.2, 3.2, 200)])
    problem = sg.Langevin(sg.quadratic([1.0]), T=0.005)
    still = sg.fokker_planck(problem, grid).stationary()
    assert still.values.min() == 0.0
    wide = sg.Grid([(-12.0, 12.0, 21)])
    assert np.isfinite(sg.gaussian(wide, [-8.0], [4.0]).kl(sg.fokker_planck(problem, wide).stationary()))
    rho = sg.gaussian(grid, [-2.0], [0.2])
    exact = 2.1 / 0.005 + 0.5 * np.log(2 * np.pi * 0.005) - rho.entropy()
    assert rho.kl(still) == pytest.approx(exact, rel=0.02)
    assert problem.T * rho.kl(still) == pytest.approx(rho.free_energy(problem) - still.free_energy(problem), rel=1e-9)


def test_the_wasserstein_distance_in_one_dimension_is_exact():
    grid, finer = sg.Grid([(0, 4, 8)]), sg.Grid([(-1, 5, 24)])
    box = sg.Density(grid, np.array([0, 1, 1, 0, 0, 0, 0, 0.0]))
    moved = sg.Density(finer, np.where((finer.midpoints[0] > 2) & (finer.midpoints[0] < 4), 0.5, 0.0))
    assert box.w2(box) == 0.0
    # quantiles 0.5 + u and 2 + 2u
    assert box.w2(moved) == pytest.approx(np.sqrt((1.5**2 + 1.5 * 2.5 + 2.5**2) / 3), rel=1e-12)
    assert moved.w2(box) == box.w2(moved)
    assert normal(1, 0.25).w2(normal(-1, 1.0)) == pytest.approx(np.sqrt(4 + 0.25), rel=1e-3)


def test_the_wasserstein_distance_in_two_dimensions():
    grid = sg.Grid([(-2.5, 2.5, 20)] * 2)
    one, other = sg.gaussian(grid, [-0.5, 0], [0.2, 0.2]), sg.gaussian(grid, [0.5, 0.25], [0.2, 0.2])
    assert one.w2(other) == pytest.approx(np.sqrt(1 + 0.0625), rel=2e-3)
    with pytest.raises(ValueError, match="4900 cells"):
        wide = sg.gaussian(sg.Grid([(-2, 2, 70)] * 2), [0, 0], [1, 1])
        wide.w2(wide)


def test_samples_have_the_moments_of_cells(rng):
    grid = sg.Grid([np.linspace(-1.6, 1.6, 25) ** 3, (-3, 3, 40)])
    rho = sg.gaussian(grid, [0.3, -0.2], [[0.4, 0.1], [0.1, 0.2]])
    x = rho.sample(200_000, seed=1)
    widths = np.stack([np.sum(rho.marginal(k).masses * w**2) / 12 for k, w in enumerate(grid.widths)])
    np.testing.assert_allclose(x.mean(axis=0), rho.mean(), atol=0.006)
    np.testing.assert_allclose(np.cov(x.T), rho.cov() + np.diag(widths), atol=0.006)
    np.testing.assert_array_equal(rho.sample(10, seed=1), rho.sample(10, seed=1))
    from sgdyn.density.distribution import histogram

    counted = histogram(x, grid)
    some = counted.error > 0
    pulls = (counted.values - rho.values)[some] / counted.error[some]
    assert 0.8 < np.mean(pulls[rho.masses[some] > 1e-4] ** 2) < 1.3


def test_free_energies_of_known_and_unknown_potentials_differ_by_a_constant():
    """Of one linear process, reversible and so known in closed form, and as a drift whose potential is not recognised."""
    known = sg.Langevin(sg.quadratic([1.0, 2.0]), T=0.5)
    unknown = sg.Langevin.from_drift(lambda x: -np.array([1.0, 2.0]) * x + 0 * x**3, T=0.5, dim=2)
    grid = sg.Grid([(-4, 4, 40)] * 2)
    states = [sg.gaussian(grid, m, [0.3, 0.5]) for m in ([0.0, 0.0], [1.0, 0.5], [-1.0, 1.0])]
    gaps = [rho.free_energy(known) - rho.free_energy(unknown) for rho in states]
    assert np.ptp(gaps) < 1e-6


def test_normal_densities_refuse_what_has_no_density():
    grid = sg.Grid([(-1, 1, 8)] * 2)
    with pytest.raises(ValueError, match="positive definite"):
        sg.gaussian(grid, [0, 0], [[1, 1], [1, 1]])
    with pytest.raises(ValueError, match="beyond the box"):
        sg.gaussian(grid, [2, 0], [1, 1])
    assert sg.gaussian(grid, [0.1, 0.1], [1e-9, 1e-9]).masses.max() == pytest.approx(1)


NUMBERS = st.floats(-1, 1, allow_subnormal=False)


@given(st.lists(NUMBERS, min_size=14, max_size=14), st.lists(NUMBERS, min_size=6, max_size=6), st.floats(0.5, 2.0))
def test_free_energy_falls_along_every_flow(drift, noise, T):
    """dF/dt = -int rho |grad dF/drho|²_D, whatever the drift and D(x): cubic drifts, gradients or not, D = L(x) L(x)' + a little."""
    a, L = np.reshape(drift, (2, 7)), np.reshape(noise, (3, 2))

    def b(x, a=a):
        u, v = x[..., 0], x[..., 1]
        terms = np.stack([u**0, u, v, u * u, u * v, v * v, u * v * v], axis=-1)
        return 3 * terms @ a.T - 2 * x**3

    def tensor(x, L=L):
        l0, l1, l2 = (c[0] + c[1] * x[..., k % 2] for k, c in enumerate(L))
        m = np.stack([np.stack([l0 * l0, l0 * l1], -1), np.stack([l0 * l1, l1 * l1 + l2 * l2], -1)], -2)
        return m + 0.2 * np.eye(2)

    from sgdyn.fields import Opaque

    def divergence(x):
        h = 1e-5
        return sum(
            (tensor(x + h * e)[..., :, k] - tensor(x - h * e)[..., :, k]) / (2 * h) for k, e in enumerate(np.eye(2))
        )

    from sgdyn.noise import Varying

    D = Varying(Opaque(tensor, 2, (2, 2)), Opaque(divergence, 2, (2,)))
    problem = sg.Langevin(None, T, D, Opaque(b, 2, (2,)))
    generator = sg.fokker_planck(problem, sg.Grid([(-2, 2, 16)] * 2))
    course = generator.evolve([-1.3, 0.8], np.array([0.0, 0.003, 0.01, 0.05, 0.2, 1.0, 5.0]))
    falls = np.diff(course.free_energy)
    assert np.all(falls <= 1e-9) and falls[0] < 0
