"""Bridges: moments known in closed form, mesh independence, densities by guided proposals."""

import numpy as np
import pytest
from scipy.linalg import expm

import sgdyn as sg
from tests.interruption import interruptible

K, T, t, A, B = 1.2, 0.3, 1.3, 0.7, -0.2  # dossier rates_and_paths, C08
LINEAR = sg.Langevin(sg.quadratic([[K]]), T)
WELL = sg.landscapes.double_well()
METHODS = [sg.PreconditionedCrankNicolson(0.5), sg.PathHMC(0.5, 3), sg.GuidedProposals(1.0)]


@pytest.mark.parametrize("method", METHODS)
def test_moments_of_the_ornstein_uhlenbeck_bridge(method):
    found = sg.bridges(LINEAR, [A], [B], t=t, n=64, method=method, chains=64, iterations=120)
    k = 32
    s = found.t[k]
    mean = (A * np.sinh(K * (t - s)) + B * np.sinh(K * s)) / np.sinh(K * t)
    variance = 2 * T * np.sinh(K * s) * np.sinh(K * (t - s)) / (K * np.sinh(K * t))
    first, second = found.mean(lambda x: x[:, :, k, 0]), found.mean(lambda x: (x[:, :, k, 0] - mean) ** 2)
    assert abs(float(first) - mean) < 4 * first.error
    assert abs(float(second) - variance) < 4 * second.error
    assert first.error < 0.1 * np.sqrt(variance)
    assert found.mean().value.shape == (65, 1) and found.effective_sample_size > 100


@pytest.mark.parametrize("method", [sg.PreconditionedCrankNicolson(0.4), sg.PathHMC(0.6, 3), sg.GuidedProposals(0.5)])
def test_acceptance_and_effective_sizes_do_not_fall_with_the_number_of_steps(method):
    problem = WELL.problem(0.15)
    coarse, fine = (
        sg.bridges(problem, [-1], [1], t=2.0, n=n, method=method, chains=24, iterations=100) for n in (50, 200)
    )
    assert abs(fine.acceptance - coarse.acceptance) < 0.05
    assert 0.2 < fine.acceptance <= 1
    assert fine.effective_sample_size > 0.5 * coarse.effective_sample_size


def test_a_sampler_that_moves_points_by_white_noise_does_depend_on_the_mesh():
    """The comparison: the same acceptance rule with steps that are not those of a Brownian bridge."""
    from sgdyn.pathspace.bridge_sampling import target
    from sgdyn.pathspace.paths import straight

    rates = []
    for n in (25, 200):
        aim, rng = target(WELL.problem(0.15), straight([-1.0], [1.0], t=2.0, n=n)), np.random.default_rng(0)
        u = aim.reference.fluctuations(rng, 200)
        moved = u + 0.05 * rng.standard_normal(u.shape)
        logs = [aim.log_weight(v) - aim.reference.half_square(v) for v in (u, moved)]
        rates.append(np.exp(np.minimum(0, logs[1] - logs[0])).mean())
    assert rates[1] < 0.2 * rates[0]


def test_samplers_agree_on_a_bridge_over_a_barrier_with_curl():
    problem = sg.Langevin(
        sg.landscapes.double_well_2d(0.1).U, 0.15, [[1, 0.4], [0.4, 0.7]], curl=lambda x: np.array([-x[1], x[0]])
    )
    options = {"t": 1.5, "n": 24, "chains": 32, "iterations": 240}
    hmc = sg.bridges(problem, [-1, 0], [0.5, 0.3], method=sg.PathHMC(0.4, 4), **options)
    pcn = sg.bridges(problem, [-1, 0], [0.5, 0.3], method=sg.PreconditionedCrankNicolson(0.3), **options)
    one, other = (found.mean(lambda x: x[:, :, 12]) for found in (hmc, pcn))
    assert one.agrees(other) and other.error.max() < 0.1


@pytest.mark.slow
def test_all_methods_sample_the_same_bridges_of_a_linear_process():
    """Three coordinates, rotation, full D, few steps: covariances at the middle against those of the exact bridge."""
    A = np.array([[1.0, 0.8, 0], [-0.5, 1.2, 0.3], [0, 0.4, 0.7]])
    D = np.array([[1.0, 0.3, 0], [0.3, 0.8, 0.2], [0, 0.2, 0.6]])
    problem, duration, a, b = sg.Langevin.linear(A, 0.4, D), 1.5, np.array([1.0, 0, -0.5]), np.array([-0.5, 0.3, 0.2])
    flow = lambda s: expm(-A * s)
    S = sg.linear_stationary(problem).covariance
    spread = lambda s: S - flow(s) @ S @ flow(s).T
    for method in (sg.GuidedProposals(0.5), sg.PathHMC()):
        found = sg.bridges(problem, a, b, t=duration, n=40, method=method, chains=64, iterations=150)
        k = 20
        s = found.t[k]
        gain = spread(s) @ flow(duration - s).T @ np.linalg.inv(spread(duration))
        mean = flow(s) @ a + gain @ (b - flow(duration) @ a)
        exact = np.diag(spread(s) - gain @ flow(duration - s) @ spread(s))
        assert np.all(np.abs(found.mean(lambda x: x[:, :, k]).value - mean) < 0.04)  # noqa: B023
        squares = found.mean(lambda x: (x[:, :, k] - mean) ** 2)  # noqa: B023
        assert np.all(np.abs(squares.value - exact) < 4 * squares.error + 0.005 * exact)
        assert squares.error.max() < 0.06 * exact.max()


def test_the_default_is_the_sampler_of_most_effective_paths():
    options = {"t": t, "n": 24, "chains": 16, "iterations": 60}
    found = sg.bridges(LINEAR, [A], [B], **options)
    other = sg.bridges(LINEAR, [A], [B], method=sg.PreconditionedCrankNicolson(), **options)
    assert found.method == sg.PathHMC() and found.effective_sample_size > 3 * other.effective_sample_size


def test_ctrl_c_leaves_a_mark(monkeypatch):
    from sgdyn.pathspace import samplers

    moves = []

    def interrupted(sampler, chain, move=samplers.PathHMC.move):
        moves.append(1)
        if len(moves) == 40:
            raise KeyboardInterrupt
        return move(sampler, chain)

    monkeypatch.setattr(samplers.PathHMC, "move", interrupted)
    with interruptible():
        found = sg.bridges(LINEAR, [A], [B], t=t, n=8, chains=4, iterations=80)
    assert not found.complete and found.paths.shape[1] == 23 and "Ctrl-C" in found.mean().warnings[-1]


def test_guided_proposals_give_densities():
    exact = sg.GuidedProposals().density(LINEAR, [A], [B], t)  # the linear process guides itself
    assert np.isclose(float(exact), 0.634262806707709339, rtol=1e-12) and exact.error < 1e-12
    mu, T_, time, a, b = 0.4, 0.5, 0.8, 1.0, 1.7
    walk = sg.Langevin.from_drift(lambda x: mu * x, T_, lambda x: np.array([[x[0] ** 2]]), dim=1)
    lognormal = np.exp(-((np.log(b / a) - (mu - T_) * time) ** 2) / (4 * T_ * time)) / (
        b * np.sqrt(4 * np.pi * T_ * time)
    )
    found = sg.GuidedProposals().density(walk, [a], [b], time, n=200, samples=4000)
    assert abs(float(found) - lognormal) < 4 * found.error + 0.01 * lognormal


def test_what_cannot_be_bridged_is_refused():
    varying = sg.Langevin(WELL.U, 0.1, lambda x: np.array([[1 + x[0] ** 2]]))
    with pytest.raises(ValueError, match="GuidedProposals"):
        sg.bridges(varying, [-1], [1], t=1)
    with pytest.raises(TypeError, match="Momentum"):
        sg.bridges(sg.Momentum(WELL.U, 0.1), [-1], [1], t=1)
    with pytest.raises(ValueError, match="step=2"):
        sg.PreconditionedCrankNicolson(2)
    with pytest.raises(TypeError, match=r"method=sg.PathHMC\(\)"):
        sg.bridges(LINEAR, [A], [B], t=1, method="hmc")
    found = sg.bridges(LINEAR, [A], [B], t=t, n=8, chains=2, iterations=10)
    with pytest.raises(ValueError, match="expected a value for each path"):
        found.mean(lambda x: x[0])
    assert found.plot() is not None


class Stopped:
    """A sampler that is interrupted in its 40th move."""

    def chain(self, problem, start, count, rng):
        chain, moves = sg.PreconditionedCrankNicolson().chain(problem, start, count, rng), iter(range(39))
        move = chain.next

        def next_move():
            if next(moves, None) is None:
                raise KeyboardInterrupt
            return move()

        chain.next = next_move
        return chain


def test_interrupted_chains_say_so():
    problem = sg.Langevin(sg.quadratic([[1.0]]), 0.1)
    found = sg.bridges(problem, [0], [1], t=1.0, n=16, chains=4, iterations=100, method=Stopped())
    assert found.interrupted == 39 and found.paths.shape[1] == 19
    assert any("iteration 39" in note for note in found.mean(lambda x: x[..., 8, 0]).warnings)
    whole = sg.bridges(problem, [0], [1], t=1.0, n=16, chains=4, iterations=20)
    assert whole.interrupted is None and not any("Ctrl-C" in note for note in whole.mean().warnings)
