"""What the sampler does to the stationary variance: SGD on quadratic losses, with replacement and epoch by epoch.

Each sample's loss is w'Hw/2 + w.a_i with the a_i of mean zero, so that the noise does not depend on w and the theory for independent
batches is exact. Going through the data epoch by epoch makes the noise anti-correlated (Kühn and Rosenow, arXiv:2306.05300); that has an
exact theory too, `sg.epoch_sgd`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import sgdyn as sg
from sgdyn.nets.sampler import make_sampler


@dataclass(frozen=True)
class Config:
    """N = `n` samples, batches of `batch`, learning rate `lr`; curvatures from `softest` to 1."""

    n: int = 256
    batch: int = 8
    lr: float = 0.1
    softest: float = 0.01
    directions: int = 7
    replicas: int = 400
    seed: int = 0


SAMPLERS = ("replacement", "without", "epoch")


def run(config: Config) -> dict[str, Any]:
    """Variance over the exact prediction for independent batches drawn in the same way, with errors, for each sampler and curvature; the exact ratio
    of epochs beside them."""
    for name in SAMPLERS:  # before anything is computed
        make_sampler(name, n=config.n, batch=config.batch, seed=config.seed)
    h = np.geomspace(config.softest, 1.0, config.directions)
    a = np.random.default_rng(config.seed).normal(size=(config.n, config.directions))
    a -= a.mean(axis=0)
    D = a.T @ a / config.n
    exact = sg.epoch_sgd(np.diag(h), D, lr=config.lr, batch=config.batch, n=config.n)
    ratio = np.diag(exact.covariance) / np.diag(exact.independent.covariance)
    found: dict[str, Any] = {"curvature": h, "epoch_exact": ratio}
    for name in SAMPLERS:
        drawn = "replacement" if name == "replacement" else "without"
        predicted = np.diag(
            sg.discrete_sgd(np.diag(h), D, lr=config.lr, batch=config.batch, n=config.n, sampler=drawn).covariance
        )
        ratios = _variances(config, h, a, name) / predicted
        found[name], found[f"{name}_error"] = ratios.mean(axis=0), ratios.std(axis=0, ddof=1) / np.sqrt(config.replicas)
    return found


def _variances(config: Config, h: Any, a: Any, name: str) -> Any:
    """Mean squares of w over 10 relaxation times of the softest direction after 5, for each replica (replicas, directions)."""
    sampler = make_sampler(name, n=config.n, batch=config.batch, seed=config.seed)
    replicas = np.arange(config.replicas)
    relaxation = int(1 / (config.lr * h[0]))
    w, total = np.zeros((config.replicas, len(h))), np.zeros((config.replicas, len(h)))
    for step in range(15 * relaxation):
        if step >= 5 * relaxation:
            total += w**2
        w = w - config.lr * (w * h + a[sampler.indices(step, replicas)].mean(axis=1))
    return total / (10 * relaxation)


def summary(config: Config, arrays: dict[str, Any]) -> str:
    """One line: the ratios at both ends."""
    ends = arrays["epoch"][[-1, 0]]
    return f"epoch by epoch the variance is {ends[0]:.2f} of the prediction at h = 1 and {ends[1]:.3f} at h = {config.softest:g}; with replacement it is 1"


def draw(config: Config, arrays: dict[str, Any]) -> Figure:
    """Variance ratio against curvature for the three samplers."""
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    ax = figure.add_subplot()
    for name, color in zip(SAMPLERS, (sg.plot.BLUE, sg.plot.GREEN, sg.plot.RED), strict=True):
        ax.errorbar(arrays["curvature"], arrays[name], arrays[f"{name}_error"], fmt="o", ms=4, color=color, label=name)
    ax.plot(arrays["curvature"], arrays["epoch_exact"], "--", color="black", lw=0.8, label="epoch, exact theory")
    ax.axhline(1, color="black", lw=0.8)
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="curvature h",
        ylabel="variance / prediction for independent batches",
        title=f"N = {config.n}, batch {config.batch}, lr {config.lr:g}",
    )
    ax.legend(frameon=False)
    return figure
