"""D and H of networks against dense references in double precision and against closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import sgdyn as sg
from sgdyn import nets
from tests.nets import models

ARCHITECTURES = {"mlp": models.mlp, "convolution": models.convolutional, "attention": models.Transformerish}


@pytest.fixture(params=ARCHITECTURES)
def case(request, device):
    model = ARCHITECTURES[request.param]()
    x, y = models.data()
    expected = models.dense(model, nn.functional.cross_entropy, x, y, 0.01)
    return models.network(model.to(device)), expected


def close(found, expected, tolerance=1e-10):
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max(), rtol=0)


def test_operators_equal_the_dense_reference(case, rng):
    net, (H, D, g) = case
    v = rng.normal(size=(net.dim, 3))
    close(net.gradient(), g)
    close(net.hessian() @ v[:, 0], H @ v[:, 0])
    close(net.hessian() @ v, H @ v)
    close(net.hessian().dense(), H)
    close(net.noise() @ v[:, 0], D @ v[:, 0])
    close(net.noise() @ v, D @ v)
    close(net.noise().dense(), D)
    assert net.noise().trace().value == pytest.approx(np.trace(D), rel=1e-10)
    close(net.noise().projected(v), v.T @ D @ v)


@pytest.mark.parametrize("method", ["dense", "gram", "lanczos"])
def test_top_eigenpairs_of_the_noise_agree_by_every_route(case, method):
    net, (_, D, _) = case
    found = net.noise(method).top(5)
    values, _ = np.linalg.eigh(D)
    close(found.values, values[::-1][:5])
    np.testing.assert_allclose(
        np.linalg.norm(D @ found.vectors - found.vectors * found.values, axis=0),
        found.residuals,
        atol=1e-7 * values[-1],
    )
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(5), atol=1e-8)
    assert found.method == method


@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_top_eigenpairs_of_the_hessian_agree_by_every_route(case, method):
    net, (H, _, _) = case
    found = net.hessian().top(4, method=method)
    close(found.values, np.linalg.eigvalsh(H)[::-1][:4])
    assert found.residuals.max() < 1e-7 * found.values[0]


@pytest.mark.slow
def test_two_thousand_parameters_and_a_data_set_that_no_batch_divides():
    """The bar of the first issue: p about 2000, N = 257, chunks of 64."""
    x, y = models.data(257, 64, 10)
    model = models.mlp((64, 26, 10))
    net = nets.Network(model, nn.CrossEntropyLoss(), (x, y), 0.01, chunk=64)
    assert net.dim == 1960
    H, D, g = models.dense(model, nn.functional.cross_entropy, x, y, 0.01)
    close(net.gradient(), g)
    close(net.hessian().top(10).values, np.linalg.eigvalsh(H)[::-1][:10])
    for method in ("dense", "gram", "lanczos"):
        close(net.noise(method).top(10).values, np.linalg.eigvalsh(D)[::-1][:10])
    v = np.random.default_rng(0).normal(size=1960)
    close(net.hessian() @ v, H @ v)
    close(net.noise() @ v, D @ v)


def softmax_closed_form(x, y, W, b, weight_decay):
    """H and D of softmax regression in the order of nn.Linear: weight (classes, d), then bias."""
    n, classes = len(x), len(b)
    z = np.hstack([x, np.ones((n, 1))])
    logits = z @ np.hstack([W, b[:, None]]).T
    P = np.exp(logits - logits.max(1, keepdims=True))
    P /= P.sum(1, keepdims=True)
    rows = (P - np.eye(classes)[y])[:, :, None] * z[:, None, :]
    blocks = np.einsum("na,ab,ni,nj->aibj", P, np.eye(classes), z, z) - np.einsum("na,nb,ni,nj->aibj", P, P, z, z)
    d = x.shape[1]
    order = np.concatenate(
        [np.arange(classes * (d + 1)).reshape(classes, d + 1)[:, :d].ravel(), np.arange(classes) * (d + 1) + d]
    )
    rows = rows.reshape(n, -1)[:, order]
    H = blocks.reshape(classes * (d + 1), -1)[np.ix_(order, order)] / n + weight_decay * np.eye(classes * (d + 1))
    centred = rows - rows.mean(0)
    return H, centred.T @ centred / n


def test_softmax_regression_has_its_closed_forms():
    x, y = models.data(53, 4, 3)
    model = models.mlp((4, 3))
    net = nets.Network(model, nn.CrossEntropyLoss(), (x, y), 0.02, chunk=16)
    H, D = softmax_closed_form(
        x.numpy(), y.numpy(), model[0].weight.detach().numpy(), model[0].bias.detach().numpy(), 0.02
    )
    close(net.hessian().dense(), H, 1e-12)
    close(net.noise().dense(), D, 1e-12)
    v = np.random.default_rng(0).normal(size=net.dim)
    close(net.hessian() @ v, H @ v, 1e-12)
    close(net.noise() @ v, D @ v, 1e-12)


def test_linear_regression_has_its_closed_forms():
    """Squared error: H = (2/m) Z'Z/N for each of the m outputs."""
    x = models.data(40, 3)[0]
    y = torch.tensor(np.random.default_rng(5).normal(size=(40, 2)))
    net = nets.Network(models.mlp((3, 2)), nn.MSELoss(), (x, y), chunk=13)
    z = np.hstack([x.numpy(), np.ones((40, 1))])
    expected = np.kron(np.eye(2), z.T @ z / 40)
    order = np.concatenate([np.array([0, 1, 2, 4, 5, 6]), [3, 7]])
    close(net.hessian().dense(), expected[np.ix_(order, order)], 1e-12)


def test_centring_and_sampling_covariances_are_right(rng):
    """Weight decay drops out of D; batch gradients have the covariance D/B, times (N - B)/(N - 1) without replacement."""
    net = models.network(weight_decay=0.0)
    close(models.network(weight_decay=5.0).noise().dense(), net.noise().dense(), 1e-12)
    v = rng.normal(size=net.dim)
    shares = net.noise().coordinates(v[:, None])[:, 0]
    exact = v @ net.noise().dense() @ v
    assert np.mean(shares**2) == pytest.approx(exact, rel=1e-10) and abs(shares.mean()) < 1e-12
    with_replacement = shares[rng.integers(0, 101, (40_000, 20))].mean(1)
    without = shares[rng.permuted(np.tile(np.arange(101), (40_000, 1)), axis=1)[:, :20]].mean(1)
    assert with_replacement.var() == pytest.approx(exact / 20, rel=0.03)
    assert without.var() == pytest.approx(exact / 20 * 81 / 100, rel=0.03)


def test_the_order_of_the_data_and_the_size_of_the_chunks_do_not_matter():
    x, y = models.data()
    order = torch.randperm(101, generator=torch.Generator().manual_seed(0))
    one = nets.Network(models.mlp(), nn.CrossEntropyLoss(), (x, y), chunk=101)
    other = nets.Network(models.mlp(), nn.CrossEntropyLoss(), (x[order], y[order]), chunk=7)
    close(other.noise().dense(), one.noise().dense(), 1e-12)
    close(other.hessian().dense(), one.hessian().dense(), 1e-12)


def test_single_precision_is_as_good_as_single_precision_can_be():
    x, y = models.data()
    net = nets.Network(models.mlp().float(), nn.CrossEntropyLoss(), (x.float(), y))
    H, D, _ = models.dense(models.mlp(), nn.functional.cross_entropy, x, y)
    close(net.noise().dense(), D, 1e-5)
    close(net.hessian().top(3, method="lanczos").values, np.linalg.eigvalsh(H)[::-1][:3], 1e-5)


def test_lanczos_says_when_it_cannot_finish():
    net = models.network()
    with pytest.raises(sg.NotConvergedError, match="residual"):
        net.hessian().top(10, method="lanczos", most=12)


def test_the_subspace_carries_what_the_operators_say():
    net = models.network().minimize()
    space = net.subspace(6)
    H, D = net.hessian().dense(), net.noise().dense()
    close(space.H, space.basis.T @ H @ space.basis)
    close(space.D, space.basis.T @ D @ space.basis)
    assert space.leakage.max() < 1e-6 * space.H.max() and space.gradient < 1e-7
    x = np.random.default_rng(0).normal(size=(3, 6))
    np.testing.assert_allclose(space.project(space.embed(x)), x, atol=1e-12)
    basis = np.random.default_rng(1).normal(size=(net.dim, 2))
    other = net.subspace(basis=basis)
    np.testing.assert_allclose(other.basis @ other.basis.T @ basis, basis, atol=1e-12)
    assert other.leakage.max() > 1e-3


def test_the_local_model_is_the_process_of_the_subspace():
    net = models.network().minimize()
    space = net.subspace(4)
    process = net.local_model(4, lr=0.1, batch=8)
    np.testing.assert_allclose(process.U.hess(np.zeros(4)), space.H)
    np.testing.assert_allclose(process.D(np.zeros(4)), space.D, atol=1e-14)
    assert process.T == pytest.approx(0.1 / 16)
    assert isinstance(net.local_model(4, lr=0.1, batch=8, momentum=0.9), sg.Momentum)
    x, y = models.data()
    direct = nets.local_model(models.mlp(), nn.CrossEntropyLoss(), (x, y), k=4, lr=0.1, batch=8, weight_decay=1.0)
    assert isinstance(direct, sg.Langevin)


def test_minimize_reaches_the_minimum_of_a_convex_loss():
    x, y = models.data(60, 4, 3)
    net = nets.Network(models.mlp((4, 3)), nn.CrossEntropyLoss(), (x, y), 0.1).minimize(tolerance=1e-10)
    assert np.linalg.norm(net.gradient()) <= 1e-10
    from_elsewhere = net.at(np.random.default_rng(0).normal(size=net.dim)).minimize(tolerance=1e-10)
    np.testing.assert_allclose(from_elsewhere.weights, net.weights, atol=1e-8)


def symmetric_network(weight_decay=0.01):
    """All weights zero: a saddle by symmetry."""
    model = nn.Sequential(nn.Linear(4, 5, bias=False), nn.Tanh(), nn.Linear(5, 2)).double()
    for part in model.parameters():
        nn.init.zeros_(part)
    x = models.data(60, 4)[0]
    return nets.Network(model, nn.CrossEntropyLoss(), (x, (x[:, 0] + x[:, 1] > 0).long()), weight_decay)


def test_minimize_leaves_saddles():
    net = symmetric_network()
    assert net.hessian().lowest()[0] < -0.1
    found = net.minimize()
    assert np.linalg.norm(found.gradient()) <= 1e-8
    assert np.linalg.eigvalsh(found.hessian().dense())[0] > 0 and found.value() < net.value() - 0.1


def test_the_lowest_eigenvalue_is_found_by_products_too(monkeypatch):
    net = symmetric_network()
    values = np.linalg.eigvalsh(net.hessian().dense())
    monkeypatch.setattr(nets.Hessian, "DENSE", 0)
    value, vector, scale = net.hessian().lowest()
    assert value == pytest.approx(values[0], rel=1e-6) and scale == pytest.approx(np.abs(values).max(), rel=1e-6)
    np.testing.assert_allclose(net.hessian() @ vector, value * vector, atol=1e-6)
    assert np.linalg.eigvalsh(net.minimize().hessian().dense())[0] > 0


def test_a_saddle_has_no_local_model():
    net = symmetric_network(0.5)
    space = net.at(np.zeros(net.dim)).subspace(2)
    assert space.lowest == pytest.approx(np.linalg.eigvalsh(net.hessian().dense())[0])
    bent = replace(space, lowest=-space.H[0, 0])
    for model in (bent.local_model, bent.discrete_model):
        with pytest.raises(ValueError, match=r"saddle.*minimize\(\)"):
            model(lr=0.1, batch=8)
    assert replace(bent, lowest=0.0).local_model(lr=0.1, batch=8).T > 0


def test_gram_eigenvectors_beyond_the_rank_are_orthonormal_null_vectors():
    x, y = models.data(6)
    net = nets.Network(models.mlp(), nn.CrossEntropyLoss(), (x.repeat(4, 1), y.repeat(4)), chunk=5)
    found, D = net.noise("gram").top(9), net.noise().dense()
    close(found.values, np.linalg.eigvalsh(D)[::-1][:9])
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(9), atol=1e-10)
    residuals = np.linalg.norm(D @ found.vectors - found.vectors * found.values, axis=0)
    assert max(residuals.max(), found.residuals.max()) < 1e-10 * found.values[0]


@pytest.mark.gpu
def test_the_same_numbers_come_from_a_gpu():
    x, y = models.data()
    here = models.network()
    there = nets.Network(models.mlp().cuda(), nn.CrossEntropyLoss(), (x, y), 0.01, chunk=32)
    assert there.weights.is_cuda
    close(there.noise().dense(), here.noise().dense())
    close(there.hessian().top(4, method="lanczos").values, here.hessian().top(4).values)
    close(there.noise("lanczos").top(4).values, here.noise().top(4).values)
    space = there.subspace(4)
    run = nets.train(there, steps=20, lr=0.05, batch=8, replicas=3, record=space, seed=1)
    close(run.x, nets.train(here, steps=20, lr=0.05, batch=8, replicas=3, record=space, seed=1).x, 1e-8)
