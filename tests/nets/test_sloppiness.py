"""Spectra of networks on equal footing, against dense matrices, exact exponentials and simulated errors."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import sgdyn as sg
from sgdyn import nets
from sgdyn.linalg import decays
from sgdyn.nets import sample_means
from sgdyn.nets.sample_means import of_rows
from sgdyn.nets.sloppy_spectra import KINDS
from sgdyn.nets.sloppy_spectrum import spectrum_of
from tests.nets.models import Transformerish, convolutional, data, dense, mlp, network

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def jacobian(model, x):
    """dz/dw (N, C, p), output by output."""
    rows = []
    for sample in x:
        z = model(sample[None])[0]
        grads = [torch.autograd.grad(part, list(model.parameters()), retain_graph=True) for part in z]
        rows.append(torch.stack([torch.cat([g.flatten() for g in grad]) for grad in grads]))
    return torch.stack(rows).detach().numpy()


def descending(matrix):
    return np.linalg.eigvalsh(matrix)[::-1]


@pytest.mark.parametrize("make", [mlp, convolutional, pytest.param(Transformerish, marks=pytest.mark.slow)])
@pytest.mark.parametrize("limit", [4096, 10])
def test_every_spectrum_is_that_of_the_dense_matrix(make, limit, monkeypatch):
    """By the whole matrix, and by inner products where that has too many rows; leaving a group out is the spectrum of the rest."""
    monkeypatch.setattr(sample_means, "DENSE", limit)
    model, (x, y) = make(), data()
    net = network(model, chunk=32)
    of = [name for name in KINDS if limit == 4096 or name != "Hessian"]
    found = nets.sloppiness(net, of, groups=4, outputs=(1,), null=None, show_progress=False)
    H, D, _ = dense(model, nn.CrossEntropyLoss(), x, y)
    J, q = jacobian(model, x), torch.softmax(model(x), 1).detach().numpy()
    L = np.einsum("nc,cd->ncd", q, np.eye(3)) - np.einsum("nc,nd->ncd", q, q)
    expected = {
        "noise": D, "logits": np.einsum("ncp,ncq->pq", J, J) / 101, "logit 1": J[:, 1].T @ J[:, 1] / 101,
        "Gauss-Newton": np.einsum("ncp,ncd,ndq->pq", J, L, J) / 101, "data": x.numpy().T @ x.numpy() / 101,
    }  # fmt: skip
    if limit == 4096:
        expected["Hessian"] = H
    for name, matrix in expected.items():
        values = found[name].values
        np.testing.assert_allclose(values, descending(matrix)[: len(values)], atol=1e-10 * values[0], err_msg=name)
        assert found[name].size == len(matrix)
    kept = found["noise"].left[0]
    groups = np.random.default_rng(np.random.SeedSequence(0)).permutation(np.arange(101) % 4)
    rest = dense(model, nn.CrossEntropyLoss(), x[groups != 0], y[groups != 0])[1]
    np.testing.assert_allclose(kept, descending(rest)[: len(kept)], atol=1e-10 * kept[0])


def test_activations_and_their_gradients_are_those_of_the_layers():
    model, (x, y) = mlp(), data()
    found = nets.sloppiness(network(model), ("activations", "activation gradients"), null=None, show_progress=False)
    hidden = model[1](model[0](x))
    z = model[2](hidden)
    z.retain_grad()
    nn.functional.cross_entropy(z, y, reduction="sum").backward()
    h, d = hidden.detach().numpy(), z.grad.numpy()
    assert list(found.spectra) == ["activation gradients 0", "activations 2", "activation gradients 2"]
    np.testing.assert_allclose(found["activations 2"].values, descending(h.T @ h / 101), rtol=1e-10)
    np.testing.assert_allclose(found["activation gradients 2"].values, descending(d.T @ d / 101), atol=1e-13)


def test_exponential_eigenvalues_have_their_slope_and_a_head_is_told_apart():
    values = np.concatenate([[50.0, 20.0, 8.0, 6.0], np.exp(-0.2 * np.arange(60)), np.exp(-12 - 3.0 * np.arange(5))])
    first, end = decays.straight_run(values)
    assert 3 <= first <= 5 and 62 <= end <= 65
    assert decays.slope(values, 4, 64) == pytest.approx(-0.2, abs=1e-12)
    assert decays.bend(values, 4, 64) < 1e-10
    assert decays.straight_run(np.exp(-np.arange(20.0))) == (0, 20)
    assert decays.straight_run(np.ones(5)) == (0, 0)  # too few
    assert decays.straight_run(np.exp([0.0, -4, -5, -12, -13, -40, -41])) == (0, 0)  # no line


def rows(rng, n=200, d=24, c=0.3):
    return torch.tensor(rng.normal(size=(n, d)) * np.exp(-0.5 * c * np.arange(d)))


def groups_of(n, count=8):
    return np.arange(n) % count


def test_data_of_known_spectrum_give_slope_ranks_and_counts():
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(64, 12)))
    x = torch.tensor(8 * q * np.exp(-0.25 * np.arange(12)))  # x'x/64 = diag exp(-i/2) exactly
    found = spectrum_of("data", of_rows(x, groups_of(64), 2**-52), 8)
    lam = np.exp(-0.5 * np.arange(12))
    np.testing.assert_allclose(found.values, lam, rtol=1e-12)
    assert found.tail == (0, 12)
    assert float(found.slope) == pytest.approx(-0.5, abs=1e-10)
    assert float(found.decades) == pytest.approx(0.5 * 11 / math.log(10))
    assert float(found.effective_rank()) == pytest.approx(lam.sum() ** 2 / (lam**2).sum(), rel=1e-12)
    assert float(found.count(0.1)) == np.sum(lam > 0.1)
    assert float(found.smooth_count(0.1)) == pytest.approx(np.sum(lam / (lam + 0.1)), rel=1e-12)


def test_the_rank_in_single_precision_is_a_count_above_p_eps_lambda():
    """32 eigenvalues 1, e^-1/2, ...: those above 32 2^-23 are 25, whatever the true rank."""
    operator = sg.SymmetricOperator(np.diag(np.exp(-0.5 * np.arange(32))))
    assert float(operator.effective_rank("float32")) == 1 + math.floor(2 * math.log(2**23 / 32)) == 25
    assert float(operator.effective_rank(1e-12)) == 32


def test_the_jackknife_errors_are_what_other_samples_change():
    """Standard deviations over 150 data sets beside the errors that one of them gives (the ranks of the fit held)."""
    rng = np.random.default_rng(1)
    slopes, errors, ranks, spreads = [], [], [], []
    for _ in range(150):
        found = spectrum_of("data", of_rows(rows(rng), groups_of(200), 2**-52), 8)
        found.__dict__["tail"] = (2, 22)
        slopes.append(float(found.slope))
        errors.append(found.slope.error)
        rank = found.effective_rank()
        ranks.append(float(rank))
        spreads.append(rank.error)
    assert np.sqrt(np.mean(np.square(errors))) / np.std(slopes) == pytest.approx(1.0, abs=0.25)
    assert np.sqrt(np.mean(np.square(spreads))) / np.std(ranks) == pytest.approx(1.0, abs=0.25)
    inside = np.abs(np.array(slopes) - np.mean(slopes)) < 2.365 * np.array(errors)
    assert 0.88 < inside.mean() <= 1


def test_gaussian_data_have_the_spectrum_of_marchenko_and_pastur():
    """N = 4 d, trace d: edges (1 ± 1/2)², participation d/(1 + d/N) to order 1/N (Marchenko and Pastur 1967)."""
    x = torch.tensor(np.random.default_rng(0).normal(size=(800, 200)))
    found = spectrum_of("data", of_rows(x, groups_of(800), 2**-52), 8)
    assert found.values[0] == pytest.approx(2.25, rel=0.04) and found.values[-1] == pytest.approx(0.25, rel=0.1)
    assert found.effective_rank().agrees(200 / 1.25)
    assert float(found.decades) < 1.0


@pytest.mark.parametrize("device", DEVICES)
def test_single_precision_is_right_above_the_floor(device):
    model = mlp((5, 9, 3))
    x, y = data(60)
    single = mlp((5, 9, 3)).float().to(device)
    net = nets.Network(single, nn.CrossEntropyLoss(), (x.float(), y), chunk=16)
    exact = nets.sloppiness(nets.Network(model, nn.CrossEntropyLoss(), (x.float().double(), y)), null=None, groups=2, show_progress=False)  # fmt: skip
    found = nets.sloppiness(net, null=None, groups=2, show_progress=False)
    for name, each in found.spectra.items():
        a, b = each.resolved, exact[name].values[: len(each.resolved)]
        bound = 2 * np.sqrt(each.floor * b) + 2 * each.floor
        assert np.all(np.abs(a - b) <= bound), name
        assert 1e-16 < each.floor / each.values[0] < 1e-4


def test_isotropic_data_have_the_second_moment_of_the_data_in_all_directions():
    net = network()
    white = nets.isotropic_network(net, "whitened").x.numpy()
    scale = float(net.x.square().sum()) / 101 / 5
    np.testing.assert_allclose(white.T @ white / 101, scale * np.eye(5), atol=1e-12)
    normal = nets.isotropic_network(net)
    assert normal.x.shape == net.x.shape
    assert float(normal.x.square().mean()) == pytest.approx(float(net.x.square().mean()), rel=0.15)
    assert torch.equal(normal.weights, net.weights) and normal.y.dtype == net.y.dtype
    again = nets.isotropic_network(net, seed=0)
    assert torch.equal(again.x, normal.x) and torch.equal(again.y, normal.y)


def test_effective_dimension_counts_above_epsilon_over_2n():
    found = nets.sloppiness(network(), ("Hessian",), groups=4, null=None, show_progress=False)
    H = found["Hessian"].values
    threshold = 0.5 / 200
    assert float(found.effective_dimension(0.5)) == np.sum(H > threshold)
    soft = found.effective_dimension(0.5, rule="smooth")
    assert float(soft) == pytest.approx(np.sum(np.maximum(H, 0) / (np.maximum(H, 0) + threshold)), rel=1e-12)
    with pytest.raises(ValueError, match="mean nothing"):
        found.effective_dimension(1e-14)


def test_large_networks_get_their_top_eigenvalues(monkeypatch):
    """Beyond the limits of dense matrices and inner products: Lanczos, with what that cannot say refused."""
    monkeypatch.setattr(sample_means, "DENSE", 10)
    monkeypatch.setattr(sample_means, "GRAM", 20)
    monkeypatch.setattr("sgdyn.nets.sloppy_spectra.DENSE", 10)
    monkeypatch.setattr("sgdyn.nets.sloppy_spectra.GRAM", 20)
    of = ("logits", "Gauss-Newton", "Hessian", "noise")
    net = network(mlp((5, 20, 3)), weight_decay=0.01)
    found = nets.sloppiness(net, of, groups=2, k=5, null=None, show_progress=False)
    bare = nets.Network(net.model, net.loss, (net.x, net.y))
    for name, operator in (("Hessian", bare.hessian()), ("noise", bare.noise()), ("Gauss-Newton", bare.gauss_newton()), ("logits", bare.jacobian().normal())):  # fmt: skip
        np.testing.assert_allclose(found[name].values, descending(operator.dense())[:5], rtol=1e-6)
        assert not found[name].complete
    assert "Hessian, top 5" in str(found)
    with pytest.raises(ValueError, match="top 5"):
        found["noise"].effective_rank()
    with pytest.raises(ValueError, match="larger k="):
        found["noise"].count(0.5 * found["noise"].values[-1])


def test_eigenvalues_of_a_layer_are_bounded_by_those_of_its_inputs():
    """F = E dd' x hh' <= sup |d|² (1 x E hh'): lambda_i(F) <= sup |d|² lambda_(i/m rounded up)(E hh') for a layer with m outputs."""
    model, (x, y) = mlp(), data()
    h = nets.sloppiness(network(model), "activations", null=None, show_progress=False)["activations 2"].values
    d = (torch.softmax(model(x), 1) - nn.functional.one_hot(y, 3)).detach()
    F = network(model, params=["2.weight"]).fisher("empirical").density().known
    bound = float(d.square().sum(1).max()) * np.repeat(h, 3)
    assert len(F) == len(bound) == 21 and np.all(F <= bound * (1 + 1e-12))
    assert F[0] > 0.1 * bound[0]


def test_an_interrupt_returns_what_is_done(monkeypatch):
    calls = []

    def interrupted(*arguments):
        calls.append(arguments[0])
        if len(calls) == stop:
            raise KeyboardInterrupt
        return spectrum_of(*arguments)

    monkeypatch.setattr("sgdyn.nets.sloppy_spectra.spectrum_of", interrupted)
    stop = 3
    with pytest.warns(UserWarning, match="interrupted after 2 of 3 spectra"):
        found = nets.sloppiness(network(), ("data", "Hessian", "noise"), groups=2, show_progress=False)
    assert list(found.spectra) == ["data", "Hessian"] and found.null is None
    calls.clear()
    stop = 1
    with pytest.warns(UserWarning, match="after 0"), pytest.raises(KeyboardInterrupt):
        nets.sloppiness(network(), "data", groups=2, show_progress=False)


def test_sloppiness_prints_a_table_and_draws_itself():
    found = nets.sloppiness(network(), groups=2, show_progress=False)
    text = str(found)
    assert "isotropic data:" in text and "Gauss-Newton" in text and "slope per rank" in text
    assert len(repr(found)) < 120
    ax = found.plot()
    assert ax.get_yscale() == "log" and len(ax.lines) > 2 * len(found.spectra)
    assert len(found["data"].plot().lines) >= 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"of": ("nothing",)}, "expected some of 'data'"),
        ({"of": ()}, "expected some of"),
        ({"null": "uniform"}, "'gaussian', 'whitened'"),
        ({"groups": 60}, "at least two samples a group"),
        ({"groups": 1}, "groups"),
        ({"outputs": (3,)}, "output=3"),
    ],
)
def test_bad_input_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        nets.sloppiness(network(), show_progress=False, **options)


def test_what_has_no_spectrum_is_noted():
    model = nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(8, 3)).double()
    x, y = torch.randint(0, 7, (30, 2), generator=torch.Generator().manual_seed(0)), data(30)[1]
    net = nets.Network(model, nn.CrossEntropyLoss(), (x, y))
    found = nets.sloppiness(net, ("data", "activations", "noise"), null=None, groups=3, show_progress=False)
    assert "no numbers" in found.notes[0] and "data" not in found.spectra and "activations 2" in found.spectra
    with pytest.raises(ValueError, match="null=None"):
        nets.sloppiness(net, groups=3, show_progress=False)
    with pytest.raises(ValueError, match="convex"):
        concave = nets.Network(mlp(), lambda z, t: -z.square().sum(1), data())
        nets.sloppiness(concave, ("Gauss-Newton",), null=None, show_progress=False)
