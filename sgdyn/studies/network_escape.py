"""Escape of a small network from one minimum to another: SGD against the diffusion with the network's own D(w), and what they differ by.

One hidden unit, f(x) = a tanh(gain (x + b)) with weights (a, b), and labels - + - + along x: its step can stand at either rise of the labels.
SGD at several batch sizes B with the same lr/B has the same diffusion. Beside it run gradient descent with Gaussian noise of the same D(w)
(what it differs by from the diffusion is the finite step alone) and SVAG (whose small steps approach the diffusion).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import sgdyn as sg
from sgdyn.fit.sojourns import interval


@dataclass(frozen=True)
class Config:
    """T = lr/2B; batches of `smallest`, twice as many, ... (`sizes` of them); SVAG at batches of `amplified` with 1, 2, 4, ... (`levels` of them);
    `replicas` for the time `t`; `cells` along a, twice as many along b."""

    T: float = 0.015
    smallest: int = 2
    sizes: int = 4
    amplified: int = 4
    levels: int = 4
    replicas: int = 500
    t: float = 180.0
    cells: int = 60
    gain: float = 4.0
    seed: int = 0


CENTER = (0.5, 0.0)
BOX = ((-0.1, 1.2), (-1.0, 1.0))
EDGE = 0.35
LOOK = 0.5
"""Time between two looks, as near as steps allow."""
CORES = {"left": lambda w: w[1] < -EDGE, "right": lambda w: w[1] > EDGE}
SCHEMES = ("SGD", "Gaussian noise")


class Unit(nn.Module):
    """a tanh(gain (x + b))."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain
        self.a, self.b = (nn.Parameter(torch.tensor(w, dtype=torch.float64)) for w in CENTER)

    def forward(self, x: Tensor) -> Tensor:
        return self.a * torch.tanh(self.gain * (x + self.b))


def data() -> tuple[Any, Any]:
    """Inputs (42, 1) and labels (42, 1): - below -1/2, + below 0, - below 1/2, + beyond."""
    lines = [np.linspace(a, b, n) for a, b, n in ((-1.5, -0.5, 12), (-0.5, 0, 9), (0, 0.5, 9), (0.5, 1.5, 12))]
    labels = [np.full(len(line), sign) for line, sign in zip(lines, (-1.0, 1.0, -1.0, 1.0), strict=True)]
    return np.concatenate(lines)[:, None], np.concatenate(labels)[:, None]


def network(config: Config) -> sg.nets.Network:
    """The network between its two minima."""
    return sg.nets.Network(Unit(config.gain), nn.MSELoss(), data())


def run(config: Config) -> dict[str, Any]:
    """Minima, saddle, the rate of the diffusion with D(w) and with D of the minimum, and measured rates with their limits."""
    net = network(config)
    space = net.subspace(2, basis=np.eye(2))
    shifted = [tuple(np.subtract(side, c)) for side, c in zip(BOX, CENTER, strict=True)]
    points = sg.critical_points(space.potential(), shifted)
    wells = points.minima[np.argsort(points.minima[:, 1])]
    minima = space.embed(wells)
    predicted = _predicted(config, space, wells[0], shifted)
    found: dict[str, Any] = {
        "minima": minima,
        "saddle": space.embed(points.saddles[0]),
        **_landscape(space),
        **predicted,
    }
    found["barrier"] = float(np.ptp(space.potential()(np.stack([wells[0], points.saddles[0]]))))
    batches = config.smallest * 2 ** np.arange(config.sizes)
    levels = 2 ** np.arange(1, config.levels)
    for name, scheme in zip(SCHEMES, (None, sg.nets.GaussianNoise()), strict=True):
        found[name] = np.array([_measured(config, net, space, minima, int(batch), scheme) for batch in batches])
    amplified = [_measured(config, net, space, minima, config.amplified, sg.nets.SVAG(int(level))) for level in levels]
    return found | {"batches": batches, "levels": levels, "SVAG": np.array(amplified)}


def _predicted(config: Config, space: Any, minimum: Any, box: Any) -> dict[str, Any]:
    """Transitions over the time in which the left core was visited last, on the grid: (rate, error) with D(w), and with D of the minimum."""
    grid = sg.Grid([(*box[0], config.cells), (*box[1], 2 * config.cells)])
    whole = space.process(lr=2 * config.T, batch=1, loss="exact", noise="exact")
    fixed = sg.Langevin(whole.U, config.T, space.noise().matrix(np.asarray(minimum)))
    rates = {}
    for name, process in (("diffusion", whole), ("fixed D", fixed)):
        rate = sg.fokker_planck(process, grid).rate(CORES["left"], CORES["right"], once_in_a=True)
        rates[name] = np.array([float(rate.value), float(rate.error)])
    return rates


def _landscape(space: Any) -> dict[str, Any]:
    """Loss and D_bb on a grid of weights, for the picture."""
    a, b = np.linspace(*BOX[0], 60), np.linspace(*BOX[1], 90)
    points = np.stack(np.meshgrid(a, b, indexing="ij"), axis=-1) - np.array(CENTER)
    return {"a": a, "b": b, "loss": space.potential()(points), "D": space.noise().matrix(points)[..., 1, 1]}


def _measured(config: Config, net: Any, space: Any, minima: Any, batch: int, scheme: Any) -> Any:
    """(rate, error, lower, upper, exponent of Weibull's law, its error) of both directions together, which are mirror images."""
    lr = 2 * config.T * batch
    step = lr * (scheme.part if scheme is not None else 1.0)
    every = max(1, round(LOOK / step))
    starts = minima[np.arange(config.replicas) % 2]
    steps = every * int(np.ceil(config.t / (step * every)))
    recording = sg.nets.train(
        net, steps=steps, lr=lr, batch=batch, replicas=config.replicas, record=space, every=every, start=starts, seed=config.seed, scheme=scheme
    )  # fmt: skip
    x = recording.x * np.where(starts[:, 1] > 0, -1.0, 1.0)[:, None, None] ** np.array([0, 1])
    found = sg.fit.escape(x, CORES, dt=every * step)
    count, time = found.counts.sum(), found.exposure.sum()
    lower, upper = interval(np.array([count]), np.array([time]), 0.95)
    shape = found.shape
    return count / time, np.sqrt(max(count, 1)) / time, lower[0], upper[0], shape.value[0], shape.error[0]


def summary(config: Config, arrays: dict[str, Any]) -> str:
    """One line: ratios to the diffusion."""
    rate = arrays["diffusion"][0]
    sgd, gauss, svag = (arrays[name][:, 0] / rate for name in (*SCHEMES, "SVAG"))
    k = list(arrays["batches"]).index(config.amplified)
    return (
        f"at B = {config.amplified} SGD escapes {sgd[k]:.2f} times as often as the diffusion, with Gaussian noise {gauss[k]:.2f}, with SVAG({arrays['levels'][-1]}) {svag[-1]:.2f}; "
        f"with D of the minimum everywhere the diffusion would have {arrays['fixed D'][0] / rate:.2f}"
    )


def draw(config: Config, arrays: dict[str, Any]) -> Figure:
    """The loss with its minima; rates over the diffusion's against the batch size, and against SVAG's steps."""
    figure = Figure(figsize=(10.5, 3.5), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _draw_landscape(arrays, left)
    rate = arrays["diffusion"][0]
    for name, color in zip(SCHEMES, (sg.plot.RED, sg.plot.BLUE), strict=True):
        middle.errorbar(arrays["batches"], arrays[name][:, 0] / rate, arrays[name][:, 1] / rate, fmt="o-", ms=4, capsize=2, color=color, label=name)  # fmt: skip
    k = list(arrays["batches"]).index(config.amplified)
    series = np.vstack([arrays["SGD"][k], arrays["SVAG"]])
    steps = np.append(1, arrays["levels"])
    right.errorbar(steps, series[:, 0] / rate, series[:, 1] / rate, fmt="o-", ms=4, capsize=2, color=sg.plot.GREEN, label=f"SVAG, B = {config.amplified}")  # fmt: skip
    for ax, label in ((middle, f"batch size, lr = {2 * config.T:g} batch"), (right, "SVAG's steps for one of SGD")):
        ax.axhline(1, color="black", lw=0.8)
        ax.axhline(arrays["fixed D"][0] / rate, color=sg.plot.GREY, ls=":", label="diffusion, D of the minimum")
        ax.set(xscale="log", xlabel=label, ylabel="escape rate / diffusion with D(w)", ylim=(0, None))
        ticks = arrays["batches"] if ax is middle else steps
        ax.set_xticks(ticks, [str(n) for n in ticks], minor=False)
        ax.set_xticks([], minor=True)
        ax.legend(frameon=False, fontsize=8)
    return figure


def _draw_landscape(arrays: dict[str, Any], ax: Any) -> None:
    ax.contourf(arrays["b"], arrays["a"], arrays["loss"], levels=25, cmap="Blues_r", alpha=0.8)
    lines = ax.contour(
        arrays["b"], arrays["a"], arrays["D"], levels=[0.5, 1, 2, 4, 8, 16], colors=sg.plot.ORANGE, linewidths=0.8
    )
    ax.clabel(lines, fontsize=6)
    ax.plot(arrays["minima"][:, 1], arrays["minima"][:, 0], "o", color=sg.plot.RED, label="minima")
    ax.plot(arrays["saddle"][1], arrays["saddle"][0], "x", color=sg.plot.RED, label="saddle")
    ax.set(xlabel="b", ylabel="a", title="loss (blue), $D_{bb}$ (lines)")
    ax.legend(frameon=False, fontsize=8, loc="lower right")
