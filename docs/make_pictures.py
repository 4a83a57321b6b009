"""Draw the pictures of the README and the gallery: `make pictures`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import sgdyn as sg
from sgdyn import studies
from sgdyn.fit.run import DEFAULT, run_case

PLACE = Path(__file__).parent / "pictures"


def fit() -> None:
    """Small temperature, where theory is exact, beside the epoch sampler, where it is not."""
    with plt.rc_context(sg.plot.STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
        titles = ("batches of 128, with replacement", "batches of 16, epoch by epoch")
        for ax, case, title in zip(axes, DEFAULT[2:], titles, strict=True):
            sg.plot.figure(run_case(case).comparison.resolved, ax)
            ax.set_title(title)
        figure.savefig(PLACE / "fit.png", dpi=110)


def flows() -> None:
    """A diffusion on its way to its Gibbs density, and a crowd that draws together to a flock with fronts."""
    with plt.rc_context(sg.plot.STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
        well = sg.landscapes.double_well().problem(0.2)
        line = sg.Grid([(-2.2, 2.2, 200)])
        diffusion = sg.jko(well, sg.gaussian(line, [0.9], [[0.05]]), tau=0.3, n=24, method=sg.Graph(2))
        attraction = sg.potential(dim=1)(lambda x: -2 * np.exp(-(x[0] ** 2) / 2))
        nothing = sg.Langevin(sg.potential(dim=1)(lambda x: 0 * x[0]), T=1.0)
        crowd = sg.PorousMedium(2.0, T=0.3) + sg.Interaction(attraction)
        apart = sg.gaussian(sg.Grid([(-4, 4, 200)]), [0.0], [[1.5]])
        flock = sg.jko(nothing, apart, tau=0.3, n=24, method=sg.Graph(), energy=crowd)
        for ax, flow, title in zip(axes, (diffusion, flock), ("diffusion", "aggregation"), strict=True):
            sg.plot.figure(flow, ax)
            ax.set_title(title)
        figure.savefig(PLACE / "flows.png", dpi=110)


def main() -> None:
    PLACE.mkdir(exist_ok=True)
    fit()
    flows()
    with tempfile.TemporaryDirectory() as folder:
        for name in studies.NAMES:
            _, made = studies.perform(name, studies.load(name).Config(), Path(folder))
            shutil.copy(made / "figure.png", PLACE / f"{name}.png")


if __name__ == "__main__":
    main()
