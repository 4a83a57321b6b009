"""What a run alone shows against the diffusion: in turn, heavy tails, drift, alternation."""

from collections import Counter

import numpy as np
import pytest
import torch
from scipy import signal, stats
from torch import nn

import sgdyn as sg
from sgdyn.nets.recording import Recording, Settings

H = np.array([1.0, 0.3])


class Quadratic(nn.Module):
    """w'Hw/2 - x.w: gradients are H w - x, so that H and D are the same everywhere."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2, dtype=torch.float64))
        self.register_buffer("H", torch.tensor(H))

    def forward(self, x):
        return 0.5 * (self.H * self.w**2).sum() - x @ self.w


def batches(sampler, n, batch, steps, rng):
    """(steps, replica, batch) of sample numbers for 16 replicas, as `nets.sampler` draws them (replicas at once: many steps of a small loop)."""
    if sampler != "epoch":
        return rng.integers(n, size=(steps, 16, batch))
    orders = rng.permuted(np.broadcast_to(np.arange(n), (steps * batch // n + 1, 16, n)), axis=2)
    return orders.reshape(-1, 16, n // batch, batch).swapaxes(1, 2).reshape(-1, 16, batch)[:steps]


def recorded(steps, lr, batch, n=1000, every=1, sampler="replacement", first=0):
    """The recording that `nets.train` would make of `Quadratic`, by the iteration as it is written down."""
    rng = np.random.default_rng(1)
    samples = rng.normal(size=(n, 2))
    noise = (samples - samples.mean(axis=0))[batches(sampler, n, batch, steps, rng)].mean(axis=2)
    x, g = np.zeros((2, steps, 16, 2))
    for t in range(steps):
        g[t] = x[t] * H - noise[t]
        if t + 1 < steps:
            x[t + 1] = x[t] - lr * g[t]
    seen = np.arange(0, steps, every)
    x, g = (part[seen].swapaxes(0, 1) for part in (x, g))
    settings = Settings(steps, lr, batch, sampler, 0.0, 16, every, 1, n, 0.0)
    whole = Recording(settings, seen, x, g, x, x[..., 0], x[..., 0], torch.zeros(16, 2))
    return whole.after(first)


def autoregression(noise, kept=0.95):
    return signal.lfilter([1.0], [1.0, -kept], noise, axis=1)[:, 200:]


def in_turn(rng, replicas, times, epoch):
    """Noise that goes through the same numbers in every epoch, in a new order each time."""
    numbers = rng.normal(size=epoch)
    numbers -= numbers.mean()
    orders = [[rng.permutation(numbers) for _ in range(times // epoch + 1)] for _ in range(replicas)]
    return np.array(orders).reshape(replicas, -1)[:, :times, None]


def states(make, seeds, name, **options):
    return Counter(
        sg.fit.validity(make(np.random.default_rng(seed)), dt=0.1, **options)[name].state for seed in range(seeds)
    )


@pytest.mark.parametrize("batch, every", [(20, 1), (20, 5), (8, 10)])
def test_the_epoch_sampler_fails_with_its_size(batch, every):
    """The size is that of the exact covariance of SGD epoch by epoch, whatever is recorded of it."""
    run = recorded(steps=6000, lr=0.02, batch=batch, every=every, sampler="epoch", first=800)
    found = sg.fit.validity(run)
    assert found["epoch sampler"].state == "fails" and "epoch sampler" in found.verdict
    exact = sg.epoch_sgd(np.diag(H), np.eye(2), lr=0.02, batch=batch, n=1000)
    ratio = np.diag(exact.covariance) / np.diag(exact.independent.covariance)
    assert found["epoch sampler"].size.agrees(ratio.min() - 1, 3.5)
    assert found["stationary"].state != "fails"  # the balance is exact for every noise


def test_long_epochs_that_change_little_are_no_failure():
    run = recorded(n=800, steps=4000, lr=0.5, batch=2, sampler="epoch", first=100)
    found = sg.fit.validity(run)["epoch sampler"]
    assert found.state == "holds" and -0.05 < found.size.value < 0


def test_independent_batches_of_a_quadratic_hold():
    found = sg.fit.validity(recorded(steps=4000, lr=0.1, batch=20, first=200))
    assert not found.failing and found["white noise"].state == found["small steps"].state == "holds", str(found)
    assert found["edge of stability"].size.agrees(0.1 * H[0] / 2, 3.5)
    with pytest.raises(KeyError):
        found["epoch sampler"]


@pytest.mark.parametrize("every", [1, 2])
def test_near_the_edge_of_stability_the_run_says_so(every):
    """Steps that alternate are the evidence, not an error; gradients show it also where every second step alone is seen."""
    run = recorded(steps=1200, lr=1.5, batch=64, every=every, first=100)
    found = sg.fit.validity(run)
    assert {each.name for each in found.failing} >= {"edge of stability", "small steps"}
    assert found["edge of stability"].size.agrees(1.5 * H[0] / 2, 3.5)
    if every == 1:
        alone = sg.fit.validity(run.x, dt=1.5)["edge of stability"]
        assert alone.state == "fails" and alone.size.agrees(1.5 * H[0] / 2, 3.5)


@pytest.mark.parametrize("kept, state", [(-0.9, "fails"), (-0.3, "fails"), (0.0, "unclear"), (0.3, "holds")])
def test_what_alternates_between_recorded_times_is_no_diffusion(kept, state):
    x = autoregression(np.random.default_rng(0).normal(size=(8, 2200, 2)), kept)
    assert sg.fit.validity(x, dt=0.1)["edge of stability"].state == state


@pytest.mark.parametrize("epoch", [50, 500])
def test_numbers_in_turn_are_no_white_noise_without_being_told(epoch):
    found = states(lambda rng: autoregression(in_turn(rng, 8, 5200, epoch), 0.98), 3, "white noise")
    assert found == {"fails": 3}


@pytest.mark.parametrize("alpha", [1.5, 1.7])
def test_heavy_tails_fail_whatever_the_seed(alpha):
    def make(rng):
        return autoregression(stats.levy_stable.rvs(alpha, 0.0, size=(4, 1700, 1), random_state=rng))

    assert states(make, 5, "Gaussian noise") == {"fails": 5}


def test_rare_jumps_fail_and_light_tails_do_not():
    def jumps(rng):
        shape = (8, 3200, 1)
        return autoregression(rng.normal(size=shape) + 100 * (rng.random(shape) < 1e-3))

    assert states(jumps, 4, "Gaussian noise") == {"fails": 4}
    assert states(lambda rng: autoregression(rng.normal(size=(8, 3200, 1))), 4, "Gaussian noise") == {"holds": 4}


def test_a_landscape_that_sharpens_fails():
    rng = np.random.default_rng(0)
    rates, x = np.linspace(0.02, 0.4, 4000), np.zeros((8, 4000, 1))
    for t in range(1, 4000):
        x[:, t] = (1 - rates[t]) * x[:, t - 1] + rng.normal(size=(8, 1))
    found = sg.fit.validity(x, dt=0.1)
    assert "constant in time" in found.verdict and found["constant in time"].size.value < -0.4


def test_neither_units_nor_origins_change_a_finding():
    x = autoregression(np.random.default_rng(2).normal(size=(4, 1200, 2)))
    plain = sg.fit.validity(x, dt=0.1)
    for other in (x * 1e150, x * 1e-170, x * [1.0, 1e9], x + 1e6):
        for a, b in zip(plain.findings, sg.fit.validity(other, dt=0.1).findings, strict=True):
            assert a.state == b.state
            np.testing.assert_allclose([b.size.value, b.size.error], [a.size.value, a.size.error], rtol=1e-5, atol=1e-7)


def test_coordinates_that_say_nothing_are_named():
    x = autoregression(np.random.default_rng(2).normal(size=(3, 800, 2)))
    with pytest.raises(ValueError, match="coordinate 1 does not change"):
        sg.fit.validity(np.concatenate([x[..., :1], np.ones_like(x)], axis=-1)[..., :2], dt=0.1)
    with pytest.raises(ValueError, match="coordinates 0 and 1 do not change"):
        sg.fit.validity(np.full((3, 100, 2), 0.1), dt=0.1)
    with pytest.raises(ValueError, match="coordinates 1 and 2 hang together"):
        sg.fit.validity(np.concatenate([x, 3 * x[..., 1:] + 1], axis=-1), dt=0.1)


def test_options_without_effect_are_refused():
    x = np.random.default_rng(0).normal(size=(2, 100, 1))
    with pytest.raises(ValueError, match=r"got lr=, batch=, .*gaussian= with a run"):
        sg.fit.validity(x, dt=0.1, lr=0.1, batch=3, gaussian=True)
    net = sg.nets.Network(Quadratic(), lambda output, y: output, (np.eye(2), np.zeros(2)))
    with pytest.raises(ValueError, match=r"got dt= with a Network"):
        sg.fit.validity(net, lr=0.1, batch=1, dt=3.0)


@pytest.mark.slow
def test_fair_runs_do_not_fail_and_say_so_when_they_are_long():
    """Of 100 linear processes none fails, and 90 and more hold in all that is asked."""
    found = [
        sg.fit.validity(autoregression(np.random.default_rng(seed).normal(size=(8, 3200, 2)), 0.9), dt=0.1)
        for seed in range(100)
    ]
    assert not [str(each) for each in found if each.failing]
    assert sum("holds here" in each.verdict for each in found) >= 90
