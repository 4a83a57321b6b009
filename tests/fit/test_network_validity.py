"""What speaks against the diffusion on a network: on losses of which all is known."""

import numpy as np
import pytest
import torch
from torch import nn

import sgdyn as sg
from sgdyn.estimate import of_samples
from sgdyn.fit.ladders import Experiment
from sgdyn.fit.landscapes import along
from sgdyn.fit.rungs import ladder_of


class Bowl(nn.Module):
    """Losses w'Hw/2 + c w⁴/4 - x.w (1 + b w): with c = b = 0 both D and H are the same everywhere."""

    def __init__(self, h, c=0.0, b=0.0):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(len(h), dtype=torch.float64))
        self.register_buffer("h", torch.tensor(h, dtype=torch.float64))
        self.c, self.b = c, b

    def forward(self, x):
        w = self.w
        return (0.5 * self.h * w**2 + 0.25 * self.c * w**4).sum() - x @ (w * (1 + self.b * w))


def bowl(h, n=300, seed=0, **terms):
    x = np.random.default_rng(seed).normal(size=(n, len(h)))
    return sg.nets.Network(Bowl(h, **terms), lambda output, y: output, (x - x.mean(axis=0), np.zeros(n)))


NET = bowl([1.0, 0.6])
ALL = ["minimum", "edge of stability", "small steps", "white noise", "variances, diffusion", "variances, discrete theory", "stationary", "constant D", "constant curvature", "Gaussian noise", "SVAG(2)"]  # fmt: skip


def states(found):
    return {each.name: each.state for each in found.findings}


@pytest.mark.parametrize(
    "options", [{"seed": 1}, {"seed": 2, "momentum": 0.8, "lr": 0.02}, {"sampler": "without", "batch": 150}]
)
def test_where_the_diffusion_is_right_the_verdict_says_so(options):
    chosen = {"lr": 0.1, "batch": 8, "replicas": 16, "relaxations": 5, "amplification": 2} | options
    found = sg.fit.validity(NET, **chosen)
    assert found.verdict == "the diffusion picture holds here", str(found)
    assert set(ALL) <= set(states(found))
    assert abs(found["constant D"].size.value) < 1e-9 and abs(found["constant curvature"].size.value) < 1e-9


def test_batches_without_replacement_have_as_much_noise_as_their_factor_says():
    """c = (n - B)/(n - 1) = 150/299: without it D along the run would be half of D."""
    space = NET.subspace(2)
    run = sg.nets.train(NET, steps=500, lr=0.2, batch=150, sampler="without", replicas=16, record=space, seed=0)
    found = sg.fit.compare(run.after(100), space, paths=0)
    ratio = np.diag(found.dressed.D.value) / np.diag(space.D)
    assert np.all(np.abs(ratio - 1) < 4 * np.diag(found.dressed.D.error) / np.diag(space.D)) and np.all(
        np.abs(ratio - 1) < 0.1
    )


def test_the_table_has_every_rung_with_its_closed_form():
    """In one dimension, over SGD's: SME-1 -lr h/2, SME-2 (1 - lr h/2)/(1 + lr h/2) - 1, SVAG(l) (1 - lr h/2)/(1 - lr h/2l) - 1, Hessian-aware 0."""
    found = sg.fit.validity(bowl([1.0, 0.9]), lr=0.4, batch=8, k=1, replicas=12, relaxations=5, gaussian=True)
    expected = {
        "SGD (exact)": 0.0, "SVAG(4), on the quadratic": 0.8 / 0.95 - 1, "SME-1 (the diffusion)": -0.2, "SME-2": 0.8 / 1.2 - 1,
        "Hessian-aware diffusion": 0.0, "SVAG(4)": 0.8 / 0.95 - 1, "Gaussian noise": 0.0,
    }  # fmt: skip
    for name, value in expected.items():
        rung = found.ladder[name]
        assert abs(rung.worst.value - value) < 1e-9 + 4 * rung.worst.error and rung.average.error < 0.02, name
    assert "SME-2" in str(found) and "Hessian-aware" in str(found)
    assert found["SVAG(4)"].state == "fails" and found["Gaussian noise in its place"].state == "holds"
    with pytest.raises(KeyError, match="SME-2"):
        found.ladder["SME-3"]
    table = ladder_of(found.comparison)
    assert table["SME-2"].worst.value == pytest.approx(expected["SME-2"], abs=1e-3)
    fast = sg.fit.validity(bowl([1.0, 0.9]), lr=1.2, batch=8, k=1, replicas=8)
    assert fast.ladder["Hessian-aware diffusion"].worst is None and "does not exist" in str(fast.ladder)


def test_at_the_edge_of_stability_the_verdict_is_about_the_edge():
    """Directions alternate: lr h = 1.9 and 1.14 forget within a step or two, and beyond lr h = 2 there is no stationary state."""
    found = sg.fit.validity(NET, lr=1.9, batch=8, k=1, replicas=8, amplification=2)
    assert {"edge of stability", "small steps", "variances, diffusion"} <= {each.name for each in found.failing}
    assert found["edge of stability"].size.value == pytest.approx(0.95)
    assert found["variances, discrete theory"].state == "holds"
    beyond = sg.fit.validity(NET, lr=2.1, batch=8)
    assert "edge of stability (1.05)" in beyond.verdict and "diverges" in str(beyond)


@pytest.mark.slow
def test_the_epoch_sampler_fails_by_as_much_as_its_exact_theory_says():
    net = bowl([1.0, 0.5], n=64)
    found = sg.fit.validity(net, lr=0.1, batch=4, sampler="epoch", replicas=16, relaxations=5, amplification=2)
    exact = np.diag(sg.epoch_sgd(np.diag([1.0, 0.5]), np.eye(2), lr=0.1, batch=4, n=64).covariance)
    white = np.diag(sg.discrete_sgd(np.diag([1.0, 0.5]), np.eye(2), lr=0.1, batch=4, n=64).covariance)
    assert found["epoch sampler"].size.value == pytest.approx(np.min(exact / white) - 1, rel=1e-6)
    assert {"epoch sampler", "variances, diffusion", "SVAG(2)", "white noise"} <= {each.name for each in found.failing}
    assert found["variances, discrete theory"].state == "holds"
    assert found.ladder["SGD epoch by epoch (exact)"].worst.value == pytest.approx(0, abs=1e-6)
    heavy = sg.fit.validity(
        net, lr=0.02, batch=4, momentum=0.8, sampler="epoch", replicas=8, relaxations=4, amplification=2
    )
    assert heavy["epoch sampler"].state == "fails" and heavy["SVAG(2)"].state == "fails"


def test_smaller_steps_with_momentum_come_nearer_to_the_underdamped_diffusion():
    def gap(amplification):
        plan = Experiment.plan(NET, NET.subspace(2), 0.3, 8, 0.5, "replacement", 8, 1.0, amplification, 0, False)
        exact, _, diffusion = (sg.ladder(plan.discrete)[i].covariance for i in (0, 0, 1))
        assert np.trace(exact) != pytest.approx(np.trace(diffusion))
        return np.trace(plan.smaller.covariance) / np.trace(diffusion) - 1

    gaps = [gap(amplification) for amplification in (2, 4, 8, 16)]
    assert np.all(np.abs(gaps[1:]) < 0.6 * np.abs(gaps[:-1])), gaps


def test_what_is_too_slow_is_refused_with_the_directions_that_make_it_so():
    with pytest.raises(ValueError, match=r"h = 0\.0001, relaxes in 2e\+05 steps.*max_batches="):
        sg.fit.validity(bowl([1.0, 1e-4]), lr=0.05, batch=4)
    with pytest.raises(ValueError, match="max_batches"):
        sg.fit.validity(NET, lr=0.05, batch=4, max_batches=100)


def test_a_center_that_is_no_minimum_is_found():
    moved = NET.at([0.5, 0.0])  # 0.5 beside a standard deviation of (lr/1.9 B)^1/2 = 0.081
    found = sg.fit.validity(moved, lr=0.1, batch=8, k=2, replicas=8, relaxations=2, amplification=2)
    assert found["minimum"].state == "fails"
    assert found["minimum"].size.value == pytest.approx(0.5 / np.sqrt(0.1 / 8 / 1.9), rel=0.15)  # D of 300 samples


@pytest.mark.slow
def test_curvature_and_noise_along_a_run_are_those_of_gaussian_coordinates():
    """U = w²/2 + c w⁴/4 and g_i = ... - x_i (1 + 2 b w): E[w U']/E[w²] = 1 + 3 c E[w²] and D/D_0 = 1 + 4 b E[w] + 4 b² E[w²]."""
    net = bowl([1.0], n=100, c=3.0, b=1.0)
    space = net.subspace(1)
    run = sg.nets.train(net, steps=400, lr=0.2, batch=4, replicas=200, record=space, seed=1).after(40)
    each = np.mean(run.x**2, axis=1)
    second = each.mean()
    D, F = along(net, space, run, of_samples(each, "replicas"), np.array([True]))
    shift = 4 * run.x.mean()  # of the mean, by -3 c E[w³]: noise is stronger on one side
    assert abs(D.value[0] - shift - 4 * second) < 4 * D.error[0] and D.value[0] > 5 * D.error[0]
    assert F.value[0] == pytest.approx(3 * 3 * second, rel=0.05) and F.value[0] > 10 * F.error[0]
