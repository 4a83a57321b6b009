"""Adam's effective process against Adam itself (torch.optim.Adam, many replicas in one tensor), and its scaling rule."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

import sgdyn as sg
from sgdyn import nets
from sgdyn.nets import preconditioning
from tests.nets import models

RNG = np.random.default_rng(0)
Q = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
H = Q @ np.diag([2.0, 1.0, 0.5]) @ Q.T
A = RNG.normal(size=(3, 3))
D = A @ A.T


def run(gradient, rule, dim, steps=3000, replicas=400, burn=1200, every=20):
    """Covariance (dim, dim) of torch's Adam with its standard error over replicas."""
    w = torch.zeros(replicas, dim, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([w], lr=rule.lr, betas=rule.betas, eps=rule.eps)
    total, count = torch.zeros(replicas, dim, dim, dtype=torch.float64), 0
    for step in range(steps):
        w.grad = gradient(w.detach())
        optimizer.step()
        if step >= burn and step % every == 0:
            here = w.detach()
            total += here[:, :, None] * here[:, None, :]
            count += 1
    each = (total / count).numpy()
    return each.mean(0), each.std(0) / replicas**0.5


def normal_noise(H, D, batch, seed=0):
    root, h = torch.as_tensor(np.linalg.cholesky(D / batch)), torch.as_tensor(H)
    generator = torch.Generator().manual_seed(seed)
    return lambda w: w @ h + torch.randn(w.shape, dtype=torch.float64, generator=generator) @ root.T


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.9, 0.99), (0.0, 0.99)], ids=["adam", "short memory", "rmsprop"])
def test_adam_itself_has_the_stationary_covariance(betas):
    found = nets.adaptive_quadratic(H, D, lr=0.003, batch=16, betas=betas)
    measured, error = run(normal_noise(H, D, 16), found.rule, 3)
    predicted = found.covariance
    assert np.all(np.abs(measured - predicted.value) < predicted.error + 4 * error)
    assert np.all(predicted.error < 0.05 * np.sqrt(np.outer(np.diag(predicted.value), np.diag(predicted.value))))
    plain = sg.discrete_sgd(H, D, lr=0.003, batch=16).covariance
    assert np.abs(plain / measured - 1).max() > 0.3  # SGD is another process


def test_adam_on_batches_of_a_regression():
    """Real batches with replacement of 200 samples; D as the network has it, at its minimum."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 3)) * [1.0, 2.0, 0.5]
    y = x @ [1.0, -1.0, 2.0] + rng.normal(size=200)
    data = torch.as_tensor(x), torch.as_tensor(y)[:, None]
    net = nets.Network(nn.Linear(3, 1, bias=False).double(), nn.MSELoss(), data).minimize()
    found = net.adaptive_process(3, lr=0.002, batch=8, betas=(0.9, 0.999))
    center, generator = net.weights, torch.Generator().manual_seed(0)

    def gradient(w):
        rows = torch.randint(0, 200, (len(w), 8), generator=generator)
        rest = torch.einsum("rbi,ri->rb", data[0][rows], w + center) - data[1][rows][..., 0]
        return 2 * torch.einsum("rb,rbi->ri", rest, data[0][rows]) / 8

    measured, error = run(gradient, found.rule, 3, steps=4000, replicas=250, burn=2000)
    predicted = found.covariance
    assert np.all(np.abs(measured - predicted.value) < predicted.error + 4 * error)
    dense = nets.adaptive_quadratic(net.hessian().dense(), net.noise().dense(), lr=0.002, batch=8)
    np.testing.assert_allclose(predicted.value, dense.covariance.value, atol=0.03 * dense.covariance.value.max())


def test_what_the_process_is_in_both_coordinates():
    """The overdamped process of the weights and the scaled one are the same; P = sqrt(diag D/B) where gradients are small and eps = 0."""
    found = nets.adaptive_quadratic(H, D, lr=1e-5, batch=4, betas=(0.0, 0.999), eps=0.0)
    np.testing.assert_allclose(found.P, np.sqrt(np.diag(D) / 4), rtol=1e-3)
    weights = found.overdamped()
    assert weights.T == found.temperature == 1e-5 / 8
    P = np.diag(found.P)
    np.testing.assert_allclose(weights.drift(np.eye(3)).T, -np.linalg.inv(P) @ H, rtol=1e-10)
    np.testing.assert_allclose(weights.D(np.zeros(3)), np.linalg.inv(P) @ D @ np.linalg.inv(P), rtol=1e-10)
    there = found.basis @ sg.linear_stationary(found.process).covariance @ found.basis.T
    np.testing.assert_allclose(sg.linear_stationary(weights).covariance, there, rtol=1e-8)
    np.testing.assert_allclose(found.covariance.value, there, rtol=1e-3)
    assert isinstance(nets.adaptive_quadratic(H, D, lr=1e-5, batch=4).process, sg.Momentum)
    ax = found.plot()
    assert ax.get_xlabel() == "component"
    plt.close(ax.figure)


def test_momentum_leaves_the_temperature_of_adam_alone():
    with_momentum, without = (nets.adaptive_quadratic(H, D, lr=1e-4, batch=8, betas=(b, 0.999)) for b in (0.9, 0.0))
    assert with_momentum.temperature == without.temperature
    assert with_momentum.process.T == pytest.approx(without.process.T)
    np.testing.assert_allclose(with_momentum.covariance.value, without.covariance.value, rtol=3e-3)


def test_square_root_scaling_keeps_the_process_and_linear_scaling_does_not():
    base = nets.adaptive_quadratic(H, D, lr=1e-4, batch=8, betas=(0.96, 0.996), eps=1e-2)
    rule = base.rule.scaled(128)
    assert rule.lr == pytest.approx(4e-4) and rule.eps == pytest.approx(2.5e-3)
    np.testing.assert_allclose(rule.betas, (1 - 16 * 0.04, 1 - 16 * 0.004))
    scaled = nets.adaptive_quadratic(H, D, lr=rule.lr, batch=128, betas=rule.betas, eps=rule.eps)
    np.testing.assert_allclose(scaled.covariance.value, base.covariance.value, rtol=5e-3)
    # time: 1/16 of the steps, in each of which 16 times as much decays
    decay = [p.rule.lr * p.overdamped().drift(np.eye(3)) for p in (base, scaled)]
    np.testing.assert_allclose(decay[1], 16 * decay[0], rtol=1e-2)
    linear = nets.adaptive_quadratic(H, D, lr=16e-4, batch=128, betas=rule.betas, eps=rule.eps)
    assert linear.covariance.value[0, 0] > 3 * base.covariance.value[0, 0]
    with pytest.raises(ValueError, match="smaller batch"):
        base.rule.scaled(1000)


def test_a_network_gives_the_top_scaled_directions():
    net = models.network(weight_decay=0.05).minimize()
    found = net.adaptive_process(5, lr=1e-4, batch=8, replacement=False)
    hessian, noise = net.hessian().dense(), net.noise().dense()
    P = np.sqrt(93 / 100 * np.diag(noise) / 8 + net.gradient() ** 2) + 1e-8
    np.testing.assert_allclose(found.P, P, rtol=1e-10)
    scaled = hessian / np.sqrt(np.outer(P, P))
    np.testing.assert_allclose(np.diag(found.H), np.linalg.eigvalsh(scaled)[::-1][:5], rtol=1e-9)
    np.testing.assert_allclose(found.D, found.basis.T @ noise @ found.basis, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.basis.T @ hessian @ found.basis, found.H, atol=1e-8 * found.H.max())
    assert found.process.U.dim == 5
    with pytest.raises(ValueError, match="expected all"):
        found.overdamped()


def test_a_preconditioner_that_does_not_rest_is_noted(monkeypatch):
    assert not nets.adaptive_quadratic(H, D, lr=1e-3, batch=8).covariance.warnings
    loose = nets.adaptive_quadratic(H, D, lr=1e-3, batch=8, betas=(0.9, 0.5)).covariance
    assert "does not rest" in loose.warnings[0] and loose.error[0, 0] >= loose.value[0, 0]
    small = nets.adaptive_quadratic(H, D, lr=1e-3, batch=8)
    monkeypatch.setattr(preconditioning, "LARGEST", 2)
    with pytest.raises(ValueError, match=r"type .discrete.covariance"):
        small.covariance


def test_what_adam_cannot_be():
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        nets.adaptive_quadratic(H, D, lr=1e-3, batch=8, betas=(0.9, 1.0))
    with pytest.raises(ValueError, match="eps=1e-8"):
        nets.adaptive_quadratic(np.eye(2), np.diag([1.0, 0.0]), lr=1e-3, batch=8, eps=0.0)
    with pytest.raises(ValueError, match="diverges"):
        nets.adaptive_quadratic(H, D, lr=10.0, batch=8)
    with pytest.raises(ValueError, match="positive definite"):
        nets.adaptive_quadratic(-H, D, lr=1e-3, batch=8)
    with pytest.raises(ValueError, match="full batch"):
        models.network().adaptive_process(2, lr=1e-3, batch=101, replacement=False)
