"""Small networks and data with everything about them known densely, in double precision."""

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from sgdyn import nets


def data(n=101, d=5, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.normal(size=(n, d)))
    return x, torch.tensor(rng.integers(0, classes, n))


def mlp(widths=(5, 7, 3), seed=0, act=nn.Tanh):
    torch.manual_seed(seed)
    layers = []
    for i in range(len(widths) - 1):
        layers += [nn.Linear(widths[i], widths[i + 1]), act()]
    return nn.Sequential(*layers[:-1]).double()


class Transformerish(nn.Module):
    """Embedding by a linear map, layer norm, attention by hand, pooling."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.up, self.norm = nn.Linear(1, 6), nn.LayerNorm(6)
        self.q, self.k, self.v = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.out = nn.Linear(6, 3)
        self.double()

    def forward(self, x):
        h = self.norm(self.up(x[..., None]))
        a = torch.softmax(self.q(h) @ self.k(h).transpose(-1, -2) / 6**0.5, -1)
        return self.out((h + a @ self.v(h)).mean(-2))


def convolutional():
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(15, 3)
    ).double()


def dense(model, loss, x, y, weight_decay=0.0):
    """(H, D, g) of the mean loss on the whole data at once, twice backward: no chunks, no forward mode, nothing of the bridge's own sums.

    Not by torch.func.hessian of a vmapped loss: in torch 2.13 forward over reverse through a vmapped layer norm is wrong.
    """
    names, shapes = zip(*[(n, p.shape) for n, p in model.named_parameters()], strict=True)
    sizes = [s.numel() for s in shapes]
    w0 = torch.cat([p.detach().reshape(-1) for p in model.parameters()])

    def mean(w, a, b):
        parameters = {n: t.view(s) for n, t, s in zip(names, w.split(sizes), shapes, strict=True)}
        return loss(functional_call(model, parameters, (a,)), b)

    rows = torch.stack(
        [
            torch.autograd.functional.jacobian(lambda w, i=i: mean(w, x[i : i + 1], y[i : i + 1]), w0)
            for i in range(len(x))
        ]
    )
    centred = rows - rows.mean(0)
    H = torch.autograd.functional.hessian(lambda w: mean(w, x, y), w0) + weight_decay * torch.eye(
        len(w0), dtype=torch.float64
    )
    return H.numpy(), (centred.T @ centred / len(x)).numpy(), (rows.mean(0) + weight_decay * w0).numpy()


def network(model=None, chunk=32, weight_decay=0.01, **kwargs):
    """101 samples in chunks of 32: the last one is short."""
    return nets.Network(model or mlp(), nn.CrossEntropyLoss(), data(), weight_decay, chunk=chunk, **kwargs)


def cross_entropy(output, y):
    return F.cross_entropy(output, y, reduction="none")


class Functional(nn.Module):
    """A linear map followed by any function."""

    def __init__(self, after, out=3):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.after = nn.Linear(5, out).double(), after

    def forward(self, x):
        return self.after(self.linear(x))
