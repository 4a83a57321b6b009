"""torchsde; "SRA1" is its method "srk" for additive noise. float64 only: in float32 its BrownianInterval is ten times slower.

The BrownianInterval is told the step, which it is not by default: 64 instead of 174 ns per path-step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import Run
from .problems import HESSIAN, NOISE, SIGMA, START, STEP, muller_brown_force

try:
    import torch
    import torchsde
except ImportError:
    torchsde = None


def build(problem: str, paths: int, steps: int, threads: int, precision: str = "float64") -> Run | None:
    if torchsde is None or precision != "float64":
        return None
    torch.set_num_threads(threads)
    kind, dt = torch.float64, STEP[problem]
    dense, strong = problem == "B2", problem == "SRA1"
    hessian, noise = torch.tensor(HESSIAN.T, dtype=kind), torch.tensor(NOISE, dtype=kind)

    class Process(torch.nn.Module):
        noise_type = "general" if dense else "additive" if strong else "diagonal"
        sde_type = "ito"

        def f(self, t: Any, x: Any) -> Any:
            if dense:
                return -x @ hessian
            if problem == "B3":
                return torch.stack(muller_brown_force(torch, x[:, 0], x[:, 1]), dim=1)
            return x - x * x * x

        def g(self, t: Any, x: Any) -> Any:
            if dense:
                return noise.expand(len(x), 10, 10)
            return torch.full((len(x), 1, 1) if strong else x.shape, SIGMA[problem], dtype=kind)

    def run() -> object:
        start = torch.tensor(np.tile(START[problem], (paths, 1)), dtype=kind)
        times = torch.tensor([0.0, steps * dt], dtype=kind)
        area = "space-time" if strong else "none"
        noise_shape = (paths, len(START[problem]))
        path = torchsde.BrownianInterval(
            0.0, steps * dt, size=noise_shape, dtype=kind, dt=dt, levy_area_approximation=area
        )
        with torch.no_grad():
            return torchsde.sdeint(Process(), start, times, bm=path, dt=dt, method="srk" if strong else "euler")[-1]

    return run
