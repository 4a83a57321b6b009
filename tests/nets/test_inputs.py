"""Inputs in dicts and tuples, parameters that are filtered, models in train mode, attention by every rung of the ladder."""

from collections import UserDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from sgdyn import nets
from tests.nets import models
from tests.nets.models import cross_entropy
from tests.nets.test_derivatives import per_sample_gradients
from tests.nets.test_operators import close
from tests.nets.test_scrutiny import seeds

X, Y = models.data()
NUMBERS = torch.tensor(np.random.default_rng(1).integers(0, 9, (101, 4)))
MASK = (torch.arange(4) < 1 + torch.arange(101)[:, None] % 4).double()


class Output(UserDict):
    """Named parts, as models of transformers return them."""

    @property
    def logits(self):
        return self["logits"]


class Reader(nn.Module):
    """Called by name, as models of transformers are; its attention looks up its kind in a configuration."""

    def __init__(self, attention="eager"):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.norm, self.out = nn.Embedding(9, 4), nn.LayerNorm(4), nn.Linear(4, 3)
        self.config = type("Config", (), {"_attn_implementation": attention})()
        self.double()

    def forward(self, input_ids, attention_mask):
        h = self.norm(self.words(input_ids))
        scores = h @ h.transpose(1, 2) + torch.log(attention_mask + 1e-9)[:, None]
        h = (Flash.apply(scores) if self.config._attn_implementation == "flash" else torch.softmax(scores, -1)) @ h
        return Output(logits=self.out((h * attention_mask[..., None]).sum(1)))


class Flash(torch.autograd.Function):
    """A softmax that can be differentiated once only, and not in forward mode, as fused attention."""

    @staticmethod
    def forward(scores):
        return torch.softmax(scores, -1)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(output)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slope):
        (a,) = ctx.saved_tensors
        return a * (slope - (a * slope).sum(-1, keepdim=True))


BATCH = {"input_ids": NUMBERS, "attention_mask": MASK, "labels": Y}


class Named(Dataset):
    def __len__(self):
        return 101

    def __getitem__(self, i):
        return {name: part[i] for name, part in BATCH.items()}


def reference():
    """(D, H v) of the reader by its logits alone."""
    model = Reader()
    plain = lambda b: model(NUMBERS[b], MASK[b]).logits
    rows = []
    for i in range(101):
        slopes = torch.autograd.grad(F.cross_entropy(plain(slice(i, i + 1)), Y[i : i + 1]), list(model.parameters()))
        rows.append(torch.cat([s.reshape(-1) for s in slopes]))
    return np.cov(torch.stack(rows).numpy().T, bias=True)


def test_dicts_are_named_arguments_however_they_come():
    D, order = reference(), torch.randperm(101, generator=torch.Generator().manual_seed(2))
    inputs = {"input_ids": NUMBERS, "attention_mask": MASK}
    sources = (BATCH, UserDict(BATCH), (inputs, Y), Named(), DataLoader(Named(), batch_size=8, shuffle=True))
    for source in sources:
        net = nets.Network(Reader(), nn.CrossEntropyLoss(), source, chunk=32)
        assert net.n == 101
        close(net.noise().dense(), D)
    by_hand = nets.Network(Reader(), lambda output, y: cross_entropy(output["logits"], y), BATCH)
    close(by_hand.noise(ghosts=True).dense(), D)
    v = np.random.default_rng(0).normal(size=net.dim)
    close(by_hand.gauss_newton() @ v, net.gauss_newton() @ v, 1e-12)
    shuffled = nets.Network(
        Reader(), nn.CrossEntropyLoss(), {name: part[order] for name, part in BATCH.items()}, chunk=7
    )
    close(shuffled.noise(ghosts=False).dense(), D)
    run = nets.train(net, steps=3, lr=0.1, batch=8, replicas=2, seed=0)
    assert np.all(np.isfinite(run.losses))


def test_tuples_are_arguments_in_order():
    net = nets.Network(Reader(), nn.CrossEntropyLoss(), ((NUMBERS, MASK), Y), chunk=32)
    close(net.noise().dense(), reference())
    v = np.random.default_rng(0).normal(size=net.dim)
    close(net.gauss_newton() @ v, net.fisher() @ v, 1e-12)


def test_attention_that_has_one_derivative_falls_back_on_its_eager_form():
    model = Reader("flash")
    net = nets.Network(model, nn.CrossEntropyLoss(), BATCH, chunk=32)
    plain = nets.Network(Reader(), nn.CrossEntropyLoss(), BATCH, chunk=32)
    v = np.random.default_rng(0).normal(size=net.dim)
    assert net.derivatives.eager and not plain.derivatives.eager
    close(net.hessian() @ v, plain.hessian() @ v)
    close(net.noise(ghosts=False) @ v, plain.noise() @ v)
    assert model.config._attn_implementation == "flash"


class Padded(nn.Module):
    """Words with padding, and positions that are looked up once for all samples."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.places, self.out = nn.Embedding(9, 4, padding_idx=0), nn.Embedding(4, 4), nn.Linear(4, 3)
        self.double()

    def forward(self, numbers):
        return self.out(torch.tanh(self.words(numbers) + self.places(torch.arange(4)[None])).mean(1))


def test_padding_is_no_coordinate():
    """torch's forward mode moves the row of the padding, its reverse mode does not: D and H would not be symmetric."""
    with torch.no_grad():
        model = Padded()
        model.words.weight[0] = 0.7
    rows = per_sample_gradients(model, cross_entropy, NUMBERS, Y)
    D, v = np.cov(rows.T, bias=True), np.random.default_rng(0).normal(size=rows.shape[1])
    net = nets.Network(model, cross_entropy, (NUMBERS, Y), chunk=32)
    for ghosts in (True, False):
        close(net.noise(ghosts=ghosts) @ v, D @ v)
    H = np.stack([net.hessian() @ unit for unit in np.eye(net.dim)])
    close(H, H.T)
    assert not H[:4].any() and not D[:4].any()
    close(net.hessian(products="graph") @ v, H @ v)


class Attention(nn.Module):
    """torch's fused attention, which has neither forward mode nor second derivatives."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.q, self.k, self.v, self.out = (nn.Linear(4, size) for size in (4, 4, 4, 3))
        self.double()

    def forward(self, x):
        parts = [layer(x).view(len(x), -1, 2, 2).transpose(1, 2) for layer in (self.q, self.k, self.v)]
        return self.out(F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2).mean(1))


def test_every_rung_of_the_ladder_gives_the_same_numbers():
    """Fused attention by its plain form (exactly), and by differences (nine digits)."""
    from dataclasses import replace

    x = torch.tensor(np.random.default_rng(4).normal(size=(13, 5, 4)))
    net = nets.Network(Attention(), cross_entropy, (x, Y[:13]), chunk=5)
    assert net.derivatives.unfused
    rows = per_sample_gradients(Attention(), cross_entropy, x, Y[:13])
    D, v = np.cov(rows.T, bias=True), np.random.default_rng(7).normal(size=net.dim)
    exact = net.hessian() @ v
    for ways, tolerance in (
        (net.derivatives, 1e-10), (replace(net.derivatives, forward=False), 1e-10), (replace(net.derivatives, difference=True), 1e-7),
    ):  # fmt: skip
        other = net.at(net.weights)
        other.derivatives = ways
        close(other.noise(ghosts=False) @ v, D @ v, tolerance)
        close(other.hessian() @ v, exact, tolerance)
        close(other.gauss_newton() @ v, net.gauss_newton() @ v, tolerance)
    close(net.noise(ghosts=True) @ v, D @ v)
    kept = net.hessian(products="graph")
    close(kept @ v, exact)
    assert kept._graph is not None


@pytest.mark.parametrize(
    ("params", "count"), [("2.*", 24), (["0.bias", "2.bias"], 10), (lambda name, part: part.ndim == 2, 56), (None, 66)]
)
def test_filters_choose_the_coordinates(params, count):
    net, whole = (
        nets.Network(models.mlp(), cross_entropy, (X, Y), params=params, chunk=32),
        models.network(weight_decay=0.0),
    )
    kept = np.concatenate([np.arange(66)[whole.places()[name]] for name in net.places()])
    assert net.dim == count == len(kept)
    close(net.hessian().dense(), whole.hessian().dense()[np.ix_(kept, kept)])
    for ghosts in (True, False):
        close(net.noise(ghosts=ghosts).dense(), whole.noise().dense()[np.ix_(kept, kept)])
    close(net.gauss_newton().dense(), whole.gauss_newton().dense()[np.ix_(kept, kept)])


def test_parameters_that_are_left_out_stay_where_they_were():
    model = models.mlp()
    net = nets.Network(model, cross_entropy, (X, Y), params="2.*")
    before = net.value()
    with torch.no_grad():
        model[0].weight.add_(1.0)
    assert net.value() == before


def regular():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(5, 6),
        nn.BatchNorm1d(6),
        nn.Tanh(),
        nn.Dropout(0.4),
        nn.Linear(6, 4),
        nn.Dropout(0.2),
        nn.Linear(4, 3),
    ).double()


def test_train_mode_is_what_it_is_told_to_be():
    model = regular()
    with torch.no_grad():
        model[1].running_mean.add_(0.3)
    with pytest.raises(ValueError, match="bn='eval'"):
        nets.Network(model, cross_entropy, (X, Y))
    with pytest.raises(ValueError, match="dropout='eval'"):
        nets.Network(model, cross_entropy, (X, Y), bn="eval")
    told = nets.Network(model, cross_entropy, (X, Y), bn="eval", dropout="eval")
    assert all(part.training for part in model.modules())
    frozen = nets.Network(regular().eval(), cross_entropy, (X, Y))
    assert told.value() != frozen.value()  # the buffers are those of the model that was given
    with torch.no_grad():
        model[1].running_mean.sub_(0.3)
    assert nets.Network(model, cross_entropy, (X, Y), bn="eval", dropout="eval").value() == pytest.approx(
        frozen.value(), rel=1e-14
    )


def test_seeded_dropout_is_a_thinned_network():
    one, again, other = (
        nets.Network(regular(), cross_entropy, (X, Y), bn="eval", dropout=seed, chunk=32) for seed in (3, 3, 4)
    )
    assert one.value() == again.value() != other.value()
    v = np.random.default_rng(0).normal(size=one.dim)
    close(one.noise(ghosts=True) @ v, one.noise(ghosts=False) @ v)
    masks = [part for part in one.model if type(part).__name__ == "FixedDropout"]
    kept = masks[0](torch.ones(2, 1000, dtype=torch.float64))
    assert set(np.unique(kept)) <= {0.0, 1 / 0.6} and torch.equal(kept[0], kept[1])
    assert float((kept[0] > 0).double().mean()) == pytest.approx(0.6, abs=0.08)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"params": "head.*"}, "fits none"), ({"params": lambda name, part: False}, "choose none"), ({"bn": "batch"}, "'eval'"),
        ({"dropout": "train"}, "a seed"), ({"dropout": -1}, "dropout=-1"),
    ],
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        nets.Network(models.mlp(), cross_entropy, (X, Y), **options)


def test_dicts_without_targets_are_refused():
    with pytest.raises(ValueError, match="'labels'"):
        nets.Network(Reader(), cross_entropy, {"input_ids": NUMBERS, "attention_mask": MASK})
    with pytest.raises(ValueError, match="equal numbers"):
        nets.Network(Reader(), cross_entropy, ({"input_ids": NUMBERS[:7], "attention_mask": MASK}, Y))


def test_no_operator_leaves_a_trace():
    """Modes, gradients, hooks, buffers, weights and random states are what they were."""
    model = regular()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    parts = {name: part.detach().clone() for name, part in [*model.named_parameters(), *model.named_buffers()]}
    before = seeds()
    net = nets.Network(model, nn.CrossEntropyLoss(), (X, Y), bn="eval", dropout=1, chunk=32)
    for operator in (
        net.noise("gram"),
        net.noise("lanczos", ghosts=False),
        net.hessian(products="graph"),
        net.gauss_newton(),
        net.fisher("monte carlo", seed=None),
    ):
        (
            operator.top(2),
            operator.trace(),
            operator.diag(),
            operator.logdet(0.01, method="lanczos", negative="clip", probes=2, steps=8, head=2),
            operator.plan(),
        )
    net.noise().sample(2, batch=3), net.jacobian().dense()
    assert seeds() == before
    assert all(torch.equal(part, parts[name]) for name, part in [*model.named_parameters(), *model.named_buffers()])
    assert all(part.training and not part._forward_hooks for part in model.modules())
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight)) and model[4].weight.grad is None
