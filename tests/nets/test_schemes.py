"""What moves the weights: laws of one step against D, stationary states of the quadratic model against theory, and resuming."""

import numpy as np
import pytest
import torch
from scipy import linalg
from torch import nn

import sgdyn as sg
from sgdyn import nets
from sgdyn.nets import training
from tests.fit.runs import network
from tests.nets import models

NET = network()
SPACE = NET.subspace(4)
D = SPACE.D
SCHEMES = [nets.SGD(), nets.SVAG(4), nets.SGLD(0.01), nets.GaussianNoise(), nets.GaussianNoise(np.eye(4)[:, :2])]
EXTRACTED = nets.GaussianNoise(NET.noise())
NAMES = [*map(str, SCHEMES), "GaussianNoise(D)"]


def first_pull(scheme, seed=0, **options):
    """The gradients of one step of 6000 replicas, in the coordinates of the subspace."""
    chosen = {"steps": 1, "lr": 0.05, "batch": 8, "replicas": 6000, "record": SPACE, "seed": seed} | options
    return nets.train(NET, scheme=scheme, **chosen).gradients[:, 0]


def covariance(scheme):
    if isinstance(scheme, nets.GaussianNoise) and isinstance(scheme.factor, np.ndarray):
        across = SPACE.basis.T @ scheme.factor
        return across @ across.T / 8
    strength = scheme.amplification if isinstance(scheme, nets.SVAG) else 1
    return strength * D / 8 + (2 * scheme.T / 0.05 * np.eye(4) if isinstance(scheme, nets.SGLD) else 0.0)


@pytest.mark.parametrize("scheme", [*SCHEMES, EXTRACTED], ids=NAMES)
def test_one_step_has_the_mean_and_the_covariance_that_it_should(scheme):
    g = first_pull(scheme)
    found = (g - g.mean(0))[:, :, None] * (g - g.mean(0))[:, None, :]
    error = found.std(0) / np.sqrt(len(g))
    assert np.all(np.abs(found.mean(0) - covariance(scheme)) < 4.5 * error + 1e-12)
    assert np.all(np.abs(g.mean(0)) < 4.5 * g.std(0) / np.sqrt(len(g)) + 1e-9)
    above = np.abs(found.mean(0) - 1.3 * covariance(scheme)) > 4.5 * error
    assert above.any()


def test_gaussian_noise_is_gaussian_and_that_of_batches_is_not():
    """Excess kurtosis of one step: that of single samples over the batch, and none."""
    single = np.mean(SPACE.samples**4, axis=0) / np.mean(SPACE.samples**2, axis=0) ** 2 - 3
    for scheme, exact in ((nets.SGD(), single / 8), (nets.GaussianNoise(), np.zeros(4))):
        z = first_pull(scheme, replicas=12000)
        fourth = ((z - z.mean(0)) / z.std(0)) ** 4
        assert np.all(np.abs(fourth.mean(0) - 3 - exact) < 4.5 * fourth.std(0) / np.sqrt(len(z)) + 0.02)
    assert single.max() / 8 > 0.5


@pytest.mark.parametrize("scheme", SCHEMES[1:4], ids=str)
def test_the_quadratic_model_has_the_stationary_state_of_its_theory(scheme):
    """F S + S F - part lr F S F = part lr C, with C the covariance of one pull."""
    lr = 0.2
    found = nets.train(
        NET, steps=260, lr=lr, batch=8, replicas=200, record=SPACE, every=20, seed=3, scheme=scheme
    ).after(100)
    second = np.mean(found.shadow**2, axis=1)
    strength = scheme.part if isinstance(scheme, nets.SVAG) else 1.0
    C = strength * (covariance(scheme) if not isinstance(scheme, nets.SGLD) else D / 8 + 2 * scheme.T / lr * np.eye(4))
    step, H = scheme.part * lr, SPACE.H
    S = linalg.solve_discrete_lyapunov(np.eye(4) - step * H, step * lr * C)
    pulls = (second.mean(0) - np.diag(S)) / (second.std(0) / np.sqrt(200))
    assert np.abs(pulls).max() < 4.5
    if isinstance(scheme, nets.SVAG):
        rung = sg.ladder(SPACE.discrete_model(lr=lr, batch=8), amplification=4)[1]
        np.testing.assert_allclose(rung.covariance, S, rtol=1e-9)


def heavy_ball(H, C, lr, momentum):
    """Covariance of w for v' = momentum v + H w + noise of covariance C, w' = w - lr v'."""
    eye = np.eye(len(H))
    step = np.block([[eye - lr * H, -lr * momentum * eye], [H, momentum * eye]])
    way = np.vstack([-lr * eye, eye])
    return linalg.solve_discrete_lyapunov(step, way @ C @ way.T)[: len(H), : len(H)]


def test_langevin_dynamics_has_its_temperature_with_momentum_too():
    """The quadratic model's variances are those of the heavy ball whose kicks alone give T H^-1 for small steps."""
    lr, momentum, T, H = 0.1, 0.7, 0.05, SPACE.H
    kicks = 2 * (1 - momentum) * T * np.eye(4)
    np.testing.assert_allclose(heavy_ball(H, kicks / 1e-3, 1e-3, momentum), T * np.linalg.inv(H), rtol=2e-3)
    options = {"steps": 300, "lr": lr, "batch": 64, "momentum": momentum, "replicas": 200, "record": SPACE, "every": 10}
    found = nets.train(NET, seed=3, scheme=nets.SGLD(T), **options).after(100)
    second = np.mean(found.shadow**2, axis=1)
    error = second.std(0) / np.sqrt(200)
    exact = np.diag(heavy_ball(H, D / 64 + kicks / lr, lr, momentum))
    assert np.all(np.abs(second.mean(0) - exact) < 4.5 * error)
    amplified = np.diag(heavy_ball(H, D / 64 + 2 * T / lr * np.eye(4), lr, momentum))
    assert np.all(np.abs(second.mean(0) - amplified) > 9 * error)


def test_extracted_noise_does_not_change_along_the_run():
    """D of the point it was taken at: far from there D(w) is another, and so is a scheme of another point."""
    far = NET.weights + 2.0
    kept, moving = (first_pull(scheme, start=far, replicas=3000) for scheme in (EXTRACTED, nets.GaussianNoise()))
    own = NET.at(far).noise().projected(SPACE.basis) / 8
    for found, exact in ((kept, D / 8), (moving, own)):
        np.testing.assert_allclose(np.diag(np.cov(found.T)), np.diag(exact), rtol=0.15)
    assert np.all(np.diag(own) > 1.5 * np.diag(D) / 8)
    assert repr(nets.GaussianNoise(NET.at(far).noise())) != repr(EXTRACTED) == repr(nets.GaussianNoise(NET.noise()))


@pytest.mark.parametrize("scheme", [*SCHEMES, EXTRACTED], ids=NAMES)
def test_schemes_resume_to_the_same_bits(tmp_path, monkeypatch, scheme):
    rates = 0.1 / (1 + np.arange(20))
    options = {"steps": 20, "lr": rates, "batch": 8, "replicas": 2, "record": SPACE, "seed": 5, "scheme": scheme}
    labels = None if isinstance(scheme, nets.GaussianNoise) else nets.LabelNoise(0.3)
    options |= {"labels": labels, "momentum": 0.5}
    whole = nets.train(NET, **options)
    real = training._Run._advance

    def dying(self):
        if self.step == 11:
            raise RuntimeError("killed")
        real(self)

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(training._Run, "_advance", dying)
    with pytest.raises(RuntimeError, match="killed"):
        nets.train(NET, checkpoint_path=tmp_path, **options)
    monkeypatch.setattr(training._Run, "_advance", real)
    resumed = nets.train(NET, checkpoint_path=tmp_path, **options)
    for name in training.SERIES:
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name))
    with pytest.raises(ValueError, match="another run"):
        nets.train(NET, checkpoint_path=tmp_path, **options | {"lr": rates * 2})
    with pytest.raises(ValueError, match="another run"):
        nets.train(NET, checkpoint_path=tmp_path, **options | {"scheme": nets.SVAG(2)})


def test_a_schedule_is_what_torch_does():
    net, rates = models.network(), [0.1 * 0.9**step for step in range(12)]
    found = nets.train(net, steps=12, lr=lambda step: rates[step], batch=8, momentum=0.9, seed=7)
    batches = training.make_sampler("replacement", n=101, batch=8, seed=7)
    model = models.mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=rates[0], momentum=0.9, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    x, y = models.data()
    for step in range(12):
        rows = batches.indices(step, np.array([0]))[0]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
        schedule.step()
    flat = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    np.testing.assert_allclose(found.weights[0], flat, rtol=1e-9, atol=1e-11)


def test_noisy_labels_add_their_own_covariance():
    """Squares: g gains -2 xi J_i, so that D gains 4 size² E[J J']; classes: flipped as often as said, never to themselves."""
    plain, noisy = (first_pull(nets.SGD(), labels=labels) for labels in (None, nets.LabelNoise(2.0)))
    J = NET.jacobian().matmat(SPACE.basis)
    added = 4 * 2.0**2 * J.T @ J / len(J) / 8
    gained = np.diag(np.cov(noisy.T) - np.cov(plain.T))
    np.testing.assert_allclose(gained, np.diag(added), rtol=0.15)
    y = torch.arange(30_000) % 3
    random = torch.Generator().manual_seed(0)
    other = nets.LabelNoise(0.3).noisy(y, random, 3)
    assert float((other != y).double().mean()) == pytest.approx(0.3, abs=0.015)
    assert torch.equal(torch.bincount((other - y)[other != y] % 3)[1:] > 4000, torch.tensor([True, True]))


def test_theories_of_plain_sgd_are_not_compared_with_other_runs():
    options = {"steps": 100, "lr": 0.02, "batch": 8, "replicas": 8, "record": SPACE, "seed": 1}
    with pytest.raises(ValueError, match=r"SVAG.*fit.linear"):
        sg.fit.compare(nets.train(NET, scheme=nets.SVAG(2), **options), SPACE)
    changing = nets.train(NET, **options | {"lr": np.linspace(0.02, 0.01, 100)})
    with pytest.raises(ValueError, match="learning rate changes"):
        sg.fit.linear(changing)
    for wrong, message in ((np.ones(3), "one a step"), (-1.0, "lr"), (lambda step: float("nan"), "one a step")):
        with pytest.raises(ValueError, match=message):
            nets.train(NET, **options | {"lr": wrong})
    with pytest.raises(ValueError, match="factor"):
        nets.train(NET, scheme=nets.GaussianNoise(np.eye(3)), **options)
    with pytest.raises(ValueError, match="probability"):
        nets.train(models.network(), steps=2, lr=0.1, batch=4, labels=nets.LabelNoise(1.5))


def test_flipped_labels_go_to_all_classes_that_the_model_tells_apart():
    x, y = models.data(30)
    net = nets.Network(models.mlp(), nn.CrossEntropyLoss(), (x, y % 2))
    classes = nets.LabelNoise(0.5).classes(net)
    drawn = nets.LabelNoise(0.5).noisy(torch.zeros(9000, dtype=torch.int64), torch.Generator().manual_seed(0), classes)
    assert classes == 3 == nets.label_noise(net, flips=0.5).outputs
    np.testing.assert_allclose(torch.bincount(drawn) / 9000, [0.5, 0.25, 0.25], atol=0.025)
    assert (
        nets.LabelNoise(0.5).classes(nets.Network(nn.Linear(5, 1).double(), lambda z, y: (z[:, 0] - y) ** 2, (x, y)))
        == 3
    )
    loss = lambda z, y: nn.functional.cross_entropy(z, y, reduction="none")
    ignored = nets.Network(models.mlp(), loss, (x, torch.where(y == 2, -100, y)))
    with pytest.raises(ValueError, match="target -100"):
        nets.LabelNoise(0.5).classes(ignored)


REFUSED = {
    "gaussian noise with labels": ({"scheme": nets.GaussianNoise(), "labels": nets.LabelNoise(0.1)}, "D_label"),
    "a factor with labels": ({"scheme": SCHEMES[4], "labels": nets.LabelNoise(0.1)}, "D_label"),
    "SVAG of epochs": ({"scheme": nets.SVAG(2), "sampler": "epoch"}, "sampler='without'"),
    "noise of another network": ({"scheme": nets.GaussianNoise(models.network().noise())}, "rows, expected"),
    "a name": ({"scheme": "SGLD"}, "nets.SVAG"),
    "a class": ({"scheme": nets.SVAG}, "nets.SVAG"),
    "a number of noise": ({"labels": 0.5}, "nets.LabelNoise"),
    "a word of a rate": ({"lr": "fast"}, "got lr"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_do_something_else_in_silence_is_refused(name):
    options, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message):
        nets.train(NET, **{"steps": 2, "lr": 0.1, "batch": 4} | options)


def test_rates_may_be_tensors():
    options = {"steps": 3, "batch": 4, "seed": 1}
    wide = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    found = [nets.train(NET, lr=lr, **options) for lr in (0.1, wide, wide.detach().expand(3))]
    assert all(torch.equal(found[0].weights, other.weights) for other in found)
