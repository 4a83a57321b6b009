"""What products of a network's matrices cost: measured on one batch, taken for all."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from sgdyn.linalg.plans import Cost


def measured(function: Callable[[], object], device: torch.device) -> Cost:
    """Seconds of a second call, and its operations in matrix products and convolutions as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        function()
    _wait(device)
    began = time.perf_counter()
    function()
    _wait(device)
    return time.perf_counter() - began, float(counter.get_total_flops())


def scaled(cost: Cost, factor: float) -> Cost:
    """So many times a cost."""
    return cost[0] * factor, cost[1] * factor


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
