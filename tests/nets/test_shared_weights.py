"""Weights that several layers share, units of noise, frozen weights, outputs of one number, low precision."""

import numpy as np
import pytest
import torch
from torch import nn

import sgdyn as sg
from sgdyn import nets
from tests.nets import models
from tests.nets.models import cross_entropy
from tests.nets.test_derivatives import per_sample_gradients
from tests.nets.test_operators import close

X, Y = models.data()
NUMBERS = torch.tensor(np.random.default_rng(1).integers(0, 9, (101, 4)))
LABELS = NUMBERS[:, 0].clone()


class Tied(nn.Module):
    """Decodes with the weight that it embeds with, as language models do."""

    def __init__(self, first="words"):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.out = nn.Embedding(9, 4, padding_idx=0), nn.Linear(4, 9)
        if first == "out":  # the weight is then known by the decoder's name
            self.words, self.out = None, nn.Linear(4, 9)
            self.words = nn.Embedding(9, 4, padding_idx=0)
        with torch.no_grad():
            self.words.weight.copy_(torch.randn(9, 4))
        self.out.weight = self.words.weight
        self.double()

    def forward(self, numbers):
        return self.out(torch.tanh(self.words(numbers)).mean(1))


@pytest.mark.parametrize("first", ["words", "out"])
def test_a_decoder_moves_the_rows_that_the_embedding_keeps(first):
    model = Tied(first)
    rows = per_sample_gradients(model, cross_entropy, NUMBERS, LABELS)
    net = nets.Network(model, cross_entropy, (NUMBERS, LABELS), chunk=32)
    close(net.gradient(), rows.mean(0))
    D, v = np.cov(rows.T, bias=True), np.random.default_rng(0).normal(size=net.dim)
    close(net.noise() @ v, D @ v)
    H = np.stack([net.hessian() @ unit for unit in np.eye(net.dim)])
    close(H, H.T)
    padded = net.places()[next(iter(net.places()))]
    moved = v.copy()
    moved[padded.start : padded.start + 4] = (
        0.0  # of the row for padding the embedding has no derivative, differences would
    )
    ahead, behind = (net.at(net.weights.numpy() + sign * 1e-6 * moved) for sign in (1, -1))
    np.testing.assert_allclose((ahead.gradient() - behind.gradient()) / 2e-6, H @ moved, atol=1e-7)
    close(net.block("out.bias").hessian() @ v[-9:], H[-9:, -9:] @ v[-9:])
    assert np.abs(rows.mean(0)[padded][:4]).max() > 1e-3


def test_fisher_matrices_of_means_over_several_labels_are_true():
    """E g g' by draws from the model itself, for losses that average three labels of a sample."""
    torch.manual_seed(3)
    model = nn.Linear(5, 3).double()
    x = torch.randn(40, 5, dtype=torch.float64)
    y = (torch.randn(40, 3) > 0).double()
    for loss in (nn.BCEWithLogitsLoss(), nn.PoissonNLLLoss()):
        net = nets.Network(model, loss, (x, y))
        exact = np.trace(net.fisher().dense())
        found = [np.trace(net.fisher("monte carlo", draws=50, seed=seed).dense()) for seed in range(8)]
        assert np.mean(found) == pytest.approx(exact, abs=4.5 * np.std(found) / np.sqrt(7))
        assert np.trace(net.gauss_newton().dense()) == pytest.approx(3 * exact)
    tokens = nn.Sequential(nn.Linear(5, 12), nn.Unflatten(1, (3, 4))).double()
    net = nets.Network(tokens, nn.CrossEntropyLoss(), (x, torch.randint(0, 3, (40, 4))))
    found = [np.trace(net.fisher("monte carlo", draws=50, seed=seed).dense()) for seed in range(8)]
    assert np.mean(found) == pytest.approx(np.trace(net.fisher().dense()), abs=4.5 * np.std(found) / np.sqrt(7))


def test_outputs_may_be_one_number_a_sample():
    model = nn.Sequential(nn.Linear(5, 1), nn.Flatten(0)).double()
    net = nets.Network(model, nn.MSELoss(), (X, torch.zeros(101, dtype=torch.float64)))
    J = net.jacobian()
    assert J.shape == (101, 6)
    np.testing.assert_allclose(J.dense() @ np.ones(6), J @ np.ones(6), rtol=1e-10)


def test_what_no_single_sample_has_a_gradient_for_is_refused():
    model = nn.Sequential(nn.Embedding(9, 4, scale_grad_by_freq=True), nn.Flatten(), nn.Linear(16, 3)).double()
    with pytest.raises(ValueError, match="scale_grad_by_freq"):
        nets.Network(model, cross_entropy, (NUMBERS, Y))
    model = nn.Linear(X.shape[1], 3).double()
    model.phase = nn.Parameter(torch.zeros(2, dtype=torch.complex128))
    with pytest.raises(ValueError, match="complex"):
        nets.Network(model, cross_entropy, (X, Y))

    class Mixing(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(X.shape[1], 3)

        def forward(self, x):
            z = self.out(x)
            return z - 2 * z.mean(0)

    with pytest.raises(ValueError, match="depends on the other samples"):
        nets.Network(Mixing().bfloat16(), cross_entropy, (X.bfloat16(), Y))


def test_errors_of_whole_matrices_are_those_of_the_precision():
    single = models.network().weights.float()
    narrow = nets.Network(models.mlp().float(), cross_entropy, (X.float(), Y), weight_decay=0.01)
    wide = nets.Network(models.mlp().float().double(), cross_entropy, (X.float().double(), Y), weight_decay=0.01)
    assert single.dtype == torch.float32
    for matrix in ("hessian", "noise"):
        found, exact = (getattr(net, matrix)().top(3, method="dense") for net in (narrow, wide))
        assert np.all(np.abs(found.values - exact.values) < 4 * np.maximum(found.residuals, found.floor))
        assert found.floor > 1e-8 * found.values[0] > 1e3 * exact.floor


class Reader(nn.Module):
    """A causal reader: the output at a place knows the places before."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.mix, self.out = nn.Embedding(9, 4), nn.Linear(4, 4), nn.Linear(4, 9)
        self.double()

    def forward(self, numbers):
        h = self.words(numbers)
        return self.out(torch.tanh(self.mix(h).cumsum(1) + h)).transpose(1, 2)


def test_tokens_may_be_the_units_of_noise():
    """(1/M) sum over the tokens that count of g g' - mean mean', against a backward pass each."""
    model, x, y = Reader(), NUMBERS[:13], NUMBERS[:13].roll(-1, 1).clone()
    y[0, 1] = y[5, 3] = -100
    losses = nn.functional.cross_entropy(model(x), y, reduction="none")
    parameters = list(model.parameters())
    rows = []
    for i, j in torch.nonzero(y != -100).tolist():
        slopes = torch.autograd.grad(losses[i, j], parameters, retain_graph=True)
        rows.append(torch.cat([part.reshape(-1) for part in slopes]).numpy())
    rows = np.array(rows)
    net = nets.Network(model, nn.CrossEntropyLoss(), (x, y), unit="token", chunk=7)
    assert net.n == len(rows) == 50
    close(net.gradient(), rows.mean(0))
    close(net.noise().dense(), np.cov(rows.T, bias=True))
    close(net.noise(ghosts=False) @ rows[0], np.cov(rows.T, bias=True) @ rows[0])
    assert net.value() == pytest.approx(float(losses.sum().detach()) / 50)
    with pytest.raises(ValueError, match="unit"):
        nets.Network(model, nn.CrossEntropyLoss(), (x, y), unit="word")
    with pytest.raises(ValueError, match=r"samples, places"):
        nets.Network(models.mlp(), cross_entropy, (X, Y), unit="token")


def test_what_the_model_becomes_later_changes_nothing():
    model = models.mlp()
    frozen = next(iter(model.parameters()))
    frozen.requires_grad_(False)
    net = nets.Network(model, cross_entropy, (X, Y), device="cpu")
    before = net.value()
    with torch.no_grad():
        frozen.add_(1.0)
    assert net.value() == before != net.now().value()


def test_rounding_of_small_noise_about_a_large_mean_is_said():
    """Inputs that hardly differ: tr D is 1e-7 of the squared mean gradient, as much as single precision rounds."""
    x = (1.0 + 1e-4 * X).float()
    model = nn.Linear(X.shape[1], 3).float()
    narrow = nets.Network(model, nn.MSELoss(), (x, torch.zeros(101, 3)))
    wide = nets.Network(model.double(), nn.MSELoss(), (x.double(), torch.zeros(101, 3, dtype=torch.float64)))
    exact = wide.noise().trace().value
    for ghosts in (True, False):
        found, parts = narrow.noise(ghosts=ghosts).trace(), narrow.noise(ghosts=ghosts).diag()
        assert abs(found.value - exact) < 3 * found.error
        assert np.all(np.abs(parts.value - wide.noise().diag().value) < 4 * parts.error + 1e-12)


def test_starts_and_operators_that_make_no_sense_are_refused():
    A = np.diag(np.arange(600.0))
    with pytest.raises(ValueError, match="add up to zero"):
        sg.SymmetricOperator(A).top(3, start=np.zeros(600))
    with pytest.raises(ValueError, match="most"):
        sg.SymmetricOperator(A).top(3, most=0)
    with pytest.raises(ValueError, match="complex"):
        sg.SymmetricOperator(np.array([[1.0, 1j], [-1j, 2.0]]))


class Quantised(nn.Module):
    """Rounds its hidden layer and lets gradients pass straight through."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.o = nn.Linear(5, 4), nn.Linear(4, 3)
        self.double()

    def forward(self, x):
        h = torch.tanh(self.a(x))
        return self.o(h + (torch.round(4 * h) / 4 - h).detach())


class Functional(nn.Module):
    """Looks words up without a layer, with a row for padding."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.weight, self.out = nn.Parameter(torch.randn(9, 4)), nn.Linear(4, 3)
        self.double()

    def forward(self, numbers):
        return self.out(torch.tanh(nn.functional.embedding(numbers, self.weight, padding_idx=0)).mean(1))


@pytest.mark.parametrize(
    ("make", "x", "refused"),
    [(Quantised, X, "without second derivatives"), (Functional, NUMBERS, "stops gradients")],
    ids=["straight through", "padding without a layer"],
)
def test_stopped_gradients_have_noise_but_no_products(make, x, refused):
    """D by backward passes is that of the gradients as they are; torch's forward mode would see through the stop, so products are refused."""
    model = make()
    rows = per_sample_gradients(model, cross_entropy, x, Y)
    net = nets.Network(model, cross_entropy, (x, Y))
    close(net.noise().dense(), np.cov(rows.T, bias=True))
    with pytest.raises(ValueError, match=refused):
        net.noise(ghosts=False) @ rows[0]


def test_stopped_gradients_have_no_hessian():
    with pytest.raises(ValueError, match="without second derivatives"):
        net = nets.Network(Quantised(), cross_entropy, (X, Y))
        net.hessian() @ np.ones(net.dim)
