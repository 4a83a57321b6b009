"""The arrow of time where coordinates change their sign backwards in time: oscillators with positions and velocities."""

import numpy as np
import pytest
from scipy import linalg

import sgdyn as sg
from sgdyn.fit import chapters
from sgdyn.fit.entropies import entropy_production
from sgdyn.fit.run_files import load_run, of_source
from sgdyn.fit.spectra import correlations
from sgdyn.fit.stretches import Series

DT = 0.2
ONE = np.array([[0.0, -1.0], [1.0, 1.0]])
"""Of dx = v dt, dv = -(x + v) dt + noise."""
TWO = np.block([[np.zeros((2, 2)), -np.eye(2)], [np.array([[2.0, -1.0], [-1.0, 2.0]]), np.eye(2)]])
"""Two oscillators, coupled."""


def exact(F, temperatures):
    """(A, S) of one recorded time; friction 1, so that the noise of the velocities is their temperatures."""
    noise = np.diag([0.0] * len(temperatures) + list(temperatures))
    return linalg.expm(-F * DT), linalg.solve_continuous_lyapunov(F, 2 * noise)


def path(F, temperatures, seed, times=1000, replicas=2):
    random, (A, S) = np.random.default_rng(seed), exact(F, temperatures)
    root = np.linalg.cholesky(S - A @ S @ A.T)
    x, seen = random.standard_normal((replicas, len(S))) @ np.linalg.cholesky(S).T, []
    for _ in range(times):
        seen.append(x)
        x = x @ A.T + random.standard_normal(x.shape) @ root.T
    return np.stack(seen, axis=1)


def divergence(P, Q):
    """Kullback and Leibler's, of Gaussians with mean 0 and these covariances."""
    return 0.5 * (np.trace(np.linalg.solve(Q, P)) - len(P) + np.linalg.slogdet(Q)[1] - np.linalg.slogdet(P)[1])


def test_an_oscillator_in_equilibrium_is_reversible_if_its_velocity_is_odd():
    """Called irreversible without odd=, as its circulation in (x, v) is; with it chances are even and nothing is produced."""
    found = [sg.fit.irreversibility(path(ONE, [1.0], seed), dt=DT, odd=[1]) for seed in range(16)]
    chances = np.array([each.chance for each in found])
    assert 0.3 < chances.mean() < 0.7 and np.sum(chances <= 0.01) <= 1
    assert max(abs(each.entropy_production.pull(0.0)) for each in found) < 2
    assert max(each.least_entropy_production.pull(0.0) for each in found) < 3.5
    assert "coordinates 1 change their signs" in str(found[0])
    blind = sg.fit.irreversibility(path(ONE, [1.0], 0), dt=DT)
    assert blind.irreversible and "odd=" in str(blind)


def test_heat_that_flows_between_two_oscillators_is_seen():
    """Temperatures 1 and 3: against the divergence of two times seen forwards from the same seen backwards, less that of one time."""
    signs = np.array([1.0, 1.0, -1.0, -1.0])
    A, S = exact(TWO, [1.0, 3.0])
    both, turned = np.block([[S, S @ A.T], [A @ S, S]]), np.kron(np.array([[0, 1], [1, 0]]), np.diag(signs))
    truth = (divergence(both, turned @ both @ turned) - divergence(S, np.outer(signs, signs) * S)) / DT
    pulls = [entropy_production(Series(path(TWO, [1.0, 3.0], seed), DT), signs).pull(truth) for seed in range(20)]
    assert truth > 0.05 and np.abs(np.mean(pulls)) < 0.8 and np.sum(np.abs(pulls) > 2) <= 2
    found = sg.fit.irreversibility(path(TWO, [1.0, 3.0], 0, times=3000), dt=DT, odd=[2, 3])
    assert found.irreversible
    calm = sg.fit.irreversibility(path(TWO, [1.0, 1.0], 0, times=3000), dt=DT, odd=[2, 3])
    assert not calm.irreversible and calm.entropy_production.pull(0.0) < 2


def test_backwards_with_velocities_turned_nothing_changes():
    x, signs = path(TWO, [1.0, 3.0], 3), np.array([1.0, 1.0, -1.0, -1.0])
    forth, back = (sg.fit.irreversibility(y, dt=DT, odd=[2, 3]) for y in (x, x[:, ::-1] * signs))
    np.testing.assert_allclose(
        back.area_rate.value, -forth.area_rate.value, atol=0.02 * np.abs(forth.area_rate.value).max()
    )
    assert abs(back.chance - forth.chance) < 0.01
    assert abs(float(back.entropy_production) - float(forth.entropy_production)) < 0.3 * forth.entropy_production.error


def test_the_reversible_process_beside_spectra_keeps_the_oscillation():
    """With v odd the reversible process is the oscillator itself; with v even it could not oscillate."""
    x = Series(path(ONE, [1.0], 1, times=3000), DT)
    free, bound = (correlations(x, np.array([1.0, sign])) for sign in (-1.0, 1.0))
    truth = np.array([linalg.expm(-ONE * lag)[0, 0] for lag in free.lags])
    assert np.max(np.abs(free.reversible_autocorrelation[:, 0] - truth)) < 0.1
    assert truth.min() < -0.1 < bound.reversible_autocorrelation.min()


@pytest.mark.parametrize(("odd", "error"), [([2], ValueError), ([0.5], TypeError), ([-1], ValueError)])
def test_wrong_odd_coordinates_are_refused(odd, error):
    with pytest.raises(error, match="got odd="):
        sg.fit.irreversibility(path(ONE, [1.0], 0, times=100), dt=DT, odd=odd)


def test_reports_know_of_odd_coordinates(tmp_path):
    np.savez(tmp_path / "run.npz", x=path(ONE, [1.0], 3), dt=DT)
    plain, odd = (
        chapters.arrow_of_time(load_run(tmp_path / "run.npz", odd=odd), 0).arrays["chance"] for odd in ((), (1,))
    )
    assert plain < 0.01 < odd
    assert of_source(np.zeros((2, 30, 2)), 0.1, [1]).odd == (1,)
