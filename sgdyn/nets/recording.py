"""What a run of SGD was, and what was seen of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
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

    seed and spawn_key are the entropy and the spawn key of its `numpy.random.SeedSequence`.
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

    def plot(self, ax: Any = None) -> Any:
        """The first coordinates of the first replica against steps (see `sgdyn.plot`)."""
        from sgdyn import plot

        return plot.figure(self, ax=ax)
