"""Gauss-Newton and Fisher matrices, Jacobians and Hessian graphs against dense references in double precision."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import sgdyn as sg
from sgdyn import nets
from sgdyn.nets.second_moments import SecondMoments
from tests.nets import models
from tests.nets.test_derivatives import per_sample_gradients
from tests.nets.test_operators import close

X, Y = models.data()
ARCHITECTURES = {"mlp": models.mlp, "convolution": models.convolutional, "attention": models.Transformerish}
TARGETS = torch.tensor(np.random.default_rng(7).normal(size=(101, 3)))


def jacobian(model, x):
    """Derivatives (N, outputs, p) of the outputs by plain backward passes."""
    z = model(x)
    rows = [torch.autograd.grad(part, list(model.parameters()), retain_graph=True) for part in z.flatten()]
    return torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in rows]).view(
        *z.shape, -1
    ).numpy(), z.detach().numpy()


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.fixture(params=ARCHITECTURES)
def case(request):
    """Network and dense J and G of the cross entropy: L = diag(p) - p p'."""
    model = ARCHITECTURES[request.param]()
    J, z = jacobian(model, X)
    P = softmax(z)
    L = P[:, :, None] * np.eye(3) - P[:, :, None] * P[:, None, :]
    return models.network(model), J, np.einsum("nap,nab,nbq->pq", J, L, J) / len(X)


def test_operators_equal_the_dense_reference(case, rng):
    net, J, G = case
    v, u = rng.normal(size=net.dim), rng.normal(size=(101, 3))
    close(net.gauss_newton() @ v, G @ v + 0.01 * v)
    close(net.gauss_newton().dense(), G + 0.01 * np.eye(net.dim))
    close(net.fisher() @ v, G @ v)
    close(net.jacobian() @ v, (J @ v).ravel())
    close(net.jacobian().T @ u.ravel(), np.einsum("nap,na->p", J, u))
    close(net.jacobian().dense(), J.reshape(303, -1))
    close(net.jacobian(2).dense(), J[:, 2])
    close(net.jacobian(1).T @ u[:, 1], J[:, 1].T @ u[:, 1])
    close(net.jacobian().tangent_kernel(), np.einsum("nap,mbp->namb", J, J).reshape(303, 303))
    close(net.jacobian().normal() @ v, np.einsum("nap,na->p", J, J @ v) / 101)


def test_every_operator_has_the_spectrum_of_its_matrix(case):
    """Top eigenvalues by products, traces, diagonals, log-determinants and ranks, on whole matrices and by products alone."""
    net, _, _ = case
    for operator in (net.hessian(), net.gauss_newton(), net.noise(), net.fisher("empirical")):
        matrix = operator.dense()
        values = np.linalg.eigvalsh(matrix)[::-1]
        close(operator.top(3, method="lanczos").values, values[:3])
        assert operator.trace().value == pytest.approx(values.sum(), rel=1e-10)
        close(operator.diag().value, np.diag(matrix))
        c = 0.1 / values[0]
        assert operator.logdet(c).value == pytest.approx(np.log1p(c * values).sum(), rel=1e-9)
        assert operator.effective_rank().value == pytest.approx(values.sum() ** 2 / (values**2).sum(), rel=1e-9)
        assert operator.density().count(values[4] * 0.999).value == 5
    square = net.jacobian().normal()
    close(square.top(3, method="lanczos").values, np.linalg.eigvalsh(square.dense())[::-1][:3])


def test_products_alone_give_sums_over_the_spectrum():
    """In double and in single precision, where the vectors are tensors."""
    for model in (models.mlp(), models.mlp().float()):
        net = nets.Network(model, nn.CrossEntropyLoss(), (X.to(model[0].weight.dtype), Y), 0.1)
        for operator in (net.hessian(), net.noise()):
            values = np.linalg.eigvalsh(operator.dense())
            found = operator.logdet(0.5, method="lanczos", probes=6, steps=20, head=3, negative="clip")
            assert found.agrees(np.log1p(0.5 * np.maximum(values, 0)).sum(), 6)
            assert operator.trace(method="hutch++", products=45).agrees(values.sum(), 6)
            assert operator.trace(method="xtrace", products=60).agrees(values.sum(), 6)


@pytest.mark.gpu
def test_the_same_matrices_come_from_a_gpu():
    here = models.network()
    there = nets.Network(models.mlp().cuda(), nn.CrossEntropyLoss(), models.data(), 0.01, chunk=32)
    for make in (
        nets.Network.gauss_newton, nets.Network.fisher, lambda n: n.jacobian().normal(), lambda n: n.noise(ghosts=True), lambda n: n.noise(ghosts=False),
        lambda n: n.hessian(products="graph"),
    ):  # fmt: skip
        close(make(there).dense(), make(here).dense())
        close(make(there).top(3, method="lanczos").values, make(here).top(3, method="lanczos").values)
    close(there.noise(ghosts=True).gram(), here.noise(ghosts=True).gram())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_kept_graph_gives_the_hessian(name, device):
    net = models.network(ARCHITECTURES[name]().to(device))
    v = np.random.default_rng(0).normal(size=net.dim)
    kept, plain = net.hessian(products="graph"), net.hessian(products="plain")
    close(kept @ v, plain @ v, 1e-12)
    assert kept._graph is not None and plain._graph is None
    auto = net.hessian()
    for _ in range(4):
        close(auto @ v, plain @ v, 1e-12)
    assert auto._graph is not None and net.hessian(budget=10.0)._graph is None
    assert "graph" in str(auto.plan()) and 0 < auto.graph_bytes < 1e7


def test_true_fisher_matrices_of_other_likelihoods():
    """Independent Bernoulli, normal (variance m/2 by the mean over m outputs) and Poisson labels; E g g' of a mean over three."""
    model = models.mlp()
    J, z = jacobian(model, X)
    cases = {
        nn.BCEWithLogitsLoss(): ((TARGETS > 0).double(), 1 / (1 + np.exp(-z)) / (1 + np.exp(z)) / 9),
        nn.MSELoss(): (TARGETS, np.full_like(z, 2 / 3)),
        nn.PoissonNLLLoss(): (TARGETS.abs().round(), np.exp(z) / 9),
    }
    for loss, (y, L) in cases.items():
        close(nets.Network(model, loss, (X, y)).fisher().dense(), np.einsum("nap,na,naq->pq", J, L, J) / 101)


def test_monte_carlo_fisher_matrices_are_true_on_average():
    """Cross entropy and squared error: the mean over seeds within its errors of the true one, along some directions."""
    for loss, y in ((nn.CrossEntropyLoss(), Y), (nn.MSELoss(), TARGETS)):
        net = nets.Network(models.mlp(), loss, (X, y))
        V = np.random.default_rng(1).normal(size=(net.dim, 4))
        samples = []
        for seed in range(40):
            found = net.fisher("monte carlo", draws=2, seed=seed)
            samples.append((found.coordinates(V) ** 2).mean(0))
        exact = np.einsum("pk,pk->k", V, net.fisher() @ V)
        assert sg.Estimate(np.mean(samples, 0), np.std(samples, 0) / np.sqrt(39), "seeds").agrees(exact, 4.5)
        again = net.fisher("monte carlo", draws=2, seed=39)
        assert torch.equal(again.labels, found.labels) and again.network.n == 202
        close(found @ V[:, 0], found.dense() @ V[:, 0])


def test_empirical_fisher_is_the_noise_and_the_mean(case):
    net, _, _ = case
    g = net.gradient() - 0.01 * net.weights.numpy()
    close(net.fisher("empirical").dense(), net.noise().dense() + np.outer(g, g))
    close(
        net.fisher("empirical", method="gram").top(4).values,
        np.linalg.eigvalsh(net.noise().dense() + np.outer(g, g))[::-1][:4],
    )


def test_samples_of_the_noise_have_its_covariance():
    """Batches with and without replacement, and normal vectors: along 3 directions, 4000 draws, errors of a covariance."""
    net = models.network()
    V = np.linalg.qr(np.random.default_rng(2).normal(size=(net.dim, 3)))[0]
    D = net.noise().projected(V)
    for replacement, factor in ((True, 1.0), (False, 81 / 100)):
        for gaussian in (False, True):
            found = net.noise().sample(4000, batch=20, replacement=replacement, gaussian=gaussian, directions=V, seed=3)
            expected = factor * D / 20
            errors = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / 4000)
            np.testing.assert_array_less(np.abs(np.cov(found.T, bias=True) - expected), 5 * errors)
            np.testing.assert_array_less(np.abs(found.mean(0)), 5 * np.sqrt(np.diag(expected) / 4000))
    whole, shares = (net.noise().sample(5, batch=4, seed=1, **option) for option in ({}, {"directions": V}))
    np.testing.assert_allclose(whole @ V, shares, atol=1e-13)
    np.testing.assert_allclose(net.noise().sample(3, batch=101, replacement=False, seed=0), 0.0, atol=1e-13)
    with pytest.raises(ValueError, match="batch <= n"):
        net.noise().sample(1, batch=102, replacement=False)


def test_normal_samples_have_exactly_the_covariance(monkeypatch):
    """The factor C of the normal vectors C z has C C' = D: with unit vectors for z."""
    net = models.network()

    class Units:
        def standard_normal(self, shape):
            return np.eye(101)

    monkeypatch.setattr(np.random, "default_rng", lambda *_: Units())
    C = net.noise().sample(101, gaussian=True).T
    monkeypatch.undo()
    close(C @ C.T, net.noise().dense())


def test_all_eigenvalues_come_from_the_gram_matrix():
    model = models.mlp((5, 40, 3))
    net = nets.Network(model, nn.CrossEntropyLoss(), (X, Y), chunk=32)
    rows = per_sample_gradients(model, nn.CrossEntropyLoss(), X, Y)
    expected = np.linalg.eigvalsh(np.cov(rows.T, bias=True))[::-1]
    density = net.noise("gram").density()
    assert len(density.known) == 100 and density.rest == net.dim - 100
    close(density.known, expected[:100])
    c = 1e3
    assert net.noise("gram").logdet(c).value == pytest.approx(np.log1p(c * expected[:100]).sum(), rel=1e-10)
    few = nets.Network(models.mlp((5, 3)), nn.CrossEntropyLoss(), (X, Y))
    assert few.noise("gram").density().rest == 0


def test_plans_explain_what_is_chosen(monkeypatch):
    from sgdyn.nets import moment_plans

    net = models.network()
    assert net.noise().plan().chosen == "dense" and "p = 66 <= 4096" in str(net.noise().plan())
    monkeypatch.setattr(moment_plans, "DENSE", 10)
    assert net.noise().plan().chosen == "gram" and "N = 101 <= 10000" in str(net.noise().plan())
    monkeypatch.setattr(moment_plans, "GRAM", 10)
    assert net.noise().plan().chosen == "lanczos" == net.noise().top(2).method
    assert net.noise("gram").plan().chosen == "gram"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: net.noise("svd"), "lanczos"),
        (lambda net: net.noise().top(3, method="svd"), "lanczos"),
        (lambda net: net.hessian(products="cached"), "graph"),
        (lambda net: net.fisher("exact"), "monte carlo"),
        (lambda net: net.jacobian(3), "counted from 0"),
        (lambda net: nets.Network(net.model, models.cross_entropy, (X, Y)).fisher(), "kind='empirical'"),
        (
            lambda net: nets.Network(net.model, nn.CrossEntropyLoss(label_smoothing=0.1), (X, Y)).fisher(),
            "label smoothing",
        ),
        (
            lambda net: nets.Network(net.model, nn.CrossEntropyLoss(), (X, F.softmax(TARGETS, 1))).fisher(),
            "class numbers",
        ),
        (lambda net: nets.Network(net.model, nn.HuberLoss(), (X, TARGETS)).fisher("monte carlo"), "likelihood"),
    ],
)
def test_wrong_calls_are_told_what_to_type(call, message):
    with pytest.raises(ValueError, match=message):
        call(models.network())


def test_single_precision_sums_in_double(monkeypatch):
    """Lengths of 10^6 components lose nothing; among many rows blocks are summed in single, the blocks in double precision."""
    from sgdyn.linalg.spaces import norm, orthonormal
    from sgdyn.nets.vectors import TensorSpace

    space = TensorSpace(torch.zeros(10**6))
    vectors = [space.vector(np.random.default_rng(k).normal(size=10**6)) for k in range(3)]
    rows, _ = orthonormal(space, iter(vectors), 3)
    gram = np.stack([space.dots(rows, row) for row in rows])
    np.testing.assert_allclose(gram, np.eye(3), atol=3e-7)
    assert norm(space, vectors[0]) == pytest.approx(float(vectors[0].double().norm()), rel=1e-12)


def test_networks_in_single_precision_state_their_floor():
    net = nets.Network(models.mlp().float(), nn.CrossEntropyLoss(), (X.float(), Y))
    exact = nets.Network(models.mlp(), nn.CrossEntropyLoss(), (X, Y))
    for method in ("gram", "lanczos"):
        found, true = net.noise(method).top(5), exact.noise().top(5).values
        assert np.all(np.abs(found.values - true) <= found.eigenvalues.error) and found.floor < 1e-4 * true[0]
    assert isinstance(net.noise(), SecondMoments)


def test_losses_that_nearly_vanish_have_their_curvature():
    """Samples that are fitted have curvatures near the rounding of single precision; products are those in double precision."""
    v = np.random.default_rng(0).normal(size=66)
    products = {}
    for dtype in (torch.float32, torch.float64):
        model = models.mlp().to(dtype)
        with torch.no_grad():
            model[2].weight *= 30
            y = model(X.to(dtype)).argmax(1)
        hessian = nets.Network(model, nn.CrossEntropyLoss(), (X.to(dtype), y), chunk=32).hessian(products="graph")
        assert hessian._graph is not None and not hessian.network.derivatives.difference
        products[dtype] = hessian @ v
    close(products[torch.float32], products[torch.float64], 1e-4)
