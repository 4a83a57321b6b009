"""The noise D and the curvature H of networks while they are trained: D shrinks and turns, the shape of its spectrum changes less, and its rank is what one takes for zero.

A softmax classifier and a network with one hidden layer learn handwritten digits by SGD. At the start and after `times` of the training: all
eigenvalues of D and H. Chaudhari and Soatto (arXiv:1710.11029, Figs. 1 and 2) report ranks of D below 2 % with the threshold p eps lambda_1 in
single precision; in double precision the same D has a rank of most of p.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

import sgdyn as sg
from sgdyn.linalg.ranks import FLOAT32


@dataclass(frozen=True)
class Config:
    """`data`: "digits", or a .npz file with images x_train (n, side, side) and y_train (n,); the first `samples` of them (0: all); `hidden` units; `epochs` of SGD with `lr` and `batch`."""

    data: str = "digits"
    samples: int = 0
    hidden: int = 24
    epochs: int = 100
    lr: float = 0.2
    batch: int = 32
    seed: int = 0


MODELS = ("softmax", "hidden layer")
TIMES = (0.0, 0.2, 0.4, 1.0)
POOLED = 7
"""Images of more than 8 pixels a side are averaged to so many a side."""
RULES = ("participation", "stable", "float32")
SMALL = 1e-4
"""Eigenvalues of H below this are counted, as in the literature on its peak at zero."""
COLORS = ("#7f7f7f", sg.plot.BLUE, sg.plot.ORANGE, sg.plot.RED)


def images(config: Config) -> tuple[Any, Any]:
    """Inputs (n, pixels) in [0, 1] and labels (n,)."""
    if config.data == "digits":
        x, y = sg.datasets.digits()
    else:
        x, y = _stored(Path(config.data))
    n = config.samples or len(x)
    return x[:n], y[:n]


def _stored(path: Path) -> tuple[Any, Any]:
    with np.load(path, allow_pickle=False) as found:
        if "x_train" not in found or "y_train" not in found:
            raise ValueError(f"got {path} with {', '.join(found)}, expected x_train (n, side, side) and y_train (n,)")
        x, y = found["x_train"].astype(np.float64), found["y_train"].astype(np.int64)
    side = x.shape[1]
    if x.ndim != 3 or x.shape[2] != side or (side > 8 and side % POOLED):
        raise ValueError(f"got images of shape {x.shape[1:]}, expected squares of at most 8 or of a multiple of {POOLED} pixels a side")  # fmt: skip
    if side > 8:
        x = x.reshape(len(x), POOLED, side // POOLED, POOLED, side // POOLED).mean((2, 4))
    return x.reshape(len(x), -1) / x.max(), y


def network(config: Config, name: str) -> sg.nets.Network:
    """An untrained network of that kind."""
    x, y = images(config)
    classes = int(y.max()) + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        layers = [nn.Linear(x.shape[1], classes)]
        if name == "hidden layer":
            layers = [nn.Linear(x.shape[1], config.hidden), nn.ReLU(), nn.Linear(config.hidden, classes)]  # type: ignore[list-item]
        model = nn.Sequential(*layers).double()
    return sg.nets.Network(model, nn.CrossEntropyLoss(), (torch.tensor(x), torch.tensor(y)))


def trained(config: Config, start: sg.nets.Network) -> list[sg.nets.Network]:
    """The network at each of the times."""
    each, places = start.n // config.batch, [start]
    for k in range(1, len(TIMES)):
        steps = each * (round(TIMES[k] * config.epochs) - round(TIMES[k - 1] * config.epochs))
        if steps < 1:
            raise ValueError(f"got epochs={config.epochs}, batch={config.batch} for {start.n} samples, expected at least a step for each time")  # fmt: skip
        run = sg.nets.train(
            places[-1],
            steps=steps,
            lr=config.lr,
            batch=config.batch,
            sampler="epoch",
            every=steps,
            seed=config.seed + k,
        )
        places.append(start.at(run.weights[0]))
    return places


def run(config: Config) -> dict[str, Any]:
    """Eigenvalues of D and H (time, p), ranks of D by each rule, losses, errors, and the cosines between times, for each model."""
    found: dict[str, Any] = {}
    for name in MODELS:
        places = trained(config, network(config, name))
        rows = [_at(place) for place in places]
        found |= {f"{name} {key}": np.stack([row[key] for row in rows]) for key in rows[0]}
        found[f"{name} matrix cosine"] = _cosines([place.noise().dense() for place in places])
        found[f"{name} shape cosine"] = _cosines(list(found[f"{name} D"]))
    return found


def _at(place: sg.nets.Network) -> dict[str, Any]:
    noise, hessian = place.noise(), place.hessian()
    D, H = noise.density(), hessian.density(method="dense")
    values = np.concatenate([D.known, np.zeros(place.dim - len(D.known))])
    with torch.no_grad():
        wrong = float((place.output(place.weights, place.x).argmax(1) != place.y).double().mean())
    return {
        "D": values, "H": H.known, "floor": np.array([D.errors.max(), H.errors.max()]), "loss": place.value(), "wrong": wrong,
        "gradient": float(np.linalg.norm(place.gradient())), "ranks": np.array([float(noise.effective_rank(rule)) for rule in RULES]),
    }  # fmt: skip


def _cosines(parts: list[Any]) -> Any:
    """The cosines of the angles between arrays (m, m)."""
    flat = np.stack([part.ravel() / np.linalg.norm(part) for part in parts])
    return flat @ flat.T


def rank_curve(values: Any, relative: Any) -> Any:
    """The share of eigenvalues (p,) that exceed each threshold relative to the largest."""
    return (values[:, None] > relative * values.max()).mean(0)


def table(config: Config, arrays: dict[str, Any]) -> str:
    """The numbers of the talk for each model and time, and beside them those that need no threshold."""
    lines = []
    for name in MODELS:
        D, H = arrays[f"{name} D"], arrays[f"{name} H"]
        p = D.shape[1]
        lines += [
            f"{name}, p = {p}",
            f"{'training':>9}{'loss':>10}{'error':>8}{'tr D':>10}{'D: mean ± std':>20}{'top':>10}{'rank f32':>10}{'rank f64':>10}"
            f"{'participation':>14}{'H: top':>9}{'lowest':>10}{f'|h| < {SMALL:g}':>12}{'cos to end':>12}{'shape':>8}",
        ]
        for k, time in enumerate(TIMES):
            d, h, ranks = D[k], H[k], dict(zip(RULES, arrays[f"{name} ranks"][k], strict=True))
            lines.append(
                f"{time:>9.0%}{arrays[f'{name} loss'][k]:>10.3g}{arrays[f'{name} wrong'][k]:>8.2%}{d.sum():>10.3g}{f'{d.mean():.2g} ± {d.std():.2g}':>20}{d.max():>10.3g}"
                f"{ranks['float32'] / p:>10.2%}{float(rank_curve(d, np.array([p * np.finfo(float).eps]))[0]):>10.1%}{ranks['participation']:>14.1f}"
                f"{h.max():>9.3g}{h.min():>10.2g}{np.mean(np.abs(h) < SMALL):>12.0%}{arrays[f'{name} matrix cosine'][k, -1]:>12.3f}{arrays[f'{name} shape cosine'][k, -1]:>8.3f}"
            )
    return "\n".join(lines)


def summary(config: Config, arrays: dict[str, Any]) -> str:
    """One line: how D shrinks, keeps its shape, and what its rank is by which threshold."""
    parts = []
    for name in MODELS:
        D, p = arrays[f"{name} D"], arrays[f"{name} D"].shape[1]
        shape, whole = arrays[f"{name} shape cosine"], arrays[f"{name} matrix cosine"]
        ranks = arrays[f"{name} ranks"][-1]
        double = float(rank_curve(D[-1], np.array([p * np.finfo(float).eps]))[0])
        parts.append(
            f"{name} (p = {p}): tr D {D[0].sum():.3g} at the start, {D[-1].sum():.3g} at the end; cosine of its spectra at 20 and 100 % {shape[1, 3]:.2f}, of the matrices {whole[1, 3]:.2f}; "
            f"rank at the end {ranks[2] / p:.1%} by single precision's threshold, {double:.0%} by double precision's; participation {ranks[0]:.0f}"
        )
    return "; ".join(parts)


def draw(config: Config, arrays: dict[str, Any]) -> Figure:
    """For each model: D and H by rank, and ranks against thresholds."""
    figure = Figure(figsize=(11.5, 6.4), layout="constrained")
    for axes, name in zip(figure.subplots(len(MODELS), 3), MODELS, strict=True):
        _draw_noise(arrays, name, axes[0])
        _draw_curvature(arrays, name, axes[1])
        _draw_ranks(arrays, name, axes[2])
        for ax in axes:
            ax.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, fontsize=8, title="of the training")
    return figure


def _draw_noise(arrays: dict[str, Any], name: str, ax: Any) -> None:
    D, floor = arrays[f"{name} D"], arrays[f"{name} floor"][:, 0]
    i = np.arange(1, D.shape[1] + 1)
    for k, color in enumerate(COLORS):
        ax.loglog(i, np.where(D[k] > floor[k], D[k], np.nan), color=color, label=f"{TIMES[k]:.0%}")
    shape, whole = arrays[f"{name} shape cosine"], arrays[f"{name} matrix cosine"]
    said = f"cosines from 20 to 100 %:\nspectra {shape[1, 3]:.2f}, matrices {whole[1, 3]:.2f}"
    ax.set(xlabel="rank", ylabel="eigenvalue of D", title=f"{name}, p = {len(i)}, {said}")  # fmt: skip


def _draw_curvature(arrays: dict[str, Any], name: str, ax: Any) -> None:
    H, floor = arrays[f"{name} H"], arrays[f"{name} floor"][:, 1]
    for k, color in enumerate(COLORS):
        up, down = H[k][H[k] > floor[k]], -H[k][H[k] < -floor[k]][::-1]
        ax.loglog(np.arange(1, len(up) + 1), up, color=color)
        ax.loglog(np.arange(1, len(down) + 1), down, color=color, ls=":")
    ax.plot([], [], color="black", ls=":", label="negative, modulus")
    ax.set(xlabel="rank", ylabel="eigenvalue of H", title="the Hessian", ylim=(1e-12, None))
    ax.legend(frameon=True, framealpha=1, edgecolor="none", fontsize=8, loc="lower left")


def _draw_ranks(arrays: dict[str, Any], name: str, ax: Any) -> None:
    D = arrays[f"{name} D"]
    p, t = D.shape[1], np.geomspace(1e-15, 1, 300)
    for k, color in enumerate(COLORS):
        ax.semilogx(t, rank_curve(D[k], t), color=color)
    for eps, words, style in ((FLOAT32, "p eps in single precision", "--"), (np.finfo(float).eps, "p eps in double precision", ":")):  # fmt: skip
        ax.axvline(p * eps, color="black", ls=style, lw=1, label=words)
    ax.set(xlabel="threshold / largest eigenvalue", ylabel="rank of D / p", ylim=(0, 1.02), title="the rank is what one takes for zero")  # fmt: skip
    ax.legend(frameon=True, framealpha=1, edgecolor="none", fontsize=8, loc="lower left")
