"""D(w) along lines and runs, and D beside H: against dense matrices, closed forms and chance."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from sgdyn import nets
from sgdyn.linalg.operators import SymmetricOperator
from sgdyn.nets import dependence
from sgdyn.nets.overlaps import chance, overlap_by_chance, subspace_overlap
from tests.nets import models

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
ARCHITECTURES = {"mlp": models.mlp, "convolution": models.convolutional, "attention": models.Transformerish}


def regression(x, y):
    return nets.Network(nn.Linear(x.shape[1], 1, bias=False).double(), nn.MSELoss(), (x, y), chunk=16)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("device", DEVICES)
def test_state_dependence_is_that_of_the_dense_matrices(name, device, rng):
    model, (x, y) = ARCHITECTURES[name]().to(device), models.data()
    net = nets.Network(model, nn.CrossEntropyLoss(), (x, y), 0.01, chunk=32)
    points = net.weights.cpu().numpy() + np.linspace(0, 1, 3)[:, None] * rng.normal(size=net.dim)
    found = net.state_dependence(points, k=3, hessian=True)
    leading = []
    for i, w in enumerate(points):
        here = ARCHITECTURES[name]()
        nn.utils.vector_to_parameters(torch.as_tensor(w), here.parameters())
        H, D, _ = models.dense(here, nn.functional.cross_entropy, x, y)
        values, vectors = np.linalg.eigh(D)
        leading.append((D, vectors[:, ::-1][:, :3]))
        V = leading[0][1]
        inside = V.T @ leading[0][0] @ V
        expected = {
            "losses": nn.functional.cross_entropy(here(x), y).item(), "trace": np.trace(D), "eigenvalues": values[::-1][:3],
            "overlap": np.square(V.T @ leading[i][1]).sum() / 3, "distance": np.linalg.norm(V.T @ D @ V - inside) / np.linalg.norm(inside),
            "hessian_trace": np.trace(H),
        }  # fmt: skip
        for part, value in expected.items():
            np.testing.assert_allclose(getattr(found, part).value[i], value, rtol=1e-10, atol=1e-10, err_msg=part)
    assert np.all(found.overlap.error < 1e-9) and found.null.value == pytest.approx(3 / net.dim)
    ax = found.plot()
    assert ax.get_xlabel() == "step" and len(ax.containers) == 2
    plt.close(ax.figure)


def test_noise_grows_as_the_loss_where_targets_are_met_at_the_origin(rng):
    """Targets 0 on a ray w = s u: residuals, and so gradients, are proportional to s; tr D = L times a constant exactly."""
    x = torch.tensor(rng.normal(size=(40, 3)))
    net = regression(x, torch.zeros(40, 1, dtype=torch.float64))
    found = nets.state_dependence(net, np.geomspace(0.01, 1, 8)[:, None] * np.array([1.0, -0.3, 0.5]), k=1)
    law = found.scaling()
    assert law.exponent.value == pytest.approx(1, abs=1e-10) and law.interval[1] - law.interval[0] < 1e-9
    ax = law.plot()
    assert ax.get_xlabel() == "loss"
    plt.close(ax.figure)


def test_label_noise_makes_d_twice_the_loss_times_h(rng):
    """Each input with the targets +s and -s: at w = 0 the mean gradient vanishes, and D = 4 s² E xx' = 2 L H exactly."""
    x = torch.tensor(rng.normal(size=(30, 4)))
    net = regression(torch.cat([x, x]), 0.7 * torch.cat([torch.ones(30, 1), -torch.ones(30, 1)]).double())
    found = nets.state_dependence(net, np.zeros((1, 4)), k=2, hessian=True)
    assert found.label_noise_ratio.value[0] == pytest.approx(1, abs=1e-12)
    assert found.losses.value[0] == pytest.approx(0.49)
    away = nets.state_dependence(net, np.ones((1, 4)), k=2, hessian=True)
    assert abs(away.label_noise_ratio.value[0] - 1) > 0.05
    with pytest.raises(ValueError, match="hessian=True"):
        nets.state_dependence(net, np.zeros((1, 4)), k=2).label_noise_ratio


def test_errors_of_power_laws_cover_the_truth():
    """600 seeds: pulls of the exponent have the size 1, and 95 % intervals cover in 95 % of cases, with scatter that grows along x."""
    pulls, covered = [], []
    for seed in range(600):
        rng = np.random.default_rng(seed)
        x = np.geomspace(1, 100, 20)
        law = nets.power_law(x, x**1.5 * np.exp(0.05 * np.log(x) * rng.normal(size=20)))
        pulls.append(law.exponent.pull(1.5))
        covered.append(law.interval[0] < 1.5 < law.interval[1])
    assert 0.9 < np.std(pulls) < 1.2 and abs(np.mean(pulls)) < 0.15
    assert 0.925 < np.mean(covered) < 0.98


def test_stretches_are_left_out_where_neighbours_are_alike():
    """An autocorrelated scatter (0.7, that is three points): leaving out points makes errors 2.4 times too small, stretches 1.5 times."""
    ratios = {True: [], False: []}
    for seed in range(300):
        rng = np.random.default_rng(seed)
        x, scatter = np.geomspace(1, 100, 60), np.zeros(60)
        for i in range(1, 60):
            scatter[i] = 0.7 * scatter[i - 1] + 0.05 * rng.normal()
        for ordered in ratios:
            ratios[ordered].append(nets.power_law(x, x * np.exp(scatter), ordered=ordered).exponent.pull(1.0))
    assert np.std(ratios[False]) > 2.2
    assert np.std(ratios[True]) < 1.6


def test_chance_is_that_of_random_rotations(rng):
    A, B = np.diag([3.0, 1, 0.5, 0, 0, -1]), np.diag([2.0, 2, 0, 0, 0, 0])
    rotations = stats.ortho_group.rvs(6, size=4000, random_state=rng)
    drawn = np.einsum("ii,nij,jj,nij->n", A, rotations, B, rotations)
    mean, spread = chance((np.trace(A), np.trace(B)), (np.sum(A**2), np.sum(B**2)), 6)
    assert abs(drawn.mean() - mean) < 4 * spread / 4000**0.5
    assert drawn.std() == pytest.approx(spread, rel=0.05)
    two = np.square(rotations[:, :2, :2]).sum((1, 2)) / 2
    assert overlap_by_chance(2, 6).value == pytest.approx(two.mean(), abs=0.02)
    assert overlap_by_chance(2, 6).error == pytest.approx(two.std(), rel=0.05)


def test_errors_of_overlaps_bound_what_loose_eigenvectors_do(rng):
    p, k = 600, 4
    values = np.concatenate([[9.0, 7, 6, 5], np.linspace(3, 0, p - 4)])
    Q, R = (np.linalg.qr(rng.normal(size=(p, p)))[0] for _ in range(2))
    mixed = np.linalg.qr(Q + 0.02 * R)[0]
    first, second = (SymmetricOperator((V * values) @ V.T) for V in (Q, mixed))
    exact = np.square(Q[:, :k].T @ mixed[:, :k]).sum() / k
    for tolerance in (1e-2, 1e-4, 1e-8):
        pair = [operator.top(k + 1, method="lanczos", tolerance=tolerance) for operator in (first, second)]
        found = subspace_overlap(*pair, k, 1e-16)
        assert abs(found.value - exact) <= found.error + 1e-12
    assert found.error < 1e-6
    angle = 0.01  # the first eigenvector turned towards the second, the other subspace halfway between them: nearly the worst case
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    values, residuals = np.array([2.0, 1.0]), np.full(2, np.sin(angle))
    loose = nets.Spectrum(values, turned, residuals, "lanczos", 2)
    halfway = nets.Spectrum(values, np.array([[1.0, -1.0], [1.0, 1.0]]) / 2**0.5, np.zeros(2), "dense", 2)
    worst = subspace_overlap(loose, halfway, 1, 0.0)
    assert 0.5 * worst.error < abs(worst.value - 0.5) <= worst.error
    flat = SymmetricOperator(np.eye(40))
    undefined = subspace_overlap(flat.top(3), flat.top(3), 2, 1e-16)
    assert undefined.error == 1 and "not apart" in undefined.warnings[0]


def test_a_recording_is_followed_on_its_own_subspace():
    net = models.network().minimize()
    space = net.subspace(4)
    run = nets.train(net, steps=60, lr=0.05, batch=8, record=space, every=2, seed=0)
    found = nets.state_dependence(net, run, space=space, k=2, count=4)
    np.testing.assert_array_equal(found.steps, run.steps[[0, 10, 19, 29]])
    again = net.at(space.embed(run.x[0, 10])).noise().trace()
    assert found.trace.value[1] == pytest.approx(again.value, rel=1e-12)
    with pytest.raises(ValueError, match="another subspace"):
        nets.state_dependence(net, run, space=net.subspace(3), k=2)
    with pytest.raises(ValueError, match="space="):
        nets.state_dependence(net, run, k=2)
    with pytest.raises(ValueError, match="replica"):
        nets.state_dependence(net, run, space=space, k=2, replica=1)


def test_an_interrupt_returns_the_points_that_are_done(monkeypatch):
    row, calls = dependence._row, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return row(*args)

    monkeypatch.setattr(dependence, "_row", interrupted)
    net = models.network()
    with pytest.warns(UserWarning, match="after 2 of 5"):
        found = nets.state_dependence(net, np.tile(net.weights.numpy(), (5, 1)), k=2)
    assert len(found.steps) == 2 and found.distance.value[1] == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("device", DEVICES)
def test_alignment_with_the_curvature_is_that_of_the_dense_matrices(device):
    net = nets.Network(models.mlp().to(device), nn.CrossEntropyLoss(), models.data(), 0.01, chunk=32)
    H, D, _ = models.dense(models.mlp(), nn.functional.cross_entropy, *models.data(), 0.01)
    found = net.curvature_alignment(6)
    h, V = (part[..., ::-1][..., :6] for part in np.linalg.eigh(H))
    d = np.linalg.eigh(D)[1][:, ::-1][:, :6]
    expected = {
        "product": np.trace(D @ H), "gain": net.dim * np.trace(D @ H) / np.trace(D) / np.trace(H),
        "cosine": np.trace(D @ H) / np.linalg.norm(D) / np.linalg.norm(H), "overlap": np.square(V.T @ d).sum() / 6,
        "curvatures": h, "noises": np.einsum("ij,ik,kj->j", V, D, V),
    }  # fmt: skip
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(found, name).value, value, rtol=1e-10, err_msg=name)
    assert found.cosine_by_chance.value == pytest.approx(found.cosine.value / found.gain.value)
    assert found.scaling().exponent.value == pytest.approx(np.polyfit(np.log(h), np.log(expected["noises"]), 1)[0])
    ax = found.plot()
    assert ax.get_xscale() == "log"
    plt.close(ax.figure)


def test_alignment_by_products_alone_has_errors_that_hold():
    """730 parameters, neither matrix formed: Hutch++ in the space of samples, quadratures of three steps."""
    x, y = models.data(129, 25, 10)
    net = nets.Network(models.mlp((25, 20, 10)), nn.CrossEntropyLoss(), (x, y), 0.01, chunk=64)
    H, D = net.hessian().dense(), net.noise().dense()
    product = np.trace(D @ H)
    for seed in range(2):
        found = nets.curvature_alignment(net, 5, seed=seed)
        assert found.product.agrees(product) and found.product.error < 0.05 * product
        assert found.cosine.agrees(product / np.linalg.norm(D) / np.linalg.norm(H))
        assert found.gain.agrees(net.dim * product / np.trace(D) / np.trace(H))


def test_what_cannot_be_asked_of_d_and_h():
    net = models.network()
    here = net.weights.numpy()[None]
    with pytest.raises(ValueError, match="at most 65"):
        nets.state_dependence(net, here, k=70)
    with pytest.raises(ValueError, match="reference=1"):
        nets.state_dependence(net, here, k=2, reference=1)
    with pytest.raises(ValueError, match="expected \\(66,\\)"):
        nets.state_dependence(net, here[:, :5], k=2)
    with pytest.raises(ValueError, match="at least 5"):
        nets.state_dependence(net, here, k=2).scaling()
    with pytest.raises(ValueError, match="no points"):
        nets.state_dependence(net, [], k=2)
