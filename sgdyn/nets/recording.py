"""What a run of SGD was, and what was seen of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sgdyn.printing import Printed

Floats = NDArray[np.float64]

SERIES = ("x", "gradients", "shadow", "losses", "gradient_norms")


@dataclass(frozen=True)
class Settings:
    """What defines a run: two runs with equal settings, network and start are the same run.

    seed and spawn_key are the entropy and the spawn key of its `numpy.random.SeedSequence`. scheme, labels: as they print; part of lr is the
    step of the weights. schedule: the digest of learning rates that change (lr is then the first), empty if they do not.
    """

    steps: int
    lr: float
    batch: int
    sampler: str
    momentum: float
    replicas: int
    every: int
    seed: Any
    n: int
    weight_decay: float
    spawn_key: tuple[int, ...] = ()
    scheme: str = "SGD()"
    labels: str = ""
    part: float = 1.0
    schedule: str = ""

    @property
    def dt(self) -> float:
        """The time of one step in the process that `sgd` makes of the run: lr, with momentum sqrt(lr), `Momentum`'s. Raises ValueError if lr changes.

        lr is part of the rate, as the scheme has it. The overdamped diffusion of a run with momentum mu counts lr/(1 - mu) a step, another clock.
        """
        if self.schedule:
            raise ValueError(
                "got a run whose learning rate changes, expected a constant one; type the part of recording.x with one rate, and its dt="
            )
        step = self.part * self.lr
        return float(np.sqrt(step)) if self.momentum else step

    def require_plain(self) -> None:
        """Raises ValueError for other schemes than SGD and for noisy labels: the theories that are compared are SGD's."""
        if self.scheme != "SGD()" or self.labels:
            raise ValueError(
                f"got a run with {' and '.join(filter(None, (self.scheme, self.labels)))}, expected plain SGD, whose theory is compared; type fit.linear(recording)"
            )


@dataclass(frozen=True, eq=False, repr=False)
class Recording(Printed):
    """A run of SGD seen every `settings.every` steps, just before the step.

    steps (time,); x (replica, time, k): coordinates V'(w - center); gradients (replica, time, k): V'(batch gradient); shadow (replica,
    time, k): the quadratic model driven by the same batches (k = 0 without a `Subspace`); losses, gradient_norms (replica, time): of the
    batch, weight decay included; weights (replica, p): the last ones. `complete` is False if Ctrl-C ended the run early. subspace: the
    digest of the `Subspace` it was recorded on, empty without one.
    """

    settings: Settings
    steps: NDArray[np.int64]
    x: Floats
    gradients: Floats
    shadow: Floats
    losses: Floats
    gradient_norms: Floats
    weights: Tensor
    complete: bool = True
    subspace: str = ""

    def after(self, step: int) -> Recording:
        """The same recording from a step on, to drop the approach to stationarity."""
        kept = self.steps >= step
        if not kept.any():
            raise ValueError(f"got step={step}, expected at most {self.steps[-1]}")
        return replace(self, steps=self.steps[kept], **{name: getattr(self, name)[:, kept] for name in SERIES})

    def save(self, path: str | Path) -> Path:
        """Write the recording into one safetensors file, for `Recording.load` and `sgdyn fit --recording`; returns its path."""
        from sgdyn.nets import recording_files

        return recording_files.save(self, path)

    @staticmethod
    def load(path: str | Path) -> Recording:
        """The recording that `save` wrote; nothing is unpickled. Raises ValueError for a file that is none."""
        from sgdyn.nets import recording_files

        return recording_files.load(path)

    def plot(self, ax: Any = None) -> Any:
        """The first coordinates of the first replica against steps (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)
