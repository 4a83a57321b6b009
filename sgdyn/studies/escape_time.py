"""Escape from a double well: simulation against the exact double integral, and Kramers' exponent, over a range of temperatures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import sgdyn as sg


@dataclass(frozen=True)
class Config:
    """Temperatures from `coldest` to `hottest` (1/T equally spaced), `n_paths` paths each, step `dt`."""

    coldest: float = 0.05
    hottest: float = 0.25
    temperatures: int = 7
    n_paths: int = 4000
    dt: float = 0.004
    seed: int = 0


def run(config: Config) -> dict[str, Any]:
    """Mean passage times -1 -> 1: exact, simulated, and the errors of the simulation."""
    T = 1 / np.linspace(1 / config.hottest, 1 / config.coldest, config.temperatures)
    well = sg.landscapes.double_well()
    exact = [float(sg.mean_first_passage_1d(well.problem(t), -1, 1)) for t in T]
    found = [
        sg.first_passage(
            well.problem(t), [-1.0], lambda x: x[0] > 1, dt=config.dt, n_paths=config.n_paths, seed=config.seed
        )
        for t in T
    ]
    return {
        "T": T,
        "exact": np.array(exact),
        "simulated": np.array([e.value for e in found]),
        "error": np.array([e.error for e in found]),
    }


def summary(config: Config, arrays: dict[str, Any]) -> str:
    """One line: the largest pull."""
    pull = (arrays["simulated"] - arrays["exact"]) / arrays["error"]
    return f"simulated and exact passage times agree within {np.abs(pull).max():.1f} standard errors at {len(pull)} temperatures"


def draw(config: Config, arrays: dict[str, Any]) -> Figure:
    """Passage time against 1/T on a logarithmic axis, and the pulls below."""
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    beta = 1 / arrays["T"]
    top.semilogy(beta, arrays["exact"], color=sg.plot.BLUE, label="exact (double integral)")
    top.semilogy(
        beta, np.pi * np.sqrt(2) * np.exp(beta / 4), color=sg.plot.GREY, ls="--", label="Kramers, leading order"
    )
    top.errorbar(
        beta,
        arrays["simulated"],
        arrays["error"],
        fmt="o",
        ms=4,
        color=sg.plot.RED,
        label=f"{config.n_paths} paths, dt = {config.dt:g}",
    )
    top.set(ylabel="mean passage time -1 → 1", title="U = x⁴/4 - x²/2")
    top.legend(frameon=False)
    bottom.axhspan(-1, 1, color=sg.plot.GREY, alpha=0.2)
    bottom.plot(beta, (arrays["simulated"] - arrays["exact"]) / arrays["error"], "o", color=sg.plot.RED)
    bottom.set(xlabel="1/T", ylabel="pull")
    return figure
