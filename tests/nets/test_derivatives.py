"""Layers and losses that torch differentiates reluctantly, against backward passes of single samples and differences."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sgdyn import nets
from tests.nets import models
from tests.nets.models import Functional, cross_entropy

X, Y = models.data()


def per_sample_gradients(model, loss, x, y):
    """Gradients (N, p) by plain backward passes, one by one."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    rows = []
    for i in range(len(x)):
        slopes = torch.autograd.grad(loss(model(x[i : i + 1]), y[i : i + 1]), parameters)
        rows.append(torch.cat([s.reshape(-1) for s in slopes]))
    return torch.stack(rows).numpy()


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(3)
        self.cells, self.out = kind(2, 3, batch_first=True), nn.Linear(3, 3)
        self.double()

    def forward(self, x):
        return self.out(self.cells(x)[0][:, -1])


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.layer = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True)
        self.out = nn.Linear(4, 3)
        self.double()

    def forward(self, x):
        return self.out(self.layer(x).mean(1))


class Causal(nn.Module):
    """Fused attention as models call it themselves, no word looking ahead, and a root-mean-square norm."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.all, self.norm, self.out = nn.Linear(4, 12), nn.RMSNorm(4), nn.Linear(4, 3)
        self.double()

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (2, 2)).transpose(1, 2) for part in self.all(x).chunk(3, -1))
        h = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        return self.out(self.norm(x + h).mean(1))


def sequences(width, n=13):
    return torch.tensor(np.random.default_rng(4).normal(size=(n, 5, width))), Y[:n]


VECTORS = torch.tensor(np.random.default_rng(6).normal(size=(13, 3)))
HARD = {
    "LSTM": (lambda: Recurrent(nn.LSTM), nn.CrossEntropyLoss(), sequences(2)),
    "GRU": (lambda: Recurrent(nn.GRU), nn.CrossEntropyLoss(), sequences(2)),
    "RNN": (lambda: Recurrent(nn.RNN), nn.CrossEntropyLoss(), sequences(2)),
    "encoder": (Encoder, nn.CrossEntropyLoss(), sequences(4)),
    "encoder in evaluation mode": (lambda: Encoder().eval(), nn.CrossEntropyLoss(), sequences(4)),
    "causal attention": (Causal, nn.CrossEntropyLoss(), sequences(4)),
    "Huber": (models.mlp, nn.HuberLoss(delta=0.3), (X[:13], 0.2 * VECTORS)),
    "smooth L1": (models.mlp, nn.SmoothL1Loss(), (X[:13], 0.2 * VECTORS)),
    "KL, batch mean": (
        lambda: Functional(lambda h: F.log_softmax(h, 1)),
        nn.KLDivLoss(reduction="batchmean"),
        (X[:13], torch.softmax(VECTORS, 1)),
    ),
}


@pytest.mark.parametrize("name", HARD)
def test_layers_and_losses_that_torch_differentiates_reluctantly(name, device):
    make, loss, (x, y) = HARD[name]
    net = nets.Network(make().to(device), loss, (x, y), chunk=5)
    rows = per_sample_gradients(make(), loss, x, y)
    centred = rows - rows.mean(0)
    D = centred.T @ centred / len(x)
    np.testing.assert_allclose(net.gradient(), rows.mean(0), atol=1e-12)
    np.testing.assert_allclose(net.noise().dense(), D, atol=1e-12)
    assert net.noise().trace().value == pytest.approx(np.trace(D), rel=1e-10)
    v = np.random.default_rng(7).normal(size=net.dim)
    np.testing.assert_allclose(net.noise() @ v, D @ v, atol=1e-11)
    w = net.weights.cpu().numpy()
    numeric = (net.at(w + 1e-5 * v).gradient() - net.at(w - 1e-5 * v).gradient()) / 2e-5
    np.testing.assert_allclose(net.hessian() @ v, numeric, atol=1e-7 * max(1, np.abs(numeric).max()))
    np.testing.assert_allclose(net.hessian().dense() @ v, net.hessian() @ v, atol=1e-10)
    found = nets.train(net, steps=3, lr=0.1, batch=13, sampler="without", replicas=2, seed=0)
    np.testing.assert_allclose(found.gradient_norms[:, 0], np.linalg.norm(rows.mean(0)), rtol=1e-10)


def test_attention_switches_are_left_as_they_were():
    before = torch.backends.mha.get_fastpath_enabled(), torch.backends.cuda.flash_sdp_enabled()
    nets.Network(Encoder().eval(), nn.CrossEntropyLoss(), sequences(4)).hessian().dense()
    assert (torch.backends.mha.get_fastpath_enabled(), torch.backends.cuda.flash_sdp_enabled()) == before


class Once(torch.autograd.Function):
    """A function that torch can differentiate once only."""

    @staticmethod
    def forward(x):
        return x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slope):
        return 2 * ctx.saved_tensors[0] * slope


def test_without_second_derivatives_differences_remain():
    """The last rung of the ladder: nine digits in double precision."""
    net = nets.Network(Functional(Once.apply), cross_entropy, (X, Y))
    squared = nets.Network(Functional(torch.square), cross_entropy, (X, Y))
    np.testing.assert_allclose(net.gradient(), squared.gradient(), atol=1e-14)
    v = np.random.default_rng(8).normal(size=net.dim)
    assert net.derivatives.difference and not squared.derivatives.difference
    np.testing.assert_allclose(net.hessian() @ v, squared.hessian() @ v, atol=1e-8)
    np.testing.assert_allclose(net.noise(ghosts=False) @ v, squared.noise() @ v, atol=1e-8)
    np.testing.assert_allclose(net.gauss_newton() @ v, squared.gauss_newton() @ v, atol=1e-8)
    assert "differences" in str(net.hessian().plan()) and "differences" in net.noise("gram").top(2).warnings[0]


class Normed(nn.Module):
    """A layer norm over each sample by `torch.vmap`, of which forward over reverse mode is wrong in torch 2.13."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.linear, self.norm = nn.Linear(5, 3).double(), nn.LayerNorm(3).double()

    def forward(self, x):
        return torch.vmap(self.norm)(self.linear(x))


def test_second_derivatives_are_compared_with_differences():
    net = nets.Network(Normed(), cross_entropy, (X, Y))
    plain = nn.Sequential(nn.Linear(5, 3), nn.LayerNorm(3)).double()
    plain[0], plain[1] = net.model.linear, net.model.norm
    H = nets.Network(plain, cross_entropy, (X, Y)).hessian().dense()
    np.testing.assert_allclose(net.hessian().dense(), H, atol=1e-12)
