"""Irreversible processes between walls that absorb, and on rings with walls."""

import numpy as np
import pytest

import sgdyn as sg
from tests.density.processes import quartic


@sg.potential(dim=2)
def channel(x):
    return 0.3 * np.cos(x[0]) + 0.5 * x[1] ** 2


def curl(x):
    """exp(U/T) (d psi/dy, -d psi/dx), psi = exp(-y²) (1 + sin(x)/2), T = 1/2: it goes through walls a little."""
    grow, fall = np.exp(2 * (0.3 * np.cos(x[0]) + 0.5 * x[1] ** 2)), np.exp(-(x[1] ** 2))
    return np.stack([-2 * x[1] * fall * grow * (1 + 0.5 * np.sin(x[0])), -0.5 * np.cos(x[0]) * fall * grow])


@pytest.mark.parametrize("turned", [False, True])
def test_a_curl_keeps_the_gibbs_density_on_a_ring_with_walls(turned):
    axes, walls = [(0, 2 * np.pi, 24), (-3.5, 3.5, 35)], [("periodic", "periodic"), "reflecting"]
    U, c = channel, curl
    if turned:
        axes, walls = axes[::-1], walls[::-1]
        U = sg.potential(dim=2)(lambda x: 0.3 * np.cos(x[1]) + 0.5 * x[0] ** 2)
        c = lambda x: curl(x[::-1])[::-1]
    generator = sg.fokker_planck(sg.Langevin(U, T=0.5, curl=c), sg.Grid(axes, walls))
    exact = np.exp(-U(generator.grid.centers) / 0.5) * generator.grid.volumes
    rho = generator.stationary()
    assert np.abs(rho.masses - exact / exact.sum()).sum() < 1e-12
    assert np.abs(generator.rates.T @ rho.masses.ravel()).max() < 1e-13


def test_absorbing_walls_end_irreversible_processes_with_constant_D():
    """A mean time without a region is that with the region beyond the walls of a larger box."""
    process = sg.Langevin.linear([[1.0, 0.6], [-0.6, 1.0]], T=0.4)
    walls = sg.fokker_planck(process, sg.Grid([(-1, 1, 40)] * 2, "absorbing"))
    wide = sg.fokker_planck(process, sg.Grid([(-1.2, 1.2, 48)] * 2))
    region = lambda x: (np.abs(x[0]) > 1) | (np.abs(x[1]) > 1)
    assert abs(walls.mean_first_passage(None, [0.2, 0]).pull(wide.mean_first_passage(region, [0.2, 0]))) < 1
    assert abs(walls.quasi_stationary().rate.pull(wide.quasi_stationary(region).rate)) < 1


def test_absorbing_walls_end_the_momentum_process():
    process = sg.Momentum(quartic, T=1 / 3)
    walls = sg.Grid([(-1.2, 2.2, 48), (-3.5, 3.5, 48)], (("absorbing", "reflecting"), "reflecting"))
    found = sg.fokker_planck(process, walls).mean_first_passage(None, [1.0, 0.0])
    paths = sg.first_passage(process, [1.0, 0.0], lambda x: x[0] < -1.2, dt=0.02, n_paths=600, seed=0)
    assert abs(found.pull(paths)) < 3


def test_a_process_without_noise_moves_on_the_grid():
    process = sg.Langevin(sg.quadratic([[1.0]]), T=1.0, D=0.0)
    generator = sg.fokker_planck(process, sg.Grid([(-2, 2, 41)]))
    assert generator.evolve([1.5], 40.0).mean() == pytest.approx(0, abs=1e-6)


def test_walls_behind_a_region_are_not_mentioned():
    process = sg.Langevin(sg.quadratic(0.1 * np.eye(2)), T=1.0)
    generator = sg.fokker_planck(process, sg.Grid([(-1.2, 1.2, 24)] * 2))
    disk, half = (lambda x: x[0] ** 2 + x[1] ** 2 > 1), (lambda x: x[0] > 0.5)
    for inside in (generator.mean_first_passage(disk, [0, 0]), generator.quasi_stationary(disk).rate):
        assert generator.notes and not inside.warnings
    assert "at reflecting walls" in generator.mean_first_passage(half, [0, 0]).warnings[0]


def test_a_list_of_axes_is_told_from_axes():
    with pytest.raises(TypeError, match=r"type density.marginal\(0, 1\)"):
        sg.gaussian(sg.Grid([(-1, 1, 4)] * 2), [0, 0], [0.1, 0.1]).marginal([0])


def test_a_region_by_cases_says_what_to_type():
    by_cases = lambda x: np.where(x[0] > 0, x[1] > 0.7, x[1] > 0.3)
    generator = sg.fokker_planck(sg.Langevin(sg.quadratic(np.eye(2)), T=1.0), sg.Grid([(-1, 1, 16)] * 2))
    with pytest.raises(TypeError, match=r"type \(c & a\) \| \(~c & b\)"):
        generator.mean_first_passage(by_cases, [0, 0])
    joined = lambda x: ((x[0] > 0) & (x[1] > 0.7)) | (~(x[0] > 0) & (x[1] > 0.3))
    assert generator.mean_first_passage(joined, [0.5, 0]).value > 0
