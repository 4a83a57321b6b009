"""A loop over steps in PyTorch, in place where that is faster."""

from __future__ import annotations

from . import Run
from .problems import HESSIAN, NOISE, START, STEP, muller_brown_force, scale

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]


def build(problem: str, paths: int, steps: int, threads: int, precision: str = "float64") -> Run | None:
    if torch is None or problem not in ("B1", "B2", "B3"):
        return None
    torch.set_num_threads(threads)
    kind, dt = getattr(torch, precision), STEP[problem]

    def double_well() -> object:
        x, z, factor = torch.zeros(paths, dtype=kind), torch.empty(paths, dtype=kind), scale("B1")
        for _ in range(steps):
            x.addcmul_(x, 1 - x * x, value=dt).add_(z.normal_(0, factor))
        return x

    def dense_linear() -> object:
        x, z = torch.zeros(paths, 10, dtype=kind), torch.empty(paths, 10, dtype=kind)
        drift = torch.eye(10, dtype=kind) - dt * torch.tensor(HESSIAN.T, dtype=kind)
        noise = torch.tensor(NOISE.T, dtype=kind) * dt**0.5
        for _ in range(steps):
            x = torch.addmm(x @ drift, z.normal_(), noise)
        return x

    def muller_brown() -> object:
        x, y = (torch.full((paths,), float(start), dtype=kind) for start in START["B3"])
        z, factor = torch.empty(2, paths, dtype=kind), scale("B3")
        for _ in range(steps):
            fx, fy = muller_brown_force(torch, x, y)
            z.normal_(0, factor)
            x, y = z[0] + x + fx * dt, z[1] + y + fy * dt
        return torch.stack([x, y], dim=1)

    return {"B1": double_well, "B2": dense_linear, "B3": muller_brown}[problem]
