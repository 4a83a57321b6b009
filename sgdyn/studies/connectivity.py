"""Is there a wall between two networks? Hardly: most of what the straight line climbs is the order of the hidden units, the rest is its straightness.

Two small networks begin at different weights, learn different tasks by SGD (the digits 0 to 4, the digits 5 to 9), and then go to the minimum of
the loss U of all digits next to them. Between the two minima: U along the straight line and along a string that relaxes towards a minimum
energy path, before and after the hidden units of the second are put into the order of the first (`nets.alignment`), which changes neither function nor loss. The
string's top is an upper bound of the barrier: it is stopped after `steps`. What depends on the ends alone is the ratio of stationary weights,

    w_b/w_a = exp(-(U_b - U_a)/T) sqrt(det H_a/det H_b),   T = lr/2B,

for noise D = 1; the noise of SGD is not that (see the study `anisotropy`), and where U between the minima is no higher than T they are one valley.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import sgdyn as sg
from sgdyn.nets.alignment import aligned


@dataclass(frozen=True)
class Config:
    """`samples` digits, `hidden` units, `weight_decay`; SGD on the tasks for `tasks` steps; minima to `tolerance`; strings of `n` segments and `steps` steps; `lr` and `batch` of T."""

    samples: int = 300
    hidden: int = 16
    weight_decay: float = 0.01
    tasks: int = 500
    tolerance: float = 1e-4
    n: int = 24
    steps: int = 600
    lr: float = 0.1
    batch: int = 10
    seed: int = 0


KINDS = ("as trained", "aligned")
ALONG = np.linspace(0, 1, 41)
TASK_RATE, TASK_BATCH = 0.2, 30


def network(config: Config, seed: int, digits: tuple[int, int] = (0, 10)) -> sg.nets.Network:
    """An untrained network with the loss of the digits from the first up to before the last."""
    x, y = sg.datasets.digits()
    rows = np.random.default_rng(config.seed).permutation(len(x))[: config.samples]
    rows = rows[(y[rows] >= digits[0]) & (y[rows] < digits[1])]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(64, config.hidden), nn.SiLU(), nn.Linear(config.hidden, 10)).double()
    return sg.nets.Network(
        model, nn.CrossEntropyLoss(), (torch.tensor(x[rows]), torch.tensor(y[rows])), config.weight_decay
    )


def loss(whole: sg.nets.Network) -> sg.Potential:
    """U as a potential of the weights, at many points at once."""

    def U(w: Tensor) -> Tensor:
        return whole.losses(w, whole.x, whole.y).mean() + 0.5 * whole.weight_decay * (w @ w)

    return sg.nets.torch_potential(U, whole.dim, check=False)


def minimum(config: Config, seed: int, digits: tuple[int, int]) -> tuple[Any, Any]:
    """Weights (p,) after SGD on a task, and at the minimum of the loss of all digits next to them."""
    task = network(config, seed, digits)
    trained = (
        sg.nets.train(task, lr=TASK_RATE, batch=TASK_BATCH, steps=config.tasks, seed=seed, show_progress=False)
        .weights[0]
        .numpy()
    )
    found = network(config, seed).at(trained).minimize(tolerance=config.tolerance)
    return trained, found.weights.numpy()


def run(config: Config) -> dict[str, Any]:
    """Both minima with their losses and log det H, loss along lines and strings as trained and aligned."""
    whole = network(config, config.seed)
    U = loss(whole)
    (first, a), (second, b) = (minimum(config, config.seed + k, task) for k, task in enumerate(((0, 5), (5, 10))))
    found: dict[str, Any] = {"along": ALONG, "tasks": U(np.stack([first, second])), "ends": U(np.stack([a, b]))}
    found["log det"] = np.array([_log_det(whole, w) for w in (a, b)])
    for kind, end in zip(KINDS, (b, aligned(whole, a, b)), strict=True):
        chain = sg.string(U, a, end, n=config.n, climbing=False, most=config.steps, shown=False)
        found |= {
            f"{kind} distance": float(np.linalg.norm(end - a)),
            f"{kind} line": U(a + ALONG[:, None] * (end - a)),
            f"{kind} string": U(_between(chain.x)),
            f"{kind} length": float(np.linalg.norm(np.diff(chain.x, axis=0), axis=1).sum()),
        }
    return found


def _between(x: Any) -> Any:
    """Points of the polygon through the images: also between them, where the loss may be higher."""
    k = np.minimum((ALONG * (len(x) - 1)).astype(int), len(x) - 2)
    return x[k] + (ALONG * (len(x) - 1) - k)[:, None] * (x[k + 1] - x[k])


def _log_det(whole: sg.nets.Network, w: Any) -> float:
    sign, value = np.linalg.slogdet(whole.at(w).hessian().dense())
    if sign <= 0:
        raise sg.NotConvergedError(
            "reached a point whose Hessian has a negative eigenvalue; type --tolerance 1e-6, or a larger --weight-decay"
        )
    return float(value)


def barriers(arrays: dict[str, Any], kind: str) -> tuple[float, float]:
    """The highest loss above the first minimum, along the line and along the string."""
    line, chain = (float(arrays[f"{kind} {way}"].max() - arrays["ends"][0]) for way in ("line", "string"))
    return line, chain


def log_weights(config: Config, arrays: dict[str, Any]) -> tuple[float, float]:
    """log w_b/w_a: the part of the losses, and that of the Hessians."""
    T = config.lr / (2 * config.batch)
    return -float(np.diff(arrays["ends"])[0]) / T, -0.5 * float(np.diff(arrays["log det"])[0])


def summary(config: Config, arrays: dict[str, Any]) -> str:
    """One line: the walls, and the weights of both ends."""
    parts = [f"{kind}, at a distance of {arrays[f'{kind} distance']:.1f}: {line:.4f} along the line, at most {chain:.4f} along the path"
             for kind in KINDS for line, chain in [barriers(arrays, kind)]]  # fmt: skip
    by_loss, by_room = log_weights(config, arrays)
    return (
        f"loss above the first minimum ({arrays['ends'][0]:.4f}): {'; '.join(parts)}; T = {config.lr / (2 * config.batch):g}; log of the ratio of stationary weights "
        f"{by_loss:+.3f} from the losses {by_room:+.3f} from the Hessians, static factor {np.exp(0.5 * by_loss):.3f}"
    )


def draw(config: Config, arrays: dict[str, Any]) -> Figure:
    """Loss between the minima along the line and the string, on a linear scale and, above the higher end, on a logarithmic one with T."""
    figure = Figure(figsize=(10.5, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    T, floor = config.lr / (2 * config.batch), arrays["ends"][0]
    for kind, color in zip(KINDS, (sg.plot.RED, sg.plot.BLUE), strict=True):
        for way, style in (("line", "--"), ("string", "-")):
            label = f"{kind}: {'straight line' if way == 'line' else 'relaxed path'}"
            left.plot(ALONG, arrays[f"{kind} {way}"], color=color, ls=style, label=label)
            right.semilogy(ALONG, np.maximum(arrays[f"{kind} {way}"] - floor, 1e-6), color=color, ls=style)
    left.plot([0, 1], arrays["ends"], "o", color="black", ms=6)
    left.set(
        xlabel="share of the way from one network to the other",
        ylabel="loss of all digits",
        title="most of the wall is the order of hidden units",
    )
    left.legend(frameon=False, fontsize=8)
    right.axhline(T, color="black", ls=":", label=f"T = lr/2B = {T:g}")
    right.set(
        xlabel="share of the way",
        ylabel="loss above the first minimum",
        ylim=(1e-5, 2),
        title="along the path the wall is lower than T"
        if max(barriers(arrays, k)[1] for k in KINDS) < T
        else "the wall against T",
    )
    right.legend(frameon=False, fontsize=8, loc="center", bbox_to_anchor=(0.5, 0.68))
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    return figure
