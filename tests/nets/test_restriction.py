"""The loss and the noise of real networks on affine subspaces: against dense references, and through the solvers."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import sgdyn as sg
from sgdyn import nets
from sgdyn.nets.norms import PlainNorms
from sgdyn.nets.restriction import Restriction, subsample
from tests.nets import models
from tests.nets.test_curvature import ARCHITECTURES

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def orthonormal(dim, k, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, k)))[0]


def differences(function, x, step=1e-5):
    """Central differences along the coordinates, the new axis last."""
    k = x.shape[-1]
    return np.stack([(function(x + step * e) - function(x - step * e)) / (2 * step) for e in np.eye(k)], -1)


def moved(model, weights):
    other = copy.deepcopy(model)
    nn.utils.vector_to_parameters(torch.tensor(weights), other.parameters())
    return other


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_values_and_derivatives_are_those_of_dense_matrices(name, rng):
    """At several points at once, 101 samples in chunks of 32, weight decay included."""
    model = ARCHITECTURES[name]()
    net = models.network(model)
    V, w = orthonormal(net.dim, 3), net.weights.numpy()
    here = Restriction(net, V)
    x = 0.5 * rng.normal(size=(2, 3, 3))
    U, g, H, D = here.value(x), here.gradient(x), here.hessian(x), here.covariance(x)
    for at in ((1, 2),):
        there = w + V @ x[at]
        hessian, noise, slope = models.dense(moved(model, there), nn.CrossEntropyLoss(), *models.data(), 0.01)
        np.testing.assert_allclose(U[at], net.at(there).value(), rtol=1e-13)
        np.testing.assert_allclose(g[at], V.T @ slope, atol=1e-13)
        np.testing.assert_allclose(H[at], V.T @ hessian @ V, atol=1e-12)
        np.testing.assert_allclose(D[at], V.T @ noise @ V, atol=1e-12)
    expected = np.einsum("nijj->ni", differences(here.covariance, x[0]))
    np.testing.assert_allclose(here.divergence(x[0]), expected, atol=1e-9)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_third_derivatives_and_linear_noise(name):
    """Against differences of exact second derivatives and of D; layer norm is wrong in torch unless it is taken apart."""
    net = models.network(ARCHITECTURES[name]())
    V = orthonormal(net.dim, 3)
    here, center = Restriction(net, V), np.zeros(3)
    C, asymmetry = sg.nets.expansion.third_derivatives(here)
    np.testing.assert_allclose(C, differences(here.hessian, center, 1e-4), atol=2e-9)
    assert asymmetry < 1e-15
    D = sg.nets.expansion.linear_noise(here)
    np.testing.assert_allclose(D(center), here.covariance(center), atol=1e-15)
    np.testing.assert_allclose(D.divergence(center), here.divergence(center), atol=1e-15)
    np.testing.assert_allclose(differences(D, center), differences(here.covariance, center), atol=1e-9)


def test_third_derivatives_are_those_of_forward_mode_three_times():
    net = models.network(chunk=128)
    here = Restriction(net, orthonormal(net.dim, 2))
    loss = net.of_weights(net.x, net.y)
    third = torch.func.jacfwd(torch.func.jacfwd(torch.func.jacfwd(lambda x: loss(net.weights + x @ here.basis).mean())))
    expected = third(torch.zeros(2, dtype=torch.float64)).numpy()
    np.testing.assert_allclose(sg.nets.expansion.third_derivatives(here)[0], expected, atol=1e-15)


def test_linear_noise_is_exact_for_linear_models_and_positive_everywhere(rng):
    """The gradients of least squares are linear in the weights; in many dimensions by NumPy, in few compiled: the same."""
    x, y = torch.tensor(rng.normal(size=(40, 6))), torch.tensor(rng.normal(size=(40, 1)))
    net = nets.Network(nn.Linear(6, 1, bias=False).double(), nn.MSELoss(), (x, y))
    for k in (2, 6):
        space = net.subspace(k, basis=orthonormal(6, k))
        linear, exact, points = space.noise("linear"), space.noise("exact"), 100 * rng.normal(size=(5, k))
        np.testing.assert_allclose(linear(points), exact(points), rtol=1e-9, atol=1e-7)
        np.testing.assert_allclose(linear.divergence(points), exact.divergence(points), rtol=1e-9, atol=1e-9)
        assert np.linalg.eigvalsh(linear(points)).min() > 0
        assert not np.any(space.cubic().C)
        assert space.cubic().radius == np.inf


def test_layers_that_vmap_refuses_are_evaluated_one_by_one(rng):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.cells, self.out = nn.GRU(1, 3, batch_first=True), nn.Linear(3, 3)
            self.double()

        def forward(self, x):
            return self.out(self.cells(x[..., None])[0][:, -1])

    net = models.network(Recurrent())
    V, x = orthonormal(net.dim, 2), 0.3 * rng.normal(size=(3, 2))
    here = Restriction(net, V)
    expected = [V.T @ net.at(net.weights.numpy() + V @ point).gradient() for point in x]
    np.testing.assert_allclose(here.gradient(x), expected, atol=1e-13)
    np.testing.assert_allclose(here.hessian(x), differences(here.gradient, x), atol=1e-9)


@pytest.mark.parametrize("device", DEVICES)
def test_single_precision_keeps_its_digits(device, rng):
    double = models.network()
    model = models.mlp().float().to(device)
    net = nets.Network(model, nn.CrossEntropyLoss(), models.data(), 0.01, chunk=32)
    V, x = orthonormal(net.dim, 2), 0.3 * rng.normal(size=(5, 2))
    one, two = Restriction(net, V), Restriction(double.at(net.weights.double().cpu().numpy()), V)
    for method in ("value", "gradient", "hessian", "covariance", "divergence"):
        np.testing.assert_allclose(getattr(one, method)(x), getattr(two, method)(x), atol=2e-6)
    C, _ = sg.nets.expansion.third_derivatives(one)
    np.testing.assert_allclose(C, sg.nets.expansion.third_derivatives(two)[0], atol=2e-6)


def test_few_bytes_give_the_same_numbers(rng):
    net = models.network()
    V, x = orthonormal(net.dim, 2), rng.normal(size=(7, 2))
    many, one = Restriction(net, V), Restriction(net, V, budget=1.0)
    for method in ("value", "gradient", "hessian", "covariance"):
        np.testing.assert_allclose(getattr(one, method)(x), getattr(many, method)(x), atol=1e-14)


def test_a_subsample_is_fixed_and_checked():
    net = models.network()
    part = subsample(net, 30, seed=1)
    assert part.n == 30
    assert torch.equal(part.x, subsample(net, 30, seed=1).x)
    assert part.value() == pytest.approx(subsample(net, np.array([0, 1]), 0).value(), rel=0.5)
    assert torch.equal(subsample(net, [3, 1]).x, net.x[[3, 1]])
    for wrong in (102, 1, [0, 0], [0, 101], [0.5, 1.0]):
        with pytest.raises(ValueError, match="expected at"):
            subsample(net, wrong)


@pytest.mark.parametrize(
    "layer",
    [nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.RMSNorm((4,)), nn.BatchNorm1d(4).eval(), nn.LayerNorm((4,), bias=False)],
    ids=lambda layer: type(layer).__name__ + str(len(list(layer.parameters()))),
)
def test_plain_norms_are_those_of_torch(layer):
    torch.manual_seed(0)
    layer = layer.double()
    for part in layer.parameters():
        nn.init.normal_(part)
    x = torch.randn(7, 4, dtype=torch.float64)
    expected = layer(x)
    with PlainNorms():
        torch.testing.assert_close(layer(x), expected, rtol=1e-13, atol=1e-13)
    assert layer(x).equal(expected)


class Bumpy(nn.Module):
    """f(x; a, b) whose mean squared loss has two wells along a."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(0.9)), nn.Parameter(torch.tensor(0.2))
        self.double()

    def forward(self, x):
        return self.a**2 * x[:, :1] + self.b * x[:, 1:]


@pytest.fixture(scope="module")
def wells():
    """Least squares of y = a² x_0 + b x_1: minima near a = -1, 1 with noise that depends on the weights."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 2))
    y = x[:, :1] + 0.3 * rng.normal(size=(200, 1))
    return nets.Network(Bumpy(), nn.MSELoss(), (torch.tensor(x), torch.tensor(y))).minimize()


@pytest.mark.slow
def test_critical_points_and_escape_on_the_real_loss(wells):
    """The potential of the network goes where every potential goes: wells, saddle, Kramers, string."""
    space = wells.subspace(basis=np.eye(2))
    U = space.potential()
    points = sg.critical_points(U, [(-2.6, 0.6), (-1, 1)], starts=8)
    assert len(points.minima) == 2
    assert len(points.saddles) == 1
    weights = space.embed(points.minima)
    np.testing.assert_allclose(weights[0, 0], -weights[1, 0], rtol=1e-8)
    assert space.embed(points.saddles)[0, 0] == pytest.approx(0.0, abs=1e-8)
    barrier = U(points.saddles[0]) - U(points.minima[0])
    assert float(sg.string(U, *points.minima).barrier) == pytest.approx(barrier, rel=1e-6)
    time = sg.kramers_time(sg.Langevin(U, barrier / 8), points.minima[0], points.saddles[0])
    h, s = U.hess(points.minima[0]), U.hess(points.saddles[0])
    lowest = np.linalg.eigvalsh(s)[0]
    expected = 2 * np.pi / -lowest * np.sqrt(-np.linalg.det(s) / np.linalg.det(h)) * np.exp(8)
    assert float(time) == pytest.approx(expected, rel=0.2)  # corrections of order T beside the leading term
