"""Draw the pictures of the README and the gallery: `make pictures`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

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


def main() -> None:
    PLACE.mkdir(exist_ok=True)
    fit()
    with tempfile.TemporaryDirectory() as folder:
        for name in studies.NAMES:
            _, made = studies.perform(name, studies.load(name).Config(), Path(folder))
            shutil.copy(made / "figure.png", PLACE / f"{name}.png")


if __name__ == "__main__":
    main()
