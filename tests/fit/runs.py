"""Small runs for the tests of `fit`."""

import numpy as np
import torch
from torch import nn

import sgdyn as sg


def layer():
    """The model of `network`, for cases by name."""
    return nn.Linear(3, 1)


def data():
    """Linear regression with noise that depends on the input: D and H do not commute, so that there is circulation."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(600, 3)) * [1.4, 1.0, 0.7]
    scale = np.abs(x @ [0.5, 0.6, 0.6]) ** 1.5
    return x, (x.sum(axis=1) + 2 * scale * rng.normal(size=600))[:, None]


def network():
    """`layer` on `data` at its minimum."""
    torch.manual_seed(0)
    return sg.nets.Network(nn.Linear(3, 1).double(), nn.MSELoss(), data(), weight_decay=0.05).minimize()


def run(net, space, momentum=0.0, **options):
    """Stationary SGD at lr/(1 - momentum) = 0.02, 60 correlation times of the softest of the four directions' h = 0.94."""
    chosen = {"steps": 900, "lr": 0.02 * (1 - momentum), "batch": 64, "replicas": 128, "every": 5, "seed": 3} | options
    return sg.nets.train(net, record=space, momentum=momentum, **chosen)


def iteration(model, steps, replicas, rng):
    """Paths (replica, time, k) of the exact iteration with Gaussian noise from rest, by the recursion as it is written down."""
    root = np.linalg.cholesky(model.noise + 1e-15 * np.eye(model.dim))
    w, v, seen = np.zeros((replicas, model.dim)), np.zeros((replicas, model.dim)), []
    for _ in range(steps):
        seen.append(w)
        v = model.momentum * v + w @ model.H + rng.normal(size=w.shape) @ root.T
        w = w - model.lr * v
    return np.stack(seen, axis=1)
