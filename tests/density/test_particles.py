"""Clouds moved by transport maps: exact on Gaussians, held-out energies that fall, a mixture in fifty dimensions against simulation."""

from itertools import pairwise

import numpy as np
import pytest

import sgdyn as sg
from sgdyn.density.flows.energies import Entropy as Heat
from sgdyn.density.flows.energies import Interaction, PorousMedium, PotentialEnergy, as_energy
from sgdyn.density.flows.flow import Cloud, GaussianState
from sgdyn.density.flows.maps import Parameters, Pushed
from sgdyn.density.flows.particles import Particles

SEED = np.random.SeedSequence(1)


def flow(method, problem, start, energy, tau, n):
    states = [method.start(problem, start, energy, SEED)]
    for _ in range(n):
        states.append(method.step(states[-1], tau))
    return states


@pytest.mark.parametrize(("dim", "units"), [(3, 2), (2, 5), (4, 0)])
def test_determinants_and_derivatives_of_maps_are_those_of_differences(rng, dim, units):
    C = np.eye(dim) + 0.2 * rng.normal(size=(dim, dim))
    W = rng.normal(size=(units, dim))
    p = Parameters(rng.normal(size=dim), C, rng.uniform(0.1, 1, units), rng.normal(size=units), W)
    z, gy, g, h = rng.normal(size=(6, dim)), rng.normal(size=(6, dim)), rng.normal(size=6), 1e-6
    jacobian = np.stack([(Pushed(p, z + h * e).y - Pushed(p, z - h * e).y) / (2 * h) for e in np.eye(dim)], axis=-1)
    np.testing.assert_allclose(Pushed(p, z).log_det, np.linalg.slogdet(jacobian)[1], atol=1e-8)

    def weighed(theta):
        pushed = Pushed(Parameters.unflat(theta, dim, units), z)
        return np.sum(gy * pushed.y) + np.sum(g * pushed.log_det)

    theta = p.flat()
    slopes = [(weighed(theta + h * e) - weighed(theta - h * e)) / (2 * h) for e in np.eye(len(theta))]
    np.testing.assert_allclose(Pushed(p, z).pulled(gy, g).flat(), slopes, atol=1e-7)


def test_affine_maps_follow_the_exact_recursion_of_a_normal_density_and_rest_at_gibbs():
    """m -> m/(1 + tau h), s -> [s + sqrt(s² + 4 (1 + tau h) tau T)]/(2 (1 + tau h)) for D = 1 (THEORY: the closed recursion)."""
    h, T, tau = 1.7, 0.4, 0.3
    U = sg.quadratic([h])
    problem, energy = sg.Langevin(U, T), PotentialEnergy(U) + Heat(T)
    states = flow(Particles(100, "affine"), problem, GaussianState(np.ones(1), np.eye(1)), energy, tau, 30)
    m, s = 1.0, 1.0
    for state in states:
        np.testing.assert_allclose(
            [state.density.mean()[0], np.sqrt(state.density.cov()[0, 0])], [m, s], rtol=0, atol=1e-10
        )
        exact = 0.5 * h * (m * m + s * s) - T * (0.5 * np.log(2 * np.pi * np.e) + np.log(s))
        assert state.energy == pytest.approx(exact, abs=1e-10)
        m, s = m / (1 + tau * h), (s + np.sqrt(s * s + 4 * (1 + tau * h) * tau * T)) / (2 * (1 + tau * h))
    assert states[-1].density.cov()[0, 0] == pytest.approx(T / h, rel=1e-6)


def test_affine_maps_solve_the_optimality_of_a_step_with_any_D_in_twenty_dimensions(rng):
    """The inverse of the optimal map is y + tau D (H y - T S1^-1 (y - m1)), which takes N(m1, S1) to N(m, S)."""
    d, T, tau = 20, 0.4, 0.2
    Q, B = np.linalg.qr(rng.normal(size=(d, d)))[0], rng.normal(size=(d, d)) / np.sqrt(d)
    H, D = (Q * np.linspace(0.5, 3, d)) @ Q.T, B @ B.T + 0.3 * np.eye(d)
    S = 0.5 * np.eye(d) + 0.2 * np.ones((d, d))
    U = sg.quadratic(H)
    problem, energy = sg.Langevin.gibbs(U, T, D), PotentialEnergy(U) + Heat(T)
    first, then = flow(Particles(500, "affine"), problem, GaussianState(np.ones(d), S), energy, tau, 1)
    m1, S1 = then.density.mean(), then.density.cov()
    back = np.eye(d) + tau * D @ (H - T * np.linalg.inv(S1))
    np.testing.assert_allclose(back @ S1 @ back.T, S, atol=1e-10)
    np.testing.assert_allclose(m1 + tau * D @ H @ m1, np.ones(d), atol=1e-10)
    assert first.energy - then.energy >= then.w2**2 / (2 * tau)


@sg.potential(dim=2)
def well(x):
    return (x[0] ** 2 - 1) ** 2 + x[1] ** 2 + 0.3 * x[0] * x[1]


def test_energies_of_held_out_points_fall_by_the_cost_of_their_way_and_coordinates_do_not_matter():
    """x -> A x, D -> A D A' with a triangular A, under which Cholesky factors turn into each other: the same numbers to rounding."""
    D, A, T, tau = np.array([[1.0, 0.5], [0.5, 0.6]]), np.array([[1.5, 0.0], [-0.7, 0.8]]), 0.3, 0.1
    back = np.linalg.inv(A)
    turned = sg.Potential.from_functions(lambda x: well(x @ back.T), lambda x: well.grad(x @ back.T) @ back, dim=2)
    S, m = 0.2 * np.eye(2), np.array([0.2, 0.5])
    method = Particles(1000, units=8)
    one = flow(method, sg.Langevin.gibbs(well, T, D), GaussianState(m, S), PotentialEnergy(well) + Heat(T), tau, 3)
    other = flow(
        method,
        sg.Langevin.gibbs(turned, T, A @ D @ A.T),
        GaussianState(A @ m, A @ S @ A.T),
        PotentialEnergy(turned) + Heat(T),
        tau,
        3,
    )
    for before, after in pairwise(one):
        assert before.energy - after.energy >= after.w2**2 / (2 * tau) - 1e-12
        assert after.iterations > 0
    shift = T * np.log(np.linalg.det(A))
    np.testing.assert_allclose([s.energy for s in one], [s.energy + shift for s in other], rtol=1e-6)
    np.testing.assert_allclose(one[-1].density.points @ A.T, other[-1].density.points, atol=1e-4)


def test_going_on_from_kept_arrays_gives_the_identical_bits_and_other_seeds_other_points():
    problem, energy = sg.Langevin(well, 0.3), PotentialEnergy(well) + Heat(0.3)
    start, method = GaussianState(np.zeros(2), 0.1 * np.eye(2)), Particles(300, units=4)
    states = flow(method, problem, start, energy, 0.1, 3)
    fresh = method.start(problem, start, energy, SEED)
    resumed = method.step(method.step(method.restore(fresh, states[1].arrays()), 0.1), 0.1)
    for name, array in states[3].arrays().items():
        np.testing.assert_array_equal(array, resumed.arrays()[name])
    other = method.start(problem, start, energy, np.random.SeedSequence(2))
    assert not np.array_equal(other.density.points, states[0].density.points)


def test_starts_from_a_grid_and_from_points():
    """A grid's density is that of its cells; the entropy of points is not known, and counts from theirs."""
    grid = sg.Grid([(-2, 2, 40), (-2, 2, 40)])
    values = np.exp(-4 * np.sum(grid.centers**2, axis=-1))
    rho = sg.Density(grid, values / np.sum(values * grid.volumes))
    problem, energy = sg.Langevin(well, 0.3), PotentialEnergy(well) + Heat(0.3)
    state = Particles(20_000, "affine").start(problem, rho, energy, SEED)
    assert state.energy == pytest.approx(energy.value(rho), abs=0.02)
    np.testing.assert_allclose(state.density.cov(), rho.cov(), atol=0.01)
    points = np.random.default_rng(0).normal(size=(500, 2))
    first, then = flow(Particles(map="affine"), problem, Cloud(points), energy, 0.1, 1)
    np.testing.assert_array_equal(first.density.points, points)
    assert first.energy == pytest.approx(well(points).mean(), rel=1e-12)
    assert first.energy - then.energy >= then.w2**2 / 0.2


def test_porous_medium_and_interaction_energies():
    """A quadratic interaction pulls a Gaussian together like a quadratic potential about its mean; the porous-medium energy of N(0, s²)
    is 1/(2 s sqrt(pi)) for m = 2, T = 1, an average over points with the sampling error of 20 000."""
    start, pair, free = GaussianState(np.array([2.0]), np.eye(1)), sg.quadratic([3.0]), sg.Langevin(sg.quadratic([1.0]))
    drawn = flow(Particles(200, "affine"), free, start, Interaction(pair) + Heat(0.5), 0.2, 3)[-1].density
    held = flow(Particles(200, "affine"), free, start, PotentialEnergy(sg.quadratic([3.0], [2.0])) + Heat(0.5), 0.2, 3)[
        -1
    ].density
    np.testing.assert_allclose([drawn.mean()[0], drawn.cov()[0, 0]], [held.mean()[0], held.cov()[0, 0]], atol=1e-9)
    first, then = flow(Particles(20_000, "affine"), free, start, as_energy(PorousMedium(2.0)), 0.2, 1)
    s = np.sqrt(then.density.cov()[0, 0])
    assert first.energy == pytest.approx(0.5 / np.sqrt(np.pi), rel=0.01)
    # the best normal density: minimum of 1/(2 s sqrt(pi)) + (s - 1)²/(2 tau)
    assert (s - 1) / 0.2 == pytest.approx(0.5 / (np.sqrt(np.pi) * s**2), rel=0.01)


def test_what_is_refused_says_what_to_type():
    energy = PotentialEnergy(well) + Heat(0.3)
    start = GaussianState(np.zeros(2), np.eye(2))
    with pytest.raises(ValueError, match="Graph"):
        Particles().start(sg.Langevin.gibbs(well, 0.3, lambda x: 1 + x[0] ** 2), start, energy, SEED)
    with pytest.raises(ValueError, match="positive definite"):
        Particles().start(sg.Langevin.gibbs(well, 0.3, [1.0, 0.0]), start, energy, SEED)
    with pytest.raises(ValueError, match=r"Particles\(count=200\)"):
        Particles(2).start(sg.Langevin(well, 0.3), start, energy, SEED)
    with pytest.raises(ValueError, match="known"):
        Particles().start(sg.Langevin(well, 0.3), Cloud(np.ones((9, 2))), as_energy(PorousMedium(2.0)), SEED)
    with pytest.raises(ValueError, match="affine"):
        Particles(map="linear")
    with pytest.raises(TypeError, match="GaussianState"):
        Particles().start(sg.Langevin(well, 0.3), "here", energy, SEED)


@pytest.mark.slow
def test_a_curved_double_well_falls_as_on_a_grid():
    """Against `Entropic` with half the temperature, whose energies are right to 2e-3; the maps are a family that is good to 3 %."""
    problem, cov = sg.Langevin.gibbs(well, 0.3, [[1.0, 0.3], [0.3, 0.5]]), 0.2 * np.eye(2)
    grid = sg.Grid([(-2.2, 2.2, 34), (-2, 2, 34)])
    values = np.exp(-np.sum(grid.centers**2, axis=-1) / 0.4)
    rho = sg.Density(grid, values / np.sum(values * grid.volumes))
    cloud = sg.jko(problem, GaussianState(np.zeros(2), cov), tau=0.1, n=3, method=Particles(4000, units=16), seed=3)
    known = sg.jko(problem, rho, tau=0.1, n=3, method=sg.Entropic(0.15))
    assert cloud.energies[0] - cloud.energies[-1] == pytest.approx(known.energies[0] - known.energies[-1], rel=0.03)
    np.testing.assert_allclose(cloud.w2, known.w2, rtol=0.05)
    np.testing.assert_allclose(cloud[-1].cov(), known[-1].cov(), atol=0.03)


def test_a_flow_goes_on_from_its_folder_to_the_identical_result(tmp_path):
    start = GaussianState(np.zeros(2), 0.2 * np.eye(2))
    common = {"tau": 0.1, "method": Particles(300, units=4), "seed": 3}
    problem = sg.Langevin(well, 0.3)
    sg.jko(problem, start, n=1, checkpoint=tmp_path, **common)
    resumed = sg.jko(problem, start, n=3, checkpoint=tmp_path, **common)
    whole = sg.jko(problem, start, n=3, **common)
    np.testing.assert_array_equal(whole.energies, resumed.energies)
    np.testing.assert_array_equal(whole[-1].points, resumed[-1].points)


@pytest.mark.slow
def test_a_mixture_in_fifty_dimensions_against_its_exact_energy_and_a_long_simulation():
    """U = -log of two normal densities of weight 0.3 and 0.7: F at rest is -T log Z = -25 log 2 pi exactly."""
    d, weight = 50, 0.3
    e = np.random.default_rng(1).normal(size=d)
    e /= np.linalg.norm(e)
    c = 1.5 * e

    @sg.potential(dim=d)
    def mixture(x):
        left, right = np.exp(-np.sum((x + c) ** 2) / 2), np.exp(-np.sum((x - c) ** 2) / 2)
        return -np.log(weight * left + (1 - weight) * right)

    problem, energy = sg.Langevin(mixture), PotentialEnergy(mixture) + Heat(1.0)
    states = flow(Particles(4000), problem, GaussianState(0.5 * e, 1.5 * np.eye(d)), energy, 1.0, 6)
    rest = -25 * np.log(2 * np.pi)
    falls = -np.diff([state.energy for state in states])
    assert np.all(falls >= [0.5 * state.w2**2 for state in states[1:]] - np.full(6, 1e-9))
    assert -1e-3 < states[-1].energy - rest < 0.02 and states[0].energy - rest > 2
    along = states[-1].density.points @ e
    watched = {
        "energy": sg.Average(
            lambda x: 0.5 * np.sum((x - c) ** 2) - np.log(1 - weight + weight * np.exp(-2 * np.sum(c * x)))
        ),
        "moments": sg.Average(lambda x: np.sum(x * e) ** np.arange(1, 5)),
        "right": sg.Average(lambda x: np.sum(x * e) > 0),
    }
    found = sg.observe(problem, 0.5 * e, watched, t=15, after=6, dt=0.02, every=25, n_paths=2000, seed=1)
    ours = {
        "energy": mixture(states[-1].density.points)[:, None],
        "moments": along[:, None] ** np.arange(1, 5),
        "right": (along > 0)[:, None],
    }
    for name, values in ours.items():
        error = np.sqrt(np.var(values, axis=0) / len(values) + np.asarray(found[name].error) ** 2)
        # the steps of the simulation make its variances wrong by dt/4, those of the flow by nothing
        assert np.all(np.abs(values.mean(axis=0) - found[name].value) < 4 * error + 0.01 * np.abs(found[name].value)), (
            name
        )
