"""A monitor sees what the operators say, and training does not notice it."""

import copy
import random
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

import sgdyn as sg
from sgdyn import nets
from sgdyn.nets.monitoring import edge
from tests.nets import models

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def normed(device="cpu"):
    """Batch norm and dropout, in train mode."""
    torch.manual_seed(4)
    layers = nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3)
    return nn.Sequential(*layers).double().to(device)


def watched(model, x, y, **options):
    network = nets.Network(model, nn.CrossEntropyLoss(), (x, y), bn="eval", dropout="eval", chunk=32)
    return nets.Monitor(network, **options)


def trained(model, x, y, steps, monitor=None, scaler=None, momentum=0.9):
    """SGD with batches and dropout from the global generators; whatever a monitor could disturb is returned."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum)
    torch.manual_seed(11)
    for step in range(steps):
        rows = torch.randint(len(x), (16,)).to(x.device)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
        (loss if scaler is None else scaler.scale(loss)).backward()
        if monitor is not None:
            monitor.step(step)
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
    grads = [part.grad for part in model.parameters()]
    return [*model.state_dict().values(), *grads, torch.rand(3), torch.tensor(random.random())]


@pytest.mark.parametrize("device", DEVICES)
def test_a_run_is_bit_for_bit_the_same_with_and_without_a_monitor(device):
    x, y = (part.to(device) for part in models.data())
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    alone, model = trained(normed(device), x, y, 7), normed(device)
    random.seed(0)
    monitor = watched(model, x, y, every=2, k=3)
    seen = trained(model, x, y, 7, monitor)
    assert all(torch.equal(one, other) for one, other in zip(alone, seen, strict=True))
    assert model.training and all(part.training for part in model) and monitor.history.steps.tolist() == [0, 2, 4, 6]
    assert np.random.random() == pytest.approx(0.5488135039273248, abs=0)  # noqa: NPY002 - the first number after seed 0


@pytest.mark.parametrize("device", DEVICES)
def test_each_look_is_at_the_weights_and_statistics_of_the_moment(device):
    x, y = (part.to(device) for part in models.data())
    model = normed(device)
    logged = []
    monitor = watched(model, x, y, every=3, k=4, log=lambda numbers, step: logged.append((step, numbers)), lr=0.1)
    trained(model, x, y, 5, monitor)
    found = monitor.look(100)
    frozen = nets.Network(copy.deepcopy(model).eval(), nn.CrossEntropyLoss(), (x, y))
    D = frozen.noise().dense()
    assert found.loss == pytest.approx(frozen.value(), rel=1e-12)
    assert found.gradient_norm == pytest.approx(np.linalg.norm(frozen.gradient()), rel=1e-10)
    assert found.noise_trace == pytest.approx(np.trace(D), rel=1e-10)
    assert found.noise_scale == pytest.approx(np.trace(D) / np.linalg.norm(frozen.gradient()) ** 2, rel=1e-10)
    np.testing.assert_allclose(found.values, np.linalg.eigvalsh(frozen.hessian().dense())[::-1][:4], rtol=1e-10)
    assert [step for step, _ in logged] == [0, 3, 100] and logged[-1][1]["sharpness"] == found.values[0]
    assert logged[-1][1]["sharpness_over_edge"] == pytest.approx(found.values[0] * 0.1 / 2)
    assert found.values[0] != monitor.looks[0].values[0] and 0 < found.share < 1 and found.seconds > 0


def test_gradients_are_not_those_that_a_scaler_scales():
    x, y = models.data()
    looks = []
    for scaler in (None, torch.amp.GradScaler("cpu", init_scale=2.0**12)):
        model = normed()
        monitor = watched(model, x, y, every=1, k=2)
        trained(model, x, y, 3, monitor, scaler)
        looks.append(monitor.history)
    np.testing.assert_allclose(looks[0].gradient_norms, looks[1].gradient_norms, rtol=1e-10)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        assert monitor.look(9).loss == pytest.approx(monitor.look(10).loss, abs=0)
    with torch.inference_mode():
        inside = monitor.look(11)
    assert monitor.look(12).numbers["sharpness"] == inside.numbers["sharpness"]


def test_a_look_begins_where_the_last_one_ended(monkeypatch):
    monkeypatch.setattr(nets.Hessian, "DENSE", 0)
    model = models.mlp((5, 20, 3))
    monitor = nets.Monitor(nets.Network(model, nn.CrossEntropyLoss(), models.data()), k=3, tolerance=1e-6)
    first, again = monitor.look(0), monitor.look(1)
    assert again.products < 0.7 * first.products
    np.testing.assert_allclose(again.values, first.values, rtol=1e-6)


def test_the_edge_of_stability_is_that_of_the_optimizer():
    model = models.mlp()
    network = nets.Network(model, nn.CrossEntropyLoss(), models.data())
    sgd = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.5)
    assert nets.Monitor(network, optimizer=sgd).look(0).edge == pytest.approx(2 * 1.5 / 0.2)
    adam = nets.Monitor(lambda: network, optimizer=torch.optim.Adam(model.parameters()))
    assert np.isnan(adam.look(0).edge) and "edge" not in adam.looks[0].numbers


@pytest.mark.parametrize(
    "options",
    [{}, {"momentum": 0.6}, {"momentum": 0.6, "nesterov": True}, {"momentum": 0.6, "dampening": 0.5}],
    ids=str,
)
def test_a_quadratic_is_left_just_beyond_the_edge(options):
    """The optimizer itself, on curvatures 2 % below and above."""
    for factor, kept in ((0.98, True), (1.02, False)):
        w = torch.ones(1, dtype=torch.float64, requires_grad=True)
        sgd = torch.optim.SGD([w], lr=0.1, **options)
        curvature = factor * edge(**sgd.param_groups[0])
        for _ in range(600):
            sgd.zero_grad()
            (0.5 * curvature * w**2).sum().backward()
            sgd.step()
        assert (abs(w.item()) < 0.1) is kept


def test_a_run_that_left_the_finite_numbers_is_only_remarked():
    model = models.mlp()
    monitor = nets.Monitor(nets.Network(model, nn.CrossEntropyLoss(), models.data()), every=1)
    model[0].weight.data.fill_(float("nan"))
    with pytest.warns(UserWarning, match="weights are not finite"):
        assert monitor.step(1) is None
    assert not monitor.looks


def test_bad_input_says_what_to_type():
    with pytest.raises(TypeError, match="Network or a function"):
        nets.Monitor(3)
    model = normed()
    monitor = nets.Monitor(nets.Network(model.eval(), nn.CrossEntropyLoss(), models.data()))
    model.train()
    with pytest.raises(ValueError, match="bn='eval'"):
        monitor.step(0)


def test_the_history_draws_itself():
    import matplotlib.pyplot as plt

    model, (x, y) = normed(), models.data()
    monitor = watched(model, x, y, every=2, k=3, lr=0.1)
    trained(model, x, y, 5, monitor)
    ax = monitor.history.plot()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), monitor.history.values[:, 0])
    np.testing.assert_allclose(ax.lines[3].get_ydata(), 20.0)
    assert sg.plot.figure(monitor.history) is not None and "History(" in repr(monitor.history)
    plt.close("all")


def stand_in(monkeypatch, name, **members):
    """A module with the documented members of one that is not installed here."""
    parts = name.split(".")
    for i in range(len(parts)):
        monkeypatch.setitem(sys.modules, ".".join(parts[: i + 1]), types.ModuleType(parts[i]))
    vars(sys.modules[name]).update(members)


def test_lightning_calls_the_monitor_after_steps_of_the_optimizer(monkeypatch):
    """A stand-in for Lightning, by the documentation of its hook on_train_batch_end and of Trainer.global_step."""

    class Callback:
        pass

    stand_in(monkeypatch, "lightning.pytorch", Callback=Callback)
    model, logged = models.mlp(), []
    sgd = torch.optim.SGD(model.parameters(), lr=0.5)
    logger = types.SimpleNamespace(log_metrics=lambda numbers, step: logged.append((step, numbers["edge"])))
    trainer = types.SimpleNamespace(global_step=0, optimizers=[sgd], logger=logger)
    network = nets.Network(model, nn.CrossEntropyLoss(), models.data())
    callback = nets.Monitor(network, every=2, k=2).lightning()
    assert isinstance(callback, Callback)
    for batch in range(10):  # gradients of two batches are accumulated for one step
        trainer.global_step = (batch + 1) // 2
        callback.on_train_batch_end(trainer, None, None, None, batch)
    assert logged == [(0, 4.0), (2, 4.0), (4, 4.0)]


def test_transformers_calls_the_monitor_at_the_end_of_steps(monkeypatch):
    """A stand-in for transformers, by the documentation of TrainerCallback.on_step_end and of TrainerState."""

    class TrainerCallback:
        pass

    stand_in(monkeypatch, "transformers", TrainerCallback=TrainerCallback)
    model = models.mlp()
    state = types.SimpleNamespace(global_step=0, log_history=[])
    network = nets.Network(model, nn.CrossEntropyLoss(), models.data())
    callback = nets.Monitor(network, every=2, k=2).hugging_face()
    assert isinstance(callback, TrainerCallback)
    for step in range(1, 5):
        state.global_step = step
        callback.on_step_end(None, state, None, model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.5))
    assert [entry["step"] for entry in state.log_history] == [2, 4] and state.log_history[0]["edge"] == 4.0


def test_without_the_package_its_callback_is_refused(monkeypatch):
    for name in ("lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    network = nets.Network(models.mlp(), nn.CrossEntropyLoss(), models.data())
    with pytest.raises(ImportError, match=r"monitor.step\(step\)"):
        nets.Monitor(network).lightning()
