"""Sloppy data make sloppy networks: the eigenvalues of data, activations, Jacobians, Fisher matrix and Hessian on one plot, for sloppy and for isotropic inputs.

One architecture is trained on handwritten digits and on normal inputs of equal total variance, whose second moment falls exponentially
("sloppy") or is the same in all directions ("isotropic"), labelled by a random teacher. Right below: the test error of such students against
how fast the inputs' eigenvalues fall. After Yang, Mao and Chaudhari, arXiv:2110.14163.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from torch import nn

import sgdyn as sg


@dataclass(frozen=True)
class Config:
    """`samples` for training, `tests` for testing; `hidden` units; `steps` of SGD with `batch` and a rate that falls from `lr` to nothing; `slope` of the sloppy inputs, slopes up to `steepest`, `repeats` of each; `groups` of samples for the errors."""

    samples: int = 1000
    tests: int = 4000
    hidden: int = 12
    steps: int = 4000
    batch: int = 50
    lr: float = 0.3
    slope: float = 0.1
    steepest: float = 0.3
    slopes: int = 6
    repeats: int = 3
    groups: int = 6
    seed: int = 0


INPUTS = ("digits", "sloppy", "isotropic")
DIM, CLASSES, TEACHER = 64, 10, 20
SHOWN = ("data", "activations 2", "activation gradients 0", "logits", "Gauss-Newton", "Hessian", "noise")
WORDS = {"activations 2": "hidden activations", "activation gradients 0": "gradients at hidden units", "logits": "Jacobian of the logits", "Gauss-Newton": "Fisher (= Gauss-Newton)"}  # fmt: skip


def inputs(config: Config, name: str) -> tuple[Any, Any]:
    """Inputs (samples, 64) and labels of one kind."""
    if name == "digits":
        x, y = sg.datasets.digits()
        rows = np.random.default_rng(config.seed).permutation(len(x))[: config.samples]
        return x[rows], y[rows]
    x, y = teacher(config, config.slope if name == "sloppy" else 0.0, config.samples, 0)
    return x, y


def teacher(config: Config, slope: float, count: int, repeat: int) -> tuple[Any, Any]:
    """Normal inputs whose variances fall as exp(-slope i), of the digits' mean squared length, labelled by a random network with one hidden layer."""
    size = float(np.square(sg.datasets.digits()[0]).sum(1).mean())
    rng = np.random.default_rng([config.seed, repeat])
    first = rng.normal(size=(DIM, TEACHER)) / math.sqrt(size)
    second = rng.normal(size=(TEACHER, CLASSES))
    variances = np.exp(-slope * np.arange(DIM))
    x = rng.normal(size=(count, DIM)) * np.sqrt(size * variances / variances.sum())
    return x, np.argmax(np.tanh(x @ first) @ second, axis=1)


def student(config: Config, x: Any, y: Any, seed: int) -> sg.nets.Network:
    """A trained network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(DIM, config.hidden), nn.Tanh(), nn.Linear(config.hidden, CLASSES)).double()
    start = sg.nets.Network(model, nn.CrossEntropyLoss(), (torch.tensor(x), torch.tensor(y)))
    rates = config.lr * np.cos(0.5 * np.pi * np.arange(config.steps) / config.steps) ** 2 + 1e-6
    made = sg.nets.train(
        start, steps=config.steps, lr=rates, batch=config.batch, sampler="epoch", every=config.steps, seed=seed, show_progress=False
    )  # fmt: skip
    return start.at(made.weights[0])


def wrong(network: sg.nets.Network, x: Any, y: Any) -> float:
    """The share of labels that a network gets wrong."""
    with torch.no_grad():
        return float((network.output(network.weights, torch.tensor(x)).argmax(1).numpy() != y).mean())


def run(config: Config) -> dict[str, Any]:
    """All spectra with tails and slopes for each kind of inputs, and training and test errors against the slope of the inputs (slope, repeat)."""
    found: dict[str, Any] = {}
    for name in INPUTS:
        x, y = inputs(config, name)
        net = student(config, x, y, config.seed)
        found[f"{name} loss"] = net.value()
        for key, each in sg.nets.sloppiness(net, null=None, groups=config.groups, seed=config.seed).spectra.items():
            found |= {
                f"{name} {key} values": each.values, f"{name} {key} tail": np.array(each.tail), f"{name} {key} size": each.size,
                f"{name} {key} slope": np.array([each.slope.value, each.slope.error]), f"{name} {key} resolved": len(each.resolved),
                f"{name} {key} rank": np.array([each.effective_rank().value, each.effective_rank().error]),
            }  # fmt: skip
    slopes = config.steepest * np.linspace(0, 1, config.slopes) ** 2
    errors = np.array([[_errors(config, c, r) for r in range(config.repeats)] for c in slopes])
    return found | {"slopes": slopes, "train errors": errors[..., 0], "test errors": errors[..., 1]}


def _errors(config: Config, slope: float, repeat: int) -> tuple[float, float]:
    x, y = teacher(config, slope, config.samples + config.tests, repeat)
    n = config.samples
    net = student(config, x[:n], y[:n], repeat)
    return wrong(net, x[:n], y[:n]), wrong(net, x[n:], y[n:])


def table(config: Config, arrays: dict[str, Any]) -> str:
    """Slopes over the whole spectrum, fitted ranks and participation ranks."""
    lines = [
        f"{'inputs':<11}{'matrix':<26}{'rows':>6}{'resolved':>10}{'tail':>10}{'slope x rows':>18}{'participation':>20}"
    ]
    for name in INPUTS:
        for key in SHOWN:
            size, (first, end) = int(arrays[f"{name} {key} size"]), arrays[f"{name} {key} tail"]
            slope, error = size * arrays[f"{name} {key} slope"]
            said = f"{slope:.2f} ± {error:.2f}" if end else "-"
            rank, spread = arrays[f"{name} {key} rank"]
            tail = f"{first + 1}-{end}" if end else "-"
            lines.append(f"{name:<11}{key:<26}{size:>6}{arrays[f'{name} {key} resolved']:>10}{tail:>10}{said:>18}{f'{rank:.1f} ± {spread:.1f}':>20}")  # fmt: skip
    return "\n".join(lines)


def summary(config: Config, arrays: dict[str, Any]) -> str:
    """One line: the participation ranks of Fisher matrix and Hessian for each kind of inputs, and the test errors at both ends."""
    parts = []
    for name in INPUTS:
        ranks = [f"{key} {arrays[f'{name} {key} rank'][0]:.0f}" for key in ("data", "Gauss-Newton", "Hessian")]
        parts.append(f"{name}: {', '.join(ranks)}")
    test = arrays["test errors"].mean(1)
    return (
        f"participation ranks of {'; '.join(parts)}; test error {test[0]:.1%} with isotropic inputs, {test[-1]:.1%} "
        f"with eigenvalues that fall by exp(-{arrays['slopes'][-1]:g}) each (training errors up to {arrays['train errors'].max():.1%})"
    )


def draw(config: Config, arrays: dict[str, Any]) -> Figure:
    """All spectra for each kind of inputs against rank over rows, and errors against the slope of the inputs."""
    figure = Figure(figsize=(11.5, 8.0), layout="constrained")
    axes = figure.subplots(2, 2).ravel()
    for ax, name in zip(axes, INPUTS, strict=False):
        _draw_spectra(arrays, name, ax)
    axes[0].legend(frameon=False, fontsize=8, loc="lower left")
    low = min(ax.get_ylim()[0] for ax in axes[:3])
    for ax in axes[:3]:
        ax.set_ylim(max(low, 1e-15), 2)
    _draw_errors(arrays, axes[3])
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_spectra(arrays: dict[str, Any], name: str, ax: Any) -> None:
    for key, color in zip(SHOWN, colormaps["turbo"](np.linspace(0.05, 0.95, len(SHOWN))), strict=True):
        values, size = arrays[f"{name} {key} values"], int(arrays[f"{name} {key} size"])
        shown, (first, end) = int(arrays[f"{name} {key} resolved"]), arrays[f"{name} {key} tail"]
        ax.semilogy((np.arange(shown) + 0.5) / size, values[:shown] / values[0], color="black" if key == "data" else color,
                    lw=2 if key == "data" else 1.2, label=WORDS.get(key, key))  # fmt: skip
        if end:
            i = np.arange(first, end)
            line = np.exp(np.log(values[first:end]).mean() + arrays[f"{name} {key} slope"][0] * (i - i.mean()))
            ax.plot((i + 0.5) / size, line / values[0], color="black", ls=":", lw=0.7)
    words = {"digits": "handwritten digits", "sloppy": "normal inputs, variances fall exponentially", "isotropic": "normal inputs, equal variances"}  # fmt: skip
    ax.set(xlabel="rank / number of rows", ylabel="eigenvalue / largest", title=words[name])


def _draw_errors(arrays: dict[str, Any], ax: Any) -> None:
    for key, color in (("test errors", sg.plot.RED), ("train errors", sg.plot.BLUE)):
        values = arrays[key]
        spread = values.std(1, ddof=1) / math.sqrt(values.shape[1]) if values.shape[1] > 1 else None
        ax.errorbar(arrays["slopes"], values.mean(1), spread, fmt="o-", color=color, capsize=2, label=key.replace("train", "training"))  # fmt: skip
    ax.set(xlabel="slope of the inputs' log variances, per direction", ylabel="share of wrong labels", ylim=(0, None),
           title="a student of a random teacher: sloppy inputs are learnt from few samples")  # fmt: skip
    ax.legend(frameon=False)
