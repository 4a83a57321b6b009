"""Diagonal blocks of a network's matrices, and what plans say of the ways to their spectra."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import sgdyn as sg
from sgdyn import nets
from sgdyn.linalg.plans import duration
from tests.nets import models

CASES = {
    "mlp": (models.mlp, "2.*"),
    "convolution": (models.convolutional, ["1.*"]),
    "attention": (models.Transformerish, lambda name, part: name.startswith("q") or part.ndim == 1),
}
MATRICES = {
    "H": lambda net: net.hessian(), "G": lambda net: net.gauss_newton(), "D": lambda net: net.noise(), "F": lambda net: net.fisher(),
    "E": lambda net: net.fisher("empirical"), "M": lambda net: net.fisher("monte carlo", seed=1), "J": lambda net: net.jacobian().normal(),
}  # fmt: skip


def places(net, params):
    """Where the coordinates of a block stand among all."""
    kept = net.block(params).places()
    return np.concatenate([np.arange(part.start, part.stop) for name, part in net.places().items() if name in kept])


@pytest.mark.parametrize("case", ["mlp", "convolution", pytest.param("attention", marks=pytest.mark.slow)])
def test_blocks_are_those_of_the_dense_matrices(case):
    make, params = CASES[case]
    net = models.network(make())
    H, D, g = models.dense(make(), nn.functional.cross_entropy, *models.data(), 0.01)
    part = places(net, params)
    block = net.block(params)
    assert 0 < block.dim == len(part) < net.dim
    np.testing.assert_allclose(block.gradient(), g[part], atol=1e-10 * np.abs(g).max())
    expected = {"H": H, "D": D}
    for name, matrix in MATRICES.items():
        whole = matrix(net)
        dense = expected.get(name, whole.dense() if name not in expected else None)[np.ix_(part, part)]
        for own in (whole.block(params), matrix(block)):
            assert type(own) is type(whole) and own.shape == dense.shape
            v = np.random.default_rng(0).normal(size=len(part))
            scale = np.abs(dense).max()
            np.testing.assert_allclose(own.dense(), dense, atol=1e-10 * scale, err_msg=name)
            np.testing.assert_allclose(own @ v, dense @ v, atol=1e-9 * scale, err_msg=name)


@pytest.mark.parametrize("method", ["dense", "gram", "lanczos"])
def test_eigenvalues_of_a_block_come_by_every_route(method):
    net = models.network()
    noise = net.noise(method)
    noise.top(3)  # what it kept is of the whole network
    D = noise.dense()[np.ix_(places(net, "2.*"), places(net, "2.*"))]
    found = noise.block("2.*").top(3)
    np.testing.assert_allclose(found.values, np.linalg.eigvalsh(D)[::-1][:3], rtol=1e-10)
    assert found.method == method


def test_the_layers_have_blocks_by_name():
    net = models.network()
    blocks = net.blocks()
    assert list(blocks) == ["0", "2"] and sum(part.dim for part in blocks.values()) == net.dim
    total = sum(part.noise().trace().value for part in blocks.values())
    assert total == pytest.approx(net.noise().trace().value, rel=1e-12)
    assert sum(part.hessian().trace().value for part in blocks.values()) == pytest.approx(net.hessian().trace().value)
    moved = blocks["2"].at(np.zeros(blocks["2"].dim))
    weights = net.weights.clone()
    weights[net.places()["2.weight"].start :] = 0.0
    own = 0.005 * float(weights @ weights)  # the weight decay of the others is not the block's
    assert moved.value() == pytest.approx(net.at(weights).value() - own, rel=1e-12)


def test_a_block_of_the_jacobian_is_its_columns():
    net = models.network()
    J = net.jacobian()
    np.testing.assert_allclose(J.block("0.*").dense(), J.dense()[:, places(net, "0.*")], atol=1e-12)


def test_a_block_away_from_the_model_has_the_weights_of_the_network():
    net = models.network().at(np.random.default_rng(3).normal(size=66))
    part = places(net, "0.*")
    np.testing.assert_allclose(
        net.block("0.*").hessian().dense(), net.hessian().dense()[np.ix_(part, part)], atol=1e-12
    )


def test_rows_for_padding_stay_in_blocks():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.words, self.out = nn.Embedding(6, 4, padding_idx=0).double(), nn.Linear(4, 3).double()

        def forward(self, x):
            return self.out(self.words(x).mean(1))

    x = torch.tensor(np.random.default_rng(0).integers(0, 6, (20, 5)))
    net = nets.Network(Words(), nn.CrossEntropyLoss(), (x, models.data(20)[1]), chunk=7)
    away = net.at(np.random.default_rng(1).normal(size=net.dim))
    for params in ("words.*", "out.*"):
        part = places(net, params)
        whole = away.hessian().dense()[np.ix_(part, part)]
        np.testing.assert_allclose(away.block(params).hessian().dense(), whole, atol=1e-12)


def test_blocks_that_fit_nothing_are_refused():
    with pytest.raises(ValueError, match=r"fits none of the names 0.weight"):
        models.network().hessian().block("fc1.*")


@pytest.mark.parametrize("matrix", MATRICES)
def test_plans_say_what_ways_cost(matrix):
    plan = MATRICES[matrix](models.network()).plan()
    text = str(plan)
    for way in plan.ways:
        assert way.seconds > 0 and way.flops > 0 and way.memory >= 0 and way.reason
        assert way.reason in text and way.method in text
    assert plan.chosen == "dense" and "→ dense" in text


def test_operations_are_counted_as_they_are():
    """An affine map by chunks: forward, backward to the weights, and both along v; torch counts matrix products alone."""
    x, y = models.data(96, 4, 3)
    net = nets.Network(models.mlp((4, 3)), nn.CrossEntropyLoss(), (x, y), chunk=32)
    product = net.noise(ghosts=True).price("product")[1]
    assert product == 96 * (
        2 * 3 * 4 + 2 * 3 * 4 + 2 * 3
    )  # a.v and a'd for the weights, u.d for the bias, d.v beside the bias
    assert net.noise().price("pairs")[1] > 0 and net.noise(ghosts=False).price("gradients")[1] > 0


def test_a_plan_of_any_matrix_has_times():
    plan = sg.SymmetricOperator(np.eye(20)).plan()
    assert all(way.seconds > 0 and math.isnan(way.flops) for way in plan.ways)
    assert [duration(t) for t in (math.nan, 0.02, 3.0, 300.0, 7200.0)] == ["", "20 ms", "3 s", "5 min", "2 h"]
