"""Alignment of hidden units: what was permuted is put back, the function stays, what cannot be permuted is refused; and the study of connectivity."""

import numpy as np
import pytest
import torch
from torch import nn

from sgdyn import nets
from sgdyn.nets.alignment import aligned
from sgdyn.studies import connectivity as study

X, Y = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(8, 3), torch.arange(8) % 4


def net(*layers):
    torch.manual_seed(0)
    return nets.Network(nn.Sequential(*layers).double(), nn.CrossEntropyLoss(), (X, Y))


def shuffled(network, orders):
    """The weights with hidden layers in other orders, by NumPy indexing of the layers."""
    parts = [p.detach().clone() for p in network.model.parameters()]
    step = len(parts) // (len(orders) + 1)
    for k, order in enumerate(orders):
        for j in range(step):
            parts[step * k + j] = parts[step * k + j][order]
        parts[step * (k + 1)] = parts[step * (k + 1)][:, order]
    return torch.cat([p.reshape(-1) for p in parts]).numpy()


@pytest.mark.parametrize("bias", [True, False])
def test_shuffled_units_are_put_back(bias):
    network = net(
        nn.Linear(3, 7, bias=bias), nn.Tanh(), nn.Linear(7, 6, bias=bias), nn.SiLU(), nn.Linear(6, 4, bias=bias)
    )
    w = network.weights.numpy()
    rng = np.random.default_rng(0)
    other = shuffled(network, [rng.permutation(7), rng.permutation(6)])
    assert np.linalg.norm(other - w) > 1
    np.testing.assert_allclose(aligned(network, w, other), w, atol=1e-15)


def test_function_stays_and_distance_never_grows():
    network = net(nn.Linear(3, 9), nn.ReLU(), nn.Linear(9, 5), nn.ReLU(), nn.Linear(5, 4))
    a, b = np.random.default_rng(1).normal(size=(2, network.dim))
    c = aligned(network, a, b)
    assert np.linalg.norm(c - a) < np.linalg.norm(b - a)
    outputs = [
        torch.func.functional_call(network.model, network.at(w).unflatten(torch.tensor(w)), (X,)) for w in (b, c)
    ]
    torch.testing.assert_close(*outputs, rtol=1e-12, atol=1e-12)


def test_one_hidden_layer_is_aligned_best_of_all():
    from itertools import permutations

    network = net(nn.Linear(3, 5), nn.SiLU(), nn.Linear(5, 4))
    a, b = np.random.default_rng(2).normal(size=(2, network.dim))
    far = [_distance(network, a, b, list(order)) for order in permutations(range(5))]
    assert np.linalg.norm(aligned(network, a, b) - a) == pytest.approx(min(far), rel=1e-12)


def _distance(network, a, b, order):
    W, bias, V, rest = np.split(b, [15, 20, 40])
    moved = np.concatenate([W.reshape(5, 3)[order].ravel(), bias[order], V.reshape(4, 5)[:, order].ravel(), rest])
    return np.linalg.norm(moved - a)


def test_what_cannot_be_permuted_is_refused():
    network = net(nn.Linear(3, 5), nn.Softmax(1), nn.Linear(5, 4))
    with pytest.raises(TypeError, match="layer 1, Softmax"):
        aligned(network, network.weights.numpy(), network.weights.numpy())
    network = net(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4))
    with pytest.raises(ValueError, match="weights_b"):
        aligned(network, network.weights.numpy(), np.zeros(3))
    network.model[0].weight.requires_grad_(False)
    frozen = nets.Network(network.model, nn.CrossEntropyLoss(), (X, Y))
    with pytest.raises(TypeError, match="frozen"):
        aligned(frozen, frozen.weights.numpy(), frozen.weights.numpy())


def test_connectivity_of_tiny_networks():
    config = study.Config(samples=60, hidden=3, weight_decay=0.05, tasks=100, n=8, steps=40, tolerance=1e-5)
    found = study.run(config)
    for kind in study.KINDS:
        line, chain = study.barriers(found, kind)
        assert chain <= line + 1e-12
        np.testing.assert_allclose(found[f"{kind} line"][[0, -1]], found["ends"], rtol=1e-9)
    assert found["aligned distance"] <= found["as trained distance"]
    by_loss, by_room = study.log_weights(config, found)
    assert by_loss == pytest.approx((found["ends"][0] - found["ends"][1]) / 0.005) and np.isfinite(by_room)
    assert "static factor" in study.summary(config, found) and len(study.draw(config, found).axes) == 2


@pytest.mark.slow
def test_most_of_the_wall_is_the_order_of_units():
    config = study.Config()
    found = study.run(config)
    (line, chain), (line_aligned, chain_aligned) = (study.barriers(found, kind) for kind in study.KINDS)
    assert line > 10 * line_aligned > 0 and chain < 0.1 * line and chain_aligned < 0.1 * line_aligned
