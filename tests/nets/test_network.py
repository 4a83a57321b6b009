"""What a Network accepts, refuses, and leaves alone."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset, WeightedRandomSampler

from sgdyn import nets
from tests.nets import models

X, Y = models.data()


def test_tensors_arrays_data_sets_and_loaders_give_the_same_network():
    plain = models.network()
    sources = (
        (X.numpy(), Y.numpy()),
        TensorDataset(X, Y),
        DataLoader(TensorDataset(X, Y), batch_size=7),
        DataLoader(TensorDataset(X, Y), batch_size=7, shuffle=True),
    )
    for source in sources:
        other = nets.Network(models.mlp(), nn.CrossEntropyLoss(), source, 0.01)
        np.testing.assert_allclose(other.gradient(), plain.gradient(), atol=1e-13)
        assert other.n == 101


def test_losses_can_be_modules_or_functions_of_each_sample():
    plain = models.network()
    for loss in (
        nn.CrossEntropyLoss(reduction="none"),
        lambda output, y: nn.functional.cross_entropy(output, y, reduction="none"),
    ):
        assert nets.Network(models.mlp(), loss, (X, Y), 0.01).value() == pytest.approx(plain.value(), rel=1e-13)
    target = torch.randn(101, 3, dtype=torch.float64)
    found = nets.Network(models.mlp(), nn.MSELoss(), (X, target)).value()
    assert found == pytest.approx(nn.MSELoss()(models.mlp()(X), target).item(), rel=1e-12)


def test_the_model_is_left_as_it_was():
    model = models.mlp()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = [p.detach().clone() for p in model.parameters()]
    state = torch.random.get_rng_state()
    model.train()
    net = nets.Network(model, nn.CrossEntropyLoss(), (X, Y), 0.01)
    space = net.minimize().subspace(3)
    nets.train(net, steps=5, lr=0.1, batch=4, record=space, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert (
        model.training
        and torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
        and torch.equal(state, torch.random.get_rng_state())
    )


def test_frozen_parameters_are_no_coordinates():
    model = models.mlp()
    model[0].requires_grad_(False)
    assert nets.Network(model, nn.CrossEntropyLoss(), (X, Y)).dim == sum(p.numel() for p in model[2].parameters())


def test_batch_norm_in_evaluation_mode_is_accepted():
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double().eval()
    assert nets.Network(model, nn.CrossEntropyLoss(), (X, Y)).value() > 0


class Augmented(torch.utils.data.Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, i):
        return X[i] + 0.1 * torch.randn(5, dtype=torch.float64), Y[i]


class Peeking(nn.Module):
    """A batch norm written by hand, which no class check finds."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 3).double()

    def forward(self, x):
        return self.linear(x - x.mean(0, keepdim=True))


BAD = [
    (
        nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double(),
        nn.CrossEntropyLoss(),
        (X, Y),
        "train mode",
    ),
    (nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.5)).double(), nn.CrossEntropyLoss(), (X, Y), "model.eval"),
    (Peeking(), nn.CrossEntropyLoss(), (X, Y), "depends on the other samples"),
    (models.mlp(), nn.CrossEntropyLoss(reduction="sum"), (X, Y), "expected the mean"),
    (models.mlp(), nn.CrossEntropyLoss(weight=torch.ones(3).double()), (X, Y), "class weights"),
    (models.mlp(), lambda output, y: nn.functional.cross_entropy(output, y), (X, Y), "one number a sample"),
    (models.mlp(), nn.CrossEntropyLoss(), (X, Y[:-1]), "equal numbers"),
    (models.mlp(), nn.CrossEntropyLoss(), (X * float("nan"), Y), "NaN"),
    (models.mlp(), nn.CrossEntropyLoss(), Augmented(), "two reads"),
    (
        models.mlp(),
        nn.CrossEntropyLoss(),
        DataLoader(TensorDataset(X, Y), sampler=WeightedRandomSampler(torch.ones(101), 101)),
        "each sample once",
    ),
    (
        models.mlp(),
        nn.CrossEntropyLoss(),
        DataLoader(TensorDataset(X, Y), sampler=RandomSampler(X, replacement=True)),
        "each sample once",
    ),
]


@pytest.mark.parametrize("index", range(len(BAD)))
def test_what_would_be_silently_wrong_is_refused(index):
    model, loss, source, message = BAD[index]
    with pytest.raises(ValueError, match=message):
        nets.Network(model, loss, source)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((lambda x: x, nn.CrossEntropyLoss(), (X, Y)), "torch.nn.Module"), ((models.mlp(), "cross entropy", (X, Y)), "expected an nn loss"),
        ((models.mlp(), nn.CrossEntropyLoss(), X), "expected"),
    ],
)  # fmt: skip
def test_wrong_types_are_named(arguments, message):
    with pytest.raises(TypeError, match=message):
        nets.Network(*arguments)
