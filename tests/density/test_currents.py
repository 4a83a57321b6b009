"""Currents and the entropy they produce, against closed forms."""

import numpy as np
import pytest

import sgdyn as sg

D = np.array([[1, 0.5], [0.5, 0.6]])
LINEAR = sg.Langevin.linear([[1.0, 0.7], [-0.9, 1.5]], T=0.5, D=D, center=[0.2, -0.1])
EXACT = sg.linear_stationary(LINEAR)
CURL = 0.68138161154618892
"""The entropy production of arXiv:1710.11029, example 19, over the squared strength (quadrature)."""


def linear(n):
    return sg.fokker_planck(LINEAR, sg.Grid([(-4.8, 5.2, n), (-4.1, 3.9, n)]))


@pytest.mark.parametrize("strength", [0.5, 1.5])
def test_entropy_production_of_a_known_curl(strength):
    process = sg.landscapes.chaudhari_soatto(strength).problem()
    exact, found = CURL * strength**2, []
    for n in (24, 36, 54):
        found.append(sg.fokker_planck(process, sg.Grid([(-4, 4, n), (-7, 7, 2 * n)])).entropy_production())
        assert abs(found[-1].pull(exact)) < 2
    # the curl is averaged over exp(-Phi), for which the midpoint rule has no finite order
    assert found[0].error < 2e-2 * exact and found[1].error < 2e-3 * exact and found[2].error < 1e-6 * exact
    assert found[2].value == pytest.approx(exact, rel=1e-8)


def test_entropy_production_and_current_of_linear_processes():
    """J = (T D S^-1 - F)(x - center) rho."""
    errors = []
    for n in (60, 120):
        generator = linear(n)
        flow = generator.current()
        exact = (generator.grid.centers - EXACT.center) @ EXACT.current.T * flow.density.values[..., None]
        errors.append(np.abs(flow.values - exact).max() / np.abs(exact).max())
        found = generator.entropy_production()
        assert abs(found.pull(EXACT.entropy_production)) < 1 and found.error < 0.05 * EXACT.entropy_production
        assert np.abs(flow.divergence).max() < 1e-11
    assert 1.8 < np.log2(errors[0] / errors[1]) < 2.2 and errors[1] < 0.01


def test_currents_and_potentials_belong_together():
    """j . grad Phi = T div j, Phi = -T log rho, from central differences of both."""
    errors = []
    for n in (60, 120):
        generator = sg.fokker_planck(sg.landscapes.chaudhari_soatto(1.5).problem(), sg.Grid([(-3, 3, n)] * 2))
        flow, x = generator.current(), generator.grid.midpoints
        v, slope = flow.velocity, np.stack(np.gradient(-np.log(flow.density.values), *x), axis=-1)
        spread = sum(np.gradient(v[..., k], x[k], axis=k) for k in range(2))
        inner = np.all(np.abs(generator.grid.centers) < 1.5, axis=-1)
        difference = (np.sum(v * slope, axis=-1) - spread)[inner]
        errors.append(np.sqrt(np.mean(difference**2) / np.mean(spread[inner] ** 2)))
    assert errors[1] < 0.02 and 1.7 < np.log2(errors[0] / errors[1]) < 2.3


def test_the_divergence_is_the_change_with_the_time():
    generator = linear(40)
    rho = sg.gaussian(generator.grid, [1.0, 1.0], [0.3, 0.2])
    change = (generator.evolve(rho, 1e-6).values - rho.values) / 1e-6
    flow = generator.current(rho)
    np.testing.assert_allclose(flow.divergence, -change, atol=1e-3 * np.abs(change).max())
    assert np.sum(flow.divergence * generator.grid.volumes) == pytest.approx(0, abs=1e-12)
    drift = LINEAR.drift(generator.grid.centers) * rho.values[..., None]
    total = np.sum(flow.values * generator.grid.volumes[..., None], axis=(0, 1))
    np.testing.assert_allclose(total, np.sum(drift * generator.grid.volumes[..., None], axis=(0, 1)), rtol=0.04)


def test_reversible_processes_have_no_current():
    process = sg.Langevin.gibbs(
        sg.landscapes.double_well_2d().U, T=0.4, D=lambda x: np.array([[1 + x[1] ** 2, 0.3], [0.3, 1.0]])
    )
    generator = sg.fokker_planck(process, sg.Grid([(-2, 2, 60)] * 2))
    assert np.abs(generator.current().values).max() < 1e-12
    assert float(generator.entropy_production()) < 1e-20


def test_tilted_rings_turn():
    """A constant force around a ring: J = force/length everywhere, entropy production force²/T."""
    ring = sg.Langevin.from_drift(lambda x: np.array([0.7 + 0 * x[0]]), T=0.4, dim=1)
    generator = sg.fokker_planck(ring, sg.Grid([(0, 2, 64)], "periodic"))
    np.testing.assert_allclose(generator.current().values, 0.35, rtol=1e-10)
    assert float(generator.entropy_production()) == pytest.approx(0.7**2 / 0.4, rel=1e-9)


def test_currents_out_of_the_range_of_D_and_of_momentum():
    turned = sg.Langevin.linear([[1.0, 1.0], [-1.0, 2.0]], D=[1.0, 0.0])
    assert np.isinf(float(sg.fokker_planck(turned, sg.Grid([(-4, 4, 30)] * 2)).entropy_production()))
    assert np.isinf(sg.linear_stationary(turned).entropy_production)
    with pytest.raises(ValueError, match="velocities change sign"):
        sg.fokker_planck(sg.Momentum(sg.quadratic([1.0])), sg.Grid([(-4, 4, 20)] * 2)).entropy_production()


def test_axes_and_the_split_of_T_and_D_do_not_matter():
    one = linear(40).entropy_production()
    scaled = sg.Langevin.linear([[1.0, 0.7], [-0.9, 1.5]], T=2.0, D=D / 4, center=[0.2, -0.1])
    swapped = sg.Langevin.linear([[1.5, -0.9], [0.7, 1.0]], T=0.5, D=D[::-1, ::-1], center=[-0.1, 0.2])
    assert float(sg.fokker_planck(scaled, linear(40).grid).entropy_production()) == pytest.approx(float(one), rel=1e-9)
    assert float(sg.fokker_planck(swapped, linear(40).grid.select([1, 0])).entropy_production()) == pytest.approx(
        float(one), rel=1e-9
    )
    mirror = np.diag([-1.0, 1.0])
    other = sg.Langevin.linear(
        mirror @ [[1.0, 0.7], [-0.9, 1.5]] @ mirror, T=0.5, D=mirror @ D @ mirror, center=[-0.2, -0.1]
    )
    mirrored = sg.fokker_planck(other, sg.Grid([(-5.2, 4.8, 40), (-4.1, 3.9, 40)]))
    assert float(mirrored.entropy_production()) == pytest.approx(float(one), rel=1e-9)
    np.testing.assert_allclose(mirrored.current().values[::-1] @ mirror, linear(40).current().values, atol=1e-10)
