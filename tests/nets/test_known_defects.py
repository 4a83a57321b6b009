"""What other packages get wrong, each first shown to matter here: hessian-eigenthings 1.0.0a5, nngeometry 0.4, curvlinops 3.0.1, PyHessian 0.1."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import sgdyn as sg
from sgdyn import nets
from tests.nets import models
from tests.nets.test_operators import close

X, Y = models.data()


def test_the_last_batch_has_the_weight_of_its_samples():
    """101 samples in batches of 32: one that weighted batches equally would count each of the last 5 samples five times."""
    net = models.network(weight_decay=0.0)
    H, D, _ = models.dense(models.mlp(), F.cross_entropy, X, Y)
    batches = zip(X.split(32), Y.split(32), strict=True)
    parts = [nets.Network(models.mlp(), nn.CrossEntropyLoss(), batch).hessian().dense() for batch in batches]
    assert np.linalg.norm(np.mean(parts, 0) - H) > 0.05 * np.linalg.norm(H)
    v = np.random.default_rng(0).normal(size=net.dim)
    for products in ("graph", "plain"):
        close(net.hessian(products=products) @ v, H @ v)
    for ghosts in (True, False):
        close(net.noise(ghosts=ghosts) @ v, D @ v)
    close(
        net.gauss_newton() @ v, nets.Network(models.mlp(), nn.CrossEntropyLoss(), (X, Y), chunk=101).gauss_newton() @ v
    )


def test_centring_is_done_by_every_route():
    """Off the minimum the uncentred matrix is another one."""
    net = models.network()
    D, F_ = net.noise().dense(), net.fisher("empirical").dense()
    assert np.linalg.norm(F_ - D) > 0.02 * np.linalg.norm(D)
    v = np.random.default_rng(0).normal(size=net.dim)
    for ghosts in (True, False):
        noise = net.noise(ghosts=ghosts)
        close(noise @ v, D @ v)
        close(np.linalg.eigvalsh(noise.gram())[-5:], np.linalg.eigvalsh(D)[-5:])
        assert np.abs(noise.gram().sum(1)).max() < 1e-12
        close(noise.diag().value, np.diag(D))
        assert noise.trace().value == pytest.approx(np.trace(D), rel=1e-10)


def test_loaders_may_shuffle():
    """The order of the sum does not matter; no check of determinism stumbles over it."""
    loader = DataLoader(TensorDataset(X, Y), batch_size=32, shuffle=True)
    net = nets.Network(models.mlp(), nn.CrossEntropyLoss(), loader, chunk=32)
    v = np.random.default_rng(0).normal(size=net.dim)
    close(net.noise() @ v, models.network().noise() @ v, 1e-12)


def test_any_loss_of_single_samples_will_do():
    """A function with class weights: g_i = w_y grad l_i, the mean over samples (not, as torch has it, over weights)."""
    w = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    net = nets.Network(models.mlp(), lambda z, y: w[y] * F.cross_entropy(z, y, reduction="none"), (X, Y), chunk=32)
    _, D, g = models.dense(models.mlp(), lambda z, y: (w[y] * F.cross_entropy(z, y, reduction="none")).mean(), X, Y)
    close(net.gradient(), g)
    close(net.noise(ghosts=True).dense(), D)


def test_lanczos_goes_on_until_it_has_converged_or_says_so():
    net = models.network()
    found = net.hessian().top(10, method="lanczos")
    assert found.residuals.max() <= 1e-8 * found.values[0]
    close(found.values, np.linalg.eigvalsh(net.hessian().dense())[::-1][:10])
    with pytest.raises(sg.NotConvergedError, match="most="):
        net.hessian().top(10, method="lanczos", most=20)


def test_densities_work_and_the_model_stays_in_its_mode():
    model = models.mlp().train()
    density = (
        nets.Network(model, nn.CrossEntropyLoss(), (X, Y))
        .hessian()
        .density(method="lanczos", head=3, probes=4, steps=20)
    )
    assert model.training and density.sum(np.ones_like).value == pytest.approx(66, rel=1e-10)


def test_an_undefined_log_determinant_is_refused():
    """1 + c lambda_min < 0: at saddles, for c beyond 1/|lambda_min|."""
    H = models.network(weight_decay=0.0).hessian()
    lowest = np.linalg.eigvalsh(H.dense())[0]
    assert lowest < -1e-3
    with pytest.raises(ValueError, match="undefined"):
        H.logdet(-2 / lowest)
    assert np.isfinite(H.logdet(-0.5 / lowest).value)
