"""SGD itself: against torch.optim step by step, resumed to the last bit, and its shadow by law."""

import numpy as np
import pytest
import torch
from torch import nn

import sgdyn as sg
from sgdyn import nets
from sgdyn.nets import training
from sgdyn.nets.sampler import make_sampler
from tests.interruption import interrupted_after
from tests.nets import models

X, Y = models.data()


@pytest.mark.parametrize("sampler", ["replacement", "without", "epoch"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_training_is_what_torch_does_with_the_same_batches(sampler, momentum):
    net = models.network()
    found = nets.train(net, steps=25, lr=0.05, batch=8, sampler=sampler, momentum=momentum, replicas=3, every=5, seed=7)
    batches = make_sampler(sampler, n=101, batch=8, seed=7)
    model = models.mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=momentum, weight_decay=0.01)
    losses = []
    for step in range(25):
        rows = batches.indices(step, np.array([2]))[0]
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(X[rows]), Y[rows])
        losses.append((loss + 0.005 * sum((p**2).sum() for p in model.parameters())).item())
        loss.backward()
        optimizer.step()
    np.testing.assert_allclose(
        found.weights[2], torch.cat([p.detach().reshape(-1) for p in model.parameters()]), rtol=1e-9, atol=1e-11
    )
    np.testing.assert_allclose(found.losses[2], losses[::5], rtol=1e-10)


def test_recorded_coordinates_and_gradients_belong_together():
    """Without momentum x moves by -lr times the recorded gradient."""
    net = models.network().minimize()
    space = net.subspace(5)
    found = nets.train(net, steps=30, lr=0.03, batch=8, replicas=4, record=space, seed=1)
    np.testing.assert_allclose(np.diff(found.x, axis=1), -0.03 * found.gradients[:, :-1], atol=1e-12)
    np.testing.assert_allclose(
        space.project(found.weights.numpy()), found.x[:, -1] - 0.03 * found.gradients[:, -1], atol=1e-12
    )
    np.testing.assert_array_equal(found.after(10).steps, np.arange(10, 30))


def test_the_shadow_is_the_quadratic_model_with_the_same_batches():
    """Of a loss that is quadratic it is the run itself."""
    x = models.data(60, 3)[0]
    y = torch.tensor(np.random.default_rng(5).normal(size=(60, 1)))
    linear = nn.Linear(3, 1, bias=True).double()
    net = nets.Network(linear, nn.MSELoss(), (x, y), 0.1).minimize()
    space = net.subspace(4)
    for momentum in (0.0, 0.8):
        # the noise of squared errors depends on w, so start and noise are small: the difference is of second order
        found = nets.train(net, steps=40, lr=1e-4, batch=30, replicas=3, momentum=momentum, record=space, seed=2)
        assert np.abs(found.x - found.shadow).max() < 0.02 * np.abs(found.x).max()


def test_the_shadow_has_exactly_the_discrete_theory():
    net = models.network(weight_decay=0.1).minimize()
    space = net.subspace(4)
    found = nets.train(net, steps=1500, lr=0.2, batch=4, replicas=300, record=space, every=10, seed=3).after(500)
    second = np.mean(found.shadow**2, axis=1)
    theory = np.diag(space.discrete_model(lr=0.2, batch=4).covariance)
    pulls = (second.mean(0) - theory) / (second.std(0) / np.sqrt(300))
    assert np.abs(pulls).max() < 4
    wrong = np.diag(space.discrete_model(lr=0.2, batch=5).covariance)
    assert np.abs((second.mean(0) - wrong) / (second.std(0) / np.sqrt(300))).max() > 4


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_run_that_was_killed_continues_to_the_same_bits(tmp_path, monkeypatch, momentum):
    net = models.network().minimize()
    space = net.subspace(3)
    options = {
        "steps": 60,
        "lr": 0.05,
        "batch": 8,
        "replicas": 4,
        "record": space,
        "every": 3,
        "seed": 5,
        "momentum": momentum,
    }
    whole = nets.train(net, **options)
    real = training._Run._advance

    def dying(self, slopes, indices):
        if self.step == 37:
            raise RuntimeError("killed")
        real(self, slopes, indices)

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(training._Run, "_advance", dying)
    with pytest.raises(RuntimeError, match="killed"):
        nets.train(net, checkpoint_path=tmp_path, **options)
    monkeypatch.setattr(training._Run, "_advance", real)
    resumed = nets.train(net, checkpoint_path=tmp_path, **options)
    assert torch.equal(resumed.weights, whole.weights)
    for name in training.SERIES:
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name))
    again = nets.train(net, checkpoint_path=tmp_path, **options)
    assert torch.equal(again.weights, whole.weights)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".safetensors"]


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    net = models.network()
    nets.train(net, steps=4, lr=0.05, batch=8, seed=5, checkpoint_path=tmp_path)
    for other in ({"lr": 0.06}, {"seed": 6}, {"batch": 9}):
        with pytest.raises(ValueError, match="another run"):
            nets.train(net, **{"steps": 4, "lr": 0.05, "batch": 8, "seed": 5, "checkpoint_path": tmp_path, **other})
    with pytest.raises(ValueError, match="content"):
        nets.train(net.at(np.zeros(net.dim)), steps=4, lr=0.05, batch=8, seed=5, checkpoint_path=tmp_path)


def test_ctrl_c_returns_what_is_done():
    net = models.network()
    with interrupted_after(0.8), pytest.warns(UserWarning, match="interrupted"):
        found = nets.train(net, steps=10**7, lr=0.01, batch=8, every=10, seed=1)
    assert not found.complete and 0 < len(found.steps) < 10**6


def test_steps_that_are_too_large_lose_the_run_with_a_hint():
    x = models.data(60, 3)[0]
    y = torch.zeros(60, 1, dtype=torch.float64)
    net = nets.Network(nn.Linear(3, 1).double(), nn.MSELoss(), (x, y))
    with pytest.raises(sg.BlowUpError, match="type lr="):
        nets.train(net, steps=5000, lr=50.0, batch=8, seed=1)
