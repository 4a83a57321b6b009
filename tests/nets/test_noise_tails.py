"""Cumulants of batches exactly, tails against Gaussian samples, and what assumes stable noise."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from sgdyn import nets
from sgdyn.nets.cumulants import central_moments, of_batches
from sgdyn.nets.tails import hill_index, shape_error, tail_shape
from tests.nets import models

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def linear(gradients):
    """A network whose gradients are the rows of `gradients`: the loss of a sample is x_i . w."""
    x = torch.as_tensor(gradients)
    layer = nn.Linear(x.shape[1], 1, bias=False, dtype=x.dtype, device=x.device)
    return nets.Network(layer, lambda output, y: output[:, 0], (x, torch.zeros(len(x), device=x.device)))


@pytest.mark.parametrize("batch", range(1, 8))
def test_cumulants_of_batches_are_those_of_all_batches(batch):
    x = np.random.default_rng(0).normal(size=8) ** 3
    without = np.array([x[list(rows)].mean() for rows in itertools.combinations(range(8), batch)])
    m2, m3, m4 = central_moments(without)
    np.testing.assert_allclose(
        of_batches(central_moments(x), 8, batch, False), [m3 / m2**1.5, m4 / m2**2 - 3], atol=1e-12
    )
    if batch <= 4:
        m2, m3, m4 = central_moments(
            np.array([x[list(rows)].mean() for rows in itertools.product(range(8), repeat=batch)])
        )
        np.testing.assert_allclose(
            of_batches(central_moments(x), 8, batch, True), [m3 / m2**1.5, m4 / m2**2 - 3], atol=1e-12
        )


@pytest.mark.parametrize("device", DEVICES)
def test_the_report_is_that_of_the_dense_gradients(device):
    net = nets.Network(models.mlp().to(device), nn.CrossEntropyLoss(), models.data(), 0.01, chunk=32)
    rows = np.concatenate([block.cpu().numpy() for block in net.noise().rows()])
    V = np.linalg.eigh(rows.T @ rows)[1][:, ::-1][:, :4]
    found = net.noise().tails(batch=16, k=4, directions=2)
    c = rows @ V
    np.testing.assert_allclose(found.kurtosis.value[:4], stats.kurtosis(c), rtol=1e-9)
    np.testing.assert_allclose(np.abs(found.skewness.value[:4]), np.abs(stats.skew(c)), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.of_batch.value[1], found.kurtosis.value / 16, rtol=1e-12)
    assert found.leading == 4 and found.n == 101 and len(found.p_tail) == 6
    again = nets.noise_tails(net, batch=16, k=4, directions=2)
    np.testing.assert_array_equal(found.p_kurtosis, again.p_kurtosis)
    ax = found.plot()
    assert ax.get_xlabel() == "component"
    plt.close(ax.figure)


def test_drawn_batches_have_the_cumulants_that_are_reported():
    net = models.network(weight_decay=0.0)
    for replacement in (True, False):
        found = net.noise().tails(batch=8, k=2, directions=0, replacement=replacement, controls=99)
        V = net.noise().top(2).vectors
        drawn = net.noise().sample(60_000, batch=8, replacement=replacement, directions=V, seed=1)
        errors = np.array([np.sqrt(6 / 60_000), np.sqrt(24 / 60_000)])[:, None]
        moments = np.stack([stats.skew(drawn), stats.kurtosis(drawn)]) - found.of_batch.value * [[1], [1]]
        assert np.all(np.abs(moments) < 6 * errors)


@pytest.mark.slow
def test_gaussian_gradients_are_called_gaussian_along_eigenvectors_too():
    """200 networks with normal gradients of widely different variances: p-values are uniform, also along the top eigenvectors of D."""
    p = {name: [] for name in ("p_skewness", "p_kurtosis", "p_tail")}
    false = 0
    for seed in range(200):
        gradients = np.random.default_rng(seed).normal(size=(60, 12)) * np.geomspace(10, 0.1, 12)
        found = linear(gradients).noise("dense").tails(k=2, directions=1, controls=399, bootstrap=20, seed=seed)
        for name, values in p.items():
            values.extend(getattr(found, name)[:1])
        false += (not found.gaussian) + found.heavy.any()
    for name, values in p.items():
        assert stats.kstest(values, "uniform").pvalue > 1e-3, name
    assert false <= 9


def test_bootstrap_errors_of_the_kurtosis_hold():
    """Normal numbers with standard deviations 1 and 1.5 by turns: excess kurtosis 3 (1 + 1.5^4)/2/((1 + 1.5²)/2)² - 3; pulls over 100 seeds."""
    exact, pulls = 3 * (1 + 1.5**4) / 2 / ((1 + 1.5**2) / 2) ** 2 - 3, []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        c = rng.normal(size=3000) * rng.choice([1.0, 1.5], 3000)
        pulls.append(nets.noise_tails(c, controls=99, bootstrap=60, seed=seed).kurtosis.pull(exact)[0])
    assert 0.8 < np.std(pulls) < 1.3 and abs(np.mean(pulls)) < 0.35


def test_tail_estimators_have_their_errors():
    """Pareto samples with alpha = 2.5: Hill's index has the relative error 1/sqrt(m), the shape 0.4 the asymptotic one."""
    index, shape = [], []
    for seed in range(300):
        c = np.random.default_rng(seed).pareto(2.5, size=4000) + 1
        index.append(hill_index(c, 200) / 2.5 - 1)
        shape.append((tail_shape(c, 200) - 0.4) / shape_error(0.4, 200))
    assert np.std(index) * np.sqrt(200) == pytest.approx(1, abs=0.12)
    assert np.std(shape) == pytest.approx(1, abs=0.12) and abs(np.mean(shape)) < 0.2
    bounded = np.random.default_rng(0).uniform(size=(100_000, 1))  # xi = -1
    assert tail_shape(bounded, 1000)[0] == pytest.approx(-1, abs=4 * shape_error(-1.0, 1000))


def test_stable_noise_is_heavy_and_normal_noise_is_not():
    c = np.stack([stats.levy_stable.rvs(1.5, 0, size=4000, random_state=seed) for seed in range(3)], axis=1)
    found = nets.noise_tails(np.hstack([c, np.random.default_rng(0).normal(size=(4000, 3))]))
    assert found.heavy[:3].all() and not found.heavy[3:].any() and not found.gaussian
    assert np.all(np.abs(found.shape.pull(1 / 1.5)[:3]) < 3.5)
    assert np.any(found.infinite_variance[:3]) and not found.infinite_variance[3:].any()
    assert "power tail" in found.hill.warnings[0]
    student = nets.noise_tails(np.random.default_rng(1).standard_t(5, size=20_000), bootstrap=20)
    assert student.heavy.all() and not student.infinite_variance.any()


def test_the_estimator_that_assumes_stable_noise_calls_normal_noise_heavy_tailed():
    """Normal components with variances over four decades, as gradients have: alpha = 1.4, as for alpha = 1.5 in truth. Our report: Gaussian."""
    rng = np.random.default_rng(0)
    scales = 10 ** rng.uniform(-2, 0, 400)
    normal = rng.normal(size=(200, 400)) * scales
    stable = stats.levy_stable.rvs(1.5, 0, size=normal.size, random_state=0)
    fooled, right = nets.simsekli_index(normal), nets.simsekli_index(stable)
    assert fooled.value < 1.5 and fooled.pull(2.0) < -20
    assert right.value == pytest.approx(1.5, abs=0.1)
    report = linear(normal).noise().tails(k=5, directions=5)
    assert report.gaussian and not report.heavy.any()
    assert "stable" in fooled.warnings[0]


def test_what_tails_cannot_be_asked_of():
    with pytest.raises(ValueError, match="40 and more"):
        nets.noise_tails(np.arange(30.0))
    with pytest.raises(ValueError, match="without noise"):
        nets.noise_tails(np.ones((100, 2)))
    with pytest.raises(ValueError, match="batch=100"):
        nets.noise_tails(np.random.default_rng(0).normal(size=100), batch=100, replacement=False)
    with pytest.raises(ValueError, match="some directions"):
        models.network().noise().tails(k=0, directions=0)
    with pytest.raises(ValueError, match="nan"):
        nets.noise_tails(np.full(100, np.nan))
    with pytest.raises(ValueError, match="20 blocks"):
        nets.simsekli_index(np.ones(50))
    rare = np.zeros(200)
    rare[0] = 1.0
    found = nets.noise_tails(rare + 1e-3 * np.random.default_rng(0).normal(size=200), controls=99)
    assert "one sample makes" in found.kurtosis.warnings[0]
