"""SGD itself: against torch.optim step by step, resumed to the last bit, and its shadow by law."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import sgdyn as sg
from sgdyn import nets
from sgdyn.nets import training
from sgdyn.nets.recorder import Recorder
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


@pytest.mark.slow
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

    def dying(self):
        if self.step == 37:
            raise RuntimeError("killed")
        real(self)

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


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("where", ["shadow_gradient", "coordinates"])
def test_ctrl_c_within_a_step_changes_no_bit_of_the_rest(tmp_path, monkeypatch, where, momentum):
    net = models.network().minimize()
    options = {"steps": 40, "lr": 0.05, "batch": 8, "replicas": 2, "record": net.subspace(3), "seed": 5}
    options |= {"momentum": momentum, "checkpoint_path": tmp_path}
    whole = nets.train(net, **{**options, "checkpoint_path": None})
    real, calls = getattr(training.Lens, where), []

    def interrupted(self, *arguments):
        calls.append(arguments)
        if len(calls) == 21:
            raise KeyboardInterrupt
        return real(self, *arguments)

    monkeypatch.setattr(training.Lens, where, interrupted)
    with pytest.warns(UserWarning, match="interrupted"):
        part = nets.train(net, **options)
    monkeypatch.undo()
    assert not part.complete and len(part.steps) == len(part.losses[0]) in (19, 20)
    resumed = nets.train(net, **options)
    assert torch.equal(resumed.weights, whole.weights)
    for name in training.SERIES:
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[:, : len(part.steps)])
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name))


@pytest.mark.parametrize("sampler", ["replacement", "epoch"])
def test_a_checkpoint_is_continued_to_more_steps(tmp_path, sampler):
    """To the bits of one run, rows and capacity of the recorder beyond its first, under schedules that begin alike."""
    net = models.network().minimize()
    rates = 0.05 / (1 + 0.01 * np.maximum(np.arange(150) - 70, 0))
    options = {"batch": 8, "replicas": 2, "record": net.subspace(3), "seed": 5, "momentum": 0.5, "sampler": sampler}
    whole = nets.train(net, steps=150, lr=rates, **options)
    for steps in (70, 71, 110, 150):
        found = nets.train(net, steps=steps, lr=rates[:steps], checkpoint_path=tmp_path, **options)
        assert found.complete and found.settings.steps == steps
    assert torch.equal(found.weights, whole.weights) and found.settings == whole.settings
    for name in training.SERIES:
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    other = np.append(np.where(np.arange(150) == 9, 0.04, rates), 0.01)
    for changed, message in ((other, "schedule="), (np.append(2 * rates, 0.01), "lr="), (rates[:90], "steps=150")):
        with pytest.raises(ValueError, match=f"another run.*{message}"):
            nets.train(net, steps=len(changed), lr=changed, checkpoint_path=tmp_path, **options)


class Recurrent(nn.Module):
    """A layer that vmap refuses."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.cells, self.out = nn.LSTM(5, 4, batch_first=True), nn.Linear(4, 3)
        self.double()

    def forward(self, x):
        return self.out(self.cells(x[:, None])[0][:, -1])


ALONE = {"mlp": models.mlp, "convolution": models.convolutional, "recurrent": Recurrent}


@pytest.mark.parametrize("name", ALONE)
def test_a_replica_alone_goes_without_vmap_where_it_goes_among_others(monkeypatch, name):
    """To rounding, the noise of whole gradients too."""
    net = nets.Network(ALONE[name](), nn.CrossEntropyLoss(), (X, Y), 0.01)
    for scheme in (nets.SGD(), nets.GaussianNoise(0.1 * np.eye(net.dim)[:, :1])):
        options = {"steps": 8, "lr": 0.05, "batch": 8, "seed": 5, "momentum": 0.5, "scheme": scheme}
        among = nets.train(net, replicas=3, **options)
        with monkeypatch.context() as forbidden:
            forbidden.setattr("sgdyn.nets.derivatives.vmap", lambda *_, **__: pytest.fail)
            alone = nets.train(net, replicas=1, **options)
        if scheme == nets.SGD():  # normal numbers of several replicas are drawn together
            np.testing.assert_allclose(alone.weights[0], among.weights[0], rtol=1e-11, atol=1e-13)
            np.testing.assert_allclose(alone.losses[0], among.losses[0], rtol=1e-12)
        with torch.inference_mode():
            assert torch.equal(nets.train(net, replicas=1, **options).weights, alone.weights)


def test_the_recorder_takes_the_memory_of_what_it_holds():
    recorder, rows = Recorder(1000), torch.arange(3000.0).reshape(1000, 3)
    for row, value in enumerate(rows):
        recorder.write(row, {"x": value[:, None], "losses": value})
        assert row < recorder.kept["x"].shape[1] <= min(1000, max(64, 2 * row + 2))
    whole = recorder.rows(1000)
    assert whole["x"].data_ptr() == recorder.kept["x"].data_ptr() and whole["x"].shape == (3, 1000, 1)
    assert torch.equal(whole["losses"], rows.T.double()) and torch.equal(
        recorder.rows(7)["losses"], rows[:7].T.double()
    )
    recorder.write(5, {"losses": -rows[5]})
    assert torch.equal(recorder.rows(6)["losses"][:, 5], -rows[5].double()) and recorder.rows(0) == {}


def test_spawned_seeds_are_different_seeds(tmp_path):
    net = models.network()
    first, second = np.random.SeedSequence(0).spawn(2)
    options = {"steps": 4, "lr": 0.05, "batch": 8}
    one = nets.train(net, seed=first, checkpoint_path=tmp_path, **options)
    assert not np.array_equal(one.losses, nets.train(net, seed=second, **options).losses)
    assert np.array_equal(one.losses, nets.train(net, seed=first, checkpoint_path=tmp_path, **options).losses)
    with pytest.raises(ValueError, match=r"another run.*spawn_key=\[0\] \(now \[1\]\)"):
        nets.train(net, seed=second, checkpoint_path=tmp_path, **options)


def test_a_recording_knows_its_subspace():
    net = models.network().minimize()
    space = net.subspace(3)
    options = {"steps": 2, "lr": 0.05, "batch": 8}
    assert nets.train(net, record=space, **options).subspace == space.digest()
    assert nets.train(net, record=space.basis, **options).after(1).subspace == ""
    for name in ("H", "D", "basis"):
        assert replace(space, **{name: 2 * getattr(space, name)}).digest() != space.digest()


def frozen(scale=1.0):
    model = models.mlp()
    model[0].requires_grad_(False).weight.mul_(scale)
    return model


def normed(shift=0.0):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double().eval()
    model[1].running_mean.add_(shift)
    return model


CROSS = nn.CrossEntropyLoss()
OTHERS = {
    "loss": ((models.mlp(), CROSS), (models.mlp(), nn.CrossEntropyLoss(label_smoothing=0.5)), "losses"),
    "function": ((models.mlp(), CROSS), (models.mlp(act=nn.ReLU), CROSS), "model.*losses"),
    "frozen parameters": ((frozen(), CROSS), (frozen(2.0), CROSS), "model"),
    "buffers": ((normed(), CROSS), (normed(0.1), CROSS), "model"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_checkpoint_of_another_network_is_refused(tmp_path, name):
    one, other, message = OTHERS[name]
    options = {"steps": 4, "lr": 0.05, "batch": 8, "seed": 5, "checkpoint_path": tmp_path}
    nets.train(nets.Network(*one, (X, Y)), **options)
    assert nets.train(nets.Network(*one, (X, Y)), **options).complete
    with pytest.raises(ValueError, match=f"another run.*{message}"):
        nets.train(nets.Network(*other, (X, Y)), **options)


def test_a_checkpoint_of_another_start_or_subspace_is_refused(tmp_path):
    net = models.network().minimize()
    space = net.subspace(3)
    options = {"steps": 4, "lr": 0.05, "batch": 8, "seed": 5, "checkpoint_path": tmp_path}
    nets.train(net, record=space, **options)
    with pytest.raises(ValueError, match=r"another run.*start="):
        nets.train(net, record=space, start=net.weights + 10, **options)
    with pytest.raises(ValueError, match=r"another run.*subspace="):
        nets.train(net, record=replace(space, D=2 * space.D), **options)
    with pytest.raises(ValueError, match=r"another run.*content="):
        nets.train(net, record=replace(space, samples=2 * space.samples), **options)


def state_of(folder):
    return next(folder.glob("state-*"))


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


DAMAGE = {
    "truncated state": lambda f: state_of(f).write_bytes(state_of(f).read_bytes()[:-9]),
    "missing state": lambda f: state_of(f).unlink(),
    "flipped bit": lambda f: flip(state_of(f)),
    "empty index": lambda f: (f / "run.json").write_bytes(b""),
    "index of nothing": lambda f: (f / "run.json").write_text("[]"),
    "index without its step": lambda f: (f / "run.json").write_text("{}"),
    "index that is no text": lambda f: (f / "run.json").write_bytes(b"\xff\xfe\x00"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_checkpoint_is_named(tmp_path, name):
    options = {"steps": 4, "lr": 0.05, "batch": 8, "seed": 5, "checkpoint_path": tmp_path}
    nets.train(models.network(), **options)
    DAMAGE[name](tmp_path)
    with pytest.raises(ValueError, match=r"damaged checkpoint .*(state-0|run\.json).*remove the folder"):
        nets.train(models.network(), **options)


def test_a_checkpoint_needs_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="which is a file"):
        nets.train(models.network(), steps=4, lr=0.05, batch=8, checkpoint_path=tmp_path / "file")


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
