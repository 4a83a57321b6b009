"""Signal to noise of layers: dense references, drawn batches, closed forms, the step from drift to diffusion."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from sgdyn import nets
from tests.nets import models

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
ARCHITECTURES = {"mlp": models.mlp, "convolution": models.convolutional, "attention": models.Transformerish}


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("ghosts", [True, False])
def test_ratios_are_those_of_the_dense_matrix(name, device, ghosts, monkeypatch):
    model = ARCHITECTURES[name]()
    _, D, g = models.dense(model, nn.functional.cross_entropy, *models.data())
    net = nets.Network(model.to(device), nn.CrossEntropyLoss(), models.data(), 0.01, chunk=32)
    if not ghosts:
        monkeypatch.setattr(nets.Network, "noise", lambda self: nets.GradientNoise(self, ghosts=False))
    for replacement, factor in ((True, 1.0), (False, 93 / 100)):
        found = net.signal_to_noise(batch=8, replacement=replacement)
        places = net.places()
        for j, layer in enumerate(found.layers):
            rows = np.concatenate([np.arange(p.start, p.stop) for n, p in places.items() if n.startswith(layer + ".")])
            expected = 8 * g[rows] @ g[rows] / (factor * np.trace(D[np.ix_(rows, rows)]))
            assert found.ratio.value[0, j] == pytest.approx(expected, rel=1e-10, abs=1e-10)
        assert found.total.value[0] == pytest.approx(8 * g @ g / (factor * np.trace(D)), rel=1e-10)
        assert found.floor == pytest.approx(8 / (101 * factor))
    assert {name.partition(".")[0] for name in places} <= {layer.partition(".")[0] for layer in found.layers}


def test_drawn_batches_have_that_variance():
    net = models.network(weight_decay=0.0)
    drawn = net.noise().sample(4000, batch=10, replacement=False, seed=0)
    found = nets.signal_to_noise(net, batch=10, replacement=False)
    for j, layer in enumerate(found.layers):
        rows = np.concatenate(
            [np.arange(p.start, p.stop) for n, p in net.places().items() if n.startswith(layer + ".")]
        )
        sizes = np.square(drawn[:, rows]).sum(1)
        assert abs(sizes.mean() - found.noise.value[0, j]) < 4 * sizes.std() / 4000**0.5


def test_drift_turns_into_diffusion_where_the_closed_form_says(rng):
    """y = s x w* + noise on two points x = +-1: g = 2 d, D = 4 s², at w = w* + d; the ratio is B d²/s², 1 at d = s/sqrt(B)."""
    x = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]]).double()
    y = torch.tensor([[0.5], [-0.5], [0.5], [-0.5]]).double()
    net = nets.Network(nn.Linear(1, 1, bias=False).double(), nn.MSELoss(), (x, y))
    d = 2.0 ** -np.arange(0, 8)
    found = net.signal_to_noise(d[:, None], batch=4)
    np.testing.assert_allclose(found.total.value, 4 * d**2 / 0.25, rtol=1e-12)
    crossing = found.transition()
    assert crossing.value == pytest.approx(2.0) or crossing.agrees(2.0, 1.0)
    np.testing.assert_array_equal(found.drifts[:, 0], 4 * d**2 / 0.25 > 1)
    ax = found.plot()
    assert ax.get_xlabel() == "step"
    plt.close(ax.figure)
    between = net.signal_to_noise(d[:, None], batch=8).transition(found.layers[0])
    assert between.value == pytest.approx(2.5, abs=1e-9) and between.error == 0.5
    with pytest.raises(ValueError, match="never above"):
        net.signal_to_noise(d[5:, None], batch=1).transition()
    with pytest.raises(ValueError, match="ends above"):
        net.signal_to_noise(d[:2, None], batch=4).transition()


def test_what_has_no_signal_to_noise():
    net = models.network()
    with pytest.raises(ValueError, match="full batch"):
        net.signal_to_noise(batch=101, replacement=False)
    with pytest.raises(ValueError, match="expected one of"):
        net.signal_to_noise(batch=4).transition("nowhere")
    x = torch.ones(10, 2, dtype=torch.float64)
    same = nets.Network(models.mlp((2, 1)), nn.MSELoss(), (x, x[:, :1]))
    with pytest.raises(ValueError, match="without noise"):
        same.signal_to_noise(batch=2)
    ax = net.signal_to_noise(batch=4).plot()
    assert ax.get_yscale() == "log"
    plt.close(ax.figure)
