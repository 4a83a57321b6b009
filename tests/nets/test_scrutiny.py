"""Models, losses and data that would give other numbers than they seem to: refused with what to type, or right."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, TensorDataset, WeightedRandomSampler

from sgdyn import nets
from tests.nets import models

X, Y = models.data()
BINARY = torch.tensor(np.random.default_rng(2).integers(0, 2, 101), dtype=torch.float64)


def cross_entropy(output, y):
    return F.cross_entropy(output, y, reduction="none")


class Drawing(Dataset):
    """Data made anew at each reading by `make(i)`."""

    def __init__(self, make, n=40):
        self.make, self.n = make, n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return self.make(i)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


class Functional(nn.Module):
    """A linear map followed by any function."""

    def __init__(self, after, out=3):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.after = nn.Linear(5, out).double(), after

    def forward(self, x):
        return self.after(self.linear(x))


class Composite(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.CrossEntropyLoss()

    def forward(self, output, y):
        return self.inner(output, y)


class Squared(nn.MSELoss):
    """A mean that is no mean over samples."""

    def forward(self, output, y):
        errors = (output - y) ** 2
        return errors.mean() ** 2 if self.reduction == "mean" else errors


class Instance(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.up, self.norm, self.out = nn.Linear(1, 4), nn.InstanceNorm1d(4, track_running_stats=True), nn.Linear(4, 3)
        self.double()

    def forward(self, x):
        return self.out(self.norm(self.up(x[..., None]).transpose(1, 2)).mean(-1))


def seeds():
    """The global random states."""
    return random.getstate(), repr(np.random.get_state()), torch.random.get_rng_state().tolist()  # noqa: NPY002


def spectral():
    torch.manual_seed(0)
    return nn.utils.parametrizations.spectral_norm(nn.Linear(5, 3).double())


REFUSED = {
    "random flips": (
        models.mlp,
        cross_entropy,
        lambda: Drawing(lambda i: (X[i].flip(0) if random.random() < 0.02 else X[i], Y[i])),
        "random numbers on reading|two reads",
    ),
    "random flips by NumPy": (
        models.mlp,
        cross_entropy,
        lambda: Drawing(lambda i: (X[i] * (1 if np.random.random() < 0.98 else -1), Y[i])),  # noqa: NPY002
        "random numbers on reading|two reads",
    ),
    "random labels": (models.mlp, cross_entropy, lambda: Drawing(lambda i: (X[i], torch.randint(3, ()))), "two reads"),
    "weighted batch sampler": (
        models.mlp,
        cross_entropy,
        lambda: DataLoader(
            TensorDataset(X, Y), batch_sampler=BatchSampler(WeightedRandomSampler(torch.ones(101), 101), 8, False)
        ),
        "WeightedRandomSampler, expected each sample once",
    ),
    "batch sampler by hand": (
        models.mlp,
        cross_entropy,
        lambda: DataLoader(TensorDataset(X, Y), batch_sampler=[[0, 1], [0, 2]]),
        "list, expected plain batches",
    ),
    "loader without batches": (
        models.mlp,
        cross_entropy,
        lambda: DataLoader(TensorDataset(X, Y), batch_size=None),
        "batch_size=None",
    ),
    "collation that mixes samples": (
        models.mlp,
        cross_entropy,
        lambda: DataLoader(
            TensorDataset(X, Y),
            collate_fn=lambda s: (torch.stack([a for a, _ in s]) / len(s), torch.stack([b for _, b in s])),
        ),
        "different values for sample 0",
    ),
    "stream": (models.mlp, cross_entropy, Stream, "without a length"),
    "loader of a stream": (models.mlp, cross_entropy, lambda: DataLoader(Stream()), "without a length"),
    "rare functional dropout": (
        lambda: Functional(lambda h: F.dropout(h, 1e-6, True)),
        cross_entropy,
        lambda: (X, Y),
        "random.*model.eval",
    ),
    "instance norm with statistics": (Instance, cross_entropy, lambda: (X, Y), "changes norm.running_mean"),
    "spectral norm": (spectral, cross_entropy, lambda: (X, Y), "changes parametrizations.weight.0._u"),
    "batch norm without statistics": (
        lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4, track_running_stats=False)).double().eval(),
        cross_entropy,
        lambda: (X, Y),
        "without running statistics",
    ),
    "outputs (N, 1), targets (N,)": (
        lambda: models.mlp((5, 1)),
        nn.MSELoss(),
        lambda: (X, torch.sort(BINARY)[0]),
        r"y.reshape\(-1, 1\)",
    ),
    "broadcasting by hand": (
        lambda: models.mlp((5, 1)),
        lambda output, y: ((output - y) ** 2).mean(1),
        lambda: (X, torch.sort(BINARY)[0]),
        "depends on the other samples",
    ),
    "a mean of something else": (lambda: models.mlp((5, 1)), Squared(), lambda: (X, BINARY[:, None]), "Squared = "),
    "unknown reduction": (models.mlp, nn.CrossEntropyLoss(reduction="median"), lambda: (X, Y), "median.*the mean"),
    "a loss around a loss": (models.mlp, Composite(), lambda: (X, Y), "reduction='none'"),
    "byte inputs": (
        models.mlp,
        cross_entropy,
        lambda: (torch.zeros(101, 5, dtype=torch.uint8), Y),
        r"type x.to\(torch.float64\)",
    ),
    "classes out of range": (models.mlp, nn.CrossEntropyLoss(), lambda: (X, Y + 3), "IndexError.*expected losses"),
    "weights that are NaN": (lambda: Functional(lambda h: h / 0), cross_entropy, lambda: (X * 0, Y), "NaN"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_and_nothing_has_changed(name):
    make, loss, data, message = REFUSED[name]
    model = make()
    buffers = {key: part.clone() for key, part in model.named_buffers()}
    for seed in range(5):  # chance must not let it through
        random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)  # noqa: NPY002
        before = seeds()
        with pytest.raises(ValueError, match=message):
            nets.Network(model, loss, data())
        assert seeds() == before
    assert all(torch.equal(part, buffers[key]) for key, part in model.named_buffers())


def test_samples_that_make_no_tensor_are_named():
    for data in (Drawing(lambda i: (X[i, : 1 + i % 2], Y[i])), Drawing(lambda i: (object(), Y[i]))):
        with pytest.raises(TypeError, match="give the data set a transform"):
            nets.Network(models.mlp(), cross_entropy, data)


def test_collate_functions_are_used():
    def tenfold(samples):
        return torch.stack([10 * x for x, _ in samples]), torch.tensor([int(y) for _, y in samples])

    net = nets.Network(models.mlp(), cross_entropy, DataLoader(TensorDataset(X, Y), batch_size=7, collate_fn=tenfold))
    assert torch.equal(net.x, 10 * X) and torch.equal(net.y, Y)


def test_small_integers_are_targets():
    expected = models.network().gradient()
    for kind in (torch.int32, torch.uint8, torch.int16):
        net = nets.Network(models.mlp(), nn.CrossEntropyLoss(), (X, Y.to(kind)), 0.01)
        np.testing.assert_allclose(net.gradient(), expected, atol=1e-14)


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


def sequences(width, n=13):
    return torch.tensor(np.random.default_rng(4).normal(size=(n, 5, width))), Y[:n]


VECTORS = torch.tensor(np.random.default_rng(6).normal(size=(13, 3)))
HARD = {
    "LSTM": (lambda: Recurrent(nn.LSTM), nn.CrossEntropyLoss(), sequences(2)),
    "GRU": (lambda: Recurrent(nn.GRU), nn.CrossEntropyLoss(), sequences(2)),
    "RNN": (lambda: Recurrent(nn.RNN), nn.CrossEntropyLoss(), sequences(2)),
    "encoder": (Encoder, nn.CrossEntropyLoss(), sequences(4)),
    "encoder in evaluation mode": (lambda: Encoder().eval(), nn.CrossEntropyLoss(), sequences(4)),
    "Huber": (models.mlp, nn.HuberLoss(delta=0.3), (X[:13], 0.2 * VECTORS)),
    "smooth L1": (models.mlp, nn.SmoothL1Loss(), (X[:13], 0.2 * VECTORS)),
    "KL, batch mean": (
        lambda: Functional(lambda h: F.log_softmax(h, 1)),
        nn.KLDivLoss(reduction="batchmean"),
        (X[:13], torch.softmax(VECTORS, 1)),
    ),
}


@pytest.mark.parametrize("name", HARD)
def test_layers_and_losses_that_torch_differentiates_reluctantly(name):
    make, loss, (x, y) = HARD[name]
    net = nets.Network(make(), loss, (x, y), chunk=5)
    rows = per_sample_gradients(make(), loss, x, y)
    centred = rows - rows.mean(0)
    D = centred.T @ centred / len(x)
    np.testing.assert_allclose(net.gradient(), rows.mean(0), atol=1e-12)
    np.testing.assert_allclose(net.noise().dense(), D, atol=1e-12)
    assert net.noise().trace() == pytest.approx(np.trace(D), rel=1e-10)
    v = np.random.default_rng(7).normal(size=net.dim)
    np.testing.assert_allclose(net.noise() @ v, D @ v, atol=1e-11)
    w = net.weights.numpy()
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


def test_without_second_derivatives_gradients_remain():
    net = nets.Network(Functional(Once.apply), cross_entropy, (X, Y))
    squared = nets.Network(Functional(torch.square), cross_entropy, (X, Y))
    np.testing.assert_allclose(net.gradient(), squared.gradient(), atol=1e-14)
    with pytest.raises(ValueError, match="without second derivatives"):
        net.hessian() @ np.ones(net.dim)


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


def test_buffers_are_those_of_the_time_the_network_was_made():
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double().eval()
    net = nets.Network(model, nn.CrossEntropyLoss(), (X, Y))
    before = net.value()
    model[1].running_mean.add_(1.0)
    assert net.value() == before
