"""Learning rates of a run, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sgdyn import checks
from sgdyn.nets.traceless import digest

Floats = NDArray[np.float64]


def rates(lr: Any, steps: int) -> Floats:
    """The learning rate of each step (steps,) from a number, numbers, or a function of the step."""
    if isinstance(lr, Tensor):
        lr = lr.detach().double().cpu().numpy()
    values = np.array([float(lr(step)) for step in range(steps)]) if callable(lr) else checks.real("lr", lr)
    if values.ndim == 0:
        return np.broadcast_to(checks.positive("lr", float(values)), (steps,))
    if values.shape != (steps,) or not np.all(np.isfinite(values) & (values > 0)):
        raise ValueError(f"got a schedule lr of shape {values.shape}, expected {steps} positive numbers, one a step")
    return values


def schedule(values: Floats) -> str:
    """By what a schedule is known again, empty for a constant learning rate."""
    even = values.strides == (0,) or bool(np.all(values == values[0]))
    return "" if even else digest(torch.as_tensor(values))
