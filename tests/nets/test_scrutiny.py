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
from tests.nets.models import Functional, cross_entropy

X, Y = models.data()
BINARY = torch.tensor(np.random.default_rng(2).integers(0, 2, 101), dtype=torch.float64)


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
        r"type x.to\(torch.float64\) or",
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


def test_buffers_are_those_of_the_time_the_network_was_made():
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double().eval()
    net = nets.Network(model, nn.CrossEntropyLoss(), (X, Y))
    before = net.value()
    model[1].running_mean.add_(1.0)
    assert net.value() == before
