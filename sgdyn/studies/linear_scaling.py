"""The same learning rate over batch size, three times: the diffusion is one and the same, SGD is not.

Softmax regression and a small network on the digits, at rest in a minimum, at (lr, batch), (4 lr, 4 batch) and (16 lr, 16 batch). Where the diffusion
holds, the variances in the top directions of the Hessian agree (the linear scaling rule, Goyal et al., arXiv:1706.02677). Three theories beside the run: the
diffusion, the exact iteration on the quadratic loss (finite steps), and what is left, curvature and noise that the run meets away from the minimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

import sgdyn as sg
from sgdyn.estimate import rounded
from sgdyn.fit.run import Case, build, schedule
from sgdyn.nets.network import Network
from sgdyn.nets.subspace import Subspace

MODELS = ("softmax", "mlp")
FACTORS = (1, 4, 16)


@dataclass(frozen=True)
class Config:
    """The smallest learning rate and batch; `directions` of the Hessian, `relaxations` of the slowest of them, `replicas` of SGD."""

    lr: float = 0.01
    batch: int = 8
    directions: int = 8
    replicas: int = 24
    relaxations: float = 10.0
    seed: int = 0


def run(config: Config) -> dict[str, Any]:
    """For each model: curvatures (k,); for each pair measured and exact discrete variances over the diffusion's (pair, k), with errors, and how D
    and curvature along the run differ from those of the minimum."""
    found: dict[str, Any] = {"lr": config.lr * np.array(FACTORS), "batch": config.batch * np.array(FACTORS)}
    for model in MODELS:
        network = build(Case(model, model=model, seed=config.seed)).minimize()
        space = network.subspace(config.directions)
        found[f"{model}.curvature"] = np.diag(space.H)
        rows = [_pair(config, network, space, factor) for factor in FACTORS]
        found |= {f"{model}.{name}": np.array([row[name] for row in rows]) for name in rows[0]}
    return found


def _pair(config: Config, network: Network, space: Subspace, factor: int) -> dict[str, Any]:
    """One run beside its theories."""
    lr, batch = factor * config.lr, factor * config.batch
    settle, steps, every = schedule(Case("", lr=lr, batch=batch, relaxations=config.relaxations), space)
    recording = sg.nets.train(
        network, steps=steps, lr=lr, batch=batch, replicas=config.replicas, record=space, every=every, seed=config.seed
    )
    c = sg.fit.compare(recording.after(settle), space, paths=0)
    measured = c.resolved.ratio("diffusion")
    noise, curvature = (
        np.diag(part.value) / np.diag(own) - 1 for part, own in ((c.dressed.D, space.D), (c.dressed.F, space.H))
    )
    return {
        "measured": measured.value, "error": measured.error, "discrete": c.discrete / c.diffusion, "holds": c.verdict.holds, "noise": noise,
        "curvature_along": curvature,
    }  # fmt: skip


def summary(config: Config, arrays: dict[str, Any]) -> str:
    """For each model the mean deviation from the diffusion, and from the exact iteration, at both ends, and whether chance makes as much."""
    lines = []
    for model in MODELS:
        ends = [f"{_gap(arrays, model, i, 'one')} (from exact SGD on the quadratic {_gap(arrays, model, i, 'discrete')}) at lr = {arrays['lr'][i]:g}" for i in (0, -1)]  # fmt: skip
        lines.append(f"{model}: variances differ from the diffusion's by {ends[0]}, {ends[1]}")
    return "\n".join(lines)


def _gap(arrays: dict[str, Any], model: str, i: int, theory: str) -> str:
    """The mean over directions, with the chance that a sum of squared pulls as large is noise: the largest of them would be biased."""
    expected = arrays[f"{model}.discrete"][i] if theory == "discrete" else 1.0
    gap = arrays[f"{model}.measured"][i] / expected - 1
    error = np.broadcast_to(arrays[f"{model}.error"][i] / expected, gap.shape)
    chance = float(stats.chi2.sf(np.sum((gap / error) ** 2), len(gap)))
    mean, doubt = 100 * float(np.mean(gap)), 100 * float(np.linalg.norm(error)) / len(gap)
    return f"{rounded(mean, doubt)} % on average, chance {chance:.2g}"


def draw(config: Config, arrays: dict[str, Any]) -> Figure:
    """Variances over the diffusion's against curvature; lines are exact SGD on the quadratic."""
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    colors = (sg.plot.BLUE, sg.plot.GREEN, sg.plot.RED)
    for ax, model in zip(axes, MODELS, strict=True):
        h = arrays[f"{model}.curvature"]
        for i, color in enumerate(colors):
            label = f"lr {arrays['lr'][i]:g}, batch {arrays['batch'][i]}"
            ax.errorbar(
                h,
                arrays[f"{model}.measured"][i],
                arrays[f"{model}.error"][i],
                fmt="o",
                ms=4,
                capsize=2,
                color=color,
                label=label,
            )
            ax.plot(h, arrays[f"{model}.discrete"][i], "--", lw=0.9, color=color)
        ax.axhline(1, color="black", lw=0.8)
        ax.set(xlabel="curvature h", title=f"{model} on the digits")
    axes[0].set_ylabel("variance / diffusion's")
    axes[0].legend(frameon=False, title="dashed: exact SGD on the quadratic")
    return figure
