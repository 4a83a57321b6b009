"""Gradients from what layers keep, against backward passes of single samples, for every kind of layer."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sgdyn import nets
from sgdyn.nets.ghosts import GhostSource
from tests.nets import models
from tests.nets.models import cross_entropy
from tests.nets.test_derivatives import per_sample_gradients

N = 23
Y = torch.tensor(np.random.default_rng(3).integers(0, 3, N))
IMAGES = torch.tensor(np.random.default_rng(4).normal(size=(N, 2, 6, 6)))
WORDS = torch.tensor(np.random.default_rng(5).integers(0, 7, (N, 4)))
POINTS = torch.tensor(np.random.default_rng(6).normal(size=(N, 5)))


class Sentence(nn.Module):
    """Embedding, layer norm, attention from linear layers, one layer used twice, a parameter of its own."""

    def __init__(self, fused=False):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.norm = nn.Embedding(7, 6, padding_idx=2), nn.LayerNorm(6)
        self.q, self.k, self.v = (nn.Linear(6, 6, bias=False) for _ in range(3))
        self.again, self.out = nn.Linear(6, 6), nn.Linear(6, 3)
        self.fused = fused
        self.double()

    def forward(self, numbers):
        h = self.norm(self.words(numbers))
        q, k, v = self.q(h), self.k(h), self.v(h)
        if self.fused:
            h = h + F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        else:
            h = h + torch.softmax(q @ k.transpose(1, 2) / 6**0.5, -1) @ v
        return self.out(torch.tanh(self.again(torch.tanh(self.again(h)))).mean(1))


def made(*layers):
    torch.manual_seed(1)
    return nn.Sequential(*(layer() for layer in layers)).double()


class Token(nn.Module):
    """A parameter that belongs to no layer, as the class token of vision transformers does."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.token, self.out = nn.Parameter(torch.randn(5)), nn.Linear(5, 3)
        self.double()

    def forward(self, x):
        return self.out(torch.tanh(x * self.token))


LAYERS = {
    "linear, in place": (lambda: made(lambda: nn.Linear(5, 6), lambda: nn.ReLU(True), lambda: nn.Linear(6, 3)), POINTS),
    "no bias": (lambda: made(lambda: nn.Linear(5, 4, bias=False), nn.Tanh, lambda: nn.Linear(4, 3)), POINTS),
    "convolutions": (
        lambda: made(lambda: nn.Conv2d(2, 4, 3, 2, 1), nn.ReLU, lambda: nn.Conv2d(4, 3, 2, dilation=2), nn.Flatten),
        IMAGES,
    ),
    "grouped and reflected convolutions": (
        lambda: made(
            lambda: nn.Conv2d(2, 4, 3, groups=2), lambda: nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect"),
            lambda: nn.AdaptiveAvgPool2d(1), nn.Flatten,
        ),
        IMAGES,
    ),
    "one-dimensional convolution": (
        lambda: made(lambda: nn.Conv1d(2, 3, 3, stride=2), lambda: nn.AdaptiveAvgPool1d(1), nn.Flatten),
        IMAGES.flatten(2),
    ),
    "norms": (
        lambda: made(
            lambda: nn.Conv2d(2, 4, 3), lambda: nn.GroupNorm(2, 4), nn.Tanh, nn.Flatten, lambda: nn.Linear(64, 3), lambda: nn.LayerNorm(3),
            lambda: nn.BatchNorm1d(3).eval(), lambda: nn.PReLU(),
        ),
        IMAGES,
    ),
    "sentence": (Sentence, WORDS),
    "a parameter of its own": (Token, POINTS),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_every_kind_of_layer_gives_the_gradients_of_single_samples(name, device):
    make, x = LAYERS[name]
    rows = per_sample_gradients(make(), cross_entropy, x, Y)
    centred = rows - rows.mean(0)
    net = nets.Network(make().to(device), cross_entropy, (x, Y), chunk=7)
    noise = net.noise(ghosts=True)
    v, u = np.random.default_rng(0).normal(size=net.dim), np.random.default_rng(1).normal(size=N)
    close = {"atol": 1e-12 * np.abs(rows).max() * net.dim}
    there = {"device": device}
    np.testing.assert_allclose(noise.push(torch.as_tensor(v, **there)).cpu(), centred @ v, **close)
    np.testing.assert_allclose(noise.pull(torch.as_tensor(u, **there)).cpu(), u @ rows, **close)
    np.testing.assert_allclose(noise.gram(), centred @ centred.T / N, **close)
    np.testing.assert_allclose(noise.diag().value, (centred**2).mean(0), **close)
    np.testing.assert_allclose(torch.cat(list(noise.rows())).cpu(), centred, **close)
    np.testing.assert_allclose(noise.ghosts.squares().cpu(), (rows**2).sum(1), **close)
    assert noise.trace().value == pytest.approx((centred**2).sum() / N, rel=1e-11)


def test_the_gram_matrix_needs_no_more_memory_than_allowed():
    """Layer by layer, the same numbers; pairs of positions and rows, in blocks that divide nothing."""
    net = nets.Network(Sentence(), cross_entropy, (WORDS, Y), chunk=7)
    whole, short = net.noise(ghosts=True), net.noise(budget=3000.0)
    assert short.ghosts is None and len(list(short.source.groups(3000.0))) > 3 and short.source.bytes > 3000
    np.testing.assert_allclose(short.gram(), whole.gram(), atol=1e-14)
    assert "passes" in str(short.plan()) and "1 pass," in str(whole.plan())


def test_pairs_of_positions_and_rows_give_one_gram_matrix(monkeypatch):
    from sgdyn.nets import pieces, positions

    rng = np.random.default_rng(2)
    a, d = torch.tensor(rng.normal(size=(9, 3, 40))), torch.tensor(rng.normal(size=(9, 3, 30)))
    x = torch.tensor(rng.normal(size=(9, 6, 5, 4)))
    many = positions.Sums(slice(0, 1200), d, a)
    image = positions.Convolved(slice(0, 324), torch.tensor(rng.normal(size=(9, 6, 3, 1))), x, (6, 6, 3, 3), ((1, 2), (0, 0), (1, 1)))  # fmt: skip
    monkeypatch.setattr(pieces, "SIDE", 4)
    monkeypatch.setattr(positions, "TOGETHER", 2)
    for piece, room in ((many, 2000), (image, 2000), (image, 10**6)):
        monkeypatch.setattr(positions, "PANEL_BYTES", room)
        rows = piece.rows(slice(0, 9))
        for pairs in (True, False):
            monkeypatch.setattr(positions.Positions, "by_pairs", pairs)
            found = torch.zeros(9, 9, dtype=torch.float64)
            piece.add_gram(found)
            np.testing.assert_allclose(found.tril(), (rows @ rows.T).tril(), atol=1e-11)
        np.testing.assert_allclose(piece.squares(9), (rows**2).sum(1), atol=1e-11)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.other, self.out = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.other.weight = self.one.weight
        self.double()

    def forward(self, x):
        return self.out(torch.tanh(self.other(torch.tanh(self.one(x)))))


class Aside(nn.Module):
    """A layer whose weight is also used behind its back."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(5, 5)
        self.out = nn.Linear(5, 3)
        self.double()

    def forward(self, x):
        return self.out(torch.tanh(self.linear(x) + 0.1 * F.linear(x, self.linear.weight)))


@pytest.mark.parametrize(("make", "reason"), [(Tied, "several layers"), (Aside, "account for the gradient")])
def test_where_layers_do_not_tell_gradients_other_ways_are_taken(make, reason):
    rows = per_sample_gradients(make(), cross_entropy, POINTS, Y)
    centred = rows - rows.mean(0)
    net = nets.Network(make(), cross_entropy, (POINTS, Y), chunk=7)
    noise = net.noise("gram")
    assert noise.ghosts is None and reason in noise.source.reason and reason in str(noise.plan())
    np.testing.assert_allclose(noise.gram(), centred @ centred.T / N, atol=1e-13)
    np.testing.assert_allclose(noise.diag().value, (centred**2).mean(0), atol=1e-13)
    with pytest.raises(ValueError, match=reason):
        net.noise(ghosts=True).apply(net.weights)


def test_multihead_attention_and_weight_norm_take_the_other_ways():
    torch.manual_seed(0)
    layers = [
        nn.TransformerEncoderLayer(5, 1, 6, 0.0, batch_first=True),
        nn.utils.parametrizations.weight_norm(nn.Linear(5, 3)),
    ]
    model = nn.Sequential(nn.Unflatten(1, (1, 5)), layers[0], nn.Flatten(), layers[1]).double()
    net = nets.Network(model, cross_entropy, (POINTS, Y), chunk=7)
    assert not GhostSource.of(net).possible
    rows = per_sample_gradients(model, cross_entropy, POINTS, Y)
    D = (rows - rows.mean(0)).T @ (rows - rows.mean(0)) / N
    v = np.random.default_rng(0).normal(size=net.dim)
    np.testing.assert_allclose(net.noise() @ v, D @ v, atol=1e-12)


def test_ghosts_are_those_of_the_weights_asked_for():
    """Not those of the model, which stays where it was; parameters that are filtered out stay too."""
    model = models.mlp()
    net = nets.Network(model, cross_entropy, models.data(), params="2.*", chunk=32)
    there = net.at(net.weights + 0.3)
    other = models.mlp()
    with torch.no_grad():
        other[2].weight += 0.3
        other[2].bias += 0.3
    rows = per_sample_gradients(other, cross_entropy, *models.data())[:, -24:]
    np.testing.assert_allclose(there.noise(ghosts=True).dense(), np.cov(rows.T, bias=True), atol=1e-13)
    with torch.no_grad():
        model[0].weight += 1.0
    np.testing.assert_allclose(
        net.at(net.weights + 0.3).noise(ghosts=True).dense(), np.cov(rows.T, bias=True), atol=1e-13
    )
    assert not model[0]._forward_hooks and not model[2]._forward_hooks
