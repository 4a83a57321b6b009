"""Label noise by enumeration of labels, at interpolation, and the drift along the manifold that it makes."""

import numpy as np
import pytest
import torch
from torch import nn

from sgdyn import nets
from tests.nets import models

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
ARCHITECTURES = {"mlp": models.mlp, "convolution": models.convolutional, "attention": models.Transformerish}


def gradients(model, loss, x, y):
    """The gradients (N, p) of single samples by one backward pass each."""
    rows = []
    for i in range(len(x)):
        found = torch.autograd.grad(loss(model(x[i : i + 1]), y[i : i + 1]), list(model.parameters()))
        rows.append(torch.cat([part.reshape(-1) for part in found]))
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("device", DEVICES)
def test_noise_on_targets_by_enumeration(name, device):
    """Noise of +-sigma sqrt(m) on one of the m outputs at random has covariance sigma² 1: all its values."""
    x, _ = models.data(19)
    y = torch.tensor(np.random.default_rng(3).normal(size=(19, 3)))
    model, loss, sigma = ARCHITECTURES[name](), nn.MSELoss(), 0.3
    base = gradients(model, loss, x, y)
    total = 0
    for j in range(3):
        for sign in (-1, 1):
            moved = y.clone()
            moved[:, j] += sign * sigma * 3**0.5
            rows = gradients(model, loss, x, moved) - base
            total = total + rows.T @ rows / (6 * 19)
    net = nets.Network(model.to(device), loss, (x, y), 0.1, chunk=8)
    found = net.label_noise(sigma=sigma)
    np.testing.assert_allclose(found.dense(), total, atol=1e-10 * total.max())
    v = np.random.default_rng(0).normal(size=net.dim)
    np.testing.assert_allclose(found @ v, total @ v, atol=1e-10 * np.abs(total @ v).max())
    assert found.trace().value == pytest.approx(np.trace(total), rel=1e-10)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("device", DEVICES)
def test_flipped_labels_by_enumeration(name, device):
    x, y = models.data(19)
    model, loss, q = ARCHITECTURES[name](), nn.CrossEntropyLoss(), 0.2
    rows = np.stack([gradients(model, loss, x, torch.full_like(y, c)) for c in range(3)])
    pi = np.full((3, 19), q / 2)
    pi[y.numpy(), np.arange(19)] = 1 - q
    centred = rows - np.einsum("ci,cip->ip", pi, rows)
    expected = np.einsum("ci,cip,ciq->pq", pi, centred, centred) / 19
    net = nets.Network(model.to(device), loss, (x, y), 0.1, chunk=8)
    np.testing.assert_allclose(net.label_noise(flips=q).dense(), expected, atol=1e-10 * expected.max())


def test_at_interpolation_it_is_proportional_to_the_hessian():
    x, _ = models.data(40)
    model = models.mlp()
    net = nets.Network(model, nn.MSELoss(), (x, model(x).detach()), chunk=16)
    H = net.hessian().dense()
    np.testing.assert_allclose(net.label_noise(sigma=0.5).dense(), 2 * 0.25 / 3 * H, atol=1e-10 * H.max())


def test_gradients_at_drawn_labels_have_that_covariance():
    """20 000 draws of all labels of one sample: variances along three vectors."""
    x = models.data(2)[0][:1].repeat(2, 1)
    model, sigma, rng = models.mlp(), 0.4, np.random.default_rng(0)
    target = torch.tensor(rng.normal(size=(1, 3)))
    net = nets.Network(model, nn.MSELoss(), (x, target.repeat(2, 1)))
    V = rng.normal(size=(net.dim, 3))
    drawn = target + sigma * torch.tensor(rng.normal(size=(20_000, 3)))
    many = nets.Network(model, nn.MSELoss(), (x[:1].repeat(20_000, 1), drawn))
    seen = many.noise().coordinates(V).var(0)
    expected = np.einsum("ij,ij->j", V, net.label_noise(sigma=sigma) @ V)
    assert np.all(np.abs(seen / expected - 1) < 4 * np.sqrt(2 / 20_000))


class Product(nn.Module):
    """f = u v x, interpolating x = y = 1 where u v = 1; tr H = 2(u² + v²) there."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([2.0, 0.5], dtype=torch.float64))

    def forward(self, x):
        return self.weights[0] * self.weights[1] * x


@pytest.mark.parametrize("lr", [0.01, 0.1])
def test_sgd_moves_along_the_manifold_as_the_regulariser_says(lr):
    """u² - v² changes by the factor 1 - 4 lr² r² a step, r the residual with the drawn label; R's slope along u v = 1 says how fast on average."""
    one, sigma, batch = torch.ones(2, 1, dtype=torch.float64), 0.02, 1
    net = nets.Network(Product(), nn.MSELoss(), (one, one))

    def R(u):
        return net.at([u, 1 / u]).label_noise(sigma=sigma).regulariser(lr=lr, batch=batch).value

    u, step = 2.0, 1e-4
    slope = (R(u + step) - R(u - step)) / (2 * step) / (1 + u**-4)  # dR/du over the squared length of (1, d(1/u)/du)
    predicted = -lr * slope * (2 * u + 2 * u**-3) / (u**2 - u**-2)  # relative change of u² - v² a step
    rng, w = np.random.default_rng(0), np.tile([2.0, 0.5], (20_000, 1))
    steps, early = 600, 300
    for t in range(steps):
        if t == early:
            before = np.mean(w[:, 0] ** 2 - w[:, 1] ** 2)
        r = w[:, 0] * w[:, 1] - 1 - sigma * rng.choice([-1.0, 1.0], len(w))
        w = w - lr * 2 * r[:, None] * w[:, ::-1]
    change = np.log(np.mean(w[:, 0] ** 2 - w[:, 1] ** 2) / before) / (steps - early)
    assert change == pytest.approx(predicted, rel=0.03)
    h = 2 * (u**2 + u**-2)
    assert R(u) == pytest.approx(-(sigma**2) * np.log(1 - lr * h / 2), rel=1e-10)
    assert R(u) == pytest.approx(lr * sigma**2 * h / 2, rel=0.4 * lr * h)


def test_what_label_noise_is_not():
    net = models.network()
    with pytest.raises(ValueError, match="both or none"):
        net.label_noise()
    with pytest.raises(ValueError, match="expected MSELoss"):
        net.label_noise(sigma=0.1)
    with pytest.raises(ValueError, match=r"\(0, 1\)"):
        net.label_noise(flips=1.0)
    with pytest.raises(ValueError, match="square loss"):
        net.label_noise(flips=0.1).regulariser(lr=0.1, batch=1)
    x, _ = models.data(10)
    square = nets.Network(models.mlp((5, 1)), nn.MSELoss(), (x, x[:, :1]))
    with pytest.raises(ValueError, match="expected CrossEntropyLoss"):
        square.label_noise(flips=0.1)
    with pytest.raises(ValueError, match="h_max"):
        square.label_noise(sigma=0.1).regulariser(lr=100.0, batch=1)
    assert "interpolation" in square.label_noise(sigma=0.1).regulariser(lr=0.01, batch=1).warnings[0]


def test_labels_flipped_as_training_flips_them():
    """`LabelNoise` of training, 20 000 labels of one sample: variances along three vectors, of indicator-like numbers with bounded kurtosis."""
    x, _ = models.data(2)
    x, y = x[:1].repeat(2, 1), torch.tensor([1, 1])
    V = np.random.default_rng(0).normal(size=(66, 3))
    drawn = nets.LabelNoise(0.3).noisy(y[:1].repeat(20_000), torch.Generator().manual_seed(0), 3)
    many = nets.Network(models.mlp(), nn.CrossEntropyLoss(), (x[:1].repeat(20_000, 1), drawn))
    c = many.noise().coordinates(V)
    expected = np.einsum(
        "ij,ij->j", V, nets.Network(models.mlp(), nn.CrossEntropyLoss(), (x, y)).label_noise(flips=0.3) @ V
    )
    error = np.std((c - c.mean(0)) ** 2, axis=0) / 20_000**0.5
    assert np.all(np.abs(c.var(0) - expected) < 4 * error + 1e-4 * expected)
